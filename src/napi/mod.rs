//! The Node-API boundary: the only place that knows `napi`, and the only one with `unsafe`.
//!
//! A call makes a promise by hand (a raw deferred) and hands the operation to the store; the
//! answer comes back through one long-lived threadsafe function per environment, which settles
//! whole batches of promises in one turn. A plain `#[napi] async fn` makes and frees a threadsafe
//! function for each call: 3.6 us of event-loop time against about 1 us measured this way.

mod arguments;
mod bridge;
mod store;
mod values;

use tracing::level_filters::LevelFilter;

/// `SAGASTORE_LOG=debug|info|warn|error` writes what happens inside to stderr.
#[napi_derive::module_init]
fn log_to_stderr() {
    let level = std::env::var("SAGASTORE_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    if let Some(level) = level {
        // Another addon of the process may have set its own subscriber; then it keeps it.
        drop(tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false).try_init());
    }
}
