//! Changes on SQLite: what is stored is read, judged and written. Nobody else writes meanwhile: the writer's transaction
//! has the database for itself, and nothing runs between the statements on a handle that answers at once.

use super::form::{Form, tags_text};
use super::{Around, ExecutionSql, created, made_before};
use crate::contract::executions::judge::{self, Claimed, Known, Verdict};
use crate::contract::executions::record::{Entry, Execution, Shows, missing};
use crate::contract::executions::{Change, ClaimRuns, Creation, ExecutionWrite, Renewal, Terms};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::sql::query::Query;
use crate::sql::{Dialect, Executor, Value};
use crate::time::Millis;

/// The columns of an execution that every change writes, in the order of [`ExecutionSql::values`]; the id and the
/// context come behind them.
const CHANGED: [&str; 20] = [
    "name",
    "status",
    "sub_status",
    "metadata",
    "tags",
    "version",
    "log_seq",
    "log_bytes",
    "token",
    "worker_id",
    "due_at",
    "recovery_attempts",
    "last_error",
    "last_operation",
    "last_version",
    "last_seq",
    "updated_at",
    "completed_at",
    "parked_at",
    "expires_at",
];

/// The statements for two tables.
pub(super) struct Statements {
    /// Stores an execution, or replaces it.
    put: String,
    /// Changes an execution, and not its context.
    change: String,
    change_context: String,
    /// The number of an entry with an id.
    known: String,
    append: String,
    remove: String,
    remove_log: String,
    renew: String,
    leased: String,
}

impl Statements {
    pub(super) fn new(form: &Form, t: &str, log: &str) -> Self {
        let columns = CHANGED.join(", ");
        let placeholders = |from: usize, to: usize| (from..=to).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let replaced = CHANGED.map(|name| format!("{name} = excluded.{name}")).join(", ");
        let changed: Vec<String> = CHANGED.iter().zip(1..).map(|(name, n)| format!("{name} = ${n}")).collect();
        let (changed, next) = (changed.join(", "), CHANGED.len() + 1);
        // A number of its own, where the table asks for one and does not give it.
        let (id, number) = if form.log_id {
            ("id, ", format!("(select coalesce(max(id), 0) + 1 from {log}), "))
        } else {
            ("", String::new())
        };
        Self {
            put: format!(
                "insert into {t} ({columns}, id, created_at, context) values ({}) on conflict (id) do update set \
                 {replaced}, created_at = excluded.created_at, context = excluded.context",
                placeholders(1, next + 2)
            ),
            change: format!("update {t} set {changed} where id = ${next}"),
            change_context: format!("update {t} set {changed}, context = ${next} where id = ${}", next + 1),
            known: format!("select seq from {log} where saga_id = $1 and step_id = $2 and action = $3 and status = $4"),
            append: format!(
                "insert into {log} ({id}saga_id, seq, step_name, action, status, step_id, created_at, details, body) \
                 values ({number}{})",
                placeholders(1, 9)
            ),
            remove: format!("delete from {t} where id = $1"),
            remove_log: format!("delete from {log} where saga_id = $1"),
            renew: format!("update {t} set due_at = $1 where id = $2"),
            leased: format!("select recovery_attempts from {t} where id = $1 and token = $2"),
        }
    }
}

/// Entries that have come at one time.
fn timed(entries: &[Entry], at: Millis) -> impl Iterator<Item = (&Entry, Millis)> {
    entries.iter().map(move |entry| (entry, at))
}

impl ExecutionSql {
    /// Runs a change.
    pub(super) async fn write_rows<E: Executor>(
        &self,
        on: &mut E,
        write: &ExecutionWrite,
        around: Around,
        now: Millis,
    ) -> Result<Reply> {
        around.enter(on).await?;
        let done = self.write_row(on, write, now).await;
        around.leave(on, done).await
    }

