//! Redis as a driver.

use std::sync::Arc;

use futures_util::future::join_all;

use super::channel::OwnChannel;
use super::config::Prefixes;
use super::executions::claims::Due;
use super::executions::{self, Executions};
use super::moving::Moving;
use super::outbox::{self, Outbox};
use super::shared::Connector;
use super::states::{self, States, reindex};
use super::transaction::QueuedTransaction;
use super::{bell, inbox, inspect, payloads};
use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver};
use crate::contract::moving::{Moved, MovingWrite};
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::states::Reindexed;
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::{Detail, Result};
use crate::listening::Listener;
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
    pub(super) prefixes: Prefixes,
    pub(super) shared: Lease<Connector>,
    pub(super) due: Due,
    pub(super) listener: Listener,
}

impl Redis {
    /// Connects if need be.
    async fn channel(&self) -> Result<OwnChannel<'_>> {
        OwnChannel::of(self.shared.arc()).await
    }
}

/// Runs a group. If it fails as a whole, each of its operations does.
fn answers<'a>(
    count: usize,
    group: impl Future<Output = Result<Vec<Result<Reply>>>> + Send + 'a,
) -> Task<'a, Vec<Result<Reply>>> {
    Box::pin(async move { group.await.unwrap_or_else(|error| vec![Err(error); count]) })
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

    /// On one server claims look in turn, and share what they find (`executions/claims.rs`).
    fn looks_before_claims(&self) -> bool {
        !self.shared.one_server()
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        let Prefixes { payloads: prefix, states: sagas, executions: runs, outbox: events, inbox: entries } =
            &self.prefixes;
        match group {
            Group::Payloads(Work::Write(group)) => {
                answers(group.len(), async move { payloads::write(&self.channel().await?, prefix, group).await })
            }
            Group::Payloads(Work::Read(group)) => {
                answers(group.len(), async move { payloads::read(&self.channel().await?, prefix, group).await })
            }
            Group::States(Work::Write(group)) => {
                answers(group.len(), async move { Ok(states::write(&self.channel().await?, sagas, group).await) })
            }
            Group::States(Work::Read(group)) => {
                answers(group.len(), async move { Ok(states::read(&self.channel().await?, sagas, group).await) })
            }
            Group::Executions(Work::Write(group)) => answers(group.len(), async move {
                Ok(executions::write(&self.channel().await?, runs, &self.due, group).await)
            }),
            Group::Executions(Work::Read(group)) => {
                answers(group.len(), async move { Ok(executions::read(&self.channel().await?, runs, group).await) })
            }
            Group::Outbox(Work::Write(group)) => {
                answers(group.len(), async move { Ok(outbox::write(&self.channel().await?, events, group).await) })
            }
            Group::Outbox(Work::Read(group)) => {
                answers(group.len(), async move { Ok(outbox::read(&self.channel().await?, events, group).await) })
            }
            Group::Moving(Work::Write(group)) => answers(group.len(), async move {
                let on = self.channel().await?;
                let moving = Moving { on: &on, prefixes: &self.prefixes };
                let answers = join_all(group.iter().map(|write| moving.write(write))).await;
                if group.iter().any(|MovingWrite::Import(import)| import.kind == Moved::Executions) {
                    // Some of them may have been due for long.
                    self.due.forget();
                }
                Ok(answers)
            }),
            Group::Moving(Work::Read(group)) => answers(group.len(), async move {
                let on = self.channel().await?;
                let moving = Moving { on: &on, prefixes: &self.prefixes };
                Ok(join_all(group.iter().map(|read| moving.read(read))).await)
            }),
            Group::Inbox(Work::Write(group)) => {
                answers(group.len(), async move { Ok(inbox::write(&self.channel().await?, entries, group).await) })
            }
            Group::Inbox(Work::Read(group)) => {
                answers(group.len(), async move { Ok(inbox::read(&self.channel().await?, entries, group).await) })
            }
        }
    }

    /// Asks nobody: nothing is sent before the commit.
    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        let transaction = QueuedTransaction::new(Arc::clone(self.shared.arc()), self.prefixes.clone());
        Box::pin(async { Ok(Box::new(transaction) as Box<dyn Transaction>) })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async { inspect::initialize(&self.channel().await?, &self.prefixes).await })
    }

    /// Redis removes expired keys by itself, but not what stands of other records than payloads in lists.
    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let on = self.channel().await?;
            let sagas = States { on: &on, prefix: &self.prefixes.states }.tidy_all_expired(now, limit).await?;
            let executions = Executions { on: &on, prefix: &self.prefixes.executions };
            let removed = sagas + executions.purge_expired(limit.saturating_sub(sagas)).await?;
            let events = Outbox { on: &on, prefix: &self.prefixes.outbox };
            Ok(removed + events.purge_expired(limit.saturating_sub(removed)).await?)
        })
    }

    fn reindex<'a>(&'a self, name: Option<&'a str>, cursor: Option<&'a str>) -> Task<'a, Result<Reindexed>> {
        Box::pin(async move { reindex::run(&self.channel().await?, &self.prefixes.states, name, cursor).await })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async {
            let mut probe = inspect::probe(&self.channel().await?, &self.prefixes).await?;
            probe.degraded = probe.degraded.or_else(|| self.listener.trouble());
            if let Some(listens) = self.listener.listens() {
                probe.details.push(("outboxListens", Detail::Number(i64::from(listens))));
            }
            Ok(probe)
        })
    }

    fn usage(&self, _now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async { inspect::usage(&self.channel().await?, &self.prefixes.payloads).await })
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.shared.pool())
    }

    fn rung(&self) -> Task<'_, ()> {
        Box::pin(bell::rung(&self.listener, self.shared.arc(), outbox::keys::ready(&self.prefixes.outbox)))
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {
            self.listener.close();
            if let Some(shared) = self.shared.release() {
                shared.close().await;
            }
        })
    }
}
