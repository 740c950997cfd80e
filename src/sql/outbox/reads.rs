//! Questions about the outbox, for both dialects.

use super::Outbox;
use super::form::{self, Kept, Shows};
#[cfg(feature = "postgres")]
use super::form::{ANY, unestimated};
use crate::contract::dynamic::Dynamic;
use crate::contract::outbox::record::{Counts, EventPage, EventStatus, Stored, foreign_cursor, listed};
use crate::contract::outbox::{OutboxRead, Terms};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::query::Query;
use crate::sql::{Cell, Dialect, Executor};
use crate::time::Millis;

impl Outbox {
    /// Answers a question.
    pub(super) async fn answer<E: Executor>(&self, on: &mut E, read: &OutboxRead, now: Millis) -> Result<Reply> {
        match read {
            OutboxRead::Get { id } => {
                let found = self.get(on, id, Shows::Event).await?;
                Ok(Reply::Value(found.map_or(Dynamic::Null, Stored::into_dynamic)))
            }
            OutboxRead::List { saga_id, status, after, limit } => {
                self.list(on, saga_id.as_deref(), *status, after.as_deref(), *limit).await
            }
            OutboxRead::Stuck { older_than_ms, limit } => {
                self.stuck(on, *older_than_ms, *limit, Shows::Event, now).await.map(listed)
            }
            OutboxRead::Count { status } => self.count(on, *status).await,
            OutboxRead::BlockedKeys { limit, terms } => self.blocked_keys(on, *limit, terms).await,
            OutboxRead::Statistics { terms } => self.statistics(on, terms, now).await,
        }
    }

    /// Begins a question: the columns, and the table as `x`.
    pub(in crate::sql) fn select(&self, of: Kept, shows: Shows, as_base64: bool) -> String {
        let columns = form::columns(self.dialect, "x.", of, shows, as_base64);
        format!("select {columns} from {} as x", if of == Kept::Unsent { &self.t } else { &self.kept })
    }

    pub(in crate::sql) async fn rows<E: Executor>(&self, on: &mut E, query: &Query<'_>) -> Result<Vec<Stored>> {
        query.run(on).await?.rows.into_iter().map(form::read).collect()
    }

    /// One event, wherever it is.
    pub(super) async fn get<E: Executor>(&self, on: &mut E, id: &str, shows: Shows) -> Result<Option<Stored>> {
        let as_base64 = wants_base64(on);
        let mut query = Query::new(self.dialect, self.select(Kept::Unsent, shows, as_base64));
        query.push(" where x.event_id = ");
        query.text(id);
        query.push(&format!(" union all {} where x.event_id = ", self.select(Kept::Sent, shows, as_base64)));
        query.text(id);
        Ok(self.rows(on, &query).await?.into_iter().next())
    }

