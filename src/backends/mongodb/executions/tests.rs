//! What is sent to a real server, against a scripted one; and, against the server of MONGODB_URL, how the log lies in
//! its collections, and what a crash between two commands leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use super::document::{find, load};
use super::log::{self, Asked, Place};
use super::{claims, lists, single, whole};
use crate::backends::mongodb::address::Address;
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::{Carrier, Channel};
use crate::backends::mongodb::collections::{Collections, Names};
use crate::backends::mongodb::document;
use crate::backends::mongodb::own::Own;
use crate::backends::mongodb::peer::{Peer, Reply, name};
use crate::backends::mongodb::shared::Connector;
use crate::backends::mongodb::suspects::Suspects;
use crate::backends::mongodb::tests::{failed, ok, open};
use crate::contract::driver::Driver;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::record::{Action, Entry, Status, StepStatus};
use crate::contract::executions::{
    Attempts, Change, ClaimRuns, Creation, ExecutionWrite, Fence, LeaseChange, NewLease, Renewal, Replacement, Terms,
};
use crate::contract::operation::{Group, RecordKind, Work};
use crate::contract::step::{Reply as Answer, Step};
use crate::error::Kind;
use crate::options::OptionReader;
use crate::time::Millis;

const TERMS: Terms = Terms { ttl_ms: None, backoff_ms: 1_000, max_entries: 10_000, max_bytes: 50 << 20 };

