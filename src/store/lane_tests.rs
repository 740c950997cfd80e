//! The lane's own promises, on a driver that fails as it is told to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::lane::Lane;
use super::{Shown, Store};
use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver, Opened};
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::payloads::Write;
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::settings::Settings;
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::{Error, Kind, Result};
use crate::options::OptionReader;
use crate::runtime::Task;
use crate::time::Millis;
use crate::url::Backend;

static CAPABILITIES: Capabilities = Capabilities {
    transactions: Transactions::Buffered,
    isolation: &[],
    expiry: Expiry::Server,
    max_payload_bytes: 1 << 30,
    durable: false,
    shared: false,
    consistent_reads: true,
};

/// What the driver does with the next write of an id.
#[derive(Clone)]
enum Fate {
    Fails(Error),
    Panics,
    Hangs,
}

#[derive(Default)]
struct Scripted {
    fates: Mutex<HashMap<String, Vec<Fate>>>,
    stored: Mutex<HashMap<String, Vec<u8>>>,
    groups: AtomicUsize,
    /// Batches that were purged.
    purges: AtomicUsize,
    delay: Duration,
}

impl Driver for Scripted {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn batching(&self, _kind: RecordKind, _access: Access) -> Batching {
        Batching { concurrency: 4, max_operations: 8, max_bytes: 1 << 20, together_from: 1_000 }
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        let Group::Payloads(Work::Write(group)) = group else { panic!("not scripted: {group:?}") };
        Box::pin(async move {
            self.groups.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.delay).await;
            let mut results = Vec::new();
            for operation in group {
                let Write::Put { id, data, .. } = operation else { continue };
                let fate = {
                    let mut fates = self.fates.lock().unwrap();
                    fates.get_mut(&**id).filter(|fates| !fates.is_empty()).map(|fates| fates.remove(0))
                };
                results.push(match fate {
                    Some(Fate::Fails(error)) => Err(error),
                    Some(Fate::Panics) => panic!("scripted"),
                    Some(Fate::Hangs) => std::future::pending().await,
                    None => {
                        self.stored.lock().unwrap().insert(id.to_string(), data.to_vec());
                        Ok(Reply::Done)
                    }
                });
            }
            results
        })
    }

    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        Box::pin(async { Err(Error::new(Kind::Unsupported, "not scripted")) })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// There is always more.
    fn purge_expired(&self, _now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            self.purges.fetch_add(1, Ordering::Relaxed);
            Ok(limit)
        })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async { Ok(Probe::default()) })
    }

    fn usage(&self, _now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async { Ok(Usage::default()) })
    }

    fn pool(&self) -> Option<Pool> {
        None
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {})
    }
}

struct Bench {
    driver: Arc<Scripted>,
    lane: Lane<Write>,
    answers: mpsc::Receiver<(usize, Result<Reply>)>,
    sender: mpsc::Sender<(usize, Result<Reply>)>,
}

impl Bench {
    fn new(options: &str, fates: &[(&str, Vec<Fate>)]) -> Self {
        Self::after(Duration::from_millis(2), options, fates)
    }

    fn after(delay: Duration, options: &str, fates: &[(&str, Vec<Fate>)]) -> Self {
        let settings = Settings::read(&mut OptionReader::parse(options).unwrap()).unwrap();
        let driver = Arc::new(Scripted { delay, ..Scripted::default() });
        *driver.fates.lock().unwrap() = fates.iter().map(|(id, fates)| ((*id).to_owned(), fates.clone())).collect();
        let (sender, answers) = mpsc::channel();
        let lane = Lane::new(Backend::Memory, Arc::clone(&driver) as _, settings);
        Self { driver, lane, answers, sender }
    }

    fn put(&self, number: usize, id: &str, data: &str) {
        let sender = self.sender.clone();
        let write = Write::Put { id: id.into(), data: Bytes::copy_from_slice(data.as_bytes()), expires_at: None };
        self.lane.submit("put", write, None, Box::new(move |result| sender.send((number, result)).unwrap()));
    }

    fn answers(&self, count: usize) -> HashMap<usize, Result<Reply>> {
        let answers: Vec<_> = (0..count)
            .map(|_| self.answers.recv_timeout(Duration::from_secs(10)).expect("every job is answered"))
            .collect();
        let answers: HashMap<_, _> = answers.into_iter().collect();
        assert_eq!(answers.len(), count, "each job is answered once");
        answers
    }

