//! The driver: each operation, and the code that runs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::channel::Channel;
use super::config::Tables;
use super::queue::Queue;
use super::rights::Rights;
use super::session::{Patience, Session};
use super::shared::SharedClient;
use super::sweep::Sweep;
use super::tables::Contents;
use super::transaction::OwnTransaction;
use super::{executions, inbox, initialize, moving, outbox, payloads, states, sweep};
use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
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

pub(super) static CAPABILITIES: Capabilities = Capabilities {
    transactions: Transactions::Buffered,
    isolation: &[],
    // Within days; reads do not wait for it.
    expiry: Expiry::Server,
    // Of the shortest id; one of n bytes has n - 1 less.
    max_payload_bytes: payloads::item::max_payload_bytes(1),
    durable: true,
    shared: true,
    consistent_reads: true,
};

pub(super) struct DynamoDb {
    pub(super) tables: Arc<Tables>,
    pub(super) shared: Lease<SharedClient>,
    pub(super) operation_timeout: Duration,
    pub(super) patience: Patience,
    pub(super) sizes: Sizes,
    pub(super) sweep: Mutex<Option<Sweep>>,
    pub(super) states_sweep: Mutex<Option<Sweep>>,
    pub(super) executions_sweep: Mutex<Option<Sweep>>,
    pub(super) events_sweep: Mutex<Option<Sweep>>,
    pub(super) messages_sweep: Mutex<Option<Sweep>>,
    pub(super) unswept: AtomicBool,
    pub(super) rights: Rights,
}

impl DynamoDb {
    pub(super) async fn session(&self) -> Result<Session<'_>> {
        Session::open(&self.shared, &self.tables, self.patience).await
    }

    /// To the table of sagas.
    pub(super) async fn states_session(&self) -> Result<Session<'_>> {
        Ok(self.session().await?.to(RecordKind::States))
    }

    /// To the table of executions.
    async fn executions_session(&self) -> Result<Session<'_>> {
        self.session_to(RecordKind::Executions).await
    }

    /// To the table of a kind.
    async fn session_to(&self, kind: RecordKind) -> Result<Session<'_>> {
        Ok(self.session().await?.to(kind))
    }
}

impl Driver for DynamoDb {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn max_payload_bytes(&self, id: &str) -> u64 {
        payloads::item::max_payload_bytes(id.len() as u64)
    }

    /// A group of puts is one BatchWriteItem, unless they are large: then several smaller ones in
    /// parallel are sooner done.
    fn batching(&self, _kind: RecordKind, access: Access) -> Batching {
        let max_operations = if access == Access::Write { payloads::PUTS } else { payloads::GETS };
        Batching { concurrency: 16, max_operations, max_bytes: 1 << 20, together_from: usize::MAX }
    }

    fn looks_before_claims(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        match group {
            Group::Payloads(Work::Write(group)) => Box::pin(async move {
                match self.session().await {
                    Ok(session) => payloads::write(&session, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Payloads(Work::Read(group)) => Box::pin(async move {
                match self.session().await {
                    Ok(session) => payloads::read(&session, group, &self.sizes).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Moving(group) => Box::pin(async move {
                match (self.session().await, group) {
                    (Ok(session), Work::Write(group)) => moving::write(&session, group).await,
                    (Ok(session), Work::Read(group)) => moving::read(&session, group).await,
                    (Err(error), Work::Write(group)) => vec![Err(error); group.len()],
                    (Err(error), Work::Read(group)) => vec![Err(error); group.len()],
                }
            }),
            Group::Outbox(group) => Box::pin(async move {
                match (self.session_to(RecordKind::Outbox).await, group) {
                    (Ok(session), Work::Write(group)) => outbox::write(&session, group).await,
                    (Ok(session), Work::Read(group)) => outbox::read(&session, group).await,
                    (Err(error), Work::Write(group)) => vec![Err(error); group.len()],
                    (Err(error), Work::Read(group)) => vec![Err(error); group.len()],
                }
            }),
            Group::Inbox(group) => Box::pin(async move {
                match (self.session_to(RecordKind::Inbox).await, group) {
                    (Ok(session), Work::Write(group)) => inbox::write(&session, group, &self.messages_sweep).await,
                    (Ok(session), Work::Read(group)) => inbox::read(&session, group).await,
                    (Err(error), Work::Write(group)) => vec![Err(error); group.len()],
                    (Err(error), Work::Read(group)) => vec![Err(error); group.len()],
                }
            }),
            Group::Executions(Work::Write(group)) => Box::pin(async move {
                match self.executions_session().await {
                    Ok(session) => executions::write(&session, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Executions(Work::Read(group)) => Box::pin(async move {
                match self.executions_session().await {
                    Ok(session) => executions::read(&session, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::States(Work::Write(group)) => Box::pin(async move {
                match self.states_session().await {
                    Ok(session) => states::groups::write(&session, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::States(Work::Read(group)) => Box::pin(async move {
                match self.states_session().await {
                    Ok(session) => states::groups::read(&session, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
        }
    }

    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        Box::pin(async {
            // The clock is known then.
            drop(self.session().await?);
            let shared = Arc::clone(self.shared.arc());
            let queue = Queue::new(Arc::clone(&self.tables), Arc::clone(&shared.clock));
            Ok(Box::new(OwnTransaction::new(shared, self.patience, queue)) as Box<dyn Transaction>)
        })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async {
            let session = self.session().await?.unqueued();
            // A little less than the operation may take, so that the error says what it waited for.
            initialize::initialize(&session, Some(self.operation_timeout.mul_f64(0.9)), &self.rights).await
        })
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let session = self.session().await?;
            let slice = self.operation_timeout / 4;
            let now = self.shared.clock.stored(now);
            let mut sweep = self.sweep.lock().await;
            let purged =
                Box::pin(sweep::purge((&session, Contents::Payloads), &mut sweep, now, limit, Some(slice))).await?;
            let (mut removed, mut unfinished) = (purged.removed, purged.unfinished);
            for (kind, contents, sweep) in [
                (RecordKind::States, Contents::Sagas, &self.states_sweep),
                (RecordKind::Executions, Contents::Executions, &self.executions_sweep),
                (RecordKind::Outbox, Contents::Events, &self.events_sweep),
                (RecordKind::Inbox, Contents::Messages, &self.messages_sweep),
            ] {
                let (session, mut sweep) = (session.to(kind), sweep.lock().await);
                let of_kind =
                    sweep::purge_if_there((&session, contents), &mut sweep, now, limit - removed, Some(slice));
                let of_kind = Box::pin(of_kind).await?;
                removed += of_kind.removed;
                unfinished |= of_kind.unfinished;
            }
            self.unswept.store(unfinished, Ordering::Relaxed);
            Ok(removed)
        })
    }

    fn purge_is_unfinished(&self) -> bool {
        self.unswept.load(Ordering::Relaxed)
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async {
            let channel = self.session().await?.unqueued();
            Box::pin(initialize::probe(&channel, &self.rights)).await
        })
    }

    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async move {
            let session = self.session().await?;
            Box::pin(sweep::usage(&session, self.shared.clock.stored(now))).await
        })
    }

    fn pool(&self) -> Option<Pool> {
        // The SDK does not show its connections.
        None
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {
            if let Some(shared) = self.shared.release() {
                shared.close();
            }
        })
    }
}
