//! On a client of the application: pg, postgres.js, Prisma, Drizzle, Kysely, Knex.

use std::sync::Arc;

use super::Task;
use super::driver::CAPABILITIES;
use super::error::of_client;
use crate::contract::capability::Capabilities;
use crate::contract::client::{Client, ClientError};
use crate::contract::guest::ClientDriver;
use crate::contract::report::{Probe, Usage};
use crate::contract::step::{Reply, Step};
use crate::error::{Detail, Error, Kind, Result};
use crate::sql::Around;
use crate::sql::client::{KnownTable, OnClient};
use crate::sql::executions::Executions;
use crate::sql::executions::schema::Pair;
use crate::sql::inbox::Inbox;
use crate::sql::outbox::Outbox;
use crate::sql::payloads::PayloadSql;
use crate::sql::schema::postgres::{
    check_key, create_at_once, create_index_at_once, create_index_concurrently, server,
};
use crate::sql::schema::{has_index, inspect};
use crate::sql::states::schema::{all_statements, make_if_allowed};
use crate::sql::states::{StateSql, purge_both};
use crate::sql::tables::{All, Tables};
use crate::sql::{Dialect, Executor, Table};
use crate::time::Millis;

const DIALECT: Dialect = Dialect::Postgres;

/// The tables, on whichever client.
pub(super) struct Hosted {
    payloads: KnownTable,
    states_table: Table,
    states_quoted: String,
    pub(super) states: StateSql,
    pub(super) executions: Executions,
    executions_quoted: String,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
}

impl Hosted {
    pub(super) fn new(tables: Tables) -> Self {
        let Tables { payloads: table, states: states_table, executions, log, outbox, inbox } = tables;
        let pair = Pair { executions, log };
        Self {
            payloads: KnownTable::new(DIALECT, table),
            states_quoted: states_table.quoted(),
            states: StateSql::new(DIALECT, &states_table),
            states_table,
            executions_quoted: pair.executions.quoted(),
            executions: Executions::new(DIALECT, pair),
            outbox: Outbox::new(DIALECT, outbox),
            inbox: Inbox::new(DIALECT, inbox),
        }
    }

    pub(super) fn executions_on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, DIALECT, &self.executions_quoted, of_client)
    }

    pub(super) fn outbox_on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, DIALECT, self.outbox.quoted(), of_client)
    }

    pub(super) fn inbox_on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, DIALECT, self.inbox.quoted(), of_client)
    }

    pub(super) fn states_on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, DIALECT, &self.states_quoted, of_client)
    }

    fn on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, DIALECT, self.payloads.quoted(), of_client)
    }

    pub(super) async fn ready<'a>(&'a self, client: &'a Client) -> Result<(Arc<PayloadSql>, OnClient<'a>)> {
        let mut on = self.on(client);
        let sql = self.payloads.statements(&mut on).await?;
        Ok((sql, on))
    }

    /// After an error that is about the table, it is looked at again.
    pub(super) fn noted<T>(&self, done: Result<T>) -> Result<T> {
        if done.as_ref().is_err_and(is_about_table) {
            self.payloads.forget();
        }
        done
    }

    fn tables(&self) -> All<'_> {
        let Self { states_table: states, executions, outbox, inbox, .. } = self;
        All { payloads: self.payloads.table(), states, executions, outbox, inbox }
    }

    async fn make(&self, client: &Client) -> Result<Vec<String>> {
        let (table, quoted) = (self.payloads.table(), self.payloads.quoted());
        let on = &mut self.on(client);
        let mut found = inspect(on, DIALECT, table).await?;
        if found.is_none() {
            on.run(&create_at_once(table), &[]).await?;
            found = inspect(on, DIALECT, table).await?;
        }
        let lost = || Error::new(Kind::Backend, format!("table {quoted} was created and cannot be found"));
        let found = found.ok_or_else(lost)?;
        check_key(on, table).await?;
        if !has_index(on, DIALECT, table).await? {
            // A transaction cannot make an index while others write.
            if client.facts().in_transaction {
                on.run(&create_index_at_once(table), &[]).await?;
            } else {
                create_index_concurrently(on, table).await?;
            }
        }
        self.payloads.learn(found.time);
        let mut warnings = make_if_allowed(&mut self.states_on(client), &self.states_table).await?;
        warnings.extend(self.executions.make_if_allowed(&mut self.executions_on(client)).await?);
        warnings.extend(self.outbox.make_if_allowed(&mut self.outbox_on(client)).await?);
        warnings.extend(self.inbox.make_if_allowed(&mut self.inbox_on(client)).await?);
        let on = &mut self.on(client);
        warnings.extend(server(on, table).await?.warning());
        warnings.extend(self.tables().forbidden(on).await?);
        if !found.expiry_optional {
            warnings.push(format!("expires_at of table {quoted} is NOT NULL: payloads without an expiry are refused"));
        }
        Ok(warnings)
    }
}

