//! The contract: what a store is, what a backend must offer, and the rules that are the
//! same on all of them.

pub mod borrowed;
pub mod capability;
pub mod compression;
pub mod dynamic;
mod gather;
pub mod lane;
#[cfg(test)]
mod lane_tests;
mod on_client;
mod on_payloads;
mod on_states;
pub mod payloads;
pub mod plan;
pub mod states;
pub mod statistics;
pub mod transaction;
pub mod transcode;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::backends;
use crate::error::{Detail, Error, Kind, Result};
use crate::options::{OptionReader, Settings};
use crate::runtime;
use crate::time::Millis;
use crate::url::{self, Backend};
use borrowed::Guest;
use capability::{Capabilities, Transactions};
use lane::{Lane, Settle, Shape};
use payloads::{Operation, Read, Reply, Write};
use plan::{Call, Given, Plan, Step};
use states::{Reindexed, StateRead, StateStep, StateWrite};
use statistics::{Latency, Meter, Pool, Usage};
use transaction::{Isolation, Open, Payloads, Transaction};
use transcode::Transcoder;

/// A boxed future, as the methods of a trait object return it.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The health probe gives up after this.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Expired payloads are removed in batches of this many, each its own transaction.
pub const PURGE_BATCH: u64 = 1_000;

/// As it is named in errors.
const REINDEX: &str = "states.reindex";

/// What a backend's probe tells.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// The server's version, as it names it.
    pub server_version: Option<String>,
    /// Something that limits the store although the server answers, such as a missing table.
    pub degraded: Option<String>,
    /// Facts worth showing beside it.
    pub details: Vec<(&'static str, Detail)>,
}

/// One backend, as a store sees it. Groups hold operations that are valid; the driver runs
/// them and answers each. Timeouts, retries and order between groups are the lane's work.
pub trait Driver: Send + Sync + 'static {
    /// What the backend can do.
    fn capabilities(&self) -> &'static Capabilities;

    /// The largest payload that fits under `id`, in bytes: some backends limit the record as a whole.
    fn max_payload_bytes(&self, _id: &str) -> u64 {
        self.capabilities().max_payload_bytes
    }

    /// How writes and reads may be grouped.
    fn shape_of(&self, writes: bool) -> Shape;

    /// The runtime that runs writes or reads.
    fn runtime_of(&self, _writes: bool) -> Result<Handle> {
        runtime::io()
    }

    /// Answers at once, on the caller's thread, if that never waits for anything.
    fn write_now(&self, _operation: &Write) -> Option<Result<Reply>> {
        None
    }

    /// Answers at once, on the caller's thread, if that never waits for anything.
    fn read_now(&self, _operation: &Read) -> Option<Result<Reply>> {
        None
    }

    /// Whether [`Driver::find_here`] finds anything.
    fn answers_here(&self) -> bool {
        false
    }

    /// A payload that is had on the caller's thread sooner than on the way to another one and back; asked only by
    /// a caller that waits for nothing else. Where there is none, `read` has the answer.
    fn find_here(&self, _id: &str) -> Option<Bytes> {
        None
    }

    /// Runs a group of writes; writes of one id in their order.
    fn write<'a>(&'a self, group: &'a [Write]) -> Task<'a, Vec<Result<Reply>>>;

    /// Runs a group of reads.
    fn read<'a>(&'a self, group: &'a [Read]) -> Task<'a, Vec<Result<Reply>>>;

    /// Answers at once, on the caller's thread, if that never waits for anything.
    fn state_now(&self, _step: &StateStep) -> Option<Result<Reply>> {
        None
    }

    /// Runs a group of changes of saga state; those of one saga id in their order.
    fn write_states<'a>(&'a self, group: &'a [StateWrite]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(async { vec![Err(without_states()); group.len()] })
    }

    /// Runs a group of questions about saga state.
    fn read_states<'a>(&'a self, group: &'a [StateRead]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(async { vec![Err(without_states()); group.len()] })
    }

    /// Opens a transaction; without `isolation`, on SQL, with `read committed`.
    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        Box::pin(async { Err(Error::new(Kind::Unsupported, "transactions of this backend are not built yet")) })
    }

    /// Creates what is missing and checks what is there; safe from many processes at once.
    /// Answers warnings: what works in a lesser way than it could.
    fn initialize(&self) -> Task<'_, Result<Vec<String>>>;

    /// The statements that `initialize` runs where nothing is there yet; none without SQL.
    fn schema(&self) -> Vec<String> {
        Vec::new()
    }

    /// Removes one batch of at most `limit` records whose time was over at `now`; answers how many.
    /// The batches of one call have the same `now`.
    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>>;

    /// Does a part of what has sagas found that other software has written; nothing where lists are the database's own.
    fn reindex<'a>(&'a self, _name: Option<&'a str>, _cursor: Option<&'a str>) -> Task<'a, Result<Reindexed>> {
        Box::pin(async { Ok(Reindexed::default()) })
    }

    /// Whether the last batch ended before its limit only because it took long.
    fn purge_is_unfinished(&self) -> bool {
        false
    }

    /// Asks the server something cheap.
    fn probe(&self) -> Task<'_, Result<Probe>>;

    /// Counts what is stored. May read all keys of the store.
    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>>;

    /// The connections, where there are any.
    fn pool(&self) -> Option<Pool>;

    /// Gives the connections back; the last store on them closes them.
    fn close(&self) -> Task<'_, ()>;
}

