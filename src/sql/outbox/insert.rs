//! Insertions on PostgreSQL: one statement, also for many events. Where others are to be told with the transaction, it
//! tells them.

use super::form::{Kept, Shows, columns, read};
use super::reads::wants_base64;
use super::{Outbox, is_deadlock};
use crate::contract::outbox::Insertion;
use crate::contract::outbox::record::{Content, Event, Stored, taken};
use crate::error::{Error, Kind, Result};
use crate::sql::query::{NOW_MS, Query};
use crate::sql::rowset::{self, Column};
use crate::sql::{Around, Cell, Executor, Value, sql_state};

/// Attempts of an insertion beside others of the same ids.
const ATTEMPTS: usize = 8;

/// What insertions have come to.
struct Inserted {
    /// The places of those of which nothing is stored, and the first id of each that is taken by another insertion.
    taken: Vec<(usize, String)>,
    /// How many events are stored, and how many were new.
    stored: i64,
    fresh: i64,
    /// What the lease has.
    claimed: Vec<Stored>,
}

impl Outbox {
    /// Stores events; answers those that the lease has.
    pub(super) async fn insert<E: Executor>(
        &self,
        on: &mut E,
        insertion: &Insertion,
        around: Around,
    ) -> Result<Vec<Stored>> {
        // In the application's transaction no statement may fail: it would be given up. Elsewhere one that fails has
        // stored nothing.
        let lets_pass = insertion.ignores_duplicates || around == Around::Transaction;
        for _ in 0..ATTEMPTS {
            let done = match self.insert_once(on, &[insertion], lets_pass).await {
                Ok(done) => done,
                // Another statement has stored one of the ids meanwhile: the next attempt sees it.
                Err(error) if around == Around::Savepoint && (is_taken(&error) || is_deadlock(&error)) => continue,
                Err(error) => return Err(error),
            };
            if let Some((_, id)) = done.taken.first() {
                return Err(taken(id));
            }
            if insertion.ignores_duplicates || done.stored == done.fresh {
                return Ok(done.claimed);
            }
            self.take_back(on, insertion).await?;
        }
        let message = "others insert events of the same ids at the same time: nothing of this insertion has happened";
        Err(Error::new(Kind::Backend, message).retryable(true))
    }

    /// Stores the events of several insertions, none of which has a lease or an id of another one. Each has its answer,
    /// or, where the server refuses the statement, none has.
    pub(super) async fn insert_all<E: Executor>(
        &self,
        on: &mut E,
        insertions: &[&Insertion],
    ) -> Result<Vec<Result<Vec<Stored>>>> {
        let done = self.insert_once(on, insertions, false).await?;
        let mut answers: Vec<Result<Vec<Stored>>> = insertions.iter().map(|_| Ok(Vec::new())).collect();
        for (place, id) in done.taken {
            if let Some(answer) = answers.get_mut(place) {
                *answer = Err(taken(&id));
            }
        }
        Ok(answers)
    }

    /// One statement. Of several insertions none has a lease.
    async fn insert_once<E: Executor>(
        &self,
        on: &mut E,
        insertions: &[&Insertion],
        lets_pass: bool,
    ) -> Result<Inserted> {
        let Self { t, kept, .. } = self;
        let Some(insertion) = insertions.first() else {
            return Ok(Inserted { taken: Vec::new(), stored: 0, fresh: 0, claimed: Vec::new() });
        };
        let mut query = Query::new(self.dialect, String::from("with n as materialized (select "));
        query.push(&format!("{NOW_MS} as now, "));
        let lease = insertion.lease.as_ref();
        let text = |text: Option<&str>| text.map_or(Value::NoText, |text| Value::Text(text.to_owned().into()));
        query.bind(text(lease.map(|lease| &*lease.token)), "::text as token, ");
        query.bind(text(lease.map(|lease| &*lease.worker)), "::text as worker), c as materialized ");
        rowset::bind(&mut query, "c", calls(insertions), on.wants_base64());
        query.push(", e as materialized ");
        rowset::bind(&mut query, "e", rows(insertions), on.wants_base64());
        let of_living = super::claim::of_living(insertion.terms.skips_dead);
        let columns = columns(self.dialect, "x.", Kept::Unsent, Shows::Event, wants_base64(on));
        query.push(&format!(
            ", known as materialized (select e.event_id, e.place, c.call, c.is_strict = 1 \
             and coalesce(x.operation, k.operation) <> c.operation as is_taken from e join c on c.call = e.call \
             left join lateral (select x.event_id, x.operation from {t} as x where x.event_id = e.event_id limit 1) as x on true \
             left join lateral (select k.event_id, k.operation from {kept} as k where k.event_id = e.event_id limit 1) as k on true \
             where x.event_id is not null or k.event_id is not null), \
             taken as materialized (select distinct on (call) call, event_id from known where is_taken order by call, place), \
             fresh as materialized (select e.*, (e.available_at is null or e.available_at <= (select now from n)) as is_due \
             from e left join known as k on k.event_id = e.event_id where k.event_id is null), \
             p as materialized (select f.*, ((select token from n) is not null and f.is_due and (f.partition_key is null \
             or (bool_and(f.is_due) over (partition by f.partition_key order by f.place) and (\
             select x.seq from {t} as x where x.partition_key = f.partition_key {of_living}\
             order by x.partition_key, x.seq limit 1) is null))) as is_claimed from fresh as f), \
             u as (insert into {t} as x (event_id, operation, event_type, saga_id, aggregate_type, aggregate_id, headers, \
             routing_key, partition_key, available_at, occurred_at, created_at, status, claimed_at, worker_id, token, \
             lease_until, deliveries, due_at, parked, payload, body) \
             select p.event_id, c.operation, p.event_type, p.saga_id, p.aggregate_type, p.aggregate_id, p.headers, \
             p.routing_key, p.partition_key, p.available_at, p.occurred_at, n.now, \
             case when p.is_claimed then 'claimed' else 'pending' end, case when p.is_claimed then n.now end, \
             case when p.is_claimed then n.worker end, case when p.is_claimed then n.token end, \
             case when p.is_claimed then n.now + {} end, case when p.is_claimed then 1 else 0 end, \
             case when not p.is_due then p.available_at end, not p.is_due, p.payload, \
             case when p.payload is null then p.body end from p join c on c.call = p.call cross join n \
             where not exists (select 1 from taken where taken.call = p.call) order by p.place{} returning {columns}) \
             select taken.call, taken.event_id as taken, s.stored, s.fresh, s.told, u.* from (select (select count(*) from u) as stored, (select count(*) from fresh) as fresh, ",
            lease.map_or(0, |lease| lease.lease_ms),
            if lets_pass { " on conflict (event_id) do nothing" } else { "" },
        ));
        if insertion.terms.notifies_in_transaction {
            query.push("case when exists (select 1 from u) then ");
            self.tell(&mut query);
            query.push(" end as told");
        } else {
            query.push("null::bigint as told");
        }
        query.push(") as s left join taken on true left join u on u.token is not null");
        let mut done = Inserted { taken: Vec::new(), stored: 0, fresh: 0, claimed: Vec::new() };
        for mut row in query.run(on).await?.rows {
            let rest = row.split_off(5);
            let [call, taken, stored, fresh, _told] = crate::sql::cells(row);
            if taken != Cell::Null {
                let place = usize::try_from(call.into_int("call")?).unwrap_or(usize::MAX);
                done.taken.push((place, taken.into_text("event_id")?));
            }
            (done.stored, done.fresh) = (stored.into_int("stored")?, fresh.into_int("fresh")?);
            if rest.first().is_some_and(|seq| *seq != Cell::Null) {
                done.claimed.push(read(rest)?);
            }
        }
        done.claimed.sort_by_key(|event| event.seq);
        Ok(done)
    }

