//! The background thread's checkpoints.

use std::sync::Arc;

use super::slot::Slot;
use super::wal::{Checkpoints, checkpoint};

/// Runs checkpoints when they are due, for ever, on a connection of its own.
pub(super) async fn run(checkpoints: Arc<Checkpoints>, own: Arc<Slot>) {
    loop {
        checkpoints.woken().await;
        if !checkpoints.is_due() {
            continue;
        }
        checkpoints.passively(|mode| match own.attempt(false, |connection| Ok(checkpoint(connection, mode)?)) {
            Ok(frames) => Some(frames),
            Err(failure) => {
                tracing::debug!(error = %failure.into_error(), "sqlite: checkpoint put off");
                None
            }
        });
    }
}
