//! Executions, each with its whole log.

use std::collections::HashMap;

use super::{ATTEMPTS, Found, Listed, cursor, keys, left_alone};
use crate::contract::executions::record::{Execution, Logged};
use crate::contract::moving::record::{Key, Logbook, Record};
use crate::contract::moving::{Conflict, Fate, foreign_cursor, has_expired};
use crate::error::{Error, Kind, Result};
use crate::sql::executions::form::Form;
use crate::sql::executions::{ExecutionSql, changed_meanwhile, refused};
#[cfg(feature = "postgres")]
use crate::sql::executions::{form::tags_text, is_race, puts::COLUMNS};
use crate::sql::query::Query;
#[cfg(feature = "postgres")]
use crate::sql::rowset::{self, Column, Rowset};
#[cfg(feature = "postgres")]
use crate::sql::schema::TimeColumn;
use crate::sql::{Cell, Dialect, Executor, cells};
use crate::time::Millis;

/// An execution that is to be stored: its place among the others, and what it replaces.
struct Put<'a> {
    at: usize,
    logbook: &'a Logbook,
    replaces: Option<Execution>,
}

/// The executions that come next.
pub(super) async fn list<E: Executor>(
    sql: &ExecutionSql,
    on: &mut E,
    after: Option<&[String]>,
    most: i64,
) -> Result<Vec<Listed>> {
    let form = &sql.form;
    let (text, bytes) = match form.dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => ("::text", "octet_length(x.context::text)"),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => ("", "length(x.context)"),
    };
    let mut query = Query::new(
        form.dialect,
        format!(
            "select x.id{text} as id, coalesce({bytes}, 0) + x.log_bytes + 64 * x.log_seq as bytes from {} as x",
            sql.t
        ),
    );
    if let Some(after) = after {
        let [id] = cursor::parts::<1>(after)?;
        if id.contains('\0') {
            return Err(foreign_cursor());
        }
        query.push(" where x.id > ");
        query.bind(form.id_value(id).map_err(|_| foreign_cursor())?, form.id_cast());
    }
    query.push(" order by x.id limit ");
    query.int(most);
    let listed = query.run(on).await?.rows.into_iter().map(|row| {
        let [id, bytes] = cells(row);
        let id = form.read_id(id.into_text("id")?);
        let bytes = u64::try_from(bytes.into_int("bytes")?).unwrap_or_default();
        Ok(Listed { key: key(&id), place: vec![id.into()], bytes })
    });
    listed.collect()
}

/// Executions by their ids. Heads and logs are read one after the other: what has been changed between is read again.
pub(super) async fn look_up<E: Executor>(sql: &ExecutionSql, on: &mut E, keys: &[Key]) -> Result<Found> {
    let mut found = Found::with_capacity(keys.len());
    // Where ids are uuids, they can be written in several ways.
    let mut left: HashMap<String, &Key> = HashMap::with_capacity(keys.len());
    left.extend(keys.iter().filter_map(|key| Some((sql.form.id(&key.id).ok()?, key))));
    for attempt in 0..ATTEMPTS {
        if left.is_empty() {
            return Ok(found);
        }
        let is_first = attempt == 0;
        let mut heads = heads(sql, on, left.keys().map(String::as_str), true).await?;
        left.retain(|id, _| heads.contains_key(id));
        let mut logs = logs(sql, on, left.keys().map(String::as_str)).await?;
        left.retain(|id, key| {
            let read = match (heads.remove(id), logs.remove(id)) {
                (None, _) => return false,
                (Some(Err(error)), _) => Err(error),
                (Some(Ok((head, _))), Some((version, _))) if head.version != version => return true,
                // It is gone meanwhile, or its entries are.
                (Some(Ok((head, _))), None) if head.seq > 0 && is_first => return true,
                (Some(Ok((head, _))), log) => {
                    log.map_or(Ok(Vec::new()), |(_, log)| log).and_then(|log| whole(head, log))
                }
            };
            found.insert((*key).clone(), read.map_err(|error| error.with_id(&key.id)));
            false
        });
    }
    for key in left.into_values() {
        let message = "the execution is changed all the time";
        found.insert(key.clone(), Err(Error::new(Kind::Backend, message).retryable(true).with_id(&key.id)));
    }
    Ok(found)
}

fn key(id: &str) -> Key {
    Key { name: Box::default(), id: id.into() }
}

fn whole(execution: Execution, log: Vec<Logged>) -> Result<Record> {
    let numbers = log.iter().map(|logged| logged.seq);
    if numbers.ne(1..=execution.seq) {
        return Err(Error::new(Kind::CorruptData, "entries of its log are missing"));
    }
    Ok(Record::Execution(Box::new(Logbook { execution, log })))
}

