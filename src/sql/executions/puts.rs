//! Executions that are made, replaced and removed on PostgreSQL, each with its whole log in one statement.

use super::changes::{ATTEMPTS, bounded};
use super::form::{Form, tags_text};
use super::{Around, ExecutionSql, cells, changed_meanwhile, created, entries, is_race, made_before, rowset};
use crate::contract::executions::judge;
use crate::contract::executions::record::Execution;
use crate::contract::executions::{Creation, Replacement};
use crate::contract::step::Reply;
use crate::error::{Error, Result};
use crate::sql::query::Query;
use crate::sql::schema::TimeColumn;
use crate::sql::{Executor, Value};
use crate::time::Millis;

/// The columns that a put writes, in the order of its values.
pub(in crate::sql) const COLUMNS: [&str; 23] = [
    "id",
    "name",
    "status",
    "sub_status",
    "context",
    "metadata",
    "tags",
    "version",
    "log_seq",
    "log_bytes",
    "token",
    "worker_id",
    "recovery_attempts",
    "last_error",
    "last_operation",
    "last_version",
    "last_seq",
    "created_at",
    "updated_at",
    "completed_at",
    "parked_at",
    "expires_at",
    "due_at",
];

impl ExecutionSql {
    /// Stores a new one.
    pub(super) async fn create<E: Executor>(
        &self,
        on: &mut E,
        creation: &Creation,
        around: Around,
        now: Millis,
    ) -> Result<Reply> {
        let (execution, answer) = judge::created(creation, now)?;
        let mut over = None;
        for _ in 0..ATTEMPTS {
            if let Some(due_at) = self.put_unless_raced(on, &execution, creation, over.as_ref(), around).await? {
                return Ok(created(Execution { due_at, ..execution }, answer, creation));
            }
            match self.stored(on, &creation.id, false, now).await? {
                Some((stored, now)) if stored.lives_at(now) => {
                    let answer = made_before(&stored, creation)?;
                    return Ok(created(stored, answer, creation));
                }
                // One whose time is over does not exist.
                found => over = found.map(|(stored, _)| stored),
            }
        }
        Err(changed_meanwhile(&creation.id))
    }

    /// Stores one, or replaces it.
    pub(super) async fn replace<E: Executor>(
        &self,
        on: &mut E,
        replacement: &Replacement,
        around: Around,
        now: Millis,
    ) -> Result<Reply> {
        let creation = &replacement.creation;
        for _ in 0..ATTEMPTS {
            let found = self.stored(on, &creation.id, false, now).await?;
            let living = found.as_ref().filter(|(stored, now)| stored.lives_at(*now)).map(|(stored, _)| stored);
            let (execution, answer) = judge::replaced(living, replacement, now)?;
            let is_stored = living == Some(&execution);
            let stored = found.as_ref().map(|(stored, _)| stored);
            if is_stored || self.put_unless_raced(on, &execution, creation, stored, around).await?.is_some() {
                return Ok(Reply::Value(answer.into_dynamic()));
            }
        }
        Err(changed_meanwhile(&creation.id))
    }

    /// The same as [`ExecutionSql::put`]; nothing as well where another statement came between.
    async fn put_unless_raced<E: Executor>(
        &self,
        on: &mut E,
        execution: &Execution,
        creation: &Creation,
        replaces: Option<&Execution>,
        around: Around,
    ) -> Result<Option<Option<Millis>>> {
        match self.put(on, execution, creation, replaces).await {
            Err(error) if is_race(&error) && around == Around::Savepoint => Ok(None),
            Err(error) if is_race(&error) => Err(changed_meanwhile(&execution.id)),
            done => done,
        }
    }

    /// Stores an execution with its whole log where there is none, or in place of the one that was looked at. Answers
    /// when it is due; nothing if there is another one, which stays as it is.
    async fn put<E: Executor>(
        &self,
        on: &mut E,
        execution: &Execution,
        creation: &Creation,
        replaces: Option<&Execution>,
    ) -> Result<Option<Option<Millis>>> {
        let Self { form, t, log, .. } = self;
        let mut query = Query::new(form.dialect, String::from("with e as materialized "));
        rowset::bind(&mut query, "e", entries::rowset(&[(0, &creation.entries)]), on.wants_base64());
        query.push(&format!(", head as (insert into {t} as x ({}) values (", COLUMNS.join(", ")));
        self.put_values(&mut query, execution, creation)?;
        let columns: Vec<String> =
            COLUMNS.iter().skip(1).map(|column| format!("{column} = excluded.{column}")).collect();
        query.push(&format!(") on conflict (id) do update set {} where x.version = ", columns.join(", ")));
        // No execution has this version.
        query.int(replaces.map_or(-1, |stored| stored.version));
        query.push(" and x.last_operation is not distinct from ");
        let last = replaces.and_then(|stored| stored.last_operation.as_ref());
        query.bind(owned(last.map(|last| &*last.id)), "::text");
        query.push(" and x.token is not distinct from ");
        query.bind(owned(replaces.and_then(|stored| stored.token.as_deref())), "::text");
        // Behind the count of what is removed: the same numbers are stored anew.
        query.push(&format!(
            " returning x.id, x.due_at), gone as (delete from {log} as l using head where l.saga_id = head.id returning 1), \
             n as materialized (select count(*) as n from gone), stored as ({} select head.id, e.nth, {}, ",
            self.append(),
            self.stored_columns("e")
        ));
        let at = query.placeholder(Value::Int(creation.at.0));
        query.push(&form.at(form.logged, &at));
        query.push(&format!(
            " from n cross join head cross join e where n.n >= 0 returning 1) select {} as due_ms from head",
            form.time_of("due_at")
        ));
        let row = query.run(on).await?.rows.into_iter().next();
        row.map(|row| {
            let [due] = cells(row);
            form.read_time(due, "due_at")
        })
        .transpose()
    }

