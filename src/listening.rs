//! How a store listens for what other processes tell: on a connection of its own, again and again, until it is closed.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::error::{Kind, Result};
use crate::runtime;

/// The pauses between attempts to listen.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The same, where listening is in vain.
const IN_VAIN: Duration = Duration::from_secs(60);
/// Who has listened for so long begins with the first pause again.
const STEADY: Duration = Duration::from_secs(8);

/// A way to listen.
pub(crate) trait Listening: Send + Sync + 'static {
    /// Whose events they are.
    const BACKEND: &'static str;

    /// Listens until that fails: `UNSUPPORTED` where it is in vain.
    fn listen(&self, hearing: &Hearing) -> impl Future<Output = Result<Infallible>> + Send;
}

/// What is heard, and whether it is.
#[derive(Clone, Default)]
pub(crate) struct Hearing {
    /// Permits are kept: what has rung since the last question is heard by the next one.
    rung: Arc<Notify>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Ends with the store.
    listener: Option<JoinHandle<()>>,
    /// Why nothing is heard.
    trouble: Option<String>,
}

impl Hearing {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It listens from now on. What was missed before is not known.
    pub(crate) fn begun(&self) {
        self.lock().trouble = None;
        self.heard();
    }

    /// Somebody has told of events.
    pub(crate) fn heard(&self) {
        self.rung.notify_one();
    }

    async fn keep_on<L: Listening>(self, listening: L) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let Err(error) = listening.listen(&self).await;
            tracing::debug!(%error, "{}: nothing is heard of others' events", L::BACKEND);
            self.lock().trouble = Some(format!("events of other processes are found by polling: {}", error.message()));
            if began.elapsed() > STEADY {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(if error.kind() == Kind::Unsupported { IN_VAIN } else { pause }).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Listens for a store from the first question on.
#[derive(Default)]
pub(crate) struct Listener {
    hearing: Hearing,
}

impl Listener {
    /// Why others' events are only found by polling; nothing, where nobody has asked.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.hearing.lock().trouble.clone()
    }

    /// Whether it listens; none, where nobody has asked.
    pub(crate) fn listens(&self) -> Option<bool> {
        let state = self.hearing.lock();
        state.listener.as_ref().map(|_| state.trouble.is_none())
    }

    /// Ready when somebody has told of events since the last time.
    pub(crate) async fn rung<L: Listening>(&self, listening: impl FnOnce() -> L) {
        {
            let mut state = self.hearing.lock();
            if state.listener.is_none()
                && let Ok(io) = runtime::io()
            {
                state.listener = Some(io.spawn(self.hearing.clone().keep_on(listening())));
            }
        }
        self.hearing.rung.notified().await;
    }

    /// Listens no more.
    pub(crate) fn close(&self) {
        if let Some(listener) = self.hearing.lock().listener.take() {
            listener.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::error::Error;

    /// Fails once, then hears something now and then.
    struct FailsOnce(AtomicU32);

    impl Listening for FailsOnce {
        const BACKEND: &'static str = "test";

        async fn listen(&self, hearing: &Hearing) -> Result<Infallible> {
            if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err(Error::new(Kind::Connection, "no server"));
            }
            hearing.begun();
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                hearing.heard();
            }
        }
    }

    #[tokio::test]
    async fn it_listens_from_the_first_question_on_and_goes_on_behind_a_failure() {
        let listener = Listener::default();
        assert_eq!((listener.listens(), listener.trouble()), (None, None));
        let listening = || FailsOnce(AtomicU32::new(0));
        let first = tokio::time::timeout(Duration::from_millis(100), listener.rung(listening)).await;
        assert!(first.is_err() && listener.listens() == Some(false));
        assert_eq!(listener.trouble().unwrap(), "events of other processes are found by polling: no server");
        for _ in 0..3 {
            listener.rung(listening).await;
        }
        assert_eq!((listener.listens(), listener.trouble()), (Some(true), None));
        listener.close();
        assert_eq!(listener.listens(), None);
    }
}
