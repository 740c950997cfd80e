//! How many records there are.

use super::Place;
use crate::contract::moving::Count;
use crate::error::Result;
#[cfg(feature = "postgres")]
use crate::sql::Value;
use crate::sql::{Cell, Dialect, Executor, cells};

/// PostgreSQL counts so many; of more it is known how many there are about.
#[cfg(feature = "postgres")]
const COUNTED: i64 = 100_000;

impl Place<'_> {
    /// How many records there are.
    pub(super) async fn count<E: Executor>(&self, on: &mut E) -> Result<Count> {
        let (dialect, tables) = match self {
            Self::Payloads(sql) => (sql.dialect, vec![sql.t.clone()]),
            Self::States(sql) => (sql.dialect, vec![sql.table.quoted()]),
            Self::Executions(executions) => (executions.dialect, vec![executions.pair().executions.quoted()]),
            Self::Outbox(outbox) => (outbox.dialect, vec![outbox.t.clone(), outbox.kept.clone()]),
            Self::Inbox(inbox) => (inbox.dialect, vec![inbox.t.clone()]),
        };
        let mut all = Count { records: 0, approximate: false };
        for table in tables {
            let some = match dialect {
                #[cfg(feature = "postgres")]
                Dialect::Postgres => about(on, &table).await?,
                // An index is counted.
                #[cfg(feature = "sqlite")]
                Dialect::Sqlite => exactly(on, &table).await?,
            };
            all.records += some.records;
            all.approximate |= some.approximate;
        }
        Ok(all)
    }
}

async fn exactly<E: Executor>(on: &mut E, t: &str) -> Result<Count> {
    let answer = on.run(&format!("select count(*) as found from {t}"), &[]).await?;
    let found = answer.rows.into_iter().flatten().next().unwrap_or(Cell::Int(0)).into_int("count")?;
    Ok(Count { records: u64::try_from(found).unwrap_or_default(), approximate: false })
}

/// Where there are many: as many rows in a page as when the server has last looked, in as many pages as there are now.
#[cfg(feature = "postgres")]
async fn about<E: Executor>(on: &mut E, t: &str) -> Result<Count> {
    let sql = format!(
        "select (select count(*) from (select 1 as one from {t} limit {}) as n) as counted, (select (case \
         when c.relpages > 0 and c.reltuples > 0 then c.reltuples::float8 / c.relpages * (pg_relation_size(c.oid) \
         / current_setting('block_size')::bigint) end)::bigint from pg_class as c where c.oid = to_regclass($1::text)) as about",
        COUNTED + 1
    );
    let row = on.run(&sql, &[Value::text(t)]).await?.rows.into_iter().next().unwrap_or_default();
    let [counted, about] = cells(row);
    let counted = counted.into_int("count")?;
    if counted <= COUNTED {
        return Ok(Count { records: u64::try_from(counted).unwrap_or_default(), approximate: false });
    }
    // Nobody has looked at it yet.
    if about == Cell::Null {
        return exactly(on, t).await;
    }
    let records = u64::try_from(about.into_int("reltuples")?.max(counted)).unwrap_or_default();
    Ok(Count { records, approximate: true })
}
