//! What becomes of events on PostgreSQL. Every statement locks events in the order of their numbers.

use std::collections::{BTreeSet, HashSet};

use super::claim::until;
use super::form::{Shows, unestimated};
use super::reads::signed;
use super::{Outbox, schema};
use crate::contract::outbox::record::{EventStatus, Stored, missing};
use crate::contract::outbox::{Decision, Held, LONGEST_BACKOFF_MS, Outcome, Settlement, Terms, judge};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::sql::query::{NOW_MS, Query};
use crate::sql::rowset::{self, Column};
use crate::sql::{Around, Cell, Executor, Value};
use crate::time::Millis;

/// What a claim has of a key behind one of its events stands among so many.
const BEHIND: usize = 2_000;

/// Attempts to decide about an event that others change at the same time.
const ATTEMPTS: usize = 8;

/// Nobody has it.
const OF_NOBODY: &str = "claimed_at = null, worker_id = null, token = null, lease_until = null";

/// It is pending, at once.
const LET_GO: &str = "status = 'pending', claimed_at = null, worker_id = null, token = null, lease_until = null, \
                      due_at = null, parked = false";

impl Outbox {
    /// Says what has become of events; the ids that are lost.
    pub(super) async fn settle<E: Executor>(
        &self,
        on: &mut E,
        settlement: &Settlement,
        around: Around,
    ) -> Result<Vec<Box<str>>> {
        let Settlement { held, outcome, terms } = settlement;
        let rows = retried!(around, self.settle_once(on, held, outcome, terms))?;
        let (mut settled, mut keys) = (HashSet::with_capacity(held.len()), BTreeSet::new());
        for row in rows {
            let [id, key, goes_on] = crate::sql::cells(row);
            settled.insert(id.into_text("event_id")?);
            if goes_on.into_int("goes_on")? != 0 && key != Cell::Null {
                keys.insert(key.into_text("partition_key")?);
            }
        }
        let keys: Vec<String> = keys.into_iter().collect();
        retried!(around, self.unpark(on, &keys))?;
        Ok(held.iter().filter(|held| !settled.contains(&*held.id)).map(|held| held.id.clone()).collect())
    }

    /// One statement: what it has settled, its key, and whether the key goes on behind it.
    async fn settle_once<E: Executor>(
        &self,
        on: &mut E,
        held: &[Held],
        outcome: &Outcome,
        terms: &Terms,
    ) -> Result<Vec<Vec<Cell>>> {
        let t = &self.t;
        let mut query = Query::new(self.dialect, String::from("with g as materialized "));
        let rows = vec![
            ("id", Column::Texts(held.iter().map(|held| Some(&*held.id)).collect())),
            ("token", Column::Texts(held.iter().map(|held| Some(&*held.token)).collect())),
        ];
        rowset::bind(&mut query, "g", rows, on.wants_base64());
        query.push(&format!(
            ", l as materialized (select x.seq, x.event_id, x.partition_key, x.token from {t} as x \
             where x.event_id = any(array(select g.id from g)) and {} order by x.seq for update)",
            unestimated("((x.event_id, x.token) in (select g.id, g.token from g))")
        ));
        match outcome {
            Outcome::Sent => {
                query.push(&self.sent("select seq from l", terms));
                query.push(" select event_id, partition_key, 1 as goes_on from gone");
            }
            Outcome::Extended(ms) => query.push(&format!(
                " update {t} as x set lease_until = {NOW_MS} + {ms} where x.seq = any(array(select seq from l)) \
                 returning x.event_id, x.partition_key, 0 as goes_on"
            )),
            Outcome::Released => {
                query.push(&self.behind());
                query.push(&format!(
                    ", u as (update {t} as x set {LET_GO}, deliveries = greatest(x.deliveries - 1, 0) \
                     where x.seq = any(array(select seq from l union select seq from b)) returning 1) \
                     select event_id, partition_key, 0 as goes_on from l"
                ));
            }
            Outcome::Failed { error, retry_at, jitter } => {
                query.push(&self.behind());
                let dies = format!("x.retry_count >= {}", terms.max_retries);
                query.push(&format!(
                    ", u as (update {t} as x set {LET_GO}, deliveries = greatest(x.deliveries - 1, 0) \
                     where x.seq = any(array(select seq from b)) returning 1), \
                     d as (update {t} as x set {OF_NOBODY}, \
                     parked = true, retry_count = x.retry_count + 1, \
                     status = case when {dies} then 'dead_letter' else 'pending' end, \
                     dead_at = case when {dies} then {NOW_MS} end, expires_at = case when {dies} then {} end, \
                     due_at = case when not {dies} then coalesce(",
                    until(terms.retain_dead_ms)
                ));
                query.bind(retry_at.map_or(Value::Null, |at| Value::Int(at.0)), "::bigint");
                let longest = LONGEST_BACKOFF_MS.max(terms.backoff_ms);
                query.push(&format!(
                    ", {NOW_MS} + floor(least({} * power(2::float8, least(x.retry_count, 40)), {longest}) * ",
                    terms.backoff_ms
                ));
                query.bind(Value::Text(jitter.to_string().into()), "::text::float8");
                query.push(")::bigint) end, last_error = ");
                query.bind(Value::Text(error.to_string().into()), "::text");
                query.push(
                    " where x.seq = any(array(select seq from f)) returning x.event_id, x.partition_key, \
                     (x.dead_at is not null)::int as goes_on) select event_id, partition_key, goes_on from d",
                );
            }
        }
        Ok(query.run(on).await?.rows)
    }

