//! Against real servers, where the environment names them: do the scripts judge as memory does, do the indexes say what
//! the events say, and what becomes of a stream that has lost something?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fred::prelude::Value;

use super::Outbox;
use super::keys::stored_of;
use crate::backends::redis::channel::{Channel, OwnChannel};
use crate::backends::redis::command::Request;
use crate::backends::redis::config::Endpoint;
use crate::backends::redis::script::list_of;
use crate::backends::redis::shared::Connector;
use crate::contract::driver::Driver;
use crate::contract::dynamic::Dynamic;
use crate::contract::lease::random;
use crate::contract::operation::{Group, Work};
use crate::contract::outbox::record::{Content, Event, EventStatus, Stored};
use crate::contract::outbox::{
    ClaimEvents, Decision, Held, Insertion, NewLease, OutboxRead, OutboxStep, OutboxWrite, Outcome, Settlement, Terms,
};
use crate::contract::step::Reply;
use crate::error::{Error, Result};
use crate::options::OptionReader;
use crate::time::Millis;

const TERMS: Terms = Terms {
    max_retries: 2,
    max_deliveries: 3,
    backoff_ms: 0,
    skips_dead: false,
    retain_sent_ms: 0,
    retain_dead_ms: None,
    notifies_in_transaction: false,
};

type Tested<'a> = Outbox<'a, OwnChannel<'a>>;

/// Runs a test on each server that is named, under a prefix of its own.
fn with_servers(test: &impl AsyncFn(&Tested<'_>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for url in ["REDIS_URL", "REDIS_CLUSTER_URL"].map(std::env::var).into_iter().flatten() {
        let shared = Arc::new(Connector::new(Endpoint::parse(&url, None, Duration::from_secs(5)).unwrap()));
        let prefix = format!("{{sagastore-test-{:x}}}:", fastrand::u64(..));
        runtime.block_on(async {
            let on = OwnChannel::of(&shared).await.unwrap();
            let outbox = Outbox { on: &on, prefix: &prefix };
            test(&outbox).await;
            outbox.take_away().await;
            shared.close().await;
        });
    }
}

impl Tested<'_> {
    async fn command(&self, words: &[&str]) -> Value {
        let words: Vec<Bytes> = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let key = words.iter().find(|word| word.starts_with(self.prefix.as_bytes())).unwrap().clone();
        let request = Request::Words { key, words };
        self.on.send(vec![request]).await.unwrap().pop().unwrap().unwrap()
    }

    fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    /// The members of a sorted set, and their scores.
    async fn members(&self, index: &str) -> BTreeMap<String, String> {
        let found = list_of(Ok(self.command(&["ZRANGE", &self.key(index), "0", "-1", "WITHSCORES"]).await)).unwrap();
        let flat = found.into_iter().flat_map(|one| if let Value::Array(pair) = one { pair } else { vec![one] });
        let texts: Vec<String> = flat.map(|text| text.as_string().unwrap()).collect();
        texts.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    async fn ids(&self, index: &str) -> BTreeSet<String> {
        self.members(index).await.into_keys().collect()
    }

    async fn stored(&self, id: &str) -> Option<Stored> {
        match self.ask(self.words("get").text(id)).await.unwrap() {
            Value::Null => None,
            found => Some(stored_of(list_of(Ok(found)).unwrap()).unwrap()),
        }
    }

    /// What is on the stream: ids by numbers.
    async fn streamed(&self) -> BTreeMap<i64, String> {
        let entries = list_of(Ok(self.command(&["XRANGE", &self.key("ready"), "-", "+"]).await)).unwrap();
        let entry = |entry: Value| {
            let mut parts = list_of(Ok(entry)).unwrap();
            let fields = list_of(Ok(parts.pop().unwrap())).unwrap();
            let place = parts.pop().unwrap().as_string().unwrap();
            (place.strip_suffix("-0").unwrap().parse().unwrap(), fields[1].as_string().unwrap())
        };
        entries.into_iter().map(entry).collect()
    }

    async fn take_away(&self) {
        for id in self.ids("all").await.into_iter().chain(self.ids("kept").await) {
            self.command(&["UNLINK", &self.key(&format!("e:{id}"))]).await;
        }
        for key in super::keys::touched(self.prefix) {
            self.command(&["UNLINK", std::str::from_utf8(&key).unwrap()]).await;
        }
        for rest in KEYS.map(|key| format!("k:{key}")).into_iter().chain(SAGAS.map(|saga| format!("s:{saga}"))) {
            self.command(&["UNLINK", &self.key(&rest)]).await;
        }
    }

    async fn add(&self, events: Vec<Event>) -> Reply {
        self.write(&insertion(events, None)).await.unwrap()
    }

    async fn claimed(&self, limit: u64) -> Vec<String> {
        ids_of(&self.write(&claim(limit)).await.unwrap())
    }
}

