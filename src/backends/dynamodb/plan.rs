//! What a step of each kind adds to a transaction that is sent at its end. This is the one place where kinds meet
//! such transactions: a new kind has its lines here, and its own part in its `queued.rs`. The transactions
//! ([`super::queue`], [`super::collector`]) know changes and conditions only.

use super::changes::{Change, Planned, Refused};
use super::channel::Channel;
use super::clock::Clock;
use super::config::Tables;
use super::executions::Executions;
use super::inbox;
use super::outbox::queued::LastPlaces;
use super::outbox::{self, Outbox};
use super::payloads::queued;
use super::states::queued::looks_first;
use super::states::saga::States;
use crate::contract::executions::ExecutionWrite;
use crate::contract::inbox::InboxWrite;
use crate::contract::operation::RecordKind;
use crate::contract::outbox::Insertion;
use crate::contract::payloads::Write;
use crate::contract::states::{StateWrite, changed_meanwhile};
use crate::contract::step::{Queued, Reply, not_queueable};
use crate::error::Error;
use crate::error::Result;

/// The change of a step without a condition, to look at only.
pub(super) fn change_of(write: &Write, tables: &Tables, clock: &Clock) -> Result<Change> {
    queued::change_of(write, &tables.payloads, clock)
}

/// The same to be kept.
pub(super) fn copy_of(write: &Write, tables: &Tables, clock: &Clock) -> Result<Change> {
    queued::copy_of(write, &tables.payloads, clock)
}

/// Whether [`conditional`] sends requests for a step.
pub(super) fn needs_a_look(write: &StateWrite) -> bool {
    looks_first(write)
}

/// Lists the name of a new saga, before the transaction.
pub(super) async fn list_name(on: &impl Channel, write: &StateWrite) -> Result<()> {
    match write {
        StateWrite::Insert { saga, .. } => States { on: &on.to(RecordKind::States) }.list_name(&saga.name).await,
        _ => Ok(()),
    }
}

/// The changes of a step with conditions. They are about items of one table.
pub(super) async fn conditional(on: &impl Channel, write: &StateWrite) -> Result<Vec<Planned>> {
    States { on: &on.to(RecordKind::States) }.plan(write).await
}

/// The changes of a step on an execution, and its answer.
pub(super) async fn execution(on: &impl Channel, write: &ExecutionWrite) -> Result<(Vec<Planned>, Reply)> {
    Executions { on: &on.to(RecordKind::Executions) }.queue(write).await
}

/// Whether what an insertion changes depends on what is stored.
pub(super) fn insertion_needs_a_look(insertion: &Insertion) -> bool {
    !keys_of(insertion).is_empty()
}

/// The partition keys of an insertion.
pub(super) fn keys_of(insertion: &Insertion) -> Vec<Box<str>> {
    outbox::queued::keys_of(insertion)
}

/// Where keys end.
pub(super) async fn last_places(on: &impl Channel, keys: &[Box<str>]) -> Result<LastPlaces> {
    Outbox { on: &on.to(RecordKind::Outbox) }.last_places(keys).await
}

/// The changes of an insertion whose keys end there.
pub(super) fn insertion_behind(
    insertion: &Insertion,
    last: &LastPlaces,
    tables: &Tables,
    clock: &Clock,
) -> Result<Vec<Planned>> {
    outbox::queued::plan(insertion, last, &tables.outbox, clock)
}

/// The change of a message, and its answer.
pub(super) fn message(write: &InboxWrite, tables: &Tables, clock: &Clock) -> Result<(Vec<Planned>, Reply)> {
    inbox::queue(write, &tables.inbox, clock)
}

/// The error of two changes of one item in a transaction.
pub(super) fn twice(planned: &Planned, id: &str) -> Error {
    match &planned.refused {
        // What the first one makes is in the way of the second one.
        Some(Refused::Because(error)) => error.clone(),
        _ => {
            Error::invalid("this transaction is only sent at its end, and takes one change of each record").with_id(id)
        }
    }
}

/// The error of a transaction in which a condition did not hold.
pub(super) async fn refusal(on: &impl Channel, refused: &Refused) -> Error {
    let step = match refused {
        Refused::Because(error) => return error.clone(),
        Refused::Changed(id) => return changed_meanwhile(id),
        Refused::LookAgain(step) => step,
    };
    let again = match step.queued() {
        Queued::Conditional(write) => conditional(on, write).await,
        Queued::Execution(write) => execution(on, write).await.map(|(planned, _)| planned),
        Queued::Outbox(_) | Queued::Inbox(_) | Queued::Blind(_) | Queued::No => Err(not_queueable(step)),
    };
    match again {
        Ok(_) => changed_meanwhile(step.id()),
        Err(error) => error.with_id(step.id()),
    }
}