    /// Goes on with `gone`: events are removed, or kept with those that were sent.
    fn sent(&self, which: &str, terms: &Terms) -> String {
        let (t, kept, copied) = (&self.t, &self.kept, schema::copied());
        let ms = terms.retain_sent_ms;
        if ms == 0 {
            return format!(
                ", gone as (delete from {t} as x where x.seq = any(array({which})) returning x.event_id, x.partition_key)"
            );
        }
        format!(
            ", gone as (delete from {t} as x where x.seq = any(array({which})) returning {copied}), \
             k as (insert into {kept} ({copied}, sent_at, expires_at) select {copied}, {NOW_MS}, {NOW_MS} + {ms} \
             from gone on conflict do nothing returning 1)"
        )
    }

    /// Goes on with `f`, of each key and claim the first event of `l`, and `b`, what the claim has behind it.
    fn behind(&self) -> String {
        let t = &self.t;
        format!(
            ", f as materialized (select seq, partition_key, token from (select l.*, row_number() over (\
             partition by partition_key, token, case when partition_key is null then seq end order by seq) as place \
             from l) as l where place = 1), \
             b as materialized (select x.seq from {t} as x where x.seq = any(array(select r.seq from f \
             cross join lateral (select x.seq, x.partition_key, x.token from {t} as x \
             where (x.partition_key, x.seq) > (f.partition_key, f.seq) and x.partition_key = f.partition_key \
             order by x.partition_key, x.seq limit {BEHIND}) as r where f.partition_key is not null \
             and r.token = f.token)) and x.token is not null \
             order by x.seq for update)"
        )
    }

