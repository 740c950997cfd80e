//! A collection on the store's own connections, and how writes are sent there: with a number that
//! the server knows them by, and again if it is not known whether they have arrived
//! ([`super::suspects`] says why).

use std::sync::Arc;

use futures_util::future::join_all;
use mongodb::bson::{Document, RawDocumentBuf};
use mongodb::error::Error as DriverError;
use mongodb::raw_batch_cursor::RawBatchCursor;

use super::address::Address;
use super::answer::may_be_undone;
use super::build::{Build, Terms};
use super::channel::{Channel, Collection};
use super::clock::Clock;
use super::collections::{Collections, Names};
use super::document::Writer;
use super::error;
use super::objects::of_document;
use super::shared::{Connector, Server};
use super::suspects::{Suspect, Suspects, UnderWay};
use super::transaction;
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::RecordKind;
use crate::error::{Error, Result};

/// A collection on the store's own connections.
#[derive(Clone)]
pub(super) struct Own {
    pub(super) collections: Arc<Collections>,
    pub(super) suspects: Arc<Suspects>,
    pub(super) shared: Arc<Connector>,
    pub(super) server: Arc<Server>,
    pub(super) kind: RecordKind,
}

impl Own {
    /// How commands are ended.
    pub(super) fn terms(&self) -> Terms<'_> {
        self.collections.terms(self.kind)
    }

    /// The names of the collections.
    pub(super) fn names(&self) -> &Names {
        &self.collections.names
    }

    /// The URL, read.
    pub(super) fn address(&self) -> &Address {
        self.shared.address()
    }

    /// For commands that are sent rarely.
    pub(super) fn as_collection(&self) -> Collection<'_, Server> {
        Collection { on: &*self.server, terms: self.terms(), clock: self.clock() }
    }

    /// The same, of the logs of executions.
    pub(super) fn as_log_collection(&self) -> Collection<'_, Server> {
        let terms = Terms { collection: self.log_collection(), ..self.terms() };
        Collection { terms, ..self.as_collection() }
    }

    /// Reads the server's clock, if it is time for it.
    pub(super) async fn keep_time(&self) {
        self.shared.keep_time(&self.server).await;
    }

    /// The answers to a question as they come, nothing of them copied.
    pub(super) async fn answers(&self, size: usize, write: impl FnOnce(&mut Writer)) -> Result<RawBatchCursor> {
        let command = self.question(size, write)?;
        self.server.database().run_raw_cursor_command(command).batch().await.map_err(error::command)
    }

    fn question(&self, size: usize, write: impl FnOnce(&mut Writer)) -> Result<RawDocumentBuf> {
        let mut command = Writer::with_capacity(size);
        write(&mut command);
        self.terms().end_read(&mut command);
        command.finish()
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

    /// Runs a write that changes `ids` whatever is there.
    async fn replace(&self, size: usize, ids: &[&str], write: impl Fn(&mut Writer)) -> Result<Document> {
        let command = |number| self.write_command(size, &write, number);
        let server = &self.server;
        if !server.numbers_writes() {
            return server.run_raw(command(None)?).await.map_err(error::command);
        }
        let mut session = self.shared.write_session(server).await?;
        session.number += 1;
        let ids = ids.iter().map(|id| Box::from(*id)).collect();
        let mut under_way = UnderWay::new(&self.suspects, Suspect { kind: self.kind, session, ids });
        // Why it is sent again: it may have arrived, or it was done and not confirmed.
        let (mut doubt, mut unconfirmed): (Option<DriverError>, Option<Document>) = (None, None);
        let mut repeated = false;
        loop {
            let Some(Suspect { session, .. }) = under_way.suspect() else { return Err(error::unexpected()) };
            let command = command(Some(session.number))?;
            let failure = match server.database().run_raw_command(command).session(&mut session.session).await {
                Ok(reply) if !repeated && may_be_undone(&reply) => {
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

    /// Runs a write that is bound to what it finds there: nothing has to be fenced off.
    async fn change_bound(&self, size: usize, write: impl Fn(&mut Writer)) -> Result<Document> {
        let command = |number| self.write_command(size, &write, number);
        let server = &self.server;
        if !server.numbers_writes() {
            return server.run_raw(command(None)?).await.map_err(error::command);
        }
        let mut session = self.shared.write_session(server).await?;
        session.number += 1;
        let mut repeated = false;
        loop {
            let command = command(Some(session.number))?;
            match server.database().run_raw_command(command).session(&mut session.session).await {
                Ok(reply) if !repeated && may_be_undone(&reply) => repeated = true,
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

    /// Makes sure that no earlier write of unknown fate can land on these ids any more.
    pub(super) async fn fence<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Result<()> {
        let suspects = self.suspects.touching(self.kind, ids);
        if suspects.is_empty() {
            return Ok(());
        }
        let fences =
            suspects.into_iter().map(|suspect| UnderWay::new(&self.suspects, suspect)).map(|held| self.fence_one(held));
        join_all(fences).await.into_iter().collect()
    }

    async fn fence_one(&self, mut held: UnderWay<'_>) -> Result<()> {
        let Some(Suspect { session, ids, .. }) = held.suspect() else { return Ok(()) };
        session.number += 1;
        let write = |command: &mut Writer| {
            command.text("update", self.collection()).begin_array("updates");
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
        match self.server.database().run_raw_command(command).session(&mut session.session).await {
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

impl Channel for Own {
    type Command = Writer;

    fn to(&self, kind: RecordKind) -> Self {
        Self { kind, ..self.clone() }
    }

    fn collection(&self) -> &str {
        self.collections.names.of(self.kind)
    }

    fn log_collection(&self) -> &str {
        self.collections.names.log()
    }

    fn clock(&self) -> &Clock {
        self.shared.clock()
    }

    fn is_atomic(&self) -> bool {
        self.server.is_atomic()
    }

    fn in_transaction(&self) -> bool {
        false
    }

    async fn change<W: Fn(&mut Writer) + Send + Sync>(
        &self,
        size: usize,
        replaces: &[&str],
        write: W,
    ) -> Result<Document> {
        if replaces.is_empty() {
            self.change_bound(size, write).await
        } else {
            self.replace(size, replaces, write).await
        }
    }

    async fn change_many<W: Fn(&mut Writer) + Send + Sync>(&self, size: usize, write: W) -> Result<Document> {
        let command = self.write_command(size, write, None)?;
        self.server.run_raw(command).await.map_err(error::command)
    }

    async fn change_together<W: Fn(usize, &mut Writer) + Send + Sync>(
        &self,
        sizes: &[usize],
        write: W,
    ) -> Result<Option<Vec<Document>>> {
        if !self.server.hello().has_transactions() {
            return Ok(None);
        }
        transaction::together(self, sizes, write).await.map(Some)
    }

    async fn ask<W: FnOnce(&mut Writer) + Send>(&self, size: usize, write: W) -> Result<Dynamic> {
        let command = self.question(size, write)?;
        self.server.run_raw(command).await.map(of_document).map_err(error::command)
    }
}
