//! Groups of operations on the outbox and on the inbox, spread over the connections of the pool.

use super::driver::Postgres;
use super::spread::{self, Placed};
use crate::contract::inbox::{InboxRead, InboxWrite};
use crate::contract::operation::chains;
use crate::contract::outbox::{OutboxRead, OutboxWrite, Outcome};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::Around;
use crate::time::Millis;

/// A group, one kind of it.
#[derive(Clone, Copy)]
enum Group<'a> {
    Events(&'a [OutboxWrite]),
    EventReads(&'a [OutboxRead]),
    Messages(&'a [InboxWrite]),
    MessageReads(&'a [InboxRead]),
}

impl Postgres {
    /// Runs a group of changes of the outbox; those of one id in their order.
    pub(super) async fn write_outbox_group(&self, group: &[OutboxWrite]) -> Vec<Result<Reply>> {
        let results = self.spread_events(Group::Events(group), group.len(), &chains(group)).await;
        let is_insertion = |write: &OutboxWrite| matches!(write, OutboxWrite::Insert(_));
        if group.iter().zip(&results).any(|(write, result)| is_insertion(write) && result.is_ok()) {
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
        // What cannot be repeated when its answer is lost does not start on a connection that may be dead.
        let careful = |write: &OutboxWrite| !crate::contract::operation::Operation::may_repeat(write);
        let careful = matches!(group, Group::Events(writes) if part.iter().any(|at| careful(&writes[*at])));
        let quoted = match group {
            Group::Events(_) | Group::EventReads(_) => &self.outbox_quoted,
            Group::Messages(_) | Group::MessageReads(_) => &self.inbox_quoted,
        };
        let mut session = match self.session_on(quoted, careful).await {
            Ok(session) => session,
            Err(error) => return part.iter().map(|at| (*at, Err(error.clone()))).collect(),
        };
        let mut done = Vec::with_capacity(part.len());
        for at in part {
            let (on, now) = (&mut session, Millis::now());
            let result = match group {
                Group::Events(writes) => self.outbox.write(on, &writes[*at], Around::Savepoint, now).await,
                Group::EventReads(reads) => self.outbox.read(on, &reads[*at], now).await,
                Group::Messages(writes) => self.inbox.write(on, &writes[*at], now).await,
                Group::MessageReads(reads) => self.inbox.read(on, &reads[*at], now).await,
            };
            done.push((*at, result));
        }
        done
    }
}

fn alone(count: usize) -> Vec<Vec<usize>> {
    (0..count).map(|at| vec![at]).collect()
}
