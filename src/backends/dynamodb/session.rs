//! The store's own way to a table: requests with the SDK for Rust.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;

use super::changes::{Change, Transact};
use super::channel::{Channel, read_clock};
use super::clock::Clock;
use super::config::{KnownNames, Tables};
use super::error::{self, Cause, Failure};
use super::requests::Request;
use super::shared::SharedClient;
use crate::contract::operation::RecordKind;
use crate::contract::settings::Retry;
use crate::error::{Error, Result};

/// How often and for how long a commit is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) retry: Retry,
    pub(super) limit: Duration,
}

/// The table of a kind, and the connections that stores share.
#[derive(Clone)]
pub(super) struct Session<'a> {
    client: Client,
    pub(super) shared: &'a SharedClient,
    tables: &'a Tables,
    kind: RecordKind,
    /// Whether its requests wait until fewer others are under way.
    in_turn: bool,
    /// The longest that a request may take; without one it is the caller's to say.
    limit: Option<Duration>,
    /// How often and for how long a transaction is sent.
    patience: Patience,
}

impl<'a> Session<'a> {
    /// Leads to the table of payloads. Connects, the first time.
    pub(super) async fn open(shared: &'a SharedClient, tables: &'a Tables, patience: Patience) -> Result<Self> {
        let client = shared.client().await?;
        let (kind, limit) = (RecordKind::Payloads, Some(shared.connect_timeout));
        let session = Self { client, shared, tables, kind, in_turn: false, limit, patience };
        if shared.clock.ahead().is_none() {
            let _first = shared.first().await;
            read_clock(&session).await.map_err(Error::unsent)?;
        }
        Ok(Self { in_turn: true, limit: None, ..session })
    }

    /// One whose requests do not wait for their turn: what few of them ask must be known soon.
    pub(super) fn unqueued(self) -> Self {
        Self { in_turn: false, ..self }
    }
}

impl Channel for Session<'_> {
    const IN_PARALLEL: bool = true;

    fn to(&self, kind: RecordKind) -> Self {
        Self { kind, ..self.clone() }
    }

    fn table(&self) -> &str {
        self.tables.of(self.kind)
    }

    fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    fn known_names(&self) -> &KnownNames {
        &self.tables.known
    }

    async fn send<R: Request>(&self, request: R) -> Result<R::Answer, Failure> {
        let _turn = if self.in_turn { Some(self.shared.turn().await?) } else { None };
        let sent = request.send(&self.client, self.table());
        let answer = match self.limit {
            Some(limit) => {
                tokio::time::timeout(limit, sent).await.unwrap_or_else(|_| Err(error::unreachable_in_time().into()))
            }
            None => sent.await,
        };
        answer.map_err(|failure| failure.looked_for_at(|| self.shared.place()))
    }

    async fn transact(&self, changes: Vec<Change>) -> Result<(), Failure> {
        commit(self, changes, self.patience).await
    }

    async fn pause(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}

/// Sends changes until it is known what came of them.
///
/// 1. Makes a token. DynamoDB keeps it for ten minutes: changes that are sent again with it do not happen twice.
/// 2. Sends the changes.
/// 3. If that failed, and may succeed later, waits and begins again with 2.
/// 4. Else the error says what is known after all of the attempts: nothing has happened, or it is not known.
async fn commit(on: &Session<'_>, changes: Vec<Change>, patience: Patience) -> Result<(), Failure> {
    let token = format!("{:032x}", fastrand::u128(..));
    let until = Instant::now() + patience.limit;
    let mut outcome = Outcome::default();
    loop {
        let sent = on.send(Transact { changes: changes.clone(), token: Some(token.clone()) }).await;
        let Err(failure) = sent else { return Ok(()) };
        let pause = outcome.after(&failure, patience.retry);
        match pause.filter(|pause| Instant::now() + *pause < until) {
            Some(pause) => on.pause(pause).await,
            None => return Err(outcome.into_failure(failure)),
        }
    }
}

/// What is known after attempts that failed.
#[derive(Debug, Default)]
struct Outcome {
    failed: u32,
    /// It may have happened: an answer was lost.
    uncertain: bool,
}

impl Outcome {
    /// How long to wait before the same is sent again, if it is. A transaction that was refused as a
    /// whole is the caller's to begin again.
    fn after(&mut self, failure: &Failure, retry: Retry) -> Option<Duration> {
        let error = &failure.error;
        self.failed += 1;
        self.uncertain = failure.cause != Cause::Canceled && (self.uncertain || failure.is_uncertain());
        let again = error.is_retryable() && failure.cause != Cause::Canceled;
        let attempts_left = self.failed < retry.attempts || error.is_throttled();
        (again && attempts_left).then(|| retry.pause(self.failed))
    }

    /// The last failure, as what it says about all attempts.
    fn into_failure(self, failure: Failure) -> Failure {
        if self.uncertain { failure.into_unknown_outcome().into() } else { failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::client::ClientError;
    use crate::error::Kind;

    const RETRY: Retry = Retry { attempts: 3, base: Duration::ZERO, max: Duration::ZERO };

    fn failure(code: &str) -> Failure {
        let message = String::from("specific reasons [TransactionConflict]");
        error::of_client(ClientError { code: Some(code.into()), message, ..ClientError::default() }, "orders")
    }

    #[test]
    fn what_may_have_happened_is_sent_again_and_then_not_known() {
        let mut outcome = Outcome::default();
        assert!(outcome.after(&failure("InternalServerError"), RETRY).is_some());
        assert!(outcome.after(&failure("TransactionInProgressException"), RETRY).is_some());
        assert!(outcome.after(&failure("ThrottlingException"), RETRY).is_none());
        let error = outcome.into_failure(failure("ThrottlingException")).error;
        assert!(error.kind() == Kind::Connection && error.message().contains("not known"), "{error:?}");
    }

    #[test]
    fn what_was_refused_as_a_whole_has_not_happened() {
        let mut outcome = Outcome::default();
        assert!(outcome.after(&failure("InternalServerError"), RETRY).is_some());
        let cancelled = failure("TransactionCanceledException");
        assert!(outcome.after(&cancelled, RETRY).is_none());
        let error = outcome.into_failure(cancelled).error;
        assert!(error.kind() == Kind::Backend && error.is_retryable(), "{error:?}");
        let mut outcome = Outcome::default();
        assert!(outcome.after(&failure("ThrottlingException"), RETRY).is_some());
        assert!(outcome.after(&failure("ValidationException"), RETRY).is_none());
        assert_eq!(outcome.into_failure(failure("ValidationException")).error.kind(), Kind::Backend);
    }
}
