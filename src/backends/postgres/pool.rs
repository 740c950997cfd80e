//! Connections, kept for the next statement.
//!
//! sqlx has a pool, but it spends a round trip on each connection that comes back (a ping on
//! release), repeats a refused connect until its timeout, and takes a connection back in the
//! middle of a conversation. This one keeps a connection only after a finished answer, reports
//! a refusal at once, and forgets its idle connections when one of them turns out to be dead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::error::of_connecting;
use crate::contract::report;
use crate::error::{Detail, Error, Kind, Result};
use crate::reaching::looked_for_at;

/// An idle connection is closed after this.
const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// How often idle connections are looked at; after as long their buffers are given back.
const MAINTENANCE: Duration = Duration::from_secs(30);
/// A connection older than this is replaced, so that a moved server is noticed.
const LIFE_LIMIT: Duration = Duration::from_secs(1_800);
/// How long saying goodbye may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// An idle connection must answer a ping within this.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// How long a caller waits, and how much it trusts a connection that was idle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Waiting for one of the pool's connections to become free.
    pub(super) wait: Duration,
    /// A connection that was idle for longer is pinged first.
    pub(super) trust: Duration,
}

/// At most `size` connections to one server; none before the first use.
pub(super) struct Pool {
    options: PgConnectOptions,
    size: u32,
    connect_timeout: Duration,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    /// A connect has failed while none was open: those who wait need not wait longer.
    unreachable: Notify,
    /// A connection came back, or is gone.
    changed: Notify,
}

#[derive(Default)]
struct State {
    idle: Vec<Live>,
    open: u64,
    closed: bool,
    maintained: bool,
    failure: Option<Error>,
}

struct Live {
    connection: PgConnection,
    since: Instant,
    made: Instant,
}

impl Pool {
    /// A pool that has not connected yet.
    pub(super) fn new(options: PgConnectOptions, size: u32, connect_timeout: Duration) -> Self {
        Self {
            options,
            size,
            connect_timeout,
            permits: Arc::new(Semaphore::new(size as usize)),
            state: Mutex::default(),
            unreachable: Notify::new(),
            changed: Notify::new(),
        }
    }

    /// How connections are made.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Where the server is, for messages.
    fn place(&self) -> String {
        let options = &self.options;
        let port = options.get_port();
        match options.get_socket() {
            Some(directory) => format!("{}/.s.PGSQL.{port}", directory.display()),
            None if options.get_host().starts_with('/') => format!("{}/.s.PGSQL.{port}", options.get_host()),
            None => format!("{}:{port}", options.get_host()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections open and idle.
    pub(super) fn counts(&self) -> report::Pool {
        let state = self.lock();
        report::Pool { open: state.open, idle: state.idle.len() as u64 }
    }

    /// A connection, idle or new. Every error of this is one of an operation that was not sent.
    pub(super) async fn checkout(self: &Arc<Self>, patience: Patience) -> Result<Checkout> {
        let permit = self.permit(patience.wait).await?;
        let mut checkout = Checkout { live: None, pool: Arc::clone(self), busy: false, _permit: permit };
        if let Some(live) = self.take_idle()? {
            let idle_for = live.since.elapsed();
            checkout.live = Some(live);
            if idle_for <= patience.trust || checkout.answers(PING_LIMIT.min(self.connect_timeout)).await {
                return Ok(checkout);
            }
            checkout.give_back();
        }
        checkout.live = Some(match self.connect().await {
            // The server has no room for as many as the pool may have: those that there are have to do.
            Err(error) if is_full(&error) => self.next_idle(patience.wait, error).await?,
            connected => connected?,
        });
        Ok(checkout)
    }

    async fn permit(&self, wait: Duration) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        tokio::select! {
            biased;
            permit = Arc::clone(&self.permits).acquire_owned() => permit.map_err(|_| Error::closed()),
            () = self.unreachable.notified() => Err(self.lock().failure.clone().unwrap_or_else(|| unanswered(self.connect_timeout))),
            () = tokio::time::sleep(wait) => {
                let message = format!("no connection became free within {} ms: all {} are busy (poolSize)", wait.as_millis(), self.size);
                Err(Error::new(Kind::Timeout, message).unsent())
            }
        }
    }

    fn take_idle(&self) -> Result<Option<Live>> {
        let mut state = self.lock();
        if state.closed { Err(Error::closed()) } else { Ok(state.idle.pop()) }
    }

    async fn connect(self: &Arc<Self>) -> Result<Live> {
        let connected = tokio::time::timeout(self.connect_timeout, PgConnection::connect_with(&self.options)).await;
        let error = match connected {
            Ok(Ok(connection)) => {
                let now = Instant::now();
                let mut state = self.lock();
                if state.closed {
                    return Err(Error::closed());
                }
                state.open += 1;
                state.failure = None;
                if !std::mem::replace(&mut state.maintained, true) {
                    tokio::spawn(maintain(Arc::downgrade(self)));
                }
                return Ok(Live { connection, since: now, made: now });
            }
            Ok(Err(error)) => looked_for_at(of_connecting(error), &self.place()),
            Err(_) => looked_for_at(unanswered(self.connect_timeout), &self.place()),
        };
        let mut state = self.lock();
        state.failure = Some(error.clone());
        let none_open = state.open == 0;
        drop(state);
        if none_open {
            self.unreachable.notify_waiters();
        }
        Err(error)
    }

    /// Waits until somebody gives a connection back; `error` if there is none to wait for.
    async fn next_idle(&self, wait: Duration, error: Error) -> Result<Live> {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if let Some(live) = self.take_idle()? {
                    return Ok(live);
                }
                if self.lock().open == 0 {
                    return Err(error.clone());
                }
                changed.await;
            }
        };
        tokio::time::timeout(wait, waiting).await.unwrap_or_else(|_| Err(error.clone()))
    }

