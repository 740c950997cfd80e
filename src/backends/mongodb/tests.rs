//! What is sent to a real server, against a scripted one: the index, the write concern, the
//! numbers of writes. What servers make of it is in `__test__/backends/mongodb/own.spec.ts`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};

use super::peer::{Peer, Reply, name};
use crate::contract::capability::{Expiry, Transactions};
use crate::contract::driver::Driver;
use crate::contract::payloads::{Read, Write};
use crate::contract::settings::Settings;
use crate::contract::step::Reply as Answer;
use crate::error::{Error, Kind, Result};
use crate::options::OptionReader;
use crate::time::Millis;

pub(super) fn open(url: &str) -> Arc<dyn Driver> {
    open_with(url, 4_000)
}

pub(super) fn open_with(url: &str, timeout_ms: u64) -> Arc<dyn Driver> {
    let options = format!(r#"{{"connectTimeoutMs": 2000, "operationTimeoutMs": {timeout_ms}}}"#);
    let mut options = OptionReader::parse(&options).unwrap();
    let settings = Settings::read(&mut options).unwrap();
    super::open(url, &settings, options).unwrap().driver
}

pub(super) fn put(id: &str, expires_at: Option<Millis>) -> Write {
    Write::Put { id: id.into(), data: Bytes::from_static(b"data"), expires_at }
}

fn done(results: Vec<Result<Answer>>) {
    for result in results {
        assert_eq!(result.unwrap(), Answer::Done);
    }
}

pub(super) fn ok() -> Reply {
    Reply::Say(doc! { "n": 1, "nModified": 0, "ok": 1 })
}

pub(super) fn failed(code: i32, text: &str) -> Reply {
    Reply::Say(doc! { "ok": 0, "code": code, "codeName": "X", "errmsg": text })
}

/// What a server does with options of an index.
#[derive(Clone, Copy, PartialEq)]
enum Ttl {
    /// As MongoDB 5.1 and later.
    Has,
    /// As earlier versions: `collMod` changes TTL indexes only.
    ChangesTtlOnly,
    /// As FerretDB.
    Refuses,
    /// As servers that take the option and forget it.
    Forgets,
    /// The user may do nothing of the kind.
    Denies,
}

/// The indexes of a collection on a server.
fn indexes(ttl: Ttl, at_first: Option<Document>) -> impl Fn(&Document) -> Reply + Send + Sync {
    let exists = at_first.is_some();
    let state = Mutex::new((exists, at_first.into_iter().filter(|index| !index.is_empty()).collect::<Vec<_>>()));
    move |command| {
        let mut state = state.lock().unwrap();
        let (exists, indexes) = &mut *state;
        let is_denied = ttl == Ttl::Denies && name(command) == "createIndexes";
        if is_about_sagas(command) && !is_denied {
            let there = vec![index(doc! { "expireAfterSeconds": 0 })];
            return Reply::Say(doc! { "cursor": { "id": 0_i64, "ns": "sagas.x", "firstBatch": there }, "ok": 1 });
        }
        match name(command) {
            "connectionStatus" => ok(),
            "listIndexes" if !*exists => failed(26, "ns does not exist"),
            "listIndexes" => {
                let batch: Vec<Document> = indexes.clone();
                Reply::Say(doc! { "cursor": { "id": 0_i64, "ns": "sagas.saga_store", "firstBatch": batch }, "ok": 1 })
            }
            _ if ttl == Ttl::Denies => failed(13, "not authorized on sagas to execute command"),
            "createIndexes" => {
                let mut index = command.get_array("indexes").unwrap()[0].as_document().unwrap().clone();
                if ttl == Ttl::Refuses && index.contains_key("expireAfterSeconds") {
                    return failed(238, "Index option \"expireAfterSeconds\" is not implemented yet");
                }
                if ttl == Ttl::Forgets {
                    index.remove("expireAfterSeconds");
                }
                *exists = true;
                if let Some(there) = indexes.first() {
                    return if *there == index { ok() } else { failed(85, "an index exists with other options") };
                }
                indexes.push(index);
                ok()
            }
            "collMod" => {
                let wanted = command.get_document("index").unwrap();
                let Some(index) = indexes.first_mut() else { return failed(27, "index not found") };
                assert_eq!(wanted.get_str("name").unwrap(), index.get_str("name").unwrap());
                if matches!(ttl, Ttl::Refuses | Ttl::Forgets) {
                    return failed(238, "`collMod` command is not implemented yet");
                }
                if ttl == Ttl::ChangesTtlOnly && !index.contains_key("expireAfterSeconds") {
                    return failed(72, "no expireAfterSeconds field to update");
                }
                index.insert("expireAfterSeconds", wanted.get("expireAfterSeconds").unwrap().clone());
                ok()
            }
            "dropIndexes" => {
                indexes.clear();
                ok()
            }
            "buildInfo" => ok(),
            other => panic!("{other}"),
        }
    }
}

/// Whether it is about another collection than that of payloads.
fn is_about_sagas(command: &Document) -> bool {
    let others = ["saga_instances", "saga_executions", "saga_logs", "saga_outbox", "saga_inbox"];
    command.get_str(name(command)).is_ok_and(|collection| others.contains(&collection))
}

fn index(more: Document) -> Document {
    let mut index = doc! { "key": { "expiresAt": 1 }, "name": "expiresAt_1" };
    index.extend(more);
    index
}

/// Initializes; the commands that changed something, the warnings, who removes.
async fn initialized(ttl: Ttl, at_first: Option<Document>) -> (Vec<Document>, Vec<String>, Expiry) {
    let peer = Peer::start(doc! {}, indexes(ttl, at_first)).await;
    let driver = open(&peer.url());
    assert_eq!(driver.capabilities().expiry, Expiry::Server);
    let warnings = driver.initialize().await.unwrap();
    let expiry = driver.capabilities().expiry;
    driver.close().await;
    let changes = peer
        .commands()
        .into_iter()
        .filter(|command| !["listIndexes", "connectionStatus"].contains(&name(command)) && !is_about_sagas(command))
        .collect();
    (changes, warnings, expiry)
}

fn names(changes: &[Document]) -> Vec<&str> {
    changes.iter().map(name).collect()
}

#[tokio::test]
async fn the_ttl_index_is_created() {
    for at_first in [None, Some(doc! {})] {
        let (changes, warnings, expiry) = initialized(Ttl::Has, at_first).await;
        assert_eq!(names(&changes), ["createIndexes"]);
        let expected = doc! { "key": { "expiresAt": 1 }, "name": "expiresAt_1", "expireAfterSeconds": 0 };
        assert_eq!(changes[0].get_array("indexes").unwrap(), &vec![Bson::from(expected)]);
        assert_eq!(changes[0].get_str("createIndexes").unwrap(), "saga_store");
        assert_eq!(changes[0].get_str("$db").unwrap(), "sagas");
        assert_eq!(changes[0].get_document("writeConcern").unwrap(), &doc! { "w": "majority" });
        assert_eq!((warnings, expiry), (Vec::new(), Expiry::Server));
    }
    let there = index(doc! { "expireAfterSeconds": 0_i64, "v": 2 });
    assert!(initialized(Ttl::Has, Some(there)).await.0.is_empty());
}

#[tokio::test]
async fn an_index_with_other_options_is_repaired() {
    for (ttl, at_first, steps) in [
        (Ttl::Has, index(doc! { "expireAfterSeconds": 3_600 }), &["collMod"][..]),
        (Ttl::Has, index(doc! {}), &["collMod"]),
        (Ttl::ChangesTtlOnly, index(doc! { "expireAfterSeconds": 3_600 }), &["collMod"]),
        (Ttl::ChangesTtlOnly, index(doc! {}), &["collMod", "createIndexes", "dropIndexes", "createIndexes"]),
        (
            Ttl::Has,
            index(doc! { "expireAfterSeconds": 0, "partialFilterExpression": { "x": 1 } }),
            &["dropIndexes", "createIndexes"],
        ),
    ] {
        let (changes, warnings, expiry) = initialized(ttl, Some(at_first.clone())).await;
        assert_eq!(names(&changes), steps, "{at_first}");
        if name(&changes[0]) == "collMod" {
            let expected = doc! { "name": "expiresAt_1", "expireAfterSeconds": 0 };
            assert_eq!(changes[0].get_document("index").unwrap(), &expected);
        }
        assert_eq!((warnings, expiry), (Vec::new(), Expiry::Server), "{at_first}");
    }
}

#[tokio::test]
async fn without_ttl_indexes_there_is_an_ordinary_one_and_a_warning() {
    for (ttl, at_first, steps) in [
        (Ttl::Refuses, None, &["createIndexes", "createIndexes"][..]),
        (Ttl::Refuses, Some(index(doc! {})), &["collMod", "createIndexes"]),
        (Ttl::Forgets, None, &["createIndexes", "collMod"]),
        (Ttl::Forgets, Some(index(doc! {})), &["collMod", "createIndexes"]),
    ] {
        let (changes, warnings, expiry) = initialized(ttl, at_first.clone()).await;
        assert_eq!(names(&changes), steps, "{at_first:?}");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("no TTL indexes") && warnings[0].contains("cleanup()"), "{warnings:?}");
        assert_eq!(expiry, Expiry::Cleanup);
    }
}