    fn stored(&self, id: &str) -> Option<String> {
        self.driver.stored.lock().unwrap().get(id).map(|data| String::from_utf8(data.clone()).unwrap())
    }
}

fn lost() -> Error {
    Error::new(Kind::Connection, "scripted: the connection broke")
}

const FAST: &str = r#"{"retry": {"attempts": 3, "baseMs": 20, "maxMs": 40}}"#;

#[test]
fn answers_to_large_writes_are_handed_over_together() {
    let bench = Bench::new("{}", &[]);
    // The id counts as well.
    for (length, are_together) in [(998, false), (999, true)] {
        let (sender, answered) = mpsc::channel();
        let write = Write::Put { id: "a".into(), data: Bytes::from(vec![b'x'; length]), expires_at: None };
        let settle = Box::new(move |_| sender.send(crate::together::at_end(|| {})).unwrap());
        bench.lane.submit("put", write, None, settle);
        assert_eq!(answered.recv_timeout(Duration::from_secs(10)), Ok(are_together), "{length}");
    }
}

#[test]
fn retryable_failures_are_repeated_and_others_are_not() {
    let refused = Error::new(Kind::Backend, "scripted: refused");
    let bench = Bench::new(
        FAST,
        &[
            ("twice", vec![Fate::Fails(lost()), Fate::Fails(lost())]),
            ("thrice", vec![Fate::Fails(lost()), Fate::Fails(lost()), Fate::Fails(lost())]),
            ("refused", vec![Fate::Fails(refused)]),
        ],
    );
    bench.put(0, "twice", "a");
    bench.put(1, "thrice", "b");
    bench.put(2, "refused", "c");
    let answers = bench.answers(3);
    assert!(answers[&0].is_ok());
    assert_eq!(answers[&1].as_ref().unwrap_err().kind(), Kind::Connection);
    assert_eq!(answers[&1].as_ref().unwrap_err().id(), Some("thrice"));
    assert_eq!(answers[&2].as_ref().unwrap_err().kind(), Kind::Backend);
    assert_eq!(bench.stored("twice").as_deref(), Some("a"));
    assert_eq!(bench.stored("thrice"), None);
}

#[test]
fn a_server_that_asks_for_time_gets_it_until_the_operation_has_none_left() {
    let throttled = || Fate::Fails(Error::new(Kind::Backend, "scripted: not now").throttled());
    let options = r#"{"operationTimeoutMs": 400, "retry": {"attempts": 1, "baseMs": 0}}"#;
    let bench = Bench::new(
        options,
        &[
            ("a while", (0..5).map(|_| throttled()).collect()),
            ("for ever", (0..1_000).map(|_| throttled()).collect()),
            ("lost", vec![Fate::Fails(lost())]),
        ],
    );
    let began = Instant::now();
    bench.put(0, "a while", "a");
    bench.put(1, "for ever", "b");
    bench.put(2, "lost", "c");
    let answers = bench.answers(3);
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    assert!(answers[&0].is_ok());
    let error = answers[&1].as_ref().unwrap_err();
    assert!(matches!(error.kind(), Kind::Backend | Kind::Timeout) && error.is_retryable(), "{error:?}");
    assert_eq!(answers[&2].as_ref().unwrap_err().kind(), Kind::Connection);
    // In pauses, not in a loop.
    assert!(bench.driver.groups.load(Ordering::Relaxed) < 60);
}

