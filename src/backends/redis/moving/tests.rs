//! Against real servers, where the environment names them: does everything arrive as it was, are conflicts judged by the
//! rules, and do workers go on where they were?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Moving;
use crate::backends::redis::channel::{Channel, OwnChannel, Servers, escaped};
use crate::backends::redis::command::Request;
use crate::backends::redis::config::{Endpoint, Prefixes};
use crate::backends::redis::executions::Executions;
use crate::backends::redis::outbox::Outbox;
use crate::backends::redis::shared::Connector;
use crate::backends::redis::states::States;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::ExecutionRead;
use crate::contract::executions::record::{Action, Entry, Execution, LastOperation, Logged, Status, StepStatus};
use crate::contract::lease::random;
use crate::contract::moving::record::{Body, Key, Logbook, Message, Payload, Record, State};
use crate::contract::moving::{Conflict, Import, Moved, MovingRead, MovingWrite};
use crate::contract::operation::Work;
use crate::contract::outbox::record::{Content, Event, EventStatus, Stored};
use crate::contract::outbox::{ClaimEvents, Held, NewLease, OutboxRead, OutboxWrite, Outcome, Settlement, Terms};
use crate::contract::states::{Saga, StateRead};
use crate::contract::step::Reply;
use crate::error::Kind;
use crate::options::OptionReader;
use crate::time::Millis;

const TERMS: Terms = Terms {
    max_retries: 2,
    max_deliveries: 5,
    backoff_ms: 0,
    skips_dead: false,
    retain_sent_ms: 0,
    retain_dead_ms: None,
    notifies_in_transaction: false,
};

const KINDS: [Moved; 5] = [Moved::Payloads, Moved::States, Moved::Executions, Moved::Outbox, Moved::Inbox];

type Tested<'a> = Moving<'a, OwnChannel<'a>>;

/// Runs a test on each server that is named, under prefixes of its own.
fn with_servers(test: &impl AsyncFn(&Tested<'_>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for url in ["REDIS_URL", "REDIS_CLUSTER_URL"].map(std::env::var).into_iter().flatten() {
        let shared = Arc::new(Connector::new(Endpoint::parse(&url, None, Duration::from_secs(5)).unwrap()));
        let namespace = format!("t{:x}", fastrand::u64(..));
        let mut options = OptionReader::parse(&format!("{{\"namespace\":\"{namespace}\"}}")).unwrap();
        let prefixes = Prefixes::read(&mut options).unwrap();
        runtime.block_on(async {
            let on = OwnChannel::of(&shared).await.unwrap();
            let moving = Moving { on: &on, prefixes: &prefixes };
            test(&moving).await;
            moving.take_away(&namespace).await;
            shared.close().await;
        });
    }
}

