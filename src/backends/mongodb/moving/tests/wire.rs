//! Which commands are sent, and what becomes of answers that FerretDB does not give.

use std::sync::atomic::{AtomicUsize, Ordering};

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};

use super::{
    HOUR, ask, at, event, execution, fates, fetched, import, of_event, of_execution, payload, scanning, state,
};
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::moving::write_group;
use crate::backends::mongodb::outbox;
use crate::backends::mongodb::peer::{Peer, Reply as Answer, name};
use crate::backends::mongodb::played::Played;
use crate::backends::mongodb::tests::failed;
use crate::contract::dynamic::Dynamic;
use crate::contract::moving::{Conflict, Fate, Import, Moved, MovingRead, MovingWrite};
use crate::contract::operation::RecordKind;
use crate::contract::outbox::record::{EventStatus, Stored};
use crate::contract::outbox::{Held, OutboxWrite, Outcome, Settlement};
use crate::contract::step::Reply;
use crate::error::{Error, Kind};
use crate::time::Millis;

fn found(documents: Vec<Document>) -> Answer {
    Answer::Say(doc! { "cursor": { "id": 0_i64, "ns": "sagas.x", "firstBatch": documents }, "ok": 1 })
}

fn wrote(n: i32, errors: &[(i32, i32)]) -> Answer {
    let errors: Vec<Document> =
        errors.iter().map(|(index, code)| doc! { "index": index, "code": code, "errmsg": "scripted" }).collect();
    let mut reply = doc! { "n": n, "ok": 1 };
    if !errors.is_empty() {
        reply.insert("writeErrors", errors);
    }
    Answer::Say(reply)
}

fn statements(command: &Document, name: &str) -> Vec<Document> {
    command.get_array(name).unwrap().iter().map(|statement| statement.as_document().unwrap().clone()).collect()
}

