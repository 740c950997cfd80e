//! Groups of operations on the outbox and on the inbox, spread over the connections of the pool. Insertions, and
//! acknowledgements, go together, as many as one statement takes (`src/sql/outbox/gathered.rs`).

use super::driver::Postgres;
use super::spread::{self, Placed};
use crate::contract::inbox::{InboxRead, InboxWrite};
use crate::contract::operation::{Operation, chains};
use crate::contract::outbox::{OutboxRead, OutboxWrite, Outcome};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::outbox::gathered::{Joins, joins};
use crate::time::Millis;

/// A group, one kind of it.
#[derive(Clone, Copy)]
enum Group<'a> {
    EventReads(&'a [OutboxRead]),
    Messages(&'a [InboxWrite]),
    MessageReads(&'a [InboxRead]),
}

impl Postgres {
    /// Runs a group of changes of the outbox; those of one id in their order.
    pub(super) async fn write_outbox_group(&self, group: &[OutboxWrite]) -> Vec<Result<Reply>> {
        let results =
            spread::spread(self.pool_size, group.len(), &parts(group), |part| self.change_events(group, part)).await;
        if group.iter().zip(&results).any(|(write, result)| is_to_be_told(write) && result.is_ok()) {
            self.bell.tell(self.pool.arc(), self.wait);
        }
        let removed = |(write, result): (&OutboxWrite, &Result<Reply>)| match (write, result) {
            (OutboxWrite::Settle(settlement), Ok(_)) if settlement.outcome == Outcome::Sent => settlement.held.len(),
            _ => 0,
        };
        match group.iter().zip(&results).map(removed).sum() {
            0 => {}
            count => self.removed_events(count),
        }
        results
    }

    /// Makes changes one after the other, or together.
    async fn change_events(&self, group: &[OutboxWrite], part: &[usize]) -> Placed {
        let writes: Vec<&OutboxWrite> = part.iter().map(|at| &group[*at]).collect();
        // What cannot be repeated when its answer is lost does not start on a connection that may be dead.
        let careful = writes.iter().any(|write| !write.may_repeat());
        let done = match self.session_on(&self.outbox_quoted, careful).await {
            Ok(mut session) => self.outbox.write_all(&mut session, &writes).await,
            Err(error) => writes.iter().map(|_| Err(error.clone())).collect(),
        };
        part.iter().copied().zip(done).collect()
    }

    /// Runs a group of questions about the outbox.
    pub(super) async fn read_outbox_group(&self, group: &[OutboxRead]) -> Vec<Result<Reply>> {
        self.spread_events(Group::EventReads(group), group.len(), &alone(group.len())).await
    }

    /// Runs a group of changes of the inbox; those of one entry in their order.
    pub(super) async fn write_inbox_group(&self, group: &[InboxWrite]) -> Vec<Result<Reply>> {
        self.spread_events(Group::Messages(group), group.len(), &chains(group)).await
    }

    /// Runs a group of questions about the inbox.
    pub(super) async fn read_inbox_group(&self, group: &[InboxRead]) -> Vec<Result<Reply>> {
        self.spread_events(Group::MessageReads(group), group.len(), &alone(group.len())).await
    }

    /// Runs parts of a group beside each other, on as many connections as there are.
    async fn spread_events(&self, group: Group<'_>, count: usize, parts: &[Vec<usize>]) -> Vec<Result<Reply>> {
        spread::spread(self.pool_size, count, parts, |part| self.run_part_of_events(group, part)).await
    }

    async fn run_part_of_events(&self, group: Group<'_>, part: &[usize]) -> Placed {
        let quoted = match group {
            Group::EventReads(_) => &self.outbox_quoted,
            Group::Messages(_) | Group::MessageReads(_) => &self.inbox_quoted,
        };
        let mut session = match self.session_on(quoted, false).await {
            Ok(session) => session,
            Err(error) => return part.iter().map(|at| (*at, Err(error.clone()))).collect(),
        };
        let mut done = Vec::with_capacity(part.len());
        for at in part {
            let (on, now) = (&mut session, Millis::now());
            let result = match group {
                Group::EventReads(reads) => self.outbox.read(on, &reads[*at], now).await,
                Group::Messages(writes) => self.inbox.write(on, &writes[*at], now).await,
                Group::MessageReads(reads) => self.inbox.read(on, &reads[*at], now).await,
            };
            done.push((*at, result));
        }
        done
    }
}

/// The places of changes that go one after the other: those of one claim, or of one id; and in one part all insertions,
/// in one all acknowledgements, that go together, unless something else must keep to its place between them.
fn parts(group: &[OutboxWrite]) -> Vec<Vec<usize>> {
    let mut parts = Vec::new();
    let mut together = [(Joins::Insertions, Vec::new()), (Joins::Acks, Vec::new())];
    for chain in chains(group) {
        let of = |kind: Joins| chain.iter().all(|at| joins(&group[*at]) == Some(kind));
        match together.iter_mut().find(|(kind, _)| of(*kind)) {
            Some((_, part)) => part.extend(chain),
            None => parts.push(chain),
        }
    }
    for (_, mut part) in together.into_iter().filter(|(_, part)| !part.is_empty()) {
        part.sort_unstable();
        parts.push(part);
    }
    parts
}

/// Whether others are to be told of it behind its commit.
pub(super) fn is_to_be_told(write: &OutboxWrite) -> bool {
    matches!(write, OutboxWrite::Insert(insertion) if !insertion.terms.notifies_in_transaction)
}

fn alone(count: usize) -> Vec<Vec<usize>> {
    (0..count).map(|at| vec![at]).collect()
}
