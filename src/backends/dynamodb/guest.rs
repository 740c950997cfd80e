//! On a client of the application: `DynamoDBClient`, `DynamoDB` and their document clients, and in a
//! transaction that the application collects (`TransactItems`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::changes::{Change, Transact};
use super::channel::{Transport, read_clock};
use super::clock::Clock;
use super::collect::{Found, change_of, copy_of};
use super::config::Tables;
use super::driver::CAPABILITIES;
use super::error::{self, Failure, of_client};
use super::initialize;
use super::payloads::{item, single};
use super::requests::{Request, take};
use super::session::Session;
use super::shared::Connector;
use super::states::States;
use super::states::queued::Planned;
use super::sweep::{self, Sweep};
use super::transaction::{Collected, Patience};
use crate::contract::capability::Capabilities;
use crate::contract::client::Client;
use crate::contract::dynamic::Dynamic;
use crate::contract::guest::{ClientDriver, UnitOfWork};
use crate::contract::operation::Operation;
use crate::contract::operation::Work;
use crate::contract::report::{Probe, Usage};
use crate::contract::states::{StateWrite, changed_twice};
use crate::contract::step::{Queued, Reply, Step, not_queueable};
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;
use crate::time::Millis;

/// A table, on whichever client.
pub(super) struct Hosted {
    tables: Tables,
    clock: Arc<Clock>,
    /// The connections of a store that has its own: what a transaction has to know that only collects.
    own: Option<(Arc<Connector>, Patience)>,
    sweep: Mutex<Option<Sweep>>,
    states_sweep: Mutex<Option<Sweep>>,
}

impl Hosted {
    pub(super) fn new(tables: Tables, clock: Arc<Clock>, own: Option<(Arc<Connector>, Patience)>) -> Self {
        Self { tables, clock, own, sweep: Mutex::default(), states_sweep: Mutex::default() }
    }

    /// A way to the table that requests can go. None leads there through a transaction that is only
    /// collected.
    async fn ready<'a>(&'a self, client: &'a Client) -> Result<OnClient<'a>> {
        if client.facts().buffered {
            let text = "this transaction is only sent at its end: nothing can be asked in it";
            return Err(Error::new(Kind::Unsupported, text));
        }
        let on = self.way(client, &self.tables.payloads);
        if self.clock.ahead().is_none() {
            read_clock(&on).await?;
        }
        Ok(on)
    }

    fn way<'a>(&'a self, client: &'a Client, table: &'a str) -> OnClient<'a> {
        OnClient { client, table, clock: &self.clock }
    }

    async fn run_step(&self, client: &Client, step: &Step) -> Result<Reply> {
        if client.facts().buffered {
            return match step.queued() {
                Queued::Conditional(write) => self.collect_state(client, write).await,
                Queued::Blind(_) | Queued::No => self.collect(client, step).await,
            };
        }
        let on = self.ready(client).await?;
        match step {
            Step::Payload(Work::Write(write)) => single::write(&on, write).await,
            Step::Payload(Work::Read(read)) => single::read(&on, read).await,
            Step::State(step) => States { on: &on.about(&self.tables.states) }.run(step).await,
        }
    }

    async fn ask(&self, client: &Client, method: &'static str, arguments: Vec<Dynamic>) -> Result<Dynamic> {
        client.ask(method, arguments).await.map_err(|error| of_client(error, &self.tables.payloads).error)
    }

    /// Puts a change where the application collects those of its transaction.
    async fn collect(&self, client: &Client, step: &Step) -> Result<Reply> {
        let change = copy_of(step, &self.tables.payloads, &self.clock)?;
        self.found_in(client, &self.tables.payloads).await?.add(&change)?;
        self.push(client, change).await?;
        Ok(Reply::Done)
    }

    /// The same of a change of saga state: all of it, or nothing.
    async fn collect_state(&self, client: &Client, write: &StateWrite) -> Result<Reply> {
        let planned = self.plan(client, write).await?;
        let mut found = self.found_in(client, &self.tables.states).await?;
        for Planned { change, .. } in &planned {
            if found.has(change) {
                return Err(changed_twice(write.id()));
            }
            found.add(change).map_err(|error| error.with_id(write.id()))?;
        }
        for Planned { change, .. } in planned {
            self.push(client, change).await?;
        }
        Ok(Reply::Done)
    }

    /// What a change of saga state takes. A new saga needs no look at what is there, so it is collected
    /// while the call runs.
    async fn plan(&self, client: &Client, write: &StateWrite) -> Result<Vec<Planned>> {
        match (&self.own, write) {
            (Some((shared, patience)), write) if !matches!(write, StateWrite::Insert { .. }) => {
                let (shared, patience) = (Arc::clone(shared), *patience);
                let (table, write) = (self.tables.states.clone(), write.clone());
                let planning = async move {
                    let session = Session::open(&shared, &table, patience).await?;
                    States { on: &session }.plan(&write).await
                };
                client.meanwhile(planning).await
            }
            _ => States { on: &self.way(client, &self.tables.states) }.plan(write).await,
        }
    }

    async fn push(&self, client: &Client, change: Change) -> Result<()> {
        self.ask(client, "push", vec![change.input()]).await.map(drop)
    }

    /// What the application's transaction has in it, with the ids of this table's items.
    async fn found_in(&self, client: &Client, table: &str) -> Result<Found> {
        let found = self.ask(client, "collected", vec![Dynamic::text(table)]).await?;
        Found::read(found).ok_or_else(error::unexpected)
    }

    /// Whether all of the steps of a call have room where the first of them is queued.
    async fn make_room(&self, client: &Client, steps: &[Step]) -> Result<()> {
        let mut found = self.found_in(client, &self.tables.payloads).await?;
        for step in steps {
            found.add(&change_of(step, &self.tables.payloads, &self.clock)?)?;
        }
        Ok(())
    }
}