    async fn write_row<E: Executor>(&self, on: &mut E, write: &ExecutionWrite, now: Millis) -> Result<Reply> {
        match write {
            ExecutionWrite::Create(creation) => self.create_row(on, creation, now).await,
            ExecutionWrite::Change(change) => self.change_row(on, change, now).await,
            ExecutionWrite::Save(replacement) => {
                let creation = &replacement.creation;
                let stored = self.living(on, &creation.id, now).await?;
                let (execution, answer) = judge::replaced(stored.as_ref(), replacement, now)?;
                // One that has been made is not made again.
                if stored.as_ref() != Some(&execution) {
                    self.put_row(on, &execution, timed(&creation.entries, creation.at)).await?;
                }
                Ok(Reply::Value(answer.into_dynamic()))
            }
            ExecutionWrite::Delete { id } => {
                let existed = self.living(on, id, now).await?.is_some();
                self.remove_row(on, id).await?;
                Ok(Reply::Flag(existed))
            }
            ExecutionWrite::Claim(claim) => self.claim_rows(on, claim, now).await,
            ExecutionWrite::Heartbeat { renewals, terms } => self.renew_rows(on, renewals, terms, now).await,
            ExecutionWrite::Redrive { ids, reset_attempts } => {
                let mut count = 0;
                for id in ids {
                    let Some(mut execution) = self.living(on, id, now).await? else { continue };
                    if execution.parked_at.is_some() {
                        judge::redrive(&mut execution, *reset_attempts, now);
                        self.save_row(on, &execution, false).await?;
                        count += 1;
                    }
                }
                Ok(Reply::Count(count))
            }
            ExecutionWrite::Cleanup { before, statuses, limit } => {
                self.clean_up(on, *before, statuses, *limit, now).await.map(Reply::Count)
            }
        }
    }

    async fn living<E: Executor>(&self, on: &mut E, id: &str, now: Millis) -> Result<Option<Execution>> {
        let stored = self.stored(on, id, false, now).await?;
        Ok(stored.map(|(execution, _)| execution).filter(|execution| execution.lives_at(now)))
    }

    async fn create_row<E: Executor>(&self, on: &mut E, creation: &Creation, now: Millis) -> Result<Reply> {
        let (mut execution, mut answer) = judge::created(creation, now)?;
        match self.living(on, &creation.id, now).await? {
            None => self.put_row(on, &execution, timed(&creation.entries, creation.at)).await?,
            Some(stored) => {
                answer = made_before(&stored, creation)?;
                execution = stored;
            }
        }
        Ok(created(execution, answer, creation))
    }

    async fn change_row<E: Executor>(&self, on: &mut E, change: &Change, now: Millis) -> Result<Reply> {
        let mut stored = self.living(on, &change.id, now).await?.ok_or_else(|| missing(&change.id))?;
        let known = self.known_rows(on, change).await?;
        let answer = match judge::judge(&stored, change, &known)? {
            Verdict::Repeated(answer) => return Ok(Reply::Value(answer.into_dynamic())),
            Verdict::Change(answer) => answer,
        };
        let seq = stored.seq;
        judge::apply(&mut stored, change, &answer, now);
        self.save_row(on, &stored, change.context.is_some()).await?;
        let fresh = known.fresh(&change.entries).map(|entry| (entry, change.at));
        self.append_rows(on, &change.id, seq, fresh).await?;
        Ok(Reply::Value(answer.into_dynamic()))
    }

    /// Entries of a change that are stored already.
    async fn known_rows<E: Executor>(&self, on: &mut E, change: &Change) -> Result<Known> {
        let mut places = Vec::new();
        for (place, entry) in change.entries.iter().enumerate() {
            let Some((step_id, action, status)) = entry.key() else { continue };
            let values = [
                self.form.id_value(&change.id)?,
                Value::text(step_id),
                Value::text(action.name()),
                Form::word(&self.form.step_status, status.name()),
            ];
            if let Some(seq) = on.run(&self.rows.known, &values).await?.rows.into_iter().flatten().next() {
                places.push((place, seq.into_int("seq")?));
            }
        }
        Ok(Known { places })
    }

