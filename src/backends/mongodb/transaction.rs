//! The store's own transactions, each in a session of the driver.
//!
//! A transaction reads one state of the primary's data, as it is when its first command arrives
//! (several states on a sharded cluster, one of each shard), and commits with the store's write
//! concern. Two transactions that write the same payload do not wait for each other: the second
//! one is refused at once, and can be run again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mongodb::ClientSession;
use mongodb::bson::{self, Document, RawDocumentBuf};
use mongodb::error::{Error as DriverError, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};

use super::address::Address;
use super::answer::first_write_error;
use super::build::Terms;
use super::channel::{self, Channel, Failure};
use super::clock::Clock;
use super::document::Writer;
use super::objects::of_document;
use super::own::Own;
use super::{error, executions, inbox, outbox, payloads, states};
use crate::contract::dynamic::Dynamic;
use crate::contract::moving::not_in_transactions;
use crate::contract::operation::{Operation, RecordKind, Work};
use crate::contract::step::{Reply, Step};
use crate::contract::transaction::Transaction;
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;

/// Between two attempts to learn whether a commit has succeeded; each pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Rolling back waits no longer for the server, which does it by itself after a minute.
const GOODBYE: Duration = Duration::from_secs(1);
/// The server has given the commit up: asked again, it would take as long.
const MAX_TIME_EXPIRED: i32 = 50;

/// Errors of what has been read: the server knows of none.
const READ: [Kind; 7] = [
    Kind::CorruptData,
    Kind::NotFound,
    Kind::AlreadyExists,
    Kind::ConcurrencyConflict,
    Kind::LeaseLost,
    Kind::InvalidState,
    Kind::PayloadTooLarge,
];

/// Begins; nothing is sent before the first operation.
pub(super) async fn begin(own: Own) -> Result<Box<dyn Transaction>> {
    Ok(Box::new(start(own).await?))
}

async fn start(own: Own) -> Result<Ongoing> {
    let hello = own.server.hello();
    if !hello.has_transactions() {
        return Err(hello.refuse_transaction(&*own.server).await);
    }
    own.keep_time().await;
    let mut session = own.server.new_session().await?;
    let address = own.address();
    let concern: WriteConcern =
        bson::deserialize_from_document(address.write_concern.clone()).map_err(error::malformed)?;
    session
        .start_transaction()
        .read_concern(read_concern(address))
        .write_concern(concern)
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .max_commit_time(patience(&own))
        .await
        .map_err(error::connecting)?;
    Ok(Ongoing { on: Within { own, session: Arc::new(Mutex::new(Some(session))) }, failed: None })
}

/// Commands that all happen, or none; see [`Channel::change_together`].
pub(super) async fn together<W: Fn(usize, &mut Writer) + Send + Sync>(
    own: &Own,
    sizes: &[usize],
    write: W,
) -> Result<Vec<Document>> {
    let ongoing = start(own.clone()).await?;
    let done = channel::one_by_one(&ongoing.on, sizes, write).await;
    let has_happened = |replies: &Vec<Document>| replies.iter().all(|reply| first_write_error(reply).is_none());
    if !done.as_ref().is_ok_and(has_happened) {
        ongoing.abort().await;
        return done;
    }
    Box::new(ongoing).commit().await.and(done)
}

/// Transactions know three of the levels that a URL may name.
fn read_concern(address: &Address) -> ReadConcern {
    match address.read_concern.as_ref().and_then(|concern| concern.get_str("level").ok()) {
        Some("majority") => ReadConcern::majority(),
        Some("snapshot") => ReadConcern::snapshot(),
        _ => ReadConcern::local(),
    }
}

fn patience(own: &Own) -> Duration {
    Duration::from_millis(u64::try_from(own.collections.max_time).unwrap_or_default())
}

/// A collection within a transaction.
#[derive(Clone)]
struct Within {
    own: Own,
    /// None: a command is under way.
    session: Arc<Mutex<Option<ClientSession>>>,
}

impl Within {
    fn session(&self) -> MutexGuard<'_, Option<ClientSession>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_session(&self) -> Option<ClientSession> {
        self.session().take()
    }

    /// The transaction has its concerns from its beginning and its end.
    fn terms(&self) -> Terms<'_> {
        Terms { write_concern: None, read_concern: None, ..self.own.terms() }
    }

    /// In a task of its own, which keeps the session until the answer is there: if the first command
    /// were given up halfway, the driver would not know that there is something to abort.
    async fn send(&self, command: RawDocumentBuf) -> Result<Document> {
        let mut session = self.take_session().ok_or_else(error::unexpected)?;
        let server = Arc::clone(&self.own.server);
        let task = tokio::spawn(async move {
            let answer = server.database().run_raw_command(command).session(&mut session).await;
            (session, answer)
        });
        let (session, answer) = task.await.map_err(|_| error::unexpected())?;
        *self.session() = Some(session);
        answer.map_err(|failure| Failure::Driver(failure).into_error_in_transaction())
    }
}

impl Channel for Within {
    type Command = Writer;

    fn to(&self, kind: RecordKind) -> Self {
        Self { own: self.own.to(kind), session: Arc::clone(&self.session) }
    }

    fn collection(&self) -> &str {
        self.own.collection()
    }

    fn log_collection(&self) -> &str {
        self.own.log_collection()
    }

    fn clock(&self) -> &Clock {
        self.own.clock()
    }

