//! Small payloads that are read on the caller's thread.

use super::*;

/// Whether it was answered on this thread, and what.
fn alone(store: &Store, id: &str) -> (bool, Result<Reply>) {
    if let Some(data) = store.get_here(id) {
        return (true, Ok(Reply::Data(Some(data))));
    }
    let (send, receive) = mpsc::channel();
    store.get(id, Box::new(move |result| drop(send.send(result))));
    (false, receive.recv_timeout(Duration::from_secs(60)).expect("an answer"))
}

fn found(store: &Store, id: &str) -> (bool, Bytes) {
    match alone(store, id) {
        (here, Ok(Reply::Data(Some(data)))) => (here, data),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_small_payload_is_read_here_once_the_reader_has_opened_the_file() {
    let directory = temp();
    let store = ready(&directory);
    put(&store, "a", b"alpha", Some(later())).unwrap();
    assert_eq!(found(&store, "a"), (false, Bytes::from_static(b"alpha")));
    assert_eq!(found(&store, "a"), (true, Bytes::from_static(b"alpha")));
    put(&store, "empty", b"", None).unwrap();
    assert_eq!(found(&store, "empty"), (true, Bytes::from_static(b"")));
    let (here, missing) = alone(&store, "none");
    assert!(!here);
    assert_eq!(missing.unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn what_another_connection_has_committed_is_seen() {
    let directory = temp();
    let store = ready(&directory);
    put(&store, "a", b"alpha", None).unwrap();
    found(&store, "a");
    let other = foreign(&directory);
    other.execute_batch("begin immediate; update saga_store set data = x'62'").unwrap();
    assert_eq!(found(&store, "a"), (true, Bytes::from_static(b"alpha")));
    other.execute_batch("commit").unwrap();
    assert_eq!(found(&store, "a"), (true, Bytes::from_static(b"b")));
}

#[test]
fn an_expired_payload_does_not_exist_here_either() {
    let directory = temp();
    let store = ready(&directory);
    put(&store, "a", b"alpha", None).unwrap();
    found(&store, "a");
    foreign(&directory).execute_batch("update saga_store set expires_at = '2020-01-01 00:00:00'").unwrap();
    let (here, expired) = alone(&store, "a");
    assert!(!here);
    assert_eq!(expired.unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_large_payload_is_left_to_the_reader() {
    let directory = temp();
    let store = ready(&directory);
    put(&store, "small", &[1; 16_384], None).unwrap();
    put(&store, "large", &vec![2; 16_385], None).unwrap();
    found(&store, "small");
    assert_eq!(found(&store, "small"), (true, Bytes::from(vec![1; 16_384])));
    assert_eq!(found(&store, "large"), (false, Bytes::from(vec![2; 16_385])));
}

#[test]
fn what_cannot_be_read_here_fails_as_it_does_there() {
    let directory = temp();
    let store = ready(&directory);
    put(&store, "a", b"alpha", None).unwrap();
    put(&store, "b", b"beta", None).unwrap();
    found(&store, "a");
    foreign(&directory).execute_batch("update saga_store set expires_at = 'soon' where id = 'a'").unwrap();
    for _ in 0..3 {
        let (here, unreadable) = alone(&store, "a");
        assert!(!here);
        assert_eq!(unreadable.unwrap_err().kind(), Kind::CorruptData);
    }
    assert_eq!(found(&store, "b").1.as_ref(), b"beta");
}

#[test]
fn memory_is_never_read_here() {
    let store = Store::open(Some("sqlite"), r#"{"url": "sqlite::memory:"}"#).unwrap();
    wait(store.initialize()).unwrap();
    put(&store, "a", b"alpha", None).unwrap();
    for _ in 0..2 {
        assert!(!alone(&store, "a").0);
    }
}

#[test]
fn the_file_is_released_by_close() {
    let directory = temp();
    let store = ready(&directory);
    put(&store, "a", b"alpha", None).unwrap();
    found(&store, "a");
    assert!(alone(&store, "a").0);
    wait(store.close());
    assert_eq!(alone(&store, "a").1.unwrap_err().kind(), Kind::Closed);
    assert!(!directory.path().join("sagas.db-wal").exists(), "the last connection has moved the WAL into the database");
}
