//! One link to the servers: made, watched, and given up when it breaks or falls silent.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fred::error::{Error as FredError, ErrorKind};
use futures_util::future::BoxFuture;

use super::command::{Replies, Request, Transacted};
use super::config::Endpoint;
use super::error;
use super::link::Link;
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
/// Servers get no longer to tell their time.
const ASKING: Duration = Duration::from_secs(5);
/// Saying goodbye to a server takes no longer.
const GOODBYE: Duration = Duration::from_secs(2);

/// What is under way on a connection.
struct Traffic {
    groups: usize,
    bytes: usize,
    abandoned_groups: usize,
    abandoned_bytes: usize,
    /// When the last reply came, or when the first unanswered group was sent.
    progress: Instant,
}

/// A link that is connected, or was.
pub(super) struct Connection {
    link: Link,
    retired: AtomicBool,
    traffic: Mutex<Traffic>,
    clock: Clock,
    survey: Survey,
}

impl Connection {
    /// Connects, within the connect timeout.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self> {
        let connected = async {
            let link = Link::open(endpoint).await?;
            // A server that hangs up during fred's handshake goes unnoticed there: ask once more.
            let survey = Survey::take(&link).await.map_err(error::connecting)?;
            Ok((link, survey))
        };
        let (link, survey) = tokio::time::timeout(endpoint.connect_timeout, connected).await.unwrap_or_else(|_| {
            let late = error::connecting(FredError::new(ErrorKind::Timeout, "no answer to the handshake"));
            // A server without TLS waits for the end of what it takes for a command.
            Err(if endpoint.is_tls() { late.saying(error::IS_IT_TLS) } else { late })
        })?;
        let traffic =
            Traffic { groups: 0, bytes: 0, abandoned_groups: 0, abandoned_bytes: 0, progress: Instant::now() };
        let clock = Clock::new(&survey);
        Ok(Self { link, retired: AtomicBool::new(false), traffic: Mutex::new(traffic), clock, survey })
    }

    /// Whether it can take commands.
    pub(super) fn is_open(&self) -> bool {
        self.link.is_open() && !self.retired.load(Ordering::Acquire)
    }

    /// Takes no more commands; those under way go on.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// The link, for commands that are not part of the ordinary path.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// The server's clock.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Reads the servers' clocks; nothing if they do not answer.
    pub(super) async fn ask_time(&self) {
        let survey = tokio::time::timeout(ASKING, Survey::take(&self.link)).await;
        if let Ok(Ok(survey)) = survey {
            self.clock.update(&survey);
        }
    }

    /// Before expiries are sent: reads the servers' clocks, if ours has been set since the last time; if that was only
    /// long ago, beside the work.
    pub(super) async fn keep_time(self: &Arc<Self>) {
        if self.clock.has_jumped() {
            self.ask_time().await;
        } else if self.clock.is_due()
            && let Ok(runtime) = runtime::io()
        {
            let connection = Arc::clone(self);
            runtime.spawn(async move { connection.ask_time().await });
        }
    }

    /// What the servers said when it was opened.
    pub(super) fn survey(&self) -> &Survey {
        &self.survey
    }

    /// How many connections it has, and whether any of them is in use.
    pub(super) fn usage(&self) -> (usize, bool) {
        (self.link.connections(), self.traffic().groups > 0)
    }

    /// Sends a group and waits for its replies. Dropping the future does not take back what was
    /// sent: the replies are awaited by nobody, and `on_silence` is called if there are none.
    pub(super) async fn run(
        self: &Arc<Self>,
        requests: Vec<Request>,
        on_silence: impl FnOnce() + Send + Unpin,
    ) -> Result<Replies> {
        let bytes = requests.iter().map(Request::bytes).sum();
        let load = Load::put_on(self, bytes)?;
        let work = self.link.send(requests).await?;
        Ok(Flight { work: Some(work), load: Some(load), on_silence: Some(on_silence) }.await)
    }

    /// Sends a group as MULTI and EXEC and waits for what EXEC answers. Dropping the future takes
    /// nothing back either.
    pub(super) async fn transact(
        self: &Arc<Self>,
        requests: Vec<Request>,
        on_silence: impl FnOnce() + Send + Unpin,
    ) -> Transacted {
        let bytes = requests.iter().map(Request::bytes).sum();
        let load = Load::put_on(self, bytes)?;
        let work = self.link.transact(requests).await?;
        Flight { work: Some(work), load: Some(load), on_silence: Some(on_silence) }.await
    }

    /// Ends it in order, after the replies to what is under way; at once if they do not come.
    pub(super) async fn quit(&self) {
        self.retire();
        let politely = tokio::time::timeout(GOODBYE, self.link.quit()).await.is_ok();
        if !politely {
            self.abort();
            drop(tokio::time::timeout(GOODBYE, self.link.gone()).await);
        }
    }

    /// Ends it now; what is under way fails.
    pub(super) fn abort(&self) {
        self.retire();
        self.link.abort();
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
        let since = if self.link.one_server() { traffic.progress } else { started };
        since.elapsed() >= patience
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
    work: Option<BoxFuture<'static, T>>,
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
