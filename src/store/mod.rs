//! A store: operations on their way to a backend, over connections of its own, in transactions, and on clients of the
//! application. It knows the contract, and no backend.
//!
//! ```text
//! plan.rs            a call as steps; replies as its answer
//! on_own.rs          operations over the store's own connections
//! lanes.rs, lane.rs  where they wait, in groups, with retries and deadlines
//! gather.rs          one answer of several
//! on_transaction.rs  operations in a transaction of the store's
//! on_client.rs       operations on a client of the application
//! transcode.rs       payloads compressed and checked on their way
//! leases/            leases of executions and events, renewed
//! bell.rs            whether others may have inserted events
//! meters.rs, health.rs  counts, latencies, health
//! ```

mod bell;
#[cfg(test)]
mod calls_for_tests;
mod gather;
mod health;
pub mod lane;
#[cfg(test)]
mod lane_tests;
mod lanes;
pub mod leases;
pub mod meters;
mod on_client;
mod on_own;
pub mod on_transaction;
pub mod plan;
pub mod transcode;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::contract::capability::{Capabilities, Isolation};
use crate::contract::driver::Opened;
use crate::contract::guest::ClientDriver;
use crate::contract::operation::Access;
use crate::contract::operations::Call;
use crate::contract::settings::Settings;
use crate::contract::states::{self, Reindexed};
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;
use crate::time::Millis;
use crate::url::{self, Backend};
use bell::Closing;
pub use health::{Health, Statistics};
use lane::Settle;
use lanes::Own;
use leases::{EventsLease, ExecutionLease, Leases};
use meters::Meter;
use on_transaction::{Open, Payloads};
use plan::Given;
use transcode::Transcoder;

/// Expired payloads are removed in batches of this many, each its own transaction.
pub const PURGE_BATCH: u64 = 1_000;

/// As it is named in errors.
const REINDEX: &str = "states.reindex";

/// A store: one backend, its settings, its lanes.
pub struct Store {
    backend: Backend,
    settings: Settings,
    shown: Shown,
    connections: Connections,
    meters: [Arc<Meter>; Call::COUNT],
    closed: Mutex<bool>,
    leases: Arc<Leases<ExecutionLease>>,
    event_leases: Arc<Leases<EventsLease>>,
    closing: Closing,
}

/// What others may see of a store's URL and options.
#[derive(Default)]
pub struct Shown {
    /// The URL without its secrets.
    pub url: String,
    /// What no text for the caller contains.
    pub secrets: Vec<String>,
}

/// Whose connections a store works on.
enum Connections {
    /// Its own; clients of the application besides, where the backend has any.
    Own(Box<Own>, Option<Arc<dyn ClientDriver>>),
    /// Those of the application's clients alone.
    Clients(Arc<dyn ClientDriver>),
}

impl Store {
    /// A store on connections of its own.
    pub fn on_own_connections(backend: Backend, opened: Opened, settings: Settings, shown: Shown) -> Self {
        let own = Box::new(Own::new(backend, opened.driver, settings));
        Self::with(backend, Connections::Own(own, opened.guest), settings, shown)
    }

    /// A store on clients of the application alone.
    pub fn on_clients(backend: Backend, guest: Arc<dyn ClientDriver>, settings: Settings) -> Self {
        Self::with(backend, Connections::Clients(guest), settings, Shown::default())
    }

    fn with(backend: Backend, connections: Connections, settings: Settings, shown: Shown) -> Self {
        Self {
            backend,
            settings,
            shown,
            connections,
            meters: std::array::from_fn(|_| Arc::default()),
            closed: Mutex::new(false),
            leases: Arc::default(),
            event_leases: Arc::default(),
            closing: Closing::default(),
        }
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
        &self.shown.url
    }

    /// What the backend can do.
    pub fn capabilities(&self) -> &'static Capabilities {
        match &self.connections {
            Connections::Own(own, _) => own.driver.capabilities(),
            Connections::Clients(guest) => guest.capabilities(),
        }
    }

    /// Replaces the secrets of URL and options in a text that goes to the caller.
    pub fn redact(&self, text: &str) -> String {
        url::redact(text, &self.shown.secrets)
    }

    fn transcoder(&self) -> Transcoder {
        Transcoder::new(self.backend, &self.settings)
    }

    /// The largest record that the backend takes under `id`.
    fn max_payload_bytes(&self, id: &str) -> u64 {
        match &self.connections {
            Connections::Own(own, _) => own.driver.max_payload_bytes(id),
            Connections::Clients(guest) => guest.max_payload_bytes(id),
        }
    }

    /// The largest payload that may be stored under `id`: as the backend takes it, and as `maxPayloadBytes` allows it.
    fn most_of_payload(&self, id: &str) -> u64 {
        let limit = self.max_payload_bytes(id);
        self.settings.max_payload_bytes.map_or(limit, |own| own.min(limit))
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
            let runtime = own.driver.runtime_of(Access::Write)?;
            let driver = Arc::clone(&own.driver);
            let limit = Box::new(move |id: &str| driver.max_payload_bytes(id));
            let payloads = Payloads { transcoder: self.transcoder(), limit };
            Ok(Open::serve(self.backend, transaction, &runtime, self.settings.operation_timeout, payloads))
        };
        begun.await.map_err(|error: Error| error.at(self.backend.name(), "transaction"))
    }

    /// Runs a call in an open transaction.
    pub fn run_in(&self, transaction: &Open, call: Call, given: Given<'_>, settle: Settle) {
        match self.plan(call, given) {
            Ok(plan) => transaction.run(plan, Some(Arc::clone(&self.meters[call as usize])), settle),
            Err(error) => self.refuse(call, error, settle),
        }
    }

    fn own(&self) -> Result<&Own> {
        match &self.connections {
            Connections::Own(own, _) => Ok(own),
            Connections::Clients(_) => Err(Error::new(
                Kind::Unsupported,
                "this store has no connection of its own: it works on the client it was given",
            )),
        }
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
        let statements = match &self.connections {
            Connections::Own(own, _) => own.driver.schema(),
            Connections::Clients(guest) => guest.schema(),
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
        // Of all batches together. What was removed before it stays removed.
        let until = Instant::now() + self.settings.operation_timeout;
        let mut removed = 0;
        while removed < limit {
            let batch = PURGE_BATCH.min(limit - removed);
            let count = self.supervised_until(until, "purgeExpired", driver.purge_expired(now, batch)).await?;
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

    /// Answers what is on its way, then gives the connections back. Safe to call again.
    pub async fn close(&self) {
        let first = !std::mem::replace(&mut *self.closed.lock().unwrap_or_else(PoisonError::into_inner), true);
        self.closing.begin();
        self.leases.end_all();
        self.event_leases.end_all();
        let Connections::Own(own, _) = &self.connections else { return };
        own.close_lanes().await;
        if first {
            own.driver.close().await;
        }
    }

    async fn supervised<T>(&self, operation: &'static str, work: Task<'_, Result<T>>) -> Result<T> {
        self.supervised_until(Instant::now() + self.settings.operation_timeout, operation, work).await
    }

    /// The same for a part of a call, which has its time.
    async fn supervised_until<T>(
        &self,
        until: Instant,
        operation: &'static str,
        work: Task<'_, Result<T>>,
    ) -> Result<T> {
        let limit = self.settings.operation_timeout;
        let result = match self.check_open() {
            Ok(()) => tokio::time::timeout_at(until, work).await.unwrap_or_else(|_| {
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
