//! Against a real server: they run when POSTGRES_URL is set.

mod executions;
mod query;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor as _, Row, raw_sql};

use super::executor::Session;
use super::pool::{Patience, Pool};
use crate::contract::payloads::{Read, Write};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::runtime;
use crate::sql::payloads::PayloadSql;
use crate::sql::schema::TimeColumn;
use crate::sql::{Dialect, Executor, Table};
use crate::store::Store;
use crate::store::lane::Settle;
use crate::time::Millis;

fn server() -> Option<String> {
    let url = std::env::var("POSTGRES_URL").ok();
    if url.is_none() {
        eprintln!("SKIPPED, not tested: POSTGRES_URL is not set, so no PostgreSQL server is asked");
    }
    url
}

/// A name of its own for each test.
fn fresh(name: &str) -> String {
    format!("t_{name}_{:08x}", fastrand::u32(..))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    runtime::io().unwrap().block_on(work)
}

fn admin(sql: &str) -> Vec<String> {
    let url = std::env::var("POSTGRES_URL").unwrap();
    block_on(async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let rows = connection.fetch_all(raw_sql(AssertSqlSafe(sql))).await.unwrap();
        let texts = rows.iter().map(|row| row.try_get_unchecked::<String, _>(0).unwrap_or_default()).collect();
        connection.close().await.unwrap();
        texts
    })
}

fn store_with(url: &str, table: &str, more: &str) -> Store {
    Store::open(Some("postgres"), &format!(r#"{{"url": "{url}", "tableName": "{table}"{more}}}"#)).unwrap()
}

fn store(table: &str) -> Store {
    store_with(&std::env::var("POSTGRES_URL").unwrap(), table, "")
}

fn later(calls: impl FnOnce(&dyn Fn() -> Settle)) -> Vec<Result<Reply>> {
    let (sender, receiver) = mpsc::channel();
    let count = std::cell::Cell::new(0_usize);
    calls(&|| {
        let (at, sender) = (count.get(), sender.clone());
        count.set(at + 1);
        Box::new(move |result| sender.send((at, result)).unwrap())
    });
    drop(sender);
    let mut answers: Vec<(usize, Result<Reply>)> = receiver.iter().collect();
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn one(call: impl FnOnce(Settle)) -> Result<Reply> {
    later(|settle| call(settle())).remove(0)
}

fn put(store: &Store, id: &str, data: &[u8], expires_at: Option<Millis>) -> Result<()> {
    one(|settle| store.put(id, Bytes::copy_from_slice(data), expires_at, settle)).map(drop)
}

fn find(store: &Store, id: &str) -> Result<Option<Vec<u8>>> {
    one(|settle| store.find(id, settle)).map(|reply| match reply {
        Reply::Data(data) => data.map(|data| data.to_vec()),
        other => panic!("{other:?}"),
    })
}

fn expect_err(result: Result<impl std::fmt::Debug>) -> Error {
    result.unwrap_err()
}

#[test]
fn what_goes_in_comes_out() {
    if server().is_none() {
        return;
    }
    let table = fresh("round");
    let store = store(&table);
    assert_eq!(block_on(store.initialize()).unwrap(), Vec::<String>::new());
    let in_an_hour = Some(Millis::now().plus(3_600_000));
    for size in [0, 1, 1_000, 40_000, 300_000, 5_000_000] {
        let data: Vec<u8> = (0..size).map(|_| fastrand::u8(..)).collect();
        put(&store, &format!("of {size} bytes, 'quoted' ü"), &data, in_an_hour).unwrap();
        assert!(find(&store, &format!("of {size} bytes, 'quoted' ü")).unwrap().unwrap() == data, "{size}");
    }
    // More at once, small and large, and one id twice: each answer is its own memory.
    for index in 0..64 {
        put(&store, &index.to_string(), &vec![index; 50_000], None).unwrap();
    }
    let found = later(|settle| {
        for index in (0..64).chain([7]) {
            store.find(&index.to_string(), settle());
        }
    });
    for (index, reply) in (0..64).chain([7_u8]).zip(&found) {
        let Ok(Reply::Data(Some(data))) = reply else { panic!("{reply:?}") };
        assert!(data.len() == 50_000 && data.iter().all(|byte| *byte == index));
    }
    assert_eq!(one(|settle| store.has("7", settle)).unwrap(), Reply::Flag(true));
    assert_eq!(one(|settle| store.touch("7", Millis::now().plus(300), settle)).unwrap(), Reply::Flag(true));
    std::thread::sleep(Duration::from_millis(350));
    assert_eq!(find(&store, "7").unwrap(), None);
    assert_eq!(one(|settle| store.delete("7", settle)).unwrap(), Reply::Flag(false));
    assert_eq!(one(|settle| store.delete("8", settle)).unwrap(), Reply::Flag(true));
    let statistics = block_on(store.statistics()).unwrap();
    assert_eq!((statistics.usage.as_ref().unwrap().payloads, statistics.usage.as_ref().unwrap().expired), (68, 0));
    assert!(statistics.pool.unwrap().open >= 1);
    block_on(store.close());
    admin(&format!("drop table {table}"));
}

#[test]
fn writes_of_one_id_keep_their_order() {
    if server().is_none() {
        return;
    }
    let table = fresh("order");
    let store = store(&table);
    block_on(store.initialize()).unwrap();
    let answers = later(|settle| {
        for round in 0..200 {
            for id in ["a", "b", "c"] {
                store.put(id, Bytes::from(round.to_string()), None, settle());
                if round % 50 == 10 {
                    store.delete(id, settle());
                    store.touch(id, Millis::now().plus(60_000), settle());
                }
            }
        }
    });
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Ok(Reply::Flag(true)))).count(), 12);
    for id in ["a", "b", "c"] {
        assert_eq!(find(&store, id).unwrap().unwrap(), b"199");
    }
    block_on(store.close());
    admin(&format!("drop table {table}"));
}

