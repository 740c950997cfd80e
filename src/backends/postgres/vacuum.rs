//! The table of events that are not sent turns over in seconds, sooner than autovacuum comes: who acknowledges events
//! has their rows removed.

use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::driver::{Postgres, TRUSTED};
use super::executor::Session;
use super::pool::{Patience, Pool};
use crate::error::{Error, Result};
use crate::runtime;
use crate::sql::{Cell, Executor, Value};

/// Events that are removed between two times that the table is cleaned.
const EVENTS: u64 = 50_000;

/// A transaction that is open for so long keeps dead rows of every table from being removed.
const OLD: i64 = 300_000;

/// What is left to do.
#[derive(Default)]
pub(super) struct Vacuum {
    removed: AtomicU64,
    /// Why it was not done.
    trouble: Mutex<Option<&'static str>>,
}

impl Vacuum {
    /// Why the table is not cleaned by the store.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Postgres {
    /// So many events were removed; beside everything else the table is cleaned at times.
    pub(super) fn removed_events(&self, count: usize) {
        let removed = self.vacuum.removed.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        if removed < EVENTS || self.vacuum.removed.swap(0, Ordering::Relaxed) < EVENTS {
            return;
        }
        let Ok(io) = runtime::io() else { return };
        let (vacuum, pool) = (Arc::clone(&self.vacuum), Arc::clone(self.pool.arc()));
        let (quoted, prepared, wait) = (Arc::clone(&self.outbox_quoted), self.prepared, self.wait);
        io.spawn(async move {
            match clean(&pool, &quoted, prepared, wait).await {
                Ok(trouble) => *vacuum.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble,
                // The next one tries again.
                Err(error) => tracing::debug!(%error, "postgres: the table of events was not cleaned"),
            }
        });
    }
}

/// Cleans the table, unless another store does; what is in the way.
async fn clean(pool: &Arc<Pool>, quoted: &Arc<str>, prepared: bool, wait: Duration) -> Result<Option<&'static str>> {
    let checkout = pool.checkout(Patience { wait, trust: TRUSTED }).await?;
    let mut on = Session::new(checkout, quoted, prepared);
    let name = Value::Text(quoted.to_string().into());
    let owner = "select (pg_has_role(c.relowner, 'usage') or current_setting('is_superuser') = 'on')::int as is_owner \
                 from pg_class as c where c.oid = to_regclass($1::text)";
    if first(&mut on, owner, slice::from_ref(&name)).await? == 0 {
        let trouble = "the role does not own the table of events, and cannot have it cleaned: only autovacuum does it, \
                       which comes late under load";
        return Ok(Some(trouble));
    }
    let key = "hashtextextended('sagastore vacuum ' || $1::text, 0)";
    // The name is quoted.
    let vacuum = format!("vacuum (truncate off) {quoted}");
    if !prepared {
        // Behind a transaction pooler there is no session to hold a lock for; who comes second waits for the first.
        on.run_alone(vacuum).await?;
    } else if first(&mut on, &format!("select pg_try_advisory_lock({key})::int as is_ours"), slice::from_ref(&name))
        .await?
        == 1
    {
        let done = on.run_alone(vacuum).await;
        on.run(&format!("select pg_advisory_unlock({key})::int as was_ours"), &[name]).await?;
        done?;
    }
    Ok(None)
}

/// How long the oldest transaction is open that keeps dead rows from being removed, in milliseconds, and what it is; none
/// where nothing does, or nothing can be seen.
pub(super) async fn held_back(on: &mut Session) -> Result<Option<(i64, String)>> {
    let sql = "select floor(extract(epoch from (clock_timestamp() - s.since)) * 1000)::bigint as ms, s.who as who from (\
               select xact_start as since, 'the transaction of process ' || pid || coalesce(' (' || nullif(application_name, '') || ')', '') as who \
               from pg_stat_activity where backend_xmin is not null and backend_type = 'client backend' and pid <> pg_backend_pid() \
               union all select prepared, 'the prepared transaction ' || gid from pg_prepared_xacts) as s \
               where s.since is not null order by s.since limit 1";
    let Some(row) = on.run(sql, &[]).await?.rows.into_iter().next() else { return Ok(None) };
    let [ms, who] = crate::sql::cells(row);
    Ok(Some((ms.into_int("ms")?, who.into_text("who")?)))
}

/// What `health()` says of a transaction that is open for so long.
pub(super) fn warning(ms: i64, who: &str) -> Option<String> {
    (ms >= OLD).then(|| {
        format!(
            "{who} is open for {} seconds: until it ends, no dead rows are removed, and the outbox grows",
            ms / 1_000
        )
    })
}

async fn first(on: &mut Session, sql: &str, values: &[Value<'_>]) -> Result<i64> {
    let row = on.run(sql, values).await?.rows.into_iter().next();
    row.and_then(|row| row.into_iter().next()).unwrap_or(Cell::Int(0)).into_int("answer").map_err(Error::unsent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_told_of_when_it_is_open_for_long() {
        assert_eq!(warning(OLD - 1, "the transaction of process 7"), None);
        let text = warning(OLD, "the transaction of process 7").unwrap();
        assert!(text.starts_with("the transaction of process 7 is open for 300 seconds"), "{text}");
    }
}
