//! On a client of the application: ioredis or node-redis.
//!
//! The adapter's methods (`ts/clients/ioredis.ts`, `ts/clients/node-redis.ts`), with commands as
//! lists of text and bytes, the name first:
//!
//! - `call [commands, node]`: sends them at once, in this order, to `node`, or where their keys
//!   (behind the name) are. Answers a list with a reply for each, bytes as bytes; `{ error }` for
//!   one that failed.
//! - `one command`: the same with one command, its words being the arguments. Answers its reply, or
//!   fails of what it failed of.
//! - `nodes []`: the names of a cluster's primaries; `[null]` for a single server.
//! - `queued []`, on a `multi()`: the first key in it, and whether it is a cluster's: `{ cluster, key }`.
//! - `queue [commands]`, on a `multi()`: puts them there; nothing is sent.
//! - `transact [commands]`: sends them as MULTI and EXEC. Answers like `call`, or null if EXEC did.

use std::sync::Arc;

use bytes::Bytes;
use fred::prelude::Value;

use super::channel::{Answers, Servers, read_clock};
use super::command::Request;
use super::driver::CAPABILITIES;
use super::payloads::{Plan, answer_read, answer_writes, expiry, queued, request};
use super::slot::Anchor;
use super::states::{Pipe, States, reindex};
use super::survey::Clock;
use super::transaction::{Collected, Transact};
use super::{error, inspect};
use crate::contract::capability::Capabilities;
use crate::contract::client::{Client, ClientError};
use crate::contract::dynamic::Dynamic;
use crate::contract::guest::{ClientDriver, UnitOfWork};
use crate::contract::operation::Work;
use crate::contract::payloads::Write;
use crate::contract::report::{Probe, Usage};
use crate::contract::states::Reindexed;
use crate::contract::step::{Queued, Reply, Step, not_queueable};
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;
use crate::time::Millis;

/// A key prefix, on whichever client.
pub(super) struct Hosted {
    prefix: String,
    states_prefix: String,
    /// Of the servers behind the clients: one database, so one clock.
    clock: Arc<Clock>,
}

impl Hosted {
    pub(super) fn new(prefix: String, states_prefix: String) -> Self {
        Self { prefix, states_prefix, clock: Arc::default() }
    }

    async fn write(&self, on: &Client, write: &Write) -> Result<Reply> {
        let hosts = Hosts(on);
        if expiry(write).is_some() && (self.clock.has_jumped() || self.clock.is_due()) {
            read_clock(&hosts, &self.clock).await?;
        }
        let group = std::slice::from_ref(write);
        let plan = Plan::new(group, &self.prefix, Millis::now(), self.clock.shift());
        let replies = hosts.run(plan.requests).await?;
        let (mut answers, lost) = answer_writes(group, &plan.checked, replies);
        if lost {
            // Before the put is repeated.
            read_clock(&hosts, &self.clock).await?;
        }
        answers.pop().unwrap_or_else(|| Err(error::unexpected()))
    }

    /// Puts a write into the application's `multi()`. The servers' clock is not asked there, even
    /// where the client behind it could be: the put would be queued later than it was called, and
    /// so behind an `exec()` that does not wait for it.
    async fn queue(&self, on: &Client, step: &Step) -> Result<Reply> {
        let request = match step {
            Step::Payload(Work::Write(write)) => queued(write, &self.prefix, Millis::now(), self.clock.known_shift()),
            Step::Payload(Work::Read(_)) | Step::State(_) => None,
        };
        let request = request.ok_or_else(|| not_queueable(step))?;
        ask(on, "queue", vec![Dynamic::List(vec![request.words()])]).await?;
        Ok(Reply::Done)
    }

    async fn check_slots(&self, on: &Client, steps: &[Step]) -> Result<()> {
        if !on.facts().buffered {
            return Ok(());
        }
        let found = ask(on, "queued", Vec::new()).await?;
        if found.get("cluster") != Some(&Dynamic::Bool(true)) {
            return Ok(());
        }
        let first = match found.get("key") {
            Some(Dynamic::Text(key)) => Some(Bytes::from(key.clone())),
            Some(Dynamic::Bytes(key)) => Some(key.clone()),
            _ => None,
        };
        Anchor::at(first).check(&self.prefix, steps)
    }
}

impl ClientDriver for Hosted {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn classify(&self, error: ClientError) -> Error {
        error::of_client(error)
    }

    fn check(&self, on: &Client, steps: &[Step]) -> Result<()> {
        let refused = steps.iter().find(|step| on.facts().buffered && !matches!(step.queued(), Queued::Blind(_)));
        refused.map_or(Ok(()), |step| Err(not_queueable(step)))
    }