/// Each store has a pool of its own, as other processes have.
#[test]
fn groups_on_the_same_rows_do_not_deadlock() {
    let Some(url) = server() else { return };
    let table = fresh("locks");
    let separator = if url.contains('?') { '&' } else { '?' };
    let stores: Vec<Store> =
        (0..4).map(|index| store_with(&format!("{url}{separator}application_name=locks{index}"), &table, "")).collect();
    block_on(stores[0].initialize()).unwrap();
    let answers = later(|settle| {
        for _ in 0..1_500 {
            let (store, id) = (&stores[fastrand::usize(..4)], fastrand::u8(..60).to_string());
            match fastrand::u8(..4) {
                0 => store.delete(&id, settle()),
                1 => store.touch(&id, Millis::now().plus(10_000), settle()),
                2 => store.put(&id, Bytes::from_static(b"x"), None, settle()),
                _ => store.find(&id, settle()),
            }
        }
    });
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
    for store in &stores {
        block_on(store.close());
    }
    admin(&format!("drop table {table}"));
}

#[test]
fn one_bad_row_fails_alone() {
    if server().is_none() {
        return;
    }
    let table = fresh("bad");
    admin(&format!(
        "create table {table} (id text primary key check (id <> 'bad'), data bytea not null, expires_at timestamptz not null)"
    ));
    let store = store(&table);
    let warnings = block_on(store.initialize()).unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("NOT NULL"), "{warnings:?}");
    let soon = Millis::now().plus(60_000);
    let answers = later(|settle| {
        for index in 0..100 {
            store.put(&format!("good {index}"), Bytes::from_static(b"x"), Some(soon), settle());
        }
        store.put("bad", Bytes::from_static(b"x"), Some(soon), settle());
        store.put("for ever", Bytes::from_static(b"x"), None, settle());
    });
    assert!(answers[..100].iter().all(Result::is_ok));
    for (answer, id) in answers[100..].iter().zip(["bad", "for ever"]) {
        let Err(error) = answer else { panic!("{id} was stored") };
        assert_eq!((error.kind(), error.is_retryable(), error.id()), (Kind::Backend, false, Some(id)), "{error:?}");
    }
    block_on(store.close());
    admin(&format!("drop table {table}"));
}

