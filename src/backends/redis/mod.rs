//! Redis: one server, Sentinel or Cluster. Over a connection of our own where there is one server and no
//! TLS, and otherwise through the `fred` crate.
//!
//! ```text
//! mod.rs            opens a store, on connections of its own or on clients of the application
//! guest.rs          the client driver: on clients of the application
//! driver.rs         the driver: on connections of the store's own
//! bell.rs           new events of other processes, heard on a connection of its own
//! moving/           whole records, on their way out and in
//! transaction.rs    transactions of the store's own: changes of all kinds, collected and sent at the end
//! inspect.rs        initialize, health, usage
//! states/           saga state
//! executions/       the execution log
//! outbox/           the outbox
//! inbox.rs          the inbox
//! groups.rs         groups of operations of a kind, round by round
//! payloads.rs       payloads: operations as commands, and their replies
//! script.rs         scripts that know many operations, by their digests
//! commit_script.rs  the script at the end of a transaction that has conditions
//! slot.rs           which keys may be in one transaction of a cluster
//! channel.rs        where requests travel: over a connection of the store's own, or over a client
//! shared.rs         the connection that stores share: made, replaced, given up
//! connection.rs     one link and its traffic
//! survey.rs         what servers say of themselves: their clock, and our sessions there
//! link.rs           what carries commands: a connection of our own, or one fred client
//! wire.rs           a connection of our own to the only server
//! resp.rs           Redis' protocol on it
//! config.rs         the URL, certificates, fred's settings, key prefixes
//! error.rs          errors of fred, of clients and of servers in the store's terms
//! command.rs        the commands, as fred's and in words
//! ```
//!
//! Each file imports only from those that stand below it. A kind of records has a file or a folder here, a key prefix
//! in `config.rs`, its lines in both drivers, and a variant in `transaction.rs` if its changes can wait for the end of
//! a transaction.

mod bell;
mod channel;
mod command;
mod commit_script;
mod config;
mod connection;
mod driver;
mod error;
mod executions;
mod groups;
mod guest;
#[cfg(test)]
mod guest_tests;
mod inbox;
mod inspect;
mod link;
mod moving;
mod outbox;
mod payloads;
mod resp;
mod rights;
mod script;
mod shared;
mod slot;
mod states;
mod survey;
#[cfg(test)]
mod tests;
mod transaction;
mod wire;

use std::sync::Arc;

use crate::contract::driver::Opened;
use crate::contract::guest::ClientDriver;
use crate::contract::settings::Settings;
use crate::error::Result;
use crate::listening::Listener;
use crate::options::OptionReader;
use crate::registry::Lease;
use config::{Endpoint, Prefixes};
use driver::Redis;
use executions::claims::Due;
use guest::RedisOnClients;
use shared::Connector;

/// Opens a Redis URL without connecting. Takes `namespace`, the key prefixes of all kinds and `tlsCaFile`.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let prefixes = Prefixes::read(&mut options)?;
    let ca_file = options.string("tlsCaFile")?;
    options.finish()?;
    let key = format!("redis:{url} {ca_file:?} {:?}", settings.connect_timeout);
    let endpoint = Endpoint::parse(url, ca_file, settings.connect_timeout)?;
    let shared = Lease::take(key, || Connector::new(endpoint));
    let guest = RedisOnClients::new(prefixes.clone());
    Ok(Opened {
        driver: Arc::new(Redis { prefixes, shared, due: Due::default(), listener: Listener::default() }),
        guest: Some(Arc::new(guest)),
    })
}

/// What works on clients of the application. Takes `namespace` and the key prefixes of all
/// kinds.
pub fn guest(mut options: OptionReader) -> Result<Arc<dyn ClientDriver>> {
    let prefixes = Prefixes::read(&mut options)?;
    options.finish()?;
    Ok(Arc::new(RedisOnClients::new(prefixes)))
}
