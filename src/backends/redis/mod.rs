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
//! shared.rs    the connection that stores share: made, made again, replaced
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
mod driver;
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

use crate::contract::driver::Opened;
use crate::contract::guest::ClientDriver;
use crate::contract::settings::Settings;
use crate::error::Result;
use crate::namespace::{Namespace, PAYLOADS, SAGAS};
use crate::options::OptionReader;
use crate::registry::Lease;
use config::Endpoint;
use driver::Redis;
use shared::Connector;

/// Opens a Redis URL without connecting. Takes `namespace`, `keyPrefix`, `statesKeyPrefix` and `tlsCaFile`.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let (prefix, states_prefix) = prefixes(&mut options)?;
    let ca_file = options.string("tlsCaFile")?;
    options.finish()?;
    let key = format!("redis:{url} {ca_file:?} {:?}", settings.connect_timeout);
    let endpoint = Endpoint::parse(url, ca_file, settings.connect_timeout)?;
    let shared = Lease::take(key, || Connector::new(endpoint));
    let guest = guest::Hosted::new(prefix.clone(), states_prefix.clone());
    Ok(Opened { driver: Arc::new(Redis { prefix, states_prefix, shared }), guest: Some(Arc::new(guest)) })
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