    /// Stores an execution with its whole log, in place of what is there.
    pub(in crate::sql) async fn put_row<'e, E: Executor>(
        &self,
        on: &mut E,
        execution: &Execution,
        entries: impl Iterator<Item = (&'e Entry, Millis)>,
    ) -> Result<()> {
        on.run(&self.rows.remove_log, &[self.form.id_value(&execution.id)?]).await?;
        let mut values = self.values(execution);
        values.push(self.form.id_value(&execution.id)?);
        values.push(self.form.time(execution.created_at));
        values.push(self.context(execution));
        on.run(&self.rows.put, &values).await?;
        self.append_rows(on, &execution.id, 0, entries).await
    }

    /// Stores what has become of an execution.
    async fn save_row<E: Executor>(&self, on: &mut E, execution: &Execution, with_context: bool) -> Result<()> {
        let mut values = self.values(execution);
        if with_context {
            values.push(self.context(execution));
        }
        values.push(self.form.id_value(&execution.id)?);
        let statement = if with_context { &self.rows.change_context } else { &self.rows.change };
        if on.run(statement, &values).await?.affected == 1 {
            return Ok(());
        }
        Err(Error::new(Kind::Backend, "the execution is gone in the middle of its change"))
    }

    async fn append_rows<'e, E: Executor>(
        &self,
        on: &mut E,
        id: &str,
        seq: i64,
        entries: impl Iterator<Item = (&'e Entry, Millis)>,
    ) -> Result<()> {
        let optional =
            |text: &Option<Box<str>>| text.as_ref().map_or(Value::Null, |text| Value::Text(text.to_string().into()));
        for ((entry, at), seq) in entries.zip(seq + 1..) {
            let values = [
                self.form.id_value(id)?,
                Value::Int(seq),
                Value::text(&entry.step),
                Value::text(entry.action.name()),
                Form::word(&self.form.step_status, entry.status.name()),
                optional(&entry.step_id),
                self.form.time(at),
                optional(&entry.details),
                optional(&entry.body),
            ];
            on.run(&self.rows.append, &values).await?;
        }
        Ok(())
    }

    async fn remove_row<E: Executor>(&self, on: &mut E, id: &str) -> Result<()> {
        on.run(&self.rows.remove_log, &[self.form.id_value(id)?]).await?;
        on.run(&self.rows.remove, &[self.form.id_value(id)?]).await.map(drop)
    }

    async fn claim_rows<E: Executor>(&self, on: &mut E, claim: &ClaimRuns, now: Millis) -> Result<Reply> {
        let mut claimed: Vec<Execution> = Vec::new();
        while (claimed.len() as u64) < claim.limit {
            let found = self.due_rows(on, claim, claim.limit - claimed.len() as u64, now).await?;
            let mut is_over = true;
            for mut execution in found {
                let outcome = judge::claim(&mut execution, claim, now);
                if outcome == Claimed::No {
                    continue;
                }
                is_over = false;
                self.save_row(on, &execution, false).await?;
                if outcome == Claimed::Yes {
                    claimed.push(execution);
                }
            }
            if is_over {
                break;
            }
        }
        Ok(Reply::executions(claimed, Shows::ContextAndToken))
    }

    /// Executions that may be claimed, or have to be parked; the longest due first. The statement goes by the index on
    /// `due_at` alone, so that it stops at `limit` also where many are due at the same millisecond.
    async fn due_rows<E: Executor>(
        &self,
        on: &mut E,
        claim: &ClaimRuns,
        limit: u64,
        now: Millis,
    ) -> Result<Vec<Execution>> {
        let rows = self.due_query(claim, limit, now).run(on).await?.rows.into_iter();
        let mut found =
            rows.map(|row| self.form.read(row).map(|(execution, _)| execution)).collect::<Result<Vec<_>>>()?;
        found.sort_by(|one, other| (one.due_at, &one.id).cmp(&(other.due_at, &other.id)));
        Ok(found)
    }