#[tokio::test]
async fn a_missing_permission_is_a_warning() {
    let (_, warnings, expiry) = initialized(Ttl::Denies, Some(doc! {})).await;
    assert!(warnings[0].contains("not authorized"), "{warnings:?}");
    assert_eq!(expiry, Expiry::Cleanup);
}

#[tokio::test]
async fn a_standalone_server_has_no_transactions() {
    let peer = Peer::start(doc! { "setName": Bson::Null, "hosts": Bson::Null }, {
        let script = indexes(Ttl::Has, None);
        move |command: &Document| if name(command) == "update" { ok() } else { script(command) }
    })
    .await;
    let driver = open(&peer.url());
    let warnings = driver.initialize().await.unwrap();
    assert!(warnings[0].contains("no transactions"), "{warnings:?}");
    let capabilities = driver.capabilities();
    assert_eq!((capabilities.transactions, capabilities.expiry), (Transactions::None, Expiry::Server));
    done(driver.write(&[put("a", None)]).await);
    assert!(!peer.commands().last().unwrap().contains_key("txnNumber"));
    driver.close().await;
}

#[tokio::test]
async fn puts_wait_for_the_majority_and_carry_numbers() {
    let peer = Peer::start(doc! {}, |_| ok()).await;
    let driver = open(&peer.url());
    let at = Millis::now().plus(60_000);
    done(driver.write(&[put("a", Some(at)), put("b", None), put("a", None)]).await);
    done(driver.write(&[put("c", None)]).await);
    let [first, second] = &peer.commands()[..] else { panic!("{:?}", peer.commands()) };
    let updates = first.get_array("updates").unwrap();
    let stored = |place: usize| updates[place].as_document().unwrap().get_document("u").unwrap();
    assert_eq!(updates.len(), 2);
    assert_eq!(stored(0).get_str("_id").unwrap(), "a");
    assert!(!stored(0).contains_key("expiresAt"));
    assert_eq!(first.get_document("writeConcern").unwrap(), &doc! { "w": "majority" });
    assert_eq!(first.get_i64("maxTimeMS").unwrap(), 4_000);
    assert!(!first.get_bool("ordered").unwrap());
    assert_eq!(first.get("lsid"), second.get("lsid"));
    assert_eq!((first.get_i64("txnNumber").unwrap(), second.get_i64("txnNumber").unwrap()), (1, 2));
    driver.close().await;

    let driver = open(&format!("{}orders?w=1&journal=true&retryWrites=false", peer.url()));
    done(driver.write(&[put("a", None)]).await);
    let last = peer.commands().pop().unwrap();
    assert_eq!(last.get_document("writeConcern").unwrap(), &doc! { "w": 1, "j": true });
    assert_eq!(last.get_str("$db").unwrap(), "orders");
    assert!(!last.contains_key("txnNumber"));
    driver.close().await;
}

