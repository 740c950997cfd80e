//! What a step of each kind adds to a transaction that is sent at its end. This is the one place where kinds meet
//! such transactions: a new kind has its lines here, and its own part in its `queued.rs`. The transactions
//! ([`super::queue`], [`super::collector`]) know changes and conditions only.

use super::changes::{Change, Planned, Refused};
use super::channel::Channel;
use super::clock::Clock;
use super::config::Tables;
use super::payloads::queued;
use super::states::queued::looks_first;
use super::states::saga::States;
use crate::contract::operation::RecordKind;
use crate::contract::payloads::Write;
use crate::contract::states::{StateWrite, changed_meanwhile};
use crate::contract::step::{Queued, not_queueable};
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

/// The changes of a step with conditions. They are about items of one table.
pub(super) async fn conditional(on: &impl Channel, write: &StateWrite) -> Result<Vec<Planned>> {
    States { on: &on.to(RecordKind::States) }.plan(write).await
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
        Queued::Blind(_) | Queued::No => Err(not_queueable(step)),
    };
    match again {
        Ok(_) => changed_meanwhile(step.id()),
        Err(error) => error.with_id(step.id()),
    }
}
