//! Keeps the WAL from growing: moves its pages into the database, on a thread of its own ([`super::checkpoint`]).
//!
//! SQLite's automatic checkpoint runs within some unlucky commit; on a background thread
//! it halved the p99 of puts. It is triggered by the number of frames that the WAL holds, as
//! the WAL hook tells it: the file's size says nothing, since a WAL that starts over keeps its size.
//!
//! A PASSIVE checkpoint disturbs nobody, but under continuous load a few frames are always
//! written meanwhile, and a WAL starts over only when all of it has been moved. So when it
//! has grown to [`RESTART_AT`] frames, the writer itself runs a RESTART before its next group:
//! what PASSIVE has left is little, and the writer never waits for its own lock. (As a task
//! spawned on the writer's thread it came 4,000 frames too late: a lane under load rarely yields.)
//! A writer that outruns the disk waits at [`HARD_LIMIT`] frames until the disk has caught up.
//!
//! Where a write finds the disk full, the WAL is moved into the database at once and gives its space back; from then on
//! it takes a quarter of what it held then before it is moved, and starts over at three quarters.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, Error as DriverError, MAIN_DB};
use tokio::sync::Notify;

use super::connection::BUSY_SLICE;

/// Frames (pages) that the WAL takes in between two checkpoints: 16 MiB of 16 KiB pages.
const EVERY: u32 = 1_000;

/// The same, on a disk that has been full, at least.
const LEAST: u32 = 16;

/// Frames in the WAL from which on it must start over.
const RESTART_AT: u32 = 3 * EVERY;

/// Frames in the WAL at which the writer waits for the checkpoint under way: 128 MiB.
const HARD_LIMIT: u32 = 8 * EVERY;

/// How long a RESTART may hold the writer up where others read the WAL.
const RESTART_PATIENCE: Duration = Duration::from_millis(20);

/// Knows when the next checkpoint is due.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// Frames in the WAL after the last commit.
    frames: AtomicU32,
    /// The next checkpoint is due at so many frames, or at `EVERY` if it is 0.
    next_at: AtomicU32,
    due: AtomicBool,
    /// The writer must make the WAL start over.
    restart: AtomicBool,
    /// The writer waits at so many frames, or at `HARD_LIMIT` if it is 0.
    hard_limit: AtomicU32,
    /// Frames that the WAL held when the disk was full, or 0: it is to stay well below them.
    room: AtomicU32,
    /// The last write found the disk full.
    full: AtomicBool,
    /// Held for the length of a PASSIVE checkpoint. (SQLite does not wait for another's.)
    passive: Mutex<()>,
    wake: Notify,
}

impl Checkpoints {
    /// Listens to the commits of `connection`.
    pub(super) fn watch(checkpoints: &Arc<Self>, connection: &mut Connection) -> Result<(), DriverError> {
        let checkpoints = Arc::clone(checkpoints);
        connection.wal_hook(Some(move |_: &mut Wal, frames| {
            checkpoints.committed(u32::try_from(frames).unwrap_or_default());
            Ok(())
        }))
    }

    /// Frames between two checkpoints, as far as there is room for them.
    fn every(&self) -> u32 {
        match self.room.load(Ordering::Relaxed) {
            0 => EVERY,
            room => EVERY.min((room / 4).max(LEAST)),
        }
    }

    /// Whether the last write found the disk full.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// A write found the disk full. Moves what the WAL holds into the database and gives its space back, on the writer's
    /// connection behind the transaction; from now on the WAL takes less.
    pub(super) fn make_room(&self, connection: &Connection) {
        self.full.store(true, Ordering::Relaxed);
        let frames = self.frames.load(Ordering::Relaxed);
        if frames > 0 {
            self.room.store(frames, Ordering::Relaxed);
        }
        let moved =
            connection.busy_timeout(RESTART_PATIENCE).and_then(|()| checkpoint(connection, CheckpointMode::TRUNCATE));
        let made = connection.busy_timeout(BUSY_SLICE).and(moved);
        if let Err(error) = made {
            tracing::warn!(%error, "sqlite: the disk is full, and the WAL cannot be moved into the database");
        }
    }

    fn committed(&self, frames: u32) {
        self.full.store(false, Ordering::Relaxed);
        let before = self.frames.swap(frames, Ordering::Relaxed);
        let every = self.every();
        if frames < before {
            self.next_at.store(every, Ordering::Relaxed);
        }
        if frames >= self.next_at.load(Ordering::Relaxed).max(every) {
            self.due.store(true, Ordering::Relaxed);
        }
        if self.is_over_limit() {
            self.restart.store(true, Ordering::Relaxed);
        }
    }

