//! Payloads.

use super::upsert::{self, Column, Upsert, of_another_kind};
use super::{Found, Listed, cursor, keys};
use crate::contract::moving::record::{Body, Key, Payload, Record};
use crate::contract::moving::{Conflict, Fate, HEAD_BYTES, Page, Stat, behind_prefix, foreign_cursor};
use crate::error::{Error, Kind, Result};
use crate::sql::outbox::reads::wants_base64;
use crate::sql::payloads::PayloadSql;
use crate::sql::query::Query;
#[cfg(feature = "postgres")]
use crate::sql::schema::at_millis;
use crate::sql::{Cell, Dialect, Executor, Value, cells};
use crate::time::Millis;

/// The ids that come next.
pub(super) async fn list<E: Executor>(
    sql: &PayloadSql,
    on: &mut E,
    after: Option<&[String]>,
    most: i64,
) -> Result<Vec<Listed>> {
    let (t, text) = (&sql.t, Query::new(sql.dialect, String::new()).text_cast());
    let size = size(sql.dialect);
    let mut query = Query::new(sql.dialect, format!("select x.id{text} as id, {size} as bytes from {t} as x"));
    if let Some(after) = after {
        let [id] = cursor::parts::<1>(after)?;
        if id.contains('\0') {
            return Err(foreign_cursor());
        }
        query.push(" where x.id > ");
        query.text(id);
    }
    query.push(" order by x.id limit ");
    query.int(most);
    let listed = query.run(on).await?.rows.into_iter().map(|row| {
        let [id, bytes] = cells(row);
        let (id, bytes) = (id.into_text("id")?, u64::try_from(bytes.into_int("bytes")?).unwrap_or_default());
        Ok(Listed { key: key(&id), place: vec![id], bytes })
    });
    listed.collect()
}

/// A page of payloads without their bytes, in the order of the bytes of their ids. (PostgreSQL's index has another
/// order, unless the database is in the locale C: the ids of the index are sorted for each page.)
pub(super) async fn page<E: Executor>(
    sql: &PayloadSql,
    on: &mut E,
    prefix: &str,
    after: Option<&str>,
    limit: u64,
) -> Result<Page> {
    if [prefix, after.unwrap_or_default()].iter().any(|text| text.contains('\0')) {
        return if after.is_some() { Err(foreign_cursor()) } else { Ok(Page::default()) };
    }
    let bytewise = match sql.dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => " collate \"C\"",
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => "",
    };
    let end = behind_prefix(prefix);
    let text = Query::new(sql.dialect, String::new()).text_cast();
    let mut query =
        Query::new(sql.dialect, format!("select x.id{text} as id from {} as x where x.id{bytewise} >= ", sql.t));
    query.text(prefix);
    if let Some(end) = &end {
        query.push(&format!(" and x.id{bytewise} < "));
        query.text(end);
    }
    if let Some(after) = after {
        query.push(&format!(" and x.id{bytewise} > "));
        query.text(after);
    }
    query.push(&format!(" order by x.id{bytewise} limit "));
    query.int(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX));
    let mut ids: Vec<String> = Vec::new();
    for row in query.run(on).await?.rows {
        let [id] = cells(row);
        ids.push(id.into_text("id")?);
    }
    let mut page = Page::default();
    if ids.len() as u64 > limit {
        ids.pop();
        page.cursor = ids.last().cloned();
    }
    let keys: Vec<Key> = ids.iter().map(|id| key(id)).collect();
    let mut found = look_up(sql, on, &keys, true).await?;
    for key in &keys {
        match found.remove(key) {
            // Removed meanwhile.
            None => {}
            Some(Ok(record)) => page.records.push(record),
            Some(Err(error)) => page.unreadable.push((key.id.to_string(), error.message().to_owned())),
        }
    }
    Ok(page)
}

/// What is known of a payload.
pub(super) async fn stat<E: Executor>(sql: &PayloadSql, on: &mut E, id: &str) -> Result<Option<Stat>> {
    let (t, dialect, encoded) = (&sql.t, sql.dialect, wants_base64(on));
    let head = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres if encoded => format!("encode(substring(x.data from 1 for {HEAD_BYTES}), 'base64')"),
        #[cfg(feature = "postgres")]
        Dialect::Postgres => format!("substring(x.data from 1 for {HEAD_BYTES})"),
        #[cfg(feature = "sqlite")]
        // As text: an expression has no type that tells Prisma of bytes.
        Dialect::Sqlite => format!("hex(substr(x.data, 1, {HEAD_BYTES}))"),
    };
    let expires_at = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => millis_of("x.expires_at"),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => String::from("x.expires_at"),
    };
    let columns = format!("{} as bytes, {head} as head, {expires_at} as expires_at", size(dialect));
    let mut query = Query::new(dialect, format!("select {columns} from {t} as x where x.id = "));
    query.text(id);
    let Some(row) = query.run(on).await?.rows.into_iter().next() else { return Ok(None) };
    let [bytes, head, expires_at] = cells(row);
    let head = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres if encoded => head.into_encoded_bytes("data")?,
        #[cfg(feature = "postgres")]
        Dialect::Postgres => head.into_bytes("data")?,
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => of_hex(&head.into_text("data")?)?,
    };
    let bytes = u64::try_from(bytes.into_int("bytes")?).unwrap_or_default();
    Ok(Some(Stat { bytes, head, expires_at: time(dialect, expires_at, "expires_at")? }))
}

/// The bytes that a hexadecimal text stands for.
#[cfg(feature = "sqlite")]
fn of_hex(text: &str) -> Result<bytes::Bytes> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.map(bytes::Bytes::from).ok_or_else(|| Error::new(Kind::Backend, "hex() answers no hexadecimal text"))
}

