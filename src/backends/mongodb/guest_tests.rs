//! What a client of the application is asked for. What real ones make of it is in
//! `__test__/backends/mongodb/clients.spec.ts`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::contract::capability::Transactions;
use crate::contract::client::{Ask, Client, ClientError, Facts};
use crate::contract::dynamic::Dynamic;
use crate::contract::guest::ClientDriver;
use crate::contract::moving::{Count, Moved, MovingRead};
use crate::contract::operation::Work;
use crate::contract::payloads::{Read, Write};
use crate::contract::step::{Reply, Step};
use crate::error::{Kind, Result};
use crate::options::OptionReader;
use crate::time::Millis;

const HOUR: i64 = 3_600_000;

fn open(options: &str) -> Result<Arc<dyn ClientDriver>> {
    super::guest(OptionReader::parse(options).unwrap())
}

fn hosted() -> Arc<dyn ClientDriver> {
    open(r#"{"database": "orders"}"#).unwrap()
}

/// Runs `work`, with `script` in the client's place; what it was asked for.
fn talk<T>(
    client: &Client,
    work: impl Future<Output = T>,
    script: impl Fn(&Ask) -> Result<Dynamic, ClientError>,
) -> (T, Vec<Ask>) {
    let (mut work, mut asked) = (pin!(work), Vec::new());
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return (done, asked);
        }
        let ask = client.take_ask().expect("it waits for something else than the client");
        client.answer(script(&ask));
        asked.push(ask);
    }
}

fn alone() -> Client {
    Client::new(Facts::default())
}

fn in_transaction() -> Client {
    Client::new(Facts { in_transaction: true, ..Facts::default() })
}

/// What a client answers to `hello`, with these concerns of its own.
fn greeting(ahead: i64, replica_set: bool, write_concern: Dynamic) -> Dynamic {
    let mut hello = vec![
        (String::from("logicalSessionTimeoutMinutes"), Dynamic::Int(30)),
        (String::from("localTime"), Dynamic::Time(Millis(Millis::now().0 + ahead))),
    ];
    if replica_set {
        hello.push((String::from("setName"), "rs0".into()));
    }
    Dynamic::map([
        ("hello", Dynamic::Map(hello)),
        ("writeConcern", write_concern),
        ("readConcern", Dynamic::map([("level", "majority".into())])),
    ])
}

fn done() -> Dynamic {
    Dynamic::map([("n", 1.into()), ("ok", 1.into())])
}

#[allow(clippy::unnecessary_wraps)]
fn replica_set(ask: &Ask) -> Result<Dynamic, ClientError> {
    Ok(if ask.method == "hello" { greeting(0, true, Dynamic::Null) } else { done() })
}

fn put(data: &Bytes, expires_at: Option<Millis>) -> Step {
    Step::Payload(Work::Write(Write::Put { id: "a".into(), data: data.clone(), expires_at }))
}

fn thrown(name: &str, code: i32, labels: &[&str]) -> ClientError {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    ClientError { name: name.into(), message: String::from("scripted"), code: Some(code.to_string()), labels }
}

#[test]
fn a_put_is_one_command_with_the_callers_bytes() {
    let (guest, client, data) = (hosted(), alone(), Bytes::from(vec![7; 100_000]));
    let (reply, asked) = talk(&client, guest.run(&client, &put(&data, None)), replica_set);
    assert_eq!(reply.unwrap(), Reply::Done);
    let [hello, command] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((hello.method, &hello.arguments[..]), ("hello", &[Dynamic::text("orders")][..]));
    let document = Dynamic::map([("_id", "a".into()), ("data", Dynamic::Bytes(data.clone()))]);
    let update =
        Dynamic::map([("q", Dynamic::map([("_id", "a".into())])), ("u", document), ("upsert", Dynamic::Bool(true))]);
    let expected = Dynamic::map([
        ("update", "saga_store".into()),
        ("updates", Dynamic::List(vec![update])),
        ("ordered", Dynamic::Bool(false)),
        ("writeConcern", Dynamic::map([("w", "majority".into())])),
    ]);
    assert_eq!((command.method, &command.arguments[..]), ("command", &[expected, "orders".into()][..]));
    let sent = command.arguments[0].get("updates").cloned().and_then(Dynamic::into_list).unwrap();
    let Some(Dynamic::Bytes(sent)) = sent[0].get("u").and_then(|u| u.get("data")) else { panic!("{sent:?}") };
    assert_eq!(sent.as_ptr(), data.as_ptr());
    // The server is asked once.
    let (_, asked) = talk(&client, guest.run(&client, &put(&data, None)), replica_set);
    assert_eq!(asked.len(), 1);
}

