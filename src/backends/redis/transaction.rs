//! A transaction of the store's own: its changes are collected here, and sent as MULTI and EXEC at the end. If one of
//! them has conditions, the end is one script, which looks whether they hold and then does everything. The same on a
//! connection of the store's own and on a client of the application.
//!
//! A kind of records whose changes can wait for the end has a variant of [`Change`]; nothing else here knows of kinds
//! but [`Changes::collect`], which makes them.

use std::collections::HashSet;
use std::future::ready;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use fred::prelude::Value;

use super::channel::{Answers, ClientChannel, OwnChannel, Servers};
use super::commit_script::CommitScript;
use super::config::Prefixes;
use super::error;
use super::executions::Executions;
use super::executions::queued::Planned as PlannedExecution;
use super::inbox;
use super::outbox::queued::PlannedEvents;
use super::outbox::{self, Outbox};
use super::payloads::{answer_write, expiry, key, queued};
use super::shared::Connector;
use super::slot::Anchor;
use super::states::States;
use super::states::queued::Planned;
use super::survey::Clock;
use crate::contract::client::Client;
use crate::contract::guest::UnitOfWork;
use crate::contract::inbox::{InboxWrite, accepted_before};
use crate::contract::operation::Operation;
use crate::contract::outbox::record::listed;
use crate::contract::payloads::Write;
use crate::contract::states::changed_twice;
use crate::contract::step::{Queued, Reply, Step, not_queueable};
use crate::contract::transaction::Transaction;
use crate::error::{Error, Result};
use crate::runtime::Task;
use crate::time::Millis;

/// A change that waits for the end.
enum Change {
    /// Of a payload. It has no condition.
    Payload(Write),
    /// Of a saga, which must be then as it was when the change was called.
    State(Planned),
    /// Of an execution, which must come to the same answer then.
    Execution(PlannedExecution),
    /// Events, whose ids must be free then.
    Outbox(PlannedEvents),
    /// An entry of the inbox, which must be new then, or goes.
    Inbox(InboxWrite),
}

impl Change {
    /// Whether the servers' time matters.
    fn expires(&self) -> bool {
        match self {
            Self::Payload(write) => expiry(write).is_some(),
            // The time that is left is sent, or the server's is looked at.
            Self::State(_) | Self::Execution(_) | Self::Outbox(_) | Self::Inbox(_) => false,
        }
    }

    /// Adds what must hold, and what is to be done then. `shift` is what to add to our time to have the servers'.
    fn join(&self, prefixes: &Prefixes, now: Millis, shift: Option<i64>, script: &mut CommitScript) {
        match self {
            Self::Payload(write) => script.then(queued(write, &prefixes.payloads, now, shift)),
            Self::State(planned) => planned.join(&prefixes.states, script),
            Self::Execution(planned) => planned.join(&prefixes.executions, script),
            Self::Outbox(planned) => planned.join(&prefixes.outbox, script),
            Self::Inbox(write) => inbox::join(write, &prefixes.inbox, script),
        }
    }

    /// Judges the reply of a change without conditions, which has one command.
    fn judge(&self, reply: Result<Value>) -> Result<()> {
        match self {
            Self::Payload(write) => answer_write(write, reply).map(drop),
            Self::State(_) | Self::Execution(_) | Self::Outbox(_) | Self::Inbox(_) => Err(error::unexpected()),
        }
    }

    /// Why one of its conditions does not hold.
    async fn refusal(&self, prefixes: &Prefixes, on: &impl Servers) -> Error {
        match self {
            Self::State(planned) => States { on, prefix: &prefixes.states }.refusal(planned).await,
            Self::Execution(planned) => Executions { on, prefix: &prefixes.executions }.refusal(planned).await,
            Self::Outbox(planned) => Outbox { on, prefix: &prefixes.outbox }.refusal(planned).await,
            Self::Inbox(InboxWrite::Accept { entry, .. }) => accepted_before(entry),
            Self::Payload(_) | Self::Inbox(_) => error::unexpected(),
        }
    }
}

