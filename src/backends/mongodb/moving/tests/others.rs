//! Against the server of MONGODB_URL: what other software has written, large records, and what works behind an import.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};

use super::{
    all, ask, drop_collections, event, execution, fetched, import, of_event, of_execution, pages, payload, real,
    scanning, state,
};
use crate::backends::mongodb::channel::{Carrier, Channel};
use crate::backends::mongodb::executions::log::{Place, store_all};
use crate::backends::mongodb::own::Own;
use crate::backends::mongodb::{executions, states};
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::ExecutionRead;
use crate::contract::moving::record::{Body, Payload, Record};
use crate::contract::moving::{Conflict, Moved, MovingRead, PAGE_BYTES};
use crate::contract::operation::{RecordKind, Work};
use crate::contract::states::StateRead;
use crate::contract::step::Reply;
use crate::time::Millis;

async fn insert(own: &Own, kind: Moved, documents: Vec<Document>) {
    for document in documents {
        own.server.run(doc! { "insert": own.to(kind.records()).collection(), "documents": [document] }).await.unwrap();
    }
}

/// What is unreadable, each with its reason, and how many records there are.
async fn unreadable(own: &Own, kind: Moved, limit: u64) -> (usize, Vec<(String, String)>) {
    let (mut count, mut told) = (0, Vec::new());
    for (records, unreadable) in pages(own, |after| scanning(kind, after, limit)).await {
        assert!((records.len() + unreadable.len()) as u64 <= limit);
        count += records.len();
        for one in unreadable {
            let [key, why] = &one.into_list().unwrap()[..] else { panic!() };
            told.push((key.as_text().unwrap().to_owned(), why.as_text().unwrap().to_owned()));
        }
    }
    (count, told)
}

#[tokio::test]
async fn what_is_no_record_is_told_of_and_harms_no_other() {
    let Some(own) = real().await else { return };
    let bytes = || Binary { subtype: BinarySubtype::UserDefined(0x80), bytes: b"x".to_vec() };
    let id = ObjectId::parse_str("65a1b2c3d4e5f60718293a4b").unwrap();
    let documents = vec![
        doc! { "_id": "null", "data": bytes(), "expiresAt": Bson::Null, "more": { "id": 7 } },
        doc! { "_id": "over", "data": bytes(), "expiresAt": DateTime::from_millis(1_000) },
        doc! { "_id": "text", "data": "aGVsbG8=" },
        doc! { "_id": "iso", "data": bytes(), "expiresAt": "2036-01-01T00:00:00.000Z" },
        doc! { "_id": "none" },
        doc! { "_id": "number", "data": 5 },
        doc! { "_id": id, "data": bytes() },
        doc! { "_id": 7, "data": bytes() },
        doc! { "_id": "zuletzt: ü", "data": bytes() },
    ];
    insert(&own, Moved::Payloads, documents).await;
    for limit in [1, 2, 100] {
        let (count, told) = unreadable(&own, Moved::Payloads, limit).await;
        assert_eq!(count, 3);
        let keys: Vec<&str> = told.iter().map(|(key, _)| &**key).collect();
        assert_eq!(keys[..4], ["iso", "none", "number", "text"], "{limit}");
        assert!(keys[4..].contains(&"65a1b2c3d4e5f60718293a4b") && keys[4..].contains(&"7"), "{told:?}");
        assert!(told[0].1.contains("'expiresAt' is a string") && told[1].1.contains("it has no 'data'"), "{told:?}");
    }
    // They are in the way, or are replaced.
    let records = [payload("text", b"new", None), payload("iso", b"new", None)];
    for (conflict, fates) in [
        (Conflict::Skip, ["skipped", "skipped"]),
        (Conflict::Refuse, ["ALREADY_EXISTS", "ALREADY_EXISTS"]),
        (Conflict::Overwrite, ["stored", "stored"]),
    ] {
        assert_eq!(import(&own, conflict, &records).await.unwrap(), fates);
    }
    assert_eq!(unreadable(&own, Moved::Payloads, 100).await.0, 5);

    // Of a saga the fields tell which one it is.
    let date = DateTime::from_millis(1_000);
    let saga = doc! {
        "sagaName": "Order", "sagaId": "s", "correlationId": "c", "version": 1, "createdAt": date, "updatedAt": date,
        "state": "{}",
    };
    let with = |id: Bson, without: &str| -> Document {
        let mut document: Document = doc! { "_id": id }.into_iter().chain(saga.clone()).collect();
        document.remove(without);
        if !without.is_empty() {
            document.insert("correlationId", without);
        }
        document
    };
    insert(&own, Moved::States, vec![with(id.into(), ""), with("Order:t".into(), "version")]).await;
    let (count, told) = unreadable(&own, Moved::States, 1).await;
    assert_eq!((count, &*told[0].0), (1, "Order:t"));
    assert!(told[0].1.contains("'version' is missing"), "{told:?}");

    insert(&own, Moved::Outbox, vec![doc! { "_id": "e", "status": "pending" }, doc! { "_id": id, "seq": 1_i64 }]).await;
    import(&own, Conflict::Skip, &[of_event(event("f", None))]).await.unwrap();
    for limit in [1, 9] {
        let (count, told) = unreadable(&own, Moved::Outbox, limit).await;
        assert_eq!((count, told.len()), (1, 2), "{told:?}");
    }
    insert(&own, Moved::Executions, vec![doc! { "_id": "x", "name": "Order" }]).await;
    assert_eq!(unreadable(&own, Moved::Executions, 5).await.1.len(), 1);
    insert(&own, Moved::Inbox, vec![doc! { "_id": "1:k:m", "consumer": "k" }]).await;
    assert_eq!(unreadable(&own, Moved::Inbox, 5).await.1.len(), 1);
    drop_collections(&own).await;
}