impl dyn Driver {
    /// The shape of the lane that carries `O`.
    pub fn shape<O: Operation>(&self) -> Shape {
        self.shape_of(O::WRITES)
    }

    /// The runtime of the lane that carries `O`.
    pub fn runtime<O: Operation>(&self) -> Result<Handle> {
        self.runtime_of(O::WRITES)
    }
}

/// What an opened backend consists of.
pub struct Opened {
    /// Works on connections of its own.
    pub driver: Arc<dyn Driver>,
    /// Works on clients of the application, where the backend has any.
    pub guest: Option<Arc<dyn Guest>>,
}

/// Of a store that can do nothing.
static NOTHING: Capabilities = Capabilities {
    transactions: Transactions::None,
    isolation: &[],
    expiry: capability::Expiry::Cleanup,
    max_payload_bytes: 0,
    durable: false,
    shared: false,
    consistent_reads: false,
};

/// A driver, and the lanes to it.
struct Own {
    driver: Arc<dyn Driver>,
    writes: Lane<Write>,
    reads: Lane<Read>,
    state_writes: Lane<StateWrite>,
    state_reads: Lane<StateRead>,
}

impl Own {
    /// Operations that wait to be sent.
    fn waiting(&self) -> usize {
        let states = self.state_writes.waiting() + self.state_reads.waiting();
        self.writes.waiting() + self.reads.waiting() + states
    }
}

/// `UNSUPPORTED`, of a backend that keeps payloads only.
pub fn without_states() -> Error {
    Error::new(Kind::Unsupported, "saga state is not kept on this backend yet")
}

/// A store: one backend, its settings, its lanes.
pub struct Store {
    backend: Backend,
    settings: Settings,
    shown_url: String,
    secrets: Vec<String>,
    /// None: the store has clients of the application only.
    own: Option<Own>,
    guest: Option<Arc<dyn Guest>>,
    meters: [Arc<Meter>; Call::NAMES.len()],
    closed: Mutex<bool>,
}

