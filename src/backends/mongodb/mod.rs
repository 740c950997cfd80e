//! MongoDB, and servers that speak its protocol, through the `mongodb` crate.
//!
//! ```text
//! mod.rs         options, the driver
//! address.rs     the connection string, the write concern
//! payloads.rs    groups of writes as commands, and their answers
//! reads.rs       groups of reads
//! sessions.rs    writes that end once, and never late
//! commands.rs    the commands on payloads
//! document.rs    documents and commands as bytes
//! objects.rs     documents and commands as objects of JavaScript
//! steps.rs       one operation as one command
//! states.rs      saga state
//! state_groups.rs  the same in groups, on the store's own connections
//! transaction.rs the store's own transactions
//! guest.rs       the same operations on clients of the application
//! carrier.rs     who carries commands, and their failures
//! initialize.rs  the index on the expiry
//! inspect.rs     health, usage, purge
//! executor.rs    the driver's client that stores share
//! hello.rs       what servers say of themselves
//! clock.rs       the server's clock
//! error.rs       the driver's errors in the store's terms
//! ```
//!
//! Commands are written here, not by the driver's collection methods: a group of replacements is
//! one `update` command on every server, not only on those with `bulkWrite` (8.0), and payloads
//! are copied once instead of being turned into the driver's documents and back.
//!
//! # Who sees what
//!
//! A put waits for the majority of the members (`w: majority`, unless the URL says otherwise), so
//! a failover does not undo it. Reads go to the primary with the read concern `local`: it has
//! every put that was acknowledged, and one with a lesser write concern, too. `majority` would
//! miss the latter. A primary that was cut off from the others and does not know it yet may
//! answer a `get` for some seconds without what its successor stored meanwhile; who cannot bear
//! that adds `readConcernLevel=linearizable` to the URL and pays a round trip between the
//! members for each read.

mod address;
mod channel;
mod clock;
mod commands;
mod document;
mod error;
mod guest;
#[cfg(test)]
mod guest_tests;
mod hello;
mod initialize;
mod inspect;
mod objects;
mod payloads;
#[cfg(test)]
mod peer;
mod shared;
mod states;
#[cfg(test)]
mod tests;
mod transaction;
#[cfg(test)]
mod transaction_tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use mongodb::bson::RawDocumentBuf;
use tokio::sync::Semaphore;

use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver, Opened};
use crate::contract::guest::ClientDriver;
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::settings::Settings;
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::namespace::{Namespace, PAYLOADS, SAGAS, same_place};
use crate::options::OptionReader;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::time::Millis;
use address::Address;
use channel::Collection;
use commands::Terms;
use guest::Hosted;
use payloads::fence::Suspects;
use payloads::reads::Sizes;
use shared::{Executor, Server};

const fn capabilities(transactions: Transactions, expiry: Expiry) -> Capabilities {
    Capabilities {
        transactions,
        isolation: &[],
        expiry,
        // Under the shortest id.
        max_payload_bytes: document::max_payload_bytes(1),
        durable: true,
        shared: true,
        consistent_reads: true,
    }
}

/// By what is known of the server: 1 for no transactions, 2 for no TTL indexes. Before
/// `initialize` it is taken for a replica set.
static CAPABILITIES: [Capabilities; 4] = [
    capabilities(Transactions::Interactive, Expiry::Server),
    capabilities(Transactions::None, Expiry::Server),
    capabilities(Transactions::Interactive, Expiry::Cleanup),
    capabilities(Transactions::None, Expiry::Cleanup),
];

/// Opens a MongoDB URL without connecting. Takes `namespace`, `collectionName` and `statesCollectionName`.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let (collection, states_collection) = collections(&mut options)?;
    options.finish()?;
    let address = Address::parse(url, settings.connect_timeout)?;
    let key = format!("mongodb:{} {url}", settings.connect_timeout.as_millis());
    let read_concern = address.read_concern.as_ref().map(document::raw).transpose()?;
    let guest = Arc::new(Hosted::new(Some(address.database.clone()), collection.clone(), states_collection.clone()));
    let write_concern = document::raw(&address.write_concern)?;
    let driver = Arc::new_cyclic(|this| Mongo {
        this: Weak::clone(this),
        collection,
        states_collection,
        write_concern,
        read_concern,
        max_time: i64::try_from(settings.operation_timeout.as_millis()).unwrap_or(i64::MAX).min(i32::MAX.into()),
        executor: Lease::take(key, || Executor::new(address)),
        suspects: Suspects::default(),
        sizes: Sizes::default(),
        permits: Semaphore::new(payloads::reads::AT_ONCE),
        lacks: Lacks::default(),
    });
    Ok(Opened { driver, guest: Some(guest) })
}

