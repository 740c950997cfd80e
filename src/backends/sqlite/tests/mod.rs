//! Against real files, through a [`Store`] as the binding uses it.

mod bell;
mod concurrency;
mod executions;
mod here;
#[cfg(target_os = "linux")]
mod others;
#[cfg(unix)]
mod processes;
mod query;

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::contract::step::Reply;
use crate::error::{Detail, Error, Kind, Result};
use crate::store::Store;
use crate::store::lane::Settle;
use crate::time::Millis;

/// Waits for an async answer, on a runtime that stands for the binding's.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

struct Answers {
    send: mpsc::Sender<Result<Reply>>,
    receive: mpsc::Receiver<Result<Reply>>,
}

impl Answers {
    fn new() -> Self {
        let (send, receive) = mpsc::channel();
        Self { send, receive }
    }

    fn settle(&self) -> Settle {
        let send = self.send.clone();
        Box::new(move |result| drop(send.send(result)))
    }

    fn next(&self) -> Result<Reply> {
        self.receive.recv_timeout(Duration::from_secs(60)).expect("an answer")
    }
}

fn one(call: impl FnOnce(Settle)) -> Result<Reply> {
    let answers = Answers::new();
    call(answers.settle());
    answers.next()
}

fn put(store: &Store, id: &str, data: &[u8], expires_at: Option<Millis>) -> Result<Reply> {
    one(|settle| store.put(id, Bytes::copy_from_slice(data), expires_at, settle))
}

fn find(store: &Store, id: &str) -> Result<Option<Bytes>> {
    match one(|settle| store.find(id, settle))? {
        Reply::Data(data) => Ok(data),
        other => panic!("{other:?}"),
    }
}

fn get_error(store: &Store, id: &str) -> Error {
    one(|settle| store.get(id, settle)).unwrap_err()
}

fn open_with(path: &Path, options: &str) -> Store {
    let url = serde_json::to_string(&format!("sqlite://{}", path.display())).unwrap();
    Store::open(Some("sqlite"), &format!("{{\"url\": {url}{options}}}")).unwrap()
}

fn ready(directory: &TempDir) -> Store {
    ready_with(directory, "")
}

fn ready_with(directory: &TempDir, options: &str) -> Store {
    let store = open_with(&directory.path().join("sagas.db"), options);
    assert_eq!(wait(store.initialize()).unwrap(), Vec::<String>::new());
    store
}

fn foreign(directory: &TempDir) -> Connection {
    let connection = Connection::open(directory.path().join("sagas.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
}

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn later() -> Millis {
    Millis::now().plus(60_000)
}

#[test]
fn puts_and_reads_and_closes() {
    let directory = temp();
    let store = ready(&directory);
    assert_eq!(put(&store, "a", b"alpha", Some(later())).unwrap(), Reply::Done);
    assert_eq!(put(&store, "empty", b"", None).unwrap(), Reply::Done);
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    put(&store, "large", &large, None).unwrap();
    assert_eq!(find(&store, "a").unwrap().as_deref(), Some(b"alpha".as_slice()));
    assert_eq!(find(&store, "empty").unwrap().as_deref(), Some(b"".as_slice()));
    assert_eq!(find(&store, "large").unwrap().as_deref(), Some(large.as_slice()));
    assert_eq!(find(&store, "none").unwrap(), None);
    put(&store, "a", b"beta", None).unwrap();
    assert_eq!(find(&store, "a").unwrap().as_deref(), Some(b"beta".as_slice()));
    assert_eq!(one(|settle| store.touch("a", Millis::now().plus(30), settle)).unwrap(), Reply::Flag(true));
    assert_eq!(one(|settle| store.has("a", settle)).unwrap(), Reply::Flag(true));
    std::thread::sleep(Duration::from_millis(40));
    assert_eq!(one(|settle| store.has("a", settle)).unwrap(), Reply::Flag(false));
    assert_eq!(one(|settle| store.touch("a", Millis::now().plus(99), settle)).unwrap(), Reply::Flag(false));
    assert_eq!(one(|settle| store.delete("a", settle)).unwrap(), Reply::Flag(false));
    assert_eq!(one(|settle| store.delete("empty", settle)).unwrap(), Reply::Flag(true));
    let statistics = wait(store.statistics()).unwrap();
    assert_eq!((statistics.usage.as_ref().unwrap().payloads, statistics.usage.as_ref().unwrap().bytes), (1, 3_000_000));
    assert_eq!(statistics.pool.unwrap().open, 4);
    wait(store.close());
    assert_eq!(get_error(&store, "large").kind(), Kind::Closed);
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["sagas.db"], "the WAL is moved into the database and removed");
    let page_size: u32 = foreign(&directory).pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    assert_eq!(page_size, 16_384);
}

#[test]
fn files_are_released_on_close_and_on_drop() {
    for by_close in [true, false] {
        let directory = temp();
        let stores = [ready(&directory), ready(&directory)];
        for store in &stores {
            put(store, "a", b"alpha", None).unwrap();
            assert!(find(store, "a").unwrap().is_some());
        }
        for store in stores {
            if by_close {
                wait(store.close());
            }
            drop(store);
        }
        let wal = directory.path().join("sagas.db-wal");
        let released = || !wal.exists() && !is_open(directory.path());
        let started = Instant::now();
        while !by_close && !released() && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(released(), "by close: {by_close}, WAL: {}", wal.exists());
    }
}

/// Whether this process has a file in `directory` open.
fn is_open(directory: &Path) -> bool {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return false };
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).any(|target| target.starts_with(directory))
}

