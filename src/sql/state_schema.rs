//! The table of sagas: made, brought up to date, checked. Every statement can be run again, by
//! whoever else does the same at the same time.

use super::schema::{columns, name_of_index};
use super::{Dialect, Executor, Table, Value};
use crate::error::{Detail, Error, Kind, Result};

/// Columns that others who keep sagas in such a table do not have.
const OURS: [&str; 3] = ["completed_at", "timeout_at", "expires_at"];

/// Columns that a table must have to be one of sagas.
const REQUIRED: [&str; 8] =
    ["id", "saga_name", "correlation_id", "version", "is_completed", "state", "created_at", "updated_at"];

/// The statements that make a store's tables where there are none, for people who run their own
/// migrations.
pub(crate) fn all_statements(dialect: Dialect, payloads: &Table, states: &Table) -> Vec<String> {
    let mut all: Vec<String> =
        payloads.schema().map(|schema| format!("create schema if not exists \"{schema}\"")).into_iter().collect();
    all.extend(super::schema::statements(dialect, payloads));
    all.extend(statements(dialect, states));
    all
}

/// The statements that make the table and its indexes.
fn statements(dialect: Dialect, table: &Table) -> Vec<String> {
    let mut statements = vec![create(dialect, table)];
    statements.extend(indexes(table));
    statements
}

fn create(dialect: Dialect, table: &Table) -> String {
    let t = table.quoted();
    match dialect {
        // Updates change no indexed column unless a saga times out or ends: with room in the page they
        // leave the indexes alone (HOT). Ids are compared by their bytes, as everywhere else.
        #[cfg(feature = "postgres")]
        Dialect::Postgres => format!(
            "create table if not exists {t} (id text collate \"C\" not null, saga_name text collate \"C\" not null, \
             correlation_id text collate \"C\" not null, version bigint not null, is_completed boolean not null default false, \
             state jsonb not null, created_at timestamptz not null, updated_at timestamptz not null, \
             completed_at timestamptz, timeout_at timestamptz, expires_at timestamptz, primary key (saga_name, id)) \
             with (fillfactor = 85)"
        ),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => format!(
            "create table if not exists {t} (id text not null, saga_name text not null, correlation_id text not null, \
             version integer not null, is_completed integer not null default 0, created_at text not null, \
             updated_at text not null, completed_at text, timeout_at text, expires_at text, state text not null, \
             primary key (saga_name, id))"
        ),
    }
}

/// One for each question that is asked.
fn indexes(table: &Table) -> [String; 5] {
    let (t, name) = (table.quoted(), |what: &str| name_of_index(table, what));
    [
        format!("create unique index if not exists \"{}\" on {t} (saga_name, correlation_id)", name("correlation")),
        format!("create index if not exists \"{}\" on {t} (saga_name, is_completed, id)", name("listing_idx")),
        format!(
            "create index if not exists \"{}\" on {t} (saga_name, completed_at) where completed_at is not null",
            name("completed_idx")
        ),
        format!(
            "create index if not exists \"{}\" on {t} (timeout_at) where timeout_at is not null",
            name("timeout_idx")
        ),
        format!(
            "create index if not exists \"{}\" on {t} (expires_at) where expires_at is not null",
            name("expiry_idx")
        ),
    ]
}

/// What is missing in a table that others have made.
fn additions(dialect: Dialect, table: &Table, found: &[String]) -> Vec<String> {
    let t = table.quoted();
    let kind = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => "timestamptz",
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => "text",
    };
    let lacks = |name: &&&str| !found.iter().any(|column| column == **name);
    let lacking: Vec<&str> = OURS.iter().filter(lacks).copied().collect();
    let mut statements: Vec<String> = lacking
        .iter()
        .map(|name| match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => format!("alter table {t} add column if not exists {name} {kind}"),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => format!("alter table {t} add column {name} {kind}"),
        })
        .collect();
    if lacking.contains(&"completed_at") {
        statements
            .push(format!("update {t} set completed_at = updated_at where is_completed and completed_at is null"));
    }
    statements
}

/// Creates the table, its columns and its indexes where they are missing, and checks that ids are
/// unique in it. The caller holds a lock or a transaction that keeps other processes from doing the
/// same, or runs a statement at a time on SQLite.
pub(crate) async fn make<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<()> {
    let found = names(on, dialect, table).await?;
    if found.is_empty() {
        for statement in statements(dialect, table) {
            on.run(&statement, &[]).await?;
        }
        return Ok(());
    }
    check_columns(&found, table)?;
    for statement in additions(dialect, table, &found) {
        on.run(&statement, &[]).await?;
    }
    if !has_indexes(on, dialect, table).await? {
        for statement in indexes(table) {
            on.run(&statement, &[]).await?;
        }
    }
    check_unique(on, dialect, table).await
}

