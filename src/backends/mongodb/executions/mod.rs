//! Executions and their logs. One document of the collection of executions is an execution with the end of its log:
//! a change is one update of it, under a condition, so it is atomic without transactions. What is older of the log
//! lies in segments in a collection of its own.
//!
//! ```text
//! document.rs   an execution as a document, and reading it
//! log.rs        the log: entries, its end in the document, segments, pages
//! change.rs     a change: blind under a condition, or read, judged and bound to what was read
//! whole.rs      executions as a whole: create, save, delete
//! claims.rs     leases: claim, heartbeat, redrive
//! lists.rs      several executions: lists, counts, cleanup
//! indexes.rs    their indexes
//! single.rs     each operation, and the code that runs it
//! groups.rs     groups over the store's own connections
//! ```
//!
//! Each update counts `revision`: what was read is changed only if nobody has changed it meanwhile.

mod change;
mod claims;
pub(super) mod document;
pub(super) mod groups;
pub(super) mod indexes;
pub(super) mod lists;
pub(super) mod log;
pub(super) mod single;
#[cfg(test)]
mod tests;
pub(super) mod whole;
