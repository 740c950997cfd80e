//! Insertions on PostgreSQL: one statement, also for many events.

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

/// What an insertion has come to.
struct Inserted {
    /// The first id that is taken by another insertion; nothing is stored then.
    taken: Option<String>,
    /// How many are stored, and how many were to be.
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
            let done = match self.insert_once(on, insertion, lets_pass).await {
                Ok(done) => done,
                // Another statement has stored one of the ids meanwhile: the next attempt sees it.
                Err(error) if around == Around::Savepoint && (is_taken(&error) || is_deadlock(&error)) => continue,
                Err(error) => return Err(error),
            };
            if let Some(id) = done.taken {
                return Err(taken(&id));
            }
            if insertion.ignores_duplicates || done.stored == done.fresh {
                return Ok(done.claimed);
            }
            self.take_back(on, insertion).await?;
        }
        let message = "others insert events of the same ids at the same time: nothing of this insertion has happened";
        Err(Error::new(Kind::Backend, message).retryable(true))
    }

    async fn insert_once<E: Executor>(&self, on: &mut E, insertion: &Insertion, lets_pass: bool) -> Result<Inserted> {
        let Self { t, kept, .. } = self;
        let mut query = Query::new(self.dialect, String::from("with n as materialized (select "));
        query.push(&format!("{NOW_MS} as now, "));
        query.bind(Value::Text(insertion.operation.to_string().into()), "::text as operation, ");
        let lease = insertion.lease.as_ref();
        let text = |text: Option<&str>| text.map_or(Value::NoText, |text| Value::Text(text.to_owned().into()));
        query.bind(text(lease.map(|lease| &*lease.token)), "::text as token, ");
        query.bind(text(lease.map(|lease| &*lease.worker)), "::text as worker), e as materialized ");
        rowset::bind(&mut query, "e", rows(&insertion.events), on.wants_base64());
        let of_living = if insertion.terms.skips_dead { " and x.dead_at is null" } else { "" };
        let strictly =
            if insertion.ignores_duplicates { "" } else { " where not exists (select 1 from known where not is_ours)" };
        query.push(&format!(
            ", known as materialized (select e.event_id, e.place, \
             coalesce(x.operation, k.operation) = (select operation from n) as is_ours from e \
             left join {t} as x on x.event_id = e.event_id left join {kept} as k on k.event_id = e.event_id \
             where x.event_id is not null or k.event_id is not null), \
             fresh as materialized (select e.*, (e.available_at is null or e.available_at <= (select now from n)) as is_due \
             from e left join known as k on k.event_id = e.event_id where k.event_id is null), \
             p as materialized (select f.*, ((select token from n) is not null and f.is_due and (f.partition_key is null \
             or (bool_and(f.is_due) over (partition by f.partition_key order by f.place) and not exists (\
             select 1 from {t} as x where x.partition_key = f.partition_key{of_living})))) as is_claimed from fresh as f), \
             u as (insert into {t} as x (event_id, operation, event_type, saga_id, aggregate_type, aggregate_id, headers, \
             routing_key, partition_key, available_at, occurred_at, created_at, status, claimed_at, worker_id, token, \
             lease_until, deliveries, due_at, parked, payload, body) \
             select p.event_id, n.operation, p.event_type, p.saga_id, p.aggregate_type, p.aggregate_id, p.headers, \
             p.routing_key, p.partition_key, p.available_at, p.occurred_at, n.now, \
             case when p.is_claimed then 'claimed' else 'pending' end, case when p.is_claimed then n.now end, \
             case when p.is_claimed then n.worker end, case when p.is_claimed then n.token end, \
             case when p.is_claimed then n.now + {} end, case when p.is_claimed then 1 else 0 end, \
             case when not p.is_due then p.available_at end, not p.is_due, p.payload, \
             case when p.payload is null then p.body end from (select * from p{strictly} order by place) as p cross join n{} \
             returning {}) \
             select (select k.event_id from known as k where not k.is_ours order by k.place limit 1) as taken, s.stored, \
             s.fresh, u.* from (select (select count(*) from u) as stored, (select count(*) from fresh) as fresh) as s \
             left join u on u.token is not null",
            lease.map_or(0, |lease| lease.lease_ms),
            if lets_pass { " on conflict (event_id) do nothing" } else { "" },
            columns(self.dialect, "x.", Kept::Unsent, Shows::Event, wants_base64(on)),
        ));
        let mut done = Inserted { taken: None, stored: 0, fresh: 0, claimed: Vec::new() };
        for mut row in query.run(on).await?.rows {
            let rest = row.split_off(3);
            let [taken, stored, fresh] = crate::sql::cells(row);
            if taken != Cell::Null && !insertion.ignores_duplicates {
                done.taken = Some(taken.into_text("event_id")?);
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
        let mut query = Query::new(self.dialect, format!("delete from {} where event_id in ", self.t));
        let ids: Vec<&str> = insertion.events.iter().map(|event| &*event.id).collect();
        query.among(&ids, "");
        query.push(" and operation = ");
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

fn rows(events: &[Event]) -> rowset::Rowset<'_> {
    let needed = |of: fn(&Event) -> &str| Column::Texts(events.iter().map(|event| Some(of(event))).collect());
    let texts = |of: fn(&Event) -> Option<&str>| Column::Texts(events.iter().map(of).collect());
    let ints = |of: &dyn Fn((i64, &Event)) -> Option<i64>| Column::Ints((0..).zip(events).map(of).collect());
    vec![
        ("place", ints(&|(place, _)| Some(place))),
        ("event_id", needed(|event| &event.id)),
        ("event_type", needed(|event| &event.event_type)),
        ("saga_id", texts(|event| event.saga_id.as_deref())),
        ("aggregate_type", texts(|event| event.aggregate_type.as_deref())),
        ("aggregate_id", texts(|event| event.aggregate_id.as_deref())),
        ("headers", texts(|event| event.headers.as_deref())),
        ("routing_key", texts(|event| event.routing_key.as_deref())),
        ("partition_key", texts(|event| event.partition_key.as_deref())),
        ("available_at", ints(&|(_, event)| event.available_at.map(|at| at.0))),
        ("occurred_at", ints(&|(_, event)| Some(event.occurred_at.0))),
        (
            "payload",
            texts(|event| match &event.payload {
                Content::Json(json) => Some(json),
                Content::Bytes(_) => None,
            }),
        ),
        ("body", Column::Blobs(events.iter().map(body).collect())),
    ]
}
