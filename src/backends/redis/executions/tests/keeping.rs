//! What stands under which key, what is left behind, how often the server is asked.

use fred::prelude::Value;

use super::*;
use crate::backends::redis::executions::scripts::texts_of;
use crate::contract::executions::{ExecutionRead, Filter, Order, Replacement};
use crate::error::Kind;

#[test]
fn nothing_is_left_of_what_is_deleted_replaced_or_cleaned_up() {
    with_servers(&async |executions| {
        let bucket = Bucket::of("a");
        let full = |status| Creation {
            entries: vec![entry(Some("x"), StepStatus::Started), entry(None, StepStatus::Completed)],
            tags: vec!["t".into()],
            ..creation("a", status)
        };
        let counter = String::from_utf8(bucket.key(executions.prefix, &["bytes"]).to_vec()).unwrap();
        executions.write(&create(full(Status::Completed))).await.unwrap();
        assert_eq!(executions.there(bucket, &["a"]).await.len(), 7);
        let replacement = Replacement { creation: creation("a", Status::Completed), force: false };
        executions.write(&ExecutionWrite::Save(Box::new(replacement))).await.unwrap();
        assert_eq!(executions.there(bucket, &["a"]).await.len(), 5, "no log and no step keys");
        executions.write(&ExecutionWrite::Delete { id: "a".into() }).await.unwrap();
        assert_eq!(executions.there(bucket, &["a"]).await, std::slice::from_ref(&counter));
        assert_eq!(executions.command(&["GET", &counter]).await.unwrap().as_string().unwrap(), "0");
        executions.write(&create(full(Status::Failed))).await.unwrap();
        let statuses = Status::TERMINAL.to_vec();
        let cleanup = ExecutionWrite::Cleanup { before: Millis::now().plus(1), statuses, limit: 9 };
        assert_eq!(executions.write(&cleanup).await.unwrap(), Reply::Count(1));
        assert_eq!(executions.there(bucket, &["a"]).await, [counter]);
    });
}

#[test]
fn what_ends_by_itself_is_purged_and_its_id_is_free_before() {
    with_servers(&async |executions| {
        let terms = Terms { ttl_ms: Some(1_500), ..TERMS };
        for id in ["{a}1", "{a}2", "{a}3"] {
            let entries = vec![entry(Some("x"), StepStatus::Completed)];
            executions.write(&create(Creation { entries, terms, ..creation(id, Status::Completed) })).await.unwrap();
        }
        executions.check_indexes(&["{a}1", "{a}2", "{a}3"]).await;
        // Opened again, it stays.
        let again = Change { status: Some(Status::Running), ..change("{a}3", Fence::Force) };
        executions.write(&made(again)).await.unwrap();
        assert_eq!(executions.purge_expired(9).await.unwrap(), 0);
        tokio::time::sleep(Duration::from_millis(1_600)).await;
        assert_eq!(executions.stored("{a}1").await, None);
        let count = |status| ExecutionRead::Count { filter: Filter { status, ..Filter::default() } };
        assert_eq!(executions.read(&count(Some(Status::Completed))).await.unwrap(), Reply::Count(0));
        assert_eq!(executions.read(&count(None)).await.unwrap(), Reply::Count(1));
        executions.write(&create(creation("{a}1", Status::Running))).await.unwrap();
        assert_eq!(executions.purge_expired(9).await.unwrap(), 1);
        assert_eq!(executions.purge_expired(9).await.unwrap(), 0);
        executions.check_indexes(&["{a}1", "{a}2", "{a}3"]).await;
        for id in ["{a}1", "{a}3"] {
            executions.write(&ExecutionWrite::Delete { id: id.into() }).await.unwrap();
        }
        assert_eq!(executions.there(Bucket::of("{a}1"), &["{a}1", "{a}2", "{a}3"]).await.len(), 1);
    });
}

#[test]
fn a_change_is_one_round_trip_and_a_claim_two() {
    with_servers(&async |executions| {
        executions.write(&create(creation("a", Status::Running))).await.unwrap();
        // From here on all servers know the script.
        executions.read(&ExecutionRead::Statistics).await.unwrap();
        executions.round_trips();
        let entries = vec![entry(Some("x"), StepStatus::Started)];
        executions.write(&made(Change { entries, ..change("a", Fence::NeverLeased) })).await.unwrap();
        assert_eq!(executions.round_trips(), 1);
        let Reply::Value(claimed) = executions.write(&claim(1, 5)).await.unwrap() else { panic!() };
        assert_eq!(claimed.into_list().unwrap().len(), 1);
        assert_eq!(executions.round_trips(), 2);
        assert!(executions.write(&claim(1, 5)).await.is_ok());
        assert_eq!(executions.round_trips(), 1);
        executions.read(&ExecutionRead::Statistics).await.unwrap();
        let filter = Filter::default();
        executions.read(&ExecutionRead::Count { filter }).await.unwrap();
        assert_eq!(executions.round_trips(), 2);
        let history = ExecutionRead::History { id: "a".into(), after: None, limit: 9, max_bytes: 99, reverse: false };
        executions.read(&history).await.unwrap();
        assert_eq!(executions.round_trips(), 1);
        executions.write(&ExecutionWrite::Delete { id: "a".into() }).await.unwrap();

        // A server that has forgotten the script is sent it again.
        executions.write(&create(creation("a", Status::Running))).await.unwrap();
        let key = String::from_utf8(keys::record(executions.prefix, "a").to_vec()).unwrap();
        let words = ["SCRIPT", "FLUSH"].map(Bytes::from).to_vec();
        executions.one(Request::Words { key: Bytes::from(key), words }).await.unwrap().unwrap();
        executions.write(&made(change("a", Fence::NeverLeased))).await.unwrap();
        assert_eq!(executions.stored("a").await.unwrap().version, 2);
        executions.write(&ExecutionWrite::Delete { id: "a".into() }).await.unwrap();
    });
}

