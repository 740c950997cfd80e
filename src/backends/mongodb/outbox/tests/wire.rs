//! Which commands are sent, and what FerretDB makes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use mongodb::bson::{Bson, doc};

use super::{claiming, failing, given, ids, inserting, insertion, lease_of, read, settling, write};
use crate::backends::mongodb::peer::{Reply as Answer, name};
use crate::backends::mongodb::played::Played;
use crate::backends::mongodb::tests::open;
use crate::contract::driver::Driver;
use crate::contract::dynamic::Dynamic;
use crate::contract::inbox::{Entry, InboxRead, InboxWrite};
use crate::contract::operation::{Group, Work};
use crate::contract::outbox::record::{Content, EventStatus};
use crate::contract::outbox::{Decision, Insertion, OutboxRead, OutboxWrite, Outcome};
use crate::contract::settings::Settings;
use crate::contract::step::{Reply, Step};
use crate::error::{Kind, Result};
use crate::options::OptionReader;

fn insert(insertion: Insertion) -> OutboxWrite {
    OutboxWrite::Insert(Box::new(insertion))
}

#[tokio::test]
async fn one_event_is_one_command_also_where_its_answer_is_lost() {
    let lost = Arc::new(AtomicUsize::new(0));
    let played = Played::default();
    let calls = Arc::clone(&lost);
    let script = move |_: &_| (calls.fetch_add(1, Ordering::Relaxed) == 0).then_some(Answer::HangUp);
    let peer = played.start(doc! {}, script).await;
    let driver = open(&peer.url());
    let one = insertion(vec![given("a", Some("k"))]);
    assert_eq!(ids(write(&driver, &insert(one.clone())).await), Vec::<String>::new());
    let [first, second] = &peer.commands()[..] else { panic!("{:?}", peer.names()) };
    assert_eq!((first.get("lsid"), first.get("txnNumber")), (second.get("lsid"), second.get("txnNumber")));
    assert_eq!(first.get_str("insert").ok(), Some("saga_outbox"));
    let stored = first.get_array("documents").unwrap()[0].as_document().unwrap();
    assert_eq!((stored.get_str("_id").ok(), stored.get_str("status").ok()), (Some("a"), Some("pending")));
    assert_eq!(stored.get_datetime("dueAt").unwrap().timestamp_millis(), 0);
    // The same insertion again has happened already; another one of the same id is refused.
    assert_eq!(ids(write(&driver, &insert(one)).await), Vec::<String>::new());
    let error = write(&driver, &inserting(&[("a", None)])).await.unwrap_err();
    assert_eq!((error.kind(), error.id()), (Kind::AlreadyExists, Some("a")));
    let ignoring = Insertion { ignores_duplicates: true, ..insertion(vec![given("a", None), given("b", None)]) };
    write(&driver, &insert(ignoring)).await.unwrap();
    assert_eq!(played.documents("saga_outbox").len(), 2);
    driver.close().await;
}

#[tokio::test]
async fn several_events_are_a_transaction_or_nothing() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("a", None), ("b", None)])).await.unwrap();
    let [inserted, committed] = &peer.commands()[..] else { panic!("{:?}", peer.names()) };
    assert_eq!((name(inserted), name(committed)), ("insert", "commitTransaction"));
    assert_eq!(
        (inserted.get_bool("startTransaction").ok(), inserted.get_bool("autocommit").ok()),
        (Some(true), Some(false))
    );
    assert!(inserted.get("writeConcern").is_none() && committed.get("writeConcern").is_some());
    let error = write(&driver, &inserting(&[("c", None), ("b", None), ("a", None)])).await.unwrap_err();
    assert_eq!((error.kind(), error.id()), (Kind::AlreadyExists, Some("b")));
    assert_eq!(peer.names()[2..], ["insert", "abortTransaction", "find"]);
    assert_eq!(played.documents("saga_outbox").len(), 2);

    // More than a command holds.
    let large = |id: &str| {
        let payload = Content::Bytes(Bytes::from(vec![7; 7 << 20]));
        crate::contract::outbox::record::Event { payload, ..given(id, None) }
    };
    write(&driver, &insert(insertion(vec![large("x"), large("y")]))).await.unwrap();
    assert_eq!(peer.names()[5..], ["insert", "insert", "commitTransaction"]);
    driver.close().await;
}

