//! Sagas that have timed out, each given to one worker: one statement that picks and marks them.
//!
//! A lease is for one timeout: `timeout_claimed_for` says which. So an update, also one of older
//! software that knows nothing of leases, ends it by moving the timeout.

use super::{cells, found_of, number};
use crate::contract::states::{Claim, FoundState};
use crate::contract::step::Reply;
use crate::error::Result;
#[cfg(feature = "postgres")]
use crate::sql::schema::{TimeColumn, at_millis};
use crate::sql::{Cell, Dialect, Executor, Table, Value};
use crate::time::Millis;

/// The statements for one table of sagas.
#[derive(Debug)]
pub(crate) struct Claims {
    dialect: Dialect,
    /// Of any name.
    pub(crate) of_all: String,
    /// Of one name.
    pub(crate) of_name: String,
}

impl Claims {
    pub(crate) fn new(dialect: Dialect, table: &Table) -> Self {
        let statement = match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => postgres,
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => sqlite,
        };
        let t = table.quoted();
        Self { dialect, of_all: statement(&t, false), of_name: statement(&t, true) }
    }

    /// Gives sagas to a worker.
    pub(crate) async fn claim<E: Executor>(&self, on: &mut E, claim: &Claim, now: Millis) -> Result<Reply> {
        let Claim { worker, lease_ms, now: at, name, limit } = claim;
        let name = name.as_ref().map(|name| Value::text(name));
        let (at, live) = (self.dialect.time(*at), self.dialect.time(now));
        let mut values = Vec::with_capacity(7);
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                values.extend(name);
                values.extend([at, live, number(*limit), Value::text(worker), number(*lease_ms)]);
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                values.extend([Value::text(worker), self.dialect.time(now.plus(*lease_ms))]);
                values.extend(name);
                values.extend([at, live.clone(), live, number(*limit)]);
            }
        }
        let statement = if claim.name.is_some() { &self.of_name } else { &self.of_all };
        let rows = on.run(statement, &values).await?.rows;
        let mut found = rows.into_iter().map(claimed).collect::<Result<Vec<_>>>()?;
        // The statement marks them in any order.
        found.sort_by(|(one, a), (other, b)| (one, &a.name, &a.id).cmp(&(other, &b.name, &b.id)));
        Ok(Reply::States(found.into_iter().map(|(_, found)| found).collect()))
    }
}

/// Rows that another worker is just taking are not waited for. Leases are judged by the server's
/// clock, which is the same for all workers. (A CTE that is not materialized could be run again for
/// each row, and lock more than `limit`.)
#[cfg(feature = "postgres")]
fn postgres(t: &str, of_name: bool) -> String {
    let (filter, n) = if of_name { ("saga_name = $1::text and ", 2) } else { ("", 1) };
    let at = |n: u8| at_millis(TimeColumn::WithTimeZone, &format!("${n}::bigint"));
    format!(
        "with due as materialized (select saga_name, id from {t} where {filter}timeout_at <= {} and not is_completed \
         and (expires_at is null or expires_at > {}) and (timeout_claimed_until is null \
         or timeout_claimed_until <= clock_timestamp() or timeout_claimed_for is distinct from timeout_at) \
         order by timeout_at, id limit ${}::bigint for update skip locked) \
         update {t} as s set timeout_claimed_by = ${}::text, \
         timeout_claimed_until = clock_timestamp() + ${}::bigint * interval '1 millisecond', \
         timeout_claimed_for = s.timeout_at from due where s.saga_name = due.saga_name and s.id = due.id \
         returning s.saga_name, s.id, s.correlation_id, s.state::text as state, \
         to_char(s.timeout_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') as due_at",
        at(n),
        at(n + 1),
        n + 2,
        n + 3,
        n + 4
    )
}

/// One statement, so that it has the database for itself.
#[cfg(feature = "sqlite")]
fn sqlite(t: &str, of_name: bool) -> String {
    let (filter, n) = if of_name { ("saga_name = $3 and ", 4) } else { ("", 3) };
    format!(
        "update {t} set timeout_claimed_by = $1, timeout_claimed_until = $2, timeout_claimed_for = timeout_at \
         where rowid in (select rowid from {t} where {filter}timeout_at <= ${n} and not is_completed \
         and (expires_at is null or expires_at > ${}) and (timeout_claimed_until is null or timeout_claimed_until <= ${} \
         or timeout_claimed_for is not timeout_at) order by timeout_at, id limit ${}) \
         returning saga_name, id, correlation_id, state, timeout_at as due_at",
        n + 1,
        n + 2,
        n + 3
    )
}

/// A saga, behind what it is ordered by.
fn claimed(row: Vec<Cell>) -> Result<(String, FoundState)> {
    let [name, id, correlation_id, state, due] = cells(row);
    Ok((due.into_text("timeout_at")?, found_of([name, id, correlation_id, state])?))
}
