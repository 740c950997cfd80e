//! On a client of the application: better-sqlite3, node:sqlite, and what stands on them.

use super::driver::FILE;
use super::error::{missing_table, of_client};
use super::{Task, schema};
use crate::contract::capability::Capabilities;
use crate::contract::client::{Client, ClientError};
use crate::contract::guest::ClientDriver;
use crate::contract::report::{Probe, Usage};
use crate::contract::step::{Reply, Step};
use crate::error::{Error, Result};
use crate::sql::client::OnClient;
use crate::sql::payloads::PayloadSql;
use crate::sql::schema::{TimeColumn, inspect};
use crate::sql::states::schema::{all_statements, make as make_states};
use crate::sql::states::{StateSql, purge_both};
use crate::sql::{Cell, Dialect, Executor, Table};
use crate::time::Millis;

/// A table, on whichever client.
pub(super) struct Hosted {
    table: Table,
    quoted: String,
    sql: PayloadSql,
    states_table: Table,
    states_quoted: String,
    states: StateSql,
}

impl Hosted {
    pub(super) fn new(table: Table, states_table: Table) -> Self {
        let sql = PayloadSql::new(Dialect::Sqlite, &table, TimeColumn::Text);
        let states = StateSql::new(Dialect::Sqlite, &states_table);
        let (quoted, states_quoted) = (table.quoted(), states_table.quoted());
        Self { table, quoted, sql, states_table, states_quoted, states }
    }

    fn on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, Dialect::Sqlite, &self.quoted, of_client)
    }

    fn states_on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, Dialect::Sqlite, &self.states_quoted, of_client)
    }
}

impl ClientDriver for Hosted {
    fn capabilities(&self) -> &'static Capabilities {
        &FILE
    }

    fn classify(&self, error: ClientError) -> Error {
        of_client(error, &self.quoted)
    }

    fn run<'a>(&'a self, on: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            match step {
                Step::State(step) => self.states.run(&mut self.states_on(on), step, Millis::now()).await,
                Step::Payload(step) => self.sql.run(&mut self.on(on), step, Millis::now()).await,
            }
        })
    }

    /// Statement by statement: each can be run again, whoever else does the same.
    fn initialize<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let warnings = schema::make(&mut self.on(on), &self.table).await?;
            make_states(&mut self.states_on(on), &self.states_table).await?;
            Ok(warnings)
        })
    }

    fn schema(&self) -> Vec<String> {
        all_statements(Dialect::Sqlite, &self.table, &self.states_table)
    }

    fn purge_expired<'a>(&'a self, on: &'a Client, now: Millis, limit: u64) -> Task<'a, Result<u64>> {
        Box::pin(async move { purge_both(&mut self.on(on), &self.sql, &self.states, now, limit).await })
    }

    fn probe<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Probe>> {
        Box::pin(async move {
            let mut on = self.on(on);
            let degraded = match inspect(&mut on, Dialect::Sqlite, &self.table).await? {
                Some(_) => None,
                None => Some(missing_table().message().to_owned()),
            };
            let answer = on.run("select sqlite_version() as version", &[]).await?;
            let version = answer.rows.into_iter().flatten().next().unwrap_or(Cell::Null).into_text("version")?;
            Ok(Probe { server_version: Some(version), degraded, details: Vec::new() })
        })
    }

    fn usage<'a>(&'a self, on: &'a Client, now: Millis) -> Task<'a, Result<Usage>> {
        Box::pin(async move { self.sql.usage(&mut self.on(on), now).await })
    }
}