/// Changes that have not been sent. Nothing is to be undone before the commit.
struct Changes {
    prefixes: Prefixes,
    anchor: Anchor,
    /// Those with conditions, and the keys that no two of them may have in common.
    conditional: Vec<Change>,
    keys: HashSet<Bytes>,
    /// The ids of executions that are changed.
    executions: HashSet<Box<str>>,
    /// The ids of events that are inserted.
    events: HashSet<Box<str>>,
    blind: Vec<Change>,
}

impl Changes {
    fn new(prefixes: Prefixes) -> Self {
        let (conditional, blind) = (Vec::new(), Vec::new());
        Self {
            prefixes,
            anchor: Anchor::default(),
            conditional,
            keys: HashSet::new(),
            executions: HashSet::new(),
            events: HashSet::new(),
            blind,
        }
    }

    fn check(&self, one_server: bool, steps: &[Step]) -> Result<()> {
        // A change with conditions, of which a call has one, looks for its keys itself.
        let is_conditional = |step: &Step| {
            matches!(
                step.queued(),
                Queued::Conditional(_) | Queued::Execution(_) | Queued::Outbox(_) | Queued::Inbox(_)
            )
        };
        if steps.iter().all(is_conditional) {
            return Ok(());
        }
        if let Some(step) = steps.iter().find(|step| !matches!(step.queued(), Queued::Blind(_))) {
            return Err(not_queueable(step));
        }
        if one_server {
            return Ok(());
        }
        self.anchor.check(steps.iter().map(|step| (key(&self.prefixes.payloads, step.id()), step.id())))
    }

    /// Collects a step. If it has to ask what is stored, it does so over `on`.
    async fn collect<S: Servers>(
        &mut self,
        one_server: bool,
        step: &Step,
        on: impl Future<Output = Result<S>>,
    ) -> Result<Reply> {
        match step.queued() {
            Queued::Blind(write) => {
                self.check(one_server, slice::from_ref(step))?;
                self.anchor.keep(&key(&self.prefixes.payloads, step.id()));
                self.blind.push(Change::Payload(own(write)));
            }
            Queued::Conditional(write) => {
                let on = on.await?;
                let planned = States { on: &on, prefix: &self.prefixes.states }.plan(write).await?;
                if let Some(planned) = planned {
                    let keys = planned.places(&self.prefixes.states);
                    self.add(one_server, write.id(), &keys, Change::State(planned))?;
                }
            }
            Queued::Execution(write) => {
                // It is judged by what is stored, which the change before is not yet.
                if self.executions.contains(write.id()) {
                    return Err(changed_twice(write.id()));
                }
                let on = on.await?;
                let (reply, planned) = Executions { on: &on, prefix: &self.prefixes.executions }.plan(write).await?;
                if let Some(planned) = planned {
                    let keys = planned.places(&self.prefixes.executions);
                    self.add(one_server, write.id(), &keys, Change::Execution(planned))?;
                    self.executions.insert(write.id().into());
                }
                return Ok(reply);
            }
            Queued::Outbox(insertion) => {
                let anchor = outbox::keys::anchor(&self.prefixes.outbox);
                self.check_slot(one_server, &anchor, step.subject())?;
                let planned = PlannedEvents::of(insertion, &self.prefixes.outbox, &mut self.events)?;
                if let Some(planned) = planned {
                    self.anchor.keep(&anchor);
                    self.conditional.push(Change::Outbox(planned));
                }
                return Ok(listed(Vec::new()));
            }
            Queued::Inbox(write) => return self.collect_entry(one_server, write, on).await,
            Queued::No => return Err(not_queueable(step)),
        }
        Ok(Reply::Done)
    }

    fn check_slot(&self, one_server: bool, key: &Bytes, id: &str) -> Result<()> {
        if one_server { Ok(()) } else { self.anchor.check([(key.clone(), id)]) }
    }