#[tokio::test]
async fn a_broken_write_is_sent_again_under_its_number() {
    for again in ["hang up", "not primary", "unconfirmed"] {
        let calls = AtomicUsize::new(0);
        let peer = Peer::start(doc! {}, move |_| match (calls.fetch_add(1, Ordering::Relaxed), again) {
            (0, "hang up") => Reply::HangUp,
            (0, "not primary") => failed(10_107, "not primary"),
            (0, _) => Reply::Say(doc! {
                "n": 1,
                "ok": 1,
                "writeConcernError": { "code": 189, "errmsg": "stepped down" },
                "errorLabels": ["RetryableWriteError"],
            }),
            _ => ok(),
        })
        .await;
        let driver = open(&peer.url());
        let deleted = driver.write(&[Write::Delete { id: "a".into() }]).await.pop().unwrap();
        assert_eq!(deleted.unwrap(), Answer::Flag(true), "{again}");
        let [first, second] = &peer.commands()[..] else { panic!("{again}: {:?}", peer.names()) };
        assert_eq!(first.get("lsid"), second.get("lsid"));
        assert_eq!((first.get_i64("txnNumber").unwrap(), second.get_i64("txnNumber").unwrap()), (1, 1));
        driver.close().await;
    }
}

#[tokio::test]
async fn a_write_that_was_given_up_is_fenced_off_first() {
    let calls = AtomicUsize::new(0);
    let peer =
        Peer::start(doc! {}, move |_| if calls.fetch_add(1, Ordering::Relaxed) == 0 { Reply::Never } else { ok() })
            .await;
    let driver = open(&peer.url());
    let lost = [put("a", None), put("b", None)];
    assert!(tokio::time::timeout(Duration::from_millis(700), driver.write(&lost)).await.is_err());
    done(driver.write(&[put("other", None)]).await);
    done(driver.write(&[put("b", None)]).await);
    done(driver.write(&[put("a", None)]).await);
    let commands = peer.commands();
    let [lost, other, fence, ..] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(commands.len(), 5);
    assert_ne!(lost.get("lsid"), other.get("lsid"));
    assert_eq!(lost.get("lsid"), fence.get("lsid"));
    assert_eq!(fence.get_i64("txnNumber").unwrap(), 2);
    let asked: Vec<&Document> = fence
        .get_array("updates")
        .unwrap()
        .iter()
        .map(|update| update.as_document().unwrap().get_document("q").unwrap())
        .collect();
    let nothing = |id: &str| doc! { "_id": { "$eq": id, "$exists": false } };
    assert_eq!(asked, [&nothing("a"), &nothing("b")]);
    driver.close().await;
}

