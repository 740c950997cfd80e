//! The tables of executions and their log: made, brought up to date, looked at. Every statement can be run again, by
//! whoever else does the same at the same time.
//!
//! Tables that python-cqrs has made are taken over: they get the columns and indexes that they lack, their entries get
//! numbers, and what is under way becomes due.

use super::form::Form;
#[cfg(feature = "postgres")]
use super::form::Words;
use crate::error::{Error, Kind, Result};
#[cfg(feature = "postgres")]
use crate::sql::schema::TimeColumn;
#[cfg(feature = "postgres")]
use crate::sql::schema::postgres;
use crate::sql::schema::{Column, columns, name_of_index};
#[cfg(feature = "postgres")]
use crate::sql::states::schema::{is_denied, refused};
use crate::sql::{Dialect, Executor, Table};

/// Columns of executions that others do not have: name, type on PostgreSQL, type on SQLite.
const OURS: [(&str, &str, &str); 17] = [
    ("version", "bigint not null default 1", "integer not null default 1"),
    ("recovery_attempts", "integer not null default 0", "integer not null default 0"),
    ("sub_status", "text", "text"),
    ("metadata", "json", "text"),
    ("tags", "jsonb", "text"),
    ("log_seq", "bigint not null default 0", "integer not null default 0"),
    ("log_bytes", "bigint not null default 0", "integer not null default 0"),
    ("token", "text", "text"),
    ("worker_id", "text", "text"),
    ("due_at", "timestamptz", "text"),
    ("last_error", "text", "text"),
    ("last_operation", "text", "text"),
    ("last_version", "bigint", "integer"),
    ("last_seq", "bigint", "integer"),
    ("completed_at", "timestamptz", "text"),
    ("parked_at", "timestamptz", "text"),
    ("expires_at", "timestamptz", "text"),
];

/// The same of the log.
const OURS_OF_LOG: [(&str, &str, &str); 3] =
    [("seq", "bigint", "integer"), ("step_id", "text", "text"), ("body", "json", "text")];

/// Columns that a table must have to be one of executions, and one of a log.
const REQUIRED: [&str; 6] = ["id", "name", "status", "context", "created_at", "updated_at"];
const REQUIRED_OF_LOG: [&str; 6] = ["saga_id", "step_name", "action", "status", "details", "created_at"];

/// Both tables.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) executions: Table,
    pub(crate) log: Table,
}

