//! Tables that this store alone has made: created where they are missing, checked where they are there.

use super::schema::columns;
#[cfg(feature = "postgres")]
use super::schema::postgres;
#[cfg(feature = "postgres")]
use super::states::schema::refused;
use super::{Dialect, Executor, Table};
use crate::error::{Error, Kind, Result};

/// A table, and what makes it.
pub(super) struct OwnTable {
    pub(super) table: Table,
    /// As in "not one of …".
    pub(super) what: &'static str,
    /// Columns that it must have.
    pub(super) columns: Vec<&'static str>,
    /// The statements that make it and its indexes; each can be run again.
    pub(super) statements: Vec<String>,
}

impl OwnTable {
    /// Whether it is there; an error if it is another one.
    async fn is_there<E: Executor>(&self, on: &mut E, dialect: Dialect) -> Result<bool> {
        let found = columns(on, dialect, &self.table).await?;
        if found.is_empty() {
            return Ok(false);
        }
        let lacks = |name: &&&str| found.iter().all(|column| column.name != ***name);
        let missing: Vec<&str> = self.columns.iter().filter(lacks).copied().collect();
        if missing.is_empty() {
            return Ok(true);
        }
        let (t, what, missing) = (self.table.quoted(), self.what, missing.join(", "));
        Err(Error::new(Kind::Backend, format!("table {t} exists, but is not one of {what}: it lacks {missing}")))
    }
}

/// Creates tables and indexes where they are missing. The caller holds a transaction that keeps other processes from
/// doing the same, or runs a statement at a time.
#[cfg(feature = "sqlite")]
pub(super) async fn make<E: Executor>(on: &mut E, tables: &[OwnTable]) -> Result<()> {
    for table in tables {
        table.is_there(on, Dialect::Sqlite).await?;
        for statement in &table.statements {
            on.run(statement, &[]).await?;
        }
    }
    Ok(())
}

/// Whether all of them are there; an error if one is another one.
pub(super) async fn are_there<E: Executor>(on: &mut E, dialect: Dialect, tables: &[OwnTable]) -> Result<bool> {
    let mut all = true;
    for table in tables {
        all &= table.is_there(on, dialect).await?;
    }
    Ok(all)
}

/// Creates what is missing. What this role may not do is a warning: everything else can be kept without it.
#[cfg(feature = "postgres")]
pub(super) async fn make_if_allowed<E: Executor>(on: &mut E, tables: &[OwnTable]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for own in tables {
        if own.is_there(on, Dialect::Postgres).await? && own.has_indexes(on).await? {
            continue;
        }
        let mut statements: Vec<String> = postgres::schema_if_missing(&own.table).into_iter().collect();
        statements.extend(own.statements.iter().cloned());
        if let Err(error) = on.run(&postgres::in_block(&own.table, &statements), &[]).await {
            let what =
                || format!("table {} of {} cannot be made as it should be by this role", own.table.quoted(), own.what);
            warnings.push(refused(error, what)?);
        }
    }
    Ok(warnings)
}

#[cfg(feature = "postgres")]
impl OwnTable {
    /// Whether each of our indexes is there, under its name.
    async fn has_indexes<E: Executor>(&self, on: &mut E) -> Result<bool> {
        let sql = "select c.relname::text as name from pg_index i join pg_class c on c.oid = i.indexrelid \
                   where i.indisvalid and i.indrelid = to_regclass($1::text)";
        let mut found = Vec::new();
        for cell in on.run(sql, &[super::Value::Text(self.table.quoted().into())]).await?.rows.into_iter().flatten() {
            found.push(cell.into_text("name")?);
        }
        let is_there =
            |statement: &String| found.iter().any(|name| statement.contains(&format!("exists \"{name}\" on")));
        Ok(self.statements.iter().filter(|statement| statement.contains("index if not exists")).all(is_there))
    }
}

/// Whether there is no such table, as far as can be told.
pub(super) async fn is_missing<E: Executor>(on: &mut E, dialect: Dialect, table: &Table) -> bool {
    columns(on, dialect, table).await.is_ok_and(|columns| columns.is_empty())
}
