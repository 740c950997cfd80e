//! Writes that end once, and never late.
//!
//! On a replica set or a sharded cluster each write command runs in a session that it has for
//! itself and carries the session's next number (`lsid` and `txnNumber`, a "retryable write").
//! The server keeps the highest number of each session, and
//!
//! - runs a command of the same number once, however often it is sent: after a broken connection
//!   or a failover it is sent again at once, deletes included;
//! - refuses a command with a lower number. So when it is not known what has become of a write
//!   (its time was over, the connection broke twice), the ids that it touched are not written
//!   again before a command with the next number of its session has been answered. That command
//!   changes nothing, but it waits for the write if the server is at it, and afterwards the
//!   server will not run it any more: it cannot land after a newer one.
//!
//! Where there are no such numbers (standalone servers, `FerretDB`, `retryWrites=false`) only
//! `maxTimeMS` bounds a lost write: a server that was paused may still run what it had received
//! when it goes on.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use mongodb::bson::{Bson, Document, RawDocumentBuf};
use mongodb::error::{Error as DriverError, RETRYABLE_WRITE_ERROR};

use crate::backends::mongodb::commands::Build;
use crate::backends::mongodb::document::Writer;
use crate::backends::mongodb::shared::{Server, WriteSession};
use crate::backends::mongodb::{Mongo, error};
use crate::contract::operation::Operation;
use crate::contract::payloads::Write;
use crate::error::{Error, Result};

/// Writes of unknown fate that are remembered.
const MAX_SUSPECTS: usize = 4_096;

/// A write that may still be under way, and the ids that it touches.
struct Suspect {
    session: WriteSession,
    ids: Vec<Box<str>>,
}

/// The writes of a store whose fate is not known.
#[derive(Default)]
pub(crate) struct Suspects(Mutex<VecDeque<Suspect>>);

impl Suspects {
    fn list(&self) -> MutexGuard<'_, VecDeque<Suspect>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, suspect: Suspect) {
        let mut list = self.list();
        if list.len() == MAX_SUSPECTS {
            list.pop_front();
        }
        list.push_back(suspect);
    }

    fn touching(&self, group: &[Write]) -> Vec<Suspect> {
        let mut list = self.list();
        if list.is_empty() {
            return Vec::new();
        }
        let ids: HashSet<&str> = group.iter().map(Operation::id).collect();
        let (touching, others) = std::mem::take(&mut *list)
            .into_iter()
            .partition(|suspect| suspect.ids.iter().any(|id| ids.contains(&**id)));
        *list = others;
        Vec::from(touching)
    }

    /// Forgets them: the store is being closed.
    pub(crate) fn clear(&self) {
        let suspects = std::mem::take(&mut *self.list());
        drop(suspects);
    }
}

/// A write under way. Dropped before its answer, it is a suspect.
struct UnderWay<'a> {
    suspects: &'a Suspects,
    suspect: Option<Suspect>,
}

impl UnderWay<'_> {
    fn answered(mut self) -> Option<WriteSession> {
        self.suspect.take().map(|suspect| suspect.session)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(suspect) = self.suspect.take() {
            self.suspects.add(suspect);
        }
    }
}

