//! Insertions, and acknowledgements, that wait at the same time: PostgreSQL has one statement for many of them.
//!
//! 1. Those go together that have no id in common, of one kind, up to so many events. Each has the answer that it would
//!    have had alone, in the order in which they have come.
//! 2. Where the server refuses the statement (for one of them, or to end a deadlock), nothing of it has happened: each
//!    goes alone then.

use std::collections::HashSet;

use super::Outbox;
use crate::contract::outbox::record::{listed, settled};
use crate::contract::outbox::{Insertion, OutboxWrite, Outcome, Settlement};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::{Around, Executor, sql_state};
use crate::time::Millis;

/// So many events go into one statement.
const EVENTS: usize = 250;

/// What goes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joins {
    Insertions,
    Acks,
}

/// With which others it goes together, if it does. A large one is a statement of its own.
pub(crate) fn joins(write: &OutboxWrite) -> Option<Joins> {
    match write {
        OutboxWrite::Insert(insertion) if insertion.lease.is_none() && insertion.events.len() <= EVENTS / 2 => {
            Some(Joins::Insertions)
        }
        OutboxWrite::Settle(settlement)
            if settlement.outcome == Outcome::Sent && settlement.held.len() <= EVENTS / 2 =>
        {
            Some(Joins::Acks)
        }
        _ => None,
    }
}

fn ids(write: &OutboxWrite) -> Vec<&str> {
    match write {
        OutboxWrite::Insert(insertion) => insertion.events.iter().map(|event| &*event.id).collect(),
        OutboxWrite::Settle(settlement) => settlement.held.iter().map(|held| &*held.id).collect(),
        _ => Vec::new(),
    }
}

/// How many of these changes, the first ones, go into one statement; at least one.
fn run_length(writes: &[&OutboxWrite]) -> usize {
    let kind = writes.first().and_then(|write| joins(write));
    let (mut seen, mut count) = (HashSet::new(), 0);
    for write in writes.iter().take_while(|write| kind.is_some() && joins(write) == kind) {
        let ids = ids(write);
        if seen.len() + ids.len() > EVENTS || ids.iter().any(|id| seen.contains(id)) {
            break;
        }
        seen.extend(ids);
        count += 1;
    }
    count.max(1)
}

impl Outbox {
    /// Makes changes one after the other, on a connection of the store's own: those that go together by one statement.
    pub(crate) async fn write_all<E: Executor>(&self, on: &mut E, writes: &[&OutboxWrite]) -> Vec<Result<Reply>> {
        let mut done = Vec::with_capacity(writes.len());
        while let Some(left) = writes.get(done.len()..).filter(|left| !left.is_empty()) {
            let run = &left[..run_length(left)];
            if let [_, _, ..] = run {
                match self.write_together(on, run).await {
                    Ok(answers) => {
                        done.extend(answers);
                        continue;
                    }
                    Err(error) if sql_state(&error).is_some() => {}
                    Err(error) => {
                        done.extend(run.iter().map(|_| Err(error.clone())));
                        continue;
                    }
                }
            }
            for write in run {
                done.push(self.write(on, write, Around::Savepoint, Millis::now()).await);
            }
        }
        done
    }

    async fn write_together<E: Executor>(&self, on: &mut E, run: &[&OutboxWrite]) -> Result<Vec<Result<Reply>>> {
        let insertions: Vec<&Insertion> = run.iter().filter_map(|write| insertion(write)).collect();
        if !insertions.is_empty() {
            let answers = self.insert_all(on, &insertions).await?;
            return Ok(answers.into_iter().map(|answer| answer.map(listed)).collect());
        }
        let acks: Vec<&Settlement> = run.iter().filter_map(|write| ack(write)).collect();
        let Some(first) = acks.first() else { return Ok(Vec::new()) };
        let held = acks.iter().flat_map(|ack| ack.held.iter().cloned()).collect();
        let all = Settlement { held, outcome: Outcome::Sent, terms: first.terms };
        let lost: HashSet<Box<str>> = self.settle(on, &all, Around::Savepoint).await?.into_iter().collect();
        let lost_of = |ack: &&Settlement| {
            let ids = ack.held.iter().map(|held| &held.id);
            settled(ids.filter(|id| lost.contains(*id)).cloned().collect())
        };
        Ok(acks.iter().map(|ack| Ok(lost_of(ack))).collect())
    }
}

fn insertion(write: &OutboxWrite) -> Option<&Insertion> {
    if let OutboxWrite::Insert(insertion) = write { Some(insertion) } else { None }
}

fn ack(write: &OutboxWrite) -> Option<&Settlement> {
    if let OutboxWrite::Settle(settlement) = write { Some(settlement) } else { None }
}
