//! The contract: what every backend promises, as data and traits. No I/O happens here, and nothing here knows who
//! uses it.
//!
//! ```text
//! operations.rs   the table of the caller's operations
//! operation.rs    what a lane has to know of one; groups of them
//! step.rs         one operation on one record, of any kind, and its reply
//! payloads.rs     the kinds of records, one file each: their operations and rules
//! states.rs, executions/, outbox/, inbox.rs
//! moving/         whole records of all kinds, on their way out of a store or into one
//! lease.rs        who has a record for a while
//! arguments.rs    what a caller gave, read strictly
//! driver.rs       what a backend offers on connections of its own
//! transaction.rs  what it offers within a transaction of the store's
//! client.rs       a client of the application, as an operation sees it
//! guest.rs        what a backend offers on such a client
//! capability.rs   what a backend can do, as data
//! report.rs       what it tells of itself
//! settings.rs     the options that every store has
//! dynamic.rs      values whose types are known only at run time
//! ```

pub mod arguments;
pub mod capability;
pub mod client;
pub mod driver;
pub mod dynamic;
pub mod executions;
pub mod guest;
pub mod inbox;
pub mod lease;
pub mod moving;
mod named;
pub mod operation;
pub mod operations;
pub mod outbox;
pub mod payloads;
pub mod report;
pub mod settings;
pub mod states;
pub mod step;
pub mod transaction;