const KEYS: [&str; 3] = ["a", "b", "c"];
const SAGAS: [&str; 2] = ["s1", "s2"];

fn event(id: &str) -> Event {
    Event {
        id: id.into(),
        event_type: "OrderPlaced".into(),
        payload: Content::Json("{\"n\":1}".into()),
        saga_id: None,
        aggregate_type: None,
        aggregate_id: None,
        headers: None,
        routing_key: None,
        partition_key: None,
        available_at: None,
        occurred_at: Millis(1_700_000_000_000),
    }
}

fn keyed(id: &str, key: &str) -> Event {
    Event { partition_key: Some(key.into()), ..event(id) }
}

fn insertion(events: Vec<Event>, lease: Option<NewLease>) -> OutboxWrite {
    let insertion = Insertion { events, ignores_duplicates: false, lease, operation: random(), terms: TERMS };
    OutboxWrite::Insert(Box::new(insertion))
}

fn lease(lease_ms: u64) -> NewLease {
    NewLease { token: random(), worker: "w".into(), lease_ms }
}

fn claim_of(limit: u64, lease: NewLease) -> ClaimEvents {
    ClaimEvents { lease, limit, types: None, routing_keys: None, older_than_ms: 0, terms: TERMS }
}

fn claim(limit: u64) -> OutboxWrite {
    OutboxWrite::Claim(Box::new(claim_of(limit, lease(60_000))))
}

fn settlement(held: Vec<Held>, outcome: Outcome, terms: Terms) -> OutboxWrite {
    OutboxWrite::Settle(Box::new(Settlement { held, outcome, terms }))
}