    /// A condition of a question that goes through an index in its order (see `unestimated`).
    fn in_order(&self, condition: &str) -> String {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => unestimated(condition),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => condition.to_owned(),
        }
    }

    /// A condition: it is a dead letter.
    fn is_dead(&self) -> String {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => format!("dead_at {ANY}"),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => String::from("dead_at is not null"),
        }
    }

    async fn list<E: Executor>(
        &self,
        on: &mut E,
        saga_id: Option<&str>,
        status: Option<EventStatus>,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Reply> {
        let after: Option<i64> = after.map(|after| after.parse().map_err(|_| foreign_cursor())).transpose()?;
        let as_base64 = wants_base64(on);
        let mut events = Vec::new();
        // One table after the other, each as far as the page goes, and both in their order.
        for of in [Kept::Sent, Kept::Unsent] {
            let meant = match status {
                None => "",
                Some(EventStatus::Sent) if of == Kept::Sent => "",
                Some(EventStatus::Sent) => continue,
                Some(_) if of == Kept::Sent => continue,
                Some(EventStatus::Pending) => &*self.in_order("x.token is null and x.dead_at is null"),
                Some(EventStatus::Claimed) => &*self.in_order("x.token is not null"),
                Some(EventStatus::DeadLetter) => "x.dead_at is not null",
            };
            let mut query = Query::new(self.dialect, self.select(of, Shows::Event, as_base64));
            query.push(" where x.seq > ");
            query.int(after.unwrap_or(i64::MIN));
            if !meant.is_empty() {
                query.push(" and ");
                query.push(meant);
            }
            if let Some(id) = saga_id {
                query.push(" and x.saga_id = ");
                query.text(id);
            }
            query.push(" order by x.seq limit ");
            query.int(signed(limit).saturating_add(1));
            events.extend(self.rows(on, &query).await?);
        }
        events.sort_by_key(|event| event.seq);
        let places = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = events.len() > places;
        events.truncate(places);
        let cursor = events.last().filter(|_| has_more).map(|event| event.seq.to_string().into());
        Ok(EventPage { events, cursor }.into_reply())
    }

    /// What was claimed so long ago, the earliest event first.
    pub(super) async fn stuck<E: Executor>(
        &self,
        on: &mut E,
        older_than_ms: u64,
        limit: u64,
        shows: Shows,
        now: Millis,
    ) -> Result<Vec<Stored>> {
        let mut query = Query::new(self.dialect, self.select(Kept::Unsent, shows, wants_base64(on)));
        query.push(&format!(" where {} and x.claimed_at <= (select ", self.in_order("x.token is not null")));
        query.ago(older_than_ms, now);
        query.push(") order by x.seq limit ");
        query.int(signed(limit));
        self.rows(on, &query).await
    }

    async fn count<E: Executor>(&self, on: &mut E, status: EventStatus) -> Result<Reply> {
        let (t, kept) = (&self.t, &self.kept);
        let sql = match status {
            EventStatus::Sent => format!("select count(*) as found from {kept}"),
            EventStatus::Claimed => format!("select count(*) as found from {t} where token is not null"),
            EventStatus::DeadLetter => format!("select count(*) as found from {t} where {}", self.is_dead()),
            // The difference of what indexes count: the payloads are not gone through.
            EventStatus::Pending => format!(
                "select (select count(*) from {t}) - (select count(*) from {t} where token is not null) \
                 - (select count(*) from {t} where dead_at is not null) as found"
            ),
        };
        let count = on.run(&sql, &[]).await?.rows.into_iter().flatten().next().unwrap_or(Cell::Int(0));
        Ok(Reply::Count(u64::try_from(count.into_int("count")?).unwrap_or_default()))
    }

    async fn blocked_keys<E: Executor>(&self, on: &mut E, limit: u64, terms: &Terms) -> Result<Reply> {
        if terms.skips_dead {
            return Ok(Reply::ids([]));
        }
        let mut query = Query::new(
            self.dialect,
            format!(
                "select distinct partition_key from {} where dead_at is not null and partition_key is not null \
                 order by partition_key limit ",
                self.t
            ),
        );
        query.int(signed(limit));
        let mut keys: Vec<Box<str>> = Vec::new();
        for cell in query.run(on).await?.rows.into_iter().flatten() {
            keys.push(cell.into_text("partition_key")?.into());
        }
        Ok(Reply::ids(keys))
    }

    async fn statistics<E: Executor>(&self, on: &mut E, terms: &Terms, now: Millis) -> Result<Reply> {
        let (t, kept) = (&self.t, &self.kept);
        let mut query = Query::new(
            self.dialect,
            format!(
                "select (select count(*) from {t}) as unsent, (select count(*) from {t} where token is not null) as claimed, \
                 (select count(*) from {t} where dead_at is not null) as dead, (select count(*) from {kept}) as sent, \
                 (select count(distinct partition_key) from {t} where dead_at is not null) as blocked, \
                 (select count(*) from {t} where due_at > "
            ),
        );
        query.clock(now);
        query.push(&format!(
            " and token is null) as waiting, (select created_at from {t} where token is null and dead_at is null and \
             (due_at is null or due_at <= "
        ));
        query.clock(now);
        query.push(") order by seq limit 1) as oldest, ");
        query.clock(now);
        query.push(" as now");
        let row = query.run(on).await?.rows.into_iter().next().unwrap_or_default();
        let [unsent, claimed, dead, sent, blocked, waiting, oldest, at] = crate::sql::cells(row);
        let count = |cell: Cell| cell.into_int("count").map(|count| u64::try_from(count).unwrap_or_default());
        let [unsent, claimed, dead, sent, blocked, waiting] =
            [count(unsent)?, count(claimed)?, count(dead)?, count(sent)?, count(blocked)?, count(waiting)?];
        let oldest_ready = if oldest == Cell::Null { None } else { Some(Millis(oldest.into_int("created_at")?)) };
        let counts = Counts {
            ready: unsent.saturating_sub(claimed).saturating_sub(dead).saturating_sub(waiting),
            claimed,
            waiting,
            dead,
            sent,
            blocked_keys: if terms.skips_dead { 0 } else { blocked },
            oldest_ready,
        };
        Ok(Reply::Value(counts.into_dynamic(Millis(at.into_int("now")?))))
    }
}

/// Whether bytes are to be asked for as base64.
pub(in crate::sql) fn wants_base64<E: Executor>(on: &E) -> bool {
    #[cfg(feature = "postgres")]
    return on.wants_base64();
    #[cfg(not(feature = "postgres"))]
    {
        let _ = on;
        false
    }
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
