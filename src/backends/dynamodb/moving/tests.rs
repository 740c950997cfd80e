//! Whole records on a server: what a suite for all backends does not know of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::config::Config;
use super::super::shared::SharedClient;
use crate::contract::driver::Driver;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::record::{Action, Entry, Execution, LastOperation, Logged, Status, StepStatus};
use crate::contract::executions::{ExecutionRead, ExecutionWrite, Renewal, Terms};
use crate::contract::moving::record::{Body, Key, Logbook, Message, Payload, Record, State};
use crate::contract::moving::{Conflict, Import, Moved, MovingRead, MovingWrite};
use crate::contract::operation::{Access, Operation};
use crate::contract::outbox::record::{Content, Event, EventStatus, Stored};
use crate::contract::outbox::{
    ClaimEvents, Held, NewLease, OutboxRead, OutboxWrite, Outcome, Settlement, Terms as EventTerms,
};
use crate::contract::settings::Settings;
use crate::contract::states::{Saga, StateRead, StateWrite};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::options::OptionReader;
use crate::time::Millis;

const HOUR: u64 = 3_600_000;
const NAMES: [&str; 5] = ["tableName", "statesTableName", "executionsTableName", "outboxTableName", "inboxTableName"];

/// A store on tables of its own, which are removed at the end.
struct Fresh {
    driver: Arc<dyn Driver>,
    url: String,
    tables: Vec<String>,
}