#[test]
fn a_column_without_time_zone_is_utc() {
    let Some(url) = server() else { return };
    let table = fresh("utc");
    admin(&format!(
        "create table {table} (id varchar(255) primary key, data bytea not null, expires_at timestamp not null)"
    ));
    let store = store_with(&url, &table, "");
    block_on(store.initialize()).unwrap();
    put(&store, "mine", b"x", Some(Millis(4_102_444_800_123))).unwrap();
    let written = admin(&format!("select expires_at::text from {table} where id = 'mine'"));
    assert_eq!(written, ["2100-01-01 00:00:00.123"]);
    // The driver's sessions are in UTC. The statements do not rely on it.
    let address = super::address::parse(&url).unwrap();
    let pool = Arc::new(Pool::new(address.options, 1, Duration::from_secs(5)));
    let sql = PayloadSql::new(Dialect::Postgres, &Table::new(None, table.clone()), TimeColumn::WithoutTimeZone);
    block_on(async {
        let checkout = pool.checkout(Patience { wait: Duration::from_secs(5), trust: Duration::ZERO }).await.unwrap();
        let mut session = Session::new(checkout, &table.as_str().into(), true);
        session.run("set time zone 'Asia/Tokyo'", &[]).await.unwrap();
        let soon = Millis::now().plus(60_000);
        let puts: Vec<Write> = ["tokyo 1", "tokyo 2"]
            .map(|id| Write::Put { id: id.into(), data: Bytes::new(), expires_at: Some(soon) })
            .into();
        assert!(sql.write(&mut session, &puts, Millis::now()).await.iter().all(Result::is_ok));
        assert!(sql.write(&mut session, &puts[..1], Millis::now()).await.iter().all(Result::is_ok));
        let finds: Vec<Read> = ["tokyo 1", "tokyo 2", "mine"].map(|id| Read::Find { id: id.into() }).into();
        for reply in sql.read(&mut session, &finds, Millis::now()).await {
            assert!(matches!(reply, Ok(Reply::Data(Some(_)))), "{reply:?}");
        }
        assert!(matches!(sql.read(&mut session, &finds[..1], soon.plus(1)).await[..], [Ok(Reply::Data(None))]));
        assert_eq!(sql.purge_expired(&mut session, Millis::now(), 10).await.unwrap(), 0);
        drop(session);
        pool.close().await;
    });
    admin(&format!(
        "insert into {table} values ('theirs', 'y', (now() at time zone 'UTC') + interval '1 minute'), ('gone', 'y', (now() at time zone 'UTC') - interval '1 minute')"
    ));
    assert_eq!(find(&store, "theirs").unwrap().unwrap(), b"y");
    assert_eq!(find(&store, "gone").unwrap(), None);
    assert_eq!(block_on(store.purge_expired(100)).unwrap(), 1);
    block_on(store.close());
    admin(&format!("drop table {table}"));
}

#[test]
fn a_missing_table_says_what_to_do_and_is_looked_for_again() {
    if server().is_none() {
        return;
    }
    let table = fresh("missing");
    let store = store(&table);
    let says_so = |result: Result<()>| {
        let error = expect_err(result);
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false));
        assert!(error.message().contains("call initialize()"), "{error}");
    };
    says_so(put(&store, "a", b"x", None));
    says_so(find(&store, "a").map(drop));
    let health = block_on(store.health());
    assert!(health.status == "degraded" && health.message.unwrap().contains("initialize()"));
    block_on(store.initialize()).unwrap();
    put(&store, "a", b"x", None).unwrap();
    assert_eq!(block_on(store.health()).status, "healthy");
    admin(&format!("drop table {table}"));
    says_so(put(&store, "a", b"x", None));
    admin(&format!("create table {table} (id text primary key, data bytea not null, expires_at timestamp)"));
    put(&store, "a", b"x", Some(Millis(4_102_444_800_000))).unwrap();
    assert_eq!(admin(&format!("select expires_at::text from {table}")), ["2100-01-01 00:00:00"]);
    block_on(store.close());
    admin(&format!("drop table {table}"));
}

#[test]
fn a_foreign_table_is_named_with_what_is_wrong() {
    if server().is_none() {
        return;
    }
    for (columns, wrong) in [
        ("id text primary key, data text, expires_at timestamptz", "data is text, expected bytea"),
        ("id bigint primary key, data bytea, expires_at timestamptz", "id is int8, expected text"),
        ("id text primary key, data bytea", "expires_at is missing"),
        ("id text primary key, data bytea, expires_at timestamptz, owner text not null", "owner must have a value"),
        (
            "id text, data bytea, expires_at timestamptz, unique (id, expires_at)",
            "no primary key or unique index on (id)",
        ),
    ] {
        let table = fresh("foreign");
        admin(&format!("create table {table} ({columns})"));
        let store = store(&table);
        let error = expect_err(block_on(store.initialize()));
        assert!(error.message().contains(wrong) && error.message().contains(&table), "{error}");
        block_on(store.close());
        admin(&format!("drop table {table}"));
    }
}

