//! The outbox in SQL. On SQLite, which has one writer, events are read, judged and written; on PostgreSQL each change is
//! one statement with the rules in it.
//!
//! ```text
//! schema.rs  the tables
//! form.rs    rows, as they are asked for and read
//! reads.rs   questions
//! rows.rs    SQLite's changes
//! picks.rs   SQLite's claims
//! insert.rs  PostgreSQL's insertions
//! gathered.rs  several of its changes by one statement
//! claim.rs   PostgreSQL's claims
//! plain.rs   those where nothing has a key
//! mark.rs    from where they look
//! settle.rs  PostgreSQL's other changes
//! ```

/// Runs a statement, also several times where the server has ended a deadlock by it: outside of a transaction nothing
/// has happened then.
#[cfg(feature = "postgres")]
macro_rules! retried {
    ($around:expr, $run:expr) => {{
        let mut attempt = 0;
        loop {
            attempt += 1;
            match $run.await {
                Err(error)
                    if attempt < 8 && $around == Around::Savepoint && $crate::sql::outbox::is_deadlock(&error) => {}
                done => break done,
            }
        }
    }};
}
#[cfg(feature = "postgres")]
mod claim;
pub(in crate::sql) mod form;
#[cfg(feature = "postgres")]
pub(crate) mod gathered;
#[cfg(feature = "postgres")]
mod insert;
#[cfg(feature = "postgres")]
mod mark;
#[cfg(feature = "sqlite")]
mod picks;
#[cfg(feature = "postgres")]
mod plain;
pub(in crate::sql) mod reads;
#[cfg(feature = "sqlite")]
pub(in crate::sql) mod rows;
pub(in crate::sql) mod schema;
#[cfg(feature = "postgres")]
mod settle;

#[cfg(feature = "postgres")]
use super::sql_state;
use super::{Around, Dialect, Executor, Table, own_table};
use crate::contract::operation::Work;
#[cfg(feature = "postgres")]
use crate::contract::outbox::Outcome;
#[cfg(feature = "postgres")]
use crate::contract::outbox::record::{listed, settled};
use crate::contract::outbox::{OutboxRead, OutboxStep, OutboxWrite};
use crate::contract::step::Reply;
#[cfg(feature = "postgres")]
use crate::error::Error;
use crate::error::Result;
use crate::time::Millis;

/// The outbox of a store.
pub(crate) struct Outbox {
    pub(in crate::sql) dialect: Dialect,
    table: Table,
    /// The quoted names: of what is not sent, and of what was sent and is kept.
    pub(in crate::sql) t: String,
    pub(in crate::sql) kept: String,
    #[cfg(feature = "sqlite")]
    rows: rows::Statements,
    /// When a claim has last looked for keys whose events are parked (PostgreSQL).
    #[cfg(feature = "postgres")]
    swept: std::sync::Mutex<Option<std::time::Instant>>,
    #[cfg(feature = "postgres")]
    mark: mark::Mark,
    /// Whether the last claim has seen no event with a key (PostgreSQL).
    #[cfg(feature = "postgres")]
    is_plain: std::sync::atomic::AtomicBool,
    #[cfg(feature = "postgres")]
    voice: Box<str>,
}

/// Whether the server has cancelled the statement to end a deadlock.
#[cfg(feature = "postgres")]
pub(in crate::sql) fn is_deadlock(error: &Error) -> bool {
    sql_state(error) == Some("40P01")
}

/// Whether it may make an event free that stands before those that were claimed last.
#[cfg(feature = "postgres")]
fn may_free(write: &OutboxWrite) -> bool {
    match write {
        OutboxWrite::Settle(settlement) => matches!(settlement.outcome, Outcome::Released | Outcome::Failed { .. }),
        OutboxWrite::Decide { .. }
        | OutboxWrite::ReleaseStuck { .. }
        | OutboxWrite::Requeue { .. }
        | OutboxWrite::Discard { .. } => true,
        OutboxWrite::Insert(_) | OutboxWrite::Claim(_) | OutboxWrite::Archive { .. } => false,
    }
}

impl Outbox {
    /// The outbox in this table.
    pub(crate) fn new(dialect: Dialect, table: Table) -> Self {
        let (t, kept) = (table.quoted(), schema::kept_of(&table).quoted());
        Self {
            dialect,
            #[cfg(feature = "sqlite")]
            rows: rows::Statements::new(&t, &kept),
            #[cfg(feature = "postgres")]
            swept: std::sync::Mutex::default(),
            #[cfg(feature = "postgres")]
            mark: mark::Mark::default(),
            #[cfg(feature = "postgres")]
            is_plain: true.into(),
            #[cfg(feature = "postgres")]
            voice: format!("{:016x}", fastrand::u64(..)).into(),
            table,
            t,
            kept,
        }
    }

    /// The quoted name of its table.
    pub(crate) fn quoted(&self) -> &str {
        &self.t
    }

    /// The quoted name of the table of what was sent and is kept.
    #[cfg(feature = "postgres")]
    pub(in crate::sql) fn quoted_kept(&self) -> &str {
        &self.kept
    }