#[test]
fn a_transaction_has_its_own_concerns() {
    let (guest, client) = (hosted(), in_transaction());
    let (reply, asked) = talk(&client, guest.run(&client, &put(&Bytes::new(), None)), replica_set);
    assert_eq!(reply.unwrap(), Reply::Done);
    assert_eq!(asked[1].arguments[0].get("writeConcern"), None);
    let has = Step::Payload(Work::Read(Read::Has { id: "a".into() }));
    let found = Dynamic::map([("cursor", Dynamic::map([("firstBatch", Dynamic::List(Vec::new()))]))]);
    let (reply, asked) = talk(&client, guest.run(&client, &has), |_| Ok(found.clone()));
    assert_eq!(reply.unwrap(), Reply::Flag(false));
    assert_eq!(asked[0].arguments[0].get("readConcern"), None);
    let client = alone();
    let (_, asked) = talk(&client, guest.run(&client, &has), |_| Ok(found.clone()));
    assert_eq!(asked[0].arguments[0].get("readConcern"), Some(&Dynamic::map([("level", "majority".into())])));
}

#[test]
fn the_clients_write_concern_holds() {
    let concern = Dynamic::map([("w", 2.into()), ("wtimeoutMS", 500.into()), ("journal", Dynamic::Bool(true))]);
    let (guest, client) = (hosted(), alone());
    let script = |ask: &Ask| Ok(if ask.method == "hello" { greeting(0, true, concern.clone()) } else { done() });
    let (_, asked) = talk(&client, guest.run(&client, &put(&Bytes::new(), None)), script);
    let expected = Dynamic::map([("w", 2.into()), ("j", Dynamic::Bool(true)), ("wtimeout", 500.into())]);
    assert_eq!(asked[1].arguments[0].get("writeConcern"), Some(&expected));

    let guest = hosted();
    let silent = |_: &Ask| Ok(greeting(0, true, Dynamic::map([("w", 0.into())])));
    let (refused, _) = talk(&client, guest.run(&client, &put(&Bytes::new(), None)), silent);
    assert_eq!(refused.unwrap_err().kind(), Kind::InvalidArgument);
}

#[test]
fn expiries_are_in_the_servers_time_in_transactions_too() {
    for client in [alone(), in_transaction()] {
        let guest = hosted();
        let script = |ask: &Ask| Ok(if ask.method == "hello" { greeting(HOUR, true, Dynamic::Null) } else { done() });
        let at = Millis::now().plus(1_000);
        let (_, asked) = talk(&client, guest.run(&client, &put(&Bytes::new(), Some(at))), script);
        let updates = asked[1].arguments[0].get("updates").cloned().and_then(Dynamic::into_list).unwrap();
        let Some(Dynamic::Time(stored)) = updates[0].get("u").and_then(|u| u.get("expiresAt")) else { panic!() };
        assert!((stored.0 - at.0 - HOUR).abs() < 10_000, "{stored:?}");
    }
}

#[test]
fn nothing_runs_in_a_transaction_of_a_server_that_has_none() {
    let guest = hosted();
    let ferret = |ask: &Ask| {
        Ok(match ask.method {
            "hello" => greeting(0, false, Dynamic::Null),
            "outside" => Dynamic::map([("version", "7.0.42".into()), ("ferretdbVersion", "v1.24.0".into())]),
            other => panic!("{other}"),
        })
    };
    let client = in_transaction();
    for _ in 0..2 {
        for step in [put(&Bytes::new(), None), Step::Payload(Work::Read(Read::Find { id: "a".into() }))] {
            let (refused, _) = talk(&client, guest.run(&client, &step), ferret);
            let error = refused.unwrap_err();
            assert_eq!((error.kind(), error.is_retryable()), (Kind::Unsupported, false));
            assert!(error.message().starts_with("FerretDB v1.24.0 has no transactions"), "{error:?}");
        }
    }
    assert_eq!(guest.capabilities().transactions, Transactions::None);
}

#[test]
fn errors_in_a_transaction_say_whether_it_can_be_run_again() {
    for (code, labels, kind, retryable) in [
        (112, &["TransientTransactionError"][..], Kind::Backend, true),
        (251, &["TransientTransactionError"], Kind::Backend, true),
        (10_107, &["TransientTransactionError"], Kind::Backend, true),
        (121, &[], Kind::Backend, false),
    ] {
        let (guest, client) = (hosted(), in_transaction());
        let script = |ask: &Ask| match ask.method {
            "hello" => Ok(greeting(0, true, Dynamic::Null)),
            _ => Err(thrown("MongoServerError", code, labels)),
        };
        let (refused, _) = talk(&client, guest.run(&client, &put(&Bytes::new(), None)), script);
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{code} {error:?}");
    }
}

#[test]
fn answers_that_complain_are_errors() {
    let entry = || Dynamic::map([("index", 0.into()), ("code", 121.into()), ("errmsg", "validation".into())]);
    for complaint in [("writeErrors", Dynamic::List(vec![entry()])), ("writeConcernError", entry())] {
        let (guest, client) = (hosted(), alone());
        let script = |ask: &Ask| {
            Ok(match ask.method {
                "hello" => greeting(0, true, Dynamic::Null),
                _ => Dynamic::map([("n", 1.into()), ("ok", 1.into()), (complaint.0, complaint.1.clone())]),
            })
        };
        for step in [put(&Bytes::new(), None), Step::Payload(Work::Write(Write::Delete { id: "a".into() }))] {
            let (refused, _) = talk(&client, guest.run(&client, &step), script);
            assert_eq!(refused.unwrap_err().kind(), Kind::Backend, "{}", complaint.0);
        }
        let purge = |ask: &Ask| match ask.arguments[0].get("find") {
            Some(_) => {
                let batch = Dynamic::List(vec![Dynamic::map([("_id", "a".into())])]);
                Ok(Dynamic::map([("cursor", Dynamic::map([("firstBatch", batch)]))]))
            }
            None => script(ask),
        };
        let (refused, _) = talk(&client, guest.purge_expired(&client, Millis::now(), 10), purge);
        assert_eq!(refused.unwrap_err().kind(), Kind::Backend, "{}", complaint.0);
    }
}

