//! Several sagas in one statement, on PostgreSQL: updates in one commit, lookups in one round trip.

use std::collections::HashSet;

use super::ended;
use crate::contract::states::{OneState, Saga};
use crate::error::Result;
use crate::sql::schema::{TimeColumn, at_millis};
use crate::sql::{Executor, Table, Value};
use crate::time::Millis;

/// An update, and the version that it expects.
pub(crate) type Expected<'a> = (&'a Saga, i64);

/// The statement for one table of sagas.
pub(crate) fn statement(table: &Table) -> String {
    let t = table.quoted();
    let at = |value| at_millis(TimeColumn::WithTimeZone, value);
    format!(
        "update {t} as s set version = u.version, is_completed = u.completed <> 0, state = u.state::jsonb, \
         updated_at = {}, completed_at = case when u.completed <> 0 then {} end, timeout_at = {}, expires_at = {} \
         from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], \
         $8::bigint[], $9::bigint[], $10::bigint[]) \
         as u(name, id, expected, version, completed, state, updated_ms, completed_ms, timeout_ms, expires_ms) \
         where s.saga_name = u.name and s.id = u.id and s.version = u.expected \
         and (s.expires_at is null or s.expires_at > {}) returning s.saga_name, s.id",
        at("u.updated_ms"),
        ended("s.", &at("u.completed_ms")),
        at("u.timeout_ms"),
        at("u.expires_ms"),
        at("$11::bigint")
    )
}

/// Updates sagas of different ids; which of them had the version that was expected, by name and id.
pub(crate) async fn update<E: Executor>(
    on: &mut E,
    statement: &str,
    updates: &[Expected<'_>],
    now: Millis,
) -> Result<HashSet<(String, String)>> {
    // In one order, so that two statements do not wait for each other.
    let mut updates = updates.to_vec();
    updates.sort_by_key(|(saga, _)| (&saga.name, &saga.id));
    let texts = |of: fn(&Saga) -> &str| Value::Texts(updates.iter().map(|(saga, _)| of(saga)).collect());
    let numbers = |of: fn(&Saga) -> Option<i64>| Value::Ints(updates.iter().map(|(saga, _)| of(saga)).collect());
    let values = [
        texts(|saga| &saga.name),
        texts(|saga| &saga.id),
        Value::Ints(updates.iter().map(|(_, expected)| Some(*expected)).collect()),
        numbers(|saga| Some(saga.version)),
        numbers(|saga| Some(saga.completed.into())),
        texts(|saga| &saga.state),
        numbers(|saga| Some(saga.updated_at.0)),
        numbers(|saga| saga.completed_at.map(|at| at.0)),
        numbers(|saga| saga.timeout_at.map(|at| at.0)),
        numbers(|saga| saga.expires_at.map(|at| at.0)),
        Value::Int(now.0),
    ];
    let mut met = HashSet::with_capacity(updates.len());
    for row in on.run(statement, &values).await?.rows {
        let mut cells = row.into_iter();
        if let (Some(name), Some(id)) = (cells.next(), cells.next()) {
            met.insert((name.into_text("saga_name")?, id.into_text("id")?));
        }
    }
    Ok(met)
}

/// The statement that looks sagas up by a column that is unique for each name.
pub(crate) fn lookup(table: &Table, column: &str) -> String {
    format!(
        "select k.place, s.correlation_id, s.state::text from unnest($1::text[], $2::text[]) with ordinality as k(name, id, place) \
         join {} as s on s.saga_name = k.name and s.{column} = k.id \
         where s.expires_at is null or s.expires_at > {}",
        table.quoted(),
        at_millis(TimeColumn::WithTimeZone, "$3::bigint")
    )
}

/// Looks sagas up by their names and ids; the states that there are, in the order of these.
pub(crate) async fn look_up<E: Executor>(
    on: &mut E,
    statement: &str,
    keys: &[(&str, &str)],
    now: Millis,
) -> Result<Vec<Option<OneState>>> {
    let (names, ids) = keys.iter().copied().unzip();
    let mut states = vec![None; keys.len()];
    for row in on.run(statement, &[Value::Texts(names), Value::Texts(ids), Value::Int(now.0)]).await?.rows {
        let mut cells = row.into_iter();
        if let (Some(place), Some(correlation_id), Some(state)) = (cells.next(), cells.next(), cells.next()) {
            let place = usize::try_from(place.into_int("place")?).unwrap_or_default();
            // Counted from 1.
            if let Some(found) = place.checked_sub(1).and_then(|place| states.get_mut(place)) {
                let correlation_id = Some(correlation_id.into_text("correlation_id")?.into());
                *found = Some(OneState { state: state.into_text("state")?, correlation_id });
            }
        }
    }
    Ok(states)
}