#[tokio::test]
async fn pages_have_about_so_many_bytes_and_what_is_too_large_is_refused_alone() {
    let Some(own) = real().await else { return };
    let large = vec![7; 1 << 20];
    let mut records: Vec<Record> = (0..7).map(|n| payload(&format!("p{n}"), &large, None)).collect();
    records.insert(3, payload("too large", &vec![7; 16 << 20], None));
    records.push(payload("small", b"x", None));
    let fates = import(&own, Conflict::Refuse, &records).await.unwrap();
    assert_eq!(fates.iter().filter(|fate| *fate == "stored").count(), 8);
    assert_eq!(fates[3], "PAYLOAD_TOO_LARGE");
    let scan =
        |after| MovingRead::Scan { kind: Moved::Payloads, after, limit: 100, max_bytes: 3 << 20, only_sizes: false };
    let counts: Vec<usize> = pages(&own, scan).await.iter().map(|(records, _)| records.len()).collect();
    assert!(counts.iter().all(|count| *count <= 3), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 8);
    let sizes =
        MovingRead::Scan { kind: Moved::Payloads, after: None, limit: 100, max_bytes: PAGE_BYTES, only_sizes: true };
    let page = ask(&own, sizes).await.unwrap();
    let first = page.get("records").cloned().and_then(Dynamic::into_list).unwrap().remove(0);
    assert_eq!(first.get("bytes"), Some(&Dynamic::Int(1 << 20)));
    drop_collections(&own).await;
}

#[tokio::test]
async fn what_is_imported_works_as_before() {
    let Some(own) = real().await else { return };
    // What an import that was interrupted has left is nobody's.
    let executions = own.to(RecordKind::Executions);
    let large = execution("x", 3, 400);
    store_all(&executions, "x", &mut Place::new(), &large.log[..200], None).await.unwrap();
    let record = of_execution(large);
    assert_eq!(fetched(&own, &record).await, Dynamic::Null);
    assert_eq!(import(&own, Conflict::Refuse, std::slice::from_ref(&record)).await.unwrap(), ["stored"]);
    assert_eq!(fetched(&own, &record).await, record.clone().into_dynamic());
    assert_eq!(all(&own, Moved::Executions, 10).await, [record.into_dynamic()]);
    let history =
        ExecutionRead::History { id: "x".into(), after: Some(398), limit: 10, max_bytes: 1 << 20, reverse: false };
    let Reply::Value(page) = executions::single::run(&executions, &Work::Read(history)).await.unwrap() else {
        panic!()
    };
    assert_eq!(page.get("entries").cloned().and_then(Dynamic::into_list).unwrap().len(), 2);

    // A saga that gets another correlation id leaves the old one.
    let states = own.to(RecordKind::States);
    for (conflict, record) in [(Conflict::Refuse, state("s", "old", 1)), (Conflict::Newer, state("s", "new", 2))] {
        assert_eq!(import(&own, conflict, &[record]).await.unwrap(), ["stored"]);
    }
    for (correlation_id, is_there) in [("old", false), ("new", true)] {
        let read = StateRead::ByCorrelation { name: "Order".into(), correlation_id: correlation_id.into() };
        let Reply::State(found) = states::single::run(&states, &Work::Read(read)).await.unwrap() else { panic!() };
        assert_eq!(found.is_some(), is_there, "{correlation_id}");
    }
    assert_eq!(import(&own, Conflict::Overwrite, &[state("t", "new", 1)]).await.unwrap(), ["ALREADY_EXISTS"]);

    // One without its bytes is none.
    let sized = Record::Payload(Payload { id: "p".into(), body: Body::Size(1), expires_at: Some(Millis(1)) });
    assert_eq!(import(&own, Conflict::Skip, &[sized]).await.unwrap(), ["INVALID_ARGUMENT"]);
    drop_collections(&own).await;
}