fn options(tables: &[String]) -> OptionReader {
    let tables: Vec<String> = NAMES.iter().zip(tables).map(|(name, table)| format!(r#""{name}": "{table}""#)).collect();
    let credentials = r#""credentials": {"accessKeyId": "local", "secretAccessKey": "local"}"#;
    OptionReader::parse(&format!("{{{credentials}, {}}}", tables.join(", "))).unwrap()
}

impl Fresh {
    /// Nothing where there is no server.
    fn open() -> Option<Self> {
        let Ok(url) = std::env::var("DYNAMODB_URL") else {
            eprintln!("SKIPPED, not tested: DYNAMODB_URL is not set, so no DynamoDB is asked");
            return None;
        };
        let tables: Vec<String> = NAMES.iter().map(|_| format!("t_moving_{:016x}", fastrand::u64(..))).collect();
        let settings = Settings::read(&mut OptionReader::parse("{}").unwrap()).unwrap();
        let driver = super::super::open(&url, &settings, options(&tables)).unwrap().driver;
        let fresh = Self { driver: Arc::clone(&driver), url, tables };
        let thread = driver.runtime_of(Access::Write).unwrap();
        let initialized = thread.spawn(async move { driver.initialize().await });
        crate::runtime::io().unwrap().block_on(initialized).unwrap().unwrap();
        Some(fresh)
    }

    fn ask<O: Operation + Clone>(&self, operation: &O) -> Result<Reply> {
        let (driver, group) = (Arc::clone(&self.driver), vec![operation.clone()]);
        let thread = self.driver.runtime_of(O::ACCESS).unwrap();
        let asked = thread.spawn(async move { driver.run(O::group(&group)).await.remove(0) });
        crate::runtime::io().unwrap().block_on(asked).unwrap()
    }

    fn value<O: Operation + Clone>(&self, operation: &O) -> Dynamic {
        match self.ask(operation).unwrap() {
            Reply::Value(value) => value,
            other => panic!("{other:?}"),
        }
    }

    /// What became of records: `stored`, `skipped` or a code.
    fn import(&self, conflict: Conflict, records: &[Record]) -> Vec<String> {
        let given = records.iter().cloned().map(Ok).collect();
        let import = Import::new(records[0].kind(), conflict, given);
        let fates = self.value(&MovingWrite::Import(Box::new(import))).into_list().unwrap();
        let text = |fate: &Dynamic| match fate {
            Dynamic::Text(text) => text.clone(),
            fate => fate.get("code").and_then(Dynamic::as_text).unwrap().to_owned(),
        };
        fates.iter().map(text).collect()
    }

    /// All records, as they are answered, in that order; read page by page.
    fn scan(&self, kind: Moved, limit: u64, max_bytes: u64) -> Vec<Dynamic> {
        let (mut all, mut after) = (Vec::new(), None);
        for _ in 0..10_000 {
            let page = self.value(&MovingRead::Scan { kind, after, limit, max_bytes, only_sizes: false });
            assert_eq!(page.get("unreadable"), Some(&Dynamic::List(Vec::new())));
            let records = page.get("records").cloned().and_then(Dynamic::into_list).unwrap();
            assert!(records.len() as u64 <= limit);
            all.extend(records);
            match page.get("cursor") {
                Some(Dynamic::Text(cursor)) => after = Some(cursor.as_str().into()),
                _ => return all,
            }
        }
        panic!("no end")
    }

    fn count(&self, kind: Moved) -> (i64, bool) {
        let count = self.value(&MovingRead::Count { kind });
        (count.get("count").and_then(Dynamic::as_int).unwrap(), count.get("approximate") == Some(&Dynamic::Bool(true)))
    }

    fn fetch(&self, kind: Moved, keys: Vec<Key>) -> Vec<Dynamic> {
        self.value(&MovingRead::Fetch { kind, keys }).into_list().unwrap()
    }

    /// Scanned in small pages and fetched, these records are all, and as they went.
    fn has(&self, records: &[Record]) {
        let kind = records[0].kind();
        let by_text = |records: Vec<Dynamic>| -> Vec<String> {
            let mut texts: Vec<String> = records.iter().map(|record| format!("{record:?}")).collect();
            texts.sort();
            texts
        };
        let expected = by_text(records.iter().cloned().map(Record::into_dynamic).collect());
        for (limit, max_bytes) in [(7, 1 << 30), (1_000, 1 << 30), (1_000, 10_000)] {
            assert!(by_text(self.scan(kind, limit, max_bytes)) == expected, "{} {limit} {max_bytes}", kind.name());
        }
        assert_eq!(self.count(kind), (i64::try_from(records.len()).unwrap(), false));
        let mut keys: Vec<Key> = records.iter().map(Record::key).collect();
        keys.push(keys[0].clone());
        keys.push(Key { name: "Nobody".into(), id: "nobody".into() });
        let mut found = self.fetch(kind, keys);
        assert_eq!(found.pop(), Some(Dynamic::Null));
        assert_eq!(found.pop().as_ref(), found.first());
        assert!(by_text(found) == expected);
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let config = Config::read(&self.url, &mut options(&self.tables)).unwrap();
        let tables = self.tables.clone();
        let removed = async move {
            let client = SharedClient::new(config.place, Duration::from_secs(5)).client().await.unwrap();
            for table in tables {
                if let Err(error) = client.delete_table().table_name(&table).send().await {
                    eprintln!("{table}: {error}");
                }
            }
        };
        crate::runtime::io().unwrap().block_on(removed);
    }
}

fn later() -> Millis {
    Millis(Millis::now().plus(HOUR).0 / 1_000 * 1_000 + 1)
}

fn payload(id: &str, data: &'static [u8], expires_at: Option<Millis>) -> Record {
    Record::Payload(Payload { id: id.into(), body: Body::Whole(Bytes::from_static(data)), expires_at })
}

fn saga(id: &str, correlation: &str, version: i64) -> State {
    let saga = Saga {
        name: "Order".into(),
        id: id.into(),
        version,
        completed: false,
        created_at: Millis(1_700_000_000_001),
        updated_at: Millis(1_700_000_000_002),
        completed_at: None,
        timeout_at: Some(Millis(1_700_000_000_003)),
        expires_at: None,
        state: r#"{"ü":1}"#.into(),
    };
    State { saga, correlation_id: correlation.into() }
}

fn state(id: &str, correlation: &str, version: i64) -> Record {
    Record::State(Box::new(saga(id, correlation, version)))
}

fn execution(id: &str, version: i64, entries: &[usize]) -> Logbook {
    let entry = |(place, size): (usize, &usize)| Logged {
        seq: i64::try_from(place).unwrap() + 1,
        entry: Entry {
            step: "pay".into(),
            action: Action::Act,
            status: StepStatus::Completed,
            step_id: (place % 2 == 0).then(|| format!("p-{place}").into()),
            details: Some("x".repeat(*size).into()),
            body: None,
        },
        at: Millis(1_700_000_000_000 + i64::try_from(place).unwrap()),
    };
    let log: Vec<Logged> = entries.iter().enumerate().map(entry).collect();
    let execution = Execution {
        id: id.into(),
        name: "Order".into(),
        status: Status::Running,
        sub_status: Some("waits".into()),
        context: Some(r#"{"a":1}"#.into()),
        metadata: Some("{}".into()),
        tags: vec!["red".into()],
        version,
        seq: i64::try_from(log.len()).unwrap(),
        log_bytes: log.iter().map(|logged| logged.entry.bytes()).sum(),
        token: None,
        worker: None,
        due_at: Some(Millis(1_700_000_000_000)),
        attempts: 1,
        last_error: Some("why".into()),
        last_operation: Some(LastOperation { id: "op".into(), version, first_seq: None }),
        created_at: Millis(1_700_000_000_001),
        updated_at: Millis(1_700_000_000_002),
        completed_at: None,
        parked_at: None,
        expires_at: None,
    };
    Logbook { execution, log }
}

fn run(logbook: Logbook) -> Record {
    Record::Execution(Box::new(logbook))
}

fn event(id: &str, key: Option<&str>, status: EventStatus) -> Stored {
    let is = |wanted| status == wanted;
    let claimed = is(EventStatus::Claimed);
    let at = |yes: bool| yes.then_some(Millis(1_700_000_000_005));
    Stored {
        event: Event {
            id: id.into(),
            event_type: "OrderPlaced".into(),
            payload: Content::Bytes(Bytes::from_static(b"\0\xff")),
            saga_id: Some("s-1".into()),
            aggregate_type: None,
            aggregate_id: None,
            headers: Some("{}".into()),
            routing_key: Some("r".into()),
            partition_key: key.map(Into::into),
            available_at: None,
            occurred_at: Millis(1_700_000_000_001),
        },
        seq: 0,
        operation: "op".into(),
        status,
        created_at: Millis(1_700_000_000_002),
        claimed_at: at(claimed),
        sent_at: at(is(EventStatus::Sent)),
        dead_at: at(is(EventStatus::DeadLetter)),
        retry_count: 1,
        deliveries: 2,
        last_error: Some("no".into()),
        worker: claimed.then(|| "w".into()),
        token: claimed.then(|| "t".into()),
        lease_until: claimed.then(later),
        due_at: (is(EventStatus::Pending)).then_some(Millis(1_700_000_000_006)),
        expires_at: (is(EventStatus::Sent)).then(later),
    }
}

fn sent(stored: Stored) -> Record {
    Record::Event(Box::new(stored))
}

fn message(id: &str, consumer: &str, expires_at: Millis) -> Record {
    let (id, consumer) = (id.into(), consumer.into());
    Record::Message(Message { consumer, id, operation: "op".into(), expires_at })
}

fn terms() -> EventTerms {
    EventTerms {
        max_retries: 3,
        max_deliveries: 9,
        backoff_ms: 1,
        skips_dead: false,
        retain_sent_ms: 0,
        retain_dead_ms: None,
        notifies_in_transaction: false,
    }
}

fn claim(limit: u64) -> OutboxWrite {
    let lease = NewLease { token: format!("t{}", fastrand::u64(..)).into(), worker: "w".into(), lease_ms: HOUR };
    let claim = ClaimEvents { lease, limit, types: None, routing_keys: None, older_than_ms: 0, terms: terms() };
    OutboxWrite::Claim(Box::new(claim))
}

fn ids(events: Dynamic) -> Vec<String> {
    let id = |event: Dynamic| event.into_list().unwrap()[0].as_text().unwrap().to_owned();
    events.into_list().unwrap().into_iter().map(id).collect()
}

fn text_of<'a>(record: &'a Dynamic, name: &str) -> &'a str {
    record.get(name).and_then(Dynamic::as_text).unwrap()
}

#[test]
fn payloads_and_messages_arrive_as_they_were() {
    let Some(store) = Fresh::open() else { return };
    let end = later();
    let expiry = |n: usize| n.is_multiple_of(2).then_some(end);
    let payloads: Vec<Record> = (0..60).map(|n| payload(&format!("p-{n}"), b"\x28\xb5\x2f\xfd", expiry(n))).collect();
    for conflict in [Conflict::Skip, Conflict::Overwrite] {
        assert_eq!(store.import(conflict, &payloads), vec!["stored"; 60]);
        store.has(&payloads);
    }
    let messages: Vec<Record> = (0..30).map(|n| message("m-1", &format!("c-{n}"), end)).collect();
    assert_eq!(store.import(Conflict::Overwrite, &messages), vec!["stored"; 30]);
    store.has(&messages);
    // Longer lived ones, and others.
    let newer = |ms: i64| [payload("p-0", b"new", Some(Millis(end.0 + ms))), message("m-1", "c-0", Millis(end.0 + ms))];
    for (ms, fate) in [(-10, "skipped"), (1, "stored"), (1, "skipped"), (5_000, "stored")] {
        for record in newer(ms) {
            assert_eq!(store.import(Conflict::Newer, std::slice::from_ref(&record)), [fate], "{ms} {record:?}");
        }
    }
    let forever = payload("p-0", b"for ever", None);
    assert_eq!(store.import(Conflict::Newer, std::slice::from_ref(&forever)), ["stored"]);
    assert_eq!(store.import(Conflict::Newer, std::slice::from_ref(&forever)), ["skipped"]);
    assert_eq!(store.import(Conflict::Refuse, &[forever, payload("q", b"", None)]), ["ALREADY_EXISTS", "stored"]);
}

#[test]
fn sagas_arrive_as_they_were_and_keep_their_correlation_ids_apart() {
    let Some(store) = Fresh::open() else { return };
    let mut sagas: Vec<Record> = (0..60).map(|n| state(&format!("s-{n}"), &format!("o-{n}"), 3)).collect();
    let mut ended = saga("ended", "o-ended", 9);
    (ended.saga.completed, ended.saga.timeout_at) = (true, None);
    (ended.saga.completed_at, ended.saga.expires_at) = (Some(Millis(1_700_000_000_009)), Some(later()));
    sagas.push(Record::State(Box::new(ended)));
    assert_eq!(store.import(Conflict::Refuse, &sagas), vec!["stored"; 61]);
    store.has(&sagas);
    // Some are there, some have an id of others, some are new.
    let mut large = saga("large", "o-large", 1);
    large.saga.state = format!("\"{}\"", "x".repeat(410_000)).into();
    let mixed =
        [state("s-0", "o-0", 4), state("n-1", "o-1", 1), Record::State(Box::new(large)), state("n-2", "o-n", 1)];
    let expected = |first| [first, "ALREADY_EXISTS", "PAYLOAD_TOO_LARGE", "stored"];
    assert_eq!(store.import(Conflict::Newer, &mixed), expected("stored"));
    assert_eq!(store.import(Conflict::Newer, &mixed)[0], "skipped");
    assert_eq!(store.import(Conflict::Refuse, &mixed[..2]), ["ALREADY_EXISTS"; 2]);
    // Another correlation id leaves nothing of the old one.
    let by = |correlation: &str| {
        let read = StateRead::ByCorrelation { name: "Order".into(), correlation_id: correlation.into() };
        match store.ask(&read).unwrap() {
            Reply::State(state) => state.is_some(),
            other => panic!("{other:?}"),
        }
    };
    assert!(by("o-5") && !by("o-other"));
    assert_eq!(store.import(Conflict::Overwrite, &[state("s-5", "o-other", 1)]), ["stored"]);
    assert!(!by("o-5") && by("o-other"));
    let (saga, correlation_id) = (saga("s-new", "o-5", 1).saga, "o-5".into());
    store.ask(&StateWrite::Insert { saga: Box::new(saga), correlation_id }).unwrap();
    assert_eq!(store.import(Conflict::Overwrite, &[state("s-6", "o-5", 1)]), ["ALREADY_EXISTS"]);
    assert!(by("o-5") && by("o-6"));
}

#[test]
fn executions_arrive_with_their_whole_logs() {
    let Some(store) = Fresh::open() else { return };
    let mut logs = vec![
        execution("empty", 1, &[]),
        execution("small", 2, &[10; 5]),
        execution("long", 3, &[1_000; 700]),
        execution("in steps", 4, &[100_000; 40]),
    ];
    let mut wide = execution("wide", 5, &[10; 3]);
    wide.execution.context = Some(format!("\"{}\"", "ü".repeat(400_000)).into());
    let mut ended = execution("ended", 6, &[1_000; 20]);
    (ended.execution.status, ended.execution.due_at) = (Status::Completed, None);
    (ended.execution.completed_at, ended.execution.expires_at) = (Some(Millis(1_700_000_000_009)), Some(later()));
    let mut leased = execution("leased", 7, &[10]);
    (leased.execution.token, leased.execution.worker) = (Some("t".into()), Some("w".into()));
    leased.execution.due_at = Some(later());
    let mut parked = execution("parked", 8, &[10]);
    (parked.execution.parked_at, parked.execution.due_at) = (Some(Millis(1_700_000_000_009)), None);
    logs.extend([wide, ended, leased, parked]);
    let records: Vec<Record> = logs.iter().cloned().map(run).collect();
    assert_eq!(store.import(Conflict::Skip, &records), vec!["stored"; 8]);
    store.has(&records);
    assert_eq!(store.import(Conflict::Newer, &records), vec!["skipped"; 8]);
    assert_eq!(store.import(Conflict::Refuse, &records), vec!["ALREADY_EXISTS"; 8]);
    assert_eq!(store.import(Conflict::Overwrite, &records), vec!["stored"; 8]);
    store.has(&records);
    // Shorter and longer ones in their place leave nothing of the old logs.
    let swapped: Vec<Record> = logs
        .iter()
        .map(|Logbook { execution: old, .. }| {
            let sizes: &[usize] = match &*old.id {
                "in steps" | "long" | "wide" => &[10; 2],
                "small" => &[100_000; 40],
                _ => &[1_000; 50],
            };
            run(execution(&old.id, old.version + 1, sizes))
        })
        .collect();
    assert_eq!(store.import(Conflict::Newer, &swapped), vec!["stored"; 8]);
    store.has(&swapped);
    let mut broken = execution("huge", 1, &[410_000]);
    broken.execution.metadata = None;
    assert_eq!(
        store.import(Conflict::Overwrite, &[run(broken), run(execution("x", 1, &[]))]),
        ["PAYLOAD_TOO_LARGE", "stored"]
    );
}

#[test]
fn workers_go_on_with_executions() {
    let Some(store) = Fresh::open() else { return };
    let mut leased = execution("leased", 7, &[10; 2]);
    (leased.execution.token, leased.execution.worker) = (Some("t".into()), Some("w".into()));
    leased.execution.due_at = Some(later());
    assert_eq!(store.import(Conflict::Refuse, &[run(leased), run(execution("due", 1, &[10]))]), vec!["stored"; 2]);
    let renewals = ["t", "other"].map(|token| Renewal { id: "leased".into(), token: token.into(), lease_ms: HOUR });
    let terms = Terms { ttl_ms: None, backoff_ms: 1_000, max_entries: 100, max_bytes: 1_000 };
    for (renewal, lost) in renewals.into_iter().zip([0, 1]) {
        let heartbeat = ExecutionWrite::Heartbeat { renewals: vec![renewal], terms };
        assert_eq!(store.value(&heartbeat).into_list().unwrap().len(), lost);
    }
    let history =
        ExecutionRead::History { id: "leased".into(), after: None, limit: 10, max_bytes: 1 << 20, reverse: false };
    let page = store.value(&history);
    assert_eq!(page.get("entries").cloned().and_then(Dynamic::into_list).unwrap().len(), 2);
    assert_eq!(store.ask(&ExecutionWrite::Delete { id: "leased".into() }).unwrap(), Reply::Flag(true));
}

#[test]
fn events_arrive_as_they_were_and_in_the_order_of_their_keys() {
    let Some(store) = Fresh::open() else { return };
    let statuses = [EventStatus::Sent, EventStatus::DeadLetter, EventStatus::Claimed, EventStatus::Pending];
    let key = |n: usize| [None, Some("a"), Some("b"), Some("c")][n % 4];
    let records: Vec<Record> =
        (0..160).map(|n| sent(event(&format!("e-{n:03}"), key(n), statuses[(n / 40).min(3)]))).collect();
    assert_eq!(store.import(Conflict::Skip, &records), vec!["stored"; 160]);
    store.has(&records);
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in store.scan(Moved::Outbox, 7, 1 << 20) {
        if event.get("partitionKey").is_some() && text_of(&event, "status") != "sent" {
            let events = by_key.entry(text_of(&event, "partitionKey").to_owned()).or_default();
            events.push(text_of(&event, "eventId").to_owned());
        }
    }
    assert_eq!(by_key.len(), 3);
    for (key, events) in by_key {
        assert!(events.len() == 30 && events.is_sorted(), "{key} {events:?}");
    }
    assert_eq!(store.import(Conflict::Overwrite, &records), vec!["stored"; 160]);
    store.has(&records);
    let refused = store.import(Conflict::Refuse, &[records[3].clone(), sent(event("n", Some("a"), statuses[3]))]);
    assert_eq!(refused, ["ALREADY_EXISTS", "stored"]);
    let mut large = event("large", Some("a"), EventStatus::Pending);
    large.event.payload = Content::Bytes(Bytes::from(vec![0; 410_000]));
    let fates = store.import(Conflict::Skip, &[sent(large), sent(event("m", Some("a"), EventStatus::Pending))]);
    assert_eq!(fates, ["PAYLOAD_TOO_LARGE", "stored"]);
}

#[test]
fn workers_go_on_with_events() {
    let Some(store) = Fresh::open() else { return };
    let pending = |id: &str, key| sent(event(id, key, EventStatus::Pending));
    let records = [
        sent(event("a-1", Some("a"), EventStatus::Claimed)),
        pending("a-2", Some("a")),
        pending("a-3", Some("a")),
        pending("n", None),
        sent(event("b-1", Some("b"), EventStatus::DeadLetter)),
        pending("b-2", Some("b")),
    ];
    assert_eq!(store.import(Conflict::Refuse, &records), vec!["stored"; 6]);
    assert_eq!(ids(store.value(&claim(10))), ["n"]);
    let held = vec![Held { id: "a-1".into(), token: "t".into() }];
    let settlement = Settlement { held, outcome: Outcome::Sent, terms: terms() };
    store.ask(&OutboxWrite::Settle(Box::new(settlement))).unwrap();
    assert_eq!(ids(store.value(&claim(10))), ["a-2", "a-3"]);
    let blocked = store.value(&OutboxRead::BlockedKeys { limit: 10, terms: terms() });
    assert_eq!(blocked, Dynamic::List(vec!["b".into()]));
    assert_eq!(store.ask(&OutboxWrite::Requeue { ids: vec!["b-1".into()] }).unwrap(), Reply::Count(1));
    assert_eq!(ids(store.value(&claim(10))), ["b-1", "b-2"]);
    // One that is replaced stands where it stood, unless its key is another one.
    let replaced = [pending("b-1", Some("b")), pending("a-3", Some("b"))];
    assert_eq!(store.import(Conflict::Overwrite, &replaced), vec!["stored"; 2]);
    let again = [pending("b-2", Some("b"))];
    assert_eq!(store.import(Conflict::Overwrite, &again), ["stored"]);
    assert_eq!(ids(store.value(&claim(10))), ["b-1", "b-2", "a-3"]);
}

#[test]
fn a_cursor_of_another_scan_is_refused() {
    let Some(store) = Fresh::open() else { return };
    let payloads: Vec<Record> = (0..20).map(|n| payload(&format!("p-{n}"), b"x", None)).collect();
    store.import(Conflict::Overwrite, &payloads);
    let scan = |kind, after: Option<&str>| {
        let after = after.map(Into::into);
        store.ask(&MovingRead::Scan { kind, after, limit: 4, max_bytes: 1 << 20, only_sizes: true })
    };
    let Reply::Value(page) = scan(Moved::Payloads, None).unwrap() else { panic!() };
    let cursor = text_of(&page, "cursor").to_owned();
    assert!(scan(Moved::Payloads, Some(&cursor)).is_ok());
    for (kind, cursor) in [(Moved::Inbox, &*cursor), (Moved::Payloads, "17"), (Moved::Payloads, "")] {
        assert_eq!(scan(kind, Some(cursor)).unwrap_err().kind(), crate::error::Kind::InvalidArgument);
    }
}
