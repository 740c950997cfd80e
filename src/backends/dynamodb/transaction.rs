//! The store's own transaction: changes are kept here, and sent together at the end. The same on the
//! store's own connections and on a client of the application.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::changes::{Change, Transact};
use super::channel::Transport;
use super::clock::Clock;
use super::collect::{Load, change_of, copy_of};
use super::config::Tables;
use super::error::{Cause, Failure, canceled_item};
use super::session::Session;
use super::shared::Connector;
use super::states::States;
use super::states::queued::{Planned, Refused};
use crate::contract::operation::Operation;
use crate::contract::settings::Retry;
use crate::contract::states::{StateWrite, changed_twice};
use crate::contract::step::{Queued, Reply, Step};
use crate::contract::transaction::Transaction;
use crate::error::{Error, Result};
use crate::runtime::Task;

/// How often and for how long a commit is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) retry: Retry,
    pub(super) limit: Duration,
}

/// Changes that nobody has sent yet; of each payload the last one.
pub(super) struct Collected {
    tables: Tables,
    clock: Arc<Clock>,
    changes: Vec<Change>,
    /// Where the change of a payload stands.
    places: HashMap<Box<str>, usize>,
    /// What it means if the condition of a change does not hold.
    guards: HashMap<usize, Refused>,
    load: Load,
}

impl Collected {
    pub(super) fn new(tables: Tables, clock: Arc<Clock>) -> Self {
        let (changes, places, guards) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { tables, clock, changes, places, guards, load: Load::default() }
    }

    /// The tables.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The server's clock beside ours.
    pub(super) fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// A step that needs no answer.
    pub(super) fn keep(&mut self, step: &Step) -> Result<Reply> {
        let change = copy_of(step, &self.tables.payloads, &self.clock)?;
        let place = self.places.get(step.id()).copied();
        self.load = self.load.with(&change, place.map(|place| self.changes[place].size()))?;
        if let Some(place) = place {
            self.changes[place] = change;
        } else {
            self.places.insert(step.id().into(), self.changes.len());
            self.changes.push(change);
        }
        Ok(Reply::Done)
    }

    /// A change of saga state: all of it, or nothing. `on` leads to the table of sagas.
    pub(super) async fn keep_state(&mut self, on: &impl Transport, write: &StateWrite) -> Result<Reply> {
        let planned = States { on }.plan(write).await?;
        let mut load = self.load;
        for Planned { change, .. } in &planned {
            if self.guards.keys().any(|place| self.changes[*place].id() == change.id()) {
                return Err(changed_twice(write.id()));
            }
            load = load.with_size(change.size(), None).map_err(|error| error.with_id(write.id()))?;
        }
        self.load = load;
        for Planned { change, refused } in planned {
            self.guards.insert(self.changes.len(), refused);
            self.changes.push(change);
        }
        Ok(Reply::Done)
    }

    /// Whether all of the steps of a call have room where the first of them is queued.
    pub(super) fn make_room(&self, steps: &[Step]) -> Result<()> {
        let mut load = self.load;
        // Of ids that the call itself has come by.
        let mut sizes: HashMap<&str, u64> = HashMap::with_capacity(steps.len());
        for step in steps {
            // A change of saga state, of which a call has one, looks for room itself.
            if matches!(step.queued(), Queued::Conditional(_)) {
                continue;
            }
            let change = change_of(step, &self.tables.payloads, &self.clock)?;
            let kept = self.places.get(step.id()).map(|place| self.changes[*place].size());
            let instead_of = sizes.insert(step.id(), change.size()).or(kept);
            load = load.with(&change, instead_of)?;
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Has everything happen, or nothing. `states` leads to the table of sagas.
    pub(super) async fn send(&self, on: &impl Transport, states: &impl Transport) -> Result<()> {
        let Err(failure) = on.transact(self.changes.clone()).await else { return Ok(()) };
        let guard = canceled_item(&failure.error).and_then(|place| self.guards.get(&place));
        Err(match guard.filter(|_| failure.is_met()) {
            Some(_) if failure.error.is_retryable() => failure.error,
            Some(refused) => States { on: states }.refusal(refused).await,
            None => self.named(failure.error),
        })
    }

    /// With the id of the item that the transaction failed of.
    fn named(&self, error: Error) -> Error {
        match canceled_item(&error).and_then(|index| self.changes.get(index)?.id()) {
            Some(id) => error.with_id(id),
            None => error,
        }
    }
}

/// On the store's own connections.
pub(super) struct OnOwn {
    shared: Arc<Connector>,
    patience: Patience,
    collected: Collected,
}

impl OnOwn {
    pub(super) fn new(shared: Arc<Connector>, patience: Patience, collected: Collected) -> Self {
        Self { shared, patience, collected }
    }

    async fn keep_state(&mut self, write: &StateWrite) -> Result<Reply> {
        let states = self.collected.tables().states.clone();
        let session = Session::open(&self.shared, &states, self.patience).await?;
        self.collected.keep_state(&session, write).await
    }

    async fn send(self) -> Result<()> {
        if self.collected.is_empty() {
            return Ok(());
        }
        let tables = self.collected.tables();
        let session = Session::open(&self.shared, &tables.payloads, self.patience).await?;
        let states = session.clone().about(&tables.states);
        self.collected.send(&session, &states).await
    }
}

/// Sends changes until it is known what came of them; the error of the last attempt says what is
/// known after all of them.
pub(super) async fn commit(on: &Session<'_>, changes: Vec<Change>, patience: Patience) -> Result<(), Failure> {
    // DynamoDB keeps it for ten minutes: what has happened does not happen again.
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

impl Transaction for OnOwn {
    fn check(&self, steps: &[Step]) -> Result<()> {
        self.collected.make_room(steps)
    }

    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            match step.queued() {
                Queued::Conditional(write) => self.keep_state(write).await,
                Queued::Blind(_) | Queued::No => self.collected.keep(step),
            }
        })
    }

