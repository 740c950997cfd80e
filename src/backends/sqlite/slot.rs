//! A place for one connection to a database.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::OwnedMutexGuard;

use super::connection::{self, Durability};
use super::error::{Failure, is_full};
use super::location::Location;
use super::locks;
use super::presence::{Place, Presence};
use super::wal::Checkpoints;
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
    pub(super) fn new(
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

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
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
        if let (Some(checkpoints), Err(Failure::Failed(error) | Failure::Broken(error))) = (&self.checkpoints, &result)
            && is_full(error)
        {
            checkpoints.make_room(connection);
        }
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
    pub(super) fn check(&self) -> Result<()> {
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
    pub(super) fn if_free<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, Failure>) -> Option<T> {
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
    pub(super) fn is_in_place(&self) -> bool {
        self.check().is_ok()
    }

    pub(super) fn is_open(&self) -> bool {
        // Somebody is at it, so it is.
        self.connection.try_lock().map_or(true, |slot| slot.is_some())
    }

    pub(super) fn count(&self, pool: &mut Pool) {
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
