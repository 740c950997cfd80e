//! The store's own transactions, each in a session of the driver.
//!
//! A transaction reads one state of the primary's data, as it is when its first command arrives
//! (several states on a sharded cluster, one of each shard), and commits with the store's write
//! concern. Two transactions that write the same payload do not wait for each other: the second
//! one is refused at once, and can be run again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::ClientSession;
use mongodb::bson;
use mongodb::error::{Error as DriverError, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};

use super::channel::Failure;
use super::commands::Terms;
use super::document::Writer;
use super::driver::Mongo;
use super::error;
use super::objects::of_document;
use super::payloads::single::{self, Sender};
use super::shared::Server;
use super::states::States;
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::Work;
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
const READ: [Kind; 4] = [Kind::CorruptData, Kind::NotFound, Kind::AlreadyExists, Kind::ConcurrencyConflict];

impl Mongo {
    /// Begins; nothing is sent before the first operation.
    pub(super) async fn begin_transaction(&self) -> Result<Box<dyn Transaction>> {
        let server = self.shared.arc().server().await?;
        if !server.hello().has_transactions() {
            return Err(server.hello().refuse_transaction(&*server).await);
        }
        let mongo = self.this.upgrade().ok_or_else(Error::closed)?;
        self.shared.arc().keep_time(&server).await;
        let mut session = server.new_session().await?;
        let concern: WriteConcern =
            bson::deserialize_from_document(self.shared.address().write_concern.clone()).map_err(error::malformed)?;
        session
            .start_transaction()
            .read_concern(self.transaction_read_concern())
            .write_concern(concern)
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .max_commit_time(self.patience())
            .await
            .map_err(error::connecting)?;
        Ok(Box::new(Ongoing { mongo, server, session: Some(session), failed: None }))
    }

    /// Transactions know three of the levels that a URL may name.
    fn transaction_read_concern(&self) -> ReadConcern {
        let read_concern = self.shared.address().read_concern.as_ref();
        match read_concern.and_then(|concern| concern.get_str("level").ok()) {
            Some("majority") => ReadConcern::majority(),
            Some("snapshot") => ReadConcern::snapshot(),
            _ => ReadConcern::local(),
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.max_time).unwrap_or_default())
    }
}

/// Dropped before its commit, the driver aborts it.
struct Ongoing {
    mongo: Arc<Mongo>,
    server: Arc<Server>,
    /// None: a command is under way.
    session: Option<ClientSession>,
    /// What has ended the transaction.
    failed: Option<Error>,
}

impl Sender for Ongoing {
    type Command = Writer;

    fn command(&self, size: usize) -> Writer {
        Writer::with_capacity(size)
    }

    /// In a task of its own, which keeps the session until the answer is there: if the first command
    /// were given up halfway, the driver would not know that there is something to abort.
    async fn send(&mut self, command: Writer) -> Result<Dynamic> {
        let command = command.finish()?;
        let mut session = self.session.take().ok_or_else(error::unexpected)?;
        let server = Arc::clone(&self.server);
        let task = tokio::spawn(async move {
            let answer = server.database().run_raw_command(command).session(&mut session).await;
            (session, answer)
        });
        let (session, answer) = task.await.map_err(|_| error::unexpected())?;
        self.session = Some(session);
        answer.map(of_document).map_err(|failure| Failure::Driver(failure).into_error_in_transaction())
    }
}

impl Ongoing {
    async fn run_step(&mut self, step: &Step) -> Result<Reply> {
        if let Some(failed) = &self.failed {
            return Err(ended_by(failed));
        }
        let mongo = Arc::clone(&self.mongo);
        if let Step::Payload(Work::Write(write)) = step {
            mongo.fence(&self.server, std::slice::from_ref(write)).await?;
        }
        // The transaction has its concerns from its beginning and its end.
        let terms = Terms { write_concern: None, read_concern: None, ..mongo.terms() };
        let done = match step {
            Step::State(step) => {
                let terms = Terms { collection: &mongo.states_collection, ..terms };
                let clock = mongo.shared.clock();
                States { on: self, terms, clock, in_transaction: true }.run(step).await
            }
            Step::Payload(step) => single::run(self, terms, mongo.shared.clock(), step).await,
        };
        if let Err(failed) = &done
            && !READ.contains(&failed.kind())
        {
            // Servers abort a transaction in which a command has failed.
            self.failed = Some(failed.clone());
        }
        done
    }

    async fn abort(&mut self) {
        if let Some(session) = &mut self.session {
            let aborting = session.abort_transaction();
            drop(tokio::time::timeout(GOODBYE, async { aborting.await }).await);
        }
    }
}

impl Transaction for Ongoing {
    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(self.run_step(step))
    }

    fn commit(mut self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(async move {
            if let Some(failed) = &self.failed {
                let ended = ended_by(failed);
                self.abort().await;
                return Err(ended);
            }
            let until = Instant::now() + self.mongo.patience();
            let session = self.session.as_mut().ok_or_else(error::unexpected)?;
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

    fn roll_back(mut self: Box<Self>) -> Task<'static, ()> {
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
