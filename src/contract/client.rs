//! Clients of the application. The I/O happens in JavaScript; the operation stays an ordinary
//! future here. Polled on the JavaScript thread, it leaves a request in its [`Client`], which
//! TypeScript carries to the application's client, and goes on when the answer is there. Nothing
//! in it may wait for anything else.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::dynamic::Dynamic;
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;

/// A request to the application's client: a method of its adapter in `ts/clients`, with arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The method.
    pub method: &'static str,
    /// Its arguments.
    pub arguments: Vec<Dynamic>,
}

/// What a client threw, as far as it can be told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientError {
    /// The error's class.
    pub name: String,
    /// Its message.
    pub message: String,
    /// The database's own code, where one could be found.
    pub code: Option<String>,
    /// MongoDB's labels.
    pub labels: Vec<String>,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ClientError {}

/// Whether a code is one of Node.js's for connections that cannot be made or have broken.
pub fn is_socket_code(code: &str) -> bool {
    const CODES: [&str; 10] = [
        "ECONNREFUSED",
        "ECONNRESET",
        "ECONNABORTED",
        "EPIPE",
        "ENOTFOUND",
        "EAI_AGAIN",
        "EHOSTUNREACH",
        "ENETUNREACH",
        "ETIMEDOUT",
        "CONNECTION_CLOSED",
    ];
    CODES.contains(&code)
}

/// What is known of a client before it is asked anything.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Each is independent of the others.
pub struct Facts {
    /// Whether the application can still undo what is done: nothing is repeated then.
    pub in_transaction: bool,
    /// Whether commands are only collected, to be sent at the end: there are no answers.
    pub buffered: bool,
    /// Whether it must have been asked when the call returns: it answers at once, or only collects.
    pub is_synchronous: bool,
    /// Whether all of the database is on one server, as far as is known.
    pub one_server: bool,
}

/// Work that goes on elsewhere, while the JavaScript thread has others to do.
pub type Job = Task<'static, ()>;

enum Exchange {
    Idle,
    Asked(Ask),
    Waiting,
    Answered(Result<Dynamic, ClientError>),
}

/// A client of the application, for the length of one operation.
pub struct Client {
    facts: Facts,
    exchange: Mutex<Exchange>,
    job: Mutex<Option<Job>>,
}

impl Client {
    /// Nothing has been asked yet.
    pub fn new(facts: Facts) -> Self {
        Self { facts, exchange: Mutex::new(Exchange::Idle), job: Mutex::default() }
    }

    /// What is known of it.
    pub fn facts(&self) -> Facts {
        self.facts
    }

    fn lock(&self) -> MutexGuard<'_, Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the client; one request at a time.
    pub async fn ask(&self, method: &'static str, arguments: Vec<Dynamic>) -> Result<Dynamic, ClientError> {
        *self.lock() = Exchange::Asked(Ask { method, arguments });
        poll_fn(|_| {
            let mut exchange = self.lock();
            match std::mem::replace(&mut *exchange, Exchange::Idle) {
                Exchange::Answered(answer) => Poll::Ready(answer),
                other => {
                    *exchange = other;
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits, by a timer of JavaScript's.
    pub async fn pause(&self, pause: Duration) {
        let millis = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        // It cannot fail; if it did, the pause would only be shorter.
        drop(self.ask("pause", vec![Dynamic::Int(millis)]).await);
    }

    /// Waits for work that goes on elsewhere (see [`Self::take_job`]).
    pub async fn meanwhile<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let done = Arc::new(Mutex::new(None));
        let result = Arc::clone(&done);
        let job: Job = Box::pin(async move {
            let outcome = work.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        });
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
        drop(self.ask("meanwhile", Vec::new()).await);
        let done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
        done.ok_or_else(|| Error::new(Kind::Backend, "the work panicked; please report this"))?
    }

    /// The work that a request `meanwhile` waits for, once.
    pub fn take_job(&self) -> Option<Job> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The request that waits to be carried, once.
    pub fn take_ask(&self) -> Option<Ask> {
        let mut exchange = self.lock();
        match std::mem::replace(&mut *exchange, Exchange::Waiting) {
            Exchange::Asked(ask) => Some(ask),
            other => {
                *exchange = other;
                None
            }
        }
    }

    /// Brings the answer; the operation has to be polled then.
    pub fn answer(&self, answer: Result<Dynamic, ClientError>) {
        *self.lock() = Exchange::Answered(answer);
    }
}
