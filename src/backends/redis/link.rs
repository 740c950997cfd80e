//! What carries commands to the servers: a connection of our own where there is one server and no TLS, and
//! otherwise one fred client.
//!
//! fred can reconnect by itself, but while it does it keeps commands waiting in a queue that
//! nobody can empty, and repeats writes of its own accord. So the client has no reconnect policy:
//! a broken connection ends its task, everything in flight fails at once, and the next operation
//! makes a new link (see `shared.rs`). Repeating is left to the lanes, which know the order.

use fred::clients::WithOptions;
use fred::error::{Error as FredError, ErrorKind};
use fred::interfaces::{ClientLike, ClusterInterface, TransactionInterface};
use fred::prelude::{Client, Value};
use fred::types::config::{Options, PerformanceConfig, Server};
use fred::types::{ClusterHash, CustomCommand};
use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use super::command::{Replies, Request, Transacted};
use super::config::Endpoint;
use super::error;
use super::wire::{Wire, words};
use crate::buffers;
use crate::error::Result;

/// Replies from here on are handed on as fred has read them: at 256 KiB that is a tenth more throughput.
const LARGEST_COPY: usize = 128 << 10;

/// A way to the servers, which ends when any of its connections does.
pub(super) struct Link {
    way: Way,
    abort: AbortOnDrop,
    ended: watch::Receiver<bool>,
}

enum Way {
    Wire(Wire),
    Fred(Client),
}

