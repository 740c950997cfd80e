//! MongoDB, and servers that speak its protocol, through the `mongodb` crate.
//!
//! ```text
//! mod.rs           options
//! address.rs       the connection string, the write concern
//! collections.rs   a collection for each kind of records
//! build.rs         commands, field by field
//! document.rs      documents and commands as bytes
//! objects.rs       documents and commands as objects of JavaScript
//! answer.rs        answers to writes
//! error.rs         the driver's errors in the store's terms
//! channel.rs       where commands travel, and their failures
//! own.rs           the store's own connections
//! transaction.rs   the store's own transactions
//! guest.rs         clients of the application
//! payloads/        payloads, over a channel
//! states/          saga state, over a channel
//! executions/      executions and their logs, over a channel
//! outbox/          events to publish, over a channel
//! inbox.rs         messages that have been applied, over a channel
//! moving/          whole records on their way out and in, over a channel
//! statements.rs    commands that several kinds share
//! driver.rs        each operation, and the code that runs it
//! capabilities.rs  what a server can do
//! initialize.rs    the index on the expiry
//! inspect.rs       health, usage, purge
//! shared.rs        the driver's client that stores share
//! suspects.rs      writes whose fate is not known
//! hello.rs         what servers say of themselves
//! clock.rs         the server's clock
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
mod answer;
mod build;
mod capabilities;
mod channel;
mod clock;
mod collections;
mod document;
mod driver;
mod error;
mod executions;
mod guest;
#[cfg(test)]
mod guest_tests;
mod hello;
mod inbox;
mod initialize;
mod inspect;
mod moving;
mod objects;
mod outbox;
mod own;
mod payloads;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod played;
mod rights;
mod shared;
mod statements;
mod states;
mod suspects;
#[cfg(test)]
mod tests;
mod transaction;
#[cfg(test)]
mod transaction_tests;

use std::sync::Arc;

use crate::contract::driver::Opened;
use crate::contract::guest::ClientDriver;
use crate::contract::settings::Settings;
use crate::error::Result;
use crate::options::OptionReader;
use crate::registry::Lease;
use address::Address;
use capabilities::Lacks;
use collections::{Collections, Names};
use driver::Mongo;
use guest::Hosted;
use payloads::reads::Reads;
use shared::Connector;
use suspects::Suspects;

/// Opens a MongoDB URL without connecting. Takes `namespace` and the names of collections.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let names = Names::read(&mut options)?;
    options.finish()?;
    let address = Address::parse(url, settings.connect_timeout)?;
    let key = format!("mongodb:{} {url}", settings.connect_timeout.as_millis());
    let guest = Arc::new(Hosted::new(Some(address.database.clone()), names.clone()));
    let collections = Collections {
        names,
        write_concern: document::raw(&address.write_concern)?,
        read_concern: address.read_concern.as_ref().map(document::raw).transpose()?,
        max_time: i64::try_from(settings.operation_timeout.as_millis()).unwrap_or(i64::MAX).min(i32::MAX.into()),
    };
    let driver = Arc::new(Mongo {
        shared: Lease::take(key, || Connector::new(address)),
        collections: Arc::new(collections),
        suspects: Arc::new(Suspects::default()),
        reads: Reads::default(),
        lacks: Lacks::default(),
    });
    Ok(Opened { driver, guest: Some(guest) })
}

/// What works on clients of the application. Takes the same, and `database`, which is that of the client.
pub fn guest(mut options: OptionReader) -> Result<Arc<dyn ClientDriver>> {
    let names = Names::read(&mut options)?;
    let database = options.string("database")?;
    options.finish()?;
    if let Some(database) = &database {
        address::check_database(database)?;
    }
    Ok(Arc::new(Hosted::new(database, names)))
}
