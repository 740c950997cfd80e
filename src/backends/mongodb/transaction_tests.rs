//! What a transaction sends to a server, and what comes of the server's answers, against a scripted one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

use super::peer::{Peer, Reply, name};
use super::tests::{failed, ok, open, open_with, put};
use crate::contract::driver::Driver;
use crate::contract::operation::Work;
use crate::contract::payloads::{Read, Write};
use crate::contract::step::{Reply as Answer, Step};
use crate::contract::transaction::Transaction;
use crate::error::{Error, Kind};

async fn begin(driver: &Arc<dyn Driver>) -> Box<dyn Transaction> {
    driver.begin(None).await.unwrap()
}

fn write(id: &str) -> Step {
    Step::Payload(Work::Write(put(id, None)))
}

fn labelled(code: i32, labels: &[&str]) -> Reply {
    Reply::Say(doc! { "ok": 0, "code": code, "codeName": "X", "errmsg": "scripted", "errorLabels": labels })
}

/// Waits until the peer has been sent a command of this name.
async fn is_sent(peer: &Peer, wanted: &str) {
    let until = Instant::now() + Duration::from_secs(5);
    while !peer.names().iter().any(|name| name == wanted) {
        assert!(Instant::now() < until, "no {wanted}: {:?}", peer.names());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn number(command: &Document) -> i64 {
    command.get_i64("txnNumber").unwrap()
}

#[tokio::test]
async fn all_commands_belong_to_one_transaction() {
    for hello in [doc! {}, doc! { "msg": "isdbgrid", "setName": Bson::Null, "hosts": Bson::Null }] {
        let peer = Peer::start(hello.clone(), |command| match name(command) {
            "find" => {
                let data = Binary { subtype: BinarySubtype::Generic, bytes: vec![7] };
                let batch = [doc! { "_id": "a", "data": data }];
                Reply::Say(
                    doc! { "cursor": { "id": 0_i64, "ns": "sagas.saga_store", "firstBatch": batch.to_vec() }, "ok": 1 },
                )
            }
            _ => ok(),
        })
        .await;
        let driver = open(&peer.url());
        for round in 1..=2 {
            let mut transaction = begin(&driver).await;
            assert_eq!(transaction.run(&write("a")).await.unwrap(), Answer::Done);
            let find = Step::Payload(Work::Read(Read::Find { id: "a".into() }));
            assert_eq!(transaction.run(&find).await.unwrap(), Answer::Data(Some(Bytes::from_static(&[7]))));
            assert_eq!(
                transaction.run(&Step::Payload(Work::Read(Read::Has { id: "a".into() }))).await.unwrap(),
                Answer::Flag(true)
            );
            let delete = Step::Payload(Work::Write(Write::Delete { id: "a".into() }));
            assert_eq!(transaction.run(&delete).await.unwrap(), Answer::Flag(true));
            transaction.commit().await.unwrap();
            let commands = peer.commands().split_off(5 * (round - 1));
            let names: Vec<&str> = commands.iter().map(name).collect();
            assert_eq!(names, ["update", "find", "find", "delete", "commitTransaction"], "{hello}");
            for (place, command) in commands.iter().enumerate() {
                assert_eq!(command.get("lsid"), commands[0].get("lsid"));
                assert_eq!(number(command), number(&commands[0]));
                assert!(!command.get_bool("autocommit").unwrap());
                assert_eq!(command.get_bool("startTransaction").unwrap_or(false), place == 0);
                assert_eq!(command.contains_key("readConcern"), place == 0);
                assert_eq!(command.contains_key("writeConcern"), place == 4);
                assert!(command.contains_key("maxTimeMS"), "{command}");
            }
            assert_eq!(commands[0].get_str("$db").unwrap(), "sagas");
            assert_eq!(commands[0].get_document("readConcern").unwrap().get_str("level").unwrap(), "local");
            assert_eq!(commands[4].get_str("$db").unwrap(), "admin");
            assert_eq!(commands[4].get_document("writeConcern").unwrap(), &doc! { "w": "majority" });
        }
        driver.close().await;
    }
}

#[tokio::test]
async fn the_urls_concerns_are_those_of_the_transaction() {
    let peer = Peer::start(doc! {}, |_| ok()).await;
    for (level, expected) in [("majority", "majority"), ("snapshot", "snapshot"), ("linearizable", "local")] {
        let driver = open(&format!("{}orders?w=2&wTimeoutMS=500&readConcernLevel={level}", peer.url()));
        let mut transaction = begin(&driver).await;
        transaction.run(&write("a")).await.unwrap();
        transaction.commit().await.unwrap();
        let commands = peer.commands();
        let [.., first, commit] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!(first.get_document("readConcern").unwrap().get_str("level").unwrap(), expected);
        assert_eq!(first.get_str("$db").unwrap(), "orders");
        let concern = commit.get_document("writeConcern").unwrap();
        assert_eq!((super::answer::number(concern, "w"), super::answer::number(concern, "wtimeout")), (2, 500));
        driver.close().await;
    }
}

#[tokio::test]
async fn an_end_without_commit_aborts() {
    for dropped in [false, true] {
        let peer = Peer::start(doc! {}, |_| ok()).await;
        let driver = open(&peer.url());
        let mut transaction = begin(&driver).await;
        transaction.run(&write("a")).await.unwrap();
        if dropped {
            drop(transaction);
        } else {
            transaction.roll_back().await;
        }
        is_sent(&peer, "abortTransaction").await;
        let [first, abort] = &peer.commands()[..] else { panic!("{:?}", peer.names()) };
        assert_eq!((first.get("lsid"), number(first)), (abort.get("lsid"), number(abort)));
        driver.close().await;
    }
}

#[tokio::test]
async fn a_first_command_that_is_given_up_is_aborted_too() {
    let late = || Reply::Late(Duration::from_millis(300), doc! { "n": 1, "ok": 1 });
    let peer = Peer::start(doc! {}, move |command| if name(command) == "update" { late() } else { ok() }).await;
    let driver = open(&peer.url());
    let mut transaction = begin(&driver).await;
    let step = write("a");
    assert!(tokio::time::timeout(Duration::from_millis(100), transaction.run(&step)).await.is_err());
    drop(transaction);
    is_sent(&peer, "abortTransaction").await;
    driver.close().await;
}

#[tokio::test]
async fn a_transaction_without_operations_sends_nothing() {
    let peer = Peer::start(doc! {}, |_| ok()).await;
    let driver = open(&peer.url());
    begin(&driver).await.commit().await.unwrap();
    begin(&driver).await.roll_back().await;
    assert_eq!(peer.names(), Vec::<String>::new());
    driver.close().await;
}

#[tokio::test]
async fn what_passes_can_be_run_again_as_a_whole() {
    for broken in [false, true] {
        let peer = Peer::start(doc! {}, move |command| match name(command) {
            "update" if broken => Reply::HangUp,
            "update" => labelled(112, &["TransientTransactionError"]),
            _ => ok(),
        })
        .await;
        let driver = open(&peer.url());
        let mut transaction = begin(&driver).await;
        for _ in 0..2 {
            let error = transaction.run(&write("a")).await.unwrap_err();
            assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, true), "{error:?}");
            assert!(error.message().contains("nothing of it has happened"), "{error:?}");
        }
        let error = transaction.commit().await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, true), "{error:?}");
        is_sent(&peer, "abortTransaction").await;
        let names = peer.names();
        assert_eq!(names.iter().filter(|name| *name == "update").count(), 1, "{names:?}");
        assert!(!names.contains(&String::from("commitTransaction")), "{names:?}");
        driver.close().await;
    }
}

