//! Against real servers, where the environment names them: `REDIS_URL`, `REDIS_CLUSTER_URL`.
//! Faults (servers killed, paused, full) are tried by the behaviour suite.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::contract::step::Reply;
use crate::error::{Kind, Result};
use crate::runtime;
use crate::store::Store;
use crate::store::lane::Settle;
use crate::time::Millis;

fn settle() -> (Settle, oneshot::Receiver<Result<Reply>>) {
    let (send, receive) = oneshot::channel();
    (Box::new(move |result| drop(send.send(result))), receive)
}

/// A store with a prefix of its own.
fn store(url: &str, options: &str) -> Store {
    let prefix = format!("sagastore-test:{:x}", fastrand::u64(..));
    let prefixes = format!(r#""keyPrefix": "{prefix}", "executionsKeyPrefix": "{prefix}-e:""#);
    Store::open(None, &format!(r#"{{"url": "{url}", {prefixes} {options}}}"#)).unwrap()
}

async fn put(store: &Store, id: &str, data: impl Into<Bytes>, expires_at: Option<Millis>) -> Result<Reply> {
    let (settle, answer) = settle();
    store.put(id, data.into(), expires_at, settle);
    answer.await.unwrap()
}

async fn find(store: &Store, id: &str) -> Option<Bytes> {
    let (settle, answer) = settle();
    store.find(id, settle);
    match answer.await.unwrap().unwrap() {
        Reply::Data(data) => data,
        other => panic!("{other:?}"),
    }
}

async fn flag(ask: impl FnOnce(Settle)) -> bool {
    let (settle, answer) = settle();
    ask(settle);
    answer.await.unwrap().unwrap() == Reply::Flag(true)
}

/// Runs `test` with the store of each server that is named.
fn with_servers<F: Future<Output = ()>>(test: impl Fn(Arc<Store>) -> F) {
    let urls = ["REDIS_URL", "REDIS_CLUSTER_URL"].map(std::env::var);
    if urls.iter().all(Result::is_err) {
        eprintln!("SKIPPED: neither REDIS_URL nor REDIS_CLUSTER_URL is set");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for url in urls.into_iter().flatten() {
        let store = Arc::new(store(&url, ""));
        runtime.block_on(async {
            test(Arc::clone(&store)).await;
            store.close().await;
        });
    }
}

#[test]
fn what_goes_in_comes_out() {
    with_servers(|store| async move {
        assert_eq!(store.initialize().await.unwrap(), Vec::<String>::new());
        let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let texts: [&[u8]; 8] = [b"", b"\0", b"QUEUED", b"OK", b"nil", b"Canceled", b"\xff\xfe", &binary];
        for (index, data) in texts.into_iter().enumerate() {
            let id = format!("id {index} \u{fc}\n");
            assert_eq!(find(&store, &id).await, None);
            put(&store, &id, data.to_vec(), None).await.unwrap();
            assert_eq!(find(&store, &id).await.as_deref(), Some(data));
            assert!(flag(|settle| store.has(&id, settle)).await);
            assert!(flag(|settle| store.delete(&id, settle)).await);
            assert!(!flag(|settle| store.delete(&id, settle)).await);
            assert!(!flag(|settle| store.has(&id, settle)).await);
        }
    });
}

#[test]
fn large_payloads() {
    with_servers(|store| async move {
        let data = Bytes::from(vec![7_u8; 64 << 20]);
        put(&store, "large", data.clone(), None).await.unwrap();
        assert!(find(&store, "large").await.unwrap() == data);
        assert!(flag(|settle| store.delete("large", settle)).await);
    });
}

#[test]
fn expiries() {
    with_servers(|store| async move {
        // Long enough for a large payload of another test to pass on the shared connection.
        let soon = || Millis::now().plus(1_000);
        put(&store, "a", "1", Some(soon())).await.unwrap();
        put(&store, "b", "1", Some(Millis::now().plus(60_000))).await.unwrap();
        put(&store, "c", "1", Some(soon())).await.unwrap();
        assert!(find(&store, "a").await.is_some());
        assert!(flag(|settle| store.touch("b", soon(), settle)).await);
        assert!(flag(|settle| store.touch("c", Millis::now().plus(3_600_000), settle)).await);
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        assert_eq!(find(&store, "a").await, None);
        assert_eq!(find(&store, "b").await, None);
        assert!(find(&store, "c").await.is_some());
        assert!(!flag(|settle| store.touch("a", soon(), settle)).await);
        // A put without expiry takes it away.
        put(&store, "d", "1", Some(soon())).await.unwrap();
        put(&store, "d", "2", None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        assert_eq!(find(&store, "d").await.as_deref(), Some(&b"2"[..]));
    });
}

#[test]
fn writes_of_one_id_keep_their_order() {
    with_servers(|store| async move {
        let mut answers = Vec::new();
        for number in 0..200 {
            for id in ["x", "y"] {
                let (settle, answer) = settle();
                store.put(id, Bytes::from(number.to_string()), None, settle);
                answers.push(answer);
            }
        }
        for answer in answers {
            answer.await.unwrap().unwrap();
        }
        assert_eq!(find(&store, "x").await.as_deref(), Some(&b"199"[..]));
        assert_eq!(find(&store, "y").await.as_deref(), Some(&b"199"[..]));
    });
}

#[test]
fn usage_and_health() {
    with_servers(|store| async move {
        for number in 0..1_500 {
            put(&store, &number.to_string(), "four", Some(Millis::now().plus(60_000))).await.unwrap();
        }
        let statistics = store.statistics().await.unwrap();
        assert_eq!(
            (statistics.usage.as_ref().unwrap().payloads, statistics.usage.as_ref().unwrap().bytes),
            (1_500, 6_000)
        );
        // Idle or not: the other tests use the same connection.
        assert!(statistics.pool.is_some_and(|pool| pool.open >= 1));
        let health = store.health().await;
        assert_eq!(health.status, "healthy", "{health:?}");
        assert!(health.server_version.is_some() && health.details.iter().any(|(name, _)| *name == "clockOffsetMs"));
        assert_eq!(store.purge_expired(10).await.unwrap(), 0);
    });
}

#[test]
fn nobody_there() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Port 1 refuses at once.
        let store = store("redis://user:hunter2@127.0.0.1:1", r#", "retry": {"attempts": 1}"#);
        for _ in 0..2 {
            let error = put(&store, "a", "1", None).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Connection, "{error:?}");
            assert!(error.is_retryable() && error.is_unsent() && !error.causes().is_empty(), "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        assert_eq!(store.health().await.status, "unhealthy");
        store.close().await;
    });
    assert!(runtime::io().is_ok());
}
