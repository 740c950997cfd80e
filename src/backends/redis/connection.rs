//! One fred client: made, watched, and given up when it breaks.
//!
//! fred can reconnect by itself, but while it does it keeps commands waiting in a queue that
//! nobody can empty, and repeats writes of its own accord. So the client has no reconnect policy:
//! a broken connection ends its task, everything in flight fails at once, and the next operation
//! makes a new client (see `executor.rs`). Repeating is left to the lanes, which know the order.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fred::error::{Error as FredError, ErrorKind};
use fred::interfaces::{ClientLike, ClusterInterface, TransactionInterface};
use fred::prelude::{Client, Value};
use fred::types::config::{PerformanceConfig, Server};
use fred::types::{ClusterHash, CustomCommand};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::command::Request;
use super::config::Endpoint;
use super::error;
use super::survey::{Clock, Survey};
use crate::error::Result;
use crate::runtime;

/// A paused server gets no more than this many bytes of commands whose callers have gone.
const MAX_ABANDONED_BYTES: usize = 64 << 20;
/// And no more than this many groups of them.
const MAX_ABANDONED_GROUPS: usize = 64;
/// A connection that is slower than this, in bytes in a second, counts as silent.
const SLOWEST: usize = 1 << 20;
/// No connection counts as silent sooner.
const SILENCE: Duration = Duration::from_secs(5);
/// Saying goodbye to a server takes no longer.
const GOODBYE: Duration = Duration::from_secs(2);

/// The replies to a group of requests, one for each, in order.
pub(super) type Replies = Vec<Result<Value, FredError>>;

/// What EXEC answers: the replies to the commands, or nothing at all.
pub(super) type Executed = Result<Value>;

/// What is under way on a connection.
struct Traffic {
    groups: usize,
    bytes: usize,
    abandoned_groups: usize,
    abandoned_bytes: usize,
    /// When the last reply came, or when the first unanswered group was sent.
    progress: Instant,
}

/// A client that is connected, or was.
pub(super) struct Connection {
    client: Client,
    task: AbortHandle,
    ended: watch::Receiver<bool>,
    retired: AtomicBool,
    traffic: Mutex<Traffic>,
    clock: Clock,
    survey: Survey,
}

