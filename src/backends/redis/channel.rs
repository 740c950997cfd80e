//! Where requests travel: over a connection of the store's own, or over a client of the application (ioredis or
//! node-redis). What is asked of payloads, of sagas and of the servers themselves is written once over this.
//!
//! The methods of a client's adapter (`ts/clients/ioredis.ts`, `ts/clients/node-redis.ts`). Commands are
//! lists of text and bytes, the name first:
//!
//! - `call [commands, node]`: sends them at once, in this order, to `node`, or where their keys
//!   (behind the name) are. Answers a list with a reply for each, bytes as bytes; `{ error }` for
//!   one that failed.
//! - `one command`: the same with one command, its words being the arguments. Answers its reply, or
//!   fails with the command's error.
//! - `nodes []`: the names of a cluster's primaries; `[null]` for a single server.
//! - `queued []`, on a `multi()`: the first key in it, and whether it is a cluster's: `{ cluster, key }`.
//! - `queue [commands]`, on a `multi()`: puts them there; nothing is sent.
//! - `transact [commands]`: sends them as MULTI and EXEC. Answers like `call`, or null if EXEC did.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use fred::error::Error as FredError;
use fred::prelude::Value;
use fred::types::config::Server;

use super::command::Request;
use super::connection::Connection;
use super::error;
use super::shared::Connector;
use super::survey::{Clock, Reading};
use crate::contract::client::{Client, ClientError};
use crate::contract::dynamic::Dynamic;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Keys that a SCAN step looks at.
pub(super) const SCAN_COUNT: &str = "1000";

/// One reply for each command, in order.
pub(super) type Answers = Vec<Result<Value>>;

/// Sends requests where their keys are. The code of a kind is written over this.
pub(super) trait Channel: Sync {
    /// Whether one server has all keys, as far as is known. Then one script may change several of them, and the keys
    /// of a transaction need no common slot.
    fn one_server(&self) -> bool;

    /// Sends requests and waits for the replies; those of one key are carried out in their order.
    fn send(&self, requests: Vec<Request>) -> impl Future<Output = Result<Answers>> + Send;
}

/// A channel to all servers of a database, which can also be asked one by one.
pub(super) trait Servers: Channel {
    /// Names a server of a cluster.
    type Name: Send + Sync;

    /// The name as text.
    fn label(name: &Self::Name) -> String;

    /// Those that hold data; `None` is the only one.
    fn nodes(&self) -> impl Future<Output = Result<Vec<Option<Self::Name>>>> + Send;

    /// Sends one of them a command without a key.
    fn ask(&self, node: Option<&Self::Name>, words: &[&str]) -> impl Future<Output = Result<Value>> + Send;

    /// Sends commands as MULTI and EXEC; the reply to each, or none if a key that is watched has changed.
    fn transact(&self, requests: Vec<Request>) -> impl Future<Output = Result<Option<Answers>>> + Send;

    /// The servers' clock beside ours.
    fn clock(&self) -> &Clock;

    /// Reads the servers' clock.
    fn ask_time(&self) -> impl Future<Output = Result<()>> + Send;

    /// The same, if it is time for it: to be called before expiries are sent.
    fn keep_time(&self) -> impl Future<Output = Result<()>> + Send;
}

/// Asks each server for its time. Servers that do not tell it are taken to have ours; an error
/// means that none can be reached.
pub(super) async fn read_clock(servers: &impl Servers) -> Result<()> {
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
            servers.clock().note(reading);
            Ok(())
        }
    }
}

/// One step through the keys of a server that match a pattern: the next cursor ("0" at the end), and keys. A key may
/// come twice.
pub(super) async fn scan<S: Servers>(
    servers: &S,
    node: Option<&S::Name>,
    cursor: &str,
    pattern: &str,
) -> Result<(String, Vec<Bytes>)> {
    let page = servers.ask(node, &["SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT]).await?;
    page.convert().map_err(|_: FredError| error::unexpected())
}

/// A text in which no character means something in a pattern.
pub(super) fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| "*?[]^\\-".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Over a connection of the store's own.
pub(super) struct OwnChannel<'a> {
    shared: &'a Arc<Connector>,
    connection: Arc<Connection>,
}

impl<'a> OwnChannel<'a> {
    /// Connects if need be.
    pub(super) async fn of(shared: &'a Arc<Connector>) -> Result<Self> {
        Ok(Self { shared, connection: shared.connection().await? })
    }
}

impl Channel for OwnChannel<'_> {
    fn one_server(&self) -> bool {
        self.shared.one_server()
    }

    async fn send(&self, requests: Vec<Request>) -> Result<Answers> {
        let replies = self.shared.run(&self.connection, requests).await?;
        Ok(replies.into_iter().map(|reply| reply.map_err(error::command)).collect())
    }
}

impl Servers for OwnChannel<'_> {
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

    async fn transact(&self, requests: Vec<Request>) -> Result<Option<Answers>> {
        match self.shared.transact(&self.connection, requests).await? {
            Value::Null => Ok(None),
            Value::Array(replies) => Ok(Some(replies.into_iter().map(Ok).collect())),
            _ => Err(error::unexpected()),
        }
    }

    fn clock(&self) -> &Clock {
        self.connection.clock()
    }

    async fn ask_time(&self) -> Result<()> {
        self.connection.ask_time().await;
        Ok(())
    }

    async fn keep_time(&self) -> Result<()> {
        self.connection.keep_time().await;
        Ok(())
    }
}

/// Over a client of the application.
pub(super) struct ClientChannel<'a> {
    client: &'a Client,
    clock: &'a Clock,
}