    fn is_over_limit(&self) -> bool {
        let limit = match self.room.load(Ordering::Relaxed) {
            0 => HARD_LIMIT,
            _ => 3 * self.every(),
        };
        self.frames.load(Ordering::Relaxed) >= self.hard_limit.load(Ordering::Relaxed).max(limit)
    }

    /// Whether a checkpoint is due.
    pub(super) fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }

    /// Runs a PASSIVE checkpoint by `work`, which answers how many frames the WAL held, or none; notes what is due then.
    pub(super) fn passively(&self, work: impl FnOnce(CheckpointMode) -> Option<u32>) {
        let found = {
            let _under_way = self.passive.lock().unwrap_or_else(PoisonError::into_inner);
            work(CheckpointMode::PASSIVE)
        };
        let frames = found.unwrap_or_else(|| self.frames.load(Ordering::Relaxed));
        self.checkpointed(frames);
        self.restart.fetch_or(frames >= RESTART_AT.min(3 * self.every()), Ordering::Relaxed);
    }

    /// Waits until the background thread is woken.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Wakes the background thread.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// After a checkpoint that found `frames` in the WAL. One that readers held up is not
    /// repeated at every commit, but when as many frames again have been written.
    fn checkpointed(&self, frames: u32) {
        self.next_at.store(frames.saturating_add(self.every()), Ordering::Relaxed);
        self.due.store(false, Ordering::Relaxed);
    }
}

/// Makes the WAL start over, on the writer's connection between two groups, if that is due.
pub(super) fn restart_if_due(checkpoints: &Checkpoints, connection: &Connection) -> Result<(), DriverError> {
    if !checkpoints.restart.swap(false, Ordering::Relaxed) {
        return Ok(());
    }
    let _caught_up =
        checkpoints.is_over_limit().then(|| checkpoints.passive.lock().unwrap_or_else(PoisonError::into_inner));
    connection.busy_timeout(RESTART_PATIENCE)?;
    let limit = match checkpoint(connection, CheckpointMode::RESTART) {
        Ok(_) => 0,
        Err(error) => {
            // A reader of another process, most likely: waiting for it at every commit helps nobody.
            tracing::debug!(%error, "sqlite: the WAL goes on growing");
            let frames = checkpoints.frames.load(Ordering::Relaxed);
            frames.saturating_add(frames / 2)
        }
    };
    checkpoints.hard_limit.store(limit, Ordering::Relaxed);
    connection.busy_timeout(BUSY_SLICE)
}

/// Writes everything back that can be, on a connection that is given up.
pub(super) fn finish(connection: &mut Connection) {
    if let Err(error) = checkpoint(connection, CheckpointMode::TRUNCATE) {
        tracing::debug!(%error, "sqlite: the WAL of a file that has moved is left");
    }
}

/// Answers how many frames the WAL held.
pub(super) fn checkpoint(connection: &Connection, mode: CheckpointMode) -> Result<u32, DriverError> {
    let (frames, moved) = connection.wal_checkpoint_v2(Some(MAIN_DB), mode)?;
    tracing::trace!(frames, moved, "sqlite: checkpoint");
    Ok(u32::try_from(frames).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_by_frames_once_each_time() {
        let checkpoints = Checkpoints::default();
        checkpoints.committed(EVERY - 1);
        assert!(!checkpoints.is_due());
        checkpoints.committed(EVERY);
        assert!(checkpoints.is_due());
        checkpoints.checkpointed(EVERY);
        checkpoints.committed(EVERY + 1);
        assert!(!checkpoints.is_due(), "readers hold it up: not at every commit");
        checkpoints.committed(2 * EVERY);
        assert!(checkpoints.is_due());
        checkpoints.checkpointed(2 * EVERY);
        checkpoints.committed(3);
        checkpoints.committed(EVERY);
        assert!(checkpoints.is_due(), "counted anew after the WAL has started over");
    }

    #[test]
    fn a_full_disk_bounds_the_wal() {
        let checkpoints = Checkpoints::default();
        let connection = Connection::open_in_memory().unwrap();
        checkpoints.committed(400);
        assert!(!checkpoints.is_due() && !checkpoints.is_full());
        checkpoints.make_room(&connection);
        assert!(checkpoints.is_full());
        checkpoints.committed(99);
        assert!(!checkpoints.is_due() && !checkpoints.is_full(), "a write has found room");
        checkpoints.committed(100);
        assert!(checkpoints.is_due());
        checkpoints.passively(|_| Some(300));
        assert!(checkpoints.restart.load(Ordering::Relaxed), "at three quarters of the room");
        assert_eq!(checkpoints.every(), 100);
        checkpoints.room.store(1, Ordering::Relaxed);
        assert_eq!(checkpoints.every(), LEAST);
    }
}
