//! Others at work on the same file: locks, journal modes, readers that hold the WAL.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Answers, find, foreign, open_with, put, ready_with, temp, wait};
use crate::error::Kind;
use crate::store::Store;

#[test]
fn a_foreign_lock_is_a_timeout_in_time_and_goes_by_itself() {
    let directory = temp();
    let store = ready_with(&directory, r#", "operationTimeoutMs": 900"#);
    put(&store, "a", b"alpha", None).unwrap();
    let lock = foreign(&directory);
    lock.execute_batch("begin immediate").unwrap();
    let started = Instant::now();
    let error = put(&store, "b", b"beta", None).unwrap_err();
    let took = started.elapsed();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Timeout, true), "{error:?}");
    assert!(error.message().contains("another process"), "{error:?}");
    assert!(took > Duration::from_millis(400) && took < Duration::from_secs(1), "{took:?}");
    // Reads go on meanwhile, and calls of the other kind do not block the caller's runtime.
    assert!(find(&store, "a").unwrap().is_some());
    let ticks = wait(async {
        let mut ticks = 0;
        let work = store.purge_expired(10);
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => break result.map_or(ticks, |_| 0),
                () = tokio::time::sleep(Duration::from_millis(10)) => ticks += 1,
            }
        }
    });
    assert!(ticks > 20, "{ticks}");
    let answers = Answers::new();
    store.put("c", Bytes::from_static(b"gamma"), None, answers.settle());
    std::thread::sleep(Duration::from_millis(200));
    lock.execute_batch("commit").unwrap();
    answers.next().unwrap();
    assert_eq!(find(&store, "b").unwrap(), None, "rejected, so not stored later");
    wait(store.close());
}

/// Two pools (their durability differs) stand for two processes: nothing is shared but the file.
#[test]
fn two_pools_share_a_file() {
    let directory = temp();
    let path = directory.path().join("sagas.db");
    let stores: Vec<Store> = ["full", "normal"]
        .iter()
        .map(|durability| open_with(&path, &format!(r#", "durability": "{durability}""#)))
        .collect();
    std::thread::scope(|scope| {
        for store in &stores {
            scope.spawn(|| wait(store.initialize()).unwrap());
        }
    });
    let answers = Answers::new();
    for n in 0..1_000 {
        stores[n % 2].put(&format!("id{n}"), Bytes::from(format!("{n}")), None, answers.settle());
    }
    for _ in 0..1_000 {
        answers.next().unwrap();
    }
    for n in 0..1_000 {
        let data = find(&stores[(n + 1) % 2], &format!("id{n}")).unwrap();
        assert_eq!(data.as_deref(), Some(n.to_string().as_bytes()));
    }
    for store in stores {
        wait(store.close());
    }
}

/// The switch to WAL needs the file alone, and somebody reads in the old mode.
#[test]
fn an_old_journal_mode_that_cannot_be_switched_is_waited_for() {
    let directory = temp();
    let other = foreign(&directory);
    other.execute_batch("create table x (y); insert into x values (1); begin; select * from x").unwrap();
    let store =
        open_with(&directory.path().join("sagas.db"), r#", "operationTimeoutMs": 600, "retry": {"attempts": 1}"#);
    let error = wait(store.initialize()).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:?}");
    other.execute_batch("commit").unwrap();
    wait(store.initialize()).unwrap();
    put(&store, "a", b"alpha", None).unwrap();
    wait(store.close());
}

#[test]
fn the_wal_stays_bounded_under_load() {
    let directory = temp();
    let store = ready_with(&directory, r#", "durability": "normal""#);
    let wal = directory.path().join("sagas.db-wal");
    let answers = Answers::new();
    let (mut sent, mut largest) = (0_u32, 0);
    let total = 24_000;
    let mut data = vec![7_u8; 16_000];
    let mut answered = 0;
    while answered < total {
        while sent < total && sent < answered + 256 {
            data[..4].copy_from_slice(&sent.to_le_bytes());
            store.put(&format!("id{}", sent % 500), Bytes::copy_from_slice(&data), None, answers.settle());
            if sent % 16 == 0 {
                store.find("id0", Box::new(drop));
            }
            sent += 1;
        }
        answers.next().unwrap();
        answered += 1;
        if answered % 100 == 0 {
            largest = largest.max(std::fs::metadata(&wal).map_or(0, |found| found.len()));
        }
    }
    // 24,000 x 16 KB are 384 MB; without restarts the WAL would hold at least as much. The first limit is 128 MiB; a
    // reader that the machine does not run for 20 ms lets it grow by half, and by half again.
    assert!(largest < 320_000_000, "{largest}");
    wait(store.close());
    assert!(!wal.exists());
}

#[test]
fn a_wal_held_by_a_reader_shrinks_afterwards() {
    let directory = temp();
    let store = ready_with(&directory, r#", "durability": "normal""#);
    let reader = foreign(&directory);
    reader.execute_batch("begin; select * from saga_store").unwrap();
    let wal = directory.path().join("sagas.db-wal");
    let size = || std::fs::metadata(&wal).map_or(0, |found| found.len());
    // SQLite writes no page whose content stays the same, so each round has its own.
    let mut round = 0_u8;
    let mut fill = |count: u32| {
        round = round.wrapping_add(1);
        let answers = Answers::new();
        for n in 0..count {
            store.put(
                &format!("id{}", n % 300),
                Bytes::from(vec![round ^ u8::try_from(n / 300).unwrap_or(0); 60_000]),
                None,
                answers.settle(),
            );
        }
        for _ in 0..count {
            answers.next().unwrap();
        }
    };
    fill(3_000);
    let held = size();
    assert!(held > 150_000_000, "{held}");
    reader.execute_batch("commit").unwrap();
    for _ in 0..40 {
        fill(100);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(size() < 100_000_000, "{}", size());
    wait(store.close());
}
