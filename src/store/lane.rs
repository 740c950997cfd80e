//! A lane carries operations from the caller's thread to a backend in groups.
//!
//! The caller pushes a job and wakes the lane only if the queue was empty; the lane takes the
//! whole queue at once, so groups form by themselves under load and nothing waits for a timer.
//! The lane keeps the promises that are the same on every backend: operations of one id in
//! order, a deadline for each job, repetition of what may be repeated, one answer to each job.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hasher};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::meters::{Meter, is_answer};
use super::transcode::Transcoder;
use crate::contract::driver::{Batching, Driver};
use crate::contract::operation::Operation;
use crate::contract::settings::Settings;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::together::together;
use crate::url::Backend;

/// A server that asks for time gets at least this much, whatever the retry options say.
const LEAST_THROTTLED_PAUSE: Duration = Duration::from_millis(20);

/// Receives the answer; called exactly once, on any thread.
pub type Settle = Box<dyn FnOnce(Result<Reply>) + Send>;

/// One operation on its way.
pub struct Job<O> {
    operation: O,
    state: JobState,
}

/// A job without its operation. Dropping it unanswered answers it with an error, so that
/// no promise can hang, whatever breaks.
struct JobState {
    name: &'static str,
    backend: Backend,
    id_hash: u64,
    started: Instant,
    deadline: Instant,
    failed_attempts: u32,
    meter: Option<Arc<Meter>>,
    settle: Option<Settle>,
}

impl JobState {
    fn answer(mut self, result: Result<Reply>) {
        self.settle_with(result);
    }

    fn settle_with(&mut self, result: Result<Reply>) {
        if let Some(settle) = self.settle.take() {
            if let Some(meter) = &self.meter {
                meter.record(self.started.elapsed(), is_answer(&result));
            }
            settle(result.map_err(|error| error.at(self.backend.name(), self.name)));
        }
    }
}

impl Drop for JobState {
    fn drop(&mut self) {
        if self.settle.is_some() {
            self.settle_with(Err(Error::new(Kind::Backend, "the operation was abandoned by an internal failure")));
        }
    }
}

struct Queue<O> {
    state: Mutex<QueueState<O>>,
    wake: Notify,
}

struct QueueState<O> {
    jobs: Vec<Job<O>>,
    closed: bool,
    worker: Option<JoinHandle<()>>,
}

impl<O> Queue<O> {
    fn lock(&self) -> MutexGuard<'_, QueueState<O>> {
        // A poisoned lock only means that another caller panicked; the list is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_news(&self) -> bool {
        let state = self.lock();
        state.closed || !state.jobs.is_empty()
    }
}

/// The sending end of a lane.
pub struct Lane<O: Operation> {
    queue: Arc<Queue<O>>,
    driver: Arc<dyn Driver>,
    settings: Settings,
    backend: Backend,
    hasher: BuildHasherDefault<DefaultHasher>,
}

impl<O: Operation> Lane<O> {
    /// A lane to `driver`; its worker starts with the first job.
    pub fn new(backend: Backend, driver: Arc<dyn Driver>, settings: Settings) -> Self {
        let state = QueueState { jobs: Vec::new(), closed: false, worker: None };
        Self {
            queue: Arc::new(Queue { state: Mutex::new(state), wake: Notify::new() }),
            driver,
            settings,
            backend,
            hasher: BuildHasherDefault::default(),
        }
    }

    /// Sends an operation on its way. Never blocks. With a meter, it is counted there.
    pub fn submit(&self, name: &'static str, operation: O, meter: Option<Arc<Meter>>, settle: Settle) {
        let started = Instant::now();
        let id_hash = if O::ORDERED { self.hasher.hash_one(self.ordered_by(&operation)) } else { 0 };
        let state = JobState {
            name,
            backend: self.backend,
            id_hash,
            started,
            deadline: started + self.settings.operation_timeout,
            failed_attempts: 0,
            meter,
            settle: Some(settle),
        };
        let job = Job { operation, state };
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return job.state.answer(Err(Error::closed()));
        }
        if queue.worker.is_none() {
            match self.driver.runtime_of(O::ACCESS) {
                Ok(runtime) => queue.worker = Some(runtime.spawn(Worker::new(self).run())),
                Err(error) => {
                    drop(queue);
                    return job.state.answer(Err(error));
                }
            }
        }
        queue.jobs.push(job);
        let first = queue.jobs.len() == 1;
        drop(queue);
        if first {
            self.queue.wake.notify_one();
        }
    }

    /// Of operations that share this one is under way.
    fn ordered_by<'a>(&self, operation: &'a O) -> &'a str {
        let turn = operation.turn().filter(|_| self.driver.looks_before_claims());
        turn.unwrap_or_else(|| operation.id())
    }

    /// Takes no more jobs; ready when those on their way are answered.
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<O> {
        let worker = {
            let mut queue = self.queue.lock();
            queue.closed = true;
            queue.worker.take()
        };
        self.queue.wake.notify_one();
        async move {
            if let Some(worker) = worker {
                // The worker's panic has answered its jobs already (see `JobState`).
                drop(worker.await);
            }
        }
    }

    /// Jobs that the worker has not taken yet.
    pub fn waiting(&self) -> usize {
        self.queue.lock().jobs.len()
    }
}

