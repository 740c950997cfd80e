//! The table of sagas: made, brought up to date, checked. Every statement can be run again, by
//! whoever else does the same at the same time.

#[cfg(feature = "postgres")]
use super::upkeep::{self, Kept};
use crate::error::Detail;
use crate::error::{Error, Kind, Result};
#[cfg(feature = "postgres")]
use crate::sql::schema::postgres;
use crate::sql::schema::{Column, columns, name_of_index};
use crate::sql::{Dialect, Executor, Table, Value};

/// Columns that others who keep sagas in such a table do not have.
const OURS: [&str; 6] =
    ["completed_at", "timeout_at", "expires_at", "timeout_claimed_by", "timeout_claimed_until", "timeout_claimed_for"];

/// Columns that a table must have to be one of sagas.
const REQUIRED: [&str; 8] =
    ["id", "saga_name", "correlation_id", "version", "is_completed", "state", "created_at", "updated_at"];

/// The statements that make a store's tables where there are none, for people who run their own
/// migrations.
pub(crate) fn all_statements(dialect: Dialect, payloads: &Table, states: &Table) -> Vec<String> {
    let mut all: Vec<String> =
        payloads.schema().map(|schema| format!("create schema if not exists \"{schema}\"")).into_iter().collect();
    all.extend(crate::sql::schema::statements(dialect, payloads));
    all.extend(statements(dialect, states));
    all
}

/// The statements that make the table and its indexes, or bring one up to date that others have made.
fn statements(dialect: Dialect, table: &Table) -> Vec<String> {
    let mut statements = vec![create(dialect, table)];
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => {
            let block = |statement: String| format!("do $sagastore$ begin {statement}; end $sagastore$");
            statements.extend(OURS.iter().map(|name| add(dialect, table, name)));
            statements.push(block(upkeep::widen(table)));
            let [function, trigger] = upkeep::keeper(table, true);
            statements.extend([function, block(trigger), upkeep::fill_at_once(table)]);
        }
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => {}
    }
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
             completed_at timestamptz, timeout_at timestamptz, expires_at timestamptz, timeout_claimed_by text, \
             timeout_claimed_until timestamptz, timeout_claimed_for timestamptz, primary key (saga_name, id)) \
             with (fillfactor = 85)"
        ),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => format!(
            "create table if not exists {t} (id text not null, saga_name text not null, correlation_id text not null, \
             version integer not null, is_completed integer not null default 0, created_at text not null, \
             updated_at text not null, completed_at text, timeout_at text, expires_at text, timeout_claimed_by text, \
             timeout_claimed_until text, timeout_claimed_for text, state text not null, \
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

/// Adds a column of ours to a table that others have made.
fn add(dialect: Dialect, table: &Table, name: &str) -> String {
    let t = table.quoted();
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => {
            let kind = if name == "timeout_claimed_by" { "text" } else { "timestamptz" };
            format!("alter table {t} add column if not exists {name} {kind}")
        }
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => format!("alter table {t} add column {name} text"),
    }
}

/// The columns of ours that a table lacks.
fn lacking(found: &[String]) -> Vec<&'static str> {
    OURS.into_iter().filter(|name| !found.iter().any(|column| column == name)).collect()
}

/// Creates the table, its columns and its indexes where they are missing, and checks that ids are
/// unique in it. The caller holds a transaction that keeps other processes from doing the same, or
/// runs a statement at a time.
#[cfg(feature = "sqlite")]
pub(crate) async fn make<E: Executor>(on: &mut E, table: &Table) -> Result<()> {
    let (dialect, t) = (Dialect::Sqlite, table.quoted());
    let found = names(on, dialect, table).await?;
    if found.is_empty() {
        for statement in statements(dialect, table) {
            on.run(&statement, &[]).await?;
        }
        return Ok(());
    }
    check_columns(&found, table)?;
    let lacking = lacking(&found);
    for name in &lacking {
        on.run(&add(dialect, table, name), &[]).await?;
    }
    if lacking.contains(&"completed_at") {
        let fill = format!("update {t} set completed_at = updated_at where is_completed and completed_at is null");
        on.run(&fill, &[]).await?;
    }
    if lacking.contains(&"timeout_at") {
        let due = "case when json_valid(state) then json_extract(state, '$.metadata.timeoutExpiresAt') end";
        let form = "????-??-??T??:??:??.???Z".replace('?', "[0-9]");
        let fill = format!("update {t} set timeout_at = {due} where not is_completed and {due} glob '{form}'");
        on.run(&fill, &[]).await?;
    }
    if !has_indexes(on, dialect, table).await? {
        for statement in indexes(table) {
            on.run(&statement, &[]).await?;
        }
    }
    check_unique(on, dialect, table).await
}

/// Whether there is nothing to be made. `None`: there is no table.
#[cfg(feature = "sqlite")]
pub(crate) async fn is_ready<E: Executor>(on: &mut E, table: &Table) -> Result<Option<bool>> {
    let found = names(on, Dialect::Sqlite, table).await?;
    if found.is_empty() {
        return Ok(None);
    }
    check_columns(&found, table)?;
    Ok(Some(lacking(&found).is_empty() && has_indexes(on, Dialect::Sqlite, table).await?))
}

