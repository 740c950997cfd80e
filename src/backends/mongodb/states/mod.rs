//! Saga state as documents `{ _id: "{name}:{sagaId}", sagaName, sagaId, correlationId, version,
//! isCompleted, createdAt, updatedAt, completedAt, timeoutAt, expiresAt, state }`, and what [`claims`]
//! adds. One command for each operation that succeeds at once. Unique indexes keep ids apart, so no
//! transaction is needed.
//!
//! ```text
//! single.rs    each operation, and the code that runs it
//! document.rs  conditions on documents, and reading them
//! saga.rs      a single saga
//! lists.rs     several sagas
//! claims.rs    sagas that have timed out, each given to one worker
//! indexes.rs   the indexes
//! groups.rs    groups of operations on the store's own connections
//! ```
//!
//! The state is JSON text: BSON ends at a hundred levels and has other numbers.

pub(super) mod claims;
pub(super) mod document;
pub(super) mod groups;
pub(super) mod indexes;
pub(super) mod lists;
pub(super) mod saga;
pub(super) mod single;
