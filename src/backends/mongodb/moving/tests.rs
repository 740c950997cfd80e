//! Against a server that is played: the same as in memory, whatever is imported; what is sent, and what comes of answers
//! that FerretDB does not give. Against the server of MONGODB_URL: the same, and what other software has written.

mod model;
mod others;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::doc;

use crate::backends::mongodb::address::Address;
use crate::backends::mongodb::channel::{Carrier, Channel};
use crate::backends::mongodb::collections::{Collections, Names};
use crate::backends::mongodb::document;
use crate::backends::mongodb::own::Own;
use crate::backends::mongodb::shared::Connector;
use crate::backends::mongodb::suspects::Suspects;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::record::{Action, Entry, Execution, LastOperation, Logged, Status, StepStatus};
use crate::contract::moving::record::{Body, Logbook, Message, Payload, Record, State};
use crate::contract::moving::{Conflict, Import, Moved, MovingRead, MovingWrite, PAGE_BYTES};
use crate::contract::operation::RecordKind;
use crate::contract::outbox::record::{Content, Event, Stored};
use crate::contract::states::Saga;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::options::OptionReader;
use crate::time::Millis;

const HOUR: u64 = 3_600_000;
const KINDS: [Moved; 5] = [Moved::Payloads, Moved::States, Moved::Executions, Moved::Outbox, Moved::Inbox];

/// Collections of their own on a server.
async fn at(url: &str) -> Own {
    let names = format!(r#"{{"namespace": "t{:x}"}}"#, fastrand::u64(..));
    let names = Names::read(&mut OptionReader::parse(&names).unwrap()).unwrap();
    let address = Address::parse(url, Duration::from_secs(5)).unwrap();
    let collections = Collections {
        names,
        write_concern: document::raw(&address.write_concern).unwrap(),
        read_concern: None,
        max_time: 10_000,
    };
    let shared = Arc::new(Connector::new(address));
    let server = shared.server().await.unwrap();
    let (collections, suspects) = (Arc::new(collections), Arc::new(Suspects::default()));
    Own { collections, suspects, shared, server, kind: RecordKind::Payloads }
}

/// The same on the server of MONGODB_URL.
async fn real() -> Option<Own> {
    let Ok(url) = std::env::var("MONGODB_URL") else {
        eprintln!("SKIPPED: MONGODB_URL is not set");
        return None;
    };
    let own = at(&url).await;
    let states = own.to(RecordKind::States);
    assert!(super::super::states::indexes::make(&states.as_collection()).await.unwrap().is_none());
    Some(own)
}

async fn drop_collections(own: &Own) {
    for kind in KINDS {
        drop(own.server.run(doc! { "drop": own.to(kind.records()).collection() }).await);
    }
    drop(own.server.run(doc! { "drop": own.log_collection() }).await);
}

async fn import(own: &Own, conflict: Conflict, records: &[Record]) -> Result<Vec<String>> {
    let import = Import::new(records[0].kind(), conflict, records.iter().cloned().map(Ok).collect());
    let reply = super::write_group(own, &[MovingWrite::Import(Box::new(import))]).await.remove(0);
    reply.map(fates)
}

/// Fates, and the codes of errors.
fn fates(reply: Reply) -> Vec<String> {
    let Reply::Value(Dynamic::List(fates)) = reply else { panic!("{reply:?}") };
    let fate = |fate: &Dynamic| {
        let named = fate.as_text().or_else(|| fate.get("code").and_then(Dynamic::as_text)).unwrap();
        let is_retryable = fate.get("retryable") == Some(&Dynamic::Bool(true));
        format!("{named}{}", if is_retryable { ", for now" } else { "" })
    };
    fates.iter().map(fate).collect()
}

async fn ask(own: &Own, read: MovingRead) -> Result<Dynamic> {
    let Reply::Value(answer) = super::read_group(own, &[read]).await.remove(0)? else { panic!() };
    Ok(answer)
}

fn scanning(kind: Moved, after: Option<Box<str>>, limit: u64) -> MovingRead {
    MovingRead::Scan { kind, after, limit, max_bytes: PAGE_BYTES, only_sizes: false }
}

/// Records and what is unreadable, page by page.
async fn pages(own: &Own, page: impl Fn(Option<Box<str>>) -> MovingRead) -> Vec<(Vec<Dynamic>, Vec<Dynamic>)> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let answer = ask(own, page(after)).await.unwrap();
        let list = |name: &str| answer.get(name).cloned().and_then(Dynamic::into_list).unwrap();
        pages.push((list("records"), list("unreadable")));
        match answer.get("cursor") {
            Some(Dynamic::Text(cursor)) => after = Some(cursor.as_str().into()),
            _ => return pages,
        }
    }
}

