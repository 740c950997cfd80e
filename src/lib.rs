//! One storage layer for sagas on Node.js.
//!
//! ```text
//! TypeScript (ts/)   types, error classes, logging
//!    │  one call, one promise
//! napi/              converts, delegates, wraps; the only place that knows Node-API
//!    │
//! open.rs            a store on a backend: the one place where both meet
//!    ├── store/      plans, lanes (queue, group, retry, settle), transactions, health; knows the contract alone
//!    └── backends/<name>/   the operations on one backend; sql/ holds the SQL that two of them share
//!           │
//!        drivers     rusqlite, sqlx, fred (or our own wire), mongodb, aws-sdk-dynamodb
//!
//! contract/          what both rest on: operations, steps, replies and traits, without any I/O
//! codec/             bytes as they are stored
//! ```
//!
//! An operation enters through [`store::Store::run`], waits in a lane, is run in a group by the backend's
//! [`contract::driver::Driver`], and settles one callback. Nothing blocks the calling thread.

pub mod backends;
mod buffers;
pub mod codec;
#[cfg(any(feature = "redis", feature = "mongodb"))]
mod connecting;
pub mod contract;
pub mod error;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod listening;
pub mod namespace;
mod open;
pub mod options;
#[cfg(any(feature = "postgres", feature = "redis", feature = "mongodb", feature = "dynamodb"))]
mod reaching;
pub mod registry;
pub mod runtime;
mod sizes;
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