/// The ids of a reply that is a list of events.
fn ids_of(reply: &Reply) -> Vec<String> {
    let Reply::Value(Dynamic::List(events)) = reply else { panic!("{reply:?}") };
    let id = |event: &Dynamic| match event {
        Dynamic::List(fields) => fields[0].as_text().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    events.iter().map(id).collect()
}

/// Claims in a reply: ids and tokens.
fn held_of(reply: &Reply) -> Vec<Held> {
    let Reply::Value(Dynamic::List(events)) = reply else { return Vec::new() };
    let held = |event: &Dynamic| match event {
        Dynamic::List(fields) if fields.len() == 20 => {
            Some(Held { id: fields[0].as_text()?.into(), token: fields[19].as_text()?.into() })
        }
        _ => None,
    };
    events.iter().filter_map(held).collect()
}

/// The same but for the moments at which somebody has looked at a clock.
fn timeless(value: Dynamic) -> Dynamic {
    match value {
        Dynamic::List(mut fields) if fields.len() == 20 => {
            for at in [12, 13, 14] {
                if matches!(fields[at], Dynamic::Time(_)) {
                    fields[at] = Dynamic::Bool(true);
                }
            }
            Dynamic::List(fields)
        }
        Dynamic::List(elements) => Dynamic::List(elements.into_iter().map(timeless).collect()),
        Dynamic::Map(fields) => {
            let timeless_field = |(name, value)| match (name, value) {
                (name, Dynamic::Int(_)) if name == "oldestReadyMs" => (name, Dynamic::Bool(true)),
                (name, value) => (name, timeless(value)),
            };
            Dynamic::Map(fields.into_iter().map(timeless_field).collect())
        }
        other => other,
    }
}

fn comparable(reply: Result<Reply>) -> Result<Reply, String> {
    match reply {
        // Ids that were lost come in any order.
        Ok(Reply::Value(Dynamic::List(mut ids))) if ids.iter().all(|id| id.as_text().is_some()) => {
            ids.sort_by_key(|id| id.as_text().map(str::to_owned));
            Ok(Reply::Value(Dynamic::List(ids)))
        }
        Ok(Reply::Value(value)) => Ok(Reply::Value(timeless(value))),
        Ok(other) => Ok(other),
        Err(error) => Err(format!("{:?} {:?} {}", error.kind(), error.id(), error.message())),
    }
}

fn some<T: Clone>(of: &[T]) -> T {
    of[fastrand::usize(..of.len())].clone()
}

fn maybe<T>(value: impl FnOnce() -> T) -> Option<T> {
    fastrand::bool().then(value)
}

const LONG: u64 = 60_000;

fn any_event(number: usize) -> Event {
    Event {
        event_type: some(&["OrderPlaced", "OrderPaid"]).into(),
        payload: if fastrand::bool() {
            Content::Json("{\"ü\":1}".into())
        } else {
            Content::Bytes(Bytes::from_static(&[0, 255]))
        },
        saga_id: maybe(|| some(&SAGAS).into()),
        routing_key: maybe(|| some(&["r1", "r2"]).into()),
        partition_key: if fastrand::u8(..4) > 0 { Some(some(&KEYS).into()) } else { None },
        available_at: (fastrand::u8(..8) == 0).then(|| Millis::now().plus(LONG)),
        ..event(&format!("e{number}"))
    }
}

/// Anything that a caller could ask for. `held` is what workers have, or had.
fn any_step(held: &[Held], made: &mut usize, skips_dead: bool, retain_sent_ms: u64) -> OutboxStep {
    let terms = Terms { skips_dead, retain_sent_ms, ..TERMS };
    let any_id = |made: usize| Box::<str>::from(format!("e{}", fastrand::usize(..=made)));
    let ids = |made: usize| {
        let ids: BTreeSet<Box<str>> = (0..3).map(|_| any_id(made)).collect();
        ids.into_iter().collect::<Vec<_>>()
    };
    let some_held = || {
        let mut chosen: Vec<Held> = Vec::new();
        for _ in 0..fastrand::usize(1..5) {
            if let Some(held) = fastrand::choice(held)
                && chosen.iter().all(|known| known.id != held.id)
            {
                chosen.push(held.clone());
            }
        }
        if chosen.is_empty() {
            chosen.push(Held { id: "nobody".into(), token: "t".into() });
        }
        chosen
    };
    // Over at the next look, or not at all.
    let new_lease = || lease(if fastrand::u8(..3) == 0 { 1 } else { LONG });
    match fastrand::u8(..20) {
        0..5 => {
            let mut events: Vec<Event> = Vec::new();
            for _ in 0..fastrand::usize(1..5) {
                // Sometimes an id that was used.
                let number = if fastrand::u8(..8) == 0 { fastrand::usize(..=*made) } else { *made + 1 };
                *made = (*made).max(number);
                let event = any_event(number);
                if events.iter().all(|known| known.id != event.id) {
                    events.push(event);
                }
            }
            let lease = (fastrand::u8(..3) == 0).then(new_lease);
            let ignores_duplicates = fastrand::bool();
            let insertion = Insertion { events, ignores_duplicates, lease, operation: random(), terms };
            OutboxStep::Write(OutboxWrite::Insert(Box::new(insertion)))
        }
        5..9 => OutboxStep::Write(OutboxWrite::Claim(Box::new(ClaimEvents {
            types: (fastrand::u8(..4) == 0).then(|| vec![some(&["OrderPlaced", "OrderPaid"]).into()]),
            routing_keys: (fastrand::u8(..6) == 0).then(|| vec![some(&["r1", "r2"]).into()]),
            terms,
            ..claim_of(fastrand::u64(1..8), new_lease())
        }))),
        9..14 => {
            let retry_at = Some(some(&[Millis(1), Millis::now().plus(LONG)]));
            let outcome = match fastrand::u8(..6) {
                0..2 => Outcome::Sent,
                2..4 => Outcome::Failed { error: "no".into(), retry_at, jitter: 1.0 },
                4 => Outcome::Released,
                _ => Outcome::Extended(some(&[1, LONG])),
            };
            OutboxStep::Write(settlement(some_held(), outcome, terms))
        }
        14 => {
            let decision = match fastrand::u8(..4) {
                0 => Decision::Pending,
                1 => Decision::Sent,
                2 => Decision::Failed { error: "why".into(), jitter: 1.0 },
                _ => Decision::Dead { error: maybe(|| "dead".into()) },
            };
            OutboxStep::Write(OutboxWrite::Decide { id: any_id(*made), decision, terms })
        }
        15 => OutboxStep::Write(OutboxWrite::Requeue { ids: ids(*made) }),
        16 => OutboxStep::Write(match fastrand::u8(..4) {
            0 => OutboxWrite::Discard { ids: ids(*made) },
            1 => OutboxWrite::ReleaseStuck { older_than_ms: 0, limit: fastrand::u64(1..4) },
            2 => OutboxWrite::Archive { older_than_ms: 0, sent: true, dead: false, limit: 1_000 },
            _ => OutboxWrite::Archive { older_than_ms: 0, sent: false, dead: true, limit: 1_000 },
        }),
        _ => OutboxStep::Read(match fastrand::u8(..6) {
            0 => OutboxRead::Get { id: any_id(*made) },
            1 => OutboxRead::Statistics { terms },
            2 => OutboxRead::Count { status: some(EventStatus::ALL) },
            3 => OutboxRead::BlockedKeys { limit: 2, terms },
            4 => OutboxRead::Stuck { older_than_ms: 0, limit: fastrand::u64(1..5) },
            _ => OutboxRead::List {
                saga_id: maybe(|| some(&SAGAS).into()),
                status: maybe(|| some(EventStatus::ALL)),
                after: maybe(|| fastrand::u64(..40).to_string().into()),
                limit: fastrand::u64(1..20),
            },
        }),
    }
}

fn memory() -> Arc<dyn Driver> {
    crate::backends::memory::open("memory://", OptionReader::parse("{}").unwrap()).unwrap().driver
}

async fn of_memory(memory: &Arc<dyn Driver>, step: &OutboxStep) -> Result<Reply> {
    let mut replies = match step {
        Work::Write(write) => memory.run(Group::Outbox(Work::Write(std::slice::from_ref(write)))).await,
        Work::Read(read) => memory.run(Group::Outbox(Work::Read(std::slice::from_ref(read)))).await,
    };
    replies.pop().unwrap()
}

#[test]
fn the_scripts_judge_as_memory_does() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    with_servers(&async |outbox| {
        fastrand::seed(seed);
        for run in 0..4 {
            let memory = memory();
            let (skips_dead, retain_sent_ms) = (run % 2 == 1, if run < 2 { 0 } else { LONG });
            let (mut made, mut held) = (0, Vec::new());
            for round in 0..400 {
                let step = any_step(&held, &mut made, skips_dead, retain_sent_ms);
                let expected = of_memory(&memory, &step).await;
                let found = outbox.run(&step).await;
                if let Ok(reply) = &found
                    && matches!(step, Work::Write(OutboxWrite::Claim(_) | OutboxWrite::Insert(_)))
                {
                    held.extend(held_of(reply));
                    held.drain(..held.len().saturating_sub(30));
                }
                let context = format!("SEED={seed} run {run} round {round} {step:?}");
                assert_eq!(comparable(found), comparable(expected), "{context}");
                if round % 20 == 0 {
                    outbox.check_indexes(made, skips_dead, &context).await;
                }
                // Short leases are over.
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            outbox.take_away().await;
        }
    });
}

impl Tested<'_> {
    /// Whether the indexes say what the events say.
    async fn check_indexes(&self, made: usize, skips_dead: bool, context: &str) {
        let mut expected: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut can_be_claimed = BTreeSet::new();
        let mut first_of: BTreeMap<String, i64> = BTreeMap::new();
        let mut stored = Vec::new();
        for number in 0..=made {
            stored.extend(self.stored(&format!("e{number}")).await);
        }
        stored.sort_unstable_by_key(|event| event.seq);
        let now = Millis::now();
        for event in &stored {
            let id = event.event.id.to_string();
            let mut indexes = match event.status {
                EventStatus::Sent => vec!["kept", "sent", "fading"],
                EventStatus::DeadLetter => vec!["all", "dead", "died"],
                EventStatus::Claimed => vec!["all", "leases"],
                EventStatus::Pending => vec!["all"],
            };
            if event.due_at.is_some_and(|at| at > now) {
                indexes.push("later");
            }
            for index in indexes {
                expected.entry(index).or_default().insert(id.clone());
            }
            if let Some(key) = &event.event.partition_key
                && event.status != EventStatus::Sent
                && !(event.status == EventStatus::DeadLetter && skips_dead)
            {
                first_of.entry(key.to_string()).or_insert(event.seq);
            }
            let is_first =
                event.event.partition_key.as_ref().is_none_or(|key| first_of.get(&**key) == Some(&event.seq));
            if event.status == EventStatus::Pending && event.due_at.is_none_or(|at| at <= now) && is_first {
                can_be_claimed.insert(id);
            }
        }
        for index in ["all", "kept", "sent", "fading", "dead", "died", "leases", "later"] {
            assert_eq!(self.ids(index).await, expected.remove(index).unwrap_or_default(), "{index} {context}");
        }
        let streamed = self.streamed().await;
        let counted = self.command(&["HGET", &self.key("meta"), "ready"]).await.as_string().unwrap_or_default();
        assert_eq!(counted.parse().unwrap_or(0), streamed.len(), "{context}");
        let again = self.ids("again").await;
        let offered: BTreeSet<String> = streamed.into_values().chain(again).collect();
        // What was released without terms is found when somebody claims.
        if !skips_dead {
            assert_eq!(can_be_claimed.difference(&offered).next(), None, "{context}");
        }
    }
}