impl Tested<'_> {
    async fn keys(&self, pattern: &str) -> Vec<Bytes> {
        let mut keys = Vec::new();
        for node in self.on.nodes().await.unwrap() {
            let found = self.on.ask(node.as_ref(), &["KEYS", pattern]).await.unwrap();
            keys.extend(found.convert::<Vec<Bytes>>().unwrap());
        }
        keys
    }

    async fn take_away(&self, namespace: &str) {
        for pattern in [format!("{namespace}:*"), format!("{}*", escaped(&format!("{{{namespace}:")))] {
            let keys = self.keys(&pattern).await;
            self.on.send(keys.into_iter().map(|key| Request::Unlink { key }).collect()).await.unwrap();
        }
    }

    /// The fates of an import, as they are told.
    async fn bring(&self, records: &[Record], conflict: Conflict) -> Vec<String> {
        let kind = records[0].kind();
        let import = Import::new(kind, conflict, records.iter().cloned().map(Ok).collect());
        let Reply::Value(Dynamic::List(fates)) = self.write(&MovingWrite::Import(Box::new(import))).await.unwrap()
        else {
            panic!("no fates");
        };
        let told = |fate: &Dynamic| fate.get("code").unwrap_or(fate).as_text().unwrap().to_owned();
        fates.iter().map(told).collect()
    }

    /// All records, by pages of a few.
    async fn all(&self, kind: Moved, limit: u64, max_bytes: u64) -> BTreeMap<String, Dynamic> {
        let (mut all, mut after) = (BTreeMap::new(), None);
        loop {
            let scan = MovingRead::Scan { kind, after, limit, max_bytes, only_sizes: false };
            let Reply::Value(page) = self.read(&scan).await.unwrap() else { panic!("no page") };
            let records = page.get("records").cloned().and_then(Dynamic::into_list).unwrap();
            assert!(records.len() as u64 <= limit);
            assert_eq!(page.get("unreadable"), Some(&Dynamic::List(Vec::new())));
            all.extend(records.into_iter().map(|record| (name_of(&record), record)));
            match page.get("cursor") {
                Some(Dynamic::Text(cursor)) => after = Some(cursor.as_str().into()),
                _ => return all,
            }
        }
    }

    async fn fetched(&self, records: &[Record]) -> Vec<Dynamic> {
        let keys: Vec<Key> = records.iter().map(Record::key).collect();
        let fetch = MovingRead::Fetch { kind: records[0].kind(), keys };
        match self.read(&fetch).await.unwrap() {
            Reply::Value(Dynamic::List(records)) => records,
            other => panic!("{other:?}"),
        }
    }

    fn outbox(&self) -> Outbox<'_, OwnChannel<'_>> {
        Outbox { on: self.on, prefix: &self.prefixes.outbox }
    }

    async fn claimed(&self, token: &str) -> Vec<String> {
        let lease = NewLease { token: token.into(), worker: "w2".into(), lease_ms: 60_000 };
        let claim = ClaimEvents { lease, limit: 100, types: None, routing_keys: None, older_than_ms: 0, terms: TERMS };
        ids_of(&self.outbox().run(&Work::Write(OutboxWrite::Claim(Box::new(claim)))).await.unwrap())
    }

    /// The ids whose token was another one.
    async fn lost(&self, ids: &[&str], token: &str) -> Vec<String> {
        let held = ids.iter().map(|id| Held { id: (*id).into(), token: token.into() }).collect();
        let settlement = Settlement { held, outcome: Outcome::Sent, terms: TERMS };
        let Reply::Value(Dynamic::List(lost)) =
            self.outbox().run(&Work::Write(OutboxWrite::Settle(Box::new(settlement)))).await.unwrap()
        else {
            panic!("no ids");
        };
        lost.iter().map(|id| id.as_text().unwrap().to_owned()).collect()
    }
}