#[tokio::test]
async fn a_write_stays_fenced_off_until_that_has_been_answered() {
    let calls = AtomicUsize::new(0);
    let peer = Peer::start(doc! {}, move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::Never,
        1 => failed(91, "shutting down"),
        _ => ok(),
    })
    .await;
    let driver = open(&peer.url());
    assert!(tokio::time::timeout(Duration::from_millis(700), driver.write(&[put("a", None)])).await.is_err());
    let error = driver.write(&[put("a", None)]).await.pop().unwrap().unwrap_err();
    assert!(error.is_retryable() && error.is_unsent(), "{error:?}");
    done(driver.write(&[put("a", None)]).await);
    let numbers: Vec<i64> = peer.commands().iter().map(|command| command.get_i64("txnNumber").unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    driver.close().await;
}

#[tokio::test]
async fn servers_without_numbers_get_none() {
    let peer = Peer::start(doc! {}, |command| {
        if command.contains_key("txnNumber") { failed(20, "Transaction numbers are only allowed on ...") } else { ok() }
    })
    .await;
    let driver = open(&peer.url());
    let error = driver.write(&[put("a", None)]).await.pop().unwrap().unwrap_err();
    assert!(error.is_retryable() && error.is_unsent(), "{error:?}");
    done(driver.write(&[put("a", None)]).await);
    driver.close().await;
}

