//! Whole records on their way out and in: on connections of the pool, and on clients of the application.

use super::driver::Postgres;
use super::guest::Hosted;
use super::spread::{self, Placed};
use crate::contract::client::Client;
use crate::contract::moving::{MovingRead, MovingStep, MovingWrite, not_in_transactions};
use crate::contract::operation::{Operation, RecordKind, Work, chains};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::moving::{Place, kind_of_read, kind_of_write};
use crate::time::Millis;

/// A group, one kind of it.
#[derive(Clone, Copy)]
enum Group<'a> {
    Writes(&'a [MovingWrite]),
    Reads(&'a [MovingRead]),
}

impl Postgres {
    /// Runs a group of imports.
    pub(super) async fn write_moving_group(&self, group: &[MovingWrite]) -> Vec<Result<Reply>> {
        let results = self.spread_moving(Group::Writes(group), group.len(), &chains(group)).await;
        let is_of_events = |write: &MovingWrite| kind_of_write(write) == RecordKind::Outbox;
        if group.iter().zip(&results).any(|(write, result)| is_of_events(write) && result.is_ok()) {
            self.bell.tell(self.pool.arc(), self.wait);
        }
        results
    }

    /// Runs a group of questions.
    pub(super) async fn read_moving_group(&self, group: &[MovingRead]) -> Vec<Result<Reply>> {
        let parts: Vec<Vec<usize>> = (0..group.len()).map(|at| vec![at]).collect();
        self.spread_moving(Group::Reads(group), group.len(), &parts).await
    }

    async fn spread_moving(&self, group: Group<'_>, count: usize, parts: &[Vec<usize>]) -> Vec<Result<Reply>> {
        spread::spread(self.pool_size, count, parts, |part| self.run_moving_part(group, part)).await
    }

    async fn run_moving_part(&self, group: Group<'_>, part: &[usize]) -> Placed {
        let mut done = Vec::with_capacity(part.len());
        for at in part {
            let result = match group {
                Group::Writes(writes) => self.write_moving(&writes[*at]).await,
                Group::Reads(reads) => self.read_moving(&reads[*at]).await,
            };
            done.push((*at, result));
        }
        done
    }

    async fn write_moving(&self, write: &MovingWrite) -> Result<Reply> {
        let kind = kind_of_write(write);
        // What cannot be repeated when its answer is lost does not start on a connection that may be dead.
        let mut session = self.session_on(self.quoted_of(kind), !write.may_repeat()).await?;
        if kind != RecordKind::Payloads {
            return self.place(kind).write(&mut session, write, Millis::now()).await;
        }
        let sql = self.statements(&mut session).await?;
        let done = Place::Payloads(&sql).write(&mut session, write, Millis::now()).await;
        self.look_again_if_changed(&session);
        done
    }

    async fn read_moving(&self, read: &MovingRead) -> Result<Reply> {
        let kind = kind_of_read(read);
        let mut session = self.session_on(self.quoted_of(kind), false).await?;
        if kind != RecordKind::Payloads {
            return self.place(kind).read(&mut session, read).await;
        }
        let sql = self.statements(&mut session).await?;
        let done = Place::Payloads(&sql).read(&mut session, read).await;
        self.look_again_if_changed(&session);
        done
    }

    fn quoted_of(&self, kind: RecordKind) -> &std::sync::Arc<str> {
        match kind {
            RecordKind::Payloads => &self.quoted,
            RecordKind::States => &self.states_quoted,
            RecordKind::Executions => &self.executions_quoted,
            RecordKind::Outbox => &self.outbox_quoted,
            RecordKind::Inbox | RecordKind::Moving => &self.inbox_quoted,
        }
    }

    /// Where the records of a kind other than payloads are.
    fn place(&self, kind: RecordKind) -> Place<'_> {
        match kind {
            RecordKind::States => Place::States(&self.states),
            RecordKind::Executions => Place::Executions(&self.executions),
            RecordKind::Outbox => Place::Outbox(&self.outbox),
            RecordKind::Payloads | RecordKind::Inbox | RecordKind::Moving => Place::Inbox(&self.inbox),
        }
    }
}

impl Hosted {
    /// On a client of the application.
    pub(super) async fn run_moving(&self, client: &Client, step: &MovingStep) -> Result<Reply> {
        if client.facts().in_transaction {
            return Err(not_in_transactions());
        }
        let kind = match step {
            Work::Write(write) => kind_of_write(write),
            Work::Read(read) => kind_of_read(read),
        };
        let (mut on, place) = match kind {
            RecordKind::Payloads => {
                let (sql, mut on) = self.ready(client).await?;
                let place = Place::Payloads(&sql);
                return self.noted(match step {
                    Work::Write(write) => place.write(&mut on, write, Millis::now()).await,
                    Work::Read(read) => place.read(&mut on, read).await,
                });
            }
            RecordKind::States => (self.states_on(client), Place::States(&self.states)),
            RecordKind::Executions => (self.executions_on(client), Place::Executions(&self.executions)),
            RecordKind::Outbox => (self.outbox_on(client), Place::Outbox(&self.outbox)),
            RecordKind::Inbox | RecordKind::Moving => (self.inbox_on(client), Place::Inbox(&self.inbox)),
        };
        match step {
            Work::Write(write) => {
                let done = place.write(&mut on, write, Millis::now()).await?;
                if kind == RecordKind::Outbox {
                    self.outbox.tell(&mut on).await?;
                }
                Ok(done)
            }
            Work::Read(read) => place.read(&mut on, read).await,
        }
    }
}
