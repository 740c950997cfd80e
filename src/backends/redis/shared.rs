//! The connection that all stores of one URL share: made by the first operation, made again by
//! the next one after it broke, and replaced when it has fallen silent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, Shared};

use super::command::{Replies, Request, Transacted};
use super::config::Endpoint;
use super::connection::Connection;
use super::error;
use crate::contract::report::Pool;
use crate::error::{Error, Kind, Result};
use crate::runtime;

/// A connection being made; everybody who waits for it gets the same answer.
type Connecting = Shared<BoxFuture<'static, Result<Arc<Connection>>>>;

/// Carries requests to the servers of one URL.
pub(super) struct Connector {
    endpoint: Endpoint,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Connection>>,
    connecting: Option<Connecting>,
    replacing: bool,
    closed: bool,
}

impl Connector {
    /// Does not connect.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one server has all keys.
    pub(super) fn one_server(&self) -> bool {
        self.endpoint.one_server()
    }

    /// A connection; makes one if there is none. A failure is told to those who wait for it, and
    /// the next operation tries again.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>> {
        let connecting = {
            let mut state = self.state();
            if state.closed {
                return Err(Error::closed());
            }
            if let Some(current) = state.current.as_ref().filter(|current| current.is_open()) {
                return Ok(Arc::clone(current));
            }
            state.current = None;
            if let Some(connecting) = &state.connecting {
                connecting.clone()
            } else {
                let connecting = self.connect()?;
                state.connecting = Some(connecting.clone());
                connecting
            }
        };
        connecting.await
    }

    /// Connects in a task of its own, which goes on if the operation that needs it gives up.
    fn connect(self: &Arc<Self>) -> Result<Connecting> {
        let shared = Arc::clone(self);
        let task = runtime::io()?.spawn(async move {
            let opened = Connection::open(&shared.endpoint).await.map(Arc::new);
            let mut state = shared.state();
            state.connecting = None;
            if let Ok(connection) = &opened {
                if state.closed {
                    connection.abort();
                } else {
                    state.current = Some(Arc::clone(connection));
                }
            }
            opened
        });
        let ended = |_| Err(Error::new(Kind::Backend, "connecting to Redis failed in an unforeseen way"));
        Ok(task.map(move |joined| joined.unwrap_or_else(ended)).boxed().shared())
    }

    /// Sends a group over `connection`; one reply for each request, in order.
    pub(super) async fn run(self: &Arc<Self>, connection: &Arc<Connection>, requests: Vec<Request>) -> Result<Replies> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let (shared, silent) = (Arc::clone(self), Arc::clone(connection));
        let replies = connection.run(requests, move || shared.replace(silent)).await?;
        // After a failover the primary is elsewhere: look for it again.
        if replies.iter().any(|reply| reply.as_ref().is_err_and(error::is_misplaced)) {
            self.dismiss(connection);
        }
        Ok(replies)
    }

    /// Sends a group over `connection` as a transaction.
    pub(super) async fn transact(self: &Arc<Self>, connection: &Arc<Connection>, requests: Vec<Request>) -> Transacted {
        let (shared, silent) = (Arc::clone(self), Arc::clone(connection));
        let transacted = connection.transact(requests, move || shared.replace(silent)).await;
        if transacted.as_ref().is_err_and(error::says_misplaced) {
            self.dismiss(connection);
        }
        transacted
    }

    /// Lets what is under way on a connection come to its end, and uses it no more.
    fn dismiss(&self, connection: &Arc<Connection>) {
        connection.retire();
        let mut state = self.state();
        let ours = state.current.take_if(|current| Arc::ptr_eq(current, connection));
        drop(state);
        if let (Some(ours), Ok(runtime)) = (ours, runtime::io()) {
            runtime.spawn(async move { ours.quit().await });
        }
    }

    /// Replaces a connection that has fallen silent, if another one can be made: then the way to
    /// the server was lost. Otherwise the server itself is silent, and the connection is kept, so
    /// that a server that was only paused goes on where it stopped, everything in its order.
    fn replace(self: Arc<Self>, silent: Arc<Connection>) {
        let mut state = self.state();
        let ours = state.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &silent));
        if !ours || state.replacing || state.closed {
            return;
        }
        state.replacing = true;
        drop(state);
        let replacement = Arc::clone(&self);
        match runtime::io() {
            Ok(runtime) => drop(runtime.spawn(async move { replacement.try_replace(&silent).await })),
            Err(_) => self.state().replacing = false,
        }
    }

    async fn try_replace(&self, silent: &Arc<Connection>) {
        let last_reply = silent.progress();
        let mut opened = Connection::open(&self.endpoint).await;
        if self.one_server() && silent.progress() > last_reply {
            // A server that was paused has gone on meanwhile.
            opened = Err(Error::closed());
        }
        if let Ok(connection) = &opened {
            silent.abort();
            let ended = silent.survey().end_sessions(connection.link());
            drop(tokio::time::timeout(self.endpoint.connect_timeout, ended).await);
        }
        let mut state = self.state();
        state.replacing = false;
        if let Ok(connection) = opened {
            // Somebody may have connected in the meantime, or closed the store: then this one goes.
            let vacant = state.current.as_ref().is_none_or(|current| Arc::ptr_eq(current, silent));
            if vacant && !state.closed && state.connecting.is_none() {
                state.current = Some(Arc::new(connection));
            }
        }
    }

    /// The connections as they are.
    pub(super) fn pool(&self) -> Pool {
        let state = self.state();
        let (open, busy) = state.current.as_ref().filter(|current| current.is_open()).map_or((0, false), |c| c.usage());
        let open = open as u64;
        Pool { open, idle: if busy { 0 } else { open } }
    }

    /// Ends the connection; ready when it is gone.
    pub(super) async fn close(&self) {
        let (current, connecting) = {
            let mut state = self.state();
            state.closed = true;
            (state.current.take(), state.connecting.take())
        };
        if let Some(connecting) = connecting {
            // It finds the shared closed and gives its connection up.
            drop(connecting.await);
        }
        if let Some(current) = current {
            current.quit().await;
        }
    }
}
