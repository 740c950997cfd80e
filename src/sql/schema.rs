//! Tables: how they are made, and what an existing one must look like.

use super::{Cell, Dialect, Executor, Table, Value};
use crate::error::{Error, Kind, Result};

/// The type of a column that holds a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeColumn {
    /// PostgreSQL's TIMESTAMPTZ, the one that we create.
    WithTimeZone,
    /// PostgreSQL's TIMESTAMP, made by other programs: read and written as UTC.
    WithoutTimeZone,
    /// SQLite: ISO 8601 text in UTC.
    Text,
}

/// PostgreSQL's time of so many Unix milliseconds, an expression that is a bigint.
#[cfg(feature = "postgres")]
pub(super) fn at_millis(time: TimeColumn, millis: &str) -> String {
    let epoch = match time {
        TimeColumn::WithTimeZone => "timestamptz 'epoch'",
        // A column without time zone holds UTC, whatever the session's time zone is.
        TimeColumn::WithoutTimeZone | TimeColumn::Text => "timestamp 'epoch'",
    };
    format!("({epoch} + {millis} * interval '1 millisecond')")
}

/// A payload table as it was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PayloadTable {
    /// The type of `expires_at`.
    pub(crate) time: TimeColumn,
    /// Whether `expires_at` may be NULL: if not, every payload needs an expiry.
    pub(crate) expiry_optional: bool,
}

pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) not_null: bool,
    pub(super) has_default: bool,
}

/// Looks at the payload table. `None` if there is none; an error that names the columns if
/// it is not one of ours.
pub(crate) async fn inspect<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<Option<PayloadTable>> {
    let columns = columns(on, dialect, table).await?;
    if columns.is_empty() {
        return Ok(None);
    }
    let type_of =
        |name: &str| columns.iter().find(|column| column.name == name).map(|column| column.type_name.as_str());
    let mut wrong: Vec<String> = Vec::new();
    let mut expect = |name: &str, wanted: &str, fits: &dyn Fn(&str) -> bool| match type_of(name) {
        None => wrong.push(format!("{name} is missing")),
        Some(found) if !fits(found) => wrong.push(format!("{name} is {found}, expected {wanted}")),
        Some(_) => {}
    };
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => {
            expect("id", "text", &|found| ["text", "varchar", "bpchar"].contains(&found));
            expect("data", "bytea", &|found| found == "bytea");
            expect("expires_at", "timestamptz", &|found| ["timestamptz", "timestamp"].contains(&found));
        }
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => {
            let any_of =
                |found: &str, words: &[&str]| found.is_empty() || words.iter().any(|word| found.contains(word));
            expect("id", "text", &|found| any_of(found, &["text", "char"]));
            expect("data", "blob", &|found| any_of(found, &["blob"]));
            expect("expires_at", "text", &|found| any_of(found, &["text", "char", "date", "time"]));
        }
    }
    let ours = ["id", "data", "expires_at"];
    for column in columns.iter().filter(|column| !ours.contains(&column.name.as_str())) {
        if column.not_null && !column.has_default {
            wrong.push(format!("{} must have a value that this store does not write", column.name));
        }
    }
    if !wrong.is_empty() {
        return Err(Error::new(
            Kind::Backend,
            format!("table {} exists, but is not a payload table: {}", table.quoted(), wrong.join("; ")),
        ));
    }
    let expiry = columns.iter().find(|column| column.name == "expires_at");
    let time = match expiry.map(|column| column.type_name.as_str()) {
        Some("timestamptz") => TimeColumn::WithTimeZone,
        Some("timestamp") => TimeColumn::WithoutTimeZone,
        _ => TimeColumn::Text,
    };
    Ok(Some(PayloadTable { time, expiry_optional: expiry.is_some_and(|column| !column.not_null) }))
}

/// Creates the payload table and its index where they are missing. The caller holds a lock
/// or a transaction that keeps other processes from doing the same at the same time.
pub(crate) async fn create<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<()> {
    for statement in statements(dialect, table) {
        on.run(&statement, &[]).await?;
    }
    Ok(())
}

/// The statements that make the payload table and its index.
pub(super) fn statements(dialect: Dialect, table: &Table) -> Vec<String> {
    let t = table.quoted();
    let index = index_name(table);
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => vec![
            format!(
                "create table if not exists {t} (id text primary key, data bytea not null, expires_at timestamptz)"
            ),
            // Payloads are opaque, often compressed already: trying to compress them again costs more than it saves.
            format!("alter table {t} alter column data set storage external"),
            format!("create index if not exists \"{index}\" on {t} (expires_at)"),
        ],
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => vec![
            // The payload last: what stands behind it is found only by going through all of its pages. Who writes
            // without naming the columns, in the order of the other dialect, is refused.
            format!(
                "create table if not exists {t} (id text primary key not null, \
                         expires_at text check (typeof(expires_at) <> 'blob'), data blob not null)"
            ),
            format!("create index if not exists \"{index}\" on {t} (expires_at)"),
        ],
    }
}

