//! The connection that all stores of one URL share. The first operation makes it, the next one after it broke makes it
//! again (see `connecting.rs`), and it is replaced when it has fallen silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::command::{Replies, Request, Transacted};
use super::config::Endpoint;
use super::connection::Connection;
use super::error;
use crate::connecting::Connecting;
use crate::contract::report::Pool;
use crate::error::{Error, Result};
use crate::reaching::looked_for_at;
use crate::runtime;

/// Carries requests to the servers of one URL.
pub(super) struct Connector {
    endpoint: Endpoint,
    connecting: Arc<Connecting<Connection>>,
    /// Whether somebody tries to replace a silent connection.
    replacing: AtomicBool,
}

impl Connector {
    /// Does not connect.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, connecting: Arc::new(Connecting::new("Redis")), replacing: AtomicBool::new(false) }
    }

    /// Where the servers are.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether one server has all keys.
    pub(super) fn one_server(&self) -> bool {
        self.endpoint.one_server()
    }

    /// A connection; makes one if there is none.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>> {
        let open = || {
            let shared = Arc::clone(self);
            async move {
                let opened = Connection::open(&shared.endpoint).await;
                opened.map_err(|error| looked_for_at(error, &shared.endpoint.place()))
            }
        };
        self.connecting.get(Connection::is_open, open).await
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
        if let (true, Ok(runtime)) = (self.connecting.forget(connection), runtime::io()) {
            let connection = Arc::clone(connection);
            runtime.spawn(async move { connection.quit().await });
        }
    }

    /// Replaces a connection that has fallen silent, if another one can be made: then the way to
    /// the server was lost. Otherwise the server itself is silent, and the connection is kept, so
    /// that a server that was only paused goes on where it stopped, everything in its order.
    fn replace(self: Arc<Self>, silent: Arc<Connection>) {
        // None is current after the end.
        if !self.connecting.is_current(&silent) || self.replacing.swap(true, Ordering::AcqRel) {
            return;
        }
        let replacement = Arc::clone(&self);
        match runtime::io() {
            Ok(runtime) => drop(runtime.spawn(async move { replacement.try_replace(&silent).await })),
            Err(_) => self.replacing.store(false, Ordering::Release),
        }
    }

    async fn try_replace(&self, silent: &Arc<Connection>) {
        let last_reply = silent.progress();
        let mut opened = Connection::open(&self.endpoint).await;
        if self.one_server() && silent.progress() > last_reply {
            // A server that was paused has gone on meanwhile.
            opened = Err(Error::closed());
        }
        if let Ok(connection) = opened {
            silent.abort();
            let ended = silent.survey().end_sessions(connection.link());
            drop(tokio::time::timeout(self.endpoint.connect_timeout, ended).await);
            self.connecting.replace(silent, connection);
        }
        self.replacing.store(false, Ordering::Release);
    }

    /// The connections as they are.
    pub(super) fn pool(&self) -> Pool {
        let current = self.connecting.current().filter(|current| current.is_open());
        let (open, busy) = current.map_or((0, false), |current| current.usage());
        let open = open as u64;
        Pool { open, idle: if busy { 0 } else { open } }
    }

    /// Ends the connection; ready when it is gone.
    pub(super) async fn close(&self) {
        let (current, attempt) = self.connecting.close();
        if let Some(attempt) = attempt {
            drop(attempt.await);
        }
        if let Some(current) = current {
            current.quit().await;
        }
    }
}