    /// Decides about one event: it is read, judged, and changed unless others have changed it meanwhile.
    pub(super) async fn decide<E: Executor>(
        &self,
        on: &mut E,
        id: &str,
        decision: &Decision,
        terms: &Terms,
        around: Around,
    ) -> Result<Reply> {
        for _ in 0..ATTEMPTS {
            let before = self.get(on, id, Shows::State).await?.ok_or_else(|| missing(id))?;
            let now = on.run(&format!("select {NOW_MS} as now"), &[]).await?.rows.into_iter().flatten().next();
            let now = Millis(now.unwrap_or(Cell::Null).into_int("now")?);
            let mut after = before.clone();
            let hands_back = judge::decide(&mut after, decision, terms, now)?;
            if before.status == EventStatus::Sent
                || retried!(around, self.replace(on, &before, &after, hands_back, terms))?
            {
                let keys: Vec<String> = before.event.partition_key.iter().map(ToString::to_string).collect();
                retried!(around, self.unpark(on, &keys))?;
                return Ok(Reply::Done);
            }
        }
        let message = "others change the same event at the same time: nothing of this change has happened";
        Err(Error::new(Kind::Backend, message).retryable(true).with_id(id))
    }

    /// Stores what has become of an event that is still as it was; false: it is not.
    async fn replace<E: Executor>(
        &self,
        on: &mut E,
        before: &Stored,
        after: &Stored,
        hands_back: bool,
        terms: &Terms,
    ) -> Result<bool> {
        let t = &self.t;
        let mut query = Query::new(
            self.dialect,
            format!("with l as materialized (select x.seq, x.partition_key, x.token from {t} as x where x.seq = "),
        );
        query.int(before.seq);
        query.push(" and x.status = ");
        query.text(before.status.name());
        query.push(" and x.token is not distinct from ");
        query.bind(text(before.token.as_deref()), "::text");
        query.push(" and x.retry_count = ");
        query.int(before.retry_count);
        query.push(" and x.deliveries = ");
        query.int(before.deliveries);
        query.push(" for update)");
        if hands_back {
            query.push(&self.behind());
            query.push(&format!(
                ", u as (update {t} as x set {LET_GO}, deliveries = greatest(x.deliveries - 1, 0) \
                 where x.seq = any(array(select seq from b)) returning 1)"
            ));
        }
        if after.status == EventStatus::Sent {
            query.push(&self.sent("select seq from l", terms));
            query.push(" select 1 as done from gone");
            return Ok(!query.run(on).await?.rows.is_empty());
        }
        let is_parked = after.status == EventStatus::DeadLetter || after.due_at.is_some();
        query.push(&format!(" update {t} as x set {OF_NOBODY}, parked = {is_parked}, status = "));
        query.text(after.status.name());
        for (name, at) in [("dead_at", after.dead_at), ("expires_at", after.expires_at), ("due_at", after.due_at)] {
            query.push(&format!(", {name} = "));
            query.bind(at.map_or(Value::Null, |at| Value::Int(at.0)), "::bigint");
        }
        query.push(", retry_count = ");
        query.int(after.retry_count);
        query.push(", deliveries = ");
        query.int(after.deliveries);
        query.push(", last_error = ");
        query.bind(text(after.last_error.as_deref()), "::text");
        query.push(" where x.seq = any(array(select seq from l)) returning 1 as done");
        Ok(!query.run(on).await?.rows.is_empty())
    }

    /// Makes dead letters pending again.
    pub(super) async fn requeue<E: Executor>(&self, on: &mut E, ids: &[Box<str>]) -> Result<u64> {
        let t = &self.t;
        let mut query = self.dead(ids);
        query.push(&format!(
            " update {t} as x set {LET_GO}, dead_at = null, expires_at = null, retry_count = 0, deliveries = 0 \
             where x.seq = any(array(select seq from l)) returning 1 as done"
        ));
        Ok(query.run(on).await?.rows.len() as u64)
    }

    /// Removes dead letters.
    pub(super) async fn discard<E: Executor>(&self, on: &mut E, ids: &[Box<str>], around: Around) -> Result<u64> {
        let t = &self.t;
        let mut query = self.dead(ids);
        query.push(&format!(
            " delete from {t} as x where x.seq = any(array(select seq from l)) returning x.partition_key as partition_key"
        ));
        let rows = retried!(around, query.run(on))?.rows;
        self.goes_on(on, rows, around).await
    }