#[tokio::test]
async fn an_operation_that_was_refused_ends_the_transaction() {
    let complaint = || doc! { "index": 0, "code": 121, "errmsg": "Document failed validation" };
    for reply in ["refused", "writeErrors"] {
        let peer = Peer::start(doc! {}, move |command| match (name(command), reply) {
            ("update", "refused") => failed(13, "not authorized on sagas"),
            ("update", _) => Reply::Say(doc! { "n": 0, "writeErrors": [complaint()], "ok": 1 }),
            _ => ok(),
        })
        .await;
        let driver = open(&peer.url());
        let mut transaction = begin(&driver).await;
        let error = transaction.run(&write("a")).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false), "{error:?}");
        let error = transaction.commit().await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false), "{error:?}");
        assert_eq!(peer.names(), ["update", "abortTransaction"]);
        driver.close().await;
    }
}

/// Commits with these answers; what came of it, and the commands.
async fn committed(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (Result<(), Error>, Vec<Document>) {
    let calls = AtomicUsize::new(0);
    let peer = Peer::start(doc! {}, move |command| match name(command) {
        "commitTransaction" => script(calls.fetch_add(1, Ordering::Relaxed)),
        _ => ok(),
    })
    .await;
    let driver = open_with(&peer.url(), 700);
    let mut transaction = begin(&driver).await;
    transaction.run(&write("a")).await.unwrap();
    let result = transaction.commit().await;
    driver.close().await;
    (result, peer.commands().split_off(1))
}

const UNKNOWN: &str = "UnknownTransactionCommitResult";

#[tokio::test]
async fn a_commit_of_unknown_result_is_repeated() {
    let (result, commands) = committed(|call| match call {
        0..3 => labelled(91, &["RetryableWriteError", UNKNOWN]),
        3 => Reply::HangUp,
        _ => ok(),
    })
    .await;
    result.unwrap();
    assert_eq!(commands.len(), 5);
    for commit in &commands {
        assert_eq!(name(commit), "commitTransaction");
        assert_eq!((commit.get("lsid"), number(commit)), (commands[0].get("lsid"), number(&commands[0])));
        assert_eq!(commit.get_document("writeConcern").unwrap().get_str("w").unwrap(), "majority");
    }
}

#[tokio::test]
async fn a_commit_whose_result_stays_unknown_says_so_in_time() {
    for (broken, kind) in [(true, Kind::Connection), (false, Kind::Timeout)] {
        let began = Instant::now();
        let (result, commands) =
            committed(move |_| if broken { Reply::HangUp } else { labelled(91, &["RetryableWriteError", UNKNOWN]) })
                .await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (kind, false), "{error:?}");
        assert!(error.message().contains("may have been committed, or not"), "{error:?}");
        assert!(commands.len() > 2, "{}", commands.len());
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
    let refused_later = |call| if call == 0 { labelled(91, &[UNKNOWN]) } else { failed(13, "not authorized on admin") };
    assert_eq!(committed(refused_later).await.0.unwrap_err().kind(), Kind::Timeout);
    let (result, commands) = committed(|_| labelled(50, &[UNKNOWN])).await;
    assert_eq!(result.unwrap_err().kind(), Kind::Timeout);
    assert_eq!(commands.len(), 1);
}

#[tokio::test]
async fn a_commit_that_was_refused_has_done_nothing() {
    let (result, commands) = committed(|_| labelled(251, &["TransientTransactionError"])).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, true), "{error:?}");
    assert_eq!(commands.len(), 1);

    let (result, _) = committed(|_| failed(13, "not authorized on admin")).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false), "{error:?}");
}

