//! All that a memory store keeps.

use super::executions::{ExecutionView, Executions};
use super::inbox::{Inbox, InboxView};
use super::outbox::Outbox;
use super::payloads::Payloads;
use super::states::{States, View};

/// All that a memory store keeps.
#[derive(Default)]
pub(super) struct Records {
    pub(super) payloads: Payloads,
    pub(super) states: States,
    pub(super) executions: Executions,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
}

impl Records {
    /// The executions, outside a transaction.
    pub(super) fn executions(&mut self) -> ExecutionView<'_> {
        ExecutionView { executions: &mut self.executions, changes: None }
    }

    /// The inbox, outside a transaction.
    pub(super) fn inbox(&mut self) -> InboxView<'_> {
        InboxView { inbox: &mut self.inbox, changes: None }
    }

    /// The sagas, outside a transaction.
    pub(super) fn view(&mut self) -> View<'_> {
        View { states: &mut self.states, changes: None }
    }
}