impl Connection {
    /// Connects, within the connect timeout.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self> {
        let config = endpoint.client_config()?;
        let client = Client::new(config, Some(PerformanceConfig::default()), Some(endpoint.connection_config()), None);
        let mut task = client.connect();
        let abort = AbortOnDrop(Some(task.abort_handle()));
        let connected = async {
            tokio::select! {
                biased;
                result = client.wait_for_connect() => result?,
                // It reports a failure before it ends, but that may have been before we listened.
                result = &mut task => result.map_err(|_| FredError::new_canceled()).and_then(|result| result)?,
            }
            // A server that hangs up during fred's handshake goes unnoticed there: ask once more.
            Survey::take(&client).await
        };
        let survey = tokio::time::timeout(endpoint.connect_timeout, connected)
            .await
            .unwrap_or_else(|_| Err(FredError::new(ErrorKind::Timeout, "no answer to the handshake")))
            .map_err(error::connecting)?;
        let (end, ended) = watch::channel(false);
        tokio::spawn(async move {
            drop(task.await);
            end.send_replace(true);
        });
        let traffic =
            Traffic { groups: 0, bytes: 0, abandoned_groups: 0, abandoned_bytes: 0, progress: Instant::now() };
        let clock = Clock::new(&survey);
        let task = abort.keep().ok_or_else(error::unexpected)?;
        Ok(Self { client, task, ended, retired: AtomicBool::new(false), traffic: Mutex::new(traffic), clock, survey })
    }

    /// Whether it can take commands.
    pub(super) fn is_open(&self) -> bool {
        !*self.ended.borrow() && !self.retired.load(Ordering::Acquire)
    }

    /// Takes no more commands; those under way go on.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// The client, for commands that are not part of the ordinary path.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The server's clock.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the servers said when it was opened.
    pub(super) fn survey(&self) -> &Survey {
        &self.survey
    }

    /// How many connections it has, and whether any of them is in use.
    pub(super) fn usage(&self) -> (usize, bool) {
        (self.client.active_connections().len().max(1), self.traffic().groups > 0)
    }

    /// Sends a group and waits for its replies. Dropping the future does not take back what was
    /// sent: the replies are awaited by nobody, and `on_silence` is called if there are none.
    pub(super) async fn run(
        self: &Arc<Self>,
        requests: Vec<Request>,
        on_silence: impl FnOnce() + Send + Unpin,
    ) -> Result<Replies> {
        let count = requests.len();
        let bytes = requests.iter().map(Request::bytes).sum();
        let load = Load::put_on(self, bytes)?;
        // fred flushes the socket after every command that has no other behind it in its queue,
        // and a pipeline counts as one: a system call for each command. With the last command in
        // a pipeline of its own the others are written in one go. Both are queued in one poll, so
        // nothing comes between them.
        let (head, tail) = (self.client.pipeline(), self.client.pipeline());
        for (index, request) in requests.into_iter().enumerate() {
            let pipeline = if index + 1 == count { &tail } else { &head };
            request.queue(pipeline).await.map_err(error::command)?;
        }
        let mut ended = self.ended.clone();
        let work = async move {
            let replies = futures_util::future::join(head.try_all(), tail.try_all());
            tokio::select! {
                biased;
                (head, tail) = replies => gather(count, head, tail),
                // A command that reaches fred's queue just after its task has ended stays there.
                _ = ended.wait_for(|ended| *ended) => {
                    vec![Err(FredError::new(ErrorKind::IO, "the connection has ended")); count]
                }
            }
        };
        Ok(Flight { work: Some(Box::pin(work)), load: Some(load), on_silence: Some(on_silence) }.await)
    }

    /// Sends a group as MULTI and EXEC and waits for what EXEC answers. Dropping the future takes
    /// nothing back either.
    pub(super) async fn transact(
        self: &Arc<Self>,
        requests: Vec<Request>,
        on_silence: impl FnOnce() + Send + Unpin,
    ) -> Executed {
        let bytes = requests.iter().map(Request::bytes).sum();
        let load = Load::put_on(self, bytes)?;
        let mut ended = self.ended.clone();
        let executed: Pin<Box<dyn Future<Output = Executed> + Send>> = if self.client.is_clustered() {
            // In a pipeline fred would follow a MOVED to a queued command, and run it on its own
            // elsewhere. Its transactions do not; they wait until everything before is answered.
            let block = self.client.multi();
            for request in requests {
                request.queue(&block).await.map_err(error::command)?;
            }
            Box::pin(async move { block.exec::<Value>(true).await.map_err(error::executed) })
        } else {
            // One pipeline: nothing that others send comes between.
            let pipeline = self.client.pipeline();
            let count = requests.len();
            pipeline.custom::<Value, &str>(word("MULTI"), Vec::new()).await.map_err(error::command)?;
            for request in requests {
                request.queue(&pipeline).await.map_err(error::command)?;
            }
            pipeline.custom::<Value, &str>(word("EXEC"), Vec::new()).await.map_err(error::command)?;
            Box::pin(async move { executed(spread(count + 2, pipeline.try_all().await)) })
        };
        let work = async move {
            tokio::select! {
                biased;
                executed = executed => executed,
                _ = ended.wait_for(|ended| *ended) => {
                    Err(error::command(FredError::new(ErrorKind::IO, "the connection has ended")))
                }
            }
        };
        Flight { work: Some(Box::pin(work)), load: Some(load), on_silence: Some(on_silence) }.await
    }

    /// Ends it in order, after the replies to what is under way; at once if they do not come.
    pub(super) async fn quit(&self) {
        self.retire();
        let mut ended = self.ended.clone();
        let goodbye = async {
            drop(self.client.quit().await);
            drop(ended.wait_for(|ended| *ended).await);
        };
        let politely = tokio::time::timeout(GOODBYE, goodbye).await.is_ok();
        if !politely {
            self.abort();
            drop(tokio::time::timeout(GOODBYE, self.ended.clone().wait_for(|ended| *ended)).await);
        }
    }

    /// Ends it now; what is under way fails.
    pub(super) fn abort(&self) {
        self.retire();
        self.task.abort();
    }

    /// When the last reply came.
    pub(super) fn progress(&self) -> Instant {
        self.traffic().progress
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing has come back for so long that the connection may be dead, as a group
    /// sees it that was sent at `started`. Large payloads on their way are given their time.
    fn is_silent(&self, started: Instant) -> bool {
        let traffic = self.traffic();
        let patience = SILENCE.max(Duration::from_secs((traffic.bytes / SLOWEST) as u64));
        // In a cluster the other servers' replies say nothing about the one that is silent.
        let since = if self.client.is_clustered() { started } else { traffic.progress };
        since.elapsed() >= patience
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
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
fn word(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::Random, false)
}

/// What EXEC answered, of the replies to MULTI, the queued commands and EXEC.
fn executed(mut replies: Replies) -> Executed {
    let exec = replies.pop().unwrap_or_else(|| Err(FredError::new_canceled()));
    let Err(exec) = exec else { return exec.map_err(error::command) };
    let mut replies = replies.into_iter();
    if let Some(Err(multi)) = replies.next() {
        // Without MULTI each command was run on its own.
        return Err(error::executed(multi));
    }
    // A command that was not even queued tells more than the EXECABORT that follows it.
    Err(replies.find_map(Result::err).map_or_else(|| error::executed(exec), error::command))
}

/// Ends the task unless it is kept.
struct AbortOnDrop(Option<AbortHandle>);

impl AbortOnDrop {
    fn keep(mut self) -> Option<AbortHandle> {
        self.0.take()
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// A group's share in the traffic of a connection.
struct Load {
    connection: Arc<Connection>,
    bytes: usize,
    started: Instant,
    abandoned: bool,
}

impl Load {
    fn put_on(connection: &Arc<Connection>, bytes: usize) -> Result<Self> {
        let mut traffic = connection.traffic();
        if traffic.abandoned_groups >= MAX_ABANDONED_GROUPS || traffic.abandoned_bytes >= MAX_ABANDONED_BYTES {
            return Err(error::silent());
        }
        if traffic.groups == 0 {
            traffic.progress = Instant::now();
        }
        traffic.groups += 1;
        traffic.bytes += bytes;
        drop(traffic);
        Ok(Self { connection: Arc::clone(connection), bytes, started: Instant::now(), abandoned: false })
    }

    fn abandon(&mut self) {
        let mut traffic = self.connection.traffic();
        traffic.abandoned_groups += 1;
        traffic.abandoned_bytes += self.bytes;
        self.abandoned = true;
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let mut traffic = self.connection.traffic();
        traffic.groups -= 1;
        traffic.bytes -= self.bytes;
        traffic.progress = Instant::now();
        if self.abandoned {
            traffic.abandoned_groups -= 1;
            traffic.abandoned_bytes -= self.bytes;
        }
    }
}

/// A group on its way. When it is dropped before its replies are there (the lane's deadline), the
/// wait for them goes on elsewhere, so that the connection's traffic stays known.
struct Flight<T: Send + 'static, S: FnOnce() + Unpin> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    load: Option<Load>,
    on_silence: Option<S>,
}

impl<T: Send + 'static, S: FnOnce() + Unpin> Future for Flight<T, S> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let replies = std::task::ready!(work.as_mut().poll(context));
        // The pipelines hold payloads, which are the caller's again once it has its answer.
        self.work = None;
        self.load = None;
        Poll::Ready(replies)
    }
}