    /// Collects a change of the inbox.
    async fn collect_entry<S: Servers>(
        &mut self,
        one_server: bool,
        write: &InboxWrite,
        on: impl Future<Output = Result<S>>,
    ) -> Result<Reply> {
        let (entry, accepts) = match write {
            InboxWrite::Accept { entry, .. } => (entry, true),
            InboxWrite::Forget { entry } => (entry, false),
            InboxWrite::Cleanup { .. } => return Err(error::unexpected()),
        };
        let key = inbox::key(&self.prefixes.inbox, entry);
        let is_accepted = |change: &Change| matches!(change, Change::Inbox(InboxWrite::Accept { entry: known, .. }) if known == entry);
        if accepts && self.conditional.iter().any(is_accepted) {
            // It is not new to this transaction.
            return Ok(Reply::Flag(false));
        }
        let existed = accepts || inbox::is_there(&on.await?, &self.prefixes.inbox, entry).await?;
        self.add(one_server, &entry.message, &[key], Change::Inbox(write.clone()))?;
        Ok(Reply::Flag(existed))
    }

    /// Takes a change with conditions, and its keys.
    fn add(&mut self, one_server: bool, id: &str, keys: &[Bytes], change: Change) -> Result<()> {
        if keys.iter().any(|key| self.keys.contains(key)) {
            return Err(changed_twice(id));
        }
        if !one_server {
            self.anchor.check(keys.iter().map(|key| (key.clone(), id)))?;
        }
        if let Some(first) = keys.first() {
            self.anchor.keep(first);
        }
        self.keys.extend(keys.iter().cloned());
        self.conditional.push(change);
        Ok(())
    }

    /// Has everything happen, or nothing.
    async fn commit<S: Servers>(&self, on: impl Future<Output = Result<S>>) -> Result<()> {
        if self.conditional.is_empty() && self.blind.is_empty() {
            return Ok(());
        }
        let on = on.await?;
        if self.conditional.iter().chain(&self.blind).any(Change::expires) {
            on.keep_time().await?;
        }
        let (now, shift) = (Millis::now(), on.clock().known_shift());
        let mut script = CommitScript::default();
        // Up to which condition they are a change's.
        let mut ends = Vec::with_capacity(self.conditional.len());
        for change in &self.conditional {
            change.join(&self.prefixes, now, shift, &mut script);
            ends.push(script.conditions());
        }
        for change in &self.blind {
            change.join(&self.prefixes, now, shift, &mut script);
        }
        if self.conditional.is_empty() {
            return committed(&self.blind, on.transact(script.requests()).await?);
        }
        match finished(on.transact(vec![script.request()?]).await?)? {
            0 => Ok(()),
            condition => {
                let at = ends.iter().position(|end| condition <= *end);
                let change = at.and_then(|at| self.conditional.get(at)).ok_or_else(error::unexpected)?;
                Err(change.refusal(&self.prefixes, &on).await)
            }
        }
    }
}

/// In memory of its own: the caller's buffer is the caller's again once the put is answered.
fn own(write: &Write) -> Write {
    match write {
        Write::Put { id, data, expires_at } => {
            Write::Put { id: id.clone(), data: Bytes::copy_from_slice(data), expires_at: *expires_at }
        }
        other => other.clone(),
    }
}

/// A transaction that is sent at its end. `S` is what a channel to the servers is made of: the connections of the
/// store's own, or, beside the client that each call brings, the clock of the servers behind it.
pub(super) struct QueuedTransaction<S> {
    servers: S,
    changes: Changes,
}

impl<S> QueuedTransaction<S> {
    pub(super) fn new(servers: S, prefixes: Prefixes) -> Self {
        Self { servers, changes: Changes::new(prefixes) }
    }
}