    fn due_query<'c>(&self, claim: &'c ClaimRuns, limit: u64, now: Millis) -> Query<'c> {
        let form = &self.form;
        let mut query =
            Query::new(Dialect::Sqlite, format!("select {} from {} where due_at <= ", form.columns("", true), self.t));
        query.bind(form.time(now), "");
        query.push(" and parked_at is null and ");
        query.push(&form.status_in("", claim.statuses.iter().copied()));
        if let Some(names) = &claim.names {
            // Without the plus, SQLite may go by the index on names and sort all that are due.
            query.push(" and +name in ");
            query.among(names, "");
        }
        query.push(" and ");
        self.stale(&mut query, claim.stale_after_ms, now);
        query.push(" order by due_at limit ");
        query.int(i64::try_from(limit).unwrap_or(i64::MAX));
        query
    }

    async fn renew_rows<E: Executor>(
        &self,
        on: &mut E,
        renewals: &[Renewal],
        terms: &Terms,
        now: Millis,
    ) -> Result<Reply> {
        let mut lost = Vec::new();
        for Renewal { id, token, lease_ms } in renewals {
            let leased = on.run(&self.rows.leased, &[self.form.id_value(id)?, Value::text(token)]).await?;
            let Some(attempts) = leased.rows.into_iter().flatten().next() else {
                lost.push(id.clone());
                continue;
            };
            let until = judge::leased_until(*lease_ms, attempts.into_int("recovery_attempts")?, terms, now);
            on.run(&self.rows.renew, &[self.form.time(until), self.form.id_value(id)?]).await?;
        }
        Ok(Reply::ids(lost))
    }

    fn context(&self, execution: &Execution) -> Value<'static> {
        match &execution.context {
            Some(context) => Value::Text(context.to_string().into()),
            None if self.form.needs_context => Value::text("null"),
            None => Value::Null,
        }
    }

    /// The values of [`CHANGED`].
    fn values(&self, of: &Execution) -> Vec<Value<'static>> {
        let text = |text: &str| Value::Text(text.to_owned().into());
        let optional = |value: &Option<Box<str>>| value.as_deref().map_or(Value::Null, text);
        let last = of.last_operation.as_ref();
        vec![
            text(&of.name),
            Form::word(&self.form.status, of.status.name()),
            optional(&of.sub_status),
            optional(&of.metadata),
            tags_text(&of.tags).map_or(Value::Null, |tags| Value::Text(tags.into())),
            Value::Int(of.version),
            Value::Int(of.seq),
            Value::Int(of.log_bytes),
            optional(&of.token),
            optional(&of.worker),
            self.form.optional_time(of.due_at),
            Value::Int(of.attempts),
            optional(&of.last_error),
            last.map_or(Value::Null, |last| text(&last.id)),
            last.map_or(Value::Null, |last| Value::Int(last.version)),
            last.and_then(|last| last.first_seq).map_or(Value::Null, Value::Int),
            self.form.time(of.updated_at),
            self.form.optional_time(of.completed_at),
            self.form.optional_time(of.parked_at),
            self.form.optional_time(of.expires_at),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::executions::record::Status;
    use crate::contract::lease::NewLease;
    use crate::sql::Table;
    use crate::sql::executions::schema::Pair;

    #[test]
    fn a_claim_goes_by_the_order_of_what_is_due_and_sorts_nothing() {
        let [executions, log] = ["x", "l"].map(|name| Table::new(None, String::from(name)));
        let pair = Pair { executions, log };
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for statement in pair.statements(Dialect::Sqlite) {
            connection.execute_batch(&statement).unwrap();
        }
        let sql = ExecutionSql::new(Form::ours(Dialect::Sqlite), &pair);
        let lease = NewLease { worker: "w".into(), token: "t".into(), lease_ms: 1_000 };
        let terms = Terms { ttl_ms: None, backoff_ms: 1_000, max_entries: 10, max_bytes: 1_000 };
        for names in [None, Some(vec![Box::from("Order"), Box::from("Other")])] {
            let (statuses, lease, terms) = (vec![Status::Running, Status::Compensating], lease.clone(), terms);
            let claim = ClaimRuns { lease, limit: 10, names, statuses, max_attempts: 5, stale_after_ms: 0, terms };
            let query = sql.due_query(&claim, 10, Millis::now());
            let mut plan = connection.prepare(&format!("explain query plan {}", query.sql())).unwrap();
            let steps: Vec<String> =
                plan.raw_query().mapped(|step| step.get("detail")).collect::<Result<_, _>>().unwrap();
            assert!(steps[0].contains("due_idx (due_at<?)"), "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
        }
    }
}