#[tokio::test]
async fn a_commit_that_cannot_be_confirmed_is_not_taken_for_none() {
    let unfulfilled = || doc! { "code": 100, "codeName": "UnsatisfiableWriteConcern", "errmsg": "not enough members" };
    let (result, _) = committed(move |_| Reply::Say(doc! { "ok": 1, "writeConcernError": unfulfilled() })).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Timeout, false), "{error:?}");
    assert!(error.message().contains("is committed"), "{error:?}");
}

#[tokio::test]
async fn a_lost_write_is_fenced_off_before_the_transaction_writes() {
    let calls = AtomicUsize::new(0);
    let peer =
        Peer::start(doc! {}, move |_| if calls.fetch_add(1, Ordering::Relaxed) == 0 { Reply::Never } else { ok() })
            .await;
    let driver = open(&peer.url());
    let lost = [put("a", None)];
    assert!(tokio::time::timeout(Duration::from_millis(700), driver.write(&lost)).await.is_err());
    let mut transaction = begin(&driver).await;
    transaction.run(&write("a")).await.unwrap();
    transaction.commit().await.unwrap();
    let [lost, fence, written, _commit] = &peer.commands()[..] else { panic!("{:?}", peer.names()) };
    assert_eq!((lost.get("lsid"), number(lost) + 1), (fence.get("lsid"), number(fence)));
    assert!(!fence.contains_key("autocommit") && written.contains_key("startTransaction"));
    driver.close().await;
}

#[tokio::test]
async fn a_server_without_transactions_says_what_is_missing() {
    for (hello, message) in [
        (
            doc! { "setName": Bson::Null, "hosts": Bson::Null },
            "this MongoDB 8.0.0 server has no transactions: it is not part of a replica set",
        ),
        (doc! { "logicalSessionTimeoutMinutes": Bson::Null }, "it has no sessions"),
    ] {
        let peer = Peer::start(hello, |_| ok()).await;
        let driver = open(&peer.url());
        let error = driver.begin(None).await.err().unwrap();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Unsupported, false), "{error:?}");
        assert!(error.message().contains(message), "{error:?}");
        driver.close().await;
    }
}
