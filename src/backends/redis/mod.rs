//! Redis: one server, Sentinel or Cluster. Over a connection of our own where there is one server and no
//! TLS, and otherwise through the `fred` crate.
//!
//! ```text
//! mod.rs         options, the driver
//! config.rs      the URL, certificates, fred's settings
//! payloads.rs    operations as commands, and their replies
//! command.rs     the commands, as fred's and in words
//! inspect.rs     initialize, health, usage
//! servers.rs     the servers, over our connection or a client of the application
//! transaction.rs transactions of the store's own
//! guest.rs       operations on a client of the application
//! state_plans.rs changes of saga state in a transaction
//! states.rs      saga state, step by step over whichever servers have its keys
//! state_keys.rs  its keys, and what a stored state tells
//! state_lists.rs the lists of sagas, and how they are kept right
//! state_reindex.rs  sagas that software without our lists has written
//! state_scripts.rs  what is asked of one key
//! state_groups.rs  groups of operations, round by round
//! slot.rs        which keys may be in one transaction of a cluster
//! executor.rs    the connection that stores share: made, made again, replaced
//! connection.rs  one link and its traffic
//! link.rs        what carries commands: a connection of our own, or one fred client
//! wire.rs        a connection of our own to the only server
//! resp.rs        Redis' protocol on it
//! survey.rs      the servers' clock and our sessions there
//! error.rs       fred's errors in the store's terms
//! ```

mod channel;
mod command;
mod config;
mod connection;
mod error;
mod guest;
#[cfg(test)]
mod guest_tests;
mod inspect;
mod link;
mod payloads;
mod resp;
mod shared;
mod slot;
mod states;
mod survey;
#[cfg(test)]
mod tests;
mod transaction;
mod wire;

use std::sync::Arc;

use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver, Opened};
use crate::contract::guest::ClientDriver;
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::settings::Settings;
use crate::contract::states::Reindexed;
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::namespace::{Namespace, PAYLOADS, SAGAS};
use crate::options::OptionReader;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::time::Millis;
use channel::Own;
use config::Endpoint;
use shared::Executor;
use states::States;
use transaction::{Collected, OnOwn};

static CAPABILITIES: Capabilities = Capabilities {
    transactions: Transactions::Buffered,
    isolation: &[],
    expiry: Expiry::Server,
    // proto-max-bulk-len, as it is set everywhere unless somebody changed it.
    max_payload_bytes: 536_870_912,
    durable: true,
    shared: true,
    consistent_reads: true,
};

/// Opens a Redis URL without connecting. Takes `namespace`, `keyPrefix`, `statesKeyPrefix` and `tlsCaFile`.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let (prefix, states_prefix) = prefixes(&mut options)?;
    let ca_file = options.string("tlsCaFile")?;
    options.finish()?;
    let key = format!("redis:{url} {ca_file:?} {:?}", settings.connect_timeout);
    let endpoint = Endpoint::parse(url, ca_file, settings.connect_timeout)?;
    let executor = Lease::take(key, || Executor::new(endpoint));
    let guest = guest::Hosted::new(prefix.clone(), states_prefix.clone());
    Ok(Opened { driver: Arc::new(Redis { prefix, states_prefix, executor }), guest: Some(Arc::new(guest)) })
}

/// What works on clients of the application. Takes `namespace`, `keyPrefix` and `statesKeyPrefix`.
pub fn guest(mut options: OptionReader) -> Result<Arc<dyn ClientDriver>> {
    let (prefix, states_prefix) = prefixes(&mut options)?;
    options.finish()?;
    Ok(Arc::new(guest::Hosted::new(prefix, states_prefix)))
}

/// That of payloads and that of sagas.
fn prefixes(options: &mut OptionReader) -> Result<(String, String)> {
    let namespace = Namespace::read(options)?;
    let mut read = |name, default: String| -> Result<String> {
        let prefix = options.string(name)?.unwrap_or(default);
        config::check_prefix(name, &prefix)?;
        Ok(prefix)
    };
    let payloads = read("keyPrefix", namespace.prefix(PAYLOADS, "saga:storage"))?;
    let states = read("statesKeyPrefix", namespace.prefix(SAGAS, "saga-bus") + ":")?;
    config::check_apart(&payloads, &states)?;
    Ok((payloads, states))
}

struct Redis {
    prefix: String,
    states_prefix: String,
    executor: Lease<Executor>,
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
            Group::Payloads(Work::Write(group)) => {
                Box::pin(payloads::write(self.executor.shared(), &self.prefix, group))
            }
            Group::Payloads(Work::Read(group)) => Box::pin(payloads::read(self.executor.shared(), &self.prefix, group)),
            Group::States(Work::Write(group)) => {
                Box::pin(states::groups::write(self.executor.shared(), &self.states_prefix, group))
            }
            Group::States(Work::Read(group)) => {
                Box::pin(states::groups::read(self.executor.shared(), &self.states_prefix, group))
            }
        }
    }

    /// Asks nobody: nothing is sent before the commit.
    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        let collected = Collected::new(self.prefix.clone(), self.states_prefix.clone());
        let transaction = OnOwn::new(Arc::clone(self.executor.shared()), collected);
        Box::pin(async { Ok(Box::new(transaction) as Box<dyn Transaction>) })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async { inspect::initialize(&Own::of(self.executor.shared()).await?, &self.states_prefix).await })
    }

    /// Redis removes expired keys by itself, but not what stands of sagas in lists.
    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let own = Own::of(self.executor.shared()).await?;
            States { on: &own, prefix: &self.states_prefix }.tidy_all_expired(now, limit).await
        })
    }

    fn reindex<'a>(&'a self, name: Option<&'a str>, cursor: Option<&'a str>) -> Task<'a, Result<Reindexed>> {
        Box::pin(async move {
            let own = Own::of(self.executor.shared()).await?;
            states::reindex::run(&own, &self.states_prefix, name, cursor).await
        })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async {
            let own = Own::of(self.executor.shared()).await?;
            inspect::probe(&own, own.connection.clock()).await
        })
    }

    fn usage(&self, _now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async { inspect::usage(&Own::of(self.executor.shared()).await?, &self.prefix).await })
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.executor.pool())
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {
            if let Some(executor) = self.executor.release() {
                executor.close().await;
            }
        })
    }
}