    fn prepare<'a>(&'a self, on: &'a Client, steps: &'a [Step]) -> Task<'a, Result<()>> {
        Box::pin(self.check_slots(on, steps))
    }

    fn run<'a>(&'a self, on: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            match step {
                _ if on.facts().buffered => self.queue(on, step).await,
                Step::State(step) => States { on: &Hosts(on), prefix: &self.states_prefix }.run(step).await,
                Step::Payload(Work::Write(write)) => self.write(on, write).await,
                Step::Payload(Work::Read(read)) => {
                    let mut replies = Hosts(on).run(vec![request(read, &self.prefix)]).await?;
                    answer_read(read, replies.pop().unwrap_or_else(|| Err(error::unexpected())))
                }
            }
        })
    }

    fn unit_of_work(&self) -> Option<Box<dyn UnitOfWork>> {
        let collected = Collected::new(self.prefix.clone(), self.states_prefix.clone());
        Some(Box::new(OnHosts { collected, clock: Arc::clone(&self.clock) }))
    }

    fn initialize<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Vec<String>>> {
        Box::pin(async move { inspect::initialize(&answering(on)?, &self.states_prefix).await })
    }

    fn purge_expired<'a>(&'a self, on: &'a Client, now: Millis, limit: u64) -> Task<'a, Result<u64>> {
        Box::pin(async move {
            let on = answering(on)?;
            States { on: &on, prefix: &self.states_prefix }.tidy_all_expired(now, limit).await
        })
    }

    fn reindex<'a>(
        &'a self,
        on: &'a Client,
        name: Option<&'a str>,
        cursor: Option<&'a str>,
    ) -> Task<'a, Result<Reindexed>> {
        Box::pin(async move { reindex::run(&answering(on)?, &self.states_prefix, name, cursor).await })
    }

    fn probe<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Probe>> {
        Box::pin(async move { inspect::probe(&answering(on)?, &self.clock).await })
    }

    fn usage<'a>(&'a self, on: &'a Client, _now: Millis) -> Task<'a, Result<Usage>> {
        Box::pin(async move { inspect::usage(&answering(on)?, &self.prefix).await })
    }
}

/// A transaction of the store's own on a client.
struct OnHosts {
    collected: Collected,
    clock: Arc<Clock>,
}

impl UnitOfWork for OnHosts {
    fn check(&self, on: &Client, steps: &[Step]) -> Result<()> {
        self.collected.check(Hosts(on).is_cluster(), steps)
    }

    fn run<'a>(&'a mut self, on: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            let on = Hosts(on);
            match step.queued() {
                Queued::Conditional(write) => self.collected.collect_state(&on, write).await,
                Queued::Blind(_) | Queued::No => self.collected.collect(on.is_cluster(), step),
            }
        })
    }

    fn commit<'a>(&'a mut self, on: &'a Client) -> Task<'a, Result<()>> {
        Box::pin(async move {
            let on = Hosts(on);
            if self.collected.is_empty() {
                return Ok(());
            }
            if self.collected.has_expiry() && (self.clock.has_jumped() || self.clock.is_due()) {
                read_clock(&on, &self.clock).await?;
            }
            self.collected.send(&on, self.clock.known_shift()).await
        })
    }
}

async fn ask(on: &Client, method: &'static str, arguments: Vec<Dynamic>) -> Result<Dynamic> {
    on.ask(method, arguments).await.map_err(error::of_client)
}

/// The servers behind a client.
struct Hosts<'a>(&'a Client);

/// The same, if the client answers at all.
fn answering(on: &Client) -> Result<Hosts<'_>> {
    if on.facts().buffered {
        return Err(Error::new(Kind::Unsupported, "a multi() is only sent at its end: nothing can be asked in it"));
    }
    Ok(Hosts(on))
}

impl Hosts<'_> {
    async fn call(&self, commands: Vec<Dynamic>, node: Option<&String>) -> Result<Answers> {
        let count = commands.len();
        let mut arguments = vec![Dynamic::List(commands)];
        arguments.extend(node.map(|node| Dynamic::text(node)));
        let replies = ask(self.0, "call", arguments).await?.into_list();
        let replies = replies.filter(|replies| replies.len() == count).ok_or_else(error::unexpected)?;
        Ok(replies.into_iter().map(answer).collect())
    }
}

impl Servers for Hosts<'_> {
    type Name = String;

    fn label(name: &String) -> String {
        name.clone()
    }

    async fn nodes(&self) -> Result<Vec<Option<String>>> {
        let names = ask(self.0, "nodes", Vec::new()).await?.into_list().ok_or_else(error::unexpected)?;
        if names.is_empty() {
            return Err(Error::new(Kind::Connection, "the Redis client knows no server of the cluster").unsent());
        }
        Ok(names.into_iter().map(|name| name.as_text().map(str::to_owned)).collect())
    }

    async fn ask(&self, node: Option<&String>, words: &[&str]) -> Result<Value> {
        let command = Dynamic::List(words.iter().map(|word| Dynamic::text(word)).collect());
        self.call(vec![command], node).await?.pop().unwrap_or_else(|| Err(error::unexpected()))
    }

    async fn run(&self, mut requests: Vec<Request>) -> Result<Answers> {
        if requests.len() <= 1 {
            // Nearly always there is one: lists would only cost.
            let Some(request) = requests.pop() else { return Ok(Vec::new()) };
            let reply = self.0.ask("one", request.into_words()).await.map_err(error::of_client);
            return Ok(vec![reply.and_then(|reply| value(reply).ok_or_else(error::unexpected))]);
        }
        self.call(requests.into_iter().map(Request::words).collect(), None).await
    }
}

impl Pipe for Hosts<'_> {
    fn is_together(&self) -> bool {
        self.0.facts().one_server
    }

    async fn pipe(&self, requests: Vec<Request>) -> Result<Answers> {
        self.run(requests).await
    }
}

impl Transact for Hosts<'_> {
    fn is_cluster(&self) -> bool {
        !self.0.facts().one_server
    }

    async fn transact(&self, requests: Vec<Request>) -> Result<Option<Answers>> {
        let count = requests.len();
        let commands = requests.into_iter().map(Request::words).collect();
        let replies = match ask(self.0, "transact", vec![Dynamic::List(commands)]).await? {
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
}

/// A reply, or what a command failed of.
fn answer(reply: Dynamic) -> Result<Value> {
    match failure(&reply) {
        Some(failure) => Err(error::of_client(failure)),
        None => value(reply).ok_or_else(error::unexpected),
    }
}

/// What a command failed of, in place of its reply.
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