/// The name of the index on `expires_at`.
fn index_name(table: &Table) -> String {
    name_of_index(table, "expires_at_idx")
}

/// The name of an index: at most 63 bytes, and another one for each table. `what` has at most 14.
pub(super) fn name_of_index(table: &Table, what: &str) -> String {
    let name = table.name();
    if name.len() <= 48 {
        return format!("{name}_{what}");
    }
    // Two long names may begin alike, and "create index if not exists" would skip the second.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{}_{hash:08x}_{what}", &name[..39])
}

/// What `create` would run, for an existing table: its index only.
pub(crate) async fn create_index<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<()> {
    if !has_index(on, dialect, table).await?
        && let Some(index) = statements(dialect, table).last()
    {
        on.run(index, &[]).await?;
    }
    Ok(())
}

/// Whether an index begins with `expires_at`.
pub(crate) async fn has_index<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<bool> {
    let (sql, name) = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => (
            "select 1 as found from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] \
             where i.indrelid = to_regclass($1::text) and a.attname = 'expires_at' and i.indisvalid",
            table.quoted(),
        ),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => (
            "select 1 as found from pragma_index_list($1) l join pragma_index_info(l.name) i \
             on i.seqno = 0 and i.name = 'expires_at'",
            table.name().to_owned(),
        ),
    };
    Ok(!on.run(sql, &[Value::Text(name.into())]).await?.rows.is_empty())
}

/// PostgreSQL's statements around a table that may be in use by others.
#[cfg(feature = "postgres")]
pub(crate) mod postgres {
    use super::{Cell, Dialect, Executor, Table, Value, index_name};
    use crate::contract::report::Probe;
    use crate::error::{Detail, Error, Kind, Result};

    /// What a server tells of itself and of the table.
    pub(crate) struct Server {
        /// `server_version`.
        pub(crate) version: String,
        /// Whether it only takes reads: a standby, or `default_transaction_read_only`.
        pub(crate) read_only: bool,
        /// Whether the table is there.
        pub(crate) has_table: bool,
    }

    /// What a server that takes no writes is told to be.
    const READ_ONLY: &str = "the server is read-only (in recovery, or set so): puts fail";

    impl Server {
        /// What limits it.
        pub(crate) fn warning(&self) -> Option<String> {
            self.read_only.then(|| READ_ONLY.to_owned())
        }

        /// What a health probe tells of it, for the table of this quoted name.
        pub(crate) fn probe(self, table: &str) -> Probe {
            let degraded = if !self.has_table {
                Some(format!("table {table} does not exist: call initialize()"))
            } else if self.read_only {
                self.warning()
            } else {
                None
            };
            let details = vec![("table", Detail::Text(table.to_owned()))];
            Probe { server_version: Some(self.version), degraded, details }
        }
    }

    /// Asks the server about itself.
    pub(crate) async fn server<E: Executor>(on: &mut E, table: &Table) -> Result<Server> {
        let sql = "select current_setting('server_version') as version, \
                   (pg_is_in_recovery() or current_setting('transaction_read_only') = 'on')::int as read_only, \
                   (to_regclass($1::text) is not null)::int as has_table";
        let answer = on.run(sql, &[Value::Text(table.quoted().into())]).await?;
        let mut cells = answer.rows.into_iter().flatten();
        let mut next = || cells.next().unwrap_or(Cell::Null);
        Ok(Server {
            version: next().into_text("server_version")?,
            read_only: next().into_int("read_only")? != 0,
            has_table: next().into_int("has_table")? != 0,
        })
    }

    /// Keeps other processes from creating the same table until the transaction ends.
    pub(crate) async fn lock<E: Executor>(on: &mut E, table: &Table) -> Result<()> {
        on.run("select 1 from pg_advisory_xact_lock($1::bigint)", &[Value::Int(lock_key(table))]).await.map(drop)
    }

    /// Takes the same lock for the session, if nobody holds it. Waiting in a statement would
    /// hold a snapshot, and `create index concurrently` waits for all of those.
    pub(crate) async fn try_lock_session<E: Executor>(on: &mut E, table: &Table) -> Result<bool> {
        let answer = on.run("select pg_try_advisory_lock($1::bigint)::int", &[Value::Int(lock_key(table))]).await?;
        Ok(first_int(answer.rows)? != 0)
    }

    /// Lets go of it.
    pub(crate) async fn unlock_session<E: Executor>(on: &mut E, table: &Table) -> Result<()> {
        on.run("select pg_advisory_unlock($1::bigint)::int", &[Value::Int(lock_key(table))]).await.map(drop)
    }

    /// Creates the schema if it is missing; asks for no privilege if it is there.
    pub(crate) async fn create_schema<E: Executor>(on: &mut E, schema: &str) -> Result<()> {
        let found =
            on.run("select 1 as found from pg_namespace where nspname = $1::text", &[Value::text(schema)]).await?;
        if found.rows.is_empty() {
            on.run(&format!("create schema if not exists \"{schema}\""), &[]).await?;
        }
        Ok(())
    }