#[test]
fn a_repeated_write_never_overtakes_a_later_one_of_its_id() {
    for _ in 0..20 {
        let bench = Bench::new(FAST, &[("id", vec![Fate::Fails(lost())])]);
        for number in 0..30 {
            bench.put(number, "id", &number.to_string());
            if number % 3 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        bench.answers(30);
        assert_eq!(bench.stored("id").as_deref(), Some("29"));
    }
}

#[test]
fn an_earlier_write_that_a_later_one_of_its_group_has_replaced_is_not_repeated() {
    let bench = Bench::new(FAST, &[("id", vec![Fate::Fails(lost())])]);
    // The first group is under way while these two gather in one.
    bench.put(0, "other", "x");
    bench.put(1, "id", "first");
    bench.put(2, "id", "second");
    let answers = bench.answers(3);
    assert!(answers[&2].is_ok());
    assert_eq!(bench.stored("id").as_deref(), Some("second"));
}

#[test]
fn a_hanging_driver_is_a_timeout_for_each_job_and_does_not_block_others() {
    let bench = Bench::new(r#"{"operationTimeoutMs": 150}"#, &[("stuck", vec![Fate::Hangs, Fate::Hangs, Fate::Hangs])]);
    let began = Instant::now();
    bench.put(0, "stuck", "a");
    std::thread::sleep(Duration::from_millis(20));
    bench.put(1, "stuck", "b");
    bench.put(2, "free", "c");
    let answers = bench.answers(3);
    assert!(began.elapsed() < Duration::from_millis(600), "{:?}", began.elapsed());
    assert_eq!(answers[&0].as_ref().unwrap_err().kind(), Kind::Timeout);
    assert_eq!(answers[&1].as_ref().unwrap_err().kind(), Kind::Timeout);
    assert!(answers[&2].is_ok());
}

#[test]
fn a_panic_of_the_driver_is_an_error_and_the_lane_goes_on() {
    let bench = Bench::new(FAST, &[("bad", vec![Fate::Panics])]);
    bench.put(0, "bad", "a");
    assert_eq!(bench.answers(1)[&0].as_ref().unwrap_err().kind(), Kind::Backend);
    bench.put(1, "good", "b");
    assert!(bench.answers(1)[&1].is_ok());
}

#[test]
fn jobs_wait_for_nothing_but_gather_under_load() {
    let bench = Bench::new(FAST, &[]);
    for number in 0..800 {
        bench.put(number, &format!("id-{number}"), "x");
    }
    assert!(bench.answers(800).values().all(Result::is_ok));
    let groups = bench.driver.groups.load(Ordering::Relaxed);
    assert!(groups >= 100, "a group has at most 8 operations: {groups}");
    assert!(groups < 400, "operations gather: {groups}");
}

#[test]
fn a_lane_that_stays_awake_for_a_caller_answers_and_falls_asleep_and_ends() {
    for (delay, count) in [(Duration::ZERO, 2_000), (Duration::from_millis(1), 50)] {
        let bench = Bench::after(delay, FAST, &[]);
        for number in 0..count {
            bench.put(number, "id", &number.to_string());
            assert!(bench.answers(1)[&number].is_ok());
        }
        std::thread::sleep(Duration::from_millis(5));
        bench.put(count, "id", "after a pause");
        assert!(bench.answers(1)[&count].is_ok());
        assert_eq!(bench.stored("id").as_deref(), Some("after a pause"));
        crate::runtime::io().unwrap().block_on(bench.lane.close());
    }
}

#[test]
fn a_lane_that_stayed_awake_for_a_caller_ends_with_its_last_operation() {
    let stuck = [("stuck", vec![Fate::Hangs, Fate::Hangs, Fate::Hangs])];
    let bench = Bench::after(Duration::ZERO, r#"{"operationTimeoutMs": 300}"#, &stuck);
    for number in 0..100 {
        bench.put(number, "id", "x");
        assert!(bench.answers(1)[&number].is_ok());
    }
    bench.put(100, "stuck", "x");
    let closed = bench.lane.close();
    assert_eq!(bench.answers(1)[&100].as_ref().unwrap_err().kind(), Kind::Timeout);
    crate::runtime::io().unwrap().block_on(closed);
}

#[test]
fn closing_answers_what_is_under_way_and_refuses_the_rest() {
    let bench = Bench::new(FAST, &[]);
    for number in 0..50 {
        bench.put(number, &format!("id-{number}"), "x");
    }
    let closed = bench.lane.close();
    bench.put(50, "late", "x");
    let answers = bench.answers(51);
    assert!((0..50).all(|number| answers[&number].is_ok()));
    assert_eq!(answers[&50].as_ref().unwrap_err().kind(), Kind::Closed);
    crate::runtime::io().unwrap().block_on(closed);
}

#[tokio::test]
async fn all_batches_of_a_cleanup_have_the_time_of_one_call() {
    let settings = Settings::read(&mut OptionReader::parse(r#"{"operationTimeoutMs": 1000}"#).unwrap()).unwrap();
    let driver = Arc::new(Scripted { delay: Duration::from_millis(300), ..Scripted::default() });
    let opened = Opened { driver: Arc::clone(&driver) as _, guest: None };
    let store = Store::on_own_connections(Backend::Memory, opened, settings, Shown::default());
    let error = store.purge_expired(u64::MAX).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:?}");
    assert!(driver.purges.load(Ordering::Relaxed) <= 3);
}
