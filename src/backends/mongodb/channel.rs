//! Who carries commands, and what comes of those that fail.

use std::future::Future;
use std::time::Duration;

use mongodb::bson::Document;
use mongodb::error::{Error as DriverError, TRANSIENT_TRANSACTION_ERROR};

use super::clock::Clock;
use super::commands::Terms;
use super::document::raw;
use super::error;
use super::shared::Server;
use crate::contract::client::ClientError;
use crate::error::{Error, Kind};

/// Carries commands that are sent rarely, and whose answers fit one document: the driver's client,
/// or one of the application.
pub(super) trait Carrier: Sync {
    /// Runs a command.
    fn run(&self, command: Document) -> impl Future<Output = Result<Document, Failure>> + Send;

    /// Waits.
    fn pause(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

impl Carrier for Server {
    async fn run(&self, command: Document) -> Result<Document, Failure> {
        let command = raw(&command).map_err(Failure::Own)?;
        self.run_raw(command).await.map_err(Failure::Driver)
    }

    async fn pause(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}

/// A store's collection, and how it is reached.
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