    fn take_back(&self, mut live: Live, sound: bool) {
        let mut state = self.lock();
        let mut dropped = Vec::new();
        if sound && !state.closed && live.made.elapsed() < LIFE_LIMIT {
            live.since = Instant::now();
            state.idle.push(live);
            drop(state);
            self.changed.notify_waiters();
            return;
        }
        if !sound {
            // A server that broke one connection, or does not answer on it, may have broken
            // them all; those in use find out for themselves.
            dropped.append(&mut state.idle);
        }
        dropped.push(live);
        state.open -= dropped.len() as u64;
        drop(state);
        drop(dropped);
        self.changed.notify_waiters();
    }

    /// Says goodbye on all connections; those in use are closed when they come back.
    pub(super) async fn close(&self) {
        let idle = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        self.permits.close();
        self.say_goodbye(idle).await;
        let all_gone = async {
            loop {
                let changed = self.changed.notified();
                if self.lock().open == 0 {
                    return;
                }
                changed.await;
            }
        };
        // What is still in use then is closed when it comes back.
        drop(tokio::time::timeout(FAREWELL, all_gone).await);
    }

    async fn say_goodbye(&self, leaving: Vec<Live>) {
        let goodbyes = leaving.into_iter().map(|live| async move {
            drop(tokio::time::timeout(FAREWELL, live.connection.close()).await);
            self.lock().open -= 1;
        });
        futures_util::future::join_all(goodbyes).await;
        self.changed.notify_waiters();
    }
}

fn unanswered(limit: Duration) -> Error {
    Error::new(
        Kind::Connection,
        format!("PostgreSQL did not answer within connectTimeoutMs ({} ms)", limit.as_millis()),
    )
    .unsent()
}

/// Whether the server, or a pooler's or role's limit, has no connection left.
fn is_full(error: &Error) -> bool {
    error
        .details()
        .iter()
        .any(|(name, value)| *name == "sqlState" && matches!(value, Detail::Text(code) if code == "53300"))
}

/// Closes what was idle for long, and gives the buffers of large payloads back.
async fn maintain(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(MAINTENANCE).await;
        let Some(pool) = pool.upgrade() else { return };
        let leaving = {
            let mut state = pool.lock();
            if state.open == 0 {
                state.maintained = false;
                return;
            }
            let (mut kept, leaving): (Vec<Live>, Vec<Live>) = std::mem::take(&mut state.idle)
                .into_iter()
                .partition(|live| live.since.elapsed() < IDLE_LIMIT && live.made.elapsed() < LIFE_LIMIT);
            for live in kept.iter_mut().filter(|live| live.since.elapsed() >= MAINTENANCE) {
                live.connection.shrink_buffers();
            }
            state.idle = kept;
            leaving
        };
        pool.say_goodbye(leaving).await;
    }
}

/// A connection in use. Dropped while busy (an error in mid-conversation, a timeout that
/// dropped the future) it is closed; otherwise the next caller gets it.
pub(super) struct Checkout {
    live: Option<Live>,
    pool: Arc<Pool>,
    busy: bool,
    /// The last field, given back after the connection: there are never too many.
    _permit: OwnedSemaphorePermit,
}

impl Checkout {
    /// The connection, from now on in the middle of a conversation.
    pub(super) fn start(&mut self) -> Result<&mut PgConnection> {
        self.busy = true;
        let live = self.live.as_mut().ok_or_else(|| Error::new(Kind::Connection, "the connection is gone").unsent())?;
        Ok(&mut live.connection)
    }

    /// The conversation has come to its end: the connection may be used again.
    pub(super) fn done(&mut self) {
        self.busy = false;
    }

    async fn answers(&mut self, limit: Duration) -> bool {
        let Ok(connection) = self.start() else { return false };
        let answered = matches!(tokio::time::timeout(limit, connection.ping()).await, Ok(Ok(())));
        self.busy = !answered;
        answered
    }

    fn give_back(&mut self) {
        if let Some(live) = self.live.take() {
            self.pool.take_back(live, !self.busy);
        }
        self.busy = false;
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.give_back();
    }
}
