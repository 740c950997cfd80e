//! Redis as a driver.

use super::{inspect, payloads, states};
use std::sync::Arc;

use super::channel::Own;
use super::shared::Connector;
use super::states::States;
use super::transaction::{Collected, OnOwn};
use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver};
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::states::Reindexed;
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::time::Millis;

pub(super) static CAPABILITIES: Capabilities = Capabilities {
    transactions: Transactions::Buffered,
    isolation: &[],
    expiry: Expiry::Server,
    // proto-max-bulk-len, as it is set everywhere unless somebody changed it.
    max_payload_bytes: 536_870_912,
    durable: true,
    shared: true,
    consistent_reads: true,
};

pub(super) struct Redis {
    pub(super) prefix: String,
    pub(super) states_prefix: String,
    pub(super) shared: Lease<Connector>,
}

impl Driver for Redis {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    /// A group is answered as a whole, so it is no larger than what makes a system call
    /// worthwhile; the next ones follow it on the same connection without waiting for it.
    fn batching(&self, _kind: RecordKind, access: Access) -> Batching {
        // Over a group of large payloads JavaScript falls asleep; small ones come back before it does.
        let together_from = if access == Access::Write { 16 << 10 } else { usize::MAX };
        Batching { concurrency: 64, max_operations: 256, max_bytes: 8 << 20, together_from }
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        match group {
            Group::Payloads(Work::Write(group)) => Box::pin(payloads::write(self.shared.arc(), &self.prefix, group)),
            Group::Payloads(Work::Read(group)) => Box::pin(payloads::read(self.shared.arc(), &self.prefix, group)),
            Group::States(Work::Write(group)) => {
                Box::pin(states::groups::write(self.shared.arc(), &self.states_prefix, group))
            }
            Group::States(Work::Read(group)) => {
                Box::pin(states::groups::read(self.shared.arc(), &self.states_prefix, group))
            }
        }
    }

    /// Asks nobody: nothing is sent before the commit.
    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        let collected = Collected::new(self.prefix.clone(), self.states_prefix.clone());
        let transaction = OnOwn::new(Arc::clone(self.shared.arc()), collected);
        Box::pin(async { Ok(Box::new(transaction) as Box<dyn Transaction>) })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async { inspect::initialize(&Own::of(self.shared.arc()).await?, &self.states_prefix).await })
    }

    /// Redis removes expired keys by itself, but not what stands of sagas in lists.
    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let own = Own::of(self.shared.arc()).await?;
            States { on: &own, prefix: &self.states_prefix }.tidy_all_expired(now, limit).await
        })
    }

    fn reindex<'a>(&'a self, name: Option<&'a str>, cursor: Option<&'a str>) -> Task<'a, Result<Reindexed>> {
        Box::pin(async move {
            let own = Own::of(self.shared.arc()).await?;
            states::reindex::run(&own, &self.states_prefix, name, cursor).await
        })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async {
            let own = Own::of(self.shared.arc()).await?;
            inspect::probe(&own, own.connection.clock()).await
        })
    }

    fn usage(&self, _now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async { inspect::usage(&Own::of(self.shared.arc()).await?, &self.prefix).await })
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.shared.pool())
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {
            if let Some(shared) = self.shared.release() {
                shared.close().await;
            }
        })
    }
}