fn numbered(count: usize) -> Vec<Event> {
    (0..count).map(|number| event(&format!("e{number}"))).collect()
}

#[test]
fn a_stream_that_has_lost_something_is_made_up() {
    with_servers(&async |outbox| {
        let ready = outbox.key("ready");
        // Flushed.
        outbox.add(numbered(3)).await;
        outbox.command(&["DEL", &ready]).await;
        assert_eq!(outbox.claimed(2).await, ["e0", "e1"]);
        outbox.add(vec![event("x0")]).await;
        assert_eq!(outbox.claimed(9).await, ["e2", "x0"]);
        // Trimmed, with a key of several and one that must wait.
        let later = Event { available_at: Some(Millis::now().plus(LONG)), ..event("later") };
        let events = vec![keyed("k1", "a"), keyed("k2", "a"), event("x1"), later];
        outbox.add(events).await;
        outbox.command(&["XTRIM", &ready, "MAXLEN", "0"]).await;
        assert_eq!(outbox.claimed(9).await, ["k1", "k2", "x1"]);
        assert_eq!(outbox.claimed(9).await, Vec::<String>::new());
        // The group is gone, or was made where nothing is read any more.
        outbox.add(vec![event("x2"), event("x3")]).await;
        outbox.command(&["XGROUP", "DESTROY", &ready, "workers"]).await;
        assert_eq!(outbox.claimed(1).await, ["x2"]);
        outbox.command(&["XGROUP", "SETID", &ready, "workers", "$"]).await;
        assert_eq!(outbox.claimed(9).await, ["x3"]);
        // Entries of others, and the counter is gone: numbers go on.
        outbox.add(vec![event("x4")]).await;
        outbox.command(&["XADD", &ready, "9999-0", "id", "x4"]).await;
        outbox.command(&["DEL", &outbox.key("meta")]).await;
        outbox.add(vec![event("x5")]).await;
        assert_eq!(outbox.claimed(9).await, ["x4", "x5"]);
        assert!(outbox.stored("x5").await.unwrap().seq > outbox.stored("x4").await.unwrap().seq);
        // An event is gone: it is skipped, and the others are given.
        outbox.add(vec![event("x6"), keyed("k3", "b"), keyed("k4", "b")]).await;
        outbox.command(&["DEL", &outbox.key("e:x6"), &outbox.key("e:k3")]).await;
        assert_eq!(outbox.claimed(9).await, ["k4"]);
        assert!(!outbox.ids("all").await.contains("x6"));
    });
}