#[test]
fn an_index_is_not_made_within_a_transaction() {
    let (guest, client) = (hosted(), in_transaction());
    let (refused, asked) = talk(&client, guest.initialize(&client), replica_set);
    assert_eq!(refused.unwrap_err().kind(), Kind::Unsupported);
    assert!(asked.is_empty());
}

#[test]
fn the_index_is_made_as_natively() {
    let (guest, client) = (hosted(), alone());
    let created = std::cell::Cell::new(false);
    let script = |ask: &Ask| {
        let command = &ask.arguments[0];
        if ask.method == "hello" {
            return Ok(greeting(0, true, Dynamic::Null));
        }
        if command.get("createIndexes").is_some() {
            created.set(created.get() || command.get("createIndexes") == Some(&"saga_store".into()));
            return Ok(done());
        }
        if command.get("connectionStatus").is_some() {
            return Ok(done());
        }
        assert!(command.get("listIndexes").is_some(), "{command:?}");
        if !created.get() {
            return Err(thrown("MongoServerError", 26, &[]));
        }
        let index = Dynamic::map([
            ("key", Dynamic::map([("expiresAt", 1.into())])),
            ("name", "expiresAt_1".into()),
            ("expireAfterSeconds", 0.into()),
        ]);
        Ok(Dynamic::map([("cursor", Dynamic::map([("firstBatch", Dynamic::List(vec![index]))]))]))
    };
    let (warnings, asked) = talk(&client, guest.initialize(&client), script);
    assert_eq!(warnings.unwrap(), Vec::<String>::new());
    let about = |collection: &str| {
        let is = |ask: &&Ask| {
            ["createIndexes", "listIndexes"].iter().any(|name| ask.arguments[0].get(name) == Some(&collection.into()))
        };
        asked.iter().filter(is).count()
    };
    // That of sagas is there already; five more are made in any case.
    assert_eq!((about("saga_store"), about("saga_instances")), (3, 6));
    let unique = asked
        .iter()
        .find_map(|ask| ask.arguments[0].get("indexes").cloned()?.into_list()?.pop()?.get("unique").cloned());
    assert_eq!(unique, Some(Dynamic::Bool(true)));
}

#[test]
fn a_wrong_name_is_refused() {
    for options in [r#"{"collectionName": "a$b"}"#, r#"{"database": "a.b"}"#, r#"{"tableName": "x"}"#] {
        assert_eq!(open(options).err().unwrap().kind(), Kind::InvalidArgument, "{options}");
    }
}

#[test]
fn whole_records_are_moved_outside_of_transactions() {
    let (guest, kind) = (hosted(), Moved::States);
    let count = Step::Moving(Work::Read(MovingRead::Count { kind }));
    let client = in_transaction();
    let (reply, _) = talk(&client, guest.run(&client, &count), replica_set);
    assert_eq!(reply.unwrap_err().kind(), Kind::Unsupported);
    let client = alone();
    let (reply, asked) = talk(&client, guest.run(&client, &count), |_| Ok(done()));
    assert_eq!(reply.unwrap(), Count { records: 1, approximate: true }.into_reply());
    assert_eq!(asked.last().unwrap().arguments[0].get("count"), Some(&"saga_instances".into()));
    let (kind, after, limit) = (Moved::Payloads, None, 5);
    let scan = Step::Moving(Work::Read(MovingRead::Scan { kind, after, limit, max_bytes: 9, only_sizes: false }));
    // An ObjectId, as the client's library has it.
    let id = Dynamic::map([("buffer", Dynamic::Bytes(Bytes::from(vec![0xab; 12])))]);
    let found = |documents| Dynamic::map([("cursor", Dynamic::map([("firstBatch", Dynamic::List(documents))]))]);
    let answers = |ask: &Ask| {
        let command = &ask.arguments[0];
        let skipped = command.get("skip").and_then(Dynamic::as_int);
        Ok(found(if skipped == Some(0) { vec![Dynamic::map([("_id", id.clone())])] } else { Vec::new() }))
    };
    let (reply, asked) = talk(&client, guest.run(&client, &scan), answers);
    let Reply::Value(page) = reply.unwrap() else { panic!() };
    let Some(Dynamic::List(unreadable)) = page.get("unreadable") else { panic!() };
    assert!(format!("{unreadable:?}").contains(&"ab".repeat(12)), "{unreadable:?}");
    assert_eq!((asked.len(), page.get("cursor")), (3, Some(&Dynamic::Null)));
}
