//! Saga state. Many sagas are stored by one statement. The server refuses it where a correlation id is taken: then each
//! saga is looked at alone.

use super::payloads::{needed_time, time};
use super::upsert::{self, Column, Upsert, key_of, of_another_kind};
use super::{ATTEMPTS, Found, Listed, cursor, keys, left_alone};
use crate::contract::moving::record::{Key, Record, State};
use crate::contract::moving::{Conflict, Fate, foreign_cursor};
use crate::contract::states::{Saga, correlation_taken};
use crate::error::{Error, Kind, Result};
use crate::sql::query::Query;
use crate::sql::schema::TimeColumn;
use crate::sql::states::StateSql;
use crate::sql::{Cell, Dialect, Executor, Value, cells, sql_state};
use crate::time::Millis;

/// What is kept beside a saga about the worker that has its timeout.
const LEASE: [&str; 3] = ["timeout_claimed_by", "timeout_claimed_until", "timeout_claimed_for"];

fn time_column(dialect: Dialect) -> TimeColumn {
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => TimeColumn::WithTimeZone,
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => TimeColumn::Text,
    }
}

/// The sagas that come next.
pub(super) async fn list<E: Executor>(
    sql: &StateSql,
    on: &mut E,
    after: Option<&[String]>,
    most: i64,
) -> Result<Vec<Listed>> {
    let t = sql.table.quoted();
    let (text, size) = match sql.dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => ("::text", "octet_length(x.state::text)"),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => ("", "length(x.state)"),
    };
    let columns = format!("x.saga_name{text} as name, x.id{text} as id, {size} as bytes");
    let mut query = Query::new(sql.dialect, format!("select {columns} from {t} as x"));
    of_pairs_behind(&mut query, ["saga_name", "id"], after, most)?;
    listed(query, on).await
}

/// Goes on with rows behind a pair, by their key.
pub(super) fn of_pairs_behind<'a>(
    query: &mut Query<'a>,
    [name, id]: [&str; 2],
    after: Option<&'a [String]>,
    most: i64,
) -> Result<()> {
    if let Some(after) = after {
        let parts = cursor::parts::<2>(after)?;
        if parts.iter().any(|part| part.contains('\0')) {
            return Err(foreign_cursor());
        }
        query.push(&format!(" where (x.{name}, x.{id}) > ("));
        query.text(&parts[0]);
        query.push(", ");
        query.text(&parts[1]);
        query.push(")");
    }
    query.push(&format!(" order by x.{name}, x.{id} limit "));
    query.int(most);
    Ok(())
}

/// Names, ids and sizes.
pub(super) async fn listed<E: Executor>(query: Query<'_>, on: &mut E) -> Result<Vec<Listed>> {
    let listed = query.run(on).await?.rows.into_iter().map(|row| {
        let [name, id, bytes] = cells(row);
        let bytes = if bytes == Cell::Null { 0 } else { bytes.into_int("bytes")? };
        let key = key_of(name, id)?;
        Ok(Listed {
            place: vec![key.name.to_string(), key.id.to_string()],
            key,
            bytes: u64::try_from(bytes).unwrap_or_default(),
        })
    });
    listed.collect()
}

fn columns(dialect: Dialect) -> String {
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => {
            let at = |name: &str| format!("{} as {name}_ms", super::payloads::millis_of(&format!("x.{name}")));
            format!(
                "x.saga_name::text as name, x.id::text as id, x.correlation_id::text as correlation_id, \
                 x.version::bigint as version, x.is_completed::int as is_completed, {}, {}, {}, {}, {}, \
                 x.state::text as state",
                at("created_at"),
                at("updated_at"),
                at("completed_at"),
                at("timeout_at"),
                at("expires_at")
            )
        }
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => String::from(
            "x.saga_name as name, x.id as id, x.correlation_id as correlation_id, x.version as version, \
             x.is_completed as is_completed, x.created_at as created_at, x.updated_at as updated_at, \
             x.completed_at as completed_at, x.timeout_at as timeout_at, x.expires_at as expires_at, x.state as state",
        ),
    }
}

/// Sagas by their names and ids.
pub(super) async fn look_up<E: Executor>(sql: &StateSql, on: &mut E, keys: &[Key]) -> Result<Found> {
    let mut query = Query::new(sql.dialect, String::new());
    keys::of_pairs(&mut query, &sql.table.quoted(), &columns(sql.dialect), ["saga_name", "id"], keys);
    let mut found = Found::with_capacity(keys.len());
    for row in query.run(on).await?.rows {
        let mut row = row.into_iter();
        let mut next = || row.next().unwrap_or(Cell::Null);
        let key = key_of(next(), next())?;
        let record = read(sql.dialect, &key, &mut next).map_err(|error| error.with_id(&key.id));
        found.insert(key, record);
    }
    Ok(found)
}

fn read(dialect: Dialect, key: &Key, next: &mut impl FnMut() -> Cell) -> Result<Record> {
    let correlation_id = next().into_text("correlation_id")?.into();
    let saga = Saga {
        name: key.name.clone(),
        id: key.id.clone(),
        version: next().into_int("version")?,
        completed: next().into_int("is_completed")? != 0,
        created_at: needed_time(dialect, next(), "created_at")?,
        updated_at: needed_time(dialect, next(), "updated_at")?,
        completed_at: time(dialect, next(), "completed_at")?,
        timeout_at: time(dialect, next(), "timeout_at")?,
        expires_at: time(dialect, next(), "expires_at")?,
        state: next().into_text("state")?.into(),
    };
    Ok(Record::State(Box::new(State { saga, correlation_id })))
}

