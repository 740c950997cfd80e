//! Where commands about a collection travel: on the store's own connections ([`super::own`]), in a transaction of the
//! store ([`super::transaction`]), or on a client of the application ([`super::guest`]). Code of a kind is generic
//! over it. And what comes of commands that fail.

use std::future::Future;
use std::time::Duration;

use mongodb::bson::Document;
use mongodb::error::{Error as DriverError, TRANSIENT_TRANSACTION_ERROR};

use super::answer::first_write_error;
use super::build::{Build, Terms};
use super::clock::Clock;
use super::error;
use crate::contract::client::ClientError;
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::RecordKind;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// A collection, and a way to it. What ends a command (its concerns, its time) is added on the way.
pub(super) trait Channel: Send + Sync {
    /// How commands are built for it.
    type Command: Build;

    /// Leads to the collection of another kind of records.
    fn to(&self, kind: RecordKind) -> Self
    where
        Self: Sized;

    /// The collection's name.
    fn collection(&self) -> &str;

    /// The name of the collection of what is older of the logs of executions.
    fn log_collection(&self) -> &str;

    /// The server's clock beside ours.
    fn clock(&self) -> &Clock;

    /// Whether an update that has found its document changes that very one. FerretDB 1 finds it and changes it in two
    /// steps.
    fn is_atomic(&self) -> bool;

    /// Whether a write that fails ends a transaction: then nothing is written that is bound to fail.
    fn in_transaction(&self) -> bool;

    /// Runs a command that changes documents and needs about `size` bytes. `write` writes it, and may be called twice.
    ///
    /// `replaces` are the ids that it changes whatever is there: where it is not known what became of it, they are not
    /// written again before it is. There are none where the command is bound to what it finds, such as a version: it
    /// cannot harm what was written after it.
    fn change<W: Fn(&mut Self::Command) + Send + Sync>(
        &self,
        size: usize,
        replaces: &[&str],
        write: W,
    ) -> impl Future<Output = Result<Document>> + Send;

    /// The same, of a command whose statements change any number of documents each. Servers number no such command, so
    /// it is sent once: an error may leave it done, or done in part.
    fn change_many<W: Fn(&mut Self::Command) + Send + Sync>(
        &self,
        size: usize,
        write: W,
    ) -> impl Future<Output = Result<Document>> + Send {
        self.change(size, &[], write)
    }

    /// Runs several commands that change documents, of which each needs so many bytes; all of them happen, or none.
    /// `write` is told which one to write. Answers up to the first in which a statement failed: then nothing has
    /// happened. `None`, and nothing is sent, where the server has no transactions.
    fn change_together<W: Fn(usize, &mut Self::Command) + Send + Sync>(
        &self,
        sizes: &[usize],
        write: W,
    ) -> impl Future<Output = Result<Option<Vec<Document>>>> + Send;

    /// Runs a command that changes nothing, and needs about `size` bytes.
    fn ask<W: FnOnce(&mut Self::Command) + Send>(
        &self,
        size: usize,
        write: W,
    ) -> impl Future<Output = Result<Dynamic>> + Send;

    /// The present by the server's clock.
    fn now(&self) -> Millis {
        self.clock().there(Millis::now())
    }
}

/// Runs commands of a transaction; stops at the first in which a statement fails.
pub(super) async fn one_by_one<C: Channel, W: Fn(usize, &mut C::Command) + Send + Sync>(
    on: &C,
    sizes: &[usize],
    write: W,
) -> Result<Vec<Document>> {
    let mut replies = Vec::with_capacity(sizes.len());
    for (at, size) in sizes.iter().enumerate() {
        replies.push(on.change(*size, &[], |command| write(at, command)).await?);
        if replies.last().and_then(first_write_error).is_some() {
            break;
        }
    }
    Ok(replies)
}

/// Carries commands that are sent rarely, and whose answers fit one document: the driver's client,
/// or one of the application.
pub(super) trait Carrier: Sync {
    /// Runs a command.
    fn run(&self, command: Document) -> impl Future<Output = Result<Document, Failure>> + Send;

    /// Waits.
    fn pause(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// A store's collection, and who carries commands that are sent rarely.
pub(super) struct Collection<'a, C> {
    pub(super) on: &'a C,
    pub(super) terms: Terms<'a>,
    pub(super) clock: &'a Clock,
}

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// As the driver tells.
    Driver(DriverError),
    /// As a client of the application tells.
    Client(ClientError),
    /// It was not sent, or its answer makes no sense.
    Own(Error),
}

impl Failure {
    /// The server's code, where the command failed there.
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Self::Driver(failure) => error::code_of(failure),
            Self::Client(failure) => error::code_of_client(failure),
            Self::Own(_) => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Driver(failure) => failure.kind.to_string(),
            Self::Client(failure) => failure.message.clone(),
            Self::Own(failure) => failure.message().to_owned(),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Driver(failure) => failure.contains_label(TRANSIENT_TRANSACTION_ERROR),
            Self::Client(failure) => failure.labels.iter().any(|label| label == TRANSIENT_TRANSACTION_ERROR),
            Self::Own(_) => false,
        }
    }

    /// The store's error, where each command stands for itself.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Driver(failure) => error::command(failure),
            Self::Client(failure) => error::of_client(failure),
            Self::Own(failure) => failure,
        }
    }

    /// The store's error within a transaction. What the servers call transient ends the transaction
    /// with nothing done: run again as a whole, it may succeed.
    pub(super) fn into_error_in_transaction(self) -> Error {
        let lacking = self.code().is_some_and(|code| error::lacks_transactions(code, &self.text()));
        let transient = self.is_transient();
        let failure = self.into_error();
        if lacking {
            let message = "this server has no transactions: they need a MongoDB replica set or sharded cluster";
            return Error::new(Kind::Unsupported, message).unsent().with_source(failure);
        }
        if transient {
            let message = "the transaction cannot go on, and nothing of it has happened: run again, it may succeed";
            return Error::new(Kind::Backend, message).retryable(true).with_source(failure);
        }
        failure
    }
}