/// Whether there is nothing to be made. `None`: there is no table.
pub(crate) async fn is_ready<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<Option<bool>> {
    let found = names(on, dialect, table).await?;
    if found.is_empty() {
        return Ok(None);
    }
    check_columns(&found, table)?;
    let complete = OURS.iter().all(|name| found.iter().any(|column| column == name));
    Ok(Some(complete && has_indexes(on, dialect, table).await?))
}

/// The same as [`make`], for whom may. Who may not is warned: payloads can be kept without it.
#[cfg(feature = "postgres")]
pub(crate) async fn make_if_allowed<E: Executor>(on: &mut E, table: &Table) -> Result<Option<String>> {
    let denied = ("sqlState", Detail::Text(String::from("42501")));
    match make_at_once(on, table).await {
        Err(error) if error.details().contains(&denied) => Ok(Some(format!(
            "table {} of sagas cannot be made or completed ({error}): without it there is no saga state; schemaSql() \
             prints the statements",
            table.quoted()
        ))),
        made => made.map(|()| None),
    }
}

/// As one statement: on a client of the application the next statement may run on another connection.
/// Who comes second waits, and finds it there.
#[cfg(feature = "postgres")]
async fn make_at_once<E: Executor>(on: &mut E, table: &Table) -> Result<()> {
    let dialect = Dialect::Postgres;
    if is_ready(on, dialect, table).await? != Some(true) {
        let mut body = format!("perform pg_advisory_xact_lock({});", super::schema::postgres::lock_key(table));
        if let Some(schema) = table.schema() {
            // Asks for no privilege if the schema is there.
            body.push_str(" if not exists (select 1 from pg_namespace where nspname = '");
            body.push_str(schema);
            body.push_str("') then create schema \"");
            body.push_str(schema);
            body.push_str("\"; end if;");
        }
        let statements =
            [create(dialect, table)].into_iter().chain(additions(dialect, table, &[])).chain(indexes(table));
        for statement in statements {
            body.push(' ');
            body.push_str(&statement);
            body.push(';');
        }
        on.run(&format!("do $sagastore$ begin {body} end $sagastore$"), &[]).await?;
    }
    check_unique(on, dialect, table).await
}

async fn names<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<Vec<String>> {
    Ok(columns(on, dialect, table).await?.into_iter().map(|column| column.name).collect())
}

fn check_columns(found: &[String], table: &Table) -> Result<()> {
    let missing: Vec<&str> = REQUIRED.into_iter().filter(|name| !found.iter().any(|column| column == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("table {} exists, but is not one of sagas: it lacks {}", table.quoted(), missing.join(", "));
    Err(Error::new(Kind::Backend, message))
}

/// Whether each of our indexes is there, under its name.
async fn has_indexes<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<bool> {
    let found = indexed(on, dialect, table).await?;
    let wanted = ["listing_idx", "completed_idx", "timeout_idx", "expiry_idx"].map(|what| name_of_index(table, what));
    Ok(wanted.iter().all(|name| found.iter().any(|(known, ..)| known == name)) && is_unique(&found))
}

async fn check_unique<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<()> {
    if is_unique(&indexed(on, dialect, table).await?) {
        return Ok(());
    }
    let message = format!(
        "table {} exists, but (saga_name, id) or (saga_name, correlation_id) is not unique in it",
        table.quoted()
    );
    Err(Error::new(Kind::Backend, message))
}

/// An index: its name, whether it makes unique, its columns.
type Index = (String, bool, String);

fn is_unique(found: &[Index]) -> bool {
    let has = |a: &str, b: &str| {
        let is = |columns: &str| columns == format!("{a},{b}") || columns == format!("{b},{a}");
        found.iter().any(|(_, unique, columns)| *unique && is(columns))
    };
    has("saga_name", "id") && has("saga_name", "correlation_id")
}

async fn indexed<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<Vec<Index>> {
    let (sql, name) = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => (
            "select c.relname::text as name, (i.indisunique and i.indisvalid and i.indpred is null)::int as is_unique, \
             (select string_agg(a.attname::text, ',' order by k.place) from unnest(i.indkey) with ordinality as k(number, place) \
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number where k.place <= i.indnkeyatts) as columns \
             from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = to_regclass($1::text)",
            table.quoted(),
        ),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => (
            "select l.name as name, (l.\"unique\" and not l.partial) as is_unique, \
             (select group_concat(name) from pragma_index_info(l.name)) as columns from pragma_index_list($1) l",
            table.name().to_owned(),
        ),
    };
    let rows = on.run(sql, &[Value::Text(name.into())]).await?.rows;
    let index = |row: Vec<super::Cell>| {
        let [name, unique, columns] = <[super::Cell; 3]>::try_from(row)
            .map_err(|_| Error::new(Kind::Backend, "the database describes its indexes in another way"))?;
        Ok((name.into_text("name")?, unique.into_int("unique")? != 0, columns.into_text("columns").unwrap_or_default()))
    };
    rows.into_iter().map(index).collect()
}
