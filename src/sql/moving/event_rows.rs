//! Events into SQLite: what they replace is removed, all of them are stored as if they were not sent, and what was sent
//! goes to the table of those. Nobody else writes meanwhile.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::outbox::Put;
use crate::contract::outbox::record::EventStatus;
use crate::error::Result;
use crate::sql::outbox::Outbox;
use crate::sql::outbox::rows::{self, INSERTED, placed, text};
use crate::sql::outbox::schema::copied;
use crate::sql::query::Query;
use crate::sql::{Executor, TOGETHER, Value};
use crate::time::Millis;

/// What is written beside what an insertion writes of new events.
const BESIDE: [&str; 5] = ["seq", "dead_at", "retry_count", "last_error", "expires_at"];

/// Stores events; the places of those that were stored, which are all.
pub(super) async fn put<E: Executor>(outbox: &Outbox, on: &mut E, puts: &[Put<'_>], now: Millis) -> Result<Vec<usize>> {
    remove(outbox, on, puts).await?;
    let mut left = puts;
    for size in TOGETHER {
        while let Some((some, rest)) = left.split_at_checked(size) {
            insert(outbox, on, some, now).await?;
            left = rest;
        }
    }
    keep(outbox, on, puts).await?;
    let replaced = puts.iter().filter_map(|put| put.replaces.as_ref());
    let all = puts.iter().map(|put| put.stored).chain(replaced);
    let keys: BTreeSet<Box<str>> = all.filter_map(|stored| stored.event.partition_key.clone()).collect();
    outbox.place(on, &keys, now).await?;
    Ok(puts.iter().map(|put| put.at).collect())
}

/// Removes what is replaced.
async fn remove<E: Executor>(outbox: &Outbox, on: &mut E, puts: &[Put<'_>]) -> Result<()> {
    let seqs: Json = puts.iter().filter_map(|put| put.replaces.as_ref()).map(|replaced| replaced.seq).collect();
    if seqs.as_array().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    for table in [&outbox.t, &outbox.kept] {
        let mut query =
            Query::new(outbox.dialect, format!("delete from {table} where seq in (select value from json_each("));
        query.bind(Value::Text(seqs.to_string().into()), "");
        query.push("))");
        query.run(on).await?;
    }
    Ok(())
}

async fn insert<E: Executor>(outbox: &Outbox, on: &mut E, some: &[Put<'_>], now: Millis) -> Result<()> {
    let columns = [&INSERTED[..], &BESIDE].concat().join(", ");
    let mut query = Query::new(outbox.dialect, format!("insert into {} ({columns}) values ", outbox.t));
    for (row, put) in some.iter().enumerate() {
        query.push(if row == 0 { "(" } else { ", (" });
        for (at, value) in values(put, now).into_iter().enumerate() {
            if at > 0 {
                query.push(", ");
            }
            query.bind(value, "");
        }
        query.push(")");
    }
    query.run(on).await.map(drop)
}

/// Moves what was sent to the table of those.
async fn keep<E: Executor>(outbox: &Outbox, on: &mut E, puts: &[Put<'_>]) -> Result<()> {
    let sent = puts.iter().map(|put| put.stored).filter(|stored| stored.status == EventStatus::Sent);
    let sent: Vec<Json> = sent
        .map(|stored| json!([stored.event.id, stored.sent_at.map(|at| at.0), stored.expires_at.map(|at| at.0)]))
        .collect();
    if sent.is_empty() {
        return Ok(());
    }
    let (copied, sent) = (copied(), Json::from(sent).to_string());
    let of_x: Vec<String> = copied.split(", ").map(|column| format!("x.{column}")).collect();
    let mut query = Query::new(
        outbox.dialect,
        format!(
            "insert into {} ({copied}, sent_at, expires_at) select {}, json_extract(j.value, '$[1]'), \
             json_extract(j.value, '$[2]') from json_each(",
            outbox.kept,
            of_x.join(", ")
        ),
    );
    query.bind(Value::text(&sent), "");
    query.push(&format!(") as j cross join {} as x where x.event_id = json_extract(j.value, '$[0]')", outbox.t));
    query.run(on).await?;
    let mut query = Query::new(
        outbox.dialect,
        format!("delete from {} where event_id in (select json_extract(value, '$[0]') from json_each(", outbox.t),
    );
    query.bind(Value::text(&sent), "");
    query.push("))");
    query.run(on).await.map(drop)
}

/// The values of a row.
fn values<'a>(put: &'a Put<'a>, now: Millis) -> Vec<Value<'a>> {
    let stored = put.stored;
    let time = |at: Option<Millis>| at.map_or(Value::Null, |at| Value::Int(at.0));
    // Events of a key get their place when all of them are there.
    let place = if stored.event.partition_key.is_some() { (0, None) } else { placed(stored, now) };
    let mut values = rows::values(stored, place);
    values.extend([
        put.replaces.as_ref().map_or(Value::Null, |replaced| Value::Int(replaced.seq)),
        time(stored.dead_at),
        Value::Int(stored.retry_count),
        text(&stored.last_error),
        time(stored.expires_at),
    ]);
    values
}
