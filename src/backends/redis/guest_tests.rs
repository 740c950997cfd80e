//! What is asked of a client, and what becomes of its answers. Real libraries are tried by the
//! suites in TypeScript.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::config::Prefixes;
use super::guest::RedisOnClients;
use crate::contract::client::{Ask, Client, ClientError, Facts};
use crate::contract::dynamic::Dynamic;
use crate::contract::guest::ClientDriver;
use crate::contract::operation::Work;
use crate::contract::payloads::{Read, Write};
use crate::contract::step::{Reply, Step};
use crate::error::{Kind, Result};
use crate::time::Millis;

const BUFFERED: Facts = Facts { in_transaction: true, buffered: true, is_synchronous: true, one_server: false };

type Answered = Result<Dynamic, ClientError>;

/// Runs an operation to its end; what it asked, beside its result.
fn drive<T>(
    facts: Facts,
    operation: impl AsyncFnOnce(&Client) -> T,
    mut client: impl FnMut(&str, &[Dynamic]) -> Answered,
) -> (T, Vec<Ask>) {
    let on = Client::new(facts);
    let mut asked = Vec::new();
    let mut running = pin!(operation(&on));
    loop {
        if let Poll::Ready(done) = running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return (done, asked);
        }
        let ask = on.take_ask().expect("it waits for the client");
        on.answer(client(ask.method, &ask.arguments));
        asked.push(ask);
    }
}

fn list(texts: &[&str]) -> Dynamic {
    Dynamic::List(texts.iter().map(|text| Dynamic::text(text)).collect())
}