/// The collection of payloads and that of sagas.
fn collections(options: &mut OptionReader) -> Result<(String, String)> {
    let namespace = Namespace::read(options)?;
    let mut read = |name, default: String| -> Result<String> {
        let collection = options.string(name)?.unwrap_or(default);
        address::check_collection(name, &collection)?;
        Ok(collection)
    };
    let payloads = read("collectionName", namespace.table(PAYLOADS, "saga_store"))?;
    let states = read("statesCollectionName", namespace.table(SAGAS, "saga_instances"))?;
    if payloads == states {
        return Err(same_place("collectionName", "statesCollectionName"));
    }
    Ok((payloads, states))
}

/// A store's own part: its collections. The client is shared.
struct Mongo {
    /// For transactions, which outlive the call that begins them.
    this: Weak<Self>,
    executor: Lease<Executor>,
    collection: String,
    states_collection: String,
    write_concern: RawDocumentBuf,
    read_concern: Option<RawDocumentBuf>,
    /// The server gives up after this many milliseconds: nobody waits any longer.
    max_time: i64,
    suspects: Suspects,
    sizes: Sizes,
    permits: Semaphore,
    lacks: Lacks,
}

/// The place in [`CAPABILITIES`].
#[derive(Default)]
struct Lacks(AtomicUsize);

impl Lacks {
    fn learn(&self, has_transactions: bool, has_ttl: bool) {
        self.0.store(usize::from(!has_transactions) + 2 * usize::from(!has_ttl), Ordering::Relaxed);
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES[self.0.load(Ordering::Relaxed) % CAPABILITIES.len()]
    }
}

impl Mongo {
    fn terms(&self) -> Terms<'_> {
        Terms {
            collection: &self.collection,
            write_concern: Some(&self.write_concern),
            read_concern: self.read_concern.as_deref(),
            max_time: Some(self.max_time),
        }
    }

    fn collection_on<'a>(&'a self, server: &'a Server) -> Collection<'a, Server> {
        Collection { on: server, terms: self.terms(), clock: self.executor.clock() }
    }

    fn states_on<'a>(&'a self, server: &'a Server) -> Collection<'a, Server> {
        Collection { terms: self.state_terms(), ..self.collection_on(server) }
    }

    /// A time of ours by the server's clock.
    fn there(&self, at: Millis) -> Millis {
        self.executor.clock().there(at)
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
            let server = self.executor.shared().server().await?;
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
            let server = self.executor.shared().server().await?;
            let removed = self.collection_on(&server).purge(now, limit).await?;
            let left = limit.saturating_sub(removed);
            Ok(removed + if left > 0 { self.states_on(&server).purge(now, left).await? } else { 0 })
        })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async {
            let server = self.executor.shared().server().await?;
            self.collection_on(&server).probe(&self.executor.address().database, server.hello()).await
        })
    }

    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async move {
            let server = self.executor.shared().server().await?;
            match self.collection_on(&server).count(now).await? {
                Some(usage) => Ok(usage),
                None => self.count_one_by_one(&server, now).await,
            }
        })
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.executor.pool())
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {
            self.suspects.clear();
            if let Some(executor) = self.executor.release() {
                executor.close().await;
            }
        })
    }
}

/// What works on clients of the application. Takes the same, and `database`, which is that of the client.
pub fn guest(mut options: OptionReader) -> Result<Arc<dyn ClientDriver>> {
    let (collection, states_collection) = collections(&mut options)?;
    let database = options.string("database")?;
    options.finish()?;
    if let Some(database) = &database {
        address::check_database(database)?;
    }
    Ok(Arc::new(Hosted::new(database, collection, states_collection)))
}