/// Ends a task.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// Connects.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self> {
        if let Some(address) = &endpoint.direct() {
            let (wire, task) = Wire::connect(address).await.map_err(|error| error::connecting(error.into()))?;
            let abort = AbortOnDrop(task.abort_handle());
            wire.introduce(address).await.map_err(error::connecting)?;
            return Ok(Self::watched(Way::Wire(wire), task, abort));
        }
        let config = endpoint.client_config()?;
        let client = Client::new(config, Some(PerformanceConfig::default()), Some(endpoint.connection_config()), None);
        let mut task = client.connect();
        let abort = AbortOnDrop(task.abort_handle());
        tokio::select! {
            biased;
            connected = client.wait_for_connect() => connected,
            // It reports a failure before it ends, but that may have been before we listened.
            ended = &mut task => ended.map_err(|_| FredError::new_canceled()).and_then(|ended| ended),
        }
        .map_err(error::connecting)?;
        Ok(Self::watched(Way::Fred(client), task, abort))
    }

    fn watched<T: Send + 'static>(way: Way, task: JoinHandle<T>, abort: AbortOnDrop) -> Self {
        let (end, ended) = watch::channel(false);
        tokio::spawn(async move {
            drop(task.await);
            end.send_replace(true);
        });
        Self { way, abort, ended }
    }

    /// Whether one server has all keys.
    pub(super) fn one_server(&self) -> bool {
        !matches!(&self.way, Way::Fred(client) if client.is_clustered())
    }

    /// Whether it has not ended.
    pub(super) fn is_open(&self) -> bool {
        !*self.ended.borrow()
    }

    /// How many connections it has.
    pub(super) fn connections(&self) -> usize {
        match &self.way {
            Way::Wire(_) => 1,
            Way::Fred(client) => client.active_connections().len().max(1),
        }
    }

    /// The servers that hold data: `None` is the only one.
    pub(super) fn nodes(&self) -> Vec<Option<Server>> {
        match &self.way {
            Way::Fred(client) if client.is_clustered() => client
                .cached_cluster_state()
                .map_or_else(|| vec![None], |state| state.unique_primary_nodes().into_iter().map(Some).collect()),
            _ => vec![None],
        }
    }

    /// Sends one of the servers commands without keys, in one round trip.
    pub(super) async fn ask(&self, node: Option<&Server>, commands: &[&[&str]]) -> Replies {
        match &self.way {
            Way::Wire(wire) => {
                let requests: Vec<_> = commands.iter().map(|command| words(command.iter().copied())).collect();
                wire.send(&requests).await
            }
            Way::Fred(client) => {
                let options = Options { cluster_node: node.cloned(), ..Options::default() };
                let replies = ask(&client.with_options(&options), commands).await;
                spread(commands.len(), replies.unwrap_or_else(|error| vec![Err(error)]))
            }
        }
    }

    /// Sends a group. Dropping what is answered does not take back what was sent.
    pub(super) async fn send(&self, requests: Vec<Request>) -> Result<BoxFuture<'static, Replies>> {
        let client = match &self.way {
            Way::Wire(wire) => return Ok(wire.send(&requests).boxed()),
            Way::Fred(client) => client,
        };
        let count = requests.len();
        // fred flushes the socket after every command that has no other behind it in its queue,
        // and a pipeline counts as one: a system call for each command. With the last command in
        // a pipeline of its own the others are written in one go. Both are queued in one poll, so
        // nothing comes between them.
        let (head, tail) = (client.pipeline(), client.pipeline());
        for (index, request) in requests.into_iter().enumerate() {
            let pipeline = if index + 1 == count { &tail } else { &head };
            request.queue(pipeline).await.map_err(error::command)?;
        }
        let mut ended = self.ended.clone();
        let replies = async move {
            let replies = futures_util::future::join(head.try_all(), tail.try_all());
            tokio::select! {
                biased;
                (head, tail) = replies => gather(count, head, tail).into_iter().map(|reply| reply.map(own)).collect(),
                // A command that reaches fred's queue just after its task has ended stays there.
                _ = ended.wait_for(|ended| *ended) => vec![Err(error::ended()); count],
            }
        };
        Ok(replies.boxed())
    }

    /// Sends a group as MULTI and EXEC; what EXEC answers.
    pub(super) async fn transact(&self, requests: Vec<Request>) -> Result<BoxFuture<'static, Transacted>> {
        let client = match &self.way {
            Way::Wire(wire) => {
                let block: Vec<_> = [words(["MULTI"])].into_iter().chain(requests).chain([words(["EXEC"])]).collect();
                return Ok(wire.send(&block).map(transacted).boxed());
            }
            Way::Fred(client) => client,
        };
        let replies: BoxFuture<'static, Transacted> = if client.is_clustered() {
            // In a pipeline fred would follow a MOVED to a queued command, and run it on its own
            // elsewhere. Its transactions do not; they wait until everything before is answered.
            let block = client.multi();
            for request in requests {
                request.queue(&block).await.map_err(error::command)?;
            }
            async move { block.exec::<Value>(true).await.map_err(error::transacted) }.boxed()
        } else {
            // One pipeline: nothing that others send comes between.
            let pipeline = client.pipeline();
            let count = requests.len();
            pipeline.custom::<Value, &str>(keyless("MULTI"), Vec::new()).await.map_err(error::command)?;
            for request in requests {
                request.queue(&pipeline).await.map_err(error::command)?;
            }
            pipeline.custom::<Value, &str>(keyless("EXEC"), Vec::new()).await.map_err(error::command)?;
            async move { transacted(spread(count + 2, pipeline.try_all().await)) }.boxed()
        };
        let mut ended = self.ended.clone();
        let transacted = async move {
            tokio::select! {
                biased;
                transacted = replies => transacted,
                _ = ended.wait_for(|ended| *ended) => Err(error::command(error::ended())),
            }
        };
        Ok(transacted.boxed())
    }

    /// Ends it in order, after the replies to what is under way.
    pub(super) async fn quit(&self) {
        match &self.way {
            Way::Wire(wire) => wire.quit().await,
            Way::Fred(client) => drop(client.quit().await),
        }
        self.gone().await;
    }

    /// Ends it now; what is under way fails.
    pub(super) fn abort(&self) {
        self.abort.0.abort();
    }

    /// Ready when it has ended.
    pub(super) async fn gone(&self) {
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }
}