/// Executions without their logs, by their stored ids, and the time by the server's clock where it has one.
async fn heads<'i, E: Executor>(
    sql: &ExecutionSql,
    on: &mut E,
    ids: impl Iterator<Item = &'i str>,
    with_context: bool,
) -> Result<HashMap<String, Result<(Execution, Option<Millis>)>>> {
    let form = &sql.form;
    let columns = form.columns("x.", with_context);
    let mut query = Query::new(form.dialect, format!("select {columns} from {} as x where ", sql.t));
    keys::is_one_of(&mut query, "x.id", ids, cast_of_one(form));
    let mut found = HashMap::new();
    for row in query.run(on).await.map_err(refused)?.rows {
        let id = stored_id(form, row.first().cloned().unwrap_or(Cell::Null))?;
        found.insert(id, form.read(row));
    }
    Ok(found)
}

/// What an element of a list of ids is cast to.
fn cast_of_one(form: &Form) -> &'static str {
    match form.id_cast() {
        "::text::uuid" => "::uuid",
        _ => "",
    }
}

/// An id as [`Form::id`] has it.
fn stored_id(form: &Form, cell: Cell) -> Result<String> {
    form.id(&form.read_id(cell.into_text("id")?))
}

/// Logs by the stored ids of their executions, each with the version that the execution has.
async fn logs<'i, E: Executor>(
    sql: &ExecutionSql,
    on: &mut E,
    ids: impl Iterator<Item = &'i str>,
) -> Result<HashMap<String, (i64, Result<Vec<Logged>>)>> {
    let (form, ExecutionSql { t, log, .. }) = (&sql.form, sql);
    let text = form.text();
    let version = match form.dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => "x.version::bigint",
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => "x.version",
    };
    let mut query = Query::new(
        form.dialect,
        format!(
            "select x.id{text} as id, {version} as version, l.seq as seq, l.step_name{text} as step_name, \
             l.action{text} as action, {} as status, l.step_id as step_id, l.details{text} as details, \
             l.body{text} as body, {} as at from {t} as x cross join {log} as l where ",
            Form::named(&form.step_status, "l.status"),
            form.time_of("l.created_at")
        ),
    );
    keys::is_one_of(&mut query, "x.id", ids, cast_of_one(form));
    query.push(" and l.saga_id = x.id and l.seq <= x.log_seq order by l.saga_id, l.seq");
    let mut found: HashMap<String, (i64, Result<Vec<Logged>>)> = HashMap::new();
    for mut row in query.run(on).await.map_err(refused)?.rows {
        let rest = row.split_off(2);
        let [id, version] = cells(row);
        let (id, version) = (stored_id(form, id)?, version.into_int("version")?);
        let (_, log) = found.entry(id).or_insert_with(|| (version, Ok(Vec::new())));
        match (log.as_mut(), sql.logged(rest)) {
            (Ok(log), Ok(logged)) => log.push(logged),
            (Ok(_), Err(error)) => *log = Err(error),
            (Err(_), _) => {}
        }
    }
    Ok(found)
}

/// Stores executions. What is there is looked at and judged; it is replaced if it is still the same.
pub(super) async fn store<E: Executor>(
    sql: &ExecutionSql,
    on: &mut E,
    records: &[Record],
    conflict: Conflict,
    now: Millis,
) -> Result<Vec<Fate>> {
    let mut logbooks = Vec::with_capacity(records.len());
    for record in records {
        match record {
            Record::Execution(logbook) => logbooks.push((record, &**logbook, sql.form.id(&logbook.execution.id)?)),
            _ => return Err(super::upsert::of_another_kind()),
        }
    }
    let mut fates: Vec<Option<Fate>> = vec![None; records.len()];
    // At first as if nobody were there, where the statement notices that.
    let mut looks = super::states::is_sqlite(sql.form.dialect);
    for _ in 0..ATTEMPTS {
        let left: Vec<usize> = (0..logbooks.len()).filter(|at| fates[*at].is_none()).collect();
        let mut there = HashMap::new();
        if looks {
            there = heads(sql, on, left.iter().map(|at| logbooks[*at].2.as_str()), false).await?;
        }
        looks = true;
        let mut puts = Vec::with_capacity(left.len());
        for at in left {
            let (record, logbook, id) = &logbooks[at];
            let stored = there.remove(id).transpose().map_err(|error| error.with_id(&logbook.execution.id));
            match stored.and_then(|stored| replaced(record, stored, conflict, now)) {
                Ok(Some(replaces)) => puts.push(Put { at, logbook, replaces }),
                Ok(None) => fates[at] = Some(left_alone(record, conflict)),
                Err(error) => fates[at] = Some(Fate::Refused(error)),
            }
        }
        for at in put(sql, on, &puts).await.map_err(refused)? {
            fates[at] = Some(Fate::Stored);
        }
        if fates.iter().all(Option::is_some) {
            return Ok(fates.into_iter().flatten().collect());
        }
    }
    Err(changed_meanwhile(records.first().map_or("", Record::id)))
}

