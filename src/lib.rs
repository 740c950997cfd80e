//! One storage layer for sagas on Node.js.
//!
//! ```text
//! TypeScript (ts/)   types, error classes, logging
//!    │  one call, one promise
//! napi/              converts, delegates, wraps; the only place that knows Node-API
//!    │
//! store/             the contract: payloads, lanes (queue, group, retry, settle), statistics
//!    │
//! backends/<name>/   the operations on one backend; sql/ holds the SQL that two of them share
//!    │
//! drivers            rusqlite, sqlx, fred (or our own wire), mongodb, aws-sdk-dynamodb
//! ```
//!
//! An operation enters through [`store::Store`], waits in a lane, is run in a group by the
//! backend's [`store::Driver`], and settles one callback. Nothing blocks the calling thread.

pub mod backends;
mod buffers;
pub mod error;
pub mod namespace;
pub mod options;
pub mod registry;
pub mod runtime;
pub mod store;
pub mod time;
mod together;
pub mod url;

#[cfg(feature = "node")]
mod napi;
// With one dialect only, what the other needs is unused.
#[cfg_attr(not(all(feature = "sqlite", feature = "postgres")), allow(dead_code, unused_imports))]
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