fn ids_of(reply: &Reply) -> Vec<String> {
    let Reply::Value(Dynamic::List(events)) = reply else { panic!("{reply:?}") };
    let id = |event: &Dynamic| match event {
        Dynamic::List(fields) => fields[0].as_text().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    events.iter().map(id).collect()
}

/// What tells a record from the others of its kind.
fn name_of(record: &Dynamic) -> String {
    let parts = ["sagaName", "consumer", "messageId", "eventId", "sagaId", "id"].map(|name| record.get(name));
    parts.into_iter().flatten().map(|part| part.as_text().unwrap()).collect::<Vec<_>>().join("/")
}

fn later(millis: u64) -> Millis {
    Millis::now().plus(millis)
}

fn payload(id: &str, data: &[u8], expires_at: Option<Millis>) -> Record {
    Record::Payload(Payload { id: id.into(), body: Body::Whole(Bytes::copy_from_slice(data)), expires_at })
}

fn saga(id: &str, correlation_id: &str, version: i64, ended: Option<Millis>, expires_at: Option<Millis>) -> Record {
    let (completed, at) = (ended.is_some(), Millis(1_700_000_000_123));
    let timeout = if completed { "null" } else { "\"2023-11-14T22:13:21.000Z\"" };
    let state = format!(
        "{{\"metadata\":{{\"version\":{version},\"sagaId\":\"{id}\",\"isCompleted\":{completed},\
        \"createdAt\":\"{0}\",\"updatedAt\":\"{0}\",\"timeoutExpiresAt\":{timeout}}},\"total\":1}}",
        at.iso().unwrap()
    );
    let timeout_at = (!completed).then_some(Millis(1_700_000_001_000));
    Record::State(Box::new(State {
        saga: Saga {
            name: "Order".into(),
            id: id.into(),
            version,
            completed,
            created_at: at,
            updated_at: at,
            completed_at: ended,
            timeout_at,
            expires_at,
            state: state.into(),
        },
        correlation_id: correlation_id.into(),
    }))
}

fn entry(step_id: Option<&str>) -> Entry {
    Entry {
        step: "charge".into(),
        action: Action::Act,
        status: StepStatus::Completed,
        step_id: step_id.map(Into::into),
        details: None,
        body: Some("{\"attempt\":1}".into()),
    }
}

fn execution(id: &str, status: Status, version: i64) -> Record {
    let entries = [entry(Some("s-1")), entry(None)];
    let log: Vec<Logged> =
        (1..).zip(entries).map(|(seq, entry)| Logged { seq, entry, at: Millis(1_700_000_000_000 + seq) }).collect();
    let ended = status.is_terminal();
    let execution = Execution {
        id: id.into(),
        name: "order".into(),
        status,
        sub_status: Some("waiting".into()),
        context: Some("{\"a\":1}".into()),
        metadata: None,
        tags: vec!["t".into()],
        version,
        seq: 2,
        log_bytes: log.iter().map(|logged| logged.entry.bytes()).sum(),
        token: (status == Status::Running).then(|| "token".into()),
        worker: (status == Status::Running).then(|| "w".into()),
        due_at: (!ended).then(|| if status == Status::Running { later(3_600_000) } else { Millis(1) }),
        attempts: 1,
        last_error: Some("no".into()),
        last_operation: Some(LastOperation { id: "op".into(), version, first_seq: Some(1) }),
        created_at: Millis(1_700_000_000_000),
        updated_at: Millis(1_700_000_000_005),
        completed_at: ended.then_some(Millis(1_700_000_000_005)),
        parked_at: None,
        expires_at: ended.then(|| later(3_600_000)),
    };
    Record::Execution(Box::new(Logbook { execution, log }))
}

fn stored(id: &str, key: Option<&str>, status: EventStatus) -> Stored {
    let event = Event {
        id: id.into(),
        event_type: "OrderPlaced".into(),
        payload: Content::Json("{\"n\":1}".into()),
        saga_id: Some("s".into()),
        aggregate_type: None,
        aggregate_id: None,
        headers: None,
        routing_key: None,
        partition_key: key.map(Into::into),
        available_at: None,
        occurred_at: Millis(1_700_000_000_000),
    };
    let mut stored = Stored::pending(event, 0, random(), Millis(1_700_000_000_001));
    stored.status = status;
    match status {
        EventStatus::Pending => {}
        EventStatus::Claimed => {
            (stored.token, stored.worker) = (Some("token".into()), Some("w".into()));
            (stored.claimed_at, stored.lease_until) = (Some(Millis(1_700_000_000_002)), Some(later(3_600_000)));
            stored.deliveries = 1;
        }
        EventStatus::Sent => {
            (stored.sent_at, stored.expires_at) = (Some(Millis(1_700_000_000_003)), Some(later(3_600_000)));
            stored.deliveries = 1;
        }
        EventStatus::DeadLetter => {
            (stored.dead_at, stored.retry_count) = (Some(Millis(1_700_000_000_004)), 3);
            (stored.deliveries, stored.last_error) = (3, Some("no".into()));
        }
    }
    stored
}

fn event(id: &str, key: Option<&str>, status: EventStatus) -> Record {
    Record::Event(Box::new(stored(id, key, status)))
}

fn message(consumer: &str, id: &str, expires_at: Millis) -> Record {
    Record::Message(Message { consumer: consumer.into(), id: id.into(), operation: "op".into(), expires_at })
}

fn some_of(kind: Moved) -> Vec<Record> {
    let soon = later(90_000);
    match kind {
        Moved::Payloads => vec![
            payload("a", b"x", None),
            payload("b:c", &[0, 255, 10], Some(soon)),
            payload("d*[e]", &[7; 300_000], Some(Millis(253_402_300_799_999))),
            payload("", b"", None),
            payload("\u{fc}", b"", None),
        ],
        Moved::States => vec![
            saga("s-1", "c-1", 3, None, None),
            saga("s-2", "c:2", 1, Some(Millis(1_700_000_000_777)), Some(soon)),
            saga("s-3", "c-3", 9, None, Some(Millis(253_402_300_799_999))),
        ],
        Moved::Executions => {
            Status::ALL.iter().map(|status| execution(&format!("e-{}", status.name()), *status, 4)).collect()
        }
        Moved::Outbox => vec![
            event("p-1", None, EventStatus::Pending),
            event("c-1", Some("k"), EventStatus::Claimed),
            event("p-2", Some("k"), EventStatus::Pending),
            event("d-1", Some("l"), EventStatus::DeadLetter),
            event("p-3", Some("l"), EventStatus::Pending),
            event("s-1", Some("m"), EventStatus::Sent),
            event("p-4", Some("m"), EventStatus::Pending),
        ],
        Moved::Inbox => {
            vec![message("a:b", "c", soon), message("a", "b:c", Millis(253_402_300_799_999))]
        }
    }
}

#[test]
fn records_arrive_as_they_are() {
    with_servers(&async |moving: &Tested<'_>| {
        for kind in KINDS {
            let records = some_of(kind);
            let told: Vec<Dynamic> = records.iter().cloned().map(Record::into_dynamic).collect();
            let stored = vec!["stored"; records.len()];
            assert_eq!(moving.bring(&records, Conflict::Refuse).await, stored, "{kind:?}");
            let expected: BTreeMap<String, Dynamic> =
                told.iter().cloned().map(|record| (name_of(&record), record)).collect();
            for (limit, max_bytes) in [(1, 1 << 20), (1_000, 1 << 20), (1_000, 1)] {
                assert_eq!(moving.all(kind, limit, max_bytes).await, expected, "{kind:?}");
            }
            assert_eq!(moving.fetched(&records).await, told, "{kind:?}");
            let count = moving.read(&MovingRead::Count { kind }).await.unwrap();
            let Reply::Value(count) = count else { panic!("{count:?}") };
            // Exact, unless the server has many more keys of others.
            let is_exact = count.get("approximate") == Some(&Dynamic::Bool(false));
            let wanted = Dynamic::Int(records.len().try_into().unwrap());
            assert!(count.get("count") == Some(&wanted) || !is_exact, "{kind:?}: {count:?}");
            // What is there is judged.
            let [exists, skipped] = ["ALREADY_EXISTS", "skipped"].map(|fate| vec![fate; records.len()]);
            assert_eq!(moving.bring(&records, Conflict::Refuse).await, exists, "{kind:?}");
            assert_eq!(moving.bring(&records, Conflict::Skip).await, skipped, "{kind:?}");
            assert_eq!(moving.bring(&records, Conflict::Newer).await, skipped, "{kind:?}");
            assert_eq!(moving.bring(&records, Conflict::Overwrite).await, stored, "{kind:?}");
            assert_eq!(moving.all(kind, 2, 1 << 20).await, expected, "{kind:?}");
        }
    });
}

