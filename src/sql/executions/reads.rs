//! Questions about executions, for both dialects.

use super::ExecutionSql;
use super::form::{Form, optional_text};
use crate::contract::executions::record::{
    Action, Counts, Entry, Execution, Logged, Page, Shows, Status, StepStatus, missing,
};
use crate::contract::executions::{ExecutionRead, Filter, Order};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::query::Query;
#[cfg(feature = "postgres")]
use crate::sql::schema::TimeColumn;
use crate::sql::{Cell, Dialect, Executor};
use crate::time::Millis;

impl ExecutionSql {
    /// Answers a question.
    pub(super) async fn read<E: Executor>(&self, on: &mut E, read: &ExecutionRead, now: Millis) -> Result<Reply> {
        match read {
            ExecutionRead::Load { id, for_update } => {
                let found = self.stored(on, id, *for_update, now).await?;
                let living = found.filter(|(execution, now)| execution.lives_at(*now));
                Ok(Reply::execution(living.map(|(execution, _)| execution), Shows::Context))
            }
            ExecutionRead::History { id, after, limit, max_bytes, reverse } => {
                self.history(on, id, *after, *limit, *max_bytes, *reverse, now).await
            }
            ExecutionRead::List { filter, order, after, limit } => {
                self.list(on, filter, *order, after.as_ref(), *limit, now).await
            }
            ExecutionRead::Count { filter } => self.count(on, filter, now).await,
            ExecutionRead::Recoverable { limit, max_attempts, stale_after_ms, name } => {
                self.recoverable(on, *limit, *max_attempts, *stale_after_ms, name.as_deref(), now).await
            }
            ExecutionRead::Statistics => self.statistics(on, now).await,
        }
    }