/// On the connection of all other operations: what they have sent comes before.
impl Transaction for QueuedTransaction<Arc<Connector>> {
    fn check(&self, steps: &[Step]) -> Result<()> {
        self.changes.check(self.servers.one_server(), steps)
    }

    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        let Self { servers, changes } = self;
        Box::pin(changes.collect(servers.one_server(), step, OwnChannel::of(servers)))
    }

    fn commit(self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(async move { self.changes.commit(OwnChannel::of(&self.servers)).await })
    }

    fn roll_back(self: Box<Self>) -> Task<'static, ()> {
        Box::pin(async {})
    }
}

impl UnitOfWork for QueuedTransaction<Arc<Clock>> {
    fn check(&self, on: &Client, steps: &[Step]) -> Result<()> {
        self.changes.check(on.facts().one_server, steps)
    }

    fn run<'a>(&'a mut self, on: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>> {
        let Self { servers, changes } = self;
        Box::pin(changes.collect(on.facts().one_server, step, ready(Ok(ClientChannel::new(on, servers)))))
    }

    fn commit<'a>(&'a mut self, on: &'a Client) -> Task<'a, Result<()>> {
        Box::pin(self.changes.commit(ready(Ok(ClientChannel::new(on, &self.servers)))))
    }
}

/// What the script answers that EXEC has run.
fn finished(replies: Option<Answers>) -> Result<usize> {
    let reply = replies.ok_or_else(error::conflict)?;
    let [reply] = <[_; 1]>::try_from(reply).map_err(|_| error::unexpected())?;
    reply?.as_i64().and_then(|at| usize::try_from(at).ok()).ok_or_else(error::unexpected)
}

/// Whether all changes have happened, of what EXEC answered.
fn committed(changes: &[Change], replies: Option<Answers>) -> Result<()> {
    let replies = replies.ok_or_else(error::conflict)?;
    if replies.len() != changes.len() {
        return Err(error::unexpected());
    }
    let judged = changes.iter().zip(replies).map(|(change, reply)| change.judge(reply));
    let failed: Vec<_> = judged.filter_map(Result::err).collect();
    match failed.first() {
        None => Ok(()),
        // None of them has happened.
        Some(first) if failed.len() == changes.len() => Err(first.clone()),
        Some(first) => Err(error::partly(first)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn changes() -> Vec<Change> {
        let put = Write::Put { id: "a".into(), data: Bytes::new(), expires_at: None };
        [put, Write::Delete { id: "b".into() }].map(Change::Payload).into()
    }

    #[test]
    fn exec_has_to_answer_every_command() {
        let ok = || Ok(Value::from("OK"));
        assert!(committed(&changes(), Some(vec![ok(), Ok(Value::Integer(0))])).is_ok());
        let error = committed(&changes(), None).unwrap_err();
        assert!(error.is_retryable() && error.message().contains("watched key"), "{error:?}");
        for replies in [vec![], vec![ok()], vec![ok(), ok()], vec![Ok(Value::Queued), Ok(Value::Integer(1))]] {
            assert!(committed(&changes(), Some(replies.clone())).is_err(), "{replies:?}");
        }
        assert_eq!(finished(Some(vec![Ok(Value::Integer(2))])).unwrap(), 2);
        assert!(finished(None).unwrap_err().is_retryable());
        for replies in [vec![], vec![ok()], vec![Ok(Value::Integer(0)), Ok(Value::Integer(0))]] {
            assert!(finished(Some(replies.clone())).is_err(), "{replies:?}");
        }
    }

    #[test]
    fn a_failed_command_says_whether_the_others_have_happened() {
        let failed = || Err(Error::new(Kind::Backend, "no memory"));
        let error = committed(&changes(), Some(vec![failed(), Ok(Value::Integer(0))])).unwrap_err();
        assert!(error.message().contains("part of it may have happened"), "{error:?}");
        let error = committed(&changes(), Some(vec![failed(), failed()])).unwrap_err();
        assert_eq!(error.message(), "no memory");
    }
}