#[tokio::test]
async fn events_of_a_group_are_one_command_of_which_each_stands_for_itself() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("b", None)])).await.unwrap();
    let group = [inserting(&[("a", None)]), inserting(&[("b", None)]), inserting(&[("c", None)]), claiming("t", 0)];
    let mut results = driver.run(Group::Outbox(Work::Write(&group))).await;
    assert_eq!(ids(results.pop().unwrap()), Vec::<String>::new());
    let kinds: Vec<Option<Kind>> =
        results.iter().map(|result| result.as_ref().err().map(crate::error::Error::kind)).collect();
    assert_eq!(kinds, [None, Some(Kind::AlreadyExists), None]);
    let together = &peer.commands()[1];
    assert_eq!((together.get_array("documents").unwrap().len(), together.get_bool("ordered").ok()), (3, Some(false)));
    let numbers: Vec<i64> = played.documents("saga_outbox").iter().map(|event| event.get_i64("seq").unwrap()).collect();
    assert!(numbers[1] < numbers[0] && numbers[0] < numbers[2]);
    driver.close().await;
}

#[tokio::test]
async fn a_claim_is_three_commands_and_an_ack_two() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("a", None), ("b", None)])).await.unwrap();
    assert_eq!(ids(write(&driver, &claiming("t", 5)).await), ["a", "b"]);
    assert_eq!(ids(write(&driver, &settling(&["a", "b"], "t", Outcome::Sent)).await), Vec::<String>::new());
    assert_eq!(peer.names()[2..], ["find", "update", "find", "find", "delete"]);
    let [_, _, candidates, given, ..] = &peer.commands()[..] else { panic!() };
    assert_eq!(candidates.get_document("sort").unwrap(), &doc! { "dueAt": 1, "seq": 1 });
    assert!(!candidates.get_document("filter").unwrap().contains_key("$or"));
    assert!(!candidates.get_document("projection").unwrap().contains_key("payload"));
    let statement = given.get_array("updates").unwrap()[0].as_document().unwrap();
    let condition = statement.get_document("q").unwrap();
    assert_eq!(condition.get_document("status").unwrap(), &doc! { "$in": ["pending", "claimed"] });
    assert!(condition.contains_key("dueAt") && condition.contains_key("deliveries"));
    assert_eq!(statement.get_bool("multi").ok(), Some(true));
    // Servers number no command of that kind.
    assert!(given.get("txnNumber").is_none());
    assert_eq!(given.get_document("writeConcern").unwrap(), &doc! { "w": "majority" });
    assert!(played.documents("saga_outbox").is_empty());
    driver.close().await;
}

#[tokio::test]
async fn what_is_born_claimed_is_the_next_of_its_key() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("old", Some("busy"))])).await.unwrap();
    let events = [("a", None), ("b", Some("busy")), ("c", Some("k")), ("d", Some("k"))];
    let events = events.map(|(id, key)| given(id, key)).to_vec();
    let leased = Insertion { lease: Some(lease_of("t")), ..insertion(events) };
    assert_eq!(ids(write(&driver, &insert(leased)).await), ["a", "c", "d"]);
    assert_eq!(ids(write(&driver, &claiming("u", 9)).await), ["old", "b"]);
    assert_eq!(ids(write(&driver, &settling(&["a", "c", "d"], "t", Outcome::Sent)).await), Vec::<String>::new());
    driver.close().await;
}

#[tokio::test]
async fn a_transaction_carries_all_of_it_and_goes_on_after_what_was_refused() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("a", Some("k"))])).await.unwrap();
    let mut transaction = driver.begin(None).await.unwrap();
    let step = |write: OutboxWrite| Step::Outbox(Work::Write(write));
    let taken = transaction.run(&step(inserting(&[("b", None), ("a", None)]))).await.unwrap_err();
    assert_eq!((taken.kind(), taken.id()), (Kind::AlreadyExists, Some("a")));
    transaction.run(&step(inserting(&[("b", Some("k")), ("c", None)]))).await.unwrap();
    assert_eq!(ids(transaction.run(&step(claiming("t", 9))).await), ["a", "b", "c"]);
    assert_eq!(ids(transaction.run(&step(failing(&["a"], "t"))).await), Vec::<String>::new());
    assert_eq!(ids(transaction.run(&step(settling(&["b", "c"], "t", Outcome::Sent))).await), ["b"]);
    let accept = Step::Inbox(Work::Write(accept("c1", "m")));
    assert_eq!(transaction.run(&accept).await.unwrap(), Reply::Flag(true));
    transaction.commit().await.unwrap();
    let commands = &peer.commands()[1..];
    assert!(commands.iter().all(|command| command.get("txnNumber") == commands[0].get("txnNumber")));
    assert!(commands.iter().all(|command| command.get_bool("autocommit").ok() == Some(false)));
    assert_eq!(commands.last().map(name), Some("commitTransaction"));
    driver.close().await;
}

fn entry(consumer: &str, message: &str) -> Entry {
    let key = format!("{consumer}\0{message}").into();
    Entry { consumer: consumer.into(), message: message.into(), key }
}