/// What `health()` answers.
#[derive(Clone, Debug)]
pub struct Health {
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: &'static str,
    /// How long the probe took.
    pub latency: Duration,
    /// The server's version.
    pub server_version: Option<String>,
    /// Why it is not healthy.
    pub message: Option<String>,
    /// Facts beside it.
    pub details: Vec<(&'static str, Detail)>,
}

impl Health {
    fn of(probed: Result<Probe>, latency: Duration) -> Self {
        match probed {
            Ok(probe) => Self {
                status: if probe.degraded.is_some() { "degraded" } else { "healthy" },
                latency,
                server_version: probe.server_version,
                message: probe.degraded,
                details: probe.details,
            },
            Err(error) => {
                let mut message = error.message().to_owned();
                for cause in error.causes() {
                    message = format!("{message}: {cause}");
                }
                let details = vec![("code", Detail::Text(error.kind().code().to_owned()))];
                Self { status: "unhealthy", latency, server_version: None, message: Some(message), details }
            }
        }
    }
}

/// What `statistics()` answers.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// What is stored.
    pub usage: Usage,
    /// The connections, where there are any.
    pub pool: Option<Pool>,
    /// Operations that wait to be sent.
    pub waiting: u64,
    /// Latencies by operation.
    pub operations: Vec<(&'static str, Latency)>,
}

impl Store {
    /// Opens a store from options as JSON, `url` among them. Does no I/O. With `backend`, the
    /// URL's scheme must be one of that backend's.
    pub fn open(backend: Option<&str>, options: &str) -> Result<Self> {
        let mut options = OptionReader::parse(options)?;
        let url =
            options.string("url")?.ok_or_else(|| Error::invalid("option 'url' is missing: a connection string"))?;
        let chosen = Backend::of_url(&url)?;
        if let Some(wanted) = backend.and_then(Backend::named).filter(|wanted| *wanted != chosen) {
            let schemes: Vec<String> = wanted.schemes().iter().map(|scheme| format!("{scheme}:")).collect();
            return Err(Error::invalid(format!(
                "this store takes {}; the URL is one of {}",
                schemes.join(", "),
                chosen.name()
            )));
        }
        url::check(chosen, &url)?;
        let mut secrets = url::secrets(&url);
        secrets.extend(options.secrets());
        let settings = Settings::read(&mut options)?;
        let Opened { driver, guest } = backends::open(chosen, &url, &settings, options)?;
        Ok(Self {
            backend: chosen,
            shown_url: url::sanitized(&url),
            secrets,
            settings,
            own: Some(Own {
                writes: Lane::new(chosen, Arc::clone(&driver), settings),
                reads: Lane::new(chosen, Arc::clone(&driver), settings),
                state_writes: Lane::new(chosen, Arc::clone(&driver), settings),
                state_reads: Lane::new(chosen, Arc::clone(&driver), settings),
                driver,
            }),
            guest,
            meters: Default::default(),
            closed: Mutex::new(false),
        })
    }

    /// Opens a store without connections: it works on clients of the application. `options` as
    /// JSON, without `url`.
    pub fn open_on_clients(backend: &str, options: &str) -> Result<Self> {
        let mut options = OptionReader::parse(options)?;
        let backend = Backend::named(backend).ok_or_else(|| Error::invalid("there is no such backend"))?;
        let settings = Settings::read(&mut options)?;
        Ok(Self {
            backend,
            shown_url: String::new(),
            secrets: Vec::new(),
            settings,
            own: None,
            guest: Some(backends::guest(backend, options)?),
            meters: Default::default(),
            closed: Mutex::new(false),
        })
    }

    /// The options that every store has.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The backend.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The URL without its secrets.
    pub fn shown_url(&self) -> &str {
        &self.shown_url
    }

    /// What the backend can do.
    pub fn capabilities(&self) -> &'static Capabilities {
        match (&self.own, &self.guest) {
            (Some(own), _) => own.driver.capabilities(),
            (None, Some(guest)) => guest.capabilities(),
            (None, None) => &NOTHING,
        }
    }

    /// Replaces the secrets of URL and options in a text that goes to the caller.
    pub fn redact(&self, text: &str) -> String {
        url::redact(text, &self.secrets)
    }

    fn transcoder(&self) -> Transcoder {
        Transcoder::new(self.backend, &self.settings)
    }

    /// The largest record that the backend takes under `id`.
    fn max_payload_bytes(&self, id: &str) -> u64 {
        match (&self.own, &self.guest) {
            (Some(own), _) => own.driver.max_payload_bytes(id),
            (None, Some(guest)) => guest.max_payload_bytes(id),
            (None, None) => NOTHING.max_payload_bytes,
        }
    }

