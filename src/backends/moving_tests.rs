//! Whole records of other backends beside those in memory: random imports, which must have the same fates and leave the
//! same behind; and work that goes on behind an import as it would have before.
//!
//! A backend adds its store at the end: everything above asks a driver only.

mod records;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

#[cfg(feature = "postgres")]
use super::outbox_tests::postgres;
#[cfg(feature = "sqlite")]
use super::outbox_tests::sqlite;
use super::outbox_tests::{Asked, HOUR, assert_same, lease, memory, one_of, terms};
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::record::Status;
use crate::contract::executions::{self, ClaimRuns, ExecutionRead, ExecutionWrite, Filter, Order, Renewal};
use crate::contract::inbox::{Entry, InboxRead};
use crate::contract::moving::record::{Key, Record};
use crate::contract::moving::{Conflict, Import, Moved, MovingRead, MovingWrite};
use crate::contract::outbox::{ClaimEvents, Decision, Held, OutboxRead, OutboxWrite, Outcome, Settlement};
use crate::contract::payloads::Read;
use crate::contract::states::StateRead;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;
use records::SHORT_MS;

const KINDS: [Moved; 5] = [Moved::Payloads, Moved::States, Moved::Executions, Moved::Outbox, Moved::Inbox];

/// What a backend promises beyond the contract.
#[derive(Clone, Copy)]
pub(super) struct Promises {
    /// Events that are replaced keep their place, and a scan answers events in their order.
    pub(super) order: bool,
    /// Counts are exact.
    pub(super) counts: bool,
}

/// As memory does it.
pub(super) const ALL: Promises = Promises { order: true, counts: true };

pub(super) fn import(kind: Moved, conflict: Conflict, records: Vec<Record>) -> MovingWrite {
    MovingWrite::Import(Box::new(Import::new(kind, conflict, records.into_iter().map(Ok).collect())))
}

fn value(reply: Result<Reply>) -> Dynamic {
    let Ok(Reply::Value(value)) = reply else { panic!("{reply:?}") };
    value
}

fn list(value: &Dynamic) -> Vec<Dynamic> {
    value.clone().into_list().unwrap_or_else(|| panic!("{value:?}"))
}

/// The fates of an import, without the words.
pub(super) fn fates(on: &Asked, write: &MovingWrite) -> Vec<String> {
    let fate = |fate: Dynamic| match fate {
        Dynamic::Text(fate) => fate,
        refused => format!("refused: {:?}", refused.get("code")),
    };
    list(&value(on.ask(write))).into_iter().map(fate).collect()
}

/// All records of a kind, page by page.
pub(super) fn scan(on: &Asked, kind: Moved, limit: u64, max_bytes: u64, only_sizes: bool) -> Vec<Dynamic> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = value(on.ask(&MovingRead::Scan { kind, after, limit, max_bytes, only_sizes }));
        let records = list(page.get("records").unwrap());
        assert!(records.len() as u64 <= limit);
        assert_eq!(page.get("unreadable"), Some(&Dynamic::List(Vec::new())));
        all.extend(records);
        match page.get("cursor") {
            Some(Dynamic::Text(cursor)) => after = Some(cursor.as_str().into()),
            _ => return all,
        }
    }
}

/// A record without what a backend may write in another way: a state is JSON.
fn normal(record: &Dynamic) -> Dynamic {
    let Dynamic::Map(properties) = record else { panic!("{record:?}") };
    let property = |(name, value): &(String, Dynamic)| match value {
        Dynamic::Text(json) if name == "state" => {
            let json: BTreeMap<String, serde_json::Value> = serde_json::from_str(json).unwrap();
            (name.clone(), Dynamic::Text(format!("{json:?}")))
        }
        value => (name.clone(), value.clone()),
    };
    Dynamic::Map(properties.iter().map(property).collect())
}

fn has_ended(record: &Dynamic, now: Millis) -> bool {
    matches!(record.get("expiresAt"), Some(Dynamic::Time(at)) if *at <= now)
}

fn living(mut records: Vec<Dynamic>, in_order: bool, now: Millis) -> Vec<Dynamic> {
    records.retain(|record| !has_ended(record, now));
    let mut records: Vec<Dynamic> = records.iter().map(normal).collect();
    if !in_order {
        records.sort_by_key(|record| format!("{record:?}"));
    }
    records
}