#[test]
fn a_large_backlog_is_given_one_by_one_and_at_once() {
    with_servers(&async |outbox| {
        for from in 0..10 {
            let events = (0..1_000).map(|number| {
                let number = from * 1_000 + number;
                if number % 2 == 0 {
                    event(&format!("e{number}"))
                } else {
                    keyed(&format!("e{number}"), KEYS[number % 3])
                }
            });
            outbox.add(events.collect()).await;
        }
        for _ in 0..100 {
            assert_eq!(outbox.claimed(1).await.len(), 1);
        }
        outbox.command(&["DEL", &outbox.key("ready")]).await;
        let begun = Instant::now();
        let mut all = BTreeSet::new();
        loop {
            let claimed = outbox.claimed(250).await;
            if claimed.is_empty() {
                break;
            }
            assert!(claimed.len() <= 250);
            all.extend(claimed);
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        // Keys whose first events were claimed before wait for them.
        assert!(all.len() >= 4_900, "{}", all.len());
    });
}

#[test]
fn a_run_of_a_key_goes_on_over_scripts() {
    with_servers(&async |outbox| {
        outbox.add((0..250).map(|number| keyed(&format!("k{number}"), "a")).collect()).await;
        let reply = outbox.write(&claim(230)).await.unwrap();
        let expected: Vec<String> = (0..230).map(|number| format!("k{number}")).collect();
        assert_eq!(ids_of(&reply), expected);
        assert_eq!(outbox.claimed(9).await, Vec::<String>::new());
        let held = held_of(&reply);
        // One of the middle fails: those behind it are lost.
        let failed = Outcome::Failed { error: "no".into(), retry_at: Some(Millis(1)), jitter: 1.0 };
        outbox.write(&settlement(held[100..101].to_vec(), failed, TERMS)).await.unwrap();
        let lost = outbox.write(&settlement(held, Outcome::Sent, TERMS)).await.unwrap();
        let Reply::Value(Dynamic::List(lost)) = lost else { panic!("{lost:?}") };
        assert_eq!(lost.len(), 130);
        assert_eq!(outbox.claimed(1).await, ["k100"]);
    });
}

#[test]
fn terms_may_change() {
    with_servers(&async |outbox| {
        let skipping = Terms { skips_dead: true, ..TERMS };
        let with = |terms| OutboxWrite::Claim(Box::new(ClaimEvents { terms, ..claim_of(9, lease(LONG)) }));
        outbox.add(vec![keyed("k1", "a"), keyed("k2", "a"), event("x")]).await;
        let buried = OutboxWrite::Decide { id: "k1".into(), decision: Decision::Dead { error: None }, terms: TERMS };
        outbox.write(&buried).await.unwrap();
        assert_eq!(outbox.claimed(9).await, ["x"]);
        let reply = outbox.write(&with(skipping)).await.unwrap();
        assert_eq!(ids_of(&reply), ["k2"]);
        outbox.write(&settlement(held_of(&reply), Outcome::Released, skipping)).await.unwrap();
        assert_eq!(outbox.claimed(9).await, Vec::<String>::new());
        assert_eq!(ids_of(&outbox.write(&with(skipping)).await.unwrap()), ["k2"]);
        let error: Error = outbox.write(&insertion(vec![event("y"), event("x")], None)).await.unwrap_err();
        assert_eq!(error.id(), Some("x"));
        assert!(outbox.stored("y").await.is_none());
    });
}
