//! Events, of both tables.

use std::collections::HashMap;

use super::{ATTEMPTS, Found, Listed, cursor, keys, left_alone};
use crate::contract::moving::record::{Key, Record};
use crate::contract::moving::{Conflict, Fate, foreign_cursor, has_expired};
use crate::contract::outbox::record::{EventStatus, Stored};
use crate::error::{Error, Kind, Result};
use crate::sql::outbox::Outbox;
use crate::sql::outbox::form::{self, Kept, Shows};
use crate::sql::outbox::reads::wants_base64;
use crate::sql::query::Query;
use crate::sql::{Cell, Dialect, Executor, cells};
use crate::time::Millis;

/// An event that is to be stored: its place among the others, and what it replaces.
pub(super) struct Put<'a> {
    pub(super) at: usize,
    pub(super) stored: &'a Stored,
    pub(super) replaces: Option<Stored>,
}

/// The events that come next, of both tables, in their order.
pub(super) async fn list<E: Executor>(
    outbox: &Outbox,
    on: &mut E,
    after: Option<&[String]>,
    most: i64,
) -> Result<Vec<Listed>> {
    let after: Option<i64> = match after {
        Some(after) => Some(cursor::parts::<1>(after)?[0].parse().map_err(|_| foreign_cursor())?),
        None => None,
    };
    let length = match outbox.dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => "octet_length",
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => "length",
    };
    let bytes = ["payload", "body", "headers"].map(|name| format!("coalesce({length}(x.{name}), 0)")).join(" + ");
    let mut query = Query::new(outbox.dialect, String::from("select k.seq, k.event_id, k.bytes from ("));
    for (table, name) in [(&outbox.t, "a"), (&outbox.kept, "b")] {
        if name == "b" {
            query.push(" union all ");
        }
        query.push(&format!(
            "select * from (select x.seq as seq, x.event_id as event_id, {bytes} as bytes from {table} as x"
        ));
        if let Some(after) = after {
            query.push(" where x.seq > ");
            query.int(after);
        }
        query.push(" order by x.seq limit ");
        query.int(most);
        query.push(&format!(") as {name}"));
    }
    query.push(") as k order by k.seq limit ");
    query.int(most);
    let listed = query.run(on).await?.rows.into_iter().map(|row| {
        let [seq, id, bytes] = cells(row);
        Ok(Listed {
            key: key(&id.into_text("event_id")?),
            place: vec![seq.into_int("seq")?.to_string()],
            bytes: u64::try_from(bytes.into_int("bytes")?).unwrap_or_default(),
        })
    });
    listed.collect()
}

fn key(id: &str) -> Key {
    Key { name: Box::default(), id: id.into() }
}

/// Events by their ids.
pub(super) async fn look_up<E: Executor>(outbox: &Outbox, on: &mut E, keys: &[Key]) -> Result<Found> {
    let stored = events(outbox, on, keys.iter().map(|key| &*key.id), Shows::Event).await?;
    let record = |(id, stored): (String, Result<Stored>)| {
        (key(&id), stored.map(|stored| Record::Event(Box::new(stored))).map_err(|error| error.with_id(&id)))
    };
    Ok(stored.into_iter().map(record).collect())
}

async fn events<'i, E: Executor>(
    outbox: &Outbox,
    on: &mut E,
    ids: impl Iterator<Item = &'i str> + Clone,
    shows: Shows,
) -> Result<HashMap<String, Result<Stored>>> {
    let as_base64 = wants_base64(on);
    let mut query = Query::new(outbox.dialect, outbox.select(Kept::Unsent, shows, as_base64));
    query.push(" where ");
    keys::is_one_of(&mut query, "x.event_id", ids.clone(), "");
    query.push(&format!(" union all {} where ", outbox.select(Kept::Sent, shows, as_base64)));
    keys::is_one_of(&mut query, "x.event_id", ids, "");
    let mut found = HashMap::new();
    for row in query.run(on).await?.rows {
        let id = row.get(1).cloned().unwrap_or(Cell::Null).into_text("event_id")?;
        found.insert(id, form::read(row));
    }
    Ok(found)
}

/// Stores events, in their order. What is there is looked at and judged; it is replaced if it is still the same, and
/// keeps its place.
pub(super) async fn store<E: Executor>(
    outbox: &Outbox,
    on: &mut E,
    records: &[Record],
    conflict: Conflict,
    now: Millis,
) -> Result<Vec<Fate>> {
    let mut given = Vec::with_capacity(records.len());
    for record in records {
        match record {
            Record::Event(stored) => given.push((record, checked(stored)?)),
            _ => return Err(super::upsert::of_another_kind()),
        }
    }
    let mut fates: Vec<Option<Fate>> = vec![None; records.len()];
    // At first as if nobody were there, where the statement notices that.
    let mut looks = super::states::is_sqlite(outbox.dialect);
    for _ in 0..ATTEMPTS {
        let left: Vec<usize> = (0..given.len()).filter(|at| fates[*at].is_none()).collect();
        let mut there = HashMap::new();
        if looks {
            there = events(outbox, on, left.iter().map(|at| &*given[*at].1.event.id), Shows::State).await?;
        }
        looks = true;
        let mut puts = Vec::with_capacity(left.len());
        for at in left {
            let (record, stored) = given[at];
            let found = there.remove(&*stored.event.id).transpose().map_err(|error| error.with_id(&stored.event.id));
            match found.and_then(|found| replaced(record, found, conflict, now)) {
                Ok(Some(replaces)) => puts.push(Put { at, stored, replaces }),
                Ok(None) => fates[at] = Some(left_alone(record, conflict)),
                Err(error) => fates[at] = Some(Fate::Refused(error)),
            }
        }
        for at in put(outbox, on, &puts, now).await? {
            fates[at] = Some(Fate::Stored);
        }
        if fates.iter().all(Option::is_some) {
            return Ok(fates.into_iter().flatten().collect());
        }
    }
    let message = "others write events of the same ids at the same time";
    Err(Error::new(Kind::Backend, message).retryable(true).with_id(records.first().map_or("", Record::id)))
}

/// What was sent has times in columns that take no NULL.
fn checked(stored: &Stored) -> Result<&Stored> {
    if stored.status == EventStatus::Sent && (stored.sent_at.is_none() || stored.expires_at.is_none()) {
        return Err(Error::new(Kind::CorruptData, "an event that was sent must have sentAt and expiresAt"));
    }
    Ok(stored)
}

/// What a record replaces, which may be nothing; none if it is not to be stored.
#[allow(clippy::option_option)]
fn replaced(
    record: &Record,
    stored: Option<Stored>,
    conflict: Conflict,
    now: Millis,
) -> Result<Option<Option<Stored>>> {
    let Some(stored) = stored else { return Ok(Some(None)) };
    if !has_expired(stored.expires_at, now) && !conflict.replaces(record, &Record::Event(Box::new(stored.clone())))? {
        return Ok(None);
    }
    Ok(Some(Some(stored)))
}

/// Stores events in place of what they replace; the places of those that were stored.
async fn put<E: Executor>(outbox: &Outbox, on: &mut E, puts: &[Put<'_>], now: Millis) -> Result<Vec<usize>> {
    if puts.is_empty() {
        return Ok(Vec::new());
    }
    match outbox.dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => {
            let _ = now;
            super::events::put(outbox, on, puts).await
        }
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => super::event_rows::put(outbox, on, puts, now).await,
    }
}