/// The commands of a request, joined by blanks.
fn commands(method: &str, arguments: &[Dynamic]) -> Vec<String> {
    let commands = match method {
        "one" => vec![Dynamic::List(arguments.to_vec())],
        _ => arguments[0].clone().into_list().unwrap(),
    };
    let words = |command: Dynamic| {
        let words = command.into_list().unwrap().into_iter();
        let words: Vec<String> = words
            .map(|word| match word {
                Dynamic::Text(text) => text,
                Dynamic::Bytes(bytes) => format!("<{}>", bytes.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        words.join(" ")
    };
    commands.into_iter().map(words).collect()
}

/// A single server whose clock is `ahead` of ours.
fn server(ahead: i64, reply: impl Fn(&str) -> Dynamic) -> impl FnMut(&str, &[Dynamic]) -> Answered {
    move |method, arguments| {
        Ok(match method {
            "nodes" => Dynamic::List(vec![Dynamic::Null]),
            "one" | "call" => {
                let commands = commands(method, arguments);
                let replies = commands.iter().map(|command| match command.split(' ').next() {
                    Some("TIME") => list(&[&((Millis::now().0 + ahead) / 1_000).to_string(), "0"]),
                    _ => reply(command),
                });
                let mut replies: Vec<_> = replies.collect();
                if method == "one" { replies.remove(0) } else { Dynamic::List(replies) }
            }
            other => panic!("{other}"),
        })
    }
}

fn guest() -> RedisOnClients {
    RedisOnClients::new(Prefixes {
        payloads: "p".into(),
        states: "saga-bus:".into(),
        executions: "saga-exec:".into(),
        outbox: "{saga-outbox}:".into(),
        inbox: "saga-inbox:".into(),
    })
}

fn put(id: &str, expires_at: Option<Millis>) -> Step {
    Step::Payload(Work::Write(Write::Put { id: id.into(), data: Bytes::from_static(b"data"), expires_at }))
}

fn sent(asked: &[Ask]) -> Vec<String> {
    asked.iter().filter(|ask| ask.method != "nodes").flat_map(|ask| commands(ask.method, &ask.arguments)).collect()
}

#[test]
fn a_put_without_expiry_is_one_request() {
    let guest = guest();
    let step = put("a", None);
    let (done, asked) =
        drive(Facts::default(), async |on| guest.run(on, &step).await, server(0, |_| Dynamic::text("OK")));
    assert_eq!(done.unwrap(), Reply::Done);
    assert_eq!(sent(&asked), ["SET p:a <4>"]);
}

#[test]
fn the_clock_is_asked_once_before_the_first_expiry() {
    let guest = guest();
    let at = Millis::now().plus(86_400_000);
    let step = put("a", Some(at));
    let run =
        || drive(Facts::default(), async |on| guest.run(on, &step).await, server(3_600_000, |_| Dynamic::text("OK")));
    let (done, asked) = run();
    assert_eq!(done.unwrap(), Reply::Done);
    let first = sent(&asked);
    assert_eq!(first[0], "TIME");
    let pxat: i64 = first[1].strip_prefix("SET p:a <4> PXAT ").unwrap().parse().unwrap();
    assert!((pxat - at.0 - 3_600_000).abs() < 2_000, "{first:?}");
    assert_eq!(sent(&run().1).len(), 1);
}

#[test]
fn a_put_that_the_server_drops_fails_and_the_clock_is_asked_again() {
    let guest = guest();
    let step = put("a", Some(Millis::now().plus(60_000)));
    let reply = |command: &str| if command.starts_with("EXISTS") { Dynamic::Int(0) } else { Dynamic::text("OK") };
    let (done, asked) = drive(Facts::default(), async |on| guest.run(on, &step).await, server(0, reply));
    assert!(done.unwrap_err().is_retryable());
    let sent = sent(&asked);
    assert_eq!((sent.len(), sent[2].as_str(), sent[3].as_str()), (4, "EXISTS p:a", "TIME"), "{sent:?}");
}

#[test]
fn nothing_is_written_while_nobody_tells_the_time_because_nobody_is_there() {
    let guest = guest();
    let step = put("a", Some(Millis::now().plus(86_400_000)));
    let gone = || ClientError { code: Some("ECONNRESET".into()), ..ClientError::default() };
    let (done, asked) = drive(
        Facts::default(),
        async |on| guest.run(on, &step).await,
        |method, _| if method == "nodes" { Ok(Dynamic::List(vec![Dynamic::Null])) } else { Err(gone()) },
    );
    assert_eq!(done.unwrap_err().kind(), Kind::Connection);
    assert_eq!(sent(&asked), ["TIME"]);
}

#[test]
fn errors_of_single_commands_are_told_apart() {
    let guest = guest();
    let step = Step::Payload(Work::Read(Read::Find { id: "a".into() }));
    let wrong = || ClientError {
        name: "ReplyError".into(),
        message: "WRONGTYPE Operation against a key".into(),
        code: Some("WRONGTYPE".into()),
        labels: Vec::new(),
    };
    let (done, _) = drive(Facts::default(), async |on| guest.run(on, &step).await, |_, _| Err(wrong()));
    assert_eq!(done.unwrap_err().kind(), Kind::CorruptData);
    for answer in [Dynamic::List(Vec::new()), Dynamic::Int(1), list(&["a", "b"])] {
        let (done, _) = drive(Facts::default(), async |on| guest.run(on, &step).await, |_, _| Ok(answer.clone()));
        assert_eq!(done.unwrap_err().kind(), Kind::Backend);
    }
    // One of several, beside the clock.
    let failed = || {
        let fields = [("name", "ReplyError"), ("message", "OOM command not allowed"), ("code", "OOM")];
        Dynamic::map([("error", Dynamic::map(fields.map(|(name, text)| (name, Dynamic::text(text)))))])
    };
    let step_with_expiry = put("a", Some(Millis::now().plus(60_000)));
    let reply = |command: &str| if command.starts_with("SET") { failed() } else { Dynamic::Int(1) };
    let (done, asked) = drive(Facts::default(), async |on| guest.run(on, &step_with_expiry).await, server(0, reply));
    assert_eq!((done.unwrap_err().kind(), asked.last().unwrap().method), (Kind::Backend, "call"));
    let bytes = Bytes::from_static(&[0, 0xff]);
    let found = Dynamic::Bytes(bytes.clone());
    let (done, _) = drive(Facts::default(), async |on| guest.run(on, &step).await, server(0, |_| found.clone()));
    assert_eq!(done.unwrap(), Reply::Data(Some(bytes)));
}

#[test]
fn a_multi_takes_what_needs_no_answer() {
    let guest = guest();
    let step = put("a", Some(Millis::now().plus(86_400_000)));
    let (done, asked) = drive(BUFFERED, async |on| guest.run(on, &step).await, |_, _| Ok(Dynamic::Null));
    assert_eq!(done.unwrap(), Reply::Done);
    // The clock is not known yet, and not asked for.
    assert_eq!(asked.len(), 1);
    let left: i64 = sent(&asked)[0].strip_prefix("SET p:a <4> PX ").unwrap().parse().unwrap();
    assert!((86_390_000..=86_400_000).contains(&left), "{asked:?}");
    let on = Client::new(BUFFERED);
    for step in [
        Step::Payload(Work::Read(Read::Find { id: "a".into() })),
        Step::Payload(Work::Read(Read::Has { id: "a".into() })),
        Step::Payload(Work::Write(Write::Touch { id: "a".into(), expires_at: Millis::now().plus(1) })),
    ] {
        let error = guest.check(&on, &[put("a", None), step]).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
    }
    let (done, asked) = drive(BUFFERED, async |on| guest.initialize(on).await, |_, _| Ok(Dynamic::Null));
    assert!(done.is_err_and(|error| error.kind() == Kind::Unsupported) && asked.is_empty());
}

#[test]
fn a_clusters_multi_has_one_slot() {
    let guest = guest();
    let check = |cluster: bool, key: Dynamic, ids: &[&str]| {
        let steps: Vec<Step> = ids.iter().map(|id| put(id, None)).collect();
        let queued = Dynamic::map([("cluster", Dynamic::Bool(cluster)), ("key", key)]);
        drive(BUFFERED, async |on| guest.prepare(on, &steps).await, |_, _| Ok(queued.clone())).0
    };
    assert!(check(false, Dynamic::Null, &["a", "b"]).is_ok());
    assert!(check(true, Dynamic::Null, &["{a}1", "{a}2"]).is_ok());
    assert!(check(true, Dynamic::Null, &["{a}1", "{b}2"]).is_err());
    assert!(check(true, Dynamic::text("order:{a}"), &["{a}1"]).is_ok());
    assert!(check(true, Dynamic::Bytes(Bytes::from_static(b"order:{b}")), &["{a}1"]).is_err());
}
