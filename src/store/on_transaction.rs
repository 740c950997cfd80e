//! The store's own transactions: operations one after the other, all or nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::lane::Settle;
use super::meters::Meter;
use super::meters::is_answer;
use super::plan::Plan;
use super::plan::answer;
use super::transcode::{Place, Transcoder};
use crate::contract::dynamic::Dynamic;
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::{Error, Kind, Result};
use crate::url::Backend;

/// Receives what a statement of the application's answers.
pub type Answered = Box<dyn FnOnce(Result<Dynamic>) + Send>;

enum Message {
    Run(Plan, Option<Arc<Meter>>, Settle),
    Query(String, Vec<Dynamic>, Answered),
    Commit(oneshot::Sender<Result<()>>),
    RollBack(oneshot::Sender<Result<()>>),
}

/// What happens to payloads on their way into a transaction and out of it.
pub struct Payloads {
    /// How they are stored.
    pub transcoder: Transcoder,
    /// The largest record under an id.
    pub limit: Box<dyn Fn(&str) -> u64 + Send + Sync>,
}

/// The caller's end of an open transaction. Dropped, it is rolled back.
#[derive(Clone)]
pub struct Open {
    backend: Backend,
    messages: UnboundedSender<Message>,
}

impl Open {
    /// Serves `transaction` on `runtime`, at most for `limit`: then it is rolled back.
    pub fn serve(
        backend: Backend,
        transaction: Box<dyn Transaction>,
        runtime: &Handle,
        limit: Duration,
        payloads: Payloads,
    ) -> Self {
        let (messages, queue) = unbounded_channel();
        runtime.spawn(serve(transaction, queue, limit, backend, payloads));
        Self { backend, messages }
    }

    /// Runs a call behind those before it.
    pub fn run(&self, plan: Plan, meter: Option<Arc<Meter>>, settle: Settle) {
        let call = plan.call;
        if let Err(unsent) = self.messages.send(Message::Run(plan, meter, settle))
            && let Message::Run(_, _, settle) = unsent.0
        {
            settle(Err(ended().at(self.backend.name(), call.name())));
        }
    }

    /// Runs a statement of the application's behind the calls before it.
    pub fn query(&self, sql: String, values: Vec<Dynamic>, answered: Answered) {
        if let Err(unsent) = self.messages.send(Message::Query(sql, values, answered))
            && let Message::Query(_, _, answered) = unsent.0
        {
            answered(Err(ended().at(self.backend.name(), "query")));
        }
    }

    /// Commits, behind the calls before it.
    pub async fn commit(&self) -> Result<()> {
        self.end(Message::Commit).await
    }

    /// Rolls back, behind the calls before it. Done already by an end that came first.
    pub async fn roll_back(&self) {
        drop(self.end(Message::RollBack).await);
    }

    async fn end(&self, message: impl FnOnce(oneshot::Sender<Result<()>>) -> Message) -> Result<()> {
        let (tell, told) = oneshot::channel();
        let sent = self.messages.send(message(tell)).is_ok();
        let result = if sent { told.await.unwrap_or_else(|_| Err(ended())) } else { Err(ended()) };
        result.map_err(|error| error.at(self.backend.name(), "transaction"))
    }
}

fn ended() -> Error {
    Error::new(Kind::Closed, "the transaction has ended")
}

fn overdue(limit: Duration) -> Error {
    Error::new(
        Kind::Timeout,
        format!("the transaction was rolled back after operationTimeoutMs ({} ms)", limit.as_millis()),
    )
    .retryable(false)
}

async fn serve(
    mut transaction: Box<dyn Transaction>,
    mut queue: UnboundedReceiver<Message>,
    limit: Duration,
    backend: Backend,
    payloads: Payloads,
) {
    let deadline = Instant::now() + limit;
    let commit = loop {
        let message = match tokio::time::timeout_at(deadline.into(), queue.recv()).await {
            Ok(Some(message)) => message,
            // Nobody holds the other end any more.
            Ok(None) => return transaction.roll_back().await,
            Err(_) => {
                // Whoever comes is told meanwhile: a server that is frozen does not answer this either.
                let rolled_back = tokio::time::timeout(limit, transaction.roll_back());
                let late = overdue(limit);
                drop(tokio::join!(rolled_back, refuse(queue, &late, backend)));
                return;
            }
        };
        match message {
            Message::Run(plan, meter, settle) => {
                let started = Instant::now();
                let call = plan.call;
                let worked = tokio::time::timeout_at(deadline.into(), run(&mut *transaction, plan, &payloads)).await;
                let late = worked.is_err();
                let result = worked.unwrap_or_else(|_| Err(overdue(limit)));
                if let Some(meter) = meter {
                    meter.record(started.elapsed(), is_answer(&result));
                }
                settle(result.map_err(|error| error.at(backend.name(), call.name())));
                if late {
                    // In the middle of something: dropped, which rolls it back.
                    drop(transaction);
                    return refuse(queue, &overdue(limit), backend).await;
                }
            }
            Message::Query(sql, values, answered) => {
                let worked = tokio::time::timeout_at(deadline.into(), transaction.query(&sql, &values)).await;
                let late = worked.is_err();
                let result = worked.unwrap_or_else(|_| Err(overdue(limit)));
                answered(result.map_err(|error| error.at(backend.name(), "query")));
                if late {
                    drop(transaction);
                    return refuse(queue, &overdue(limit), backend).await;
                }
            }
            Message::Commit(tell) => break tell,
            Message::RollBack(tell) => {
                // Dropped, it is rolled back as well.
                drop(tokio::time::timeout_at(deadline.into(), transaction.roll_back()).await);
                // Closed before it is told: what is called from now on is refused at once.
                queue.close();
                let _ = tell.send(Ok(()));
                return refuse(queue, &ended(), backend).await;
            }
        }
    };
    let committed = tokio::time::timeout_at(deadline.into(), transaction.commit()).await.unwrap_or_else(|_| {
        let message = format!("no answer to the commit within operationTimeoutMs ({} ms)", limit.as_millis());
        Err(Error::new(Kind::Timeout, message).retryable(false))
    });
    queue.close();
    let _ = commit.send(committed);
    refuse(queue, &ended(), backend).await;
}

async fn run(transaction: &mut dyn Transaction, plan: Plan, payloads: &Payloads) -> Result<Reply> {
    let transcoder = &payloads.transcoder;
    let (call, steps) = plan.into_parts();
    let steps = transcoder.encode_steps(steps, &*payloads.limit, Place::Beside).await?;
    transaction.check(&steps)?;
    let mut replies = Vec::with_capacity(steps.len());
    for step in &steps {
        replies.push(transaction.run(step).await.map_err(|error| error.with_id(step.subject()))?);
    }
    let replies = transcoder.decode_replies(&steps, replies, Place::Beside).await?;
    answer(call, &steps, replies)
}

/// Tells everybody who still comes that the transaction is gone.
async fn refuse(mut queue: UnboundedReceiver<Message>, error: &Error, backend: Backend) {
    while let Some(message) = queue.recv().await {
        match message {
            Message::Run(plan, _, settle) => settle(Err(error.clone().at(backend.name(), plan.call.name()))),
            Message::Query(_, _, answered) => answered(Err(error.clone().at(backend.name(), "query"))),
            Message::Commit(tell) | Message::RollBack(tell) => drop(tell.send(Err(error.clone()))),
        }
    }
}