impl<'a> ClientChannel<'a> {
    /// `clock` is that of the servers behind the client.
    pub(super) fn new(client: &'a Client, clock: &'a Clock) -> Self {
        Self { client, clock }
    }

    async fn request(&self, method: &'static str, arguments: Vec<Dynamic>) -> Result<Dynamic> {
        self.client.ask(method, arguments).await.map_err(error::of_client)
    }

    async fn call(&self, commands: Vec<Dynamic>, node: Option<&String>) -> Result<Answers> {
        let count = commands.len();
        let mut arguments = vec![Dynamic::List(commands)];
        arguments.extend(node.map(|node| Dynamic::text(node)));
        let replies = self.request("call", arguments).await?.into_list();
        let replies = replies.filter(|replies| replies.len() == count).ok_or_else(error::unexpected)?;
        Ok(replies.into_iter().map(answer).collect())
    }

    /// Puts a command into the client, which is a `multi()`.
    pub(super) async fn queue(&self, request: Request) -> Result<()> {
        self.request("queue", vec![Dynamic::List(vec![request.words()])]).await.map(drop)
    }

    /// Of the client, which is a `multi()`: whether one server has all keys, and the first key in it.
    pub(super) async fn queued(&self) -> Result<(bool, Option<Bytes>)> {
        let found = self.request("queued", Vec::new()).await?;
        let first = match found.get("key") {
            Some(Dynamic::Text(key)) => Some(Bytes::from(key.clone())),
            Some(Dynamic::Bytes(key)) => Some(key.clone()),
            _ => None,
        };
        Ok((found.get("cluster") != Some(&Dynamic::Bool(true)), first))
    }
}

impl Channel for ClientChannel<'_> {
    fn one_server(&self) -> bool {
        self.client.facts().one_server
    }

    async fn send(&self, mut requests: Vec<Request>) -> Result<Answers> {
        if requests.len() <= 1 {
            // Nearly always there is one: lists would only cost.
            let Some(request) = requests.pop() else { return Ok(Vec::new()) };
            let reply = self.request("one", request.into_words()).await;
            return Ok(vec![reply.and_then(|reply| value(reply).ok_or_else(error::unexpected))]);
        }
        self.call(requests.into_iter().map(Request::words).collect(), None).await
    }
}

impl Servers for ClientChannel<'_> {
    type Name = String;

    fn label(name: &String) -> String {
        name.clone()
    }

    async fn nodes(&self) -> Result<Vec<Option<String>>> {
        let names = self.request("nodes", Vec::new()).await?.into_list().ok_or_else(error::unexpected)?;
        if names.is_empty() {
            return Err(Error::new(Kind::Connection, "the Redis client knows no server of the cluster").unsent());
        }
        Ok(names.into_iter().map(|name| name.as_text().map(str::to_owned)).collect())
    }

    async fn ask(&self, node: Option<&String>, words: &[&str]) -> Result<Value> {
        let command = Dynamic::List(words.iter().map(|word| Dynamic::text(word)).collect());
        self.call(vec![command], node).await?.pop().unwrap_or_else(|| Err(error::unexpected()))
    }

    async fn transact(&self, requests: Vec<Request>) -> Result<Option<Answers>> {
        let count = requests.len();
        let commands = requests.into_iter().map(Request::words).collect();
        let replies = match self.request("transact", vec![Dynamic::List(commands)]).await? {
            Dynamic::Null => return Ok(None),
            replies => replies.into_list().ok_or_else(error::unexpected)?,
        };
        let failures: Vec<_> = replies.iter().filter_map(failure).collect();
        if let Some(first) = failures.first().filter(|_| failures.len() < replies.len()) {
            return Err(error::some_failed(failures.len(), replies.len(), first));
        }
        // An application may have its client begin each MULTI with commands of its own.
        let others = replies.len().checked_sub(count).ok_or_else(error::unexpected)?;
        Ok(Some(replies.into_iter().skip(others).map(answer).collect()))
    }

    fn clock(&self) -> &Clock {
        self.clock
    }

    async fn ask_time(&self) -> Result<()> {
        read_clock(self).await
    }

    async fn keep_time(&self) -> Result<()> {
        if self.clock.has_jumped() || self.clock.is_due() { self.ask_time().await } else { Ok(()) }
    }
}

/// A reply, or the error of the command.
fn answer(reply: Dynamic) -> Result<Value> {
    match failure(&reply) {
        Some(failure) => Err(error::of_client(failure)),
        None => value(reply).ok_or_else(error::unexpected),
    }
}

/// The error of a command, in place of its reply.
fn failure(reply: &Dynamic) -> Option<ClientError> {
    let failure = reply.get("error")?;
    let text = |name: &str| failure.get(name).and_then(Dynamic::as_text).map(str::to_owned);
    Some(ClientError {
        name: text("name").unwrap_or_default(),
        message: text("message").unwrap_or_default(),
        code: text("code"),
        labels: Vec::new(),
    })
}

fn value(reply: Dynamic) -> Option<Value> {
    Some(match reply {
        Dynamic::Null => Value::Null,
        Dynamic::Bool(flag) => Value::Boolean(flag),
        Dynamic::Int(number) => Value::Integer(number),
        Dynamic::Number(number) => Value::Double(number),
        Dynamic::Text(text) => Value::from(text),
        Dynamic::Bytes(bytes) => Value::Bytes(bytes),
        Dynamic::List(elements) => Value::Array(elements.into_iter().map(value).collect::<Option<_>>()?),
        Dynamic::Time(_) | Dynamic::Map(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_escaped() {
        assert_eq!(escaped("saga:storage"), "saga:storage");
        assert_eq!(escaped("{a-b}"), "{a\\-b}");
    }
}