impl<O: Operation> Drop for Lane<O> {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.wake.notify_one();
    }
}

/// Ids are spread by a 64-bit hash; two ids that share one only wait for each other.
type HashedIds = HashSet<u64, BuildHasherDefault<Unhashed>>;

#[derive(Default)]
struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A group that a driver has run, and what came of it.
struct Finished<O> {
    operations: Vec<O>,
    states: Vec<JobState>,
    results: Option<Vec<Result<Reply>>>,
}

/// Waits for its next attempt.
struct Delayed<O> {
    due: Instant,
    job: Job<O>,
}

impl<O> Delayed<O> {
    fn wakes_at(&self) -> Instant {
        self.due.min(self.job.state.deadline)
    }
}

type InFlight<O> = FuturesUnordered<Pin<Box<dyn Future<Output = Finished<O>> + Send>>>;

struct Worker<O: Operation> {
    queue: Arc<Queue<O>>,
    driver: Arc<dyn Driver>,
    settings: Settings,
    transcoder: Transcoder,
    batching: Batching,
    pending: VecDeque<Job<O>>,
    delayed: Vec<Delayed<O>>,
    /// Ids of ordered operations that are under way or wait for another attempt.
    busy: HashedIds,
    in_flight: InFlight<O>,
    /// How many groups in succession were one operation, called after the answer of the one before.
    singles: u32,
    /// When the last group was answered.
    answered: Instant,
    /// Whether the last wait for a call took no longer than [`WATCHFUL`].
    calls_soon: bool,
    /// The same of an answer.
    answers_soon: bool,
}

/// Waking a thread takes its waker several microseconds (here that is JavaScript) and the thread tens of them.
/// A caller that does one thing after the other waits for that each time, so as long as its pauses, or its
/// answers, are shorter than this, the lane stays awake for them.
const WATCHFUL: Duration = Duration::from_micros(200);

/// A caller that waits for an answer needs so long for its next call, at least.
const LEAST_PAUSE: Duration = Duration::from_micros(5);

/// So many single operations in succession are a caller that does one thing after the other.
const SINGLES: u32 = 16;

impl<O: Operation> Worker<O> {
    fn new(lane: &Lane<O>) -> Self {
        Self {
            queue: Arc::clone(&lane.queue),
            driver: Arc::clone(&lane.driver),
            settings: lane.settings,
            transcoder: Transcoder::new(lane.backend, &lane.settings),
            batching: lane.driver.batching(O::KIND, O::ACCESS),
            pending: VecDeque::new(),
            delayed: Vec::new(),
            busy: HashedIds::default(),
            in_flight: FuturesUnordered::new(),
            singles: 0,
            answered: Instant::now(),
            calls_soon: false,
            answers_soon: false,
        }
    }

    async fn run(mut self) {
        loop {
            let closed = self.take_queue();
            self.requeue_due();
            self.dispatch();
            if closed && self.pending.is_empty() && self.delayed.is_empty() && self.in_flight.is_empty() {
                return;
            }
            // Once closed, it may be long until what is under way has ended.
            if !closed && self.watch().await {
                continue;
            }
            let since = Instant::now();
            let queue = Arc::clone(&self.queue);
            let timer = self.next_timer();
            tokio::select! {
                () = queue.wake.notified() => {
                    if self.in_flight.is_empty() && queue.has_news() {
                        self.calls_soon = since.elapsed() < WATCHFUL;
                    }
                }
                Some(finished) = self.in_flight.next() => {
                    self.answers_soon = since.elapsed() < WATCHFUL;
                    self.finish(finished);
                }
                () = sleep_until(timer) => {}
            }
            while let Some(Some(finished)) = self.in_flight.next().now_or_never() {
                self.finish(finished);
            }
        }
    }