    /// Removes what an insertion has stored beside another one that was quicker with the rest.
    async fn take_back<E: Executor>(&self, on: &mut E, insertion: &Insertion) -> Result<()> {
        let mut query = Query::new(self.dialect, format!("delete from {} where event_id = any(array", self.t));
        let ids: Vec<&str> = insertion.events.iter().map(|event| &*event.id).collect();
        query.among(&ids, "");
        query.push(") and operation = ");
        query.bind(Value::Text(insertion.operation.to_string().into()), "::text");
        query.run(on).await.map(drop)
    }
}

fn is_taken(error: &Error) -> bool {
    sql_state(error) == Some("23505")
}

fn body(event: &Event) -> &[u8] {
    match &event.payload {
        Content::Json(_) => &[],
        Content::Bytes(bytes) => bytes,
    }
}

/// The insertions, and whether an id that is taken refuses them.
fn calls<'a>(insertions: &[&'a Insertion]) -> rowset::Rowset<'a> {
    vec![
        ("call", Column::Ints((0..).take(insertions.len()).map(Some).collect())),
        ("operation", Column::Texts(insertions.iter().map(|insertion| Some(&*insertion.operation)).collect())),
        (
            "is_strict",
            Column::Ints(insertions.iter().map(|insertion| Some(i64::from(!insertion.ignores_duplicates))).collect()),
        ),
    ]
}

/// Their events.
fn rows<'a>(insertions: &[&'a Insertion]) -> rowset::Rowset<'a> {
    let events: Vec<&'a Event> = insertions.iter().flat_map(|insertion| &insertion.events).collect();
    let calls = (0..).zip(insertions).flat_map(|(call, insertion)| insertion.events.iter().map(move |_| Some(call)));
    let needed = |of: fn(&'a Event) -> &'a str| Column::Texts(events.iter().copied().map(of).map(Some).collect());
    let texts = |of: fn(&'a Event) -> Option<&'a str>| Column::Texts(events.iter().copied().map(of).collect());
    let ints = |of: fn(&Event) -> Option<i64>| Column::Ints(events.iter().copied().map(of).collect());
    vec![
        ("call", Column::Ints(calls.collect())),
        ("place", Column::Ints((0..).take(events.len()).map(Some).collect())),
        ("event_id", needed(|event| &event.id)),
        ("event_type", needed(|event| &event.event_type)),
        ("saga_id", texts(|event| event.saga_id.as_deref())),
        ("aggregate_type", texts(|event| event.aggregate_type.as_deref())),
        ("aggregate_id", texts(|event| event.aggregate_id.as_deref())),
        ("headers", texts(|event| event.headers.as_deref())),
        ("routing_key", texts(|event| event.routing_key.as_deref())),
        ("partition_key", texts(|event| event.partition_key.as_deref())),
        ("available_at", ints(|event| event.available_at.map(|at| at.0))),
        ("occurred_at", ints(|event| Some(event.occurred_at.0))),
        (
            "payload",
            texts(|event| match &event.payload {
                Content::Json(json) => Some(json),
                Content::Bytes(_) => None,
            }),
        ),
        ("body", Column::Blobs(events.iter().copied().map(body).collect())),
    ]
}