#[test]
fn what_cannot_be_read_is_corrupt_and_can_be_removed() {
    with_servers(&async |executions| {
        let key = String::from_utf8(keys::record(executions.prefix, "a").to_vec()).unwrap();
        for (field, value) in [("status", "done"), ("version", "x"), ("updatedAt", ""), ("tags", "[")] {
            executions.write(&create(creation("a", Status::Running))).await.unwrap();
            executions.command(&["HSET", &key, field, value]).await.unwrap();
            let load = ExecutionRead::Load { id: "a".into(), for_update: false };
            let error = executions.read(&load).await.unwrap_err();
            assert_eq!((error.kind(), error.id()), (Kind::CorruptData, Some("a")), "{field}");
            if field != "tags" {
                let error = executions.write(&made(change("a", Fence::NeverLeased))).await.unwrap_err();
                assert_eq!(error.kind(), Kind::CorruptData, "{field}");
            }
            let delete = ExecutionWrite::Delete { id: "a".into() };
            assert_eq!(executions.write(&delete).await.unwrap(), Reply::Flag(true), "{field}");
            assert_eq!(executions.there(Bucket::of("a"), &["a"]).await.len(), 1, "{field}");
        }
        executions.write(&create(creation("a", Status::Running))).await.unwrap();
        let log = key.replace(":saga:", ":log:");
        executions.command(&["RPUSH", &log, "what?"]).await.unwrap();
        let history = ExecutionRead::History { id: "a".into(), after: None, limit: 9, max_bytes: 99, reverse: true };
        assert_eq!(executions.read(&history).await.unwrap_err().kind(), Kind::CorruptData);
        executions.write(&ExecutionWrite::Delete { id: "a".into() }).await.unwrap();
    });
}

#[test]
fn the_number_of_buckets_is_stored_and_compared() {
    with_servers(&async |executions| {
        executions.initialize().await.unwrap();
        executions.initialize().await.unwrap();
        let key = String::from_utf8(keys::buckets(executions.prefix).to_vec()).unwrap();
        assert_eq!(executions.command(&["GET", &key]).await.unwrap().as_string().unwrap(), "256");
        executions.command(&["SET", &key, "16"]).await.unwrap();
        let error = executions.initialize().await.unwrap_err();
        assert!(error.kind() == Kind::Unsupported && error.message().contains("'16' buckets"), "{error:?}");
        executions.command(&["DEL", &key]).await.unwrap();
    });
}

#[test]
fn lists_are_merged_from_all_buckets_in_their_order() {
    with_servers(&async |executions| {
        // Many of one moment in one bucket, and others everywhere.
        let now = Millis::now();
        let mut expected = Vec::new();
        for n in 0..120_i64 {
            let id = if n % 3 == 0 { format!("{{x}}{n}") } else { format!("{n}") };
            let at = Millis(now.0 - n / 40);
            executions.write(&create(Creation { at, ..creation(&id, Status::Failed) })).await.unwrap();
            expected.push((at, id));
        }
        expected.sort();
        expected.reverse();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let read = ExecutionRead::List { filter: Filter::default(), order: Order::Created, after, limit: 17 };
            let Reply::Value(page) = executions.read(&read).await.unwrap() else { panic!() };
            let page = page.into_list().unwrap();
            let ids: Vec<String> =
                page.iter().map(|of| of.get("sagaId").unwrap().as_text().unwrap().to_owned()).collect();
            let Some(last) = ids.last() else { break };
            after = expected.iter().find(|(_, id)| id == last).map(|(at, id)| (*at, Box::from(&**id)));
            found.extend(ids);
        }
        assert_eq!(found, expected.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>());
        for chunk in [50, 70] {
            let cleanup = ExecutionWrite::Cleanup { before: now.plus(9), statuses: vec![Status::Failed], limit: chunk };
            assert_eq!(executions.write(&cleanup).await.unwrap(), Reply::Count(chunk));
        }
        let ids: Vec<&str> = expected.iter().map(|(_, id)| &**id).collect();
        executions.check_indexes(&ids).await;
    });
}

#[test]
fn replies_are_texts_and_numbers() {
    let reply = Value::Array(vec![Value::from("ok"), Value::Integer(3), Value::Bytes(Bytes::from_static(b"5"))]);
    assert_eq!(texts_of(Ok(reply)).unwrap(), ["ok", "3", "5"]);
    assert!(texts_of(Ok(Value::Null)).is_err());
}
