//! Executions that are removed together, with their logs.

use super::ExecutionSql;
use crate::contract::executions::record::Status;
use crate::error::Result;
#[cfg(feature = "postgres")]
use crate::sql::Cell;
use crate::sql::query::Query;
use crate::sql::schema::TimeColumn;
use crate::sql::{Dialect, Executor};
use crate::time::Millis;

/// Which are removed.
#[derive(Clone, Copy, Debug)]
enum Over<'a> {
    /// Those that ended before a time, of these statuses, and whose time is not over now.
    Ended(Millis, &'a [Status], Millis),
    /// Those whose time is over.
    Expired(Millis),
}

impl ExecutionSql {
    /// Removes at most `limit` of those that ended before a time.
    pub(super) async fn clean_up<E: Executor>(
        &self,
        on: &mut E,
        before: Millis,
        statuses: &[Status],
        limit: u64,
        now: Millis,
    ) -> Result<u64> {
        self.remove(on, Over::Ended(before, statuses, now), limit).await
    }

    /// Removes at most `limit` of those whose time was over at `now`.
    pub(super) async fn purge_expired<E: Executor>(&self, on: &mut E, now: Millis, limit: u64) -> Result<u64> {
        self.remove(on, Over::Expired(now), limit).await
    }

    fn over(&self, query: &mut Query<'_>, over: Over<'_>, limit: u64) {
        let (column, at) = match over {
            Over::Ended(before, statuses, now) => {
                query.push(&format!("{} and ", self.form.status_in("", statuses.iter().copied())));
                self.live(query, "", now);
                query.push(" and completed_at < ");
                ("completed_at", before)
            }
            Over::Expired(now) => {
                query.push("expires_at <= ");
                ("expires_at", now)
            }
        };
        let at = query.placeholder(self.form.time(at));
        query.push(&self.form.at(TimeColumn::WithTimeZone, &at));
        query.push(&format!(" order by {column} limit "));
        query.int(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    async fn remove<E: Executor>(&self, on: &mut E, over: Over<'_>, limit: u64) -> Result<u64> {
        let (t, log, dialect) = (&self.t, &self.log, self.form.dialect);
        match dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                let mut query =
                    Query::new(dialect, format!("delete from {log} where saga_id in (select id from {t} where "));
                self.over(&mut query, over, limit);
                query.push(")");
                query.run(on).await?;
                let mut query = Query::new(dialect, format!("delete from {t} where id in (select id from {t} where "));
                self.over(&mut query, over, limit);
                query.push(")");
                Ok(query.run(on).await?.affected)
            }
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let mut query = Query::new(dialect, format!("with gone as materialized (select id from {t} where "));
                self.over(&mut query, over, limit);
                query.push(&format!(
                    " for update skip locked), removed as (delete from {t} as x using gone where x.id = gone.id \
                     returning x.id, x.log_seq), entries as (delete from {log} as l using removed \
                     where l.saga_id = removed.id returning l.saga_id) \
                     select removed.id::text as id, (select count(*) from entries where saga_id = removed.id)::bigint as found, \
                     removed.log_seq as log_seq from removed"
                ));
                let rows = query.run(on).await?.rows;
                let (count, mut left) = (rows.len() as u64, Vec::new());
                for row in rows {
                    let mut cells = row.into_iter();
                    let mut next = || cells.next().unwrap_or(Cell::Null);
                    let (id, found, seq) =
                        (next().into_text("id")?, next().into_int("count")?, next().into_int("log_seq")?);
                    if found < seq {
                        left.push(id);
                    }
                }
                self.remove_left(on, &left).await?;
                Ok(count)
            }
        }
    }

    /// Removes entries that were stored while their execution was being removed: the statement that did that has not
    /// seen them.
    #[cfg(feature = "postgres")]
    pub(super) async fn remove_left<E: Executor>(&self, on: &mut E, ids: &[String]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let (t, log) = (&self.t, &self.log);
        let mut query = Query::new(self.form.dialect, format!("delete from {log} as l where l.saga_id in "));
        query.among(ids, self.form.id_cast());
        query.push(&format!(" and not exists (select 1 from {t} as x where x.id = l.saga_id)"));
        query.run(on).await.map(drop)
    }
}
