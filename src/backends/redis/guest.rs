//! Redis on clients of the application: ioredis or node-redis. A client may be a `multi()`, which is sent at its end:
//! then commands are put into it and nothing is answered.

use std::slice;
use std::sync::Arc;

use super::channel::ClientChannel;
use super::config::Prefixes;
use super::driver::CAPABILITIES;
use super::executions::Executions;
use super::moving::Moving;
use super::outbox::Outbox;
use super::slot::Anchor;
use super::states::{States, reindex};
use super::survey::Clock;
use super::transaction::QueuedTransaction;
use super::{error, inbox, inspect, payloads};
use crate::contract::capability::Capabilities;
use crate::contract::client::{Client, ClientError};
use crate::contract::guest::{ClientDriver, UnitOfWork};
use crate::contract::operation::Work;
use crate::contract::report::{Probe, Usage};
use crate::contract::states::Reindexed;
use crate::contract::step::{Queued, Reply, Step, not_queueable};
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;
use crate::time::Millis;

/// Knows the key prefixes, and works on whichever client it is given.
pub(super) struct RedisOnClients {
    prefixes: Prefixes,
    /// Of the servers behind the clients: one database, so one clock.
    clock: Arc<Clock>,
}

impl RedisOnClients {
    pub(super) fn new(prefixes: Prefixes) -> Self {
        Self { prefixes, clock: Arc::default() }
    }

    fn channel<'a>(&'a self, on: &'a Client) -> ClientChannel<'a> {
        ClientChannel::new(on, &self.clock)
    }

    /// The same, if the client answers at all.
    fn answering<'a>(&'a self, on: &'a Client) -> Result<ClientChannel<'a>> {
        if on.facts().buffered {
            return Err(Error::new(Kind::Unsupported, "a multi() is only sent at its end: nothing can be asked in it"));
        }
        Ok(self.channel(on))
    }

    /// Puts a write into the application's `multi()`. The servers' clock is not asked there, even
    /// where the client behind it could be: the put would be queued later than it was called, and
    /// so behind an `exec()` that does not wait for it.
    async fn queue(&self, on: &Client, step: &Step) -> Result<Reply> {
        let Queued::Blind(write) = step.queued() else { return Err(not_queueable(step)) };
        let request = payloads::queued(write, &self.prefixes.payloads, Millis::now(), self.clock.known_shift());
        self.channel(on).queue(request.ok_or_else(|| not_queueable(step))?).await?;
        Ok(Reply::Done)
    }

    async fn check_slots(&self, on: &Client, steps: &[Step]) -> Result<()> {
        if !on.facts().buffered {
            return Ok(());
        }
        let (one_server, first) = self.channel(on).queued().await?;
        if one_server {
            return Ok(());
        }
        let key = |step| (payloads::key(&self.prefixes.payloads, Step::id(step)), Step::id(step));
        Anchor::at(first).check(steps.iter().map(key))
    }
}

impl ClientDriver for RedisOnClients {
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
            if on.facts().buffered {
                return self.queue(on, step).await;
            }
            let (on, prefixes) = (self.channel(on), &self.prefixes);
            match step {
                Step::Outbox(step) => Outbox { on: &on, prefix: &prefixes.outbox }.run(step).await,
                Step::Moving(step) => Moving { on: &on, prefixes }.run(step).await,
                Step::Inbox(step) => inbox::run(&on, &prefixes.inbox, step).await,
                Step::Execution(step) => Executions { on: &on, prefix: &prefixes.executions }.run(step).await,
                Step::State(step) => States { on: &on, prefix: &prefixes.states }.run(step).await,
                Step::Payload(Work::Write(write)) => {
                    let mut answers = payloads::write(&on, &prefixes.payloads, slice::from_ref(write)).await?;
                    answers.pop().unwrap_or_else(|| Err(error::unexpected()))
                }
                Step::Payload(Work::Read(read)) => payloads::read_one(&on, &prefixes.payloads, read).await,
            }
        })
    }

    fn unit_of_work(&self) -> Option<Box<dyn UnitOfWork>> {
        Some(Box::new(QueuedTransaction::new(Arc::clone(&self.clock), self.prefixes.clone())))
    }

    fn initialize<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Vec<String>>> {
        Box::pin(async move { inspect::initialize(&self.answering(on)?, &self.prefixes).await })
    }

    fn purge_expired<'a>(&'a self, on: &'a Client, now: Millis, limit: u64) -> Task<'a, Result<u64>> {
        Box::pin(async move {
            let on = self.answering(on)?;
            let sagas = States { on: &on, prefix: &self.prefixes.states }.tidy_all_expired(now, limit).await?;
            let executions = Executions { on: &on, prefix: &self.prefixes.executions };
            let removed = sagas + executions.purge_expired(limit.saturating_sub(sagas)).await?;
            let events = Outbox { on: &on, prefix: &self.prefixes.outbox };
            Ok(removed + events.purge_expired(limit.saturating_sub(removed)).await?)
        })
    }

    fn reindex<'a>(
        &'a self,
        on: &'a Client,
        name: Option<&'a str>,
        cursor: Option<&'a str>,
    ) -> Task<'a, Result<Reindexed>> {
        Box::pin(async move { reindex::run(&self.answering(on)?, &self.prefixes.states, name, cursor).await })
    }

    fn probe<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Probe>> {
        Box::pin(async move { inspect::probe(&self.answering(on)?, &self.prefixes).await })
    }

    fn usage<'a>(&'a self, on: &'a Client, _now: Millis) -> Task<'a, Result<Usage>> {
        Box::pin(async move { inspect::usage(&self.answering(on)?, &self.prefixes.payloads).await })
    }
}
