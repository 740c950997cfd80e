//! The outbox: a document for each event, `_id` is the event's id.
//!
//! ```text
//! document.rs  an event as a document, and reading it
//! turn.rs      what an update makes of events, and the update
//! insert.rs    new events, all or none
//! claims.rs    events for a worker
//! line.rs      which of them one claim may take: the rules of partition keys
//! settle.rs    what has become of claimed events, and decisions
//! upkeep.rs    dead letters, what is stuck, what is over
//! lists.rs     lists and counts
//! indexes.rs   the indexes
//! single.rs    each operation, and the code that runs it
//! groups.rs    groups over the store's own connections
//! ```
//!
//! # Numbers
//!
//! `seq` is time: microseconds of the server's clock, and larger than all that this process has given before. A counter
//! would be exact for all processes, but one document that each insertion changes, and any two transactions that insert
//! events would refuse each other. So events of one process stand in their order, and those of several as their clocks
//! agree: to the millisecond with synchronised clocks, to a second in any case (see `clock.rs`). Those of the same number
//! stand in the order of their ids.
//!
//! # Places
//!
//! `dueAt` says from when on an event can be claimed, whoever has it: [`document::AT_ONCE`], the end of a pause, the end
//! of a lease, [`document::NEVER`] of a dead letter. What is sent, and kept, has none. So one index, on status, `dueAt` and `seq`,
//! has the candidates, without `$or`; and an event stands in the line of its key as long as it has a `dueAt`.
//!
//! # A claim
//!
//! An update of one document is atomic, one of many is not. No event is given twice, and none before its turn, because
//!
//! 1. Candidates are read: events that are due, three times as many as are wanted, only what a choice needs of them.
//! 2. For the keys among them the line is read: all events of the key that are not sent, up to the last candidate. What
//!    can be claimed of it is its beginning, up to the first one that is not due, not wanted, or dead. A line that is not
//!    known from its beginning gives nothing.
//! 3. The earliest are chosen, lines by their first events; where another worker has been quicker in the round before, any of the candidates.
//! 4. One update gives the token to those without a key and to the first of each line, if they still are due. Who loses
//!    the first of a line loses the line.
//! 5. A second update gives it to those behind, of the lines whose first one we have: it says the same condition, and
//!    the same end of the lease.
//! 6. What carries the token is read, with its payload. Of each line only what follows without a gap from its beginning
//!    is answered; the rest is handed back, which nobody has seen.
//!
//! Two workers that have read the same line meet at step 4. One that was so slow between 4 and 5 that its lease was over,
//! and the line's first one somebody else's, finds that out in 6. A crash anywhere leaves events with a token that nobody
//! knows, until their leases are over: nothing behind them is claimed before.
//!
//! # What has become of it
//!
//! Those that a failure hands back are handed back first, and what fails is changed last: were the second update lost, an
//! ack of those behind would find their token gone.

mod claims;
pub(super) mod document;
pub(super) mod groups;
pub(super) mod indexes;
pub(super) mod insert;
mod line;
mod lists;
mod settle;
pub(super) mod single;
#[cfg(test)]
pub(super) mod tests;
mod turn;
pub(super) mod upkeep;

use crate::error::{Error, Kind};

/// `UNSUPPORTED`: two workers could get the same event.
fn not_atomic() -> Error {
    let message = "events cannot be claimed on this server (FerretDB 1): it does not change documents atomically, so two \
                   workers could get the same one; a MongoDB server does";
    Error::new(Kind::Unsupported, message).unsent()
}