#[test]
fn what_is_newer_replaces() {
    with_servers(&async |moving: &Tested<'_>| {
        let soon = later(90_000);
        let old = [payload("a", b"old", Some(soon)), payload("b", b"old", None)];
        moving.bring(&old, Conflict::Skip).await;
        let new = [payload("a", b"new", Some(soon.plus(1))), payload("b", b"new", Some(soon))];
        assert_eq!(moving.bring(&new, Conflict::Newer).await, ["stored", "skipped"]);
        let there = moving.fetched(&new).await;
        assert_eq!(there, [new[0].clone().into_dynamic(), old[1].clone().into_dynamic()]);
        moving.bring(&[execution("e", Status::Running, 4)], Conflict::Skip).await;
        assert_eq!(moving.bring(&[execution("e", Status::Failed, 3)], Conflict::Newer).await, ["skipped"]);
        assert_eq!(moving.bring(&[execution("e", Status::Failed, 5)], Conflict::Newer).await, ["stored"]);
        moving.bring(&[event("v", None, EventStatus::Claimed)], Conflict::Skip).await;
        assert_eq!(moving.bring(&[event("v", None, EventStatus::Pending)], Conflict::Newer).await, ["skipped"]);
        assert_eq!(moving.bring(&[event("v", None, EventStatus::DeadLetter)], Conflict::Newer).await, ["stored"]);
        assert_eq!(moving.bring(&[event("v", None, EventStatus::Claimed)], Conflict::Newer).await, ["skipped"]);
    });
}