impl<T: Send + 'static, S: FnOnce() + Unpin> Drop for Flight<T, S> {
    fn drop(&mut self) {
        let (Some(work), Some(mut load)) = (self.work.take(), self.load.take()) else { return };
        load.abandon();
        if let Some(on_silence) = self.on_silence.take().filter(|_| load.connection.is_silent(load.started)) {
            on_silence();
        }
        if let Ok(runtime) = runtime::io() {
            runtime.spawn(async move {
                work.await;
                drop(load);
            });
        }
    }
}

/// The servers that hold data: `None` is the only one.
pub(super) fn nodes(client: &Client) -> Vec<Option<Server>> {
    match client.cached_cluster_state() {
        Some(state) if client.is_clustered() => state.unique_primary_nodes().into_iter().map(Some).collect(),
        _ => vec![None],
    }
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
        assert_eq!(executed(vec![Ok(Value::from("OK")), Ok(Value::Queued), Ok(exec.clone())]).unwrap(), exec);
        assert_eq!(executed(vec![Ok(Value::from("OK")), Ok(Value::Queued), Ok(Value::Null)]).unwrap(), Value::Null);
    }

    #[test]
    fn what_was_not_queued_says_why() {
        let aborted = || refused("EXECABORT Transaction discarded because of previous errors.");
        let oom = refused("OOM command not allowed when used memory > 'maxmemory'.");
        let error = executed(vec![Ok(Value::from("OK")), Ok(Value::Queued), oom, aborted()]).unwrap_err();
        assert!(error.is_retryable() && error.is_unsent() && error.message().contains("memory"), "{error:?}");
        let error = executed(vec![Ok(Value::from("OK")), Ok(Value::Queued), aborted()]).unwrap_err();
        assert!(error.message().contains("nothing of it has happened"), "{error:?}");
        // Without MULTI, SET has been carried out.
        let error =
            executed(vec![refused("NOPERM no"), Ok(Value::from("OK")), refused("ERR EXEC without MULTI")]).unwrap_err();
        assert!(error.message().contains("may have happened"), "{error:?}");
        let broken = || Err(FredError::new(ErrorKind::IO, "the connection has ended"));
        let error = executed(vec![broken(), broken(), broken()]).unwrap_err();
        assert!(error.kind() == crate::error::Kind::Connection && !error.is_unsent(), "{error:?}");
    }
}