impl Pair {
    /// What both are like; none if one of them is missing. An error if one of them is another one.
    pub(super) async fn look<E: Executor>(&self, on: &mut E, dialect: Dialect) -> Result<Option<Found>> {
        let executions = columns(on, dialect, &self.executions).await?;
        let log = columns(on, dialect, &self.log).await?;
        if executions.is_empty() || log.is_empty() {
            return Ok(None);
        }
        for (table, found, required) in [(&self.executions, &executions, REQUIRED), (&self.log, &log, REQUIRED_OF_LOG)]
        {
            let missing: Vec<&str> = required.into_iter().filter(|name| !has(found, name)).collect();
            if !missing.is_empty() {
                let (t, missing) = (table.quoted(), missing.join(", "));
                let message = format!("table {t} exists, but is not one of executions: it lacks {missing}");
                return Err(Error::new(Kind::Backend, message));
            }
        }
        let form = Form::of(dialect, &executions, &log);
        let lacks = |ours: &[(&'static str, &str, &str)], found: &[Column]| -> Vec<&'static str> {
            ours.iter().map(|(name, ..)| *name).filter(|name| !has(found, name)).collect()
        };
        let lacking = [lacks(&OURS, &executions), lacks(&OURS_OF_LOG, &log)];
        Ok(Some(Found { form, lacking }))
    }

    /// The statements that make both, with their indexes, where there are none.
    pub(crate) fn statements(&self, dialect: Dialect) -> Vec<String> {
        let mut statements = self.create(dialect).to_vec();
        statements.extend(self.indexes(&Form::ours(dialect)));
        statements
    }

    fn create(&self, dialect: Dialect) -> [String; 2] {
        let (t, log) = (self.executions.quoted(), self.log.quoted());
        match dialect {
            // A checkpoint changes no indexed column: with room in the page it leaves the indexes alone (HOT). Ids are
            // compared by their bytes, as everywhere else.
            #[cfg(feature = "postgres")]
            Dialect::Postgres => [
                format!(
                    "create table if not exists {t} (id text collate \"C\" primary key, name text collate \"C\" not null, \
                     status text not null, {}, created_at timestamptz not null, updated_at timestamptz not null, \
                     context json) with (fillfactor = 80)",
                    OURS.map(|(name, kind, _)| format!("{name} {kind}")).join(", ")
                ),
                format!(
                    "create table if not exists {log} (saga_id text collate \"C\" not null, seq bigint not null, \
                     step_name text not null, action text not null, status text not null, step_id text, details text, \
                     body json, created_at timestamptz not null, primary key (saga_id, seq))"
                ),
            ],
            // The context last: what stands behind it is found only by going through all of its pages.
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => [
                format!(
                    "create table if not exists {t} (id text primary key not null, name text not null, status text not null, \
                     {}, created_at text not null, updated_at text not null, context text)",
                    OURS.map(|(name, _, kind)| format!("{name} {kind}")).join(", ")
                ),
                format!(
                    "create table if not exists {log} (saga_id text not null, seq integer not null, step_name text not null, \
                     action text not null, status text not null, step_id text, created_at text not null, details text, \
                     body text, primary key (saga_id, seq)) without rowid"
                ),
            ],
        }
    }

    /// One for each question that is asked.
    fn indexes(&self, form: &Form) -> Vec<String> {
        let (t, log) = (self.executions.quoted(), self.log.quoted());
        let name = |what: &str| name_of_index(&self.executions, what);
        let mut indexes = vec![
            format!("create index if not exists \"{}\" on {t} (due_at) where due_at is not null", name("due_idx")),
            format!("create index if not exists \"{}\" on {t} (completed_at)", name("completed_idx")),
            format!("create index if not exists \"{}\" on {t} (name, id)", name("name_idx")),
            format!(
                "create index if not exists \"{}\" on {t} (expires_at) where expires_at is not null",
                name("expiry_idx")
            ),
            format!(
                "create unique index if not exists \"{}\" on {log} (saga_id, step_id, action, status) \
                 where step_id is not null",
                name_of_index(&self.log, "step_idx")
            ),
        ];
        if form.is_foreign {
            let name = name_of_index(&self.log, "seq_idx");
            indexes.push(format!("create unique index if not exists \"{name}\" on {log} (saga_id, seq)"));
        }
        indexes
    }

    /// Adds the columns that both lack.
    fn additions(&self, found: &Found) -> Vec<String> {
        let [of_executions, of_log] = &found.lacking;
        let add = |table: &Table, ours: &[(&str, &str, &str)], lacking: &[&str]| -> Vec<String> {
            let lacks = ours.iter().filter(|(name, ..)| lacking.contains(name));
            let statement = |(name, on_postgres, on_sqlite): &(&str, &str, &str)| match found.form.dialect {
                #[cfg(feature = "postgres")]
                Dialect::Postgres => {
                    let _ = on_sqlite;
                    format!("alter table {} add column if not exists {name} {on_postgres}", table.quoted())
                }
                #[cfg(feature = "sqlite")]
                Dialect::Sqlite => {
                    let _ = on_postgres;
                    format!("alter table {} add column {name} {on_sqlite}", table.quoted())
                }
            };
            lacks.map(statement).collect()
        };
        let mut statements = add(&self.executions, &OURS, of_executions);
        statements.extend(add(&self.log, &OURS_OF_LOG, of_log));
        statements
    }

    /// Makes the rows of others complete: entries get numbers, what is under way becomes due.
    fn fills(&self, form: &Form) -> [String; 4] {
        use crate::contract::executions::record::Status;
        let (t, log) = (self.executions.quoted(), self.log.quoted());
        let (row, order) = match form.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => ("ctid", if form.log_id { "n.created_at, n.id" } else { "n.created_at" }),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => ("rowid", "n.created_at, n.rowid"),
        };
        let bytes = match form.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => "octet_length",
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => "length",
        };
        let updated = match form.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres if form.updated == TimeColumn::WithoutTimeZone => "updated_at at time zone 'UTC'",
            _ => "updated_at",
        };
        let active = form.status_in("", [Status::Running, Status::Compensating]);
        [
            format!(
                "update {log} as l set seq = s.seq from (select n.{row} as place, coalesce((select max(k.seq) from {log} k \
                 where k.saga_id = n.saga_id), 0) + row_number() over (partition by n.saga_id order by {order}) as seq \
                 from {log} n where n.seq is null) as s where l.{row} = s.place"
            ),
            format!(
                "update {t} as x set log_seq = s.seq, log_bytes = s.bytes from (select saga_id, max(seq) as seq, \
                 sum({bytes}(step_name) + coalesce({bytes}(details), 0)) as bytes from {log} group by saga_id) as s \
                 where s.saga_id = x.id and x.log_seq < s.seq"
            ),
            format!(
                "update {t} set due_at = {updated} where {active} and due_at is null and parked_at is null \
                 and last_operation is null"
            ),
            format!(
                "update {t} set completed_at = {updated} where {} and completed_at is null",
                form.status_in("", Status::TERMINAL)
            ),
        ]
    }

    /// Creates tables, columns and indexes where they are missing. The caller holds a transaction that keeps other
    /// processes from doing the same, or runs a statement at a time.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn make<E: Executor>(&self, on: &mut E) -> Result<()> {
        let dialect = Dialect::Sqlite;
        for statement in self.create(dialect) {
            on.run(&statement, &[]).await?;
        }
        let found = self.look(on, dialect).await?.ok_or_else(|| self.lost())?;
        let mut statements = self.additions(&found);
        if found.form.is_foreign {
            statements.extend(self.fills(&found.form));
        }
        statements.extend(self.indexes(&found.form));
        for statement in statements {
            on.run(&statement, &[]).await?;
        }
        Ok(())
    }

    /// Creates what is missing, and brings up to date what others have made. What this role may not do is a warning:
    /// everything else can be kept without it.
    #[cfg(feature = "postgres")]
    pub(crate) async fn make_if_allowed<E: Executor>(&self, on: &mut E) -> Result<Vec<String>> {
        let dialect = Dialect::Postgres;
        let block = |statements: Vec<String>| postgres::in_block(&self.executions, &statements);
        let cannot = |error: Error| {
            let (t, log) = (self.executions.quoted(), self.log.quoted());
            refused(error, || {
                format!("tables {t} and {log} of executions cannot be made as they should be by this role")
            })
            .map(|warning| vec![warning])
        };
        let mut found = self.look(on, dialect).await?;
        if found.is_none() {
            let mut statements: Vec<String> = postgres::schema_if_missing(&self.executions).into_iter().collect();
            statements.extend(self.create(dialect));
            if let Err(error) = on.run(&block(statements), &[]).await {
                return if is_denied(&error) { cannot(error) } else { Err(error) };
            }
            found = self.look(on, dialect).await?;
        }
        let found = found.ok_or_else(|| self.lost())?;
        let mut missing = self.additions(&found);
        let has_indexes = self.has_indexes(on, &found.form).await?;
        if found.form.is_foreign {
            if !has_indexes {
                missing.extend(new_words(&found.form));
            }
            // Also later: their software may go on writing.
            missing.extend(self.fills(&found.form));
        }
        if !has_indexes {
            missing.extend(self.indexes(&found.form));
        }
        if !missing.is_empty()
            && let Err(error) = on.run(&block(missing), &[]).await
        {
            return cannot(error);
        }
        Ok(Vec::new())
    }

    /// Whether each of our indexes is there, under its name.
    #[cfg(feature = "postgres")]
    async fn has_indexes<E: Executor>(&self, on: &mut E, form: &Form) -> Result<bool> {
        use crate::sql::Value;
        let sql = "select c.relname::text as name from pg_index i join pg_class c on c.oid = i.indexrelid \
                   where i.indisvalid and i.indrelid in (to_regclass($1::text), to_regclass($2::text))";
        let tables = [Value::Text(self.executions.quoted().into()), Value::Text(self.log.quoted().into())];
        let mut found = Vec::new();
        for cell in on.run(sql, &tables).await?.rows.into_iter().flatten() {
            found.push(cell.into_text("name")?);
        }
        let is_there =
            |statement: &String| found.iter().any(|name| statement.contains(&format!("exists \"{name}\" on")));
        Ok(self.indexes(form).iter().all(is_there))
    }

    fn lost(&self) -> Error {
        let (t, log) = (self.executions.quoted(), self.log.quoted());
        Error::new(Kind::Backend, format!("tables {t} and {log} were created and cannot be found"))
    }

    /// `initialize` has not been called.
    pub(super) fn absent(&self) -> Error {
        let (t, log) = (self.executions.quoted(), self.log.quoted());
        Error::new(Kind::Backend, format!("table {t} or {log} does not exist: call initialize() first")).unsent()
    }

    /// The tables are others', and `initialize` has not been called.
    pub(super) fn incomplete(&self, found: &Found) -> Error {
        let (t, lacking) = (self.executions.quoted(), found.lacking.concat().join(", "));
        let message = format!("table {t} or its log lacks {lacking}: call initialize() first");
        Error::new(Kind::Backend, message).unsent()
    }
}

/// Two tables as they were found.
pub(super) struct Found {
    pub(super) form: Form,
    /// The columns of ours that they lack.
    pub(super) lacking: [Vec<&'static str>; 2],
}

fn has(found: &[Column], name: &str) -> bool {
    found.iter().any(|column| column.name == name)
}

/// Names that an enum of others does not have.
#[cfg(feature = "postgres")]
fn new_words(form: &Form) -> Vec<String> {
    use crate::contract::executions::record::{Status, StepStatus};
    let add = |words: &Words, names: Vec<&str>| match words {
        Words::Enum(kind) => names
            .into_iter()
            .map(|name| format!("alter type {kind} add value if not exists '{}'", name.to_ascii_uppercase()))
            .collect(),
        _ => Vec::new(),
    };
    let mut statements: Vec<String> = add(&form.status, Status::ALL.iter().map(|status| status.name()).collect());
    statements.extend(add(&form.step_status, StepStatus::ALL.iter().map(|status| status.name()).collect()));
    statements
}
