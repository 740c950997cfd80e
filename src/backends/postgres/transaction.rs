//! A transaction on a connection of the pool.

use std::sync::Arc;
use std::time::Duration;

use super::bell::Bell;
use super::driver::Postgres;
use super::executor::Session;
use super::outbox::is_to_be_told;
use super::pool::Pool;
use crate::contract::capability::Isolation;
use crate::contract::dynamic::Dynamic;
use crate::contract::moving::not_in_transactions;
use crate::contract::operation::Work;
use crate::contract::step::{Reply, Step};
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::runtime::Task;
use crate::sql::Around;
use crate::sql::executions::Executions;
use crate::sql::inbox::Inbox;
use crate::sql::outbox::Outbox;
use crate::sql::payloads::PayloadSql;
use crate::sql::states::StateSql;
use crate::time::Millis;

impl Postgres {
    /// Begins; the table is looked at first, outside of it.
    pub(super) async fn begin_transaction(&self, isolation: Option<Isolation>) -> Result<Box<dyn Transaction>> {
        let mut session = self.session(true).await?;
        let sql = self.statements(&mut session).await?;
        session.begin(isolation.unwrap_or(Isolation::ReadCommitted)).await?;
        Ok(Box::new(Ongoing {
            session,
            sql,
            states: Arc::clone(&self.states),
            executions: Arc::clone(&self.executions),
            outbox: Arc::clone(&self.outbox),
            inbox: Arc::clone(&self.inbox),
            tells: false,
            tell: (Arc::clone(&self.bell), Arc::clone(self.pool.arc()), self.wait),
        }))
    }
}

/// Dropped before its commit, its connection is closed, and the server rolls back.
struct Ongoing {
    session: Session,
    sql: Arc<PayloadSql>,
    states: Arc<StateSql>,
    executions: Arc<Executions>,
    outbox: Arc<Outbox>,
    inbox: Arc<Inbox>,
    /// Whether others are told of new events behind the commit.
    tells: bool,
    tell: (Arc<Bell>, Arc<Pool>, Duration),
}

impl Transaction for Ongoing {
    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            match step {
                Step::Outbox(step) => {
                    let done = self.outbox.run(&mut self.session, step, Around::Transaction, Millis::now()).await;
                    let tells = matches!(step, Work::Write(write) if is_to_be_told(write));
                    self.tells |= tells && done.is_ok();
                    done
                }
                Step::Moving(_) => Err(not_in_transactions()),
                Step::Inbox(step) => self.inbox.run(&mut self.session, step, Millis::now()).await,
                Step::Execution(step) => {
                    self.executions.run(&mut self.session, step, Around::Transaction, Millis::now()).await
                }
                Step::State(step) => self.states.run(&mut self.session, step, Millis::now()).await,
                Step::Payload(step) => self.sql.run(&mut self.session, step, Millis::now()).await,
            }
        })
    }

    fn query<'a>(&'a mut self, sql: &'a str, values: &'a [Dynamic]) -> Task<'a, Result<Dynamic>> {
        Box::pin(self.session.query(sql, values))
    }

    fn commit(mut self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(async move {
            let committed = self.session.commit().await;
            if committed.is_err() {
                self.session.roll_back().await;
            } else if self.tells {
                let (bell, pool, wait) = self.tell;
                // Its connection goes back before another one is asked for.
                drop(self.session);
                bell.tell(&pool, wait);
            }
            committed
        })
    }

    fn roll_back(mut self: Box<Self>) -> Task<'static, ()> {
        Box::pin(async move { self.session.roll_back().await })
    }
}