fn is_about_table(error: &Error) -> bool {
    let stale = |(name, value): &(&str, Detail)| {
        *name == "sqlState"
            && matches!(value, Detail::Text(code) if ["42P01", "42703", "42804", "3F000"].contains(&&**code))
    };
    error.details().iter().any(stale)
}

impl ClientDriver for Hosted {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn classify(&self, error: ClientError) -> Error {
        of_client(error, self.payloads.quoted())
    }

    fn run<'a>(&'a self, on: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            match step {
                Step::Outbox(step) => {
                    let around = if on.facts().in_transaction { Around::Transaction } else { Around::Savepoint };
                    self.outbox.run(&mut self.outbox_on(on), step, around, Millis::now()).await
                }
                Step::Moving(step) => self.run_moving(on, step).await,
                Step::Inbox(step) => self.inbox.run(&mut self.inbox_on(on), step, Millis::now()).await,
                Step::Execution(step) => {
                    let around = if on.facts().in_transaction { Around::Transaction } else { Around::Savepoint };
                    self.executions.run(&mut self.executions_on(on), step, around, Millis::now()).await
                }
                Step::State(step) => self.states.run(&mut self.states_on(on), step, Millis::now()).await,
                Step::Payload(step) => {
                    let (sql, mut on) = self.ready(on).await?;
                    self.noted(sql.run(&mut on, step, Millis::now()).await)
                }
            }
        })
    }

    fn initialize<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Vec<String>>> {
        Box::pin(self.make(on))
    }

    fn schema(&self) -> Vec<String> {
        let mut all = all_statements(DIALECT, self.payloads.table(), &self.states_table);
        all.extend(self.executions.pair().statements(DIALECT));
        all.extend(self.outbox.statements());
        all.extend(self.inbox.statements());
        all
    }

    fn purge_expired<'a>(&'a self, on: &'a Client, now: Millis, limit: u64) -> Task<'a, Result<u64>> {
        Box::pin(async move {
            let (sql, mut of_payloads) = self.ready(on).await?;
            let mut removed = self.noted(purge_both(&mut of_payloads, &sql, &self.states, now, limit).await)?;
            if removed < limit {
                removed += self.executions.purge_expired(&mut self.executions_on(on), now, limit - removed).await?;
            }
            if removed < limit {
                removed += self.outbox.purge_expired(&mut self.outbox_on(on), now, limit - removed).await?;
            }
            if removed < limit {
                removed += self.inbox.purge_expired(&mut self.inbox_on(on), now, limit - removed).await?;
            }
            Ok(removed)
        })
    }

    fn probe<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Probe>> {
        Box::pin(async move {
            let server = server(&mut self.on(on), self.payloads.table()).await?;
            let mut probe = server.probe(self.payloads.quoted());
            let (tables, mut on) = (self.tables(), self.on(on));
            probe.complain(tables.wrong(&mut on, DIALECT).await?);
            probe.complain(tables.forbidden(&mut on).await?);
            Ok(probe)
        })
    }

    fn usage<'a>(&'a self, on: &'a Client, now: Millis) -> Task<'a, Result<Usage>> {
        Box::pin(async move {
            let (sql, mut on) = self.ready(on).await?;
            self.noted(sql.usage(&mut on, now).await)
        })
    }
}
