//! Executions in SQL. On SQLite, which has one writer, a change is read, judged and written; on PostgreSQL it is one
//! statement with the rules in it, and a look at what was in the way where it did nothing.
//!
//! ```text
//! schema.rs   the tables
//! form.rs     how their columns are typed
//! reads.rs    questions
//! rows.rs     SQLite's changes
//! changes.rs  PostgreSQL's changes of one execution, many in one statement
//! entries.rs  entries of a log on their way there
//! puts.rs     PostgreSQL's other changes of one execution
//! claims.rs   PostgreSQL's leases
//! sweeps.rs   what is removed together
//! ```

#[cfg(feature = "postgres")]
mod changes;
#[cfg(feature = "postgres")]
mod claims;
#[cfg(feature = "postgres")]
mod entries;
pub(in crate::sql) mod form;
#[cfg(feature = "postgres")]
pub(in crate::sql) mod puts;
mod reads;
#[cfg(feature = "sqlite")]
mod rows;
pub(crate) mod schema;
mod sweeps;

use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "postgres")]
use super::cells;
use super::query::Query;
#[cfg(feature = "postgres")]
use super::rowset;
use super::{Around, Dialect, Executor, sql_state};
use crate::contract::executions::ExecutionStep;
use crate::contract::executions::record::{Checkpointed, Execution, Shows, taken};
use crate::contract::executions::{Creation, ExecutionRead, ExecutionWrite};
use crate::contract::operation::Work;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;
use form::Form;
use schema::Pair;

/// The tables of a store, and what is known of them.
pub(crate) struct Executions {
    pub(in crate::sql) dialect: Dialect,
    pair: Pair,
    known: Mutex<Option<Arc<ExecutionSql>>>,
}

impl Executions {
    /// Nothing is known yet.
    pub(crate) fn new(dialect: Dialect, pair: Pair) -> Self {
        Self { dialect, pair, known: Mutex::default() }
    }

    /// The tables.
    pub(crate) fn pair(&self) -> &Pair {
        &self.pair
    }

    /// The same; what this role may not do is a warning.
    #[cfg(feature = "postgres")]
    pub(crate) async fn make_if_allowed<E: Executor>(&self, on: &mut E) -> Result<Vec<String>> {
        self.forget();
        self.pair.make_if_allowed(on).await
    }

    /// Creates the tables where they are missing, and brings up to date what others have made.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn make<E: Executor>(&self, on: &mut E) -> Result<()> {
        self.forget();
        self.pair.make(on).await
    }

    /// An error if a table is there, and is another one.
    pub(crate) async fn check<E: Executor>(&self, on: &mut E) -> Result<()> {
        self.pair.look(on, self.dialect).await.map(drop)
    }

    /// What works on the tables as they are. That they are missing is not remembered.
    pub(crate) async fn sql<E: Executor>(&self, on: &mut E) -> Result<Arc<ExecutionSql>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(sql) = known {
            return Ok(sql);
        }
        let found = self.pair.look(on, self.dialect).await?.ok_or_else(|| self.pair.absent())?;
        if found.lacking.iter().any(|lacking| !lacking.is_empty()) {
            return Err(self.pair.incomplete(&found));
        }
        let sql = Arc::new(ExecutionSql::new(found.form, &self.pair));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&sql));
        Ok(sql)
    }

    /// Has the tables looked at again before their next use, where an error may be about them.
    pub(crate) fn note<T>(&self, done: &Result<T>) {
        if done.as_ref().is_err_and(|error| error.kind() == Kind::Backend && !error.is_retryable()) {
            self.forget();
        }
    }

    /// Has the tables looked at again.
    pub(crate) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Runs one operation.
    pub(crate) async fn run<E: Executor>(
        &self,
        on: &mut E,
        step: &ExecutionStep,
        around: Around,
        now: Millis,
    ) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(on, write, around, now).await,
            Work::Read(read) => self.read(on, read, now).await,
        }
    }

    /// Runs a change.
    pub(crate) async fn write<E: Executor>(
        &self,
        on: &mut E,
        write: &ExecutionWrite,
        around: Around,
        now: Millis,
    ) -> Result<Reply> {
        let sql = self.sql(on).await?;
        let done = sql.write(on, write, around, now).await.map_err(refused);
        self.note(&done);
        done
    }

    /// Runs a question.
    pub(crate) async fn read<E: Executor>(&self, on: &mut E, read: &ExecutionRead, now: Millis) -> Result<Reply> {
        let sql = self.sql(on).await?;
        let done = sql.read(on, read, now).await.map_err(refused);
        self.note(&done);
        done
    }

    /// Removes at most `limit` executions whose time was over at `now`. The tables may be missing, where `initialize`
    /// has not made them yet.
    pub(crate) async fn purge_expired<E: Executor>(&self, on: &mut E, now: Millis, limit: u64) -> Result<u64> {
        let sql = match self.sql(on).await {
            Ok(sql) => sql,
            // They are not there, or not as they should be.
            Err(error) if error.kind() == Kind::Backend && error.is_unsent() && !error.is_retryable() => return Ok(0),
            Err(error) => return Err(error),
        };
        let done = sql.purge_expired(on, now, limit).await;
        self.note(&done);
        done
    }
}