/// What a record replaces, which may be nothing; none if it is not to be stored.
#[allow(clippy::option_option)]
fn replaced(
    record: &Record,
    stored: Option<(Execution, Option<Millis>)>,
    conflict: Conflict,
    now: Millis,
) -> Result<Option<Option<Execution>>> {
    let Some((stored, at)) = stored else { return Ok(Some(None)) };
    if !has_expired(stored.expires_at, at.unwrap_or(now)) {
        let living = Record::Execution(Box::new(Logbook { execution: stored.clone(), log: Vec::new() }));
        if !conflict.replaces(record, &living)? {
            return Ok(None);
        }
    }
    Ok(Some(Some(stored)))
}

/// Stores executions in place of what they replace; the places of those that were stored.
async fn put<E: Executor>(sql: &ExecutionSql, on: &mut E, puts: &[Put<'_>]) -> Result<Vec<usize>> {
    if puts.is_empty() {
        return Ok(Vec::new());
    }
    match sql.form.dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => match put_once(sql, on, puts).await {
            // Somebody has written to one of the logs: what is there now is looked at, once.
            Err(error) if is_race(&error) => put_once(sql, on, puts).await,
            done => done,
        },
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => {
            for Put { logbook, .. } in puts {
                let entries = logbook.log.iter().map(|logged| (&logged.entry, logged.at));
                sql.put_row(on, &logbook.execution, entries).await?;
            }
            Ok(puts.iter().map(|put| put.at).collect())
        }
    }
}

