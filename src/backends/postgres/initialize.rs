//! Tables: creates what is missing, checks what is there, and touches nothing else.

use std::time::Duration;

use super::executor::Session;
use crate::contract::capability::Isolation;
use crate::error::{Error, Kind, Result};
use crate::sql::schema::postgres::{
    check_key, create_index_concurrently, create_schema, lock, try_lock_session, unlock_session,
};
use crate::sql::schema::{PayloadTable, create, create_index, has_index, inspect};
use crate::sql::{Dialect, Table};

const DIALECT: Dialect = Dialect::Postgres;

/// Makes the payload table usable. Answers what it looks like, and warnings.
pub(super) async fn initialize(on: &mut Session, table: &Table, prepared: bool) -> Result<(PayloadTable, Vec<String>)> {
    let found = match inspect(on, DIALECT, table).await? {
        Some(found) => found,
        None => create_table(on, table).await?,
    };
    check_key(on, table).await?;
    let mut warnings = Vec::new();
    if !has_index(on, DIALECT, table).await?
        && let Err(error) = add_index(on, table, prepared).await
    {
        if error.is_retryable() || error.kind() == Kind::Connection {
            return Err(error);
        }
        warnings.push(format!(
            "table {} has no index on expires_at, and none can be made ({error}): cleanup() reads the whole table",
            table.quoted()
        ));
    }
    if !found.expiry_optional {
        warnings.push(format!(
            "expires_at of table {} is NOT NULL: payloads without an expiry are refused",
            table.quoted()
        ));
    }
    Ok((found, warnings))
}

/// One transaction; who comes second finds the table there.
async fn create_table(on: &mut Session, table: &Table) -> Result<PayloadTable> {
    on.begin(Isolation::ReadCommitted).await?;
    let created = async {
        lock(on, table).await?;
        if let Some(found) = inspect(on, DIALECT, table).await? {
            return Ok(found);
        }
        if let Some(schema) = table.schema() {
            create_schema(on, schema).await?;
        }
        create(on, DIALECT, table).await?;
        let found = inspect(on, DIALECT, table).await?;
        found.ok_or_else(|| {
            Error::new(Kind::Backend, format!("table {} was created and cannot be found", table.quoted()))
        })
    }
    .await;
    match created {
        Ok(found) => on.commit().await.map(|()| found),
        Err(error) => {
            on.roll_back().await;
            Err(error)
        }
    }
}

/// Adds the index to a table that others may be using: their writes go on.
async fn add_index(on: &mut Session, table: &Table, prepared: bool) -> Result<()> {
    if !prepared {
        // Behind a transaction pooler there is no session to hold a lock for.
        on.begin(Isolation::ReadCommitted).await?;
        let made = async {
            lock(on, table).await?;
            create_index(on, DIALECT, table).await
        }
        .await;
        if made.is_err() {
            on.roll_back().await;
            return made;
        }
        return on.commit().await;
    }
    while !try_lock_session(on, table).await? {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let made = match has_index(on, DIALECT, table).await {
        Ok(true) => Ok(()),
        Ok(false) => create_index_concurrently(on, table).await,
        Err(error) => Err(error),
    };
    unlock_session(on, table).await?;
    made
}