/// What works on two tables of a known form.
pub(crate) struct ExecutionSql {
    pub(in crate::sql) form: Form,
    /// Their quoted names.
    pub(in crate::sql) t: String,
    pub(in crate::sql) log: String,
    #[cfg(feature = "sqlite")]
    rows: rows::Statements,
}

impl ExecutionSql {
    pub(in crate::sql) fn new(form: Form, pair: &Pair) -> Self {
        let (t, log) = (pair.executions.quoted(), pair.log.quoted());
        Self {
            #[cfg(feature = "sqlite")]
            rows: rows::Statements::new(&form, &t, &log),
            form,
            t,
            log,
        }
    }

    async fn write<E: Executor>(
        &self,
        on: &mut E,
        write: &ExecutionWrite,
        around: Around,
        now: Millis,
    ) -> Result<Reply> {
        match self.form.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => self.write_statements(on, write, around, now).await,
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => self.write_rows(on, write, around, now).await,
        }
    }

    /// What is stored under an id, also if its time is over, and the time by which that is judged.
    async fn stored<E: Executor>(
        &self,
        on: &mut E,
        id: &str,
        for_update: bool,
        now: Millis,
    ) -> Result<Option<(Execution, Millis)>> {
        let form = &self.form;
        let mut query =
            Query::new(form.dialect, format!("select {} from {} where id = ", form.columns("", true), self.t));
        query.bind(form.id_value(id)?, form.id_cast());
        if for_update && !cfg_sqlite(form.dialect) {
            query.push(" for update");
        }
        let row = query.run(on).await?.rows.into_iter().next();
        row.map(|row| form.read(row).map(|(execution, at)| (execution, at.unwrap_or(now)))).transpose()
    }
}

fn cfg_sqlite(dialect: Dialect) -> bool {
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => false,
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => true,
    }
}

/// The answer of a creation that has happened before; an error if another one has.
fn made_before(stored: &Execution, creation: &Creation) -> Result<Checkpointed> {
    match &stored.last_operation {
        Some(last) if last.id == creation.operation && stored.version == 1 => Ok(Checkpointed {
            version: last.version,
            first_seq: last.first_seq,
            entries: stored.seq,
            bytes: stored.log_bytes,
        }),
        _ => Err(taken(&creation.id)),
    }
}

/// What a creation answers.
fn created(execution: Execution, answer: Checkpointed, creation: &Creation) -> Reply {
    if creation.lease.is_some() {
        return Reply::execution(Some(execution), Shows::ContextAndToken);
    }
    Reply::Value(answer.into_dynamic())
}

#[cfg(feature = "postgres")]
impl ExecutionSql {
    async fn write_statements<E: Executor>(
        &self,
        on: &mut E,
        write: &ExecutionWrite,
        around: Around,
        now: Millis,
    ) -> Result<Reply> {
        match write {
            ExecutionWrite::Create(creation) => self.create(on, creation, around, now).await,
            ExecutionWrite::Change(change) => {
                self.change(on, change, around, now).await.map(|answer| Reply::Value(answer.into_dynamic()))
            }
            ExecutionWrite::Save(replacement) => self.replace(on, replacement, around, now).await,
            ExecutionWrite::Delete { id } => self.delete(on, id, around).await,
            ExecutionWrite::Claim(claim) => self.claim(on, claim, now).await,
            ExecutionWrite::Heartbeat { renewals, terms } => self.renew(on, renewals, terms).await,
            ExecutionWrite::Redrive { ids, reset_attempts } => self.redrive(on, ids, *reset_attempts, now).await,
            ExecutionWrite::Cleanup { before, statuses, limit } => {
                self.clean_up(on, *before, statuses, *limit, now).await.map(Reply::Count)
            }
        }
    }
}

/// Whether another statement came between: nothing has happened, and the same may succeed now.
#[cfg(feature = "postgres")]
pub(in crate::sql) fn is_race(error: &Error) -> bool {
    // A number or an id of an entry is taken, an execution still has entries, a deadlock was broken.
    matches!(sql_state(error), Some("23505" | "23503" | "40P01"))
}

/// Others change the same execution all the time.
#[cfg(feature = "postgres")]
pub(in crate::sql) fn changed_meanwhile(id: &str) -> Error {
    let message = "others change the same execution at the same time: nothing of this change has happened";
    Error::new(Kind::Backend, message).retryable(true).with_id(id)
}

/// `INVALID_ARGUMENT` where a column cannot take a value.
pub(in crate::sql) fn refused(error: Error) -> Error {
    match sql_state(&error) {
        Some("22001" | "22003" | "22021" | "22P02" | "22P05") => {
            Error::invalid(format!("the table of executions cannot take a value: {}", error.message()))
                .with_source(error)
        }
        _ => error,
    }
}
