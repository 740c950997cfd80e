//! On a client of the application: better-sqlite3, node:sqlite, and what stands on them.

use super::driver::FILE;
use super::error::{missing_table, of_client};
use super::{Task, schema};
use crate::contract::capability::Capabilities;
use crate::contract::client::{Client, ClientError};
use crate::contract::guest::ClientDriver;
use crate::contract::moving::Moved;
use crate::contract::operation::Work;
use crate::contract::report::{Probe, Usage};
use crate::contract::step::{Reply, Step};
use crate::error::{Error, Kind, Result};
use crate::sql::Around;
use crate::sql::client::OnClient;
use crate::sql::executions::Executions;
use crate::sql::executions::schema::Pair;
use crate::sql::inbox::Inbox;
use crate::sql::moving::Place;
use crate::sql::outbox::Outbox;
use crate::sql::payloads::PayloadSql;
use crate::sql::schema::{TimeColumn, inspect};
use crate::sql::states::schema::{all_statements, make as make_states};
use crate::sql::states::{StateSql, purge_both};
use crate::sql::tables::{All, Tables};
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
    executions: Executions,
    executions_quoted: String,
    outbox: Outbox,
    inbox: Inbox,
}

impl Hosted {
    pub(super) fn new(tables: Tables) -> Self {
        let Tables { payloads: table, states: states_table, executions, log, outbox, inbox } = tables;
        let pair = Pair { executions, log };
        let sql = PayloadSql::new(Dialect::Sqlite, &table, TimeColumn::Text);
        let states = StateSql::new(Dialect::Sqlite, &states_table);
        let (quoted, states_quoted) = (table.quoted(), states_table.quoted());
        let executions_quoted = pair.executions.quoted();
        let executions = Executions::new(Dialect::Sqlite, pair);
        let (outbox, inbox) = (Outbox::new(Dialect::Sqlite, outbox), Inbox::new(Dialect::Sqlite, inbox));
        Self { table, quoted, sql, states_table, states_quoted, states, executions, executions_quoted, outbox, inbox }
    }

    fn on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, Dialect::Sqlite, &self.quoted, of_client)
    }

    fn executions_on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, Dialect::Sqlite, &self.executions_quoted, of_client)
    }

    fn outbox_on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, Dialect::Sqlite, self.outbox.quoted(), of_client)
    }

    fn inbox_on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, Dialect::Sqlite, self.inbox.quoted(), of_client)
    }

    fn on_kind<'a>(&'a self, client: &'a Client, kind: Moved) -> OnClient<'a> {
        match kind {
            Moved::Payloads => self.on(client),
            Moved::States => self.states_on(client),
            Moved::Executions => self.executions_on(client),
            Moved::Outbox => self.outbox_on(client),
            Moved::Inbox => self.inbox_on(client),
        }
    }

    fn place(&self, kind: Moved) -> Place<'_> {
        match kind {
            Moved::Payloads => Place::Payloads(&self.sql),
            Moved::States => Place::States(&self.states),
            Moved::Executions => Place::Executions(&self.executions),
            Moved::Outbox => Place::Outbox(&self.outbox),
            Moved::Inbox => Place::Inbox(&self.inbox),
        }
    }

    fn states_on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient::new(client, Dialect::Sqlite, &self.states_quoted, of_client)
    }
}

/// A change of an execution, or of the outbox, is several statements. On a handle that answers at once nobody else's come between them; on
/// other clients a transaction sees to that, which TypeScript opens where there is none.
fn around<W, R>(client: &Client, step: &Work<W, R>) -> Result<Around> {
    let facts = client.facts();
    if facts.is_synchronous {
        return Ok(Around::Savepoint);
    }
    if !facts.in_transaction && matches!(step, Work::Write(_)) {
        let message = "executions, the outbox and whole records are changed in several statements, which this client only keeps together in a transaction";
        return Err(Error::new(Kind::Unsupported, message));
    }
    Ok(Around::Transaction)
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
                Step::Outbox(step) => {
                    let around = around(on, step)?;
                    self.outbox.run(&mut self.outbox_on(on), step, around, Millis::now()).await
                }
                Step::Moving(Work::Read(read)) => {
                    let kind = read.kind();
                    self.place(kind).read(&mut self.on_kind(on, kind), read).await
                }
                Step::Moving(step @ Work::Write(write)) => {
                    let (kind, around) = (write.kind(), around(on, step)?);
                    let mut on = self.on_kind(on, kind);
                    around.enter(&mut on).await?;
                    let done = self.place(kind).write(&mut on, write, Millis::now()).await;
                    around.leave(&mut on, done).await
                }
                Step::Inbox(step) => self.inbox.run(&mut self.inbox_on(on), step, Millis::now()).await,
                Step::Execution(step) => {
                    let around = around(on, step)?;
                    self.executions.run(&mut self.executions_on(on), step, around, Millis::now()).await
                }
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
            self.executions.make(&mut self.executions_on(on)).await?;
            self.outbox.make(&mut self.outbox_on(on)).await?;
            self.inbox.make(&mut self.inbox_on(on)).await?;
            Ok(warnings)
        })
    }

    fn schema(&self) -> Vec<String> {
        let mut all = all_statements(Dialect::Sqlite, &self.table, &self.states_table);
        all.extend(self.executions.pair().statements(Dialect::Sqlite));
        all.extend(self.outbox.statements());
        all.extend(self.inbox.statements());
        all
    }

    fn purge_expired<'a>(&'a self, on: &'a Client, now: Millis, limit: u64) -> Task<'a, Result<u64>> {
        Box::pin(async move {
            let mut removed = purge_both(&mut self.on(on), &self.sql, &self.states, now, limit).await?;
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
            let mut on = self.on(on);
            let degraded = match inspect(&mut on, Dialect::Sqlite, &self.table).await {
                Ok(None) => Some(missing_table(&self.table).message().to_owned()),
                Err(error) if error.kind() != Kind::Backend => return Err(error),
                Ok(Some(_)) | Err(_) => None,
            };
            let answer = on.run("select sqlite_version() as version", &[]).await?;
            let version = answer.rows.into_iter().flatten().next().unwrap_or(Cell::Null).into_text("version")?;
            let mut probe = Probe { server_version: Some(version), degraded, details: Vec::new() };
            let Self { table: payloads, states_table: states, executions, outbox, inbox, .. } = self;
            let tables = All { payloads, states, executions, outbox, inbox };
            probe.complain(tables.wrong(&mut on, Dialect::Sqlite).await?);
            Ok(probe)
        })
    }

    fn usage<'a>(&'a self, on: &'a Client, now: Millis) -> Task<'a, Result<Usage>> {
        Box::pin(async move { self.sql.usage(&mut self.on(on), now).await })
    }
}
