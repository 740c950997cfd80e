//! Mongo as a driver.

use std::sync::Arc;

use super::capabilities::Lacks;
use super::channel::Channel;
use super::collections::Collections;
use super::own::Own;
use super::payloads::reads::Reads;
use super::shared::Connector;
use super::suspects::Suspects;
use super::{document, executions, inbox, inspect, moving, outbox, payloads, rights, states, transaction};
use crate::contract::capability::{Capabilities, Isolation};
use crate::contract::driver::{Batching, Driver};
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::time::Millis;

/// A store's own part: its collections. The client is shared.
pub(super) struct Mongo {
    pub(super) shared: Lease<Connector>,
    pub(super) collections: Arc<Collections>,
    pub(super) suspects: Arc<Suspects>,
    pub(super) reads: Reads,
    pub(super) lacks: Lacks,
}

impl Mongo {
    /// To the collection of payloads; connects, if that has not been done.
    async fn own(&self) -> Result<Own> {
        let server = self.shared.arc().server().await?;
        Ok(Own {
            collections: Arc::clone(&self.collections),
            suspects: Arc::clone(&self.suspects),
            shared: Arc::clone(self.shared.arc()),
            server,
            kind: RecordKind::Payloads,
        })
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

    fn looks_before_claims(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        match group {
            Group::Payloads(Work::Write(group)) => Box::pin(async move {
                match self.own().await {
                    Ok(on) => payloads::writes::write(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Payloads(Work::Read(group)) => Box::pin(async move {
                match self.own().await {
                    Ok(on) => self.reads.read(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Outbox(Work::Write(group)) => Box::pin(async move {
                match self.own().await.map(|own| own.to(RecordKind::Outbox)) {
                    Ok(on) => outbox::groups::write(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Outbox(Work::Read(group)) => Box::pin(async move {
                match self.own().await.map(|own| own.to(RecordKind::Outbox)) {
                    Ok(on) => outbox::groups::read(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Moving(Work::Write(group)) => Box::pin(async move {
                match self.own().await {
                    Ok(on) => moving::write_group(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Moving(Work::Read(group)) => Box::pin(async move {
                match self.own().await {
                    Ok(on) => moving::read_group(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Inbox(Work::Write(group)) => Box::pin(async move {
                match self.own().await.map(|own| own.to(RecordKind::Inbox)) {
                    Ok(on) => inbox::write_group(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Inbox(Work::Read(group)) => Box::pin(async move {
                match self.own().await.map(|own| own.to(RecordKind::Inbox)) {
                    Ok(on) => inbox::read_group(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Executions(Work::Write(group)) => Box::pin(async move {
                match self.own().await.map(|own| own.to(RecordKind::Executions)) {
                    Ok(on) => executions::groups::write(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Executions(Work::Read(group)) => Box::pin(async move {
                match self.own().await.map(|own| own.to(RecordKind::Executions)) {
                    Ok(on) => executions::groups::read(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::States(Work::Write(group)) => Box::pin(async move {
                match self.own().await.map(|own| own.to(RecordKind::States)) {
                    Ok(on) => states::groups::write(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::States(Work::Read(group)) => Box::pin(async move {
                match self.own().await.map(|own| own.to(RecordKind::States)) {
                    Ok(on) => states::groups::read(&on, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
        }
    }

    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        Box::pin(async { transaction::begin(self.own().await?).await })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async {
            let own = self.own().await?;
            let (states, executions) = (own.to(RecordKind::States), own.to(RecordKind::Executions));
            let (outbox, inbox) = (own.to(RecordKind::Outbox), own.to(RecordKind::Inbox));
            let kinds = inspect::Kinds {
                payloads: own.as_collection(),
                states: states.as_collection(),
                executions: executions.as_collection(),
                log: executions.as_log_collection(),
                outbox: outbox.as_collection(),
                inbox: inbox.as_collection(),
            };
            let mut warnings = inspect::initialize(kinds, own.server.hello(), &self.lacks).await?;
            warnings.extend(rights::lacking(&*own.server, &own.address().database, own.names()).await?);
            Ok(warnings)
        })
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let own = self.own().await?;
            let states = own.to(RecordKind::States);
            let removed = inspect::purge(&[own.as_collection(), states.as_collection()], now, limit).await?;
            Ok(removed + inspect::purge_others(&own, now, limit.saturating_sub(removed)).await?)
        })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async {
            let own = self.own().await?;
            own.as_collection().probe(&own.address().database, own.server.hello(), own.names()).await
        })
    }

    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async move {
            let own = self.own().await?;
            match own.as_collection().count(now).await? {
                Some(usage) => Ok(usage),
                None => payloads::reads::count_one_by_one(&own, now).await,
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