async fn all(own: &Own, kind: Moved, limit: u64) -> Vec<Dynamic> {
    let pages = pages(own, |after| scanning(kind, after, limit)).await;
    assert!(pages.iter().all(|(records, unreadable)| records.len() as u64 <= limit && unreadable.is_empty()));
    pages.into_iter().flat_map(|(records, _)| records).collect()
}

async fn fetched(own: &Own, record: &Record) -> Dynamic {
    let read = MovingRead::Fetch { kind: record.kind(), keys: vec![record.key()] };
    ask(own, read).await.unwrap().into_list().unwrap().remove(0)
}

fn payload(id: &str, data: &[u8], expires_at: Option<Millis>) -> Record {
    let body = Body::Whole(bytes::Bytes::copy_from_slice(data));
    Record::Payload(Payload { id: id.into(), body, expires_at })
}

fn state(id: &str, correlation_id: &str, version: i64) -> Record {
    let saga = Saga {
        name: "Order".into(),
        id: id.into(),
        version,
        completed: false,
        created_at: Millis(1_000),
        updated_at: Millis(2_000),
        completed_at: None,
        timeout_at: Some(Millis(5_000)),
        expires_at: None,
        state: format!(r#"{{"version":{version}}}"#).into(),
    };
    Record::State(Box::new(State { saga, correlation_id: correlation_id.into() }))
}

fn execution(id: &str, version: i64, entries: i64) -> Logbook {
    let entry = |seq: i64| {
        let step_id = (seq % 3 == 0).then(|| format!("id{seq}").into());
        let (details, body) = (None, Some(r#"{"result":1}"#.into()));
        let (action, status) = (Action::Act, StepStatus::Completed);
        let entry = Entry { step: format!("s{seq}").into(), action, status, step_id, details, body };
        Logged { seq, entry, at: Millis(1_000 + seq) }
    };
    let log: Vec<Logged> = (1..=entries).map(entry).collect();
    let first_seq = (entries > 0).then_some(entries);
    let execution = Execution {
        id: id.into(),
        name: "Order".into(),
        status: Status::Running,
        sub_status: Some("waits".into()),
        context: Some(r#"{"n":1}"#.into()),
        metadata: None,
        tags: vec!["eu".into(), "new".into()],
        version,
        seq: entries,
        log_bytes: log.iter().map(|logged| logged.entry.bytes()).sum(),
        token: Some("t".into()),
        worker: Some("w".into()),
        due_at: Some(Millis(9_000_000_000_123)),
        attempts: 2,
        last_error: Some("no".into()),
        last_operation: Some(LastOperation { id: "o".into(), version, first_seq }),
        created_at: Millis(1_000),
        updated_at: Millis(2_000),
        completed_at: None,
        parked_at: None,
        expires_at: None,
    };
    Logbook { execution, log }
}

fn of_execution(logbook: Logbook) -> Record {
    Record::Execution(Box::new(logbook))
}

fn event(id: &str, key: Option<&str>) -> Stored {
    let event = Event {
        id: id.into(),
        event_type: "OrderPlaced".into(),
        payload: Content::Json(r#"{"n":1}"#.into()),
        saga_id: Some("s".into()),
        aggregate_type: None,
        aggregate_id: None,
        headers: Some("{}".into()),
        routing_key: None,
        partition_key: key.map(Into::into),
        available_at: None,
        occurred_at: Millis(1_000),
    };
    Stored::pending(event, 0, "o".into(), Millis(2_000))
}

fn of_event(stored: Stored) -> Record {
    Record::Event(Box::new(stored))
}

fn message(consumer: &str, id: &str, expires_at: Millis) -> Record {
    Record::Message(Message { consumer: consumer.into(), id: id.into(), operation: "o".into(), expires_at })
}
