//! Servers, whoever holds the connections to them: what `initialize`, `health` and `statistics`
//! ask is written once over this.

use std::future::Future;
use std::sync::Arc;

use fred::prelude::Value;
use fred::types::config::Server;

use super::command::Request;
use super::connection::Connection;
use super::error;
use super::shared::Connector;
use super::survey::{Clock, Reading};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// One reply for each command, in order.
pub(super) type Answers = Vec<Result<Value>>;

/// The servers of one database.
pub(super) trait Servers: Sync {
    /// Names a server of a cluster.
    type Name: Send + Sync;

    /// The name as text.
    fn label(name: &Self::Name) -> String;

    /// Those that hold data; `None` is the only one.
    fn nodes(&self) -> impl Future<Output = Result<Vec<Option<Self::Name>>>> + Send;

    /// Sends one of them a command without a key.
    fn ask(&self, node: Option<&Self::Name>, words: &[&str]) -> impl Future<Output = Result<Value>> + Send;

    /// Sends commands where their keys are; those of one key in their order.
    fn run(&self, requests: Vec<Request>) -> impl Future<Output = Result<Answers>> + Send;
}

/// Reads the servers' clocks. Servers that do not tell the time are taken to have ours; an error
/// means that none can be reached.
pub(super) async fn read_clock(servers: &impl Servers, clock: &Clock) -> Result<()> {
    let mut readings = Vec::new();
    let mut unreachable = None;
    for node in servers.nodes().await? {
        let before = Millis::now();
        match servers.ask(node.as_ref(), &["TIME"]).await {
            Ok(time) => readings.extend(Reading::of(&time, before, Millis::now())),
            Err(error) if matches!(error.kind(), Kind::Connection | Kind::Timeout) => unreachable = Some(error),
            // May be forbidden.
            Err(_) => {}
        }
    }
    match (Reading::of_all(readings), unreachable) {
        (None, Some(error)) => Err::<(), Error>(error),
        (reading, _) => {
            clock.note(reading);
            Ok(())
        }
    }
}

/// Over a connection of the store's own.
pub(super) struct Own<'a> {
    pub(super) shared: &'a Arc<Connector>,
    pub(super) connection: Arc<Connection>,
}

impl<'a> Own<'a> {
    /// Connects if need be.
    pub(super) async fn of(shared: &'a Arc<Connector>) -> Result<Self> {
        Ok(Self { shared, connection: shared.connection().await? })
    }
}

impl Servers for Own<'_> {
    type Name = Server;

    fn label(name: &Server) -> String {
        format!("{}:{}", name.host, name.port)
    }

    async fn nodes(&self) -> Result<Vec<Option<Server>>> {
        Ok(self.connection.link().nodes())
    }

    async fn ask(&self, node: Option<&Server>, words: &[&str]) -> Result<Value> {
        let mut replies = self.connection.link().ask(node, &[words]).await;
        replies.pop().ok_or_else(error::unexpected)?.map_err(error::command)
    }

    async fn run(&self, requests: Vec<Request>) -> Result<Answers> {
        let replies = self.shared.run(&self.connection, requests).await?;
        Ok(replies.into_iter().map(|reply| reply.map_err(error::command)).collect())
    }
}
