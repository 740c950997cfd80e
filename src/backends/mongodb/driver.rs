//! Mongo as a driver.

use super::{document, inspect};
use std::sync::Weak;

use mongodb::bson::RawDocumentBuf;
use tokio::sync::Semaphore;

use super::capabilities::Lacks;
use super::channel::Collection;
use super::commands::Terms;
use super::payloads::fence::Suspects;
use super::shared::{Connector, Server};
use crate::contract::capability::{Capabilities, Isolation};
use crate::contract::driver::{Batching, Driver};
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::sizes::Sizes;
use crate::time::Millis;

/// A store's own part: its collections. The client is shared.
pub(super) struct Mongo {
    /// For transactions, which outlive the call that begins them.
    pub(super) this: Weak<Self>,
    pub(super) shared: Lease<Connector>,
    pub(super) collection: String,
    pub(super) states_collection: String,
    pub(super) write_concern: RawDocumentBuf,
    pub(super) read_concern: Option<RawDocumentBuf>,
    /// The server gives up after this many milliseconds: nobody waits any longer.
    pub(super) max_time: i64,
    pub(super) suspects: Suspects,
    pub(super) sizes: Sizes,
    pub(super) permits: Semaphore,
    pub(super) lacks: Lacks,
}

impl Mongo {
    pub(super) fn terms(&self) -> Terms<'_> {
        Terms {
            collection: &self.collection,
            write_concern: Some(&self.write_concern),
            read_concern: self.read_concern.as_deref(),
            max_time: Some(self.max_time),
        }
    }

    pub(super) fn collection_on<'a>(&'a self, server: &'a Server) -> Collection<'a, Server> {
        Collection { on: server, terms: self.terms(), clock: self.shared.clock() }
    }

    pub(super) fn states_on<'a>(&'a self, server: &'a Server) -> Collection<'a, Server> {
        Collection { terms: self.state_terms(), ..self.collection_on(server) }
    }

    /// A time of ours by the server's clock.
    pub(super) fn there(&self, at: Millis) -> Millis {
        self.shared.clock().there(at)
    }
}

impl Driver for Mongo {
    fn capabilities(&self) -> &'static Capabilities {
        self.lacks.capabilities()
    }

    fn max_payload_bytes(&self, id: &str) -> u64 {
        document::max_payload_bytes(id.len())
    }

    /// A command is a document itself, and ends at 16 MB with all that is in it.
    fn batching(&self, _kind: RecordKind, _access: Access) -> Batching {
        Batching { concurrency: 4, max_operations: 128, max_bytes: 4 << 20, together_from: usize::MAX }
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        match group {
            Group::Payloads(Work::Write(group)) => Box::pin(self.write_group(group)),
            Group::Payloads(Work::Read(group)) => Box::pin(self.read_group(group)),
            Group::States(Work::Write(group)) => Box::pin(self.write_state_group(group)),
            Group::States(Work::Read(group)) => Box::pin(self.read_state_group(group)),
        }
    }

    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        Box::pin(self.begin_transaction())
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async {
            let server = self.shared.arc().server().await?;
            let made = self.collection_on(&server).make_index().await?;
            self.lacks.learn(server.hello().has_transactions(), made.ttl);
            let states = self.states_on(&server);
            let refused = states.make_state_indexes().await?;
            let atomic = states.is_atomic(server.hello()).await;
            let sagas = inspect::Sagas { collection: &self.states_collection, refused, atomic };
            Ok(inspect::warnings(made, server.hello(), &self.collection, &sagas))
        })
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let server = self.shared.arc().server().await?;
            let removed = self.collection_on(&server).purge(now, limit).await?;
            let left = limit.saturating_sub(removed);
            Ok(removed + if left > 0 { self.states_on(&server).purge(now, left).await? } else { 0 })
        })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async {
            let server = self.shared.arc().server().await?;
            self.collection_on(&server).probe(&self.shared.address().database, server.hello()).await
        })
    }

    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async move {
            let server = self.shared.arc().server().await?;
            match self.collection_on(&server).count(now).await? {
                Some(usage) => Ok(usage),
                None => self.count_one_by_one(&server, now).await,
            }
        })
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.shared.pool())
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {
            self.suspects.clear();
            if let Some(shared) = self.shared.release() {
                shared.close().await;
            }
        })
    }
}
