//! Whole records on their way out and in: on connections of the pool, and on clients of the application.

use super::driver::Postgres;
use super::guest::Hosted;
use crate::contract::client::Client;
use crate::contract::moving::{Moved, MovingRead, MovingStep, MovingWrite, not_in_transactions};
use crate::contract::operation::{Operation, Work};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::moving::Place;
use crate::time::Millis;

impl Postgres {
    /// Runs a group of imports, which is of one.
    pub(super) async fn write_moving_group(&self, group: &[MovingWrite]) -> Vec<Result<Reply>> {
        let mut done = Vec::with_capacity(group.len());
        for write in group {
            let result = self.write_moving(write).await;
            if write.kind() == Moved::Outbox && result.is_ok() {
                self.bell.tell(self.pool.arc(), self.wait);
            }
            done.push(result);
        }
        done
    }

    /// Runs a group of questions, which is of one.
    pub(super) async fn read_moving_group(&self, group: &[MovingRead]) -> Vec<Result<Reply>> {
        let mut done = Vec::with_capacity(group.len());
        for read in group {
            done.push(self.read_moving(read).await);
        }
        done
    }

    async fn write_moving(&self, write: &MovingWrite) -> Result<Reply> {
        let kind = write.kind();
        // What cannot be repeated when its answer is lost does not start on a connection that may be dead.
        let mut session = self.session_on(self.quoted_of(kind), !write.may_repeat()).await?;
        if kind != Moved::Payloads {
            return self.place(kind).write(&mut session, write, Millis::now()).await;
        }
        let sql = self.statements(&mut session).await?;
        let done = Place::Payloads(&sql).write(&mut session, write, Millis::now()).await;
        self.look_again_if_changed(&session);
        done
    }

    async fn read_moving(&self, read: &MovingRead) -> Result<Reply> {
        let kind = read.kind();
        let mut session = self.session_on(self.quoted_of(kind), false).await?;
        if kind != Moved::Payloads {
            return self.place(kind).read(&mut session, read).await;
        }
        let sql = self.statements(&mut session).await?;
        let done = Place::Payloads(&sql).read(&mut session, read).await;
        self.look_again_if_changed(&session);
        done
    }

    fn quoted_of(&self, kind: Moved) -> &std::sync::Arc<str> {
        match kind {
            Moved::Payloads => &self.quoted,
            Moved::States => &self.states_quoted,
            Moved::Executions => &self.executions_quoted,
            Moved::Outbox => &self.outbox_quoted,
            Moved::Inbox => &self.inbox_quoted,
        }
    }

    /// Where the records of a kind other than payloads are.
    fn place(&self, kind: Moved) -> Place<'_> {
        match kind {
            Moved::States => Place::States(&self.states),
            Moved::Executions => Place::Executions(&self.executions),
            Moved::Outbox => Place::Outbox(&self.outbox),
            Moved::Payloads | Moved::Inbox => Place::Inbox(&self.inbox),
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
            Work::Write(write) => write.kind(),
            Work::Read(read) => read.kind(),
        };
        let (mut on, place) = match kind {
            Moved::Payloads => {
                let (sql, mut on) = self.ready(client).await?;
                let place = Place::Payloads(&sql);
                return self.noted(match step {
                    Work::Write(write) => place.write(&mut on, write, Millis::now()).await,
                    Work::Read(read) => place.read(&mut on, read).await,
                });
            }
            Moved::States => (self.states_on(client), Place::States(&self.states)),
            Moved::Executions => (self.executions_on(client), Place::Executions(&self.executions)),
            Moved::Outbox => (self.outbox_on(client), Place::Outbox(&self.outbox)),
            Moved::Inbox => (self.inbox_on(client), Place::Inbox(&self.inbox)),
        };
        match step {
            Work::Write(write) => {
                let done = place.write(&mut on, write, Millis::now()).await?;
                if kind == Moved::Outbox {
                    self.outbox.tell_alone(&mut on).await?;
                }
                Ok(done)
            }
            Work::Read(read) => place.read(&mut on, read).await,
        }
    }
}
