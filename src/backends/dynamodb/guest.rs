//! On a client of the application: `DynamoDBClient`, `DynamoDB` and their document clients, and `TransactItems`.

use std::sync::{Arc, Mutex, PoisonError};

use super::channel::Channel;
use super::client::OnClient;
use super::clock::Clock;
use super::collector::Collector;
use super::config::Tables;
use super::driver::CAPABILITIES;
use super::executions::Executions;
use super::inbox::Inbox;
use super::initialize;
use super::moving::Moving;
use super::outbox::Outbox;
use super::payloads::{item, single};
use super::queue::Queue;
use super::rights::Rights;
use super::session::Patience;
use super::shared::SharedClient;
use super::states::saga::States;
use super::sweep::{self, Sweep};
use super::tables::Contents;
use crate::contract::capability::Capabilities;
use crate::contract::client::Client;
use crate::contract::guest::{ClientDriver, UnitOfWork};
use crate::contract::operation::{RecordKind, Work};
use crate::contract::report::{Probe, Usage};
use crate::contract::step::{Queued, Reply, Step, not_queueable};
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;
use crate::time::Millis;

/// The names of the tables, and what is known of them: works on clients of the application.
pub(super) struct DynamoDbOnClients {
    tables: Arc<Tables>,
    clock: Arc<Clock>,
    /// Connections of the store's own, if it has any: a transaction that only collects reads on them.
    own: Option<(Arc<SharedClient>, Patience)>,
    sweep: Mutex<Option<Sweep>>,
    states_sweep: Mutex<Option<Sweep>>,
    executions_sweep: Mutex<Option<Sweep>>,
    events_sweep: Mutex<Option<Sweep>>,
    messages_sweep: Mutex<Option<Sweep>>,
    rights: Rights,
}

impl DynamoDbOnClients {
    pub(super) fn new(tables: Arc<Tables>, clock: Arc<Clock>, own: Option<(Arc<SharedClient>, Patience)>) -> Self {
        Self {
            tables,
            clock,
            own,
            sweep: Mutex::default(),
            states_sweep: Mutex::default(),
            executions_sweep: Mutex::default(),
            events_sweep: Mutex::default(),
            messages_sweep: Mutex::default(),
            rights: Rights::default(),
        }
    }

    /// A channel to the table of payloads. A transaction that is only collected has none.
    async fn open<'a>(&'a self, client: &'a Client) -> Result<OnClient<'a>> {
        if client.facts().buffered {
            let text = "this transaction is only sent at its end: nothing can be asked in it";
            return Err(Error::new(Kind::Unsupported, text));
        }
        OnClient::open(client, &self.tables, &self.clock).await
    }

    fn collector<'a>(&'a self, client: &'a Client) -> Collector<'a> {
        Collector { client, tables: &self.tables, clock: &self.clock, own: self.own.as_ref() }
    }

    async fn run_step(&self, client: &Client, step: &Step) -> Result<Reply> {
        if client.facts().buffered {
            return self.collector(client).add(step).await;
        }
        let on = self.open(client).await?;
        match step {
            Step::Payload(Work::Write(write)) => single::write(&on, write).await,
            Step::Payload(Work::Read(read)) => single::read(&on, read).await,
            Step::Outbox(step) => Outbox { on: &on.to(RecordKind::Outbox) }.run(step).await,
            Step::Moving(step) => Moving { on: &on }.run(step).await,
            Step::Inbox(step) => {
                let mut taken = Taken::take(&self.messages_sweep);
                Inbox { on: &on.to(RecordKind::Inbox) }.run(step, &mut taken.sweep).await
            }
            Step::Execution(step) => Executions { on: &on.to(RecordKind::Executions) }.run(step).await,
            Step::State(step) => States { on: &on.to(RecordKind::States) }.run(step).await,
        }
    }
}

impl UnitOfWork for Queue {
    fn check(&self, _on: &Client, steps: &[Step]) -> Result<()> {
        self.check(steps)
    }