    /// Waits for a while without falling asleep, if that has been worth it; other tasks of the thread have
    /// their turns meanwhile. Whether there is something to do.
    async fn watch(&mut self) -> bool {
        let for_answer = !self.in_flight.is_empty();
        let comes_soon = if for_answer { self.answers_soon } else { self.calls_soon };
        if !comes_soon || self.singles < SINGLES {
            return false;
        }
        let since = Instant::now();
        while since.elapsed() < WATCHFUL {
            tokio::task::yield_now().await;
            if let Some(Some(finished)) = self.in_flight.next().now_or_never() {
                self.finish(finished);
                return true;
            }
            if self.queue.has_news() {
                return true;
            }
        }
        if for_answer {
            self.answers_soon = false;
        } else {
            self.calls_soon = false;
        }
        false
    }

    fn take_queue(&mut self) -> bool {
        let mut queue = self.queue.lock();
        let jobs = std::mem::take(&mut queue.jobs);
        let closed = queue.closed;
        drop(queue);
        self.pending.extend(jobs);
        closed
    }

    /// Moves jobs whose pause is over to the front, and answers jobs whose time is over.
    fn requeue_due(&mut self) {
        if self.delayed.is_empty() && self.pending.is_empty() {
            return;
        }
        let now = Instant::now();
        if self.delayed.iter().any(|delayed| delayed.wakes_at() <= now) {
            self.requeue(now);
        }
        while self.pending.front().is_some_and(|job| job.state.deadline <= now) {
            if let Some(job) = self.pending.pop_front() {
                let error = timeout(self.settings.operation_timeout).unsent().with_id(job.operation.subject());
                job.state.answer(Err(error));
            }
        }
    }

    fn requeue(&mut self, now: Instant) {
        // The first delayed job of an id decides for those behind it: they move with it or stay.
        let mut moves: HashMap<u64, bool, BuildHasherDefault<Unhashed>> = HashMap::default();
        let (due, kept) = std::mem::take(&mut self.delayed).into_iter().partition::<Vec<_>, _>(|delayed| {
            let is_due = delayed.wakes_at() <= now;
            if O::ORDERED { *moves.entry(delayed.job.state.id_hash).or_insert(is_due) } else { is_due }
        });
        self.delayed = kept;
        for delayed in due.into_iter().rev() {
            self.busy.remove(&delayed.job.state.id_hash);
            self.pending.push_front(delayed.job);
        }
    }

    /// Forms groups and starts them, as long as the shape allows.
    fn dispatch(&mut self) {
        while self.in_flight.len() < self.batching.concurrency && !self.pending.is_empty() {
            let (operations, states) = self.next_group();
            if operations.is_empty() {
                return;
            }
            self.start(operations, states);
        }
    }

    /// Takes the next group from what is pending. A job whose id is busy stays, and so does
    /// every later job of that id; one id may stand in a group several times, in order.
    fn next_group(&mut self) -> (Vec<O>, Vec<JobState>) {
        let room = self.batching.max_operations.min(self.pending.len());
        let mut operations = Vec::with_capacity(room);
        let mut states = Vec::with_capacity(room);
        let mut bytes = 0_usize;
        let mut skipped: VecDeque<Job<O>> = VecDeque::new();
        while let Some(job) = self.pending.pop_front() {
            if O::ORDERED && self.busy.contains(&job.state.id_hash) {
                skipped.push_back(job);
                continue;
            }
            let size = job.operation.bytes();
            let full = operations.len() >= self.batching.max_operations
                || (!operations.is_empty() && bytes.saturating_add(size) > self.batching.max_bytes);
            if full {
                self.pending.push_front(job);
                break;
            }
            bytes = bytes.saturating_add(size);
            operations.push(job.operation);
            states.push(job.state);
        }
        if O::ORDERED {
            self.busy.extend(states.iter().map(|state| state.id_hash));
            while let Some(job) = skipped.pop_back() {
                self.pending.push_front(job);
            }
        }
        (operations, states)
    }

    fn start(&mut self, operations: Vec<O>, states: Vec<JobState>) {
        let (driver, transcoder) = (Arc::clone(&self.driver), self.transcoder);
        // Under load small groups may be single operations too, but they are here as soon as the lane is ready.
        let is_after_answer = |state: &JobState| state.started.saturating_duration_since(self.answered) >= LEAST_PAUSE;
        let is_single = self.in_flight.is_empty() && matches!(&states[..], [only] if is_after_answer(only));
        self.singles = if is_single { self.singles.saturating_add(1) } else { 0 };
        let deadline = states.iter().map(|state| state.deadline).min().unwrap_or_else(Instant::now);
        self.in_flight.push(Box::pin(async move {
            let results = {
                let work = AssertUnwindSafe(transcoder.run(&*driver, O::group(&operations))).catch_unwind();
                match tokio::time::timeout_at(deadline.into(), work).await {
                    Ok(Ok(results)) => Some(results),
                    Ok(Err(_panic)) => {
                        let error = Error::new(Kind::Backend, "the backend panicked; please report this");
                        Some(operations.iter().map(|_| Err(error.clone())).collect())
                    }
                    Err(_elapsed) => None,
                }
            };
            Finished { operations, states, results }
        }));
    }