fn ids(command: &Document) -> Vec<String> {
    statements(command, "documents").iter().map(|document| document.get_str("_id").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn new_records_are_one_command_and_each_has_its_own_fate() {
    let calls = AtomicUsize::new(0);
    let peer = Peer::start(doc! {}, move |command| match (name(command), calls.fetch_add(1, Ordering::Relaxed)) {
        // Its id is taken; it may be tried again; it is refused by a rule of the collection.
        ("insert", 0) => wrote(1, &[(1, 11_000), (2, 112), (3, 121)]),
        ("insert", _) => wrote(1, &[]),
        _ => found(vec![doc! { "_id": "b" }]),
    })
    .await;
    let own = at(&peer.url()).await;
    let records = ["a", "b", "c", "d"].map(|id| payload(id, b"x", Some(Millis(9_000_000_000_123))));
    assert_eq!(import(&own, Conflict::Skip, &records).await.unwrap(), ["stored", "skipped", "stored", "BACKEND"]);
    assert_eq!(peer.names(), ["insert", "find", "insert"]);
    let [first, look, again] = &peer.commands()[..] else { panic!() };
    assert_eq!(
        (ids(first), first.get_bool("ordered").unwrap()),
        (vec!["a".into(), "b".into(), "c".into(), "d".into()], false)
    );
    let document = &statements(first, "documents")[0];
    assert_eq!(document.get_datetime("expiresAt").unwrap().timestamp_millis(), 9_000_000_000_123);
    assert!(first.get_i64("txnNumber").is_ok());
    // What decides is asked for, and no payload.
    assert_eq!(look.get_document("projection").unwrap(), &doc! { "expiresAt": 1 });
    assert_eq!(look.get_document("filter").unwrap(), &doc! { "_id": { "$in": ["b", "c"] } });
    assert_eq!(ids(again), ["c"]);
}

#[tokio::test]
async fn what_cannot_be_stored_for_now_may_be_tried_again() {
    let peer = Peer::start(doc! {}, |command| match name(command) {
        "insert" => wrote(0, &[(0, 112)]),
        _ => found(Vec::new()),
    })
    .await;
    let own = at(&peer.url()).await;
    let fates = import(&own, Conflict::Refuse, &[payload("a", b"x", None)]).await.unwrap();
    assert_eq!(fates, ["BACKEND, for now"]);
    // A connection that is gone is an error of the whole.
    let peer = Peer::start(doc! {}, |_| Answer::HangUp).await;
    let own = at(&peer.url()).await;
    let error = import(&own, Conflict::Refuse, &[payload("a", b"x", None)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connection);
    // And so is a write that is not confirmed.
    let concern = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let peer =
        Peer::start(doc! {}, move |_| Answer::Say(doc! { "n": 1, "ok": 1, "writeConcernError": concern.clone() }))
            .await;
    let own = at(&peer.url()).await;
    let error = import(&own, Conflict::Skip, &[payload("a", b"x", None)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
}

#[tokio::test]
async fn what_replaces_is_one_command_bound_to_what_was_read() {
    let date = DateTime::from_millis(2_000);
    let there = move |id: &str, correlation_id: &str, version: i64| {
        doc! {
            "_id": format!("Order:{id}"), "sagaName": "Order", "sagaId": id, "correlationId": correlation_id,
            "version": version, "createdAt": date, "updatedAt": date,
        }
    };
    let looks = AtomicUsize::new(0);
    let peer = Peer::start(doc! {}, move |command| match name(command) {
        "insert" => wrote(0, &[(0, 11_000), (1, 11_000), (2, 11_000)]),
        // One of two has changed meanwhile, and the answer does not tell which one.
        "update" => wrote(1, &[]),
        _ if looks.fetch_add(1, Ordering::Relaxed) == 0 => {
            found(vec![there("a", "x", 1), there("b", "y", 1), there("other", "z", 1)])
        }
        _ => found(vec![there("a", "1", 3), there("b", "y", 9), there("other", "z", 1)]),
    })
    .await;
    let own = at(&peer.url()).await;
    let records = [state("a", "1", 3), state("b", "2", 3), state("c", "z", 3)];
    let import = import(&own, Conflict::Newer, &records).await.unwrap();
    // One is as it was sent, the other one is newer now. The third one's correlation id is another saga's.
    assert_eq!(import, ["stored", "skipped", "ALREADY_EXISTS"]);
    assert_eq!(peer.names(), ["insert", "find", "update", "find"]);
    let [_, look, update, _] = &peer.commands()[..] else { panic!() };
    let ways = look.get_document("filter").unwrap().get_array("$or").unwrap();
    assert_eq!(
        ways.iter().map(|way| way.as_document().unwrap().clone()).collect::<Vec<_>>(),
        [
            doc! { "_id": { "$in": ["Order:a", "Order:b", "Order:c"] } },
            doc! { "sagaName": "Order", "correlationId": { "$in": ["1", "2", "z"] } },
        ]
    );
    let statements = statements(update, "updates");
    assert_eq!(statements.len(), 2);
    let condition = statements[0].get_document("q").unwrap();
    assert_eq!((condition.get_str("_id").unwrap(), condition.get_i64("version").unwrap()), ("Order:a", 1));
    assert_eq!(condition.get_datetime("updatedAt").unwrap(), &date);
    assert!(statements[0].get_document("u").unwrap().get_str("state").is_ok());
    assert!(statements[0].get("upsert").is_none());
}

#[tokio::test]
async fn a_large_log_is_stored_before_its_document_and_not_in_vain() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let own = at(&peer.url()).await;
    let (executions, log) = (own.to(RecordKind::Executions).collection().to_owned(), own.log_collection().to_owned());
    let large = of_execution(execution("x", 1, 300));
    let records = [large.clone(), of_execution(execution("y", 1, 3))];
    assert_eq!(import(&own, Conflict::Refuse, &records).await.unwrap(), ["stored", "stored"]);
    let sent = peer.commands();
    let targets: Vec<&str> = sent.iter().map(|command| command.get_str(name(command)).unwrap()).collect();
    assert_eq!(targets, [&executions, &executions, &log, &log, &log, &executions]);
    assert_eq!(ids(&sent[0]), ["y"]);
    // It is there: nothing of it is stored once more.
    let before = peer.commands().len();
    assert_eq!(import(&own, Conflict::Skip, &records[..1]).await.unwrap(), ["skipped"]);
    assert_eq!(peer.names()[before..], ["find"]);
    // What replaces it leaves nothing of its log.
    let newer = of_execution(execution("x", 2, 200));
    assert_eq!(import(&own, Conflict::Newer, std::slice::from_ref(&newer)).await.unwrap(), ["stored"]);
    assert_eq!(played.documents(&log).len(), 2);
    assert_eq!(fetched(&own, &newer).await, newer.clone().into_dynamic());
    assert_eq!(import(&own, Conflict::Overwrite, &[of_execution(execution("x", 1, 0))]).await.unwrap(), ["stored"]);
    assert!(played.documents(&log).is_empty());
}

#[tokio::test]
async fn a_log_whose_document_is_refused_is_removed() {
    let played = Played::default();
    let peer = played
        .start(doc! {}, |command| {
            let is_execution = command.get_str("insert").is_ok_and(|collection| collection.ends_with("executions"));
            is_execution.then(|| wrote(0, &[(0, 121)]))
        })
        .await;
    let own = at(&peer.url()).await;
    let large = of_execution(execution("x", 1, 300));
    assert_eq!(import(&own, Conflict::Overwrite, std::slice::from_ref(&large)).await.unwrap(), ["BACKEND"]);
    assert!(played.documents(own.log_collection()).is_empty());
    assert_eq!(fetched(&own, &large).await, Dynamic::Null);
}

#[tokio::test]
async fn a_page_is_one_question_and_leaves_no_cursor() {
    let binary = |bytes: &[u8]| Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() };
    let document = move |id: &str| doc! { "_id": id, "data": binary(b"abc"), "expiresAt": DateTime::from_millis(5) };
    let peer = Peer::start(doc! {}, move |command| {
        let is_first = command.get_document("filter").unwrap().get_document("_id").unwrap().contains_key("$gte");
        found(if is_first { vec![document("a"), document("b:1")] } else { vec![document("c"), document("d")] })
    })
    .await;
    let own = at(&peer.url()).await;
    let page = ask(&own, scanning(Moved::Payloads, None, 2)).await.unwrap();
    let Some(Dynamic::Text(cursor)) = page.get("cursor") else { panic!("{page:?}") };
    ask(&own, scanning(Moved::Payloads, Some(cursor.as_str().into()), 2)).await.unwrap();
    let [first, second] = &peer.commands()[..] else { panic!("{:?}", peer.names()) };
    assert_eq!(first.get_document("filter").unwrap(), &doc! { "_id": { "$gte": "" } });
    assert_eq!(second.get_document("filter").unwrap(), &doc! { "_id": { "$gt": "b:1" } });
    assert_eq!(first.get_document("sort").unwrap(), &doc! { "_id": 1 });
    assert_eq!(first.get_document("projection").unwrap(), &doc! { "data": 1, "expiresAt": 1 });
    let numbers = (first.get_i32("limit").unwrap(), first.get_i32("batchSize").unwrap());
    assert_eq!((numbers, first.get_bool("singleBatch").unwrap()), ((2, 3), true));
    // Another kind's cursor, and one of nobody's.
    for (kind, cursor) in [(Moved::States, cursor.as_str()), (Moved::Payloads, "b:1")] {
        let error = ask(&own, scanning(kind, Some(cursor.into()), 2)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
    }
}

#[tokio::test]
async fn sizes_are_measured_by_the_server_if_it_can() {
    let sizes =
        || MovingRead::Scan { kind: Moved::Payloads, after: None, limit: 2, max_bytes: 1 << 20, only_sizes: true };
    for can in [true, false] {
        let peer = Peer::start(doc! {}, move |command| {
            let asks_for_size = command.get_document("projection").unwrap().get_document("data").is_ok();
            match (asks_for_size, can) {
                (true, true) => found(vec![doc! { "_id": "a", "data": 5 }, doc! { "_id": "b", "data": "string" }]),
                (true, false) => failed(238, "projection expression is not supported"),
                (false, _) => {
                    let data = Binary { subtype: BinarySubtype::Generic, bytes: vec![7; 5] };
                    found(vec![doc! { "_id": "a", "data": data }, doc! { "_id": "b", "data": "x" }])
                }
            }
        })
        .await;
        let own = at(&peer.url()).await;
        let page = ask(&own, sizes()).await.unwrap();
        let expected = Dynamic::map([("id", "a".into()), ("bytes", 5.into())]);
        assert_eq!(page.get("records"), Some(&Dynamic::List(vec![expected])));
        let Some(Dynamic::List(unreadable)) = page.get("unreadable") else { panic!() };
        assert_eq!(unreadable.len(), 1);
        assert_eq!(peer.names().len(), if can { 1 } else { 2 });
    }
}

#[tokio::test]
async fn events_are_claimed_acknowledged_and_in_order_as_before() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let own = at(&peer.url()).await;
    let events = own.to(RecordKind::Outbox);
    let later = Millis::now().plus(HOUR);
    let claimed = Stored {
        status: EventStatus::Claimed,
        token: Some("t".into()),
        worker: Some("w".into()),
        claimed_at: Some(Millis(3_000)),
        lease_until: Some(later),
        ..event("claimed", Some("k"))
    };
    let waits = Stored { due_at: Some(later), ..event("waits", Some("j")) };
    let records = [claimed.clone(), event("behind", Some("k")), waits, event("after", Some("j")), event("free", None)];
    let stored = import(&own, Conflict::Refuse, &records.map(of_event)).await.unwrap();
    assert_eq!(stored, ["stored"; 5]);
    let claim = |token: &str| OutboxWrite::Claim(Box::new(outbox::tests::claim_of(token, 9)));
    assert_eq!(names(outbox::groups::write(&events, &[claim("u")]).await.remove(0).unwrap()), ["free"]);
    let held = vec![Held { id: "claimed".into(), token: "t".into() }];
    let sent = Settlement { held, outcome: Outcome::Sent, terms: outbox::tests::terms() };
    let settled = outbox::groups::write(&events, &[OutboxWrite::Settle(Box::new(sent))]).await.remove(0).unwrap();
    assert_eq!(names(settled), Vec::<String>::new());
    assert_eq!(names(outbox::groups::write(&events, &[claim("v")]).await.remove(0).unwrap()), ["behind"]);
}

/// Ids of events.
fn names(reply: Reply) -> Vec<String> {
    let Reply::Value(Dynamic::List(events)) = reply else { panic!("{reply:?}") };
    let id = |event: &Dynamic| match event {
        Dynamic::List(fields) => fields[0].as_text().unwrap().to_owned(),
        other => other.as_text().unwrap().to_owned(),
    };
    events.iter().map(id).collect()
}

#[tokio::test]
async fn fates_that_are_known_before_stay_in_their_places() {
    let peer = Peer::start(doc! {}, |_| wrote(2, &[])).await;
    let own = at(&peer.url()).await;
    let wrong = || Err(Fate::Refused(Error::invalid("wrong")));
    let given = vec![Ok(payload("a", b"", None)), Err(Fate::Expired), wrong(), Ok(payload("b", b"", None))];
    let import = Import::new(Moved::Payloads, Conflict::Skip, given);
    let reply = write_group(&own, &[MovingWrite::Import(Box::new(import))]).await.remove(0).unwrap();
    assert_eq!(fates(reply), ["stored", "expired", "INVALID_ARGUMENT", "stored"]);
    let sent: Vec<Bson> = peer.commands().iter().map(|command| command.get("insert").cloned().unwrap()).collect();
    assert_eq!(sent.len(), 1);
}