#[tokio::test]
async fn each_member_of_a_group_has_its_own_answer() {
    let peer = Peer::start(doc! {}, |_| {
        Reply::Say(doc! { "n": 1, "ok": 1, "writeErrors": [{ "index": 1, "code": 11_000, "errmsg": "E11000" }] })
    })
    .await;
    let driver = open(&peer.url());
    let results = driver.write(&[put("a", None), put("b", None)]).await;
    assert!(results[0].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert!(error.is_retryable() && error.is_unsent() && error.kind() == Kind::Backend, "{error:?}");
    driver.close().await;
}

#[tokio::test]
async fn a_refused_login_is_said_at_once() {
    let peer = Peer::start(doc! {}, |_| failed(18, "Authentication failed.")).await;
    let driver = open(&format!("mongodb://app:hunter2@127.0.0.1:{}/?authSource=admin", peer.port()));
    let began = std::time::Instant::now();
    let error: Error = driver.write(&[put("a", None)]).await.pop().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Connection, false), "{error:?}");
    assert!(error.message().contains("authentication failed"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    driver.close().await;
}

#[tokio::test]
async fn expiries_are_in_the_servers_time_where_the_clocks_differ() {
    const HOUR: u64 = 3_600_000;
    let ahead = DateTime::from_millis(Millis::now().plus(HOUR).0);
    let peer = Peer::start(doc! { "localTime": ahead }, |command| match name(command) {
        "find" => {
            let data = Binary { subtype: BinarySubtype::Generic, bytes: vec![7] };
            let of = |id: &str, at: Millis| doc! { "_id": id, "data": data.clone(), "expiresAt": DateTime::from_millis(at.0) };
            let batch = [of("over", Millis::now().plus(HOUR / 2)), of("there", Millis::now().plus(HOUR * 2))];
            Reply::Say(doc! { "cursor": { "id": 0_i64, "ns": "sagas.saga_store", "firstBatch": batch.to_vec() }, "ok": 1 })
        }
        _ => ok(),
    })
    .await;
    let driver = open(&peer.url());
    let now = Millis::now();
    done(driver.write(&[put("a", Some(now.plus(1_000)))]).await);
    let find = |id: &str| Read::Find { id: id.into() };
    let found: Vec<Answer> =
        driver.read(&[find("over"), find("there")]).await.into_iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(found, [Answer::Data(None), Answer::Data(Some(Bytes::from_static(&[7])))]);
    let [update, _find] = &peer.commands()[..] else { panic!("{:?}", peer.names()) };
    let stored = update.get_array("updates").unwrap()[0].as_document().unwrap().get_document("u").unwrap();
    let stored = stored.get_datetime("expiresAt").unwrap().timestamp_millis() - now.0;
    assert!((3_590_000..3_620_000).contains(&stored), "{stored}");
    driver.close().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_reported_in_time() {
    let driver = open("mongodb://127.0.0.1:1/");
    let began = std::time::Instant::now();
    let error: Error = driver.write(&[put("a", None)]).await.pop().unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Connection, "{error:?}");
    assert!(error.is_retryable() && error.is_unsent(), "{error:?}");
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
    driver.close().await;
}