    fn finish(&mut self, finished: Finished<O>) {
        let bytes = finished.operations.iter().map(O::bytes).fold(0, usize::saturating_add);
        if bytes >= self.batching.together_from.saturating_mul(finished.operations.len()) {
            together(|| self.answer(finished));
        } else {
            self.answer(finished);
        }
    }

    /// Answers a group's members, or sends them round again.
    fn answer(&mut self, finished: Finished<O>) {
        let Finished { operations, states, results } = finished;
        let now = Instant::now();
        self.answered = now;
        if O::ORDERED {
            for state in &states {
                self.busy.remove(&state.id_hash);
            }
        }
        let results = results.unwrap_or_else(|| {
            let limit = self.settings.operation_timeout;
            operations.iter().map(|_| Err(timeout(limit))).collect()
        });
        let overtaken = if O::ORDERED { overtaken(&states, &results) } else { HashedIds::default() };
        let settings = self.settings;
        for ((operation, mut state), result) in operations.into_iter().zip(states).zip(results) {
            match result {
                Err(error) => {
                    let id = state.id_hash;
                    // Behind an earlier operation of its id that goes round again.
                    let behind = O::ORDERED && self.busy.contains(&id) && may_try(&error, &operation);
                    let due = if behind { Some(now) } else { next_attempt(&settings, &state, &error, &operation, now) };
                    if let Some(due) = due.filter(|_| !overtaken.contains(&id)) {
                        state.failed_attempts += u32::from(!behind);
                        if O::ORDERED {
                            self.busy.insert(id);
                        }
                        self.delayed.push(Delayed { due, job: Job { operation, state } });
                    } else {
                        let error = error.with_id(operation.subject()).after(state.failed_attempts + 1);
                        drop(operation);
                        state.answer(Err(error));
                    }
                }
                Ok(reply) => {
                    // The payload's bytes go before the answer: the caller may reuse its buffer then.
                    drop(operation);
                    state.answer(Ok(reply));
                }
            }
        }
    }

    /// When the loop must look again although nothing has arrived or finished.
    fn next_timer(&self) -> Option<Instant> {
        let due = self.delayed.iter().map(Delayed::wakes_at).min();
        let deadline = self.pending.front().map(|job| job.state.deadline);
        due.into_iter().chain(deadline).min()
    }
}

impl<O: Operation> Drop for Worker<O> {
    /// After a panic of the worker the next job starts another one; what waited is answered.
    fn drop(&mut self) {
        let mut queue = self.queue.lock();
        queue.worker = None;
        let abandoned = std::mem::take(&mut queue.jobs);
        drop(queue);
        drop(abandoned);
    }
}

/// The ids of which a later operation has succeeded where an earlier one failed: repeating
/// the earlier one would undo the later.
fn overtaken(states: &[JobState], results: &[Result<Reply>]) -> HashedIds {
    let mut overtaken = HashedIds::default();
    if results.iter().all(Result::is_ok) {
        return overtaken;
    }
    let mut failed = HashedIds::default();
    for (state, result) in states.iter().zip(results) {
        if result.is_err() {
            failed.insert(state.id_hash);
        } else if failed.contains(&state.id_hash) {
            overtaken.insert(state.id_hash);
        }
    }
    overtaken
}

fn timeout(limit: Duration) -> Error {
    Error::new(Kind::Timeout, format!("no answer within operationTimeoutMs ({} ms)", limit.as_millis()))
}

fn may_try<O: Operation>(error: &Error, operation: &O) -> bool {
    error.is_retryable() && (error.is_unsent() || operation.may_repeat())
}

/// When a failed job is tried again; `None`: its error goes to the caller.
fn next_attempt<O: Operation>(
    settings: &Settings,
    state: &JobState,
    error: &Error,
    operation: &O,
    now: Instant,
) -> Option<Instant> {
    let attempts_left = state.failed_attempts + 1 < settings.retry.attempts;
    if !may_try(error, operation) || !(attempts_left || error.is_throttled()) {
        return None;
    }
    let pause = settings.retry.pause(state.failed_attempts + 1);
    let due = now + if error.is_throttled() { pause.max(LEAST_THROTTLED_PAUSE) } else { pause };
    if due >= state.deadline {
        return None;
    }
    // A server that cannot be reached is reported within connectTimeoutMs, retries included.
    let reported_by = state.started + settings.connect_timeout;
    (error.kind() != Kind::Connection || due < reported_by).then_some(due)
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
