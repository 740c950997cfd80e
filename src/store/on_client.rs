//! A store's operations on a client of the application. They run on the JavaScript thread and
//! wait for the client alone; their time is limited in TypeScript, which has the timers.

use std::sync::Arc;
use std::time::Instant;

use super::Connections;
use super::health::{counts_of, figures, with_worries, worries};
use super::meters::is_answer;
use super::plan::Plan;
use super::plan::answer;
use super::transcode::Place;
use super::{Health, PURGE_BATCH, REINDEX, Statistics, Store};
use crate::contract::client::{Client, ClientError};
use crate::contract::guest::{ClientDriver, UnitOfWork};
use crate::contract::states::{Reindexed, check_name};
use crate::contract::step::{Reply, Step};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

impl Store {
    fn guest(&self) -> Result<&Arc<dyn ClientDriver>> {
        self.check_open()?;
        let guest = match &self.connections {
            Connections::Own(_, guest) => guest.as_ref(),
            Connections::Clients(guest) => Some(guest),
        };
        guest.ok_or_else(|| {
            Error::new(Kind::Unsupported, format!("{} has no client that could be used", self.backend.name()))
        })
    }

    /// What a client's error stands for, where the client's own transaction failed.
    pub fn classify(&self, error: ClientError) -> Error {
        let error = match self.guest() {
            Ok(guest) => guest.classify(error),
            Err(refused) => refused,
        };
        error.at(self.backend.name(), "transaction")
    }

    /// A transaction of the store's own on a client that takes it as a whole.
    pub fn unit_of_work(&self) -> Result<Box<dyn UnitOfWork>> {
        let unit = self.guest().map(|guest| guest.unit_of_work());
        let none = || Error::new(Kind::Unsupported, "transactions are the client's own to begin");
        unit.and_then(|unit| unit.ok_or_else(none)).map_err(|error| error.at(self.backend.name(), "transaction"))
    }

    /// Runs a call, in a unit of work if one is given.
    pub async fn run_on(&self, on: &Client, unit: Option<&mut dyn UnitOfWork>, plan: Plan) -> Result<Reply> {
        let started = Instant::now();
        let name = plan.call.name();
        let meter = &self.meters[plan.call as usize];
        let result = self.run_steps(on, unit, plan).await;
        meter.record(started.elapsed(), is_answer(&result));
        result.map_err(|error| error.at(self.backend.name(), name))
    }

    /// Has all of a unit of work happen, or nothing.
    pub async fn commit_on(&self, on: &Client, unit: &mut dyn UnitOfWork) -> Result<()> {
        unit.commit(on).await.map_err(|error| error.at(self.backend.name(), "transaction"))
    }

    async fn run_steps(&self, on: &Client, mut unit: Option<&mut dyn UnitOfWork>, plan: Plan) -> Result<Reply> {
        let guest = self.guest()?;
        let (transcoder, place) = (self.transcoder(), Place::Client(on));
        let (call, steps) = plan.into_parts();
        let steps = transcoder.encode_steps(steps, &|id| guest.max_payload_bytes(id), place).await?;
        if let Some(unit) = unit.as_deref_mut() {
            unit.check(on, &steps)?;
        } else {
            guest.check(on, &steps)?;
            guest.prepare(on, &steps).await?;
        }
        let mut replies = Vec::with_capacity(steps.len());
        for step in &steps {
            let reply = match unit.as_deref_mut() {
                Some(unit) => unit.run(on, step).await,
                None => self.run_step(&**guest, on, step).await,
            };
            replies.push(reply.map_err(|error| error.with_id(step.subject()))?);
        }
        let replies = transcoder.decode_replies(&steps, replies, place).await?;
        answer(call, &steps, replies)
    }

    /// Repeats what may be repeated, but never within a transaction: after an error it is the
    /// application's to end.
    async fn run_step(&self, guest: &dyn ClientDriver, on: &Client, step: &Step) -> Result<Reply> {
        let started = Instant::now();
        let mut failed = 0;
        loop {
            let error = match guest.run(on, step).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            failed += 1;
            let repeats = error.is_retryable() && (error.is_unsent() || step.may_repeat());
            let attempts_left = failed < self.settings.retry.attempts || error.is_throttled();
            let pause = self.settings.retry.pause(failed);
            let in_time = started.elapsed() + pause < self.settings.operation_timeout;
            if on.facts().in_transaction || !repeats || !attempts_left || !in_time {
                return Err(error.after(failed));
            }
            on.pause(pause).await;
        }
    }

    /// Creates tables, indexes and TTL settings; answers warnings.
    pub async fn initialize_on(&self, on: &Client) -> Result<Vec<String>> {
        let made = match self.guest() {
            Ok(guest) => guest.initialize(on).await,
            Err(error) => Err(error),
        };
        made.map_err(|error| error.at(self.backend.name(), "initialize"))
    }

    /// Removes expired payloads, at most `limit` of them, batch by batch.
    pub async fn purge_expired_on(&self, on: &Client, limit: u64) -> Result<u64> {
        let purge = async {
            let guest = self.guest()?;
            let now = Millis::now();
            let mut removed = 0;
            while removed < limit {
                let batch = PURGE_BATCH.min(limit - removed);
                let count = guest.purge_expired(on, now, batch).await?;
                removed += count;
                if count < batch {
                    break;
                }
            }
            Ok(removed)
        };
        purge.await.map_err(|error: Error| error.at(self.backend.name(), "purgeExpired"))
    }

    /// A part of `states.reindex`.
    pub async fn reindex_on(&self, on: &Client, name: Option<&str>, cursor: Option<&str>) -> Result<Reindexed> {
        let checked = self.guest().and_then(|guest| name.map_or(Ok(()), check_name).map(|()| guest));
        let done = match checked {
            Ok(guest) => guest.reindex(on, name, cursor).await,
            Err(error) => Err(error),
        };
        done.map_err(|error| error.at(self.backend.name(), REINDEX))
    }

    /// Whether the store can be used; never an error.
    pub async fn health_on(&self, on: &Client) -> Health {
        let started = Instant::now();
        let probed = match self.guest() {
            Ok(guest) => match guest.probe(on).await {
                // A statement that fails, because there is no such table, would end the application's transaction.
                Ok(probe) if on.facts().in_transaction => Ok(probe),
                Ok(probe) => {
                    let [parked, blocked] = worries(&self.settings);
                    Ok(with_worries(probe, &[guest.run(on, &parked).await, guest.run(on, &blocked).await]))
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        Health::of(probed, started.elapsed())
    }

    /// Counts of what is stored and of what has been done.
    pub async fn statistics_on(&self, on: &Client) -> Result<Statistics> {
        let counted = async {
            let guest = self.guest()?;
            let usage = guest.usage(on, Millis::now()).await?;
            // As in `health_on`.
            if on.facts().in_transaction {
                return Ok((usage, None, None));
            }
            let [executions, outbox] = figures(&self.settings);
            let executions = counts_of(guest.run(on, &executions).await);
            Ok((usage, executions, counts_of(guest.run(on, &outbox).await)))
        };
        let (usage, executions, outbox) =
            counted.await.map_err(|error: Error| error.at(self.backend.name(), "statistics"))?;
        Ok(Statistics { usage: Some(usage), executions, outbox, pool: None, waiting: 0, operations: self.latencies() })
    }
}