    fn commit(self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(self.send())
    }

    fn roll_back(self: Box<Self>) -> Task<'static, ()> {
        // Nothing has been sent.
        Box::pin(async move { drop(self) })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backends::dynamodb::config::Place;
    use crate::backends::dynamodb::error;
    use crate::backends::dynamodb::expression;
    use crate::backends::dynamodb::payloads::item;
    use crate::contract::client::ClientError;
    use crate::contract::operation::Work;
    use crate::contract::payloads::{Read, Write};
    use crate::error::Kind;

    const RETRY: Retry = Retry { attempts: 3, base: Duration::ZERO, max: Duration::ZERO };

    fn empty() -> Collected {
        let tables = Tables { payloads: String::from("orders"), states: String::from("sagas") };
        Collected::new(tables, Arc::default())
    }

    fn put(id: &str, data: &'static [u8]) -> Step {
        Step::Payload(Work::Write(Write::Put { id: id.into(), data: Bytes::from_static(data), expires_at: None }))
    }

    fn delete(id: &str) -> Step {
        Step::Payload(Work::Write(Write::Delete { id: id.into() }))
    }

    #[test]
    fn the_last_write_of_an_id_is_the_one_that_is_sent() {
        let mut transaction = empty();
        for step in
            [put("a", b"1"), put("b", b"1"), put("a", b"22"), delete("b"), put("c", b""), delete("c"), put("c", b"3")]
        {
            assert_eq!(transaction.keep(&step).unwrap(), Reply::Done);
        }
        let stored =
            |id: &str, data: &'static [u8]| Change::put("orders", item::encode(id, &Bytes::from_static(data), None));
        let expected = [stored("a", b"22"), Change::delete("orders", expression::key("b")), stored("c", b"3")];
        assert_eq!(transaction.changes, expected);
        let load = Load { items: 3, bytes: expected.iter().map(Change::size).sum() };
        assert_eq!(transaction.load, load);
        let read = Step::Payload(Work::Read(Read::Has { id: "a".into() }));
        assert_eq!(transaction.keep(&read).unwrap_err().kind(), Kind::Unsupported);
        assert_eq!(transaction.load, load);
    }

    #[test]
    fn a_refused_write_leaves_what_was_there() {
        let mut transaction = empty();
        for n in 0..100 {
            transaction.keep(&put(&n.to_string(), b"x")).unwrap();
        }
        assert_eq!(transaction.keep(&put("100", b"x")).unwrap_err().kind(), Kind::InvalidArgument);
        assert_eq!(transaction.keep(&delete("99")).unwrap(), Reply::Done);
        assert_eq!(transaction.changes.len(), 100);
    }

    #[test]
    fn a_call_is_queued_as_a_whole_or_not_at_all() {
        let mut transaction = empty();
        for n in 0..98 {
            transaction.keep(&put(&n.to_string(), b"x")).unwrap();
        }
        assert!(transaction.make_room(&[put("a", b"x"), put("b", b"x")]).is_ok());
        // Those that are there already, or twice in the call, take no room of their own.
        assert!(transaction.make_room(&[put("a", b"x"), put("7", b"yy"), put("a", b"z"), put("b", b"x")]).is_ok());
        let error = transaction.make_room(&[put("a", b"x"), put("b", b"x"), put("c", b"x")]).unwrap_err();
        assert_eq!((error.kind(), error.id()), (Kind::InvalidArgument, Some("c")));
        let read = Step::Payload(Work::Read(Read::Has { id: "0".into() }));
        assert_eq!(transaction.make_room(&[put("a", b"x"), read]).unwrap_err().kind(), Kind::Unsupported);
        assert_eq!(transaction.changes.len(), 98);
    }

    #[test]
    fn the_size_of_a_call_is_that_of_what_it_leaves() {
        static LARGE: [u8; 400_000] = [0; 400_000];
        let mut transaction = empty();
        for n in 0..9 {
            transaction.keep(&put(&n.to_string(), &LARGE)).unwrap();
        }
        assert!(transaction.make_room(&[put("a", &LARGE), put("a", &LARGE), put("0", &LARGE)]).is_ok());
        let error = transaction.make_room(&[put("a", &LARGE), put("b", &LARGE)]).unwrap_err();
        assert_eq!((error.kind(), error.id()), (Kind::PayloadTooLarge, Some("b")));
        assert!(transaction.make_room(&[delete("0"), put("a", &LARGE), put("b", &LARGE)]).is_ok());
    }

    #[tokio::test]
    async fn nothing_is_sent_for_nothing() {
        // There is no server.
        let place = Place { region: None, endpoint: None, keys: None };
        let shared = Arc::new(Connector::new(place, Duration::from_secs(1)));
        let patience = Patience { retry: RETRY, limit: Duration::from_secs(1) };
        assert!(Box::new(OnOwn::new(shared, patience, empty())).commit().await.is_ok());
    }

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