#[test]
fn opening_touches_nothing() {
    let directory = temp();
    let store = open_with(&directory.path().join("sagas.db"), "");
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none());
    wait(store.close());
    let error = Store::open(None, r#"{"url": "sqlite:a.db", "durabilty": "full"}"#).err().unwrap();
    assert!(error.message().contains("did you mean 'durability'"), "{error}");
    let error = Store::open(None, r#"{"url": "sqlite:a.db", "tableName": "a b"}"#).err().unwrap();
    assert_eq!(error.kind(), Kind::InvalidArgument);
}

#[test]
fn without_initialize_it_says_so() {
    let directory = temp();
    let path = directory.path().join("sagas.db");
    let store = open_with(&path, "");
    let health = wait(store.health());
    assert_eq!(health.status, "degraded", "{health:?}");
    for error in [get_error(&store, "a"), put(&store, "a", b"", None).unwrap_err()] {
        assert!(error.kind() == Kind::Backend && error.message().contains("call initialize()"), "{error:?}");
        assert!(!error.is_retryable());
    }
    assert!(!path.exists(), "only initialize() makes the file");
    drop(Connection::open(&path).unwrap().execute_batch("create table other (x)"));
    for error in [get_error(&store, "a"), put(&store, "a", b"", None).unwrap_err()] {
        assert!(error.message().contains("call initialize()"), "{error:?}");
    }
    assert!(wait(store.health()).message.unwrap().contains("call initialize()"));
    wait(store.initialize()).unwrap();
    put(&store, "a", b"alpha", None).unwrap();
    let health = wait(store.health());
    assert_eq!(health.status, "healthy", "{health:?}");
    assert!(health.details.contains(&("journalMode", Detail::Text(String::from("wal")))), "{health:?}");
    wait(store.close());
}

#[test]
fn memory_is_private_and_needs_no_file() {
    let open = || Store::open(Some("sqlite"), r#"{"url": "sqlite::memory:"}"#).unwrap();
    let (a, b) = (open(), open());
    assert!(!a.capabilities().durable && !a.capabilities().shared);
    for store in [&a, &b] {
        wait(store.initialize()).unwrap();
    }
    put(&a, "a", b"alpha", None).unwrap();
    assert_eq!(find(&b, "a").unwrap(), None);
    // Reads and writes of many calls at once, on one connection and one thread.
    let answers = Answers::new();
    for n in 0..2_000 {
        a.put(&format!("{}", n % 50), Bytes::from(format!("{n}")), None, answers.settle());
        a.find("a", answers.settle());
    }
    for _ in 0..4_000 {
        assert_ne!(answers.next().unwrap(), Reply::Data(None));
    }
    assert_eq!(find(&a, "49").unwrap().as_deref(), Some(b"1999".as_slice()));
    assert_eq!(wait(a.statistics()).unwrap().usage.unwrap().payloads, 51);
    assert_eq!(wait(a.health()).status, "healthy");
    wait(a.close());
    wait(b.close());
}

#[test]
fn a_lone_failure_in_a_group_fails_alone() {
    let directory = temp();
    let store = ready(&directory);
    let other = foreign(&directory);
    other
        .execute_batch("create trigger refuse before insert on saga_store when new.id like 'bad%' begin select raise(abort, 'no'); end")
        .unwrap();
    let answers: Vec<(String, Answers)> = (0..300)
        .map(|n| {
            let id = if n % 100 == 50 { format!("bad{n}") } else { format!("good{n}") };
            let answers = Answers::new();
            store.put(&id, Bytes::from_static(b"x"), None, answers.settle());
            (id, answers)
        })
        .collect();
    for (id, answers) in answers {
        let result = answers.next();
        assert_eq!(result.is_err(), id.starts_with("bad"), "{id}: {result:?}");
        if let Err(error) = result {
            assert_eq!((error.kind(), error.id()), (Kind::Backend, Some(id.as_str())));
        }
    }
    let stored: u32 = other.query_row("select count(*) from saga_store", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 297);
    wait(store.close());
}

#[test]
fn a_rolled_back_group_answers_everybody_with_the_error() {
    let directory = temp();
    let store = ready_with(&directory, r#", "retry": {"attempts": 1}"#);
    // "rollback" ends the whole transaction, as a full disk does.
    foreign(&directory)
        .execute_batch("create trigger full before insert on saga_store when new.id = 'full' begin select raise(rollback, 'full'); end")
        .unwrap();
    put(&store, "before", b"x", None).unwrap();
    // The writer is kept busy, so that what follows becomes one group.
    let lock = foreign(&directory);
    lock.execute_batch("begin immediate").unwrap();
    let answers = Answers::new();
    store.put("first", Bytes::new(), None, answers.settle());
    std::thread::sleep(Duration::from_millis(100));
    for id in ["a", "full", "b"] {
        store.put(id, Bytes::from_static(b"x"), None, answers.settle());
    }
    lock.execute_batch("commit").unwrap();
    answers.next().unwrap();
    for _ in 0..3 {
        answers.next().unwrap_err();
    }
    for id in ["a", "b", "full"] {
        assert_eq!(find(&store, id).unwrap(), None, "{id}");
    }
    assert!(find(&store, "before").unwrap().is_some());
    put(&store, "after", b"x", None).unwrap();
    wait(store.close());
}

#[test]
fn times_in_other_forms_are_read_and_not_purged_early() {
    let directory = temp();
    let store = ready(&directory);
    let soon = Millis::now().plus(3_600_000).to_iso();
    let past = Millis(Millis::now().0 - 3_600_000).to_iso();
    let spaced = |iso: &str| iso.replace('T', " ").replace('Z', "");
    let offset = |iso: &str| iso.replace('Z', "+00:00");
    let whole = |iso: &str| format!("{}Z", &iso[..19]);
    let other = foreign(&directory);
    let mut insert = other.prepare("insert into saga_store (id, data, expires_at) values (?1, x'61', ?2)").unwrap();
    for (id, at) in
        [("spaced", spaced(&soon)), ("offset", offset(&soon)), ("whole", whole(&soon)), ("iso", soon.clone())]
    {
        insert.execute((id, at)).unwrap();
    }
    for (id, at) in
        [("old spaced", spaced(&past)), ("old offset", offset(&past)), ("old whole", whole(&past)), ("old", past)]
    {
        insert.execute((id, at)).unwrap();
    }
    insert.execute(("odd", "next week")).unwrap();
    let alive = ["spaced", "offset", "whole", "iso"];
    let dead = ["old spaced", "old offset", "old whole", "old"];
    assert!(alive.iter().all(|id| find(&store, id).unwrap().is_some()));
    assert!(dead.iter().all(|id| find(&store, id).unwrap().is_none()));
    assert_eq!(get_error(&store, "odd").kind(), Kind::CorruptData);
    assert_eq!(wait(store.statistics()).unwrap().usage.unwrap().expired, 4);
    assert_eq!(wait(store.purge_expired(1_000_000)).unwrap(), 4);
    assert!(alive.iter().all(|id| find(&store, id).unwrap().is_some()));
    wait(store.close());
}

#[test]
fn purges_in_batches() {
    let directory = temp();
    let store = ready(&directory);
    foreign(&directory)
        .execute_batch(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2500) \
             insert into saga_store (id, data, expires_at) select 'p' || i, x'00', '2001-01-01T00:00:00.000Z' from n",
        )
        .unwrap();
    assert_eq!(wait(store.purge_expired(100)).unwrap(), 100);
    assert_eq!(wait(store.purge_expired(u64::MAX)).unwrap(), 2_400);
    assert_eq!(wait(store.statistics()).unwrap().usage.unwrap().payloads, 0);
    wait(store.close());
}

#[test]
fn what_is_no_database_is_said() {
    let directory = temp();
    let cases: [(&str, Kind, &str); 3] = [
        ("directory", Kind::Connection, "is a directory"),
        ("missing/sagas.db", Kind::Connection, "does not exist"),
        ("text", Kind::CorruptData, "not an SQLite database"),
    ];
    std::fs::create_dir(directory.path().join("directory")).unwrap();
    std::fs::write(directory.path().join("text"), "once upon a time\n".repeat(1_000)).unwrap();
    for (name, kind, says) in cases {
        let store = open_with(&directory.path().join(name), "");
        let errors = [
            wait(store.initialize()).unwrap_err(),
            put(&store, "a", b"alpha", None).unwrap_err(),
            get_error(&store, "a"),
        ];
        for error in errors {
            assert_eq!((error.kind(), error.is_retryable()), (kind, false), "{name}: {error:?}");
            assert!(error.message().contains(says), "{name}: {error:?}");
            assert!(!error.causes().is_empty(), "{name}: {error:?}");
        }
        assert_eq!(wait(store.health()).status, "unhealthy");
        wait(store.close());
    }
}

#[test]
fn a_failed_open_is_tried_again() {
    let directory = temp();
    let path = directory.path().join("later");
    let store = open_with(&path.join("sagas.db"), "");
    assert_eq!(wait(store.initialize()).unwrap_err().kind(), Kind::Connection);
    std::fs::create_dir(&path).unwrap();
    wait(store.initialize()).unwrap();
    put(&store, "a", b"alpha", None).unwrap();
    wait(store.close());
}

#[test]
fn tables_of_others_are_checked() {
    let directory = temp();
    let store = open_with(&directory.path().join("sagas.db"), "");
    let other = foreign(&directory);
    for (table, says) in [
        ("id text primary key, body blob, expires_at text", "data is missing"),
        ("id integer primary key, data blob, expires_at text", "id is integer"),
        ("id text, data blob, expires_at text", "neither its primary key nor unique"),
        ("id text, data blob, expires_at text, unique (id, expires_at)", "neither its primary key nor unique"),
        ("id text primary key, data blob, expires_at text, owner text not null", "owner must have a value"),
    ] {
        other.execute_batch(&format!("drop table if exists saga_store; create table saga_store ({table})")).unwrap();
        let error = wait(store.initialize()).unwrap_err();
        assert!(error.message().contains(says), "{table}: {error:?}");
    }
    for table in [
        "id varchar(255) not null, data blob, expires_at datetime, note text; create unique index u on saga_store (id)",
        "id text primary key, data blob not null, expires_at text not null",
    ] {
        let table = table.replacen(';', ");", 1);
        let close = if table.ends_with("(id)") { "" } else { ")" };
        other.execute_batch(&format!("drop table saga_store; create table saga_store ({table}{close}")).unwrap();
        let warnings = wait(store.initialize()).unwrap();
        assert_eq!(warnings.len(), usize::from(table.contains("text not null")), "{warnings:?}");
        let large: Vec<u8> = (0..100_000).map(|_| fastrand::u8(..)).collect();
        put(&store, "a", &large, Some(later())).unwrap();
        assert!(find(&store, "a").unwrap().is_some_and(|found| *found == *large));
        assert_eq!(one(|settle| store.has("a", settle)).unwrap(), Reply::Flag(true));
        let indexes: u32 = other
            .query_row(
                "select count(*) from pragma_index_list('saga_store') where name = 'saga_store_expires_at_idx'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(indexes, 1);
    }
    assert!(put(&store, "b", b"", None).unwrap_err().message().contains("an expiry?"));
    wait(store.close());
}