#[test]
fn a_saga_that_is_replaced_leaves_nothing() {
    with_servers(&async |moving: &Tested<'_>| {
        let prefix = &moving.prefixes.states;
        moving.bring(&[saga("s-1", "c-1", 3, None, None), saga("s-2", "c-2", 1, None, None)], Conflict::Skip).await;
        // Another one has the correlation id, whatever is asked for.
        for conflict in [Conflict::Overwrite, Conflict::Newer, Conflict::Skip] {
            let fate = if conflict == Conflict::Skip { "skipped" } else { "ALREADY_EXISTS" };
            assert_eq!(moving.bring(&[saga("s-1", "c-2", 4, None, None)], conflict).await, [fate]);
            assert_eq!(moving.bring(&[saga("s-3", "c-2", 4, None, None)], conflict).await, ["ALREADY_EXISTS"]);
        }
        let other = saga("s-1", "c-9", 2, Some(Millis(1_700_000_000_999)), Some(later(90_000)));
        assert_eq!(moving.bring(std::slice::from_ref(&other), Conflict::Newer).await, ["skipped"]);
        assert_eq!(moving.bring(std::slice::from_ref(&other), Conflict::Overwrite).await, ["stored"]);
        assert_eq!(moving.fetched(std::slice::from_ref(&other)).await, [other.into_dynamic()]);
        let old = moving.keys(&format!("{}saga:Order:c-1", escaped(prefix))).await;
        assert!(old.is_empty(), "{old:?}");
        let states = States { on: moving.on, prefix };
        for (completed, expected) in [(Some(false), 1), (Some(true), 1), (None, 2)] {
            let count = Work::Read(StateRead::Count { name: "Order".into(), completed });
            assert_eq!(states.run(&count).await.unwrap(), Reply::Count(expected));
        }
        let index = Bytes::from(format!("{prefix}saga:Order:idx:id:s-1"));
        let found = moving.on.send(vec![Request::Get { key: index }]).await.unwrap().remove(0).unwrap();
        assert_eq!(found.as_string().as_deref(), Some("c-9"));
        // And the correlation id is free again.
        assert_eq!(moving.bring(&[saga("s-4", "c-1", 1, None, None)], Conflict::Refuse).await, ["stored"]);
        // A batch with two of one correlation id has one of them.
        let two = [saga("s-5", "c-5", 1, None, None), saga("s-6", "c-5", 1, None, None)];
        let mut fates = moving.bring(&two, Conflict::Overwrite).await;
        fates.sort();
        assert_eq!(fates, ["ALREADY_EXISTS", "stored"]);
    });
}

#[test]
fn workers_of_events_go_on_where_they_were() {
    with_servers(&async |moving: &Tested<'_>| {
        moving.bring(&some_of(Moved::Outbox), Conflict::Skip).await;
        // Of a key only what nothing stands before.
        assert_eq!(moving.claimed("other").await, ["p-1", "p-4"]);
        assert_eq!(moving.lost(&["c-1", "p-1"], "token").await, ["p-1"]);
        assert_eq!(moving.claimed("third").await, ["p-2"]);
        let requeue = Work::Write(OutboxWrite::Requeue { ids: vec!["d-1".into()] });
        assert_eq!(moving.outbox().run(&requeue).await.unwrap(), Reply::Count(1));
        // One behind the other, in one claim.
        assert_eq!(moving.claimed("fourth").await, ["d-1", "p-3"]);
        assert_eq!(moving.lost(&["d-1", "p-3"], "fourth").await, Vec::<String>::new());
        let sent = Work::Read(OutboxRead::Count { status: EventStatus::Sent });
        assert_eq!(moving.outbox().run(&sent).await.unwrap(), Reply::Count(1));
        // What is over is replaced.
        let mut dead = stored("over", None, EventStatus::DeadLetter);
        dead.expires_at = Some(Millis(1));
        moving.bring(&[Record::Event(Box::new(dead))], Conflict::Skip).await;
        assert_eq!(moving.bring(&[event("over", None, EventStatus::Pending)], Conflict::Refuse).await, ["stored"]);
        assert_eq!(moving.claimed("fifth").await, ["over"]);
        // The head of a key is sent elsewhere: the next one is offered.
        moving
            .bring(
                &[event("h-1", Some("h"), EventStatus::Pending), event("h-2", Some("h"), EventStatus::Pending)],
                Conflict::Skip,
            )
            .await;
        assert_eq!(moving.bring(&[event("h-1", Some("h"), EventStatus::Sent)], Conflict::Newer).await, ["stored"]);
        assert_eq!(moving.claimed("sixth").await, ["h-2"]);
    });
}