/// Stores sagas.
pub(super) async fn store<E: Executor>(
    sql: &StateSql,
    on: &mut E,
    records: &[Record],
    conflict: Conflict,
    now: Millis,
) -> Result<Vec<Fate>> {
    let mut states = Vec::with_capacity(records.len());
    for record in records {
        match record {
            Record::State(state) => states.push(&**state),
            _ => return Err(of_another_kind()),
        }
    }
    match (records, states.as_slice()) {
        ([record], [state]) => store_alone(sql, on, record, state, conflict, now).await.map(|fate| vec![fate]),
        _ => together(sql, on, records, &states, conflict, now).await,
    }
}

/// Stores sagas in one statement.
async fn together<E: Executor>(
    sql: &StateSql,
    on: &mut E,
    records: &[Record],
    states: &[&State],
    conflict: Conflict,
    now: Millis,
) -> Result<Vec<Fate>> {
    let (dialect, t) = (sql.dialect, sql.table.quoted());
    let cast = |cast: &'static str| if is_sqlite(dialect) { "" } else { cast };
    let sagas = || states.iter().map(|state| &state.saga);
    let times = |name: &'static str, of: fn(&Saga) -> Option<Millis>| {
        Column::times(dialect, time_column(dialect), name, sagas().map(of))
    };
    let rows = Upsert {
        dialect,
        t: &t,
        key: (Some("saga_name"), "id"),
        columns: vec![
            Column::texts("saga_name", "", sagas().map(|saga| &*saga.name)),
            Column::texts("id", "", sagas().map(|saga| &*saga.id)),
            Column::texts("correlation_id", "", states.iter().map(|state| &*state.correlation_id)),
            Column::ints("version", sagas().map(|saga| saga.version)),
            Column::flags("is_completed", sagas().map(|saga| saga.completed)),
            times("created_at", |saga| Some(saga.created_at)),
            times("updated_at", |saga| Some(saga.updated_at)),
            times("completed_at", |saga| saga.completed_at),
            times("timeout_at", |saga| saga.timeout_at),
            times("expires_at", |saga| saga.expires_at),
            Column::texts("state", cast("::jsonb"), sagas().map(|saga| &*saga.state)),
        ],
        forgets: &LEASE,
    };
    let is_over = |query: &mut Query<'_>| {
        query.push("x.expires_at <= ");
        now_of(query, now);
    };
    let is_newer = "(excluded.version, excluded.updated_at) > (x.version, x.updated_at)";
    let stored = rows.run(on, records.len(), |query| upsert::replaces(query, conflict, is_over, is_newer)).await?;
    Ok(upsert::fates(records, &stored, conflict))
}

/// Stores a saga, or says what is in its way.
async fn store_alone<E: Executor>(
    sql: &StateSql,
    on: &mut E,
    record: &Record,
    state: &State,
    conflict: Conflict,
    now: Millis,
) -> Result<Fate> {
    let key = record.key();
    for _ in 0..ATTEMPTS {
        let there = look_up(sql, on, std::slice::from_ref(&key)).await?.remove(&key).transpose()?;
        let living = there.filter(|there| there.expires_at().is_none_or(|at| at > now));
        if let Some(living) = living
            && !conflict.replaces(record, &living)?
        {
            return Ok(left_alone(record, conflict));
        }
        clear(sql, on, state, now).await?;
        match together(sql, on, std::slice::from_ref(record), &[state], conflict, now).await {
            // Others have come between: the correlation id is taken, or the saga is not what it was.
            Err(error) if sql_state(&error) == Some("23505") => {}
            Ok(fates) if !matches!(fates.as_slice(), [Fate::Stored]) => {}
            done => return done.map(|fates| fates.into_iter().next().unwrap_or(Fate::Skipped)),
        }
    }
    let message = "others write sagas with these ids at the same time";
    Err(Error::new(Kind::Backend, message).retryable(true).with_id(&key.id))
}

/// Removes another saga that has the correlation id and whose time is over; an error if it lives.
async fn clear<E: Executor>(sql: &StateSql, on: &mut E, state: &State, now: Millis) -> Result<()> {
    let (t, State { saga, correlation_id }) = (sql.table.quoted(), state);
    let other = |query: &mut Query<'_>| {
        let texts = [&saga.name, correlation_id, &saga.id];
        for (text, column) in texts.into_iter().zip(["x.saga_name = ", " and x.correlation_id = ", " and x.id <> "]) {
            query.push(column);
            let cast = query.text_cast();
            query.bind(Value::Text(text.to_string().into()), cast);
        }
    };
    let mut query = Query::new(sql.dialect, String::from("select case when x.expires_at <= "));
    now_of(&mut query, now);
    query.push(&format!(" then 1 else 0 end as is_over from {t} as x where "));
    other(&mut query);
    for is_over in query.run(on).await?.rows.into_iter().flatten() {
        if is_over.into_int("expires_at")? == 0 {
            return Err(correlation_taken(saga, correlation_id).with_id(&saga.id));
        }
        let mut removal = Query::new(sql.dialect, format!("delete from {t} as x where "));
        other(&mut removal);
        removal.push(" and x.expires_at <= ");
        now_of(&mut removal, now);
        removal.run(on).await?;
    }
    Ok(())
}

fn now_of(query: &mut Query<'_>, now: Millis) {
    let at = query.placeholder(query.dialect.time(now));
    query.push(&match query.dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => crate::sql::schema::at_millis(TimeColumn::WithTimeZone, &format!("{at}::bigint")),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => at,
    });
}

pub(super) fn is_sqlite(dialect: Dialect) -> bool {
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => false,
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => true,
    }
}