#[test]
fn initialize_is_safe_from_many_at_once_and_leaves_a_finished_table_alone() {
    let Some(url) = server() else { return };
    let (schema, table) = (fresh("schema"), fresh("many"));
    // Pools of their own: each has another application name.
    let separator = if url.contains('?') { '&' } else { '?' };
    let stores: Vec<Store> = (0..8)
        .map(|index| {
            store_with(
                &format!("{url}{separator}application_name=many{index}"),
                &table,
                &format!(r#", "schema": "{schema}""#),
            )
        })
        .collect();
    let all = || {
        let results = block_on(futures_util::future::join_all(stores.iter().map(Store::initialize)));
        for result in results {
            assert_eq!(result.unwrap(), Vec::<String>::new());
        }
    };
    all();
    let index = format!(
        "select indexrelid::regclass::text from pg_index where indrelid = '{schema}.{table}'::regclass and not indisprimary"
    );
    assert_eq!(admin(&index).len(), 1);
    assert_eq!(
        admin(&format!(
            "select attstorage::text from pg_attribute where attrelid = '{schema}.{table}'::regclass and attname = 'data'"
        )),
        ["e"]
    );
    // The index is missing: made while others hold locks of their writes.
    let name = admin(&index).remove(0);
    admin(&format!("drop index {name}"));
    all();
    assert_eq!(admin(&index).len(), 1);
    let role = fresh("role");
    admin(&format!(
        "create role {role} login password 'pw'; grant usage on schema {schema} to {role}; grant select, insert, update, delete on all tables in schema {schema} to {role}"
    ));
    let limited_url = {
        let mut parsed = url::Url::parse(&url).unwrap();
        parsed.set_username(&role).unwrap();
        parsed.set_password(Some("pw")).unwrap();
        parsed.to_string()
    };
    let limited = store_with(&limited_url, &table, &format!(r#", "schema": "{schema}""#));
    assert_eq!(block_on(limited.initialize()).unwrap(), Vec::<String>::new());
    put(&limited, "a", b"x", None).unwrap();
    // A table of sagas that is not there, and that this role may not make.
    let elsewhere =
        store_with(&limited_url, &table, &format!(r#", "schema": "{schema}", "statesTableName": "others""#));
    let warnings = block_on(elsewhere.initialize()).unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("\"others\" of sagas cannot be made"), "{warnings:?}");
    block_on(elsewhere.close());
    admin(&format!("revoke insert on {schema}.{table} from {role}; drop index {name}"));
    let error = expect_err(put(&limited, "b", b"x", None));
    assert!(error.message().contains("permission denied") && !error.is_retryable(), "{error}");
    let warnings = block_on(limited.initialize()).unwrap();
    assert!(warnings.len() == 2 && warnings[0].contains("no index on expires_at"), "{warnings:?}");
    assert!(
        warnings[1].contains("lacks the rights") && warnings[1].ends_with(&format!("\"{table}\": insert")),
        "{warnings:?}"
    );
    for store in stores.iter().chain([&limited]) {
        block_on(store.close());
    }
    admin(&format!("drop schema {schema} cascade; drop owned by {role}; drop role {role}"));
}

#[test]
fn dead_connections_are_replaced_and_close_leaves_none() {
    let Some(url) = server() else { return };
    let table = fresh("dead");
    let name = fresh("app");
    let separator = if url.contains('?') { '&' } else { '?' };
    let store = store_with(&format!("{url}{separator}application_name={name}"), &table, "");
    block_on(store.initialize()).unwrap();
    let busy = |count: usize| {
        later(|settle| {
            for index in 0..count {
                store.put(&index.to_string(), Bytes::from(vec![7; 10_000]), None, settle());
                store.find(&index.to_string(), settle());
            }
        })
    };
    assert!(busy(500).iter().all(Result::is_ok));
    let kill =
        format!("select pg_terminate_backend(pid)::text from pg_stat_activity where application_name = '{name}'");
    for _ in 0..3 {
        assert!(!admin(&kill).is_empty());
        put(&store, "after", b"x", None).unwrap();
        assert!(busy(100).iter().all(Result::is_ok));
        std::thread::sleep(Duration::from_millis(600));
        admin(&kill);
        assert_eq!(one(|settle| store.delete("after", settle)).unwrap(), Reply::Flag(true));
    }
    block_on(store.close());
    let there = format!("select pid::text from pg_stat_activity where application_name = '{name}'");
    let since = Instant::now();
    while !admin(&there).is_empty() {
        assert!(since.elapsed() < Duration::from_secs(2), "connections after close()");
        std::thread::sleep(Duration::from_millis(20));
    }
    admin(&format!("drop table {table}"));
}

/// A role that may have two connections, and a pool that wants four.
#[test]
fn a_full_server_is_used_with_the_connections_that_there_are() {
    let Some(url) = server() else { return };
    let (table, role) = (fresh("full"), fresh("role"));
    admin(&format!(
        "create role {role} login password 'pw' connection limit 2; create table {table} (id text primary key, data bytea not null, expires_at timestamptz); grant all on {table} to {role}"
    ));
    let mut limited = url::Url::parse(&url).unwrap();
    limited.set_username(&role).unwrap();
    limited.set_password(Some("pw")).unwrap();
    let store = store_with(limited.as_str(), &table, "");
    for _ in 0..5 {
        let answers = later(|settle| {
            for index in 0..300 {
                store.put(&index.to_string(), Bytes::from(vec![7; 10_000]), None, settle());
                store.find(&index.to_string(), settle());
            }
        });
        assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
    }
    block_on(store.close());
    admin(&format!("drop table {table}; drop role {role}"));
}

#[test]
fn a_statement_that_hangs_takes_its_connection_with_it() {
    let Some(url) = server() else { return };
    let table = fresh("hangs");
    let store = store_with(&url, &table, r#", "poolSize": 1, "operationTimeoutMs": 1500"#);
    block_on(store.initialize()).unwrap();
    put(&store, "a", b"1", None).unwrap();
    let mut holder = block_on(PgConnection::connect(&url)).unwrap();
    block_on(holder.execute(raw_sql(AssertSqlSafe(format!("begin; lock table {table} in access exclusive mode")))))
        .unwrap();
    let error = expect_err(put(&store, "a", b"2", None));
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(store.capabilities().max_payload_bytes, 1_000_000_000);
    block_on(holder.execute(raw_sql("rollback"))).unwrap();
    put(&store, "a", b"3", None).unwrap();
    assert_eq!(find(&store, "a").unwrap().unwrap(), b"3");
    block_on(store.close());
    block_on(holder.close()).unwrap();
    admin(&format!("drop table {table}"));
}

#[test]
fn a_server_that_cannot_be_used_is_reported_at_once() {
    let Some(url) = server() else { return };
    let mut wrong = url::Url::parse(&url).unwrap();
    wrong.set_password(Some("hunter2")).unwrap();
    let mut nowhere = url::Url::parse(&url).unwrap();
    nowhere.set_path("/no_such_database");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = format!("postgres://app:hunter2@{free}/sagas");
    for (url, retryable, text) in [
        (wrong.as_str(), false, "login"),
        (nowhere.as_str(), false, "database does not exist"),
        (&*refused, true, "refuses connections"),
    ] {
        let store = store_with(url, "saga_store", "");
        let since = Instant::now();
        let error = expect_err(put(&store, "a", b"x", None));
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Connection, retryable), "{error:?}");
        assert!(
            error.is_unsent() && error.message().contains(text) && !format!("{error:?}").contains("hunter2"),
            "{error:?}"
        );
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
        assert_eq!(block_on(store.health()).status, "unhealthy");
        block_on(store.close());
    }
    // Somebody listens and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = store_with(
        &format!("postgres://app@{}/sagas", silent.local_addr().unwrap()),
        "saga_store",
        r#", "connectTimeoutMs": 300"#,
    );
    let since = Instant::now();
    let answers = later(|settle| {
        for index in 0..20 {
            store.put(&index.to_string(), Bytes::new(), None, settle());
            store.find(&index.to_string(), settle());
        }
    });
    assert!(
        answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.kind() == Kind::Connection)),
        "{answers:?}"
    );
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    block_on(store.close());
}