    /// Goes on with: its time is not over.
    pub(super) fn live(&self, query: &mut Query<'_>, row: &str, now: Millis) {
        match query.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let _ = now;
                query.push(&format!("({row}expires_at is null or {row}expires_at > clock_timestamp())"));
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                query.push(&format!("({row}expires_at is null or {row}expires_at > "));
                query.bind(self.form.time(now), "");
                query.push(")");
            }
        }
    }

    /// Goes on with: nobody has changed it for so many milliseconds.
    pub(super) fn stale(&self, query: &mut Query<'_>, stale_after_ms: u64, now: Millis) {
        // The one is the caller's clock, the other may be the server's: without a pause they are not compared.
        if stale_after_ms == 0 {
            return query.push("true");
        }
        let stale = i64::try_from(stale_after_ms).unwrap_or(i64::MAX);
        match query.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let _ = now;
                let clock = if self.form.updated == TimeColumn::WithoutTimeZone {
                    "(select clock_timestamp() at time zone 'UTC')"
                } else {
                    "(select clock_timestamp())"
                };
                query.push(&format!("updated_at <= {clock} - "));
                // A thousand years are always long enough.
                query.int(stale.min(31_536_000_000_000));
                query.push(" * interval '1 millisecond'");
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                query.push("updated_at <= ");
                query.bind(self.form.time(Millis(now.0.saturating_sub(stale))), "");
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // As many as the question has.
    async fn history<E: Executor>(
        &self,
        on: &mut E,
        id: &str,
        after: Option<i64>,
        limit: u64,
        max_bytes: u64,
        reverse: bool,
        now: Millis,
    ) -> Result<Reply> {
        let form = &self.form;
        let (text, sizes) = match form.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => ("::text", ["octet_length(l.details)", "octet_length(l.body::text)"]),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => ("", ["length(cast(l.details as blob))", "length(cast(l.body as blob))"]),
        };
        let [details, body] = sizes;
        // What lies behind the byte limit does not travel, but for one entry, which tells that there is more.
        let columns = format!(
            "l.seq as seq, l.step_name{text} as step_name, l.action{text} as action, {} as status, l.step_id as step_id, \
             l.details{text} as details, l.body{text} as body, {} as at",
            Form::named(&form.step_status, "l.status"),
            form.time_of("l.created_at")
        );
        let order = if reverse { "desc" } else { "asc" };
        let mut query = Query::new(
            form.dialect,
            format!(
                "select seq, step_name, action, status, step_id, details, body, at from (select {columns}, \
                 sum(coalesce({details}, 0) + coalesce({body}, 0)) over (order by l.seq {order} rows between unbounded \
                 preceding and 2 preceding) as before from {} l join {} x on x.id = l.saga_id where l.saga_id = ",
                self.log, self.t
            ),
        );
        query.bind(form.id_value(id)?, form.id_cast());
        query.push(" and l.seq <= x.log_seq and ");
        self.live(&mut query, "x.", now);
        if let Some(after) = after {
            query.push(if reverse { " and l.seq < " } else { " and l.seq > " });
            query.int(after);
        }
        query.push(&format!(" order by l.seq {order} limit "));
        query.int(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
        query.push(") as page where before is null or before <= ");
        query.int(i64::try_from(max_bytes).unwrap_or(i64::MAX));
        query.push(&format!(" order by seq {order}"));
        let rows = query.run(on).await?.rows;
        if rows.is_empty() {
            let found = self.stored(on, id, false, now).await?;
            if !found.is_some_and(|(execution, now)| execution.lives_at(now)) {
                return Err(missing(id));
            }
        }
        let logged = rows.into_iter().map(|row| self.logged(row)).collect::<Result<Vec<_>>>();
        let page = Page::of(logged.map_err(|error| error.with_id(id))?, limit, max_bytes);
        Ok(Reply::Value(page.into_dynamic()))
    }

    pub(in crate::sql) fn logged(&self, row: Vec<Cell>) -> Result<Logged> {
        let mut cells = row.into_iter();
        let mut next = || cells.next().unwrap_or(Cell::Null);
        Ok(Logged {
            seq: next().into_int("seq")?,
            entry: Entry {
                step: next().into_text("step_name")?.into(),
                action: Action::stored(&next().into_text("action")?)?,
                status: StepStatus::stored(&next().into_text("status")?)?,
                step_id: optional_text(next(), "step_id")?,
                details: optional_text(next(), "details")?,
                body: optional_text(next(), "body")?,
            },
            at: self.form.needed_time(next(), "created_at")?,
        })
    }

    fn filter<'a>(&self, query: &mut Query<'a>, filter: &'a Filter, now: Millis) {
        let Filter { name, status, tag, parked } = filter;
        self.live(query, "", now);
        if let Some(name) = name {
            query.push(" and name = ");
            query.text(name);
        }
        if let Some(status) = status {
            query.push(&format!(" and {}", self.form.status_in("", [*status])));
        }
        if let Some(tag) = tag {
            match query.dialect {
                #[cfg(feature = "postgres")]
                Dialect::Postgres => {
                    query.push(" and tags @> jsonb_build_array(");
                    query.text(tag);
                    query.push(")");
                }
                #[cfg(feature = "sqlite")]
                Dialect::Sqlite => {
                    query.push(" and exists (select 1 from json_each(tags) where value = ");
                    query.text(tag);
                    query.push(")");
                }
            }
        }
        match parked {
            Some(true) => query.push(" and parked_at is not null"),
            Some(false) => query.push(" and parked_at is null"),
            None => {}
        }
    }

    async fn list<E: Executor>(
        &self,
        on: &mut E,
        filter: &Filter,
        order: Order,
        after: Option<&(Millis, Box<str>)>,
        limit: u64,
        now: Millis,
    ) -> Result<Reply> {
        let form = &self.form;
        let (column, time) = match order {
            Order::Updated => ("updated_at", form.updated),
            Order::Created => ("created_at", form.created),
        };
        let place = form.place_of(column);
        let mut query = Query::new(form.dialect, format!("select {} from {} where ", form.columns("", false), self.t));
        self.filter(&mut query, filter, now);
        if let Some((at, id)) = after {
            let at = query.placeholder(form.time(*at));
            query.push(&format!(" and ({place}, id) < ({}, ", form.at(time, &at)));
            query.bind(form.id_value(id)?, form.id_cast());
            query.push(")");
        }
        query.push(&format!(" order by {place} desc, id desc limit "));
        query.int(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = query.run(on).await?.rows;
        let found = rows.into_iter().map(|row| form.read(row).map(|(execution, _)| execution));
        Ok(Reply::executions(found.collect::<Result<Vec<Execution>>>()?, Shows::Neither))
    }

    async fn count<E: Executor>(&self, on: &mut E, filter: &Filter, now: Millis) -> Result<Reply> {
        let mut query = Query::new(self.form.dialect, format!("select count(*) as found from {} where ", self.t));
        self.filter(&mut query, filter, now);
        let count = query.run(on).await?.rows.into_iter().flatten().next().unwrap_or(Cell::Int(0));
        Ok(Reply::Count(u64::try_from(count.into_int("count")?).unwrap_or_default()))
    }

    async fn recoverable<E: Executor>(
        &self,
        on: &mut E,
        limit: u64,
        max_attempts: i64,
        stale_after_ms: u64,
        name: Option<&str>,
        now: Millis,
    ) -> Result<Reply> {
        let form = &self.form;
        let active = form.status_in("", [Status::Running, Status::Compensating]);
        // What is under way has not ended: an index finds those.
        let mut query = Query::new(
            form.dialect,
            format!(
                "select id{} as id from {} where completed_at is null and {active} and parked_at is null and recovery_attempts < ",
                form.text(),
                self.t
            ),
        );
        query.int(max_attempts);
        query.push(" and ");
        self.stale(&mut query, stale_after_ms, now);
        if let Some(name) = name {
            query.push(" and name = ");
            query.text(name);
        }
        query.push(" order by updated_at, id limit ");
        query.int(i64::try_from(limit).unwrap_or(i64::MAX));
        let mut ids = Vec::new();
        for cell in query.run(on).await?.rows.into_iter().flatten() {
            ids.push(form.read_id(cell.into_text("id")?));
        }
        Ok(Reply::ids(ids))
    }

    async fn statistics<E: Executor>(&self, on: &mut E, now: Millis) -> Result<Reply> {
        let form = &self.form;
        let (status, due) = (form.status_of(""), form.time_of("min(due_at)"));
        let (bytes, int) = match form.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => ("octet_length(context::text)", "::bigint"),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => ("length(cast(context as blob))", ""),
        };
        let mut query = Query::new(
            form.dialect,
            format!(
                "select {status} as status, count(*) as found, count(parked_at) as parked, \
                 sum(case when token <> '' then 1 else 0 end) as leased, \
                 sum(coalesce({bytes}, 0) + log_bytes){int} as bytes, {due} as due_ms from {} where ",
                self.t
            ),
        );
        self.live(&mut query, "", now);
        query.push(" group by 1");
        let mut counts = Counts::default();
        for row in query.run(on).await?.rows {
            let mut cells = row.into_iter();
            let mut next = || cells.next().unwrap_or(Cell::Null);
            let status = Status::stored(&next().into_text("status")?)?;
            let mut count = || next().into_int("count").map(|count| u64::try_from(count).unwrap_or_default());
            let [found, parked, leased, bytes] = [count()?, count()?, count()?, count()?];
            if let Some(place) = Status::ALL.iter().position(|known| *known == status) {
                counts.by_status[place] += found;
            }
            counts.parked += parked;
            counts.leased += leased;
            counts.bytes += bytes;
            let due = form.read_time(next(), "due_at")?;
            counts.oldest_due_at = counts.oldest_due_at.into_iter().chain(due).min();
        }
        Ok(Reply::Value(counts.into_dynamic()))
    }
}