    /// Checks a call and makes steps of it, for a transaction or a client of the application.
    pub fn plan(&self, call: Call, given: Given) -> Result<Plan> {
        let steps = match (call, given) {
            (call, Given::State(given)) => {
                self.check_open()?;
                vec![Step::State(states::step(call, given, &self.settings)?)]
            }
            (Call::Put, Given::Payload(id, data, expires_at)) => {
                let put = self.checked_put(&id, data, expires_at).map_err(|error| error.with_id(&id))?;
                vec![Step::Write(put)]
            }
            (Call::PutMany, Given::Payloads(entries)) => {
                let put = |(id, data, expires_at): (String, Bytes, Option<Millis>)| {
                    let put = self.checked_put(&id, data, expires_at).map_err(|error| error.with_id(&id))?;
                    Ok(Step::Write(put))
                };
                entries.into_iter().map(put).collect::<Result<_>>()?
            }
            (Call::Touch, Given::Expiry(id, at)) => {
                let checked = self.checked_id(&id).and_then(|id| Ok((id, self.kept_until(at)?)));
                let (id, expires_at) = checked.map_err(|error| error.with_id(&id))?;
                vec![Step::Write(Write::Touch { id, expires_at })]
            }
            (Call::GetMany, Given::Ids(ids)) => {
                let find =
                    |id: String| Ok(Step::Read(Read::Find { id: self.checked_id(&id).map_err(|e| e.with_id(&id))? }));
                ids.into_iter().map(find).collect::<Result<_>>()?
            }
            (call, Given::Id(id)) => {
                let checked = self.checked_id(&id).map_err(|error| error.with_id(&id))?;
                match call {
                    Call::Delete => vec![Step::Write(Write::Delete { id: checked })],
                    Call::Has => vec![Step::Read(Read::Has { id: checked })],
                    Call::Get | Call::Find => vec![Step::Read(Read::Find { id: checked })],
                    _ => return Err(Error::invalid("the call does not take an id alone")),
                }
            }
            _ => return Err(Error::invalid("the call takes other arguments")),
        };
        Ok(Plan { call, steps })
    }

    /// Opens a transaction on a connection of the store's own.
    pub async fn begin(&self, isolation: Option<Isolation>) -> Result<Open> {
        let begun = async {
            let own = self.own()?;
            let capabilities = own.driver.capabilities();
            if isolation.is_some() && capabilities.isolation.is_empty() {
                let message = format!("option 'isolation' is not for {}", self.backend.name());
                return Err(Error::invalid(message));
            }
            if let Some(wanted) = isolation.filter(|wanted| !capabilities.isolation.contains(wanted)) {
                let names: Vec<&str> = capabilities.isolation.iter().map(|level| level.name()).collect();
                let message = format!(
                    "{} has no isolation level '{}'; accepted: {}",
                    self.backend.name(),
                    wanted.name(),
                    names.join(", ")
                );
                return Err(Error::invalid(message));
            }
            let transaction = self.supervised("transaction", own.driver.begin(isolation)).await?;
            let runtime = own.driver.runtime_of(true)?;
            let driver = Arc::clone(&own.driver);
            let limit = Box::new(move |id: &str| driver.max_payload_bytes(id));
            let payloads = Payloads { transcoder: self.transcoder(), limit };
            Ok(Open::serve(self.backend, transaction, &runtime, self.settings.operation_timeout, payloads))
        };
        begun.await.map_err(|error: Error| error.at(self.backend.name(), "transaction"))
    }

    /// Runs a call in an open transaction.
    pub fn run_in(&self, transaction: &Open, call: Call, given: Given, settle: Settle) {
        match self.plan(call, given) {
            Ok(plan) => transaction.run(plan, Some(Arc::clone(&self.meters[call as usize])), settle),
            Err(error) => self.refuse(call, error, settle),
        }
    }

    fn own(&self) -> Result<&Own> {
        self.own.as_ref().ok_or_else(|| {
            Error::new(
                Kind::Unsupported,
                "this store has no connection of its own: it works on the client it was given",
            )
        })
    }

    fn check_open(&self) -> Result<()> {
        if *self.closed.lock().unwrap_or_else(PoisonError::into_inner) { Err(Error::closed()) } else { Ok(()) }
    }

    fn refuse(&self, call: Call, error: Error, settle: Settle) {
        settle(Err(error.at(self.backend.name(), call.name())));
    }

    /// What counts the operations of a call; those that several make up are counted as a whole.
    fn meter(&self, call: Call) -> Option<Arc<Meter>> {
        match call {
            Call::PutMany | Call::GetMany => None,
            single => Some(Arc::clone(&self.meters[single as usize])),
        }
    }