fn assert_same_records(memory: &Asked, tried: &Asked, kind: Moved, promises: Promises, after: &impl std::fmt::Debug) {
    let in_order = kind == Moved::Outbox && promises.order;
    for (limit, max_bytes, only_sizes) in [(1_000, u64::MAX, false), (3, 600, false), (7, 1_000, true), (1, 1, false)] {
        let [expected, found] = [memory, tried].map(|on| scan(on, kind, limit, max_bytes, only_sizes));
        let now = Millis::now();
        let [expected, found] = [expected, found].map(|records| living(records, in_order, now));
        assert_eq!(found, expected, "{kind:?} by {limit} after {after:#?}");
    }
}

fn key_of(record: &Record) -> Key {
    record.key()
}

/// Random imports beside memory.
pub(super) fn imports_are_those_of_memory(open: impl Fn() -> Option<Asked>, rounds: usize, promises: Promises) {
    for _ in 0..rounds {
        let Some(tried) = open() else { return };
        let memory = memory();
        for kind in KINDS {
            let mut steps = Vec::new();
            for round in 0..8 {
                let records = records::some(kind, fastrand::usize(0..40));
                let has_short = records
                    .iter()
                    .any(|record| record.expires_at().is_some_and(|at| at < Millis::now().plus(HOUR / 2)));
                let keys: Vec<Key> =
                    records.iter().map(key_of).chain([Key { name: "A".into(), id: "none".into() }]).collect();
                let conflict = one_of(&[Conflict::Skip, Conflict::Overwrite, Conflict::Refuse, Conflict::Newer]);
                let write = import(kind, conflict, records);
                let (expected, found) = (fates(&memory, &write), fates(&tried, &write));
                steps.push(write);
                assert_eq!(found, expected, "{steps:#?}");
                if has_short && fastrand::bool() {
                    std::thread::sleep(Duration::from_millis(SHORT_MS + 20));
                }
                if round % 2 == 1 {
                    assert_same_records(&memory, &tried, kind, promises, &steps);
                }
                let fetch = MovingRead::Fetch { kind, keys };
                let fetched = [&memory, &tried].map(|on| list(&value(on.ask(&fetch))));
                let now = Millis::now();
                let [expected, found] = fetched.map(|records| {
                    let normal = |record: &Dynamic| {
                        if *record == Dynamic::Null || has_ended(record, now) { Dynamic::Null } else { normal(record) }
                    };
                    records.iter().map(normal).collect::<Vec<_>>()
                });
                assert_eq!(found, expected, "{steps:#?}");
            }
            work_goes_on(&memory, &tried, kind, &steps);
        }
    }
}

