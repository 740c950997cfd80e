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
//! shared.rs    the driver's client that stores share
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
mod capabilities;
mod channel;
mod clock;
mod commands;
mod document;
mod driver;
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

use std::sync::{Arc, Weak};

use tokio::sync::Semaphore;

use crate::contract::driver::Opened;
use crate::contract::guest::ClientDriver;
use crate::contract::settings::Settings;
use crate::error::Result;
use crate::namespace::{Namespace, PAYLOADS, SAGAS, same_place};
use crate::options::OptionReader;
use crate::registry::Lease;
use crate::sizes::Sizes;
use address::Address;
use capabilities::Lacks;
use driver::Mongo;
use guest::Hosted;
use payloads::fence::Suspects;
use shared::Connector;

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
        shared: Lease::take(key, || Connector::new(address)),
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
