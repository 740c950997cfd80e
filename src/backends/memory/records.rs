//! All that a memory store keeps.

use super::payloads::Payloads;
use super::states::{States, View};

/// All that a memory store keeps.
#[derive(Default)]
pub(super) struct Records {
    pub(super) payloads: Payloads,
    pub(super) states: States,
}

impl Records {
    /// The sagas, outside a transaction.
    pub(super) fn view(&mut self) -> View<'_> {
        View { states: &mut self.states, changes: None }
    }
}