    fn is_atomic(&self) -> bool {
        self.own.is_atomic()
    }

    fn in_transaction(&self) -> bool {
        true
    }

    /// Writes of unknown fate have been fenced off before, outside of the transaction.
    async fn change<W: Fn(&mut Writer) + Send + Sync>(
        &self,
        size: usize,
        _replaces: &[&str],
        write: W,
    ) -> Result<Document> {
        let mut command = Writer::with_capacity(size);
        write(&mut command);
        self.terms().end_write(&mut command);
        self.send(command.finish()?).await
    }

    /// They are in a transaction already.
    async fn change_together<W: Fn(usize, &mut Writer) + Send + Sync>(
        &self,
        sizes: &[usize],
        write: W,
    ) -> Result<Option<Vec<Document>>> {
        channel::one_by_one(self, sizes, write).await.map(Some)
    }

    async fn ask<W: FnOnce(&mut Writer) + Send>(&self, size: usize, write: W) -> Result<Dynamic> {
        let mut command = Writer::with_capacity(size);
        write(&mut command);
        self.terms().end_read(&mut command);
        self.send(command.finish()?).await.map(of_document)
    }
}

/// Dropped before its commit, the driver aborts it.
struct Ongoing {
    on: Within,
    /// What has ended the transaction.
    failed: Option<Error>,
}

impl Ongoing {
    async fn run_step(&mut self, step: &Step) -> Result<Reply> {
        if let Some(failed) = &self.failed {
            return Err(ended_by(failed));
        }
        match step {
            Step::Payload(Work::Write(write)) => self.on.own.fence(std::iter::once(write.id())).await?,
            Step::Execution(Work::Write(write)) => {
                self.on.own.to(RecordKind::Executions).fence(std::iter::once(write.id())).await?;
            }
            _ => {}
        }
        let done = match step {
            Step::Payload(step) => payloads::single::run(&self.on, step).await,
            Step::Outbox(step) => outbox::single::run(&self.on.to(RecordKind::Outbox), step).await,
            Step::Moving(_) => Err(not_in_transactions()),
            Step::Inbox(step) => inbox::run(&self.on.to(RecordKind::Inbox), step).await,
            Step::Execution(step) => executions::single::run(&self.on.to(RecordKind::Executions), step).await,
            Step::State(step) => states::single::run(&self.on.to(RecordKind::States), step).await,
        };
        if let Err(failed) = &done
            && !READ.contains(&failed.kind())
        {
            // Servers abort a transaction in which a command has failed.
            self.failed = Some(failed.clone());
        }
        done
    }

    async fn abort(&self) {
        if let Some(mut session) = self.on.take_session() {
            let aborting = session.abort_transaction();
            drop(tokio::time::timeout(GOODBYE, async { aborting.await }).await);
        }
    }
}

impl Transaction for Ongoing {
    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(self.run_step(step))
    }

    fn commit(self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(async move {
            if let Some(failed) = &self.failed {
                let ended = ended_by(failed);
                self.abort().await;
                return Err(ended);
            }
            let until = Instant::now() + patience(&self.on.own);
            let mut session = self.on.take_session().ok_or_else(error::unexpected)?;
            let (mut pause, mut in_doubt) = (FIRST_PAUSE, false);
            loop {
                let Err(failure) = session.commit_transaction().await else { return Ok(()) };
                if !failure.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) {
                    // Other refusals say nothing about an attempt before.
                    let is_told = !in_doubt || failure.contains_label(TRANSIENT_TRANSACTION_ERROR);
                    return Err(if is_told { refused(failure) } else { unknown(failure) });
                }
                in_doubt = true;
                // The server knows the transaction by its number: it commits it once, however often
                // it is asked to.
                if error::code_of(&failure) == Some(MAX_TIME_EXPIRED) || Instant::now() + pause > until {
                    return Err(unknown(failure));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        })
    }

    fn roll_back(self: Box<Self>) -> Task<'static, ()> {
        Box::pin(async move { self.abort().await })
    }
}

fn ended_by(failed: &Error) -> Error {
    let message = "an operation of the transaction has failed, which ends it: nothing of it has happened";
    Error::new(Kind::Backend, message).retryable(failed.is_retryable()).with_source(failed.clone())
}

/// A commit that was not done; or done, and cannot be confirmed by as many servers as it should.
fn refused(failure: DriverError) -> Error {
    if matches!(failure.kind.as_ref(), ErrorKind::Write(_)) {
        let message = "the transaction is committed, but the servers cannot fulfil the write concern";
        return Error::new(Kind::Timeout, message).retryable(false).with_source(failure);
    }
    match Failure::Driver(failure).into_error_in_transaction() {
        // These two would say that it is not known.
        error if matches!(error.kind(), Kind::Connection | Kind::Timeout) => {
            let message = "the transaction was not committed, and nothing of it has happened";
            Error::new(Kind::Backend, message).retryable(error.is_retryable()).with_source(error)
        }
        error => error,
    }
}

/// The last attempt has left open whether the transaction is committed.
fn unknown(failure: DriverError) -> Error {
    let broken = matches!(failure.kind.as_ref(), ErrorKind::Io(_) | ErrorKind::ServerSelection { .. });
    let kind = if broken { Kind::Connection } else { Kind::Timeout };
    let message = "no answer to the commit in time: the transaction may have been committed, or not";
    Error::new(kind, message).retryable(false).with_source(error::command(failure))
}
