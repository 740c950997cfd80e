//! A connection that many share: made when somebody needs it, by one attempt at a time.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, Shared};

use crate::error::{Error, Kind, Result};
use crate::runtime;

/// A connection being made; everybody who waits for it gets the same answer.
pub(crate) type Attempt<T> = Shared<BoxFuture<'static, Result<Arc<T>>>>;

/// The connection, if there is one, or the attempt to make it.
pub(crate) struct Connecting<T> {
    backend: &'static str,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Option<Arc<T>>,
    attempt: Option<Attempt<T>>,
    closed: bool,
}

impl<T: Send + Sync + 'static> Connecting<T> {
    /// Does not connect. The backend's name is for messages.
    pub(crate) fn new(backend: &'static str) -> Self {
        Self { backend, state: Mutex::new(State { current: None, attempt: None, closed: false }) }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if it `is_open`; otherwise `open` makes one. A failure is told to those who wait for it, and
    /// the next caller tries again.
    pub(crate) async fn get<F>(
        self: &Arc<Self>,
        is_open: impl Fn(&T) -> bool,
        open: impl FnOnce() -> F,
    ) -> Result<Arc<T>>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let attempt = {
            let mut state = self.state();
            if state.closed {
                return Err(Error::closed());
            }
            if let Some(current) = state.current.as_ref().filter(|current| is_open(current)) {
                return Ok(Arc::clone(current));
            }
            state.current = None;
            if let Some(attempt) = &state.attempt {
                attempt.clone()
            } else {
                let attempt = self.attempt(open())?;
                state.attempt = Some(attempt.clone());
                attempt
            }
        };
        attempt.await
    }

    /// Connects in a task of its own, which goes on if the operation that needs it gives up.
    fn attempt(self: &Arc<Self>, open: impl Future<Output = Result<T>> + Send + 'static) -> Result<Attempt<T>> {
        let (shared, backend) = (Arc::clone(self), self.backend);
        let task = runtime::io()?.spawn(async move {
            let opened = open.await.map(Arc::new);
            let mut state = shared.state();
            state.attempt = None;
            if state.closed {
                return Err(opened.err().unwrap_or_else(Error::closed));
            }
            state.current = opened.as_ref().ok().cloned();
            opened
        });
        let panicked =
            move |_| Err(Error::new(Kind::Backend, format!("connecting to {backend} failed in an unforeseen way")));
        Ok(task.map(move |joined| joined.unwrap_or_else(panicked)).boxed().shared())
    }

    /// The connection, if there is one.
    pub(crate) fn current(&self) -> Option<Arc<T>> {
        self.state().current.clone()
    }

    /// Whether it is this one.
    pub(crate) fn is_current(&self, connection: &Arc<T>) -> bool {
        self.state().current.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection))
    }

    /// Gives this connection up; whether it was still the one that is used.
    pub(crate) fn forget(&self, connection: &Arc<T>) -> bool {
        self.state().current.take_if(|current| Arc::ptr_eq(current, connection)).is_some()
    }

    /// Uses `new` in place of `old`, unless another one is there or on its way, or it is closed.
    pub(crate) fn replace(&self, old: &Arc<T>, new: T) {
        let mut state = self.state();
        let vacant = state.current.as_ref().is_none_or(|current| Arc::ptr_eq(current, old));
        if vacant && !state.closed && state.attempt.is_none() {
            state.current = Some(Arc::new(new));
        }
    }

    /// Whether it has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Connects no more. The connection, and the attempt that is under way: it drops what it makes, and fails.
    pub(crate) fn close(&self) -> (Option<Arc<T>>, Option<Attempt<T>>) {
        let mut state = self.state();
        state.closed = true;
        (state.current.take(), state.attempt.take())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::{join, join3};
    use tokio::sync::oneshot;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    fn failure() -> Error {
        Error::new(Kind::Connection, "nobody there")
    }

    #[test]
    fn all_wait_for_one_attempt_and_the_next_one_tries_again() {
        run(async {
            let (shared, attempts) = (Arc::new(Connecting::new("Test")), AtomicUsize::new(0));
            let get_after = |before: Option<oneshot::Receiver<()>>, answer: Result<usize>| {
                let (shared, attempts) = (Arc::clone(&shared), &attempts);
                let open = move || {
                    attempts.fetch_add(1, Ordering::Relaxed);
                    async move {
                        if let Some(before) = before {
                            before.await.unwrap();
                        }
                        answer
                    }
                };
                async move { shared.get(|number| *number != 2, open).await }
            };
            let get = |answer| get_after(None, answer);
            // The attempt fails only when both wait for it.
            let (send, receive) = oneshot::channel();
            let both_wait = async { send.send(()).unwrap() };
            let (one, two, ()) = join3(get_after(Some(receive), Err(failure())), get(Ok(1)), both_wait).await;
            assert!(one.is_err() && two.is_err());
            assert_eq!(*get(Ok(2)).await.unwrap(), 2);
            // 2 counts as broken.
            let three = get(Ok(3)).await.unwrap();
            assert_eq!((*three, *get(Err(failure())).await.unwrap()), (3, 3));
            assert_eq!(attempts.load(Ordering::Relaxed), 3);
            assert!(shared.is_current(&three));
            shared.replace(&three, 4);
            assert_eq!((shared.current().as_deref(), shared.is_current(&three)), (Some(&4), false));
            shared.replace(&three, 5);
            assert!(!shared.forget(&three));
            assert_eq!(shared.current().as_deref(), Some(&4));
        });
    }

    #[test]
    fn what_is_made_after_the_end_is_dropped() {
        run(async {
            let shared = Arc::new(Connecting::new("Test"));
            let (send, receive) = oneshot::channel::<()>();
            let waiting = shared.get(|()| true, || async move { receive.await.map_err(|_| failure()) });
            let closing = async {
                let (current, attempt) = shared.close();
                assert!(current.is_none());
                send.send(()).unwrap();
                assert!(attempt.unwrap().await.is_err());
            };
            let (waited, ()) = join(waiting, closing).await;
            assert!(waited.is_err() && shared.is_closed() && shared.current().is_none());
            assert!(shared.get(|()| true, || async { Ok(()) }).await.is_err());
        });
    }
}
