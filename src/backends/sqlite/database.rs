//! One database that stores share: its connections, and the threads that work on them.
//!
//! | thread | connection | work | started by |
//! |---|---|---|---|
//! | writer | writer | groups of writes, schema, purge | the first write |
//! | reader | reader | groups of reads, probe | the first read |
//! | background | background | checkpoints, counting | the first of these |
//! | the caller's | here | a small payload, where nothing else is under way | - |
//!
//! A database in memory has the writer alone, for everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::runtime::Handle;

use super::checkpoint;
use super::connection::{self, Durability};
use super::error::Failure;
use super::location::Location;
use super::presence::Presence;
use super::slot::Slot;
use super::wal::{self, Checkpoints};
use super::worker::Worker;
use crate::contract::report::Pool;
use crate::error::{Error, Result};

/// A database and its threads.
pub(super) struct Database {
    pub(super) location: Location,
    pub(super) durability: Durability,
    pub(super) checkpoints: Arc<Checkpoints>,
    pub(super) presence: Arc<Presence>,
    writer: Arc<Slot>,
    reader: Arc<Slot>,
    background: Arc<Slot>,
    /// Opened and closed by the reader's thread, used by callers on theirs.
    here: Arc<Slot>,
    /// Whether callers must not read by themselves.
    keeps_off: AtomicBool,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    closed: bool,
    writer: Option<Worker>,
    reader: Option<Worker>,
    background: Option<Worker>,
}

impl Database {
    /// A database that is not open yet.
    pub(super) fn new(location: Location, durability: Durability) -> Self {
        let checkpoints: Arc<Checkpoints> = Arc::default();
        let watched = (location != Location::Memory).then(|| Arc::clone(&checkpoints));
        let presence = Arc::new(Presence::new(&location));
        let writer = Slot::new(&location, &presence, durability, None, watched);
        let alone = location == Location::Memory;
        let another =
            |cache| if alone { Arc::clone(&writer) } else { Slot::new(&location, &presence, durability, cache, None) };
        let readers_cache = Some(connection::READERS_CACHE_KIB);
        let (reader, background) = (another(readers_cache), another(None));
        let here = Slot::new(&location, &presence, durability, readers_cache, None);
        Self {
            location,
            durability,
            checkpoints,
            presence,
            writer,
            reader,
            background,
            here,
            keeps_off: AtomicBool::new(alone),
            threads: Mutex::default(),
        }
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer's connection and thread.
    pub(super) fn writer(&self) -> Result<(Arc<Slot>, Handle)> {
        let mut threads = self.threads();
        let handle = threads.start(
            |threads| &mut threads.writer,
            || {
                let slot = Arc::clone(&self.writer);
                Worker::start("sagastore-sqlw", std::future::pending(), move || slot.close())
            },
        )?;
        Ok((Arc::clone(&self.writer), handle))
    }

    /// The reader's connection and thread.
    pub(super) fn reader(&self) -> Result<(Arc<Slot>, Handle)> {
        if self.location == Location::Memory {
            return self.writer();
        }
        let mut threads = self.threads();
        let handle = threads.start(
            |threads| &mut threads.reader,
            || {
                let (slot, here) = (Arc::clone(&self.reader), Arc::clone(&self.here));
                Worker::start("sagastore-sqlr", std::future::pending(), move || {
                    here.close();
                    slot.close();
                })
            },
        )?;
        Ok((Arc::clone(&self.reader), handle))
    }

    /// The connection and thread for what takes long and nobody waits behind.
    pub(super) fn background(&self) -> Result<(Arc<Slot>, Handle)> {
        if self.location == Location::Memory {
            return self.writer();
        }
        let mut threads = self.threads();
        let handle = threads.start(
            |threads| &mut threads.background,
            || {
                let slot = Arc::clone(&self.background);
                let work = checkpoint::run(Arc::clone(&self.checkpoints), Arc::clone(&slot));
                Worker::start("sagastore-sqlb", work, move || slot.close())
            },
        )?;
        Ok((Arc::clone(&self.background), handle))
    }

    /// Closes what is open on a file that was removed or replaced: the next attempts open the one that is there then.
    /// (SQLite sees that its file has moved, and leaves the WAL beside the new one alone.)
    pub(super) async fn leave_moved(&self, limit: Duration) -> Result<()> {
        if self.location == Location::Memory || self.writer.is_in_place() {
            return Ok(());
        }
        let _turn = self.writer.turn(limit).await?;
        if !self.writer.is_in_place() {
            // To the old file, which may have a name yet; what stays in the WAL would be read into the new one.
            self.writer.if_open(wal::finish);
            for slot in [&self.here, &self.background, &self.reader, &self.writer] {
                slot.close();
            }
            self.presence.forget();
        }
        Ok(())
    }

    /// The writer's connection, for what runs on its thread already.
    pub(super) fn writers_slot(&self) -> &Slot {
        &self.writer
    }

    /// The reader's connection, for what runs on its thread already.
    pub(super) fn readers_slot(&self) -> &Slot {
        &self.reader
    }

    /// Opens the connection on which callers read by themselves, if it is not open: only where
    /// readers never wait for a writer.
    pub(super) fn prepare_here(&self) {
        if self.keeps_off.load(Ordering::Relaxed) || self.here.is_open() {
            return;
        }
        let opened = self.here.attempt(false, |connection| {
            connection.busy_timeout(Duration::ZERO)?;
            Ok(connection::journal_mode(connection)? == "wal")
        });
        match opened {
            Ok(true) => {}
            Ok(false) => {
                self.keeps_off.store(true, Ordering::Relaxed);
                self.here.close();
            }
            // The reader's own connection will meet the same, and say it.
            Err(failure) => tracing::debug!(error = %failure.into_error(), "sqlite: no connection for callers"),
        }
    }

    /// Runs `work` on the caller's thread, if a connection is free for that.
    pub(super) fn here<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, Failure>) -> Option<T> {
        self.here.if_free(work)
    }

    /// Connections open and idle.
    pub(super) fn pool(&self) -> Pool {
        let mut pool = Pool::default();
        self.writer.count(&mut pool);
        if self.location != Location::Memory {
            self.reader.count(&mut pool);
            self.background.count(&mut pool);
            self.here.count(&mut pool);
        }
        pool
    }

    /// Ends the threads and closes the connections; ready when the files are released.
    pub(super) async fn close(&self) {
        let threads = self.threads().take();
        threads.stop().await;
    }
}

impl Drop for Database {
    /// Nobody has closed the database: the threads close it by themselves.
    fn drop(&mut self) {
        let threads = self.threads().take();
        if let Some(thread) = threads.writer.as_ref().or(threads.reader.as_ref()).map(Worker::handle) {
            thread.spawn(threads.stop());
        }
    }
}

impl Threads {
    /// Takes all of them; no more are started.
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self { closed: true, ..Self::default() })
    }

    /// The writer goes last, alone: two connections that close at the same time would each
    /// leave the WAL to the other.
    async fn stop(self) {
        for worker in [self.background, self.reader, self.writer].into_iter().flatten() {
            worker.stop().await;
        }
    }

    fn start(
        &mut self,
        which: impl FnOnce(&mut Self) -> &mut Option<Worker>,
        make: impl FnOnce() -> Result<Worker>,
    ) -> Result<Handle> {
        if self.closed {
            return Err(Error::closed());
        }
        match which(self) {
            Some(worker) => Ok(worker.handle()),
            none => Ok(none.insert(make()?).handle()),
        }
    }
}