impl Mongo {
    /// Runs a write command on `ids`; `write` writes all of it but its tail, and may be called twice.
    pub(crate) async fn run_write(
        &self,
        server: &Arc<Server>,
        ids: &[&str],
        size: usize,
        write: impl Fn(&mut Writer),
    ) -> Result<Document> {
        let command = |number| self.write_command(size, &write, number);
        if !server.numbers_writes() {
            return server.run_raw(command(None)?).await.map_err(error::command);
        }
        let mut session = self.shared.write_session(server).await?;
        session.number += 1;
        let ids = ids.iter().map(|id| Box::from(*id)).collect();
        let mut under_way = UnderWay { suspects: &self.suspects, suspect: Some(Suspect { session, ids }) };
        // Why it is sent again: it may have arrived, or it was done and not confirmed.
        let (mut doubt, mut unconfirmed): (Option<DriverError>, Option<Document>) = (None, None);
        let mut repeated = false;
        loop {
            let Some(Suspect { session, .. }) = &mut under_way.suspect else { return Err(error::unexpected()) };
            let command = command(Some(session.number))?;
            let failure = match server.database().run_raw_command(command).session(&mut session.session).await {
                Ok(reply) if !repeated && is_unconfirmed(&reply) => {
                    (repeated, unconfirmed) = (true, Some(reply));
                    continue;
                }
                Ok(reply) => {
                    self.settled(under_way);
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            if error::has_no_transaction_numbers(&failure) {
                server.stop_numbering();
                drop(under_way.answered());
                return Err(error::command(failure).retryable(true).unsent());
            }
            let unanswered = error::is_unanswered(&failure);
            if !repeated && error::may_resend(&failure) {
                repeated = true;
                doubt = unanswered.then_some(failure);
                continue;
            }
            if let Some(reply) = unconfirmed.filter(|_| !unanswered) {
                self.settled(under_way);
                return Ok(reply);
            }
            // What became of it the second time does not tell what became of it the first time.
            return Err(match doubt {
                Some(first) if !unanswered => error::command(first),
                None if !unanswered => {
                    self.settled(under_way);
                    error::command(failure)
                }
                _ => error::command(failure),
            });
        }
    }

    /// Runs a write that is bound to what it finds there, such as a version: it cannot harm what was
    /// written after it, so nothing has to be fenced off.
    pub(crate) async fn run_state_write(&self, server: &Arc<Server>, mut command: Writer) -> Result<Document> {
        if !server.numbers_writes() {
            return server.run_raw(command.finish()?).await.map_err(error::command);
        }
        let mut session = self.shared.write_session(server).await?;
        session.number += 1;
        command.long("txnNumber", session.number);
        let command = command.finish()?;
        let mut repeated = false;
        loop {
            match server.database().run_raw_command(command.clone()).session(&mut session.session).await {
                Ok(reply) if !repeated && is_unconfirmed(&reply) => repeated = true,
                Ok(reply) => {
                    self.shared.give_back(session);
                    return Ok(reply);
                }
                Err(failure) if error::has_no_transaction_numbers(&failure) => {
                    server.stop_numbering();
                    return Err(error::command(failure).retryable(true).unsent());
                }
                Err(failure) if !repeated && error::may_resend(&failure) => repeated = true,
                Err(failure) => {
                    if !error::is_unanswered(&failure) {
                        self.shared.give_back(session);
                    }
                    return Err(error::command(failure));
                }
            }
        }
    }

    fn settled(&self, under_way: UnderWay<'_>) {
        if let Some(session) = under_way.answered() {
            self.shared.give_back(session);
        }
    }

    fn write_command(&self, size: usize, write: impl Fn(&mut Writer), number: Option<i64>) -> Result<RawDocumentBuf> {
        let mut command = Writer::with_capacity(size);
        write(&mut command);
        self.terms().end_write(&mut command);
        if let Some(number) = number {
            command.long("txnNumber", number);
        }
        command.finish()
    }

    /// Makes sure that no earlier write of unknown fate can land on the ids of a group any more.
    pub(crate) async fn fence(&self, server: &Arc<Server>, group: &[Write]) -> Result<()> {
        let suspects = self.suspects.touching(group);
        if suspects.is_empty() {
            return Ok(());
        }
        let fences = suspects
            .into_iter()
            .map(|suspect| UnderWay { suspects: &self.suspects, suspect: Some(suspect) })
            .map(|held| self.fence_one(server, held));
        join_all(fences).await.into_iter().collect()
    }

    async fn fence_one(&self, server: &Arc<Server>, mut held: UnderWay<'_>) -> Result<()> {
        let Some(Suspect { session, ids }) = &mut held.suspect else { return Ok(()) };
        session.number += 1;
        let write = |command: &mut Writer| {
            command.text("update", &self.collection).begin_array("updates");
            // A statement for each id, so that a sharded cluster asks the same shards; no document
            // has the id and has none.
            for (index, id) in ids.iter().enumerate() {
                command.begin(&index.to_string()).begin("q").begin("_id").text("$eq", id).flag("$exists", false);
                command.end().end().begin("u").begin("$set").int("never", 0).end().end().end();
            }
            command.end().flag("ordered", false);
        };
        let size = 512 + ids.iter().map(|id| id.len() + 96).sum::<usize>();
        let command = self.write_command(size, write, Some(session.number))?;
        match server.database().run_raw_command(command).session(&mut session.session).await {
            Ok(_) => self.settled(held),
            // It is over for another reason: the session has moved on, or may not write any more.
            Err(failure) if error::is_too_old(&failure) || error::has_no_transaction_numbers(&failure) => {
                drop(held.answered());
            }
            Err(failure) => {
                let failed = error::command(failure);
                if failed.is_retryable() {
                    return Err(Error::unsent(failed));
                }
                drop(held.answered());
            }
        }
        Ok(())
    }
}

/// Whether it was done, and a failover came before enough servers had it.
fn is_unconfirmed(reply: &Document) -> bool {
    reply.contains_key("writeConcernError") && has_retry_label(reply)
}

/// Whether a `RetryableWriteError` is among an answer's labels.
pub(crate) fn has_retry_label(reply: &Document) -> bool {
    let label = Bson::from(RETRYABLE_WRITE_ERROR);
    reply.get_array("errorLabels").is_ok_and(|labels| labels.contains(&label))
}