/// Payloads by their ids.
pub(super) async fn look_up<E: Executor>(
    sql: &PayloadSql,
    on: &mut E,
    keys: &[Key],
    only_sizes: bool,
) -> Result<Found> {
    let (t, dialect) = (&sql.t, sql.dialect);
    let encoded = !only_sizes && wants_base64(on);
    let body = match size(dialect) {
        size if only_sizes => size,
        _ if encoded => "encode(x.data, 'base64')",
        _ => "x.data",
    };
    let columns = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => format!("x.id::text as id, {body} as body, {} as expires_ms", millis_of("x.expires_at")),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => format!("x.id as id, {body} as body, x.expires_at as expires_at"),
    };
    let mut query = Query::new(dialect, format!("select {columns} from {t} as x where "));
    keys::is_one_of(&mut query, "x.id", keys.iter().map(|key| &*key.id), "");
    let mut found = Found::with_capacity(keys.len());
    for row in query.run(on).await?.rows {
        let [id, body, expires_at] = cells(row);
        let id: Box<str> = id.into_text("id")?.into();
        let read = || -> Result<Record> {
            let body = match body {
                size if only_sizes => Body::Size(u64::try_from(size.into_int("bytes")?).unwrap_or_default()),
                #[cfg(feature = "postgres")]
                text if encoded => Body::Whole(text.into_encoded_bytes("data")?),
                bytes => Body::Whole(bytes.into_bytes("data")?),
            };
            Ok(Record::Payload(Payload { id: id.clone(), body, expires_at: time(dialect, expires_at, "expires_at")? }))
        };
        found.insert(key(&id), read().map_err(|error| error.with_id(&id)));
    }
    Ok(found)
}

/// Stores payloads in one statement.
pub(super) async fn store<E: Executor>(
    sql: &PayloadSql,
    on: &mut E,
    records: &[Record],
    conflict: Conflict,
    now: Millis,
) -> Result<Vec<Fate>> {
    let dialect = sql.dialect;
    let mut given = Vec::with_capacity(records.len());
    for record in records {
        match record {
            Record::Payload(Payload { id, body: Body::Whole(data), expires_at }) => given.push((id, data, *expires_at)),
            Record::Payload(_) => return Err(Error::invalid("a payload without its bytes cannot be stored")),
            _ => return Err(of_another_kind()),
        }
    }
    let rows = Upsert {
        dialect,
        t: &sql.t,
        key: (None, "id"),
        columns: vec![
            Column::texts("id", "", given.iter().map(|(id, ..)| &***id)),
            Column::times(dialect, sql.time, "expires_at", given.iter().map(|(.., expires_at)| *expires_at)),
            Column::blobs("data", given.iter().map(|(_, data, _)| *data)),
        ],
        forgets: &[],
    };
    let is_newer = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => String::from(
            "(isfinite(x.expires_at) and (excluded.expires_at is null or excluded.expires_at > x.expires_at))",
        ),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => {
            let [there, given] = ["x.expires_at", "excluded.expires_at"].map(sqlite_millis);
            format!("(x.expires_at is not null and (excluded.expires_at is null or {given} > {there}))")
        }
    };
    let is_over = |query: &mut Query<'_>| match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => {
            query.push("x.expires_at <= ");
            let now = query.placeholder(Value::Int(now.0));
            query.push(&at_millis(sql.time, &format!("{now}::bigint")));
        }
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => {
            query.push(&format!("{} <= ", sqlite_millis("x.expires_at")));
            query.int(now.0);
        }
    };
    let stored = rows.run(on, records.len(), |query| upsert::replaces(query, conflict, is_over, &is_newer)).await?;
    Ok(upsert::fates(records, &stored, conflict))
}

fn key(id: &str) -> Key {
    Key { name: Box::default(), id: id.into() }
}

/// How many bytes a payload has, without reading it.
fn size(dialect: Dialect) -> &'static str {
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => "octet_length(x.data)",
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => "length(x.data)",
    }
}

/// PostgreSQL's column of times in milliseconds. What others have as `infinity` never ends.
#[cfg(feature = "postgres")]
pub(super) fn millis_of(column: &str) -> String {
    format!(
        "case when isfinite({column}) then (extract(epoch from date_trunc('milliseconds', {column})) * 1000)::bigint end"
    )
}

/// SQLite's column of times in milliseconds: other programs may have written another form of ISO 8601, or numbers.
#[cfg(feature = "sqlite")]
fn sqlite_millis(column: &str) -> String {
    format!(
        "case typeof({column}) when 'integer' then {column} \
         else cast(round((julianday({column}) - 2440587.5) * 86400000) as integer) end"
    )
}

/// A time, as it was answered.
pub(super) fn time(dialect: Dialect, cell: Cell, column: &str) -> Result<Option<Millis>> {
    match (dialect, cell) {
        (_, Cell::Null) => Ok(None),
        #[cfg(feature = "sqlite")]
        (Dialect::Sqlite, Cell::Text(text)) => Millis::from_iso(&text)
            .map(Some)
            .ok_or_else(|| Error::new(Kind::CorruptData, format!("column {column} holds no ISO 8601 time"))),
        (_, cell) => cell.into_int(column).map(|millis| Some(Millis(millis))),
    }
}

/// A time that is never missing.
pub(super) fn needed_time(dialect: Dialect, cell: Cell, column: &str) -> Result<Millis> {
    time(dialect, cell, column)?
        .ok_or_else(|| Error::new(Kind::CorruptData, format!("column {column} holds NULL where a time should be")))
}