    /// Begins a statement: `l` are dead letters, locked.
    fn dead(&self, ids: &[Box<str>]) -> Query<'static> {
        let mut query = Query::new(
            self.dialect,
            format!("with l as materialized (select x.seq from {} as x where x.event_id = any(array", self.t),
        );
        query.among(ids, "");
        query.push(") and x.dead_at is not null order by x.seq for update)");
        query
    }

    /// Hands back what was claimed so long ago.
    pub(super) async fn release_stuck<E: Executor>(&self, on: &mut E, older_than_ms: u64, limit: u64) -> Result<u64> {
        let t = &self.t;
        let mut query = Query::new(
            self.dialect,
            format!(
                "with l as materialized (select x.seq from {t} as x where {} and x.claimed_at <= (select ",
                unestimated("x.token is not null")
            ),
        );
        query.ago(older_than_ms, Millis(0));
        query.push(") order by x.seq limit ");
        query.int(signed(limit));
        query.push(&format!(
            " for update skip locked) update {t} as x set {LET_GO} where x.seq = any(array(select seq from l)) \
             returning 1 as done"
        ));
        Ok(query.run(on).await?.rows.len() as u64)
    }

    /// Removes events that were sent, or became dead letters, so long ago.
    pub(super) async fn archive<E: Executor>(
        &self,
        on: &mut E,
        older_than_ms: u64,
        (sent, dead): (bool, bool),
        limit: u64,
        around: Around,
    ) -> Result<u64> {
        let mut count = 0;
        if sent {
            count += self.remove_until(on, &self.kept, "sent_at", older_than_ms, limit, around).await?;
        }
        if dead && count < limit {
            count += self.remove_until(on, &self.t, "dead_at", older_than_ms, limit - count, around).await?;
        }
        Ok(count)
    }

    /// Removes what was to be kept until now.
    pub(super) async fn purge<E: Executor>(&self, on: &mut E, limit: u64) -> Result<u64> {
        let sent = self.remove_until(on, &self.kept, "expires_at", 0, limit, Around::Savepoint).await?;
        if sent >= limit {
            return Ok(sent);
        }
        Ok(sent + self.remove_until(on, &self.t, "expires_at", 0, limit - sent, Around::Savepoint).await?)
    }

    /// Removes what has a time in this column that was so long ago: in the table of what is not sent, dead letters.
    async fn remove_until<E: Executor>(
        &self,
        on: &mut E,
        table: &str,
        column: &str,
        ago_ms: u64,
        limit: u64,
        around: Around,
    ) -> Result<u64> {
        let mut query = Query::new(
            self.dialect,
            format!("with l as materialized (select x.seq from {table} as x where x.{column} <= (select "),
        );
        query.ago(ago_ms, Millis(0));
        query.push(&format!(") order by x.{column} limit "));
        query.int(signed(limit));
        query.push(&format!(
            " for update skip locked) delete from {table} as x where x.seq = any(array(select seq from l)) \
             returning x.partition_key as partition_key"
        ));
        let rows = retried!(around, query.run(on))?.rows;
        if table == self.kept {
            return Ok(rows.len() as u64);
        }
        self.goes_on(on, rows, around).await
    }

    /// The keys of dead letters that are gone go on; how many were removed.
    async fn goes_on<E: Executor>(&self, on: &mut E, rows: Vec<Vec<Cell>>, around: Around) -> Result<u64> {
        let (count, mut keys) = (rows.len() as u64, BTreeSet::new());
        for cell in rows.into_iter().flatten().filter(|cell| *cell != Cell::Null) {
            keys.insert(cell.into_text("partition_key")?);
        }
        let keys: Vec<String> = keys.into_iter().collect();
        retried!(around, self.unpark(on, &keys))?;
        Ok(count)
    }
}

fn text(text: Option<&str>) -> Value<'static> {
    text.map_or(Value::NoText, |text| Value::Text(text.to_owned().into()))
}