    /// An error unless `id` alone is unique: without it a put cannot replace.
    pub(crate) async fn check_key<E: Executor>(on: &mut E, table: &Table) -> Result<()> {
        let sql = "select 1 as found from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] \
                   where i.indrelid = to_regclass($1::text) and a.attname = 'id' and i.indisunique and i.indisvalid \
                   and i.indimmediate and i.indnkeyatts = 1 and i.indpred is null";
        if on.run(sql, &[Value::Text(table.quoted().into())]).await?.rows.is_empty() {
            let message =
                format!("table {} exists, but has no primary key or unique index on (id) alone", table.quoted());
            return Err(Error::new(Kind::Backend, message));
        }
        Ok(())
    }

    /// Creates the index on `expires_at` while others write. Not within a transaction.
    pub(crate) async fn create_index_concurrently<E: Executor>(on: &mut E, table: &Table) -> Result<()> {
        let (name, t) = (index_name(table), table.quoted());
        // An attempt that was broken off has left an index that nobody uses.
        let sql = "select n.nspname::text from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace \
                   where i.indrelid = to_regclass($1::text) and c.relname = $2::text and not i.indisvalid";
        for row in on.run(sql, &[Value::Text(t.clone().into()), Value::text(&name)]).await?.rows {
            for cell in row {
                let schema = cell.into_text("nspname")?.replace('"', "\"\"");
                on.run(&format!("drop index concurrently if exists \"{schema}\".\"{name}\""), &[]).await?;
            }
        }
        on.run(&format!("create index concurrently if not exists \"{name}\" on {t} (expires_at)"), &[]).await.map(drop)
    }

    /// Everything that `initialize` makes, as one statement: on a client of the application the next
    /// statement may run on another connection. Who comes second waits, and finds it there.
    pub(crate) fn create_at_once(table: &Table) -> String {
        let mut statements: Vec<String> = schema_if_missing(table).into_iter().collect();
        statements.extend(super::statements(Dialect::Postgres, table));
        in_block(table, &statements)
    }

    /// The index alone, in the same way; it keeps writers waiting while it is made.
    pub(crate) fn create_index_at_once(table: &Table) -> String {
        in_block(table, &[super::statements(Dialect::Postgres, table).pop().unwrap_or_default()])
    }

    /// Makes the table's schema where it is missing; asks for no privilege where it is there.
    pub(in crate::sql) fn schema_if_missing(table: &Table) -> Option<String> {
        table.schema().map(|schema| {
            format!(
                "if not exists (select 1 from pg_namespace where nspname = '{schema}') then create schema \"{schema}\"; end if"
            )
        })
    }

    /// Statements as one: on a client of the application the next one may run on another connection.
    /// Who comes second waits, and finds it done.
    pub(in crate::sql) fn in_block(table: &Table, statements: &[String]) -> String {
        let (lock, body) = (lock_key(table), statements.join("; "));
        format!("do $sagastore$ begin perform pg_advisory_xact_lock({lock}); {body}; end $sagastore$")
    }

    /// One lock for each table name; advisory locks are per database.
    fn lock_key(table: &Table) -> i64 {
        let text = format!("sagastore:{}", table.quoted());
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        i64::from_ne_bytes(hash.to_ne_bytes())
    }

    fn first_int(rows: Vec<Vec<Cell>>) -> Result<i64> {
        rows.into_iter().flatten().next().unwrap_or(Cell::Null).into_int("answer")
    }
}

/// The columns of a table; none if there is no such table.
pub(super) async fn columns<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<Vec<Column>> {
    let (sql, name) = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => (
            // The name of a type as it is stored: format_type quotes it where quote_all_identifiers is on.
            "select a.attname::text as name, case when t.typnamespace = 'pg_catalog'::regnamespace then t.typname::text \
             else format_type(t.oid, null) end as type, a.attnotnull::int as required, \
             (a.atthasdef or a.attidentity <> '')::int as has_default \
             from pg_attribute a join pg_type t on t.oid = a.atttypid where a.attrelid = to_regclass($1::text) and a.attnum > 0 and not a.attisdropped",
            table.quoted(),
        ),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => (
            "select name, lower(type) as type, \"notnull\" as required, dflt_value is not null as has_default from pragma_table_info($1)",
            table.name().to_owned(),
        ),
    };
    let answer = on.run(sql, &[Value::Text(name.into())]).await?;
    answer
        .rows
        .into_iter()
        .map(|row| {
            let mut cells = row.into_iter();
            let mut next = || cells.next().unwrap_or(Cell::Null);
            Ok(Column {
                name: next().into_text("name")?,
                type_name: next().into_text("type")?,
                not_null: next().into_int("notnull")? != 0,
                has_default: next().into_int("default")? != 0,
            })
        })
        .collect()
}