    fn run<'a>(&'a mut self, client: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            let (tables, clock) = (Arc::clone(self.tables()), Arc::clone(self.clock()));
            let on = OnClient::open(client, &tables, &clock).await?;
            self.add(async { Ok(on) }, step).await
        })
    }

    fn commit<'a>(&'a mut self, client: &'a Client) -> Task<'a, Result<()>> {
        Box::pin(async move {
            let on = OnClient::new(client, self.tables(), self.clock());
            self.send(async { Ok(on) }).await
        })
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

impl ClientDriver for DynamoDbOnClients {
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
            return Box::pin(async move { self.collector(on).check(steps).await });
        }
        Box::pin(async { Ok(()) })
    }

    fn unit_of_work(&self) -> Option<Box<dyn UnitOfWork>> {
        Some(Box::new(Queue::new(Arc::clone(&self.tables), Arc::clone(&self.clock))))
    }

    fn initialize<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let on = self.open(on).await?;
            initialize::initialize(&on, None, &self.rights).await
        })
    }

    fn purge_expired<'a>(&'a self, on: &'a Client, now: Millis, limit: u64) -> Task<'a, Result<u64>> {
        Box::pin(async move {
            let on = self.open(on).await?;
            let mut taken = Taken::take(&self.sweep);
            let now = self.clock.stored(now);
            let purged = sweep::purge((&on, Contents::Payloads), &mut taken.sweep, now, limit, None).await?;
            let mut removed = purged.removed;
            for (kind, contents, home) in [
                (RecordKind::States, Contents::Sagas, &self.states_sweep),
                (RecordKind::Executions, Contents::Executions, &self.executions_sweep),
                (RecordKind::Outbox, Contents::Events, &self.events_sweep),
                (RecordKind::Inbox, Contents::Messages, &self.messages_sweep),
            ] {
                let (on, mut taken) = (on.to(kind), Taken::take(home));
                let left = limit - removed;
                removed += sweep::purge_if_there((&on, contents), &mut taken.sweep, now, left, None).await?.removed;
            }
            Ok(removed)
        })
    }

    fn probe<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Probe>> {
        Box::pin(async move { initialize::probe(&self.open(on).await?, &self.rights).await })
    }

    fn usage<'a>(&'a self, on: &'a Client, now: Millis) -> Task<'a, Result<Usage>> {
        Box::pin(async move { sweep::usage(&self.open(on).await?, self.clock.stored(now)).await })
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;

    use super::*;
    use crate::backends::dynamodb::config::KnownNames;
    use crate::backends::dynamodb::expression;
    use crate::contract::client::{Ask, ClientError, Facts};
    use crate::contract::dynamic::Dynamic;
    use crate::contract::outbox::{ClaimEvents, NewLease, OutboxWrite, Terms};
    use crate::contract::payloads::{Read, Write};

    const COLLECTING: Facts = Facts { in_transaction: true, buffered: true, is_synchronous: true, one_server: false };

    fn on_clients() -> DynamoDbOnClients {
        let tables = Tables {
            payloads: String::from("orders"),
            states: String::from("sagas"),
            executions: String::from("runs"),
            outbox: "outbox".into(),
            inbox: "inbox".into(),
            known: KnownNames::default(),
        };
        DynamoDbOnClients::new(Arc::new(tables), Arc::default(), None)
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
        let (driver, client) = (on_clients(), Client::new(Facts::default()));
        let payload = Bytes::from_static(b"payload");
        let date = Dynamic::text("Tue, 24 Nov 2099 00:00:00 GMT");
        let answer = |_: &Ask| Ok(Dynamic::map([("output", Dynamic::map([])), ("date", date.clone())]));
        let (step, again) = (put("a", &payload), put("b", &payload));
        let (done, asked) = drive(&client, driver.run(&client, &step), answer);
        assert_eq!(done.unwrap(), Reply::Done);
        // A difference counts when it is seen twice.
        assert_eq!(asked.iter().map(sent).collect::<Vec<_>>(), ["GetItem", "GetItem", "PutItem"]);
        assert!(driver.clock.ahead().unwrap() > 365 * 86_400_000);
        let (_, asked) = drive(&client, driver.run(&client, &again), answer);
        assert_eq!(asked.iter().map(sent).collect::<Vec<_>>(), ["PutItem"]);
        assert_eq!(asked[0].arguments[2], Dynamic::Bool(false));
        let item = asked[0].arguments[1].get("Item").and_then(|item| item.get("data")).and_then(|data| data.get("B"));
        let Some(Dynamic::Bytes(carried)) = item else { panic!("{item:?}") };
        assert_eq!(carried.as_ptr(), payload.as_ptr());
    }

    #[test]
    fn a_client_without_dates_has_our_clock() {
        let (driver, client) = (on_clients(), Client::new(Facts::default()));
        let step = Step::Payload(Work::Read(Read::Has { id: "a".into() }));
        let (done, asked) = drive(&client, driver.run(&client, &step), |_| Ok(Dynamic::map([])));
        assert_eq!((done.unwrap(), asked.len()), (Reply::Flag(false), 3));
        assert_eq!(driver.clock.ahead(), Some(0));
    }

    #[test]
    fn a_condition_that_does_not_hold_is_an_answer() {
        let (driver, client) = (on_clients(), Client::new(Facts::default()));
        driver.clock.settle();
        let code = Some(String::from("ConditionalCheckFailedException"));
        let refused = ClientError { code, ..ClientError::default() };
        let step = Step::Payload(Work::Write(Write::Delete { id: "a".into() }));
        let (done, _) = drive(&client, driver.run(&client, &step), |_| Err(refused.clone()));
        assert_eq!(done.unwrap(), Reply::Flag(false));
    }

    #[test]
    fn a_commit_on_a_client_has_failed_or_it_is_not_known() {
        let commit = |code: &'static str| {
            let (driver, client) = (on_clients(), Client::new(Facts::default()));
            driver.clock.settle();
            let mut unit = driver.unit_of_work().unwrap();
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
        let (driver, client) = (on_clients(), Client::new(COLLECTING));
        let data = Bytes::from(vec![1; 32]);
        let step = put("a", &data);
        let (done, asked) = drive(&client, driver.run(&client, &step), |_| Ok(collected(&[(None, 10)])));
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
        let (driver, client) = (on_clients(), Client::new(COLLECTING));
        let items = [(None, 10), (Some("a"), 10)];
        let step = put("a", &Bytes::new());
        let (done, asked) = drive(&client, driver.run(&client, &step), |_| Ok(collected(&items)));
        let error = done.unwrap_err();
        assert_eq!((error.kind(), error.id(), asked.len()), (Kind::InvalidArgument, Some("a"), 1));
    }

    #[test]
    fn several_are_queued_as_a_whole_or_not_at_all() {
        let (driver, client) = (on_clients(), Client::new(COLLECTING));
        let full: Vec<_> = (0..99).map(|_| (None, 10)).collect();
        let (a, b, read) =
            (put("a", &Bytes::new()), put("b", &Bytes::new()), Step::Payload(Work::Read(Read::Has { id: "c".into() })));
        let steps = [a.clone(), b.clone()];
        let work = driver.prepare(&client, &steps);
        let (done, asked) = drive(&client, work, |_| Ok(collected(&full)));
        assert_eq!((done.unwrap_err().id(), asked.len()), (Some("b"), 1));
        let work = driver.prepare(&client, &steps);
        assert!(drive(&client, work, |_| Ok(collected(&full[1..]))).0.is_ok());
        // Twice the same in one call.
        let steps = [a.clone(), b.clone(), a.clone()];
        let work = driver.prepare(&client, &steps);
        assert_eq!(drive(&client, work, |_| Ok(collected(&[]))).0.unwrap_err().id(), Some("a"));
        let error = driver.check(&client, &[a.clone(), read.clone()]).unwrap_err();
        assert_eq!((error.kind(), error.id()), (Kind::Unsupported, Some("c")));
        let client = Client::new(Facts::default());
        assert!(driver.check(&client, &[a.clone(), read]).is_ok());
        let (done, asked) = drive(&client, driver.prepare(&client, &steps), |_| unreachable!());
        assert!(done.is_ok() && asked.is_empty());
    }

    #[test]
    fn a_collector_carries_nothing_else() {
        let (driver, client) = (on_clients(), Client::new(COLLECTING));
        let never = |_: &Ask| unreachable!();
        let refused = [
            drive(&client, driver.initialize(&client), never).0.map(drop),
            drive(&client, driver.purge_expired(&client, Millis(0), 1), never).0.map(drop),
            drive(&client, driver.probe(&client), never).0.map(drop),
            drive(&client, driver.usage(&client, Millis(0)), never).0.map(drop),
            drive(&client, driver.run(&client, &Step::Payload(Work::Read(Read::Find { id: "a".into() }))), never)
                .0
                .map(drop),
        ];
        for result in refused {
            assert_eq!(result.unwrap_err().kind(), Kind::Unsupported);
        }
    }

    /// A claim on a client whose index names an event, and which is this item now; what it was asked.
    fn claim_of(now: Option<&Dynamic>) -> (Reply, Vec<Ask>) {
        let terms = Terms {
            max_retries: 1,
            max_deliveries: 2,
            backoff_ms: 1,
            skips_dead: false,
            retain_sent_ms: 0,
            retain_dead_ms: None,
            notifies_in_transaction: false,
        };
        let claim = ClaimEvents {
            lease: NewLease { token: "t".into(), worker: "w".into(), lease_ms: 1_000 },
            limit: 10,
            types: None,
            routing_keys: None,
            older_than_ms: 0,
            terms,
        };
        let (driver, client) = (on_clients(), Client::new(Facts::default()));
        driver.clock.settle();
        let listed = Dynamic::map([
            ("id", Dynamic::map([("S", "event#a".into())])),
            ("due", Dynamic::map([("S", "0000000000000001#0000000000000000007".into())])),
            ("seq", Dynamic::map([("N", "7".into())])),
        ]);
        let step = Step::Outbox(Work::Write(OutboxWrite::Claim(Box::new(claim))));
        let (done, asked) = drive(&client, driver.run(&client, &step), |ask| {
            let is_first = ask.arguments[1].get("ExpressionAttributeValues").and_then(|values| values.get(":queue"))
                == Some(&Dynamic::map([("S", "0".into())]));
            Ok(Dynamic::map([(
                "output",
                match sent(ask) {
                    "Query" if is_first => Dynamic::map([("Items", Dynamic::List(vec![listed.clone()]))]),
                    "Query" => Dynamic::map([("Items", Dynamic::List(Vec::new()))]),
                    "BatchGetItem" => {
                        let items = now.cloned().into_iter().collect();
                        Dynamic::map([("Responses", Dynamic::map([("outbox", Dynamic::List(items))]))])
                    }
                    _ => Dynamic::map([]),
                },
            )]))
        });
        (done.unwrap(), asked)
    }

    #[test]
    fn an_index_that_is_late_revives_nothing() {
        let event = |status: &'static str| {
            let text = |text: &'static str| Dynamic::map([("S", text.into())]);
            let number = |digits: &'static str| Dynamic::map([("N", digits.into())]);
            Dynamic::map([
                ("id", text("event#a")),
                ("part", text("event")),
                ("eventType", text("OrderPlaced")),
                ("payload", text("1")),
                ("occurredAt", number("1")),
                ("seq", number("7")),
                ("operation", text("o")),
                ("status", text(status)),
                ("createdAt", number("1")),
                ("retryCount", number("0")),
                ("deliveries", number("0")),
                ("revision", number("3")),
            ])
        };
        let given = |reply: &Reply| if let Reply::Value(Dynamic::List(events)) = reply { events.len() } else { 99 };
        let updates = |asked: &[Ask]| asked.iter().filter(|ask| sent(ask) == "UpdateItem").count();
        for late in [None, Some(event("sent")), Some(event("dead_letter"))] {
            let (reply, asked) = claim_of(late.as_ref());
            assert_eq!((given(&reply), updates(&asked)), (0, 0));
        }
        let (reply, asked) = claim_of(Some(&event("pending")));
        assert_eq!((given(&reply), updates(&asked)), (1, 1));
        let update = asked.iter().find(|ask| sent(ask) == "UpdateItem").unwrap();
        let condition = update.arguments[1].get("ConditionExpression").and_then(Dynamic::as_text);
        assert_eq!(condition, Some("#revision = :was AND #seq = :place"));
    }

    #[test]
    fn a_purge_that_was_given_up_goes_on_where_it_was() {
        let (driver, client) = (on_clients(), Client::new(Facts::default()));
        driver.clock.settle();
        let page = |next: Option<&str>| {
            let next = next.map_or(Dynamic::Null, |id| expression::key(id).into_client());
            let output = Dynamic::map([("Items", Dynamic::List(Vec::new())), ("LastEvaluatedKey", next)]);
            Dynamic::map([("output", output)])
        };
        {
            let mut given_up = driver.purge_expired(&client, Millis(5), 10);
            let mut context = Context::from_waker(Waker::noop());
            assert!(given_up.as_mut().poll(&mut context).is_pending());
            assert!(client.take_ask().is_some());
            client.answer(Ok(page(Some("m"))));
            assert!(given_up.as_mut().poll(&mut context).is_pending());
        }
        let client = Client::new(Facts::default());
        let (done, asked) = drive(&client, driver.purge_expired(&client, Millis(5), 10), |_| Ok(page(None)));
        assert_eq!(done.unwrap(), 0);
        // Then the tables of the other kinds, if there are any.
        let sent: Vec<_> = asked.iter().map(sent).collect();
        let of_each = ["GetItem", "Scan"];
        assert_eq!(sent, [&["Scan"][..], &of_each, &of_each, &of_each, &of_each].concat());
        assert_eq!(asked[0].arguments[1].get("ExclusiveStartKey"), Some(&expression::key("m").into_client()));
    }
}