/// A transaction of the store's own on a client.
struct OnHost(Collected);

impl UnitOfWork for OnHost {
    fn check(&self, _on: &Client, steps: &[Step]) -> Result<()> {
        self.0.make_room(steps)
    }

    fn run<'a>(&'a mut self, client: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            let (table, clock) = (self.0.tables().states.clone(), Arc::clone(self.0.clock()));
            let on = OnClient { client, table: &table, clock: &clock };
            if clock.ahead().is_none() {
                read_clock(&on).await?;
            }
            match step.queued() {
                Queued::Conditional(write) => self.0.keep_state(&on, write).await,
                Queued::Blind(_) | Queued::No => self.0.keep(step),
            }
        })
    }

    fn commit<'a>(&'a mut self, client: &'a Client) -> Task<'a, Result<()>> {
        Box::pin(async move {
            if self.0.is_empty() {
                return Ok(());
            }
            let Tables { payloads, states } = self.0.tables();
            let on = OnClient { client, table: payloads, clock: self.0.clock() };
            self.0.send(&on, &on.about(states)).await
        })
    }
}

/// A table, and a client of the application.
struct OnClient<'a> {
    client: &'a Client,
    table: &'a str,
    clock: &'a Clock,
}

impl<'a> OnClient<'a> {
    /// The same, to another table.
    fn about(&self, table: &'a str) -> Self {
        Self { table, ..*self }
    }
}

impl Transport for OnClient<'_> {
    const IN_PARALLEL: bool = false;

    fn table(&self) -> &str {
        self.table
    }

    fn clock(&self) -> &Clock {
        self.clock
    }

    async fn send<R: Request>(&self, request: R) -> Result<R::Answer, Failure> {
        let wants_date = Dynamic::Bool(self.clock.is_due());
        let arguments = vec![R::NAME.into(), request.input(self.table), wants_date];
        let answered = self.client.ask("send", arguments).await;
        let mut answer = answered.map_err(|error| of_client(error, self.table))?;
        if let Some(Dynamic::Text(date)) = take(&mut answer, "date") {
            self.clock.read(&date);
        }
        R::answer(take(&mut answer, "output").unwrap_or(Dynamic::Null))
    }

    async fn transact(&self, changes: Vec<Change>) -> Result<(), Failure> {
        let sent = self.send(Transact { changes, token: None }).await;
        sent.map_err(|failure| if failure.is_uncertain() { failure.into_unknown_outcome().into() } else { failure })
    }

    async fn pause(&self, pause: Duration) {
        self.client.pause(pause).await;
    }
}

/// A sweep, away from where it is kept until it is dropped: operations may be given up.
struct Taken<'a> {
    home: &'a Mutex<Option<Sweep>>,
    sweep: Option<Sweep>,
}

impl<'a> Taken<'a> {
    fn take(home: &'a Mutex<Option<Sweep>>) -> Self {
        Self { home, sweep: home.lock().unwrap_or_else(PoisonError::into_inner).take() }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.sweep.take();
    }
}