    /// The values of [`COLUMNS`].
    fn put_values<'a>(&self, query: &mut Query<'a>, of: &Execution, creation: &Creation) -> Result<()> {
        let form = &self.form;
        query.bind(form.id_value(&of.id)?, form.id_cast());
        let text = |query: &mut Query<'a>, text: Option<&str>, cast: &str| {
            query.push(", ");
            query.bind(owned(text), cast);
        };
        let int = |query: &mut Query<'a>, number: Option<i64>| {
            query.push(", ");
            query.bind(number.map_or(Value::Null, Value::Int), "::bigint");
        };
        let time = |query: &mut Query<'a>, at: Option<Millis>, column: TimeColumn| {
            query.push(", ");
            let at = query.placeholder(form.optional_time(at));
            query.push(&form.at(column, &at));
        };
        text(query, Some(&of.name), "::text");
        query.push(", ");
        let status = query.placeholder(Value::text(of.status.name()));
        query.push(&Form::to_store(&form.status, &format!("{status}::text")));
        text(query, of.sub_status.as_deref(), "::text");
        let no_context = form.needs_context.then_some("null");
        text(query, of.context.as_deref().or(no_context), &format!("::text::{}", form.context));
        text(query, of.metadata.as_deref(), "::text::json");
        text(query, tags_text(&of.tags).as_deref(), "::text::jsonb");
        int(query, Some(of.version));
        int(query, Some(of.seq));
        int(query, Some(of.log_bytes));
        text(query, of.token.as_deref(), "::text");
        text(query, of.worker.as_deref(), "::text");
        int(query, Some(of.attempts));
        text(query, of.last_error.as_deref(), "::text");
        let last = of.last_operation.as_ref();
        text(query, last.map(|last| &*last.id), "::text");
        int(query, last.map(|last| last.version));
        int(query, last.and_then(|last| last.first_seq));
        time(query, Some(of.created_at), form.created);
        time(query, Some(of.updated_at), form.updated);
        time(query, of.completed_at, TimeColumn::WithTimeZone);
        time(query, of.parked_at, TimeColumn::WithTimeZone);
        time(query, of.expires_at, TimeColumn::WithTimeZone);
        // Leases are the server's to time, and what is due at once.
        let (due_at, due_in) = match &creation.lease {
            _ if of.status.is_terminal() => (None, None),
            Some(lease) => (None, Some(bounded(lease.lease_ms))),
            None if creation.due_at.is_some() => (creation.due_at, None),
            None => (None, of.status.is_active().then_some(0)),
        };
        query.push(", coalesce(");
        let at = query.placeholder(form.optional_time(due_at));
        query.push(&form.at(TimeColumn::WithTimeZone, &at));
        query.push(", clock_timestamp() + ");
        query.bind(due_in.map_or(Value::Null, Value::Int), "::bigint");
        query.push(" * interval '1 millisecond')");
        Ok(())
    }

    /// Removes one with its log.
    pub(super) async fn delete<E: Executor>(&self, on: &mut E, id: &str, around: Around) -> Result<Reply> {
        for _ in 0..ATTEMPTS {
            match self.delete_once(on, id).await {
                Err(error) if is_race(&error) && around == Around::Savepoint => {}
                done => return done.map(Reply::Flag),
            }
        }
        Err(changed_meanwhile(id))
    }

    async fn delete_once<E: Executor>(&self, on: &mut E, id: &str) -> Result<bool, Error> {
        let Self { form, t, log, .. } = self;
        let mut query = Query::new(form.dialect, format!("with gone as (delete from {t} where id = "));
        query.bind(form.id_value(id)?, form.id_cast());
        query.push(&format!(
            " returning id, log_seq, (expires_at is null or expires_at > clock_timestamp())::int as lived), \
             entries as (delete from {log} as l using gone where l.saga_id = gone.id returning 1) \
             select lived, log_seq, (select count(*) from entries)::bigint as found from gone"
        ));
        let Some(row) = query.run(on).await?.rows.into_iter().next() else { return Ok(false) };
        let [lived, seq, found] = cells(row);
        if found.into_int("count")? < seq.into_int("log_seq")? {
            self.remove_left(on, &[form.id(id)?]).await?;
        }
        Ok(lived.into_int("lived")? != 0)
    }
}

fn owned(text: Option<&str>) -> Value<'static> {
    text.map_or(Value::NoText, |text| Value::Text(text.to_owned().into()))
}