/// What is asked and done behind an import has the same answers.
fn work_goes_on(memory: &Asked, tried: &Asked, kind: Moved, steps: &impl std::fmt::Debug) {
    std::thread::sleep(Duration::from_millis(SHORT_MS + 20));
    let records = scan(memory, kind, 1_000, u64::MAX, false);
    let text =
        |record: &Dynamic, name: &str| record.get(name).and_then(Dynamic::as_text).unwrap_or_default().to_owned();
    macro_rules! same {
        ($operation:expr) => {{
            let operation = $operation;
            assert_same(&memory.ask(&operation), &tried.ask(&operation), &(steps, &operation));
        }};
    }
    for record in &records {
        match kind {
            Moved::Payloads => same!(Read::Find { id: text(record, "id").into() }),
            Moved::States => {
                let (name, id): (Box<str>, Box<str>) = (text(record, "sagaName").into(), text(record, "sagaId").into());
                let correlation_id: Box<str> = text(record, "correlationId").into();
                let reads =
                    [StateRead::ById { name: name.clone(), id }, StateRead::ByCorrelation { name, correlation_id }];
                for read in reads {
                    let json = |on: &Asked| match on.ask(&read) {
                        Ok(Reply::State(found)) => found.map(|found| {
                            (serde_json::from_str::<serde_json::Value>(&found.state).unwrap(), found.correlation_id)
                        }),
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(json(tried), json(memory), "{steps:#?}");
                }
            }
            Moved::Executions => {
                let id: Box<str> = text(record, "sagaId").into();
                same!(ExecutionRead::Load { id: id.clone(), for_update: false });
                same!(ExecutionRead::History { id, after: None, limit: 100, max_bytes: 1_000_000, reverse: false });
            }
            Moved::Outbox => same!(OutboxRead::Get { id: text(record, "eventId").into() }),
            Moved::Inbox => {
                let (consumer, message) = (text(record, "consumer"), text(record, "messageId"));
                same!(InboxRead::Has { entry: Entry::new(&consumer, &message).unwrap() });
            }
        }
    }
    match kind {
        Moved::States => {
            for name in [None, Some("A")] {
                let name = name.map(Into::into);
                let ids = |on: &Asked| match on.ask(&StateRead::TimedOut {
                    now: Millis::now(),
                    name: name.clone(),
                    limit: 1_000,
                }) {
                    Ok(Reply::States(found)) => {
                        found.into_iter().map(|found| (found.name, found.id)).collect::<Vec<_>>()
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!(ids(tried), ids(memory), "{steps:#?}");
            }
            for completed in [None, Some(true), Some(false)] {
                same!(StateRead::Count { name: "A".into(), completed });
            }
        }
        Moved::Executions => executions_go_on(memory, tried, &records, steps),
        Moved::Outbox => events_go_on(memory, tried, &records, steps),
        _ => {}
    }
}

fn executions_go_on(memory: &Asked, tried: &Asked, records: &[Dynamic], steps: &impl std::fmt::Debug) {
    macro_rules! same {
        ($operation:expr) => {{
            let operation = $operation;
            assert_same(&memory.ask(&operation), &tried.ask(&operation), &(steps, &operation));
        }};
    }
    let terms = executions::Terms { ttl_ms: None, backoff_ms: 1, max_entries: 1_000, max_bytes: 1_000_000 };
    for filter in [
        Filter::default(),
        Filter { tag: Some("ü".into()), ..Filter::default() },
        Filter { parked: Some(true), ..Filter::default() },
        Filter { status: Some(Status::Failed), name: Some("A".into()), ..Filter::default() },
    ] {
        same!(ExecutionRead::Count { filter: filter.clone() });
        same!(ExecutionRead::List { filter, order: Order::Created, after: None, limit: 1_000 });
    }
    same!(ExecutionRead::Statistics);
    let renewals = records.iter().filter_map(|record| {
        let text = |name: &str| record.get(name).and_then(Dynamic::as_text);
        let token = text("token").filter(|token| !token.is_empty())?;
        Some(Renewal { id: text("sagaId")?.into(), token: token.into(), lease_ms: 2 * HOUR })
    });
    let mut renewals: Vec<Renewal> = renewals.collect();
    renewals.truncate(3);
    same!(ExecutionWrite::Heartbeat { renewals, terms });
    let ids = records.iter().filter_map(|record| record.get("sagaId")?.as_text().map(Into::into));
    same!(ExecutionWrite::Redrive { ids: ids.collect(), reset_attempts: true });
    let claim = ExecutionWrite::Claim(Box::new(ClaimRuns {
        lease: lease("new", HOUR),
        limit: 1_000,
        names: None,
        statuses: vec![Status::Running, Status::Compensating, Status::Pending],
        max_attempts: 3,
        stale_after_ms: 0,
        terms,
    }));
    // Those that are due at the same moment come in any order.
    assert_same(&by_saga(memory.ask(&claim)), &by_saga(tried.ask(&claim)), &(steps, &claim));
    // Some count what has expired, others do not.
    let cleanup = ExecutionWrite::Cleanup { before: Millis::now(), statuses: Status::TERMINAL.to_vec(), limit: 1_000 };
    for on in [memory, tried] {
        on.ask(&cleanup).unwrap();
    }
    same!(ExecutionRead::Statistics);
}

/// A list of executions, in the order of their ids.
fn by_saga(reply: Result<Reply>) -> Result<Reply> {
    let Ok(Reply::Value(Dynamic::List(mut executions))) = reply else { return reply };
    executions.sort_by_key(|execution| format!("{:?}", execution.get("sagaId")));
    Ok(Reply::Value(Dynamic::List(executions)))
}

fn events_go_on(memory: &Asked, tried: &Asked, records: &[Dynamic], steps: &impl std::fmt::Debug) {
    macro_rules! same {
        ($operation:expr) => {{
            let operation = $operation;
            assert_same(&memory.ask(&operation), &tried.ask(&operation), &(steps, &operation));
        }};
    }
    let terms = terms(fastrand::bool(), HOUR, None);
    same!(OutboxRead::Statistics { terms });
    let text =
        |record: &Dynamic, name: &str| record.get(name).and_then(Dynamic::as_text).unwrap_or_default().to_owned();
    let held: Vec<Held> = records
        .iter()
        .filter(|record| text(record, "status") == "claimed")
        .map(|record| Held { id: text(record, "eventId").into(), token: text(record, "token").into() })
        .collect();
    let claim = |token: &str| {
        OutboxWrite::Claim(Box::new(ClaimEvents {
            lease: lease(token, HOUR),
            limit: 1_000,
            types: None,
            routing_keys: None,
            older_than_ms: 0,
            terms,
        }))
    };
    same!(claim("first"));
    for held in held {
        let outcome = one_of(&[
            Outcome::Sent,
            Outcome::Released,
            Outcome::Extended(HOUR),
            Outcome::Failed { error: "no".into(), retry_at: Some(Millis(1)), jitter: 1.0 },
        ]);
        same!(OutboxWrite::Settle(Box::new(Settlement { held: vec![held], outcome, terms })));
    }
    same!(claim("second"));
    let dead: Vec<Box<str>> = records
        .iter()
        .filter(|record| text(record, "status") == "dead_letter")
        .map(|record| text(record, "eventId").into())
        .collect();
    let (some, others) = dead.split_at(dead.len() / 2);
    same!(OutboxWrite::Requeue { ids: some.to_vec() });
    same!(OutboxWrite::Discard { ids: others.to_vec() });
    same!(claim("third"));
    if let Some(record) = records.first() {
        same!(OutboxWrite::Decide { id: text(record, "eventId").into(), decision: Decision::Sent, terms });
    }
    same!(OutboxRead::Statistics { terms });
}

/// Counts, pages, cursors.
pub(super) fn scans_are_right(tried: &Asked, promises: Promises) {
    for kind in KINDS {
        let records = records::different(kind, 230);
        let keys: HashSet<Key> = records.iter().map(key_of).collect();
        assert_eq!(keys.len(), 230);
        for part in records.chunks(100) {
            let stored = fates(tried, &import(kind, Conflict::Refuse, part.to_vec()));
            assert_eq!(stored, vec!["stored"; part.len()], "{kind:?}");
        }
        let count = value(tried.ask(&MovingRead::Count { kind }));
        if promises.counts {
            assert_eq!(count, Dynamic::map([("count", Dynamic::Int(230)), ("approximate", Dynamic::Bool(false))]));
        }
        for (limit, max_bytes) in [(1_000, u64::MAX), (50, u64::MAX), (1, 1), (100, 2_000)] {
            let found = living(scan(tried, kind, limit, max_bytes, false), true, Millis(0));
            let mut expected = living(records.iter().cloned().map(Record::into_dynamic).collect(), true, Millis(0));
            if kind == Moved::Outbox && promises.order {
                assert_eq!(found, expected, "{kind:?}");
                continue;
            }
            let mut found = found;
            for records in [&mut found, &mut expected] {
                records.sort_by_key(|record| format!("{record:?}"));
            }
            assert_eq!(found, expected, "{kind:?}");
        }
        // All of them again.
        let refused = fates(tried, &import(kind, Conflict::Refuse, records[..10].to_vec()));
        assert_eq!(refused, vec!["refused: Some(Text(\"ALREADY_EXISTS\"))"; 10], "{kind:?}");
        assert_eq!(fates(tried, &import(kind, Conflict::Skip, records.clone())), vec!["skipped"; 230], "{kind:?}");
        assert_eq!(fates(tried, &import(kind, Conflict::Newer, records[..9].to_vec())), vec!["skipped"; 9], "{kind:?}");
        assert_eq!(fates(tried, &import(kind, Conflict::Overwrite, records)), vec!["stored"; 230], "{kind:?}");
        for foreign in ["", "?", "[\"else\",\"a\"]", "{}"] {
            let scan =
                MovingRead::Scan { kind, after: Some(foreign.into()), limit: 1, max_bytes: 1, only_sizes: false };
            assert!(tried.ask(&scan).is_err(), "{kind:?} {foreign}");
        }
    }
}

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use super::*;

    #[test]
    fn imports_are_those_of_memory() {
        super::imports_are_those_of_memory(|| Some(sqlite()), 3, ALL);
    }

    #[test]
    fn scans_are_right() {
        super::scans_are_right(&sqlite(), ALL);
    }
}

#[cfg(feature = "postgres")]
mod on_postgres {
    use super::*;

    #[test]
    fn imports_are_those_of_memory() {
        super::imports_are_those_of_memory(postgres, 2, ALL);
    }

    #[test]
    fn scans_are_right() {
        if let Some(tried) = postgres() {
            super::scans_are_right(&tried, ALL);
        }
    }
}
