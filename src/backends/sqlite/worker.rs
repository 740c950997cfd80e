//! A thread that works on one connection. Operations are futures that run on it directly
//! and block it while SQLite works: there is nothing else that it should be doing.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{Error, Kind, Result};
use crate::runtime;

/// A running thread; dropping it lets the thread end by itself.
pub(super) struct Worker {
    handle: Handle,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Worker {
    /// Starts a thread that does `work` beside what is spawned on it, until it is stopped;
    /// its last act is `end`.
    pub(super) fn start(
        name: &str,
        work: impl Future<Output = ()> + Send + 'static,
        end: impl FnOnce() + Send + 'static,
    ) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (tell, ended) = oneshot::channel();
        let handle = runtime::start_thread(name, async move {
            tokio::select! {
                // Sent or dropped: the end either way.
                _ = stopped => {}
                () = work => {}
            }
            end();
            // Nobody listens where the worker was dropped instead of stopped.
            let _ = tell.send(());
        })?;
        Ok(Self { handle, stop, ended })
    }

    /// Spawns on the thread.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ready when the thread has done its last act.
    pub(super) async fn stop(self) {
        drop(self.stop);
        drop(self.ended.await);
    }
}

/// Runs `work` on another thread's runtime, so that the caller's is never blocked.
pub(super) async fn hop<T: Send + 'static>(
    thread: &Handle,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    thread.spawn(work).await.unwrap_or_else(|error| {
        Err(if error.is_panic() {
            Error::new(Kind::Backend, "the backend panicked; please report this")
        } else {
            Error::closed()
        })
    })
}