fn accept(consumer: &str, message: &str) -> InboxWrite {
    InboxWrite::Accept { entry: entry(consumer, message), ttl_ms: 60_000, operation: crate::contract::lease::random() }
}

async fn inbox(driver: &Arc<dyn Driver>, write: &InboxWrite) -> Result<Reply> {
    driver.run(Group::Inbox(Work::Write(std::slice::from_ref(write)))).await.pop().unwrap()
}

async fn has(driver: &Arc<dyn Driver>, consumer: &str, message: &str) -> Result<Reply> {
    let read = InboxRead::Has { entry: entry(consumer, message) };
    driver.run(Group::Inbox(Work::Read(std::slice::from_ref(&read)))).await.pop().unwrap()
}

/// The rules of the inbox.
async fn accepts_once(driver: &Arc<dyn Driver>) {
    let (first, second) = (accept("c", "m"), accept("c", "m"));
    assert_eq!(inbox(driver, &first).await.unwrap(), Reply::Flag(true));
    assert_eq!(inbox(driver, &first).await.unwrap(), Reply::Flag(true));
    assert_eq!(inbox(driver, &second).await.unwrap(), Reply::Flag(false));
    // Neither another consumer's, nor one whose names only look the same.
    for (consumer, message) in [("d", "m"), ("c:m", "x"), ("c", "m:x"), ("c:", "m:x")] {
        assert_eq!(inbox(driver, &accept(consumer, message)).await.unwrap(), Reply::Flag(true));
    }
    assert_eq!(has(driver, "c", "m").await.unwrap(), Reply::Flag(true));
    assert_eq!(has(driver, "d", "x").await.unwrap(), Reply::Flag(false));
    let forget = InboxWrite::Forget { entry: entry("c", "m") };
    assert_eq!(inbox(driver, &forget).await.unwrap(), Reply::Flag(true));
    assert_eq!(inbox(driver, &forget).await.unwrap(), Reply::Flag(false));
    // One whose time is over is new, and not forgotten.
    let InboxWrite::Accept { entry: of, operation, .. } = second else { panic!() };
    let over = InboxWrite::Accept { entry: of, ttl_ms: 0, operation };
    for _ in 0..2 {
        assert_eq!(inbox(driver, &over).await.unwrap(), Reply::Flag(true));
        assert_eq!(has(driver, "c", "m").await.unwrap(), Reply::Flag(false));
    }
    assert_eq!(inbox(driver, &forget).await.unwrap(), Reply::Flag(false));
    assert_eq!(inbox(driver, &InboxWrite::Cleanup { limit: 10 }).await.unwrap(), Reply::Count(1));
    let at_once: Vec<InboxWrite> = (0..20).map(|_| accept("c", "once")).collect();
    let mut accepted = 0;
    for result in futures_util::future::join_all(at_once.iter().map(|write| inbox(driver, write))).await {
        accepted += usize::from(result.unwrap() == Reply::Flag(true));
    }
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn a_message_is_accepted_once() {
    let peer = Played::default().start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    accepts_once(&driver).await;
    driver.close().await;
}

/// A store with collections of its own on the server of MONGODB_URL.
fn real() -> Option<Arc<dyn Driver>> {
    let Ok(url) = std::env::var("MONGODB_URL") else {
        eprintln!("SKIPPED: MONGODB_URL is not set");
        return None;
    };
    let options = format!(
        r#"{{"connectTimeoutMs": 5000, "operationTimeoutMs": 10000, "namespace": "t{:x}"}}"#,
        fastrand::u64(..)
    );
    let mut options = OptionReader::parse(&options).unwrap();
    let settings = Settings::read(&mut options).unwrap();
    Some(crate::backends::mongodb::open(&url, &settings, options).unwrap().driver)
}

#[tokio::test]
async fn a_real_server_accepts_a_message_once() {
    let Some(driver) = real() else { return };
    driver.initialize().await.unwrap();
    accepts_once(&driver).await;
    driver.close().await;
}

#[tokio::test]
async fn a_real_server_keeps_events() {
    let Some(driver) = real() else { return };
    driver.initialize().await.unwrap();
    let mut event = given("a", Some("k"));
    event.payload = Content::Bytes(Bytes::from_static(b"\0\xff"));
    (event.saga_id, event.headers) = (Some("s".into()), Some("{}".into()));
    write(&driver, &insert(insertion(vec![event]))).await.unwrap();
    write(&driver, &inserting(&[("b", None), ("c", Some("k"))])).await.unwrap();
    let taken = write(&driver, &inserting(&[("d", None), ("c", None)])).await.unwrap_err();
    assert_eq!((taken.kind(), taken.id()), (Kind::AlreadyExists, Some("c")));
    let list = |after, limit| OutboxRead::List { saga_id: None, status: None, after, limit };
    let Ok(Reply::Value(page)) = read(&driver, &list(None, 2)).await else { panic!() };
    assert_eq!(ids(Ok(Reply::Value(page.get("events").cloned().unwrap()))), ["a", "b"]);
    let cursor = page.get("cursor").and_then(Dynamic::as_text).unwrap();
    let Ok(Reply::Value(page)) = read(&driver, &list(Some(cursor.into()), 2)).await else { panic!() };
    assert_eq!(ids(Ok(Reply::Value(page.get("events").cloned().unwrap()))), ["c"]);
    assert_eq!(page.get("cursor"), Some(&Dynamic::Null));
    let foreign = read(&driver, &list(Some("x".into()), 2)).await.unwrap_err();
    assert_eq!(foreign.kind(), Kind::InvalidArgument);
    let Ok(Reply::Value(Dynamic::List(fields))) = read(&driver, &OutboxRead::Get { id: "a".into() }).await else {
        panic!()
    };
    assert_eq!(fields[2], Dynamic::Bytes(Bytes::from_static(b"\0\xff")));
    assert_eq!(
        (fields[3].as_text(), fields[8].as_text(), fields[11].as_text()),
        (Some("s"), Some("k"), Some("pending"))
    );

    let dead = OutboxWrite::Decide { id: "a".into(), decision: Decision::Dead { error: None }, terms: super::terms() };
    write(&driver, &dead).await.unwrap();
    let blocked = OutboxRead::BlockedKeys { limit: 5, terms: super::terms() };
    assert_eq!(ids(read(&driver, &blocked).await), ["k"]);
    let dead = OutboxRead::Count { status: EventStatus::DeadLetter };
    assert_eq!(read(&driver, &dead).await.unwrap(), Reply::Count(1));
    let Ok(Reply::Value(counts)) = read(&driver, &OutboxRead::Statistics { terms: super::terms() }).await else {
        panic!()
    };
    let count = |name: &str| counts.get(name).and_then(Dynamic::as_int);
    assert_eq!([count("ready"), count("dead"), count("blockedKeys"), count("sent")], [2, 1, 1, 0].map(Some));
    let some: Vec<Box<str>> = ["a", "b", "x"].map(Box::from).to_vec();
    assert_eq!(write(&driver, &OutboxWrite::Requeue { ids: some.clone() }).await.unwrap(), Reply::Count(1));
    assert_eq!(write(&driver, &OutboxWrite::Discard { ids: some }).await.unwrap(), Reply::Count(0));

    match write(&driver, &claiming("t", 9)).await {
        Err(error) => {
            // FerretDB 1.
            assert_eq!(error.kind(), Kind::Unsupported);
            for refused in [failing(&["a"], "t"), settling(&["a"], "t", Outcome::Sent)] {
                assert_eq!(write(&driver, &refused).await.unwrap_err().kind(), Kind::Unsupported);
            }
            let leased = Insertion { lease: Some(lease_of("t")), ..insertion(vec![given("x", None)]) };
            assert_eq!(write(&driver, &insert(leased)).await.unwrap_err().kind(), Kind::Unsupported);
        }
        claimed => {
            assert_eq!(ids(claimed), ["a", "b", "c"]);
            assert_eq!(
                ids(write(&driver, &settling(&["a", "b", "c"], "t", Outcome::Sent)).await),
                Vec::<String>::new()
            );
        }
    }
    driver.close().await;
}

#[tokio::test]
async fn the_indexes_are_made() {
    let peer = Played::default()
        .start(doc! {}, |command| {
            let expiry = doc! { "key": { "expiresAt": 1 }, "name": "expiresAt_1", "expireAfterSeconds": 0 };
            let there = doc! { "cursor": { "id": 0_i64, "ns": "x", "firstBatch": [expiry] }, "ok": 1 };
            (name(command) == "listIndexes").then_some(Answer::Say(there))
        })
        .await;
    let driver = open(&peer.url());
    driver.initialize().await.unwrap();
    let commands = peer.commands();
    let of = |collection: &str| {
        let made = commands.iter().filter(|command| command.get_str("createIndexes").ok() == Some(collection));
        made.map(|command| command.get_array("indexes").unwrap()[0].clone()).collect::<Vec<Bson>>()
    };
    let names: Vec<Bson> =
        of("saga_outbox").iter().map(|index| index.as_document().unwrap().get("name").unwrap().clone()).collect();
    assert_eq!(names, ["queue", "keys", "sagas", "order", "sent"].map(Bson::from));
    assert!(commands.iter().any(|command| command.get_str("listIndexes").ok() == Some("saga_inbox")));
    driver.close().await;
}