/// Data in memory of its own: what fred reads into is free for the next replies, and not held
/// until JavaScript has let go of the data. Larger data would take longer to copy than it saves.
fn own(reply: Value) -> Value {
    let data = match &reply {
        Value::Bytes(data) => data,
        // fred makes a string of what is valid UTF-8; the bytes are the same.
        Value::String(text) => text.inner(),
        _ => return reply,
    };
    if (buffers::SMALLEST..LARGEST_COPY).contains(&data.len()) { Value::Bytes(buffers::copied(data)) } else { reply }
}

async fn ask(server: &WithOptions<Client>, commands: &[&[&str]]) -> Result<Replies, FredError> {
    // As custom commands: fred's own client_setname takes a pipeline's QUEUED for an error.
    let pipeline = fred::clients::Pipeline::from(server.clone());
    for words in commands {
        let command = CustomCommand::new(words[0], ClusterHash::Random, false);
        pipeline.custom::<Value, &str>(command, words[1..].to_vec()).await?;
    }
    Ok(pipeline.try_all().await)
}

/// The replies of both pipelines. fred answers a pipeline that failed as a whole with one error.
fn gather(count: usize, head: Replies, tail: Replies) -> Replies {
    let mut replies = spread(count - 1, head);
    replies.extend(spread(1, tail));
    replies
}

fn spread(count: usize, mut replies: Replies) -> Replies {
    if replies.len() != count {
        let failed = replies.into_iter().find_map(Result::err);
        let error = failed.unwrap_or_else(|| FredError::new(ErrorKind::Protocol, "replies are missing"));
        replies = vec![Err(error); count];
    }
    replies
}

/// A command without a key, on the only server there is.
fn keyless(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::Random, false)
}

/// What EXEC answered, of the replies to MULTI, the queued commands and EXEC.
fn transacted(mut replies: Replies) -> Transacted {
    let exec = replies.pop().unwrap_or_else(|| Err(FredError::new_canceled()));
    let Err(exec) = exec else { return exec.map_err(error::command) };
    let mut replies = replies.into_iter();
    if let Some(Err(multi)) = replies.next() {
        // Without MULTI each command was run on its own.
        return Err(error::transacted(multi));
    }
    // A command that was not even queued tells more than the EXECABORT that follows it.
    Err(replies.find_map(Result::err).map_or_else(|| error::transacted(exec), error::command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &'static str) -> Result<Value, FredError> {
        Err(FredError::new(ErrorKind::Unknown, text))
    }

    #[test]
    fn exec_answers_for_the_transaction() {
        let exec = Value::Array(vec![Value::from("OK")]);
        assert_eq!(transacted(vec![Ok(Value::from("OK")), Ok(Value::Queued), Ok(exec.clone())]).unwrap(), exec);
        assert_eq!(transacted(vec![Ok(Value::from("OK")), Ok(Value::Queued), Ok(Value::Null)]).unwrap(), Value::Null);
    }

    #[test]
    fn what_was_not_queued_says_why() {
        let aborted = || refused("EXECABORT Transaction discarded because of previous errors.");
        let oom = refused("OOM command not allowed when used memory > 'maxmemory'.");
        let error = transacted(vec![Ok(Value::from("OK")), Ok(Value::Queued), oom, aborted()]).unwrap_err();
        assert!(error.is_retryable() && error.is_unsent() && error.message().contains("memory"), "{error:?}");
        let error = transacted(vec![Ok(Value::from("OK")), Ok(Value::Queued), aborted()]).unwrap_err();
        assert!(error.message().contains("nothing of it has happened"), "{error:?}");
        // Without MULTI, SET has been carried out.
        let error = transacted(vec![refused("NOPERM no"), Ok(Value::from("OK")), refused("ERR EXEC without MULTI")])
            .unwrap_err();
        assert!(error.message().contains("may have happened"), "{error:?}");
        let broken = || Err(FredError::new(ErrorKind::IO, "the connection has ended"));
        let error = transacted(vec![broken(), broken(), broken()]).unwrap_err();
        assert!(error.kind() == crate::error::Kind::Connection && !error.is_unsent(), "{error:?}");
    }
}