impl ClientDriver for Hosted {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn max_payload_bytes(&self, id: &str) -> u64 {
        item::max_payload_bytes(id.len() as u64)
    }

    fn run<'a>(&'a self, on: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(self.run_step(on, step))
    }

    fn check(&self, on: &Client, steps: &[Step]) -> Result<()> {
        let refused = |step: &&Step| on.facts().buffered && matches!(step.queued(), Queued::No);
        let refused = steps.iter().find(refused);
        refused.map_or(Ok(()), |step| Err(not_queueable(step)))
    }

    fn prepare<'a>(&'a self, on: &'a Client, steps: &'a [Step]) -> Task<'a, Result<()>> {
        // A single one looks for its room itself.
        if on.facts().buffered && steps.len() > 1 {
            return Box::pin(self.make_room(on, steps));
        }
        Box::pin(async { Ok(()) })
    }

    fn unit_of_work(&self) -> Option<Box<dyn UnitOfWork>> {
        let collected = Collected::new(self.tables.clone(), Arc::clone(&self.clock));
        Some(Box::new(OnHost(collected)))
    }

    fn initialize<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let on = self.ready(on).await?;
            initialize::initialize(&on, &on.about(&self.tables.states), None).await
        })
    }

    fn purge_expired<'a>(&'a self, on: &'a Client, now: Millis, limit: u64) -> Task<'a, Result<u64>> {
        Box::pin(async move {
            let on = self.ready(on).await?;
            let mut taken = Taken::take(&self.sweep);
            let now = self.clock.stored(now);
            let purged = sweep::purge(&on, &mut taken.sweep, now, limit, None).await?;
            let (on, mut taken) = (on.about(&self.tables.states), Taken::take(&self.states_sweep));
            let left = limit - purged.removed;
            let of_states = sweep::purge_if_there(&on, &mut taken.sweep, now, left, None).await?;
            Ok(purged.removed + of_states.removed)
        })
    }

    fn probe<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Probe>> {
        Box::pin(async move { initialize::probe(&self.ready(on).await?).await })
    }

    fn usage<'a>(&'a self, on: &'a Client, now: Millis) -> Task<'a, Result<Usage>> {
        Box::pin(async move { sweep::usage(&self.ready(on).await?, self.clock.stored(now)).await })
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;

    use super::*;
    use crate::backends::dynamodb::expression;
    use crate::contract::client::{Ask, ClientError, Facts};
    use crate::contract::payloads::{Read, Write};

    const COLLECTING: Facts = Facts { in_transaction: true, buffered: true, is_synchronous: true, one_server: false };

    fn hosted() -> Hosted {
        let tables = Tables { payloads: String::from("orders"), states: String::from("sagas") };
        Hosted::new(tables, Arc::default(), None)
    }

    /// Runs an operation on a client that answers like this; what it was asked.
    fn drive<T>(
        client: &Client,
        work: impl Future<Output = T>,
        mut answer: impl FnMut(&Ask) -> Result<Dynamic, ClientError>,
    ) -> (T, Vec<Ask>) {
        let (mut work, mut asked) = (std::pin::pin!(work), Vec::new());
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return (done, asked);
            }
            let ask = client.take_ask().expect("it waits for its client");
            client.answer(answer(&ask));
            asked.push(ask);
        }
    }

    fn put(id: &str, data: &Bytes) -> Step {
        Step::Payload(Work::Write(Write::Put { id: id.into(), data: data.clone(), expires_at: None }))
    }

    fn sent(ask: &Ask) -> &str {
        if ask.method == "send" { ask.arguments[0].as_text().unwrap() } else { ask.method }
    }

    fn collected(items: &[(Option<&str>, i64)]) -> Dynamic {
        let item = |(id, bytes): &(Option<&str>, i64)| {
            Dynamic::map([("id", id.map_or(Dynamic::Null, Dynamic::text)), ("bytes", Dynamic::Int(*bytes))])
        };
        Dynamic::List(items.iter().map(item).collect())
    }

    #[test]
    fn the_clock_is_looked_at_first_and_then_left_alone() {
        let (hosted, client) = (hosted(), Client::new(Facts::default()));
        let payload = Bytes::from_static(b"payload");
        let date = Dynamic::text("Tue, 24 Nov 2099 00:00:00 GMT");
        let answer = |_: &Ask| Ok(Dynamic::map([("output", Dynamic::map([])), ("date", date.clone())]));
        let (step, again) = (put("a", &payload), put("b", &payload));
        let (done, asked) = drive(&client, hosted.run(&client, &step), answer);
        assert_eq!(done.unwrap(), Reply::Done);
        // A difference counts when it is seen twice.
        assert_eq!(asked.iter().map(sent).collect::<Vec<_>>(), ["GetItem", "GetItem", "PutItem"]);
        assert!(hosted.clock.ahead().unwrap() > 365 * 86_400_000);
        let (_, asked) = drive(&client, hosted.run(&client, &again), answer);
        assert_eq!(asked.iter().map(sent).collect::<Vec<_>>(), ["PutItem"]);
        assert_eq!(asked[0].arguments[2], Dynamic::Bool(false));
        let item = asked[0].arguments[1].get("Item").and_then(|item| item.get("data")).and_then(|data| data.get("B"));
        let Some(Dynamic::Bytes(carried)) = item else { panic!("{item:?}") };
        assert_eq!(carried.as_ptr(), payload.as_ptr());
    }

    #[test]
    fn a_client_without_dates_has_our_clock() {
        let (hosted, client) = (hosted(), Client::new(Facts::default()));
        let step = Step::Payload(Work::Read(Read::Has { id: "a".into() }));
        let (done, asked) = drive(&client, hosted.run(&client, &step), |_| Ok(Dynamic::map([])));
        assert_eq!((done.unwrap(), asked.len()), (Reply::Flag(false), 3));
        assert_eq!(hosted.clock.ahead(), Some(0));
    }

    #[test]
    fn a_condition_that_does_not_hold_is_an_answer() {
        let (hosted, client) = (hosted(), Client::new(Facts::default()));
        hosted.clock.settle();
        let code = Some(String::from("ConditionalCheckFailedException"));
        let refused = ClientError { code, ..ClientError::default() };
        let step = Step::Payload(Work::Write(Write::Delete { id: "a".into() }));
        let (done, _) = drive(&client, hosted.run(&client, &step), |_| Err(refused.clone()));
        assert_eq!(done.unwrap(), Reply::Flag(false));
    }

    #[test]
    fn a_commit_on_a_client_has_failed_or_it_is_not_known() {
        let commit = |code: &'static str| {
            let (hosted, client) = (hosted(), Client::new(Facts::default()));
            hosted.clock.settle();
            let mut unit = hosted.unit_of_work().unwrap();
            assert_eq!(
                drive(&client, unit.run(&client, &put("a", &Bytes::new())), |_| unreachable!()).0.unwrap(),
                Reply::Done
            );
            let message = String::from("specific reasons [TransactionConflict]");
            let error = ClientError { code: Some(code.into()), message, ..ClientError::default() };
            let (done, asked) = drive(&client, unit.commit(&client), |_| Err(error.clone()));
            assert_eq!(asked.iter().map(sent).collect::<Vec<_>>(), ["TransactWriteItems"]);
            done.unwrap_err()
        };
        let conflict = commit("TransactionCanceledException");
        assert!(conflict.kind() == Kind::Backend && conflict.is_retryable(), "{conflict:?}");
        assert!(conflict.message().contains("item 1 of 1") && conflict.id() == Some("a"), "{conflict}");
        for code in ["InternalServerError", "ECONNRESET"] {
            assert_eq!(commit(code).kind(), Kind::Connection, "{code}");
        }
        assert_eq!(commit("AbortError").kind(), Kind::Timeout);
    }

    #[test]
    fn a_collector_gets_copies() {
        let (hosted, client) = (hosted(), Client::new(COLLECTING));
        let data = Bytes::from(vec![1; 32]);
        let step = put("a", &data);
        let (done, asked) = drive(&client, hosted.run(&client, &step), |_| Ok(collected(&[(None, 10)])));
        assert_eq!(done.unwrap(), Reply::Done);
        assert_eq!(asked.iter().map(sent).collect::<Vec<_>>(), ["collected", "push"]);
        let pushed = asked[1].arguments[0].get("Put").unwrap();
        assert_eq!(pushed.get("TableName"), Some(&"orders".into()));
        let carried = pushed.get("Item").and_then(|item| item.get("data")).and_then(|data| data.get("B"));
        let Some(Dynamic::Bytes(carried)) = carried else { panic!("{carried:?}") };
        assert!(*carried == data && carried.as_ptr() != data.as_ptr());
    }

    #[test]
    fn one_operation_for_each_item() {
        let (hosted, client) = (hosted(), Client::new(COLLECTING));
        let items = [(None, 10), (Some("a"), 10)];
        let step = put("a", &Bytes::new());
        let (done, asked) = drive(&client, hosted.run(&client, &step), |_| Ok(collected(&items)));
        let error = done.unwrap_err();
        assert_eq!((error.kind(), error.id(), asked.len()), (Kind::InvalidArgument, Some("a"), 1));
    }

    #[test]
    fn several_are_queued_as_a_whole_or_not_at_all() {
        let (hosted, client) = (hosted(), Client::new(COLLECTING));
        let full: Vec<_> = (0..99).map(|_| (None, 10)).collect();
        let (a, b, read) =
            (put("a", &Bytes::new()), put("b", &Bytes::new()), Step::Payload(Work::Read(Read::Has { id: "c".into() })));
        let steps = [a.clone(), b.clone()];
        let work = hosted.prepare(&client, &steps);
        let (done, asked) = drive(&client, work, |_| Ok(collected(&full)));
        assert_eq!((done.unwrap_err().id(), asked.len()), (Some("b"), 1));
        let work = hosted.prepare(&client, &steps);
        assert!(drive(&client, work, |_| Ok(collected(&full[1..]))).0.is_ok());
        // Twice the same in one call.
        let steps = [a.clone(), b.clone(), a.clone()];
        let work = hosted.prepare(&client, &steps);
        assert_eq!(drive(&client, work, |_| Ok(collected(&[]))).0.unwrap_err().id(), Some("a"));
        let error = hosted.check(&client, &[a.clone(), read.clone()]).unwrap_err();
        assert_eq!((error.kind(), error.id()), (Kind::Unsupported, Some("c")));
        let client = Client::new(Facts::default());
        assert!(hosted.check(&client, &[a.clone(), read]).is_ok());
        let (done, asked) = drive(&client, hosted.prepare(&client, &steps), |_| unreachable!());
        assert!(done.is_ok() && asked.is_empty());
    }

    #[test]
    fn a_collector_carries_nothing_else() {
        let (hosted, client) = (hosted(), Client::new(COLLECTING));
        let never = |_: &Ask| unreachable!();
        let refused = [
            drive(&client, hosted.initialize(&client), never).0.map(drop),
            drive(&client, hosted.purge_expired(&client, Millis(0), 1), never).0.map(drop),
            drive(&client, hosted.probe(&client), never).0.map(drop),
            drive(&client, hosted.usage(&client, Millis(0)), never).0.map(drop),
            drive(&client, hosted.run(&client, &Step::Payload(Work::Read(Read::Find { id: "a".into() }))), never)
                .0
                .map(drop),
        ];
        for result in refused {
            assert_eq!(result.unwrap_err().kind(), Kind::Unsupported);
        }
    }

    #[test]
    fn a_purge_that_was_given_up_goes_on_where_it_was() {
        let (hosted, client) = (hosted(), Client::new(Facts::default()));
        hosted.clock.settle();
        let page = |next: Option<&str>| {
            let next = next.map_or(Dynamic::Null, |id| expression::key(id).into_client());
            let output = Dynamic::map([("Items", Dynamic::List(Vec::new())), ("LastEvaluatedKey", next)]);
            Dynamic::map([("output", output)])
        };
        {
            let mut given_up = hosted.purge_expired(&client, Millis(5), 10);
            let mut context = Context::from_waker(Waker::noop());
            assert!(given_up.as_mut().poll(&mut context).is_pending());
            assert!(client.take_ask().is_some());
            client.answer(Ok(page(Some("m"))));
            assert!(given_up.as_mut().poll(&mut context).is_pending());
        }
        let client = Client::new(Facts::default());
        let (done, asked) = drive(&client, hosted.purge_expired(&client, Millis(5), 10), |_| Ok(page(None)));
        assert_eq!(done.unwrap(), 0);
        // Then the table of sagas, if there is one.
        assert_eq!(asked.iter().map(sent).collect::<Vec<_>>(), ["Scan", "GetItem", "Scan"]);
        assert_eq!(asked[0].arguments[1].get("ExclusiveStartKey"), Some(&expression::key("m").into_client()));
    }
}