    /// The statements that make its tables.
    pub(crate) fn statements(&self) -> Vec<String> {
        schema::tables(self.dialect, &self.table).into_iter().flat_map(|table| table.statements).collect()
    }

    /// Creates the tables where they are missing; checks those that are there.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn make<E: Executor>(&self, on: &mut E) -> Result<()> {
        own_table::make(on, &schema::tables(self.dialect, &self.table)).await
    }

    /// Whether the tables are there; an error if one is another one.
    pub(crate) async fn is_ready<E: Executor>(&self, on: &mut E) -> Result<bool> {
        own_table::are_there(on, self.dialect, &schema::tables(self.dialect, &self.table)).await
    }

    /// Creates the tables where they are missing; what this role may not do is a warning.
    #[cfg(feature = "postgres")]
    pub(crate) async fn make_if_allowed<E: Executor>(&self, on: &mut E) -> Result<Vec<String>> {
        own_table::make_if_allowed(on, &schema::tables(self.dialect, &self.table)).await
    }

    /// Runs one operation.
    pub(crate) async fn run<E: Executor>(
        &self,
        on: &mut E,
        step: &OutboxStep,
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
        write: &OutboxWrite,
        around: Around,
        now: Millis,
    ) -> Result<Reply> {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => self.write_statements(on, write, around).await,
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                around.enter(on).await?;
                let done = self.write_rows(on, write, now).await;
                around.leave(on, done).await
            }
        }
    }

    /// Whole events have taken the place of others: one of them may be free that stands before those that were claimed
    /// last.
    #[cfg(feature = "postgres")]
    pub(in crate::sql) fn look_from_start(&self) {
        self.mark.reset();
    }

    /// The channel on which PostgreSQL tells of new events: with a word of ours before the table's name, and no longer
    /// than a name may be.
    #[cfg(feature = "postgres")]
    pub(crate) fn channel(&self) -> String {
        let mut name = format!("sagastore:{}", self.table.name());
        while name.len() > 63 {
            name.pop();
        }
        name
    }

    /// What this outbox says on the channel: a store knows by it what it has said itself.
    #[cfg(feature = "postgres")]
    pub(crate) fn voice(&self) -> &str {
        &self.voice
    }

    /// Goes on with a subquery that tells of new events, with the transaction that it is in.
    #[cfg(feature = "postgres")]
    fn tell(&self, query: &mut super::query::Query<'_>) {
        query.push("(select count(*) from pg_notify(");
        query.bind(super::Value::Text(self.channel().into()), "::text, ");
        query.bind(super::Value::Text(self.voice.to_string().into()), "::text))");
    }

    /// Tells of new events by a statement of its own.
    #[cfg(feature = "postgres")]
    pub(crate) async fn tell_alone<E: Executor>(&self, on: &mut E) -> Result<()> {
        let mut query = super::query::Query::new(self.dialect, String::from("select "));
        self.tell(&mut query);
        query.push(" as told");
        query.run(on).await.map(drop)
    }

    #[cfg(feature = "postgres")]
    async fn write_statements<E: Executor>(&self, on: &mut E, write: &OutboxWrite, around: Around) -> Result<Reply> {
        let done = self.change(on, write, around).await;
        if may_free(write) {
            self.mark.reset();
        }
        done
    }

    #[cfg(feature = "postgres")]
    async fn change<E: Executor>(&self, on: &mut E, write: &OutboxWrite, around: Around) -> Result<Reply> {
        match write {
            OutboxWrite::Insert(insertion) => self.insert(on, insertion, around).await.map(listed),
            OutboxWrite::Claim(claim) => self.claim(on, claim, around).await.map(listed),
            OutboxWrite::Settle(settlement) => self.settle(on, settlement, around).await.map(settled),
            OutboxWrite::Decide { id, decision, terms } => self.decide(on, id, decision, terms, around).await,
            OutboxWrite::ReleaseStuck { older_than_ms, limit } => {
                retried!(around, self.release_stuck(on, *older_than_ms, *limit)).map(Reply::Count)
            }
            OutboxWrite::Requeue { ids } => retried!(around, self.requeue(on, ids)).map(Reply::Count),
            OutboxWrite::Discard { ids } => self.discard(on, ids, around).await.map(Reply::Count),
            OutboxWrite::Archive { older_than_ms, sent, dead, limit } => {
                self.archive(on, *older_than_ms, (*sent, *dead), *limit, around).await.map(Reply::Count)
            }
        }
    }

    /// Runs a question.
    pub(crate) async fn read<E: Executor>(&self, on: &mut E, read: &OutboxRead, now: Millis) -> Result<Reply> {
        self.answer(on, read, now).await
    }

    /// Removes at most `limit` events that were sent, or are dead letters, and were to be kept until `now`. The tables
    /// may be missing, where `initialize` has not made them yet.
    pub(crate) async fn purge_expired<E: Executor>(&self, on: &mut E, now: Millis, limit: u64) -> Result<u64> {
        let done = match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => self.purge(on, limit).await,
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => self.purge_rows(on, now, limit).await,
        };
        match done {
            Err(_) if own_table::is_missing(on, self.dialect, &self.table).await => Ok(0),
            done => done,
        }
    }
}