fn entry(step: &str, id: Option<&str>) -> Entry {
    let (action, status, body) = (Action::Act, StepStatus::Started, Some(r#"{"result":1}"#.into()));
    Entry { step: step.into(), action, status, step_id: id.map(Into::into), details: None, body }
}

fn entries(from: usize, count: usize) -> Vec<Entry> {
    (from..from + count).map(|n| entry(&format!("s{n}"), None)).collect()
}

fn creation(id: &str, entries: Vec<Entry>) -> Creation {
    Creation {
        id: id.into(),
        name: "Order".into(),
        status: Status::Running,
        sub_status: None,
        context: Some(r#"{"n":1}"#.into()),
        metadata: None,
        tags: vec!["eu".into()],
        entries,
        due_at: None,
        lease: None,
        operation: crate::contract::lease::random(),
        at: Millis::now(),
        terms: TERMS,
    }
}

fn change(id: &str, entries: Vec<Entry>) -> Change {
    Change {
        id: id.into(),
        expected: None,
        fence: Fence::NeverLeased,
        operation: crate::contract::lease::random(),
        counts: true,
        context: None,
        status: None,
        sub_status: None,
        metadata: None,
        tags: None,
        entries,
        due_at: None,
        last_error: None,
        lease: LeaseChange::Keep,
        attempts: Attempts::Keep,
        at: Millis::now(),
        terms: TERMS,
    }
}

fn claim_of(token: &str, max_attempts: i64) -> ClaimRuns {
    ClaimRuns {
        lease: NewLease { token: token.into(), worker: "w".into(), lease_ms: 60_000 },
        limit: 10,
        names: None,
        statuses: vec![Status::Running],
        max_attempts,
        stale_after_ms: 0,
        terms: TERMS,
    }
}

fn int(answer: &Answer, name: &str) -> i64 {
    let Answer::Value(value) = answer else { panic!("{answer:?}") };
    value.get(name).and_then(Dynamic::as_int).unwrap()
}

/// Collections of its own on the server of MONGODB_URL, that of executions.
async fn own() -> Option<Own> {
    let Ok(url) = std::env::var("MONGODB_URL") else {
        eprintln!("SKIPPED: MONGODB_URL is not set");
        return None;
    };
    let names = format!(r#"{{"namespace": "t{:x}"}}"#, fastrand::u64(..));
    let names = Names::read(&mut OptionReader::parse(&names).unwrap()).unwrap();
    let address = Address::parse(&url, Duration::from_secs(5)).unwrap();
    let collections = Collections {
        names,
        write_concern: document::raw(&address.write_concern).unwrap(),
        read_concern: None,
        max_time: 10_000,
    };
    let shared = Arc::new(Connector::new(address));
    let server = shared.server().await.unwrap();
    let (collections, suspects) = (Arc::new(collections), Arc::new(Suspects::default()));
    Some(Own { collections, suspects, shared, server, kind: RecordKind::Executions })
}

async fn drop_collections(own: &Own) {
    for collection in [own.collection(), own.log_collection()] {
        drop(own.server.run(doc! { "drop": collection }).await);
    }
}

async fn write(own: &Own, write: ExecutionWrite) -> Answer {
    single::write(own, &write).await.unwrap()
}

async fn write_change(own: &Own, change: Change) -> Answer {
    write(own, ExecutionWrite::Change(Box::new(change))).await
}

async fn create(own: &Own, creation: Creation) -> Answer {
    write(own, ExecutionWrite::Create(Box::new(creation))).await
}

async fn save(own: &Own, creation: Creation) -> Answer {
    write(own, ExecutionWrite::Save(Box::new(Replacement { creation, force: false }))).await
}

/// The names of the steps of a page, and whether there are more.
async fn history(own: &Own, id: &str, after: Option<i64>, limit: u64, reverse: bool) -> (Vec<String>, bool) {
    let answer = log::history(own, id, Asked { after, limit, max_bytes: 1 << 20, reverse }).await.unwrap();
    let Answer::Value(page) = answer else { panic!() };
    let Some(Dynamic::List(entries)) = page.get("entries") else { panic!() };
    let step = |entry: &Dynamic| {
        let Dynamic::List(fields) = entry else { panic!() };
        let (seq, step) = (fields[0].as_int().unwrap(), fields[1].as_text().unwrap());
        assert_eq!(step, format!("s{seq}"));
        step.to_owned()
    };
    (entries.iter().map(step).collect(), page.get("more") == Some(&Dynamic::Bool(true)))
}

async fn whole_history(own: &Own, id: &str) -> Vec<String> {
    let (entries, more) = history(own, id, None, 1_000, false).await;
    assert!(!more);
    entries
}

fn steps(from: usize, to: usize) -> Vec<String> {
    (from..=to).map(|n| format!("s{n}")).collect()
}

/// The segments of a saga: the numbers of their first and last entries.
async fn segments(own: &Own, id: &str) -> Vec<(i64, i64)> {
    let filter = |filter: &mut document::Writer| {
        filter.text("sagaId", id);
    };
    let found = find(own, own.log_collection(), &["first", "last"], 1_000, &[("_id", 1)], filter).await.unwrap();
    let int = |document: &Dynamic, name: &str| document.get(name).and_then(Dynamic::as_int).unwrap();
    found.iter().map(|document| (int(document, "first"), int(document, "last"))).collect()
}

#[tokio::test]
async fn a_long_log_moves_into_segments_and_is_read_in_its_order() {
    let Some(own) = own().await else { return };
    create(&own, creation("s", entries(1, 3))).await;
    for from in (4..=400).step_by(7) {
        let answer = write_change(&own, change("s", entries(from, 7))).await;
        assert_eq!(int(&answer, "firstSeq"), i64::try_from(from).unwrap());
    }
    let (stored, tail) = load(&own, "s", &["tail"], None).await.unwrap().unwrap();
    let count = usize::try_from(stored.execution.seq).unwrap();
    assert!(tail.into_list().unwrap().len() <= 128);
    let segments_now = segments(&own, "s").await;
    assert!(segments_now.len() >= 2, "{segments_now:?}");
    assert_eq!(whole_history(&own, "s").await, steps(1, count));
    // Pages that begin and end anywhere.
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let (page, more) = history(&own, "s", after, 60, false).await;
        after = Some(after.unwrap_or(0) + i64::try_from(page.len()).unwrap());
        seen.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!(seen, steps(1, count));
    let (mut back, more) = history(&own, "s", None, 300, true).await;
    back.reverse();
    assert_eq!((back, more), (steps(count - 299, count), true));
    let (mut back, more) = history(&own, "s", Some(5), 300, true).await;
    back.reverse();
    assert_eq!((back, more), (steps(1, 4), false));

    // An entry with an id is found in a segment, and in the tail.
    write_change(&own, change("s", vec![entry(&format!("s{}", count + 1), Some("old"))])).await;
    write_change(&own, change("s", entries(count + 2, 200))).await;
    let again = write_change(&own, change("s", vec![entry("x", Some("old"))])).await;
    assert_eq!(int(&again, "firstSeq"), i64::try_from(count + 1).unwrap());
    assert_eq!(whole_history(&own, "s").await, steps(1, count + 201));

    assert_eq!(write(&own, ExecutionWrite::Delete { id: "s".into() }).await, Answer::Flag(true));
    assert!(segments(&own, "s").await.is_empty());
    drop_collections(&own).await;
}

#[tokio::test]
async fn a_crash_behind_a_segment_is_gone_on_from() {
    let Some(own) = own().await else { return };
    create(&own, creation("s", entries(1, 100))).await;
    let (stored, _) = load(&own, "s", &[], None).await.unwrap().unwrap();
    // As if who stored it had seen forty entries, and died before they left the tail.
    let mut place = Place { spilled: 0, ..stored.place.clone() };
    let (first, more) = (entries(1, 40), entries(1, 200));
    let logged = |entries: &[Entry]| {
        let logged = |(seq, entry): (i64, &Entry)| crate::contract::executions::record::Logged {
            seq,
            entry: entry.clone(),
            at: Millis(5),
        };
        (1..).zip(entries).map(logged).collect::<Vec<_>>()
    };
    assert_eq!(log::store_segment(&own, "s", &place, &logged(&first), None).await.unwrap(), 40);
    assert_eq!(whole_history(&own, "s").await, steps(1, 100));
    // Another one with more entries does not take its place.
    assert_eq!(log::store_segment(&own, "s", &place, &logged(&more), None).await.unwrap(), 40);
    write_change(&own, change("s", entries(101, 50))).await;
    assert_eq!(segments(&own, "s").await, [(1, 40)]);
    assert_eq!(whole_history(&own, "s").await, steps(1, 150));
    write_change(&own, change("s", entries(151, 150))).await;
    assert_eq!(whole_history(&own, "s").await, steps(1, 300));

    // A crash behind the segments of a replacement: it is as it was, and can be replaced, and deleted.
    place = Place::new();
    log::store(&own, "s", &mut place, &entries(1, 300), Millis(5)).await.unwrap();
    assert_eq!(whole_history(&own, "s").await, steps(1, 300));
    save(&own, creation("s", entries(1, 260))).await;
    assert_eq!(whole_history(&own, "s").await, steps(1, 260));
    write_change(&own, change("s", entries(261, 2))).await;
    assert_eq!(whole_history(&own, "s").await, steps(1, 262));
    write(&own, ExecutionWrite::Delete { id: "s".into() }).await;
    assert!(segments(&own, "s").await.is_empty());

    // A crash behind the document of a deletion: the next one removes the log, and a new one has none of it.
    create(&own, creation("s", entries(1, 300))).await;
    own.server
        .run(doc! { "delete": own.collection(), "deletes": [{ "q": { "_id": "s" }, "limit": 1 }] })
        .await
        .unwrap();
    create(&own, creation("s", entries(1, 2))).await;
    assert_eq!(whole_history(&own, "s").await, steps(1, 2));
    write(&own, ExecutionWrite::Delete { id: "s".into() }).await;
    assert_eq!(write(&own, ExecutionWrite::Delete { id: "s".into() }).await, Answer::Flag(false));
    assert!(segments(&own, "s").await.is_empty());
    drop_collections(&own).await;
}

#[tokio::test]
async fn segments_end_with_their_execution() {
    let Some(own) = own().await else { return };
    let terms = Terms { ttl_ms: Some(0), ..TERMS };
    create(&own, creation("s", entries(1, 200))).await;
    create(&own, creation("t", entries(1, 200))).await;
    write_change(&own, Change { status: Some(Status::Failed), terms, ..change("s", vec![entry("s201", None)]) }).await;
    assert!(load(&own, "s", &[], Some(own.now())).await.unwrap().is_none());
    assert_eq!(lists::purge(&own, Millis::now(), 10).await.unwrap(), 1);
    assert!(segments(&own, "s").await.is_empty());
    assert_eq!(whole_history(&own, "t").await, steps(1, 200));

    // Expired, and made again.
    write_change(&own, Change { status: Some(Status::Failed), terms, ..change("t", Vec::new()) }).await;
    create(&own, creation("t", entries(1, 1))).await;
    assert_eq!(whole_history(&own, "t").await, steps(1, 1));
    assert!(segments(&own, "t").await.is_empty());
    drop_collections(&own).await;
}

#[tokio::test]
async fn claims_give_park_and_renew() {
    let Some(own) = own().await else { return };
    for id in ["a", "b"] {
        create(&own, creation(id, Vec::new())).await;
    }
    let parked = claims::claim(&own, &claim_of("none", 0)).await.unwrap();
    assert_eq!(parked, Answer::Value(Dynamic::List(Vec::new())));
    assert_eq!(claims::redrive(&own, &["a".into(), "b".into(), "c".into()], true).await.unwrap(), Answer::Count(2));
    let Answer::Value(Dynamic::List(runs)) = claims::claim(&own, &claim_of("t", 5)).await.unwrap() else { panic!() };
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0].get("token"), Some(&Dynamic::text("t")));
    assert_eq!(runs[0].get("context"), Some(&Dynamic::text(r#"{"n":1}"#)));
    let renewal = |id: &str, token: &str| Renewal { id: id.into(), token: token.into(), lease_ms: 90_000 };
    let renewals = [renewal("a", "t"), renewal("b", "x"), renewal("c", "t")];
    let lost = claims::heartbeat(&own, &renewals, &TERMS).await.unwrap();
    assert_eq!(lost, Answer::ids(["b".into(), "c".into()]));
    let due = load(&own, "a", &[], None).await.unwrap().unwrap().0.execution.due_at.unwrap();
    assert!(due > own.now().plus(80_000) && due < own.now().plus(92_000));
    // The lease lasts: the change is sent blind, whatever the attempts.
    let fence = Fence::Token("t".into());
    let blind = Change { fence, lease: LeaseChange::Renew(60_000), ..change("a", vec![entry("s1", None)]) };
    assert_eq!(int(&write_change(&own, blind.clone()).await, "version"), 2);
    // And where less than half of it is left, it is renewed.
    let long = Change { lease: LeaseChange::Renew(600_000), operation: "long".into(), ..blind };
    assert_eq!(int(&write_change(&own, long).await, "version"), 3);
    let due = load(&own, "a", &[], None).await.unwrap().unwrap().0.execution.due_at.unwrap();
    assert!(due > own.now().plus(590_000));
    drop_collections(&own).await;
}

#[tokio::test]
async fn what_no_document_holds_is_refused_before_it_is_sent() {
    let Some(own) = own().await else { return };
    let context = Some("x".repeat(17 << 20).into());
    let refused = whole::create(&own, &Creation { context: context.clone(), ..creation("s", Vec::new()) }).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::PayloadTooLarge);
    create(&own, creation("s", Vec::new())).await;
    let large = ExecutionWrite::Change(Box::new(Change { context, ..change("s", Vec::new()) }));
    assert_eq!(single::write(&own, &large).await.unwrap_err().kind(), Kind::PayloadTooLarge);
    let stored = load(&own, "s", &[], None).await.unwrap().unwrap().0;
    assert_eq!((stored.execution.version, stored.revision), (1, 1));
    drop_collections(&own).await;
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_corrupt() {
    let Some(own) = own().await else { return };
    create(&own, creation("s", Vec::new())).await;
    let broken = doc! { "q": { "_id": "s" }, "u": { "$set": { "status": "lost" } } };
    own.server.run(doc! { "update": own.collection(), "updates": [broken] }).await.unwrap();
    let error = load(&own, "s", &[], None).await.unwrap_err();
    assert_eq!((error.kind(), error.id()), (Kind::CorruptData, Some("s")));
    drop_collections(&own).await;
}

fn modified(seq: i64) -> Reply {
    let value = doc! { "_id": "s", "version": 3_i64, "seq": seq, "logBytes": 90_i64, "spilled": 0_i64, "log": "l" };
    Reply::Say(doc! { "value": value, "ok": 1 })
}

async fn run(driver: &Arc<dyn Driver>, write: ExecutionWrite) -> Answer {
    driver.run(Group::Executions(Work::Write(&[write]))).await.pop().unwrap().unwrap()
}

async fn changed(driver: &Arc<dyn Driver>, change: &Change) -> Answer {
    run(driver, ExecutionWrite::Change(Box::new(change.clone()))).await
}

#[tokio::test]
async fn a_change_is_one_command() {
    let peer = Peer::start(doc! {}, |_| modified(5)).await;
    let driver = open(&peer.url());
    let mut checkpoint = change("s", vec![entry("a", Some("1")), entry("b", None)]);
    checkpoint.expected = Some(2);
    checkpoint.fence = Fence::Token("t".into());
    checkpoint.lease = LeaseChange::Renew(30_000);
    checkpoint.context = Some("{}".into());
    let answer = changed(&driver, &checkpoint).await;
    let numbers = ["version", "firstSeq", "entries", "bytes"].map(|name| int(&answer, name));
    assert_eq!(numbers, [3, 4, 5, 90]);
    let [command] = &peer.commands()[..] else { panic!("{:?}", peer.names()) };
    assert_eq!(command.get_str("findAndModify").unwrap(), "saga_executions");
    let query = command.get_document("query").unwrap();
    assert_eq!((query.get_str("_id").unwrap(), query.get_str("token").unwrap()), ("s", "t"));
    assert_eq!(query.get_i64("version").unwrap(), 2);
    assert_eq!(query.get_document("lastOperation.id").unwrap(), &doc! { "$ne": &*checkpoint.operation });
    assert_eq!(query.get_document("tail.key").unwrap(), &doc! { "$nin": ["act:started:1"] });
    assert_eq!(query.get_i64("spilled").unwrap(), 0);
    assert_eq!(query.get_document("seq").unwrap(), &doc! { "$lte": 9_998_i64 });
    let update = command.get_document("update").unwrap();
    assert_eq!(update.get_document("$inc").unwrap().get_i64("seq").unwrap(), 2);
    let pushed = update.get_document("$push").unwrap().get_document("tail").unwrap().get_array("$each").unwrap();
    assert_eq!(pushed.len(), 2);
    assert!(command.get_document("fields").is_ok() && command.get_bool("new").unwrap());
    assert_eq!(command.get_document("writeConcern").unwrap(), &doc! { "w": "majority" });
    driver.close().await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_number() {
    let calls = AtomicUsize::new(0);
    let peer =
        Peer::start(
            doc! {},
            move |_| if calls.fetch_add(1, Ordering::Relaxed) == 0 { Reply::HangUp } else { modified(1) },
        )
        .await;
    let driver = open(&peer.url());
    assert_eq!(int(&changed(&driver, &change("s", entries(1, 1))).await, "firstSeq"), 1);
    let [first, second] = &peer.commands()[..] else { panic!("{:?}", peer.names()) };
    assert_eq!((first.get("lsid"), first.get("txnNumber")), (second.get("lsid"), second.get("txnNumber")));
    driver.close().await;
}

/// A document with a tail of so many entries.
fn document_of(count: i64) -> Document {
    let now = mongodb::bson::DateTime::from_millis(1_000);
    let entry = |n| doc! { "step": format!("s{n}"), "action": "act", "status": "started", "at": now };
    let tail: Vec<Document> = (1..=count).map(entry).collect();
    doc! {
        "_id": "s", "name": "Order", "status": "running", "version": 3_i64, "seq": count, "logBytes": 90_i64,
        "attempts": 0_i64, "createdAt": now, "updatedAt": now, "log": "l", "spilled": 0_i64, "revision": 7_i64,
        "tail": tail,
    }
}

fn found(documents: Vec<Document>) -> Reply {
    Reply::Say(doc! { "cursor": { "id": 0_i64, "ns": "sagas.x", "firstBatch": documents }, "ok": 1 })
}

#[tokio::test]
async fn a_tail_is_shortened_behind_the_change_which_has_happened_in_any_case() {
    for breaks in ["nowhere", "before the segment", "before the tail"] {
        let peer = Peer::start(doc! {}, move |command| {
            let is_segment = command.get_str("update").is_ok_and(|collection| collection == "saga_logs");
            match name(command) {
                "findAndModify" => modified(130),
                "find" => found(vec![document_of(130)]),
                _ if is_segment && breaks == "before the segment" => failed(14_031, "disk is full"),
                _ if is_segment => Reply::Say(doc! { "n": 1, "upserted": [{ "index": 0, "_id": "l:1" }], "ok": 1 }),
                _ if breaks == "before the tail" => failed(14_031, "disk is full"),
                _ => ok(),
            }
        })
        .await;
        let driver = open(&peer.url());
        let answer = changed(&driver, &change("s", entries(130, 1))).await;
        assert_eq!((int(&answer, "version"), int(&answer, "firstSeq")), (3, 130), "{breaks}");
        let commands = peer.commands();
        let names: Vec<&str> = commands.iter().map(name).collect();
        let expected = ["findAndModify", "find", "update", "update"];
        assert_eq!(names, &expected[..if breaks == "before the segment" { 3 } else { 4 }], "{breaks}");
        let statement = |at: usize| commands[at].get_array("updates").unwrap()[0].as_document().unwrap().clone();
        let segment = statement(2);
        assert_eq!(segment.get_document("q").unwrap(), &doc! { "_id": "l:000000000001" });
        let stored = segment.get_document("u").unwrap().get_document("$setOnInsert").unwrap();
        assert_eq!((stored.get_i64("first").unwrap(), stored.get_i64("last").unwrap()), (1, 128));
        if breaks != "before the segment" {
            let trim = statement(3);
            assert_eq!(trim.get_document("q").unwrap(), &doc! { "_id": "s", "revision": 7_i64, "log": "l" });
            let set = trim.get_document("u").unwrap().get_document("$set").unwrap();
            assert_eq!((set.get_array("tail").unwrap().len(), set.get_i64("spilled").unwrap()), (2, 128));
        }
        driver.close().await;
    }
}

#[tokio::test]
async fn a_claim_finds_gives_and_finds_what_it_has_given() {
    let due = mongodb::bson::DateTime::from_millis(1_000);
    let peer = Peer::start(doc! {}, move |command| match name(command) {
        "find" => {
            let mut document = document_of(0);
            document.insert("dueAt", due);
            let is_asked_by_token = command.get_document("filter").unwrap().contains_key("token");
            document.insert("token", if is_asked_by_token { "t" } else { "" });
            let mut other = document.clone();
            other.insert("_id", "other");
            // Somebody else was quicker with the other one.
            found(if is_asked_by_token { vec![document] } else { vec![document, other] })
        }
        _ => ok(),
    })
    .await;
    let driver = open(&peer.url());
    let claim = ExecutionWrite::Claim(Box::new(ClaimRuns { limit: 3, ..claim_of("t", 5) }));
    let answer = run(&driver, claim).await;
    let Answer::Value(Dynamic::List(runs)) = answer else { panic!() };
    assert_eq!(runs.iter().map(|run| run.get("sagaId").unwrap().clone()).collect::<Vec<_>>(), [Dynamic::text("s")]);
    let commands = peer.commands();
    // (The last look finds one of two, and asks for the other once more.)
    assert_eq!(&peer.names()[..3], ["find", "update", "find"]);
    let statements = commands[1].get_array("updates").unwrap();
    let asked = statements[0].as_document().unwrap().get_document("q").unwrap();
    assert_eq!((statements.len(), asked), (2, &doc! { "_id": "s", "revision": 7_i64, "log": "l" }));
    assert_eq!(commands[0].get_document("sort").unwrap(), &doc! { "dueAt": 1, "_id": 1 });
    assert!(!matches!(commands[1].get("ordered"), Some(Bson::Boolean(true)) | None));
    driver.close().await;
}

#[tokio::test]
async fn a_transaction_carries_changes_and_goes_on_after_what_was_refused() {
    let peer = Peer::start(doc! {}, |command| match name(command) {
        // The condition is not met: it is read, and judged.
        "findAndModify" if command.get_document("query").unwrap().contains_key("version") => {
            Reply::Say(doc! { "value": Bson::Null, "ok": 1 })
        }
        "findAndModify" => modified(1),
        "find" => found(vec![document_of(0)]),
        _ => ok(),
    })
    .await;
    let driver = open(&peer.url());
    let mut transaction = driver.begin(None).await.unwrap();
    let step = |change: Change| Step::Execution(Work::Write(ExecutionWrite::Change(Box::new(change))));
    let late = step(Change { expected: Some(9), ..change("s", entries(1, 1)) });
    assert_eq!(transaction.run(&late).await.unwrap_err().kind(), Kind::ConcurrencyConflict);
    let fenced = step(Change { expected: Some(3), fence: Fence::Token("t".into()), ..change("s", Vec::new()) });
    assert_eq!(transaction.run(&fenced).await.unwrap_err().kind(), Kind::LeaseLost);
    assert_eq!(int(&transaction.run(&step(change("s", entries(1, 1)))).await.unwrap(), "version"), 3);
    transaction.commit().await.unwrap();
    let commands = peer.commands();
    let names: Vec<&str> = commands.iter().map(name).collect();
    let refused = ["findAndModify", "find"];
    assert_eq!(names, [&refused[..], &refused, &["findAndModify", "commitTransaction"]].concat());
    assert!(commands.iter().all(|command| command.get("txnNumber") == commands[0].get("txnNumber")));
    assert!(commands.iter().all(|command| !command.get_bool("autocommit").unwrap()));
    driver.close().await;
}