/// Creates what is missing, and brings up to date what others have made. What this role may not do is
/// a warning: payloads can be kept without it.
#[cfg(feature = "postgres")]
pub(crate) async fn make_if_allowed<E: Executor>(on: &mut E, table: &Table) -> Result<Vec<String>> {
    let (dialect, t) = (Dialect::Postgres, table.quoted());
    let mut warnings = Vec::new();
    let found = columns(on, dialect, table).await?;
    let missing = missing(on, table, &found).await?;
    let missing_columns = ["completed_at", "timeout_at"].iter().any(|name| found.iter().all(|one| one.name != **name));
    if !missing.is_empty()
        && let Err(error) = in_block(on, table, &structure(table)).await
    {
        if !is_denied(&error) {
            return Err(error);
        }
        warnings.push(if found.is_empty() {
            format!(
                "table {t} of sagas cannot be made by this role ({error}): until it is made there is no saga state; \
                 schemaSql() prints the statements"
            )
        } else {
            format!(
                "table {t} of sagas lacks {}, and this role may not make it ({error}): until then there is no saga \
                 state, or not all of it; schemaSql() prints the statements",
                missing.join(", ")
            )
        });
        if missing_columns {
            return Ok(warnings);
        }
    }
    if found.iter().any(is_limited)
        && let Err(error) = in_block(on, table, &[upkeep::widen(table)]).await
    {
        let limited: Vec<&str> = found.iter().filter(|column| is_limited(column)).map(|c| &*c.name).collect();
        warnings.push(refused(error, || format!("{} of table {t} take no 512 bytes", limited.join(", ")))?);
    }
    warnings.extend(keep_up(on, table, found.is_empty()).await?);
    check_unique(on, dialect, table).await?;
    Ok(warnings)
}

/// Has the table kept right whoever writes to it; `is_new`: there are no rows yet.
#[cfg(feature = "postgres")]
async fn keep_up<E: Executor>(on: &mut E, table: &Table, is_new: bool) -> Result<Option<String>> {
    if upkeep::look(on, table).await? == Kept::Wholly {
        return Ok(None);
    }
    let mut warning = None;
    if let Err(error) = in_block(on, table, &upkeep::keeper(table, is_new)).await {
        let what = || {
            let t = table.quoted();
            format!("table {t} has no trigger that notes ends and timeouts of sagas that other software writes")
        };
        warning = Some(refused(error, what)?);
    }
    let filled = match upkeep::fill(on, table).await {
        Ok(()) if warning.is_none() => in_block(on, table, &[upkeep::filled(table)]).await,
        filled => filled,
    };
    if let Err(error) = filled
        && warning.is_none()
    {
        let what =
            || format!("sagas that other software has written to table {} are not brought up to date", table.quoted());
        warning = Some(refused(error, what)?);
    }
    Ok(warning)
}

/// The warning of what the server refuses, and would refuse the next time as well.
#[cfg(feature = "postgres")]
pub(crate) fn refused(error: Error, what: impl FnOnce() -> String) -> Result<String> {
    if !is_denied(&error) && (error.kind() != Kind::Backend || error.is_retryable()) {
        return Err(error);
    }
    Ok(format!("{} ({error}); schemaSql() prints the statements", what()))
}

/// The role may not, or the server takes no writes.
#[cfg(feature = "postgres")]
pub(crate) fn is_denied(error: &Error) -> bool {
    let denies = |detail: &Detail| matches!(detail, Detail::Text(code) if ["42501", "25006"].contains(&&**code));
    error.details().iter().any(|(name, detail)| *name == "sqlState" && denies(detail))
}

/// Whether ids are limited by a column.
#[cfg(feature = "postgres")]
fn is_limited(column: &Column) -> bool {
    upkeep::TEXTS.contains(&&*column.name) && column.type_name != "text"
}

/// What a table lacks, in words.
#[cfg(feature = "postgres")]
async fn missing<E: Executor>(on: &mut E, table: &Table, found: &[Column]) -> Result<Vec<String>> {
    if found.is_empty() {
        return Ok(vec![String::from("everything")]);
    }
    let found: Vec<String> = found.iter().map(|column| column.name.clone()).collect();
    check_columns(&found, table)?;
    let mut missing: Vec<String> = lacking(&found).iter().map(|name| format!("column {name}")).collect();
    if !has_indexes(on, Dialect::Postgres, table).await? {
        missing.push(String::from("some of the indexes"));
    }
    Ok(missing)
}

/// Table, columns and indexes.
#[cfg(feature = "postgres")]
fn structure(table: &Table) -> Vec<String> {
    let dialect = Dialect::Postgres;
    let mut statements: Vec<String> = postgres::schema_if_missing(table).into_iter().collect();
    statements.push(create(dialect, table));
    statements.extend(OURS.iter().map(|name| add(dialect, table, name)));
    statements.extend(indexes(table));
    statements
}

/// Runs statements as one.
#[cfg(feature = "postgres")]
async fn in_block<E: Executor>(on: &mut E, table: &Table, statements: &[String]) -> Result<()> {
    on.run(&postgres::in_block(table, statements), &[]).await.map(drop)
}

/// An error if the table is there, and is another one.
pub(crate) async fn check<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> Result<()> {
    let found = names(on, dialect, table).await?;
    if found.is_empty() { Ok(()) } else { check_columns(&found, table) }
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