    /// Creates tables, indexes and TTL settings; answers warnings.
    pub async fn initialize(&self) -> Result<Vec<String>> {
        match self.own() {
            Ok(own) => self.supervised("initialize", own.driver.initialize()).await,
            Err(error) => Err(error.at(self.backend.name(), "initialize")),
        }
    }

    /// The statements of an empty database's tables, for people who run their own migrations.
    pub fn schema(&self) -> Result<Vec<String>> {
        let statements = match (&self.own, &self.guest) {
            (Some(own), _) => own.driver.schema(),
            (None, Some(guest)) => guest.schema(),
            (None, None) => Vec::new(),
        };
        if statements.is_empty() {
            let error = Error::new(Kind::Unsupported, "a schema is for SQL: PostgreSQL and SQLite");
            return Err(error.at(self.backend.name(), "schemaSql"));
        }
        Ok(statements)
    }

    /// Removes expired records, at most `limit` of them, batch by batch.
    pub async fn purge_expired(&self, limit: u64) -> Result<u64> {
        let driver = &self.own().map_err(|error| error.at(self.backend.name(), "purgeExpired"))?.driver;
        let now = Millis::now();
        let mut removed = 0;
        while removed < limit {
            let batch = PURGE_BATCH.min(limit - removed);
            let count = self.supervised("purgeExpired", driver.purge_expired(now, batch)).await?;
            removed += count;
            if count < batch && !driver.purge_is_unfinished() {
                break;
            }
        }
        Ok(removed)
    }

    /// A part of `states.reindex`.
    pub async fn reindex(&self, name: Option<&str>, cursor: Option<&str>) -> Result<Reindexed> {
        let checked = self.own().and_then(|own| name.map_or(Ok(()), states::check_name).map(|()| own));
        let own = checked.map_err(|error| error.at(self.backend.name(), REINDEX))?;
        self.supervised(REINDEX, own.driver.reindex(name, cursor)).await
    }

    /// Whether the store can be used; never an error, at most five seconds.
    pub async fn health(&self) -> Health {
        let started = Instant::now();
        let limit = HEALTH_TIMEOUT.min(self.settings.operation_timeout);
        let probed = match self.check_open().and_then(|()| self.own()) {
            Ok(own) => match tokio::time::timeout(limit, own.driver.probe()).await {
                Ok(probed) => probed,
                Err(_) => Err(Error::new(Kind::Timeout, format!("no answer within {} ms", limit.as_millis()))),
            },
            Err(error) => Err(error),
        };
        Health::of(probed, started.elapsed())
    }

    /// Counts of what is stored and of what has been done.
    pub async fn statistics(&self) -> Result<Statistics> {
        let own = self.own().map_err(|error| error.at(self.backend.name(), "statistics"))?;
        let usage = self.supervised("statistics", own.driver.usage(Millis::now())).await?;
        Ok(Statistics { usage, pool: own.driver.pool(), waiting: own.waiting() as u64, operations: self.latencies() })
    }

    fn latencies(&self) -> Vec<(&'static str, Latency)> {
        Call::NAMES.into_iter().zip(&self.meters).filter_map(|(name, meter)| Some((name, meter.latency()?))).collect()
    }

    /// Answers what is on its way, then gives the connections back. Safe to call again.
    pub async fn close(&self) {
        let first = !std::mem::replace(&mut *self.closed.lock().unwrap_or_else(PoisonError::into_inner), true);
        let Some(own) = &self.own else { return };
        // All are closed before the first is waited for.
        let (writes, reads) = (own.writes.close(), own.reads.close());
        let (state_writes, state_reads) = (own.state_writes.close(), own.state_reads.close());
        futures_util::future::join4(writes, reads, state_writes, state_reads).await;
        if first {
            own.driver.close().await;
        }
    }

    async fn supervised<T>(&self, operation: &'static str, work: Task<'_, Result<T>>) -> Result<T> {
        let limit = self.settings.operation_timeout;
        let result = match self.check_open() {
            Ok(()) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
                Err(Error::new(
                    Kind::Timeout,
                    format!("no answer within operationTimeoutMs ({} ms)", limit.as_millis()),
                ))
            }),
            Err(error) => Err(error),
        };
        result.map_err(|error| error.at(self.backend.name(), operation))
    }
}
