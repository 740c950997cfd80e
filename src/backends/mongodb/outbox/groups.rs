//! Groups of operations on events over the store's own connections.

use super::{insert, single};
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::own::Own;
use crate::backends::mongodb::states::groups::{alone, answers, in_chains};
use crate::contract::outbox::record::listed;
use crate::contract::outbox::{Insertion, OutboxRead, OutboxWrite};
use crate::contract::step::Reply;
use crate::error::Result;

/// Runs changes; those that must not be under way at once, in their order. Insertions of one event each are one command.
pub(crate) async fn write(on: &Own, group: &[OutboxWrite]) -> Vec<Result<Reply>> {
    let places = alone(group, |write| single_event(write).is_some());
    // FerretDB 1 does not like many statements in a command.
    if places.len() < 2 || !on.is_atomic() {
        return in_chains(on, group, |write| single::write(on, write)).await;
    }
    on.keep_time().await;
    let insertions: Vec<&Insertion> = places.iter().filter_map(|at| single_event(&group[*at])).collect();
    let inserted = insert::insert_each(on, &insertions).await;
    let mut results: Vec<Option<Result<Reply>>> = vec![None; group.len()];
    for (at, inserted) in places.into_iter().zip(inserted) {
        results[at] = match inserted {
            Ok(true) => Some(Ok(listed(Vec::new()))),
            // It is looked at what has its id.
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        };
    }
    let rest: Vec<OutboxWrite> =
        group.iter().zip(&results).filter(|(_, result)| result.is_none()).map(|(write, _)| write.clone()).collect();
    let mut others = in_chains(on, &rest, |write| single::write(on, write)).await.into_iter();
    results.into_iter().filter_map(|result| result.or_else(|| others.next())).collect()
}

/// An insertion of one event, which nobody has from the beginning on.
fn single_event(write: &OutboxWrite) -> Option<&Insertion> {
    match write {
        OutboxWrite::Insert(insertion) if insertion.events.len() == 1 && insertion.lease.is_none() => Some(insertion),
        _ => None,
    }
}

/// Answers questions.
pub(crate) async fn read(on: &Own, group: &[OutboxRead]) -> Vec<Result<Reply>> {
    let run = |at: usize| async move { [(at, single::read(on, &group[at]).await)] };
    on.keep_time().await;
    answers(group.len(), (0..group.len()).map(run)).await
}