/// One statement.
#[cfg(feature = "postgres")]
async fn put_once<E: Executor>(sql: &ExecutionSql, on: &mut E, puts: &[Put<'_>]) -> Result<Vec<usize>> {
    let (form, ExecutionSql { t, log, .. }, as_json) = (&sql.form, sql, on.wants_base64());
    let mut ids = Vec::with_capacity(puts.len());
    for put in puts {
        ids.push(form.id(&put.logbook.execution.id)?);
    }
    let tags: Vec<Option<String>> = puts.iter().map(|put| tags_text(&put.logbook.execution.tags)).collect();
    let mut query = Query::new(form.dialect, String::from("with e as materialized "));
    rowset::bind(&mut query, "e", executions(form, puts, &ids, &tags), as_json);
    query.push(", l as materialized ");
    rowset::bind(&mut query, "l", entries(puts), as_json);
    let id = cast_of_one(form);
    let set: Vec<String> = COLUMNS.iter().skip(1).map(|column| format!("{column} = excluded.{column}")).collect();
    let logged_at = form.at(form.logged, "l.logged_at");
    // Behind the count of what is removed: the same numbers are stored anew.
    query.push(&format!(
        ", head as (insert into {t} as x ({}) select {} from e order by e.place on conflict (id) do update set {} \
         where exists (select 1 from e where e.id{id} = x.id and e.old_version = x.version \
         and e.old_operation is not distinct from x.last_operation and e.old_token is not distinct from x.token) \
         returning x.id), gone as (delete from {log} as l using head where l.saga_id = head.id returning 1), \
         n as materialized (select count(*) as n from gone), stored as ({} select head.id, l.seq, {}, {logged_at} \
         from n cross join l join e on e.place = l.owner join head on head.id = e.id{id} where n.n >= 0 returning 1) \
         select e.place from e join head on head.id = e.id{id}",
        COLUMNS.join(", "),
        stored_columns(form),
        set.join(", "),
        sql.append(),
        sql.stored_columns("l"),
    ));
    let mut stored = Vec::with_capacity(puts.len());
    for place in query.run(on).await?.rows.into_iter().flatten() {
        let place = usize::try_from(place.into_int("place")?).unwrap_or(usize::MAX);
        stored.extend(puts.get(place).map(|put| put.at));
    }
    Ok(stored)
}

/// The values of [`COLUMNS`], of a row `e`.
#[cfg(feature = "postgres")]
fn stored_columns(form: &Form) -> String {
    let value = |column: &&str| match *column {
        "id" => format!("e.id{}", cast_of_one(form)),
        "status" => Form::to_store(&form.status, "e.status"),
        "context" => format!("e.context::{}", form.context),
        "metadata" => String::from("e.metadata::json"),
        "tags" => String::from("e.tags::jsonb"),
        "created_at" => form.at(form.created, "e.created_at"),
        "updated_at" => form.at(form.updated, "e.updated_at"),
        "completed_at" | "parked_at" | "expires_at" | "due_at" => {
            form.at(TimeColumn::WithTimeZone, &format!("e.{column}"))
        }
        column => format!("e.{column}"),
    };
    COLUMNS.iter().map(value).collect::<Vec<_>>().join(", ")
}

#[cfg(feature = "postgres")]
fn executions<'a>(form: &Form, puts: &'a [Put<'a>], ids: &'a [String], tags: &'a [Option<String>]) -> Rowset<'a> {
    let all = || puts.iter().map(|put| &put.logbook.execution);
    let texts = |of: fn(&Execution) -> Option<&str>| Column::Texts(all().map(of).collect());
    let ints = |of: fn(&Execution) -> Option<i64>| Column::Ints(all().map(of).collect());
    let replaced = |of: fn(&Execution) -> Option<&str>| {
        Column::Texts(puts.iter().map(|put| put.replaces.as_ref().and_then(of)).collect())
    };
    let no_context = form.needs_context.then_some("null");
    vec![
        ("place", Column::Ints((0..).take(puts.len()).map(Some).collect())),
        // No execution has this version.
        (
            "old_version",
            Column::Ints(puts.iter().map(|put| Some(put.replaces.as_ref().map_or(-1, |old| old.version))).collect()),
        ),
        ("old_operation", replaced(|old| old.last_operation.as_ref().map(|last| &*last.id))),
        ("old_token", replaced(|old| old.token.as_deref())),
        ("id", Column::Texts(ids.iter().map(|id| Some(id.as_str())).collect())),
        ("name", texts(|of| Some(&of.name))),
        ("status", texts(|of| Some(of.status.name()))),
        ("sub_status", texts(|of| of.sub_status.as_deref())),
        ("context", Column::Texts(all().map(|of| of.context.as_deref().or(no_context)).collect())),
        ("metadata", texts(|of| of.metadata.as_deref())),
        ("tags", Column::Texts(tags.iter().map(Option::as_deref).collect())),
        ("version", ints(|of| Some(of.version))),
        ("log_seq", ints(|of| Some(of.seq))),
        ("log_bytes", ints(|of| Some(of.log_bytes))),
        ("token", texts(|of| of.token.as_deref())),
        ("worker_id", texts(|of| of.worker.as_deref())),
        ("recovery_attempts", ints(|of| Some(of.attempts))),
        ("last_error", texts(|of| of.last_error.as_deref())),
        ("last_operation", texts(|of| of.last_operation.as_ref().map(|last| &*last.id))),
        ("last_version", ints(|of| of.last_operation.as_ref().map(|last| last.version))),
        ("last_seq", ints(|of| of.last_operation.as_ref().and_then(|last| last.first_seq))),
        ("created_at", ints(|of| Some(of.created_at.0))),
        ("updated_at", ints(|of| Some(of.updated_at.0))),
        ("completed_at", ints(|of| of.completed_at.map(|at| at.0))),
        ("parked_at", ints(|of| of.parked_at.map(|at| at.0))),
        ("expires_at", ints(|of| of.expires_at.map(|at| at.0))),
        ("due_at", ints(|of| of.due_at.map(|at| at.0))),
    ]
}

/// The entries of all logs, each with the place of its execution.
#[cfg(feature = "postgres")]
fn entries<'a>(puts: &'a [Put<'a>]) -> Rowset<'a> {
    let all = || (0..).zip(puts).flat_map(|(owner, put)| put.logbook.log.iter().map(move |logged| (owner, logged)));
    let texts = |of: fn(&Logged) -> Option<&str>| Column::Texts(all().map(|(_, logged)| of(logged)).collect());
    vec![
        ("owner", Column::Ints(all().map(|(owner, _)| Some(owner)).collect())),
        ("seq", Column::Ints(all().map(|(_, logged)| Some(logged.seq)).collect())),
        ("logged_at", Column::Ints(all().map(|(_, logged)| Some(logged.at.0)).collect())),
        ("step", texts(|logged| Some(&logged.entry.step))),
        ("action", texts(|logged| Some(logged.entry.action.name()))),
        ("status", texts(|logged| Some(logged.entry.status.name()))),
        ("step_id", texts(|logged| logged.entry.step_id.as_deref())),
        ("details", texts(|logged| logged.entry.details.as_deref())),
        ("body", texts(|logged| logged.entry.body.as_deref())),
    ]
}
