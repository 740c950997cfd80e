//! The Node-API boundary: the only place that knows `napi`, and the only one with `unsafe`.
//!
//! A call makes a promise by hand (a raw deferred) and hands the operation to the store; the
//! answer comes back through one threadsafe function per environment, which lives as long as a store is
//! open, and settles whole batches of promises in one turn. A plain `#[napi] async fn` makes and frees a threadsafe
//! function for each call: 3.6 us of event-loop time against about 1 us measured this way.

mod arguments;
mod borrowed;
mod bridge;
mod calls;
mod conversations;
mod direct;
mod dynamic;
mod opaque;
mod operations;
mod store;
mod transaction;
mod turns;
mod values;
mod wake;
mod zstd;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::prelude::*;

/// `SAGASTORE_LOG=debug|info|warn|error` writes what happens inside to stderr; only our own
/// events, because drivers' may show statements and arguments.
#[napi_derive::module_init]
fn log_to_stderr() {
    let level = std::env::var("SAGASTORE_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    if let Some(level) = level {
        let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
        let to_stderr = layer().with_writer(std::io::stderr).with_ansi(false).with_filter(ours);
        // Another addon of the process may have set its own subscriber; then it keeps it.
        drop(tracing_subscriber::registry().with(to_stderr).try_init());
    }
}