#[test]
fn a_replaced_execution_leaves_nothing() {
    with_servers(&async |moving: &Tested<'_>| {
        moving.bring(&[execution("e", Status::Running, 4)], Conflict::Skip).await;
        let mut other = execution("e", Status::Failed, 1);
        if let Record::Execution(logbook) = &mut other {
            logbook.log.truncate(1);
            logbook.log[0].entry = entry(None);
            (logbook.execution.seq, logbook.execution.log_bytes) = (1, logbook.log[0].entry.bytes());
        }
        assert_eq!(moving.bring(std::slice::from_ref(&other), Conflict::Overwrite).await, ["stored"]);
        assert_eq!(moving.fetched(std::slice::from_ref(&other)).await, [other.into_dynamic()]);
        let executions = Executions { on: moving.on, prefix: &moving.prefixes.executions };
        let Reply::Value(figures) = executions.run(&Work::Read(ExecutionRead::Statistics)).await.unwrap() else {
            panic!("no figures");
        };
        assert_eq!((figures.get("total"), figures.get("leased")), (Some(&Dynamic::Int(1)), Some(&Dynamic::Int(0))));
        let size = i64::try_from("{\"a\":1}".len()).unwrap() + entry(None).bytes();
        assert_eq!(figures.get("bytes"), Some(&Dynamic::Int(size)));
        let steps = moving.keys(&format!("{}{{b*}}:steps:e", escaped(&moving.prefixes.executions))).await;
        assert!(steps.is_empty(), "{steps:?}");
    });
}

#[test]
fn what_is_no_record_is_left_out() {
    with_servers(&async |moving: &Tested<'_>| {
        let prefix = &moving.prefixes.payloads;
        moving.bring(&[payload("a", b"x", None)], Conflict::Skip).await;
        let list = Bytes::from(format!("{prefix}:list"));
        let words = [Bytes::from("LPUSH"), list.clone(), Bytes::from("x")].into();
        moving.on.send(vec![Request::Words { key: list, words }]).await.unwrap();
        let all = moving.all(Moved::Payloads, 10, 1 << 20).await;
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a"]);
        // A state that is none is told.
        let broken = Bytes::from(format!("{}saga:Order:c", moving.prefixes.states));
        let set = Request::Set { key: broken, data: Bytes::from("{}"), until: None };
        moving.on.send(vec![set]).await.unwrap();
        let scan =
            MovingRead::Scan { kind: Moved::States, after: None, limit: 10, max_bytes: 1 << 20, only_sizes: false };
        let Reply::Value(page) = moving.read(&scan).await.unwrap() else { panic!("no page") };
        let Some(Dynamic::List(unreadable)) = page.get("unreadable") else { panic!("{page:?}") };
        let Some(Dynamic::List(first)) = unreadable.first() else { panic!("{page:?}") };
        assert_eq!(first[0], Dynamic::text("Order:c"));
        let foreign = MovingRead::Scan {
            kind: Moved::Inbox,
            after: Some("17".into()),
            limit: 10,
            max_bytes: 1,
            only_sizes: false,
        };
        assert_eq!(moving.read(&foreign).await.unwrap_err().kind(), Kind::InvalidArgument);
    });
}
