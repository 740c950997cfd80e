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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use super::checkpoint::{self, Checkpoints};
use super::connection::{self, Durability};
use super::error::Failure;
use super::location::Location;
use super::locks;
use super::presence::{Place, Presence};
use super::worker::Worker;
use crate::contract::report::Pool;
use crate::error::{Error, Kind, Result};

/// The pause between attempts that found the database locked; each of them has waited for
/// [`connection::BUSY_SLICE`] already.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// A place for one connection, opened when it is wanted. A failed open leaves it empty, to
/// be tried again by the next attempt.
pub(super) struct Slot {
    location: Location,
    durability: Durability,
    cache_kib: Option<i32>,
    /// Told of every commit.
    checkpoints: Option<Arc<Checkpoints>>,
    /// Of all connections of the database.
    presence: Arc<Presence>,
    /// The WAL that the connection has written in; none of a reader's.
    wal: Mutex<Option<Place>>,
    /// Taken by the slot's own thread, for the length of one poll; so it is never waited for.
    connection: Mutex<Option<Connection>>,
    /// Held through an open transaction: nobody else's statements may get into it.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Nothing defends the file's locks: before each use it is looked who else has it open.
    watched: AtomicBool,
}

impl Slot {
    fn new(
        location: &Location,
        presence: &Arc<Presence>,
        durability: Durability,
        cache_kib: Option<i32>,
        checkpoints: Option<Arc<Checkpoints>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            location: location.clone(),
            durability,
            cache_kib,
            checkpoints,
            presence: Arc::clone(presence),
            wal: Mutex::default(),
            connection: Mutex::new(None),
            turn: Arc::default(),
            watched: AtomicBool::new(false),
        })
    }

    /// Waits until no transaction is open on the connection, at most for `limit`.
    pub(super) async fn turn(&self, limit: Duration) -> Result<OwnedMutexGuard<()>> {
        if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() {
            return Ok(turn);
        }
        let turn = Arc::clone(&self.turn).lock_owned();
        tokio::time::timeout(limit, turn).await.map_err(|_| {
            Error::new(Kind::Timeout, "a transaction of this process is open on the database all the time").unsent()
        })
    }

    /// Runs `work` on the connection when it is free, again for as long as others hold the lock on
    /// the file, at most for `limit`.
    pub(super) async fn patiently<T>(
        &self,
        create: bool,
        limit: Duration,
        work: impl FnMut(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T> {
        let until = Instant::now() + limit;
        let _turn = self.turn(limit).await?;
        self.until(until, create, work).await
    }

    /// The same, for whoever has the turn.
    pub(super) async fn until<T>(
        &self,
        until: Instant,
        create: bool,
        mut work: impl FnMut(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T> {
        loop {
            match self.attempt(create, &mut work) {
                Ok(value) => return Ok(value),
                Err(Failure::Busy(_)) if Instant::now() < until => tokio::time::sleep(BUSY_PAUSE).await,
                Err(failure) => return Err(failure.into_error()),
            }
        }
    }

    /// Runs `work` on the connection if it is open, whoever's turn it is.
    pub(super) fn if_open(&self, work: impl FnOnce(&mut Connection)) {
        if let Some(connection) = &mut *self.lock() {
            work(connection);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        // After a panic the connection is whole: `Transaction` has rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the connection; opens it first where it is not open. Only with `create`
    /// is a database file made that does not exist.
    pub(super) fn attempt<T>(
        &self,
        create: bool,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut slot = self.lock();
        let connection = match &mut *slot {
            Some(connection) => connection,
            empty => empty.insert(self.open(create)?),
        };
        self.look()?;
        let result = work(connection);
        // Behind the work: what was committed before the file went is in it. A failure may come from just that.
        let present = if result.is_ok() { self.check() } else { self.presence.check() };
        // Memory is gone with its connection, so that one is kept whatever happens.
        if matches!(result, Err(Failure::Broken(_))) && self.location != Location::Memory {
            *slot = None;
        }
        present?;
        result
    }

    /// An error if what the connection has done is lost. It stays open: only `initialize` may open another file.
    fn check(&self) -> Result<()> {
        // The writer's has these.
        if self.checkpoints.is_none() {
            return self.presence.check_lately();
        }
        self.presence.check_written(&mut self.wal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self, create: bool) -> Result<Connection, Failure> {
        let mut connection = connection::open(&self.location, self.durability, self.cache_kib, create)?;
        if let Some(checkpoints) = &self.checkpoints {
            Checkpoints::watch(checkpoints, &mut connection)?;
        }
        self.presence.note()?;
        *self.wal.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.watched.store(self.location.path().is_some_and(locks::needs_watching), Ordering::Relaxed);
        Ok(connection)
    }

    /// Refuses a file whose locks another library in the process may have dropped.
    fn look(&self) -> Result<(), Error> {
        match self.location.path() {
            Some(path) if self.watched.load(Ordering::Relaxed) => locks::refuse_where_unsafe(path),
            _ => Ok(()),
        }
    }

    /// Runs `work` on the connection if it is open and nobody else is at it. A connection that fails is closed.
    fn if_free<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, Failure>) -> Option<T> {
        let mut slot = self.connection.try_lock().ok()?;
        // Another thread looks again, and says it.
        self.presence.check_lately().ok()?;
        // The reader's thread will meet the same, and say it.
        self.look().ok()?;
        match work(slot.as_mut()?) {
            Ok(value) => Some(value),
            Err(Failure::Busy(_)) => None,
            Err(_) => {
                *slot = None;
                None
            }
        }
    }

    /// Closes the connection. The last one of all processes moves the WAL into the database
    /// and removes it.
    pub(super) fn close(&self) {
        let connection = self.lock().take();
        if let Some(Err((_, error))) = connection.map(Connection::close) {
            tracing::warn!(%error, "sqlite: closing failed");
        }
    }

    /// Whether what it has written is where others look.
    fn is_in_place(&self) -> bool {
        self.check().is_ok()
    }

    fn is_open(&self) -> bool {
        // Somebody is at it, so it is.
        self.connection.try_lock().map_or(true, |slot| slot.is_some())
    }

    fn count(&self, pool: &mut Pool) {
        match self.connection.try_lock().map(|slot| slot.is_some()) {
            Ok(open) => {
                pool.open += u64::from(open);
                pool.idle += u64::from(open);
            }
            Err(TryLockError::WouldBlock) => pool.open += 1,
            Err(TryLockError::Poisoned(_)) => {}
        }
    }
}

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
            self.writer.if_open(checkpoint::finish);
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
