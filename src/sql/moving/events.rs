//! Events into PostgreSQL: one statement for many.

use std::collections::BTreeSet;

use super::outbox::Put;
use crate::contract::outbox::record::{Content, EventStatus, Stored};
use crate::error::Result;
use crate::sql::outbox::Outbox;
use crate::sql::query::Query;
use crate::sql::rowset::{self, Column, Rowset};
use crate::sql::{Executor, cells};

/// Columns of both tables that an event brings along.
const OF_BOTH: &str = "event_id, operation, event_type, saga_id, aggregate_type, aggregate_id, headers, routing_key, \
                       partition_key, available_at, occurred_at, created_at, retry_count, deliveries, last_error, \
                       payload, expires_at";

/// Columns of what is not sent.
const UNSENT: &str = "status, claimed_at, dead_at, worker_id, token, lease_until, due_at";

/// The bytes of a payload that is not JSON.
const BODY: &str = "case when e.payload is null then e.body end";

/// Stores events in place of what they replace, if it is still what it was; the places of those that were stored.
pub(super) async fn put<E: Executor>(outbox: &Outbox, on: &mut E, puts: &[Put<'_>]) -> Result<Vec<usize>> {
    let is_plain = puts.iter().all(|put| put.replaces.is_none() && put.stored.status != EventStatus::Sent);
    let mut query = Query::new(outbox.dialect, String::from("with e as materialized "));
    rowset::bind(&mut query, "e", rows(puts), on.wants_base64());
    query.push(&if is_plain { new(outbox) } else { any(outbox) });
    let mut stored = Vec::with_capacity(puts.len());
    let mut ids: std::collections::HashMap<&str, usize> =
        puts.iter().map(|put| (&*put.stored.event.id, put.at)).collect();
    for row in query.run(on).await?.rows {
        let [id] = cells(row);
        stored.extend(ids.remove(id.into_text("event_id")?.as_str()));
    }
    // What stood behind one that was replaced may be the first of its key now.
    let keys: BTreeSet<String> = puts
        .iter()
        .filter_map(|put| put.replaces.as_ref())
        .filter_map(|replaced| replaced.event.partition_key.as_deref().map(str::to_owned))
        .collect();
    outbox.unpark(on, &keys.into_iter().collect::<Vec<_>>()).await?;
    outbox.look_from_start();
    Ok(stored)
}

/// The rest of a statement for events that nobody has stored, and that are not sent: the table gives them numbers.
fn new(Outbox { t, kept, .. }: &Outbox) -> String {
    format!(
        " insert into {t} as x ({OF_BOTH}, {UNSENT}, parked, body) select {}, {}, e.parked <> 0, {BODY} from e \
         where not exists (select 1 from {kept} as k where k.event_id = e.event_id) order by e.place \
         on conflict (event_id) do nothing returning x.event_id",
        of("e", OF_BOTH),
        of("e", UNSENT)
    )
}

/// The rest of a statement for any events. Those that replace others have the numbers of these; the table's sequence
/// gives the other numbers, also to what was sent.
fn any(Outbox { t, kept, .. }: &Outbox) -> String {
    format!(
        ", d as (delete from {t} as x using e where x.event_id = e.event_id and x.seq = e.old_seq \
         and x.status = e.old_status and x.token is not distinct from e.old_token and x.retry_count = e.old_retry_count \
         and x.deliveries = e.old_deliveries returning x.seq), \
         k as (delete from {kept} as x using e where x.event_id = e.event_id and x.seq = e.old_seq \
         and e.old_status = 'sent' returning x.seq), \
         g as materialized (select seq from d union all select seq from k), \
         n as materialized (select count(*) as n from g), \
         w as materialized (select e.*, coalesce(e.old_seq, nextval(pg_get_serial_sequence('{t}', 'seq'))) as seq \
         from (select e.* from e cross join n where n.n >= 0 and (e.old_seq in (select seq from g) or (e.old_seq is null \
         and not exists (select 1 from {t} as x where x.event_id = e.event_id) \
         and not exists (select 1 from {kept} as x where x.event_id = e.event_id))) order by e.place) as e), \
         u as (insert into {t} as x (seq, {OF_BOTH}, {UNSENT}, parked, body) select e.seq, {both}, {}, e.parked <> 0, {BODY} \
         from w as e where e.status <> 'sent' order by e.place on conflict (event_id) do nothing returning x.event_id), \
         s as (insert into {kept} as x (seq, {OF_BOTH}, sent_at, body) select e.seq, {both}, e.sent_at, {BODY} \
         from w as e where e.status = 'sent' order by e.place on conflict (event_id) do nothing returning x.event_id) \
         select event_id from u union all select event_id from s",
        of("e", UNSENT),
        both = of("e", OF_BOTH),
    )
}

/// These columns of a row.
fn of(row: &str, columns: &str) -> String {
    columns.split(", ").map(|column| format!("{row}.{column}")).collect::<Vec<_>>().join(", ")
}

fn rows<'a>(puts: &'a [Put<'a>]) -> Rowset<'a> {
    let texts = |of: fn(&Stored) -> Option<&str>| Column::Texts(puts.iter().map(|put| of(put.stored)).collect());
    let ints = |of: fn(&Stored) -> Option<i64>| Column::Ints(puts.iter().map(|put| of(put.stored)).collect());
    let old_texts = |of: fn(&Stored) -> Option<&str>| {
        Column::Texts(puts.iter().map(|put| put.replaces.as_ref().and_then(of)).collect())
    };
    let old_ints =
        |of: fn(&Stored) -> i64| Column::Ints(puts.iter().map(|put| put.replaces.as_ref().map(of)).collect());
    let body = |put: &'a Put<'a>| -> &'a [u8] {
        match &put.stored.event.payload {
            Content::Json(_) => &[],
            Content::Bytes(bytes) => bytes,
        }
    };
    vec![
        ("place", Column::Ints((0..).take(puts.len()).map(Some).collect())),
        ("old_seq", old_ints(|old| old.seq)),
        ("old_status", old_texts(|old| Some(old.status.name()))),
        ("old_token", old_texts(|old| old.token.as_deref())),
        ("old_retry_count", old_ints(|old| old.retry_count)),
        ("old_deliveries", old_ints(|old| old.deliveries)),
        ("event_id", texts(|of| Some(&of.event.id))),
        ("operation", texts(|of| Some(&of.operation))),
        ("event_type", texts(|of| Some(&of.event.event_type))),
        ("saga_id", texts(|of| of.event.saga_id.as_deref())),
        ("aggregate_type", texts(|of| of.event.aggregate_type.as_deref())),
        ("aggregate_id", texts(|of| of.event.aggregate_id.as_deref())),
        ("headers", texts(|of| of.event.headers.as_deref())),
        ("routing_key", texts(|of| of.event.routing_key.as_deref())),
        ("partition_key", texts(|of| of.event.partition_key.as_deref())),
        ("available_at", ints(|of| of.event.available_at.map(|at| at.0))),
        ("occurred_at", ints(|of| Some(of.event.occurred_at.0))),
        ("created_at", ints(|of| Some(of.created_at.0))),
        ("status", texts(|of| Some(of.status.name()))),
        ("claimed_at", ints(|of| of.claimed_at.map(|at| at.0))),
        ("sent_at", ints(|of| of.sent_at.map(|at| at.0))),
        ("dead_at", ints(|of| of.dead_at.map(|at| at.0))),
        ("retry_count", ints(|of| Some(of.retry_count))),
        ("deliveries", ints(|of| Some(of.deliveries))),
        ("last_error", texts(|of| of.last_error.as_deref())),
        ("worker_id", texts(|of| of.worker.as_deref())),
        ("token", texts(|of| of.token.as_deref())),
        ("lease_until", ints(|of| of.lease_until.map(|at| at.0))),
        ("due_at", ints(|of| of.due_at.map(|at| at.0))),
        ("expires_at", ints(|of| of.expires_at.map(|at| at.0))),
        // What waits for its time, and dead letters: see `claim.rs`.
        ("parked", ints(|of| Some((of.status == EventStatus::DeadLetter || of.due_at.is_some()).into()))),
        (
            "payload",
            texts(|of| match &of.event.payload {
                Content::Json(json) => Some(json),
                Content::Bytes(_) => None,
            }),
        ),
        ("body", Column::Blobs(puts.iter().map(body).collect())),
    ]
}
