//! A transaction on a connection of the pool.

use std::sync::Arc;

use super::driver::Postgres;
use super::executor::Session;
use crate::contract::capability::Isolation;
use crate::contract::dynamic::Dynamic;
use crate::contract::step::{Reply, Step};
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::runtime::Task;
use crate::sql::payloads::PayloadSql;
use crate::sql::states::StateSql;
use crate::time::Millis;

impl Postgres {
    /// Begins; the table is looked at first, outside of it.
    pub(super) async fn begin_transaction(&self, isolation: Option<Isolation>) -> Result<Box<dyn Transaction>> {
        let mut session = self.session(true).await?;
        let sql = self.statements(&mut session).await?;
        session.begin(isolation.unwrap_or(Isolation::ReadCommitted)).await?;
        Ok(Box::new(Ongoing { session, sql, states: Arc::clone(&self.states) }))
    }
}

/// Dropped before its commit, its connection is closed, and the server rolls back.
struct Ongoing {
    session: Session,
    sql: Arc<PayloadSql>,
    states: Arc<StateSql>,
}

impl Transaction for Ongoing {
    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            match step {
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
            }
            committed
        })
    }

    fn roll_back(mut self: Box<Self>) -> Task<'static, ()> {
        Box::pin(async move { self.session.roll_back().await })
    }
}
