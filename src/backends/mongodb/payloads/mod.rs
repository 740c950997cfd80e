//! Payloads, in a collection of their own.
//!
//! ```text
//! commands.rs  the commands
//! single.rs    one command, on whichever channel
//! writes.rs    groups of writes on the store's own connections
//! reads.rs     groups of reads on the store's own connections
//! ```

pub(super) mod commands;
pub(super) mod reads;
pub(super) mod single;
pub(super) mod writes;
