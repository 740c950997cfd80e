//! A transaction of the store's own: collected here, sent as MULTI and EXEC at the end; with saga state
//! in it the end is one script, which looks whether it may do all of it. The same on a connection of the
//! store's own and on a client of the application.

use std::sync::Arc;

use bytes::Bytes;
use fred::prelude::Value;

use super::channel::{Answers, Own, Servers};
use super::command::Request;
use super::error;
use super::payloads::{answer_write, expiry, key, queued};
use super::shared::{Connector, keep_time};
use super::slot::Anchor;
use super::states::queued::Planned;
use super::states::scripts::{Finale, number_of};
use super::states::{Pipe, States};
use crate::contract::operation::Operation;
use crate::contract::operation::Work;
use crate::contract::payloads::Write;
use crate::contract::states::{StateWrite, changed_twice};
use crate::contract::step::{Queued, Reply, Step, not_queueable};
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::runtime::Task;
use crate::time::Millis;

/// Where a transaction goes.
pub(super) trait Transact: Pipe {
    /// Whether all keys of a transaction have to be in one slot.
    fn is_cluster(&self) -> bool;

    /// Sends commands as MULTI and EXEC; the reply to each, or none if a key that is watched has changed.
    fn transact(&self, requests: Vec<Request>) -> impl Future<Output = Result<Option<Answers>>> + Send;
}

/// Changes that have not been sent. Nothing is to be undone before the commit.
pub(super) struct Collected {
    prefix: String,
    states_prefix: String,
    anchor: Anchor,
    writes: Vec<Write>,
    states: Vec<Planned>,
}

impl Collected {
    pub(super) fn new(prefix: String, states_prefix: String) -> Self {
        let (writes, states) = (Vec::new(), Vec::new());
        Self { prefix, states_prefix, anchor: Anchor::default(), writes, states }
    }

    pub(super) fn check(&self, is_cluster: bool, steps: &[Step]) -> Result<()> {
        // A change of saga state, of which a call has one, looks for its keys itself.
        if steps.iter().all(|step| matches!(step.queued(), Queued::Conditional(_))) {
            return Ok(());
        }
        if let Some(step) = steps.iter().find(|step| !matches!(step.queued(), Queued::Blind(_))) {
            return Err(not_queueable(step));
        }
        if is_cluster { self.anchor.check(&self.prefix, steps) } else { Ok(()) }
    }

    /// A step that needs no answer.
    pub(super) fn collect(&mut self, is_cluster: bool, step: &Step) -> Result<Reply> {
        self.check(is_cluster, std::slice::from_ref(step))?;
        let Step::Payload(Work::Write(write)) = step else { return Err(not_queueable(step)) };
        self.anchor.keep(&key(&self.prefix, step.id()));
        self.writes.push(match write {
            Write::Put { id, data, expires_at } => Write::Put {
                id: id.clone(),
                // A copy: the caller's buffer is its own again once the put is answered.
                data: Bytes::copy_from_slice(data),
                expires_at: *expires_at,
            },
            other => other.clone(),
        });
        Ok(Reply::Done)
    }

    /// A change of saga state, of which is asked now what it needs to know.
    pub(super) async fn collect_state(&mut self, on: &impl Transact, write: &StateWrite) -> Result<Reply> {
        let Some(planned) = (States { on, prefix: &self.states_prefix }).plan(write).await? else {
            return Ok(Reply::Done);
        };
        let places = planned.places(&self.states_prefix);
        let mut known = self.states.iter().flat_map(|known| known.places(&self.states_prefix));
        if known.any(|known| places.contains(&known)) {
            return Err(changed_twice(write.id()));
        }
        if on.is_cluster() {
            self.anchor.check_keys(places.iter().map(|place| (place.clone(), write.id())))?;
            self.anchor.keep(&places[0]);
        }
        self.states.push(planned);
        Ok(Reply::Done)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.states.is_empty()
    }

    /// Whether the servers' time matters.
    pub(super) fn has_expiry(&self) -> bool {
        self.writes.iter().any(|write| expiry(write).is_some())
    }

    /// Has everything happen, or nothing. `shift` is what to add to our time to have the servers'.
    pub(super) async fn send(&self, on: &impl Transact, shift: Option<i64>) -> Result<()> {
        let now = Millis::now();
        let requests = self.writes.iter().filter_map(|write| queued(write, &self.prefix, now, shift)).collect();
        if self.states.is_empty() {
            return committed(&self.writes, on.transact(requests).await?);
        }
        let mut script = Finale::default();
        // Up to which condition they are a change's.
        let mut ends = Vec::with_capacity(self.states.len());
        for planned in &self.states {
            planned.join(&self.states_prefix, &mut script);
            ends.push(script.conditions());
        }
        script.then(requests);
        match finished(on.transact(vec![script.request()?]).await?)? {
            0 => Ok(()),
            condition => {
                let change = ends.iter().position(|end| condition <= *end);
                let planned = change.and_then(|change| self.states.get(change)).ok_or_else(error::unexpected)?;
                Err(States { on, prefix: &self.states_prefix }.refusal(planned).await)
            }
        }
    }
}

/// On a connection of the store's own.
pub(super) struct OnOwn {
    shared: Arc<Connector>,
    collected: Collected,
}

impl OnOwn {
    pub(super) fn new(shared: Arc<Connector>, collected: Collected) -> Self {
        Self { shared, collected }
    }

    async fn send(self) -> Result<()> {
        if self.collected.is_empty() {
            return Ok(());
        }
        // The connection of all other operations: what they have sent comes before.
        let own = Own::of(&self.shared).await?;
        let clock = own.connection.clock();
        if self.collected.has_expiry() {
            keep_time(&own.connection).await;
        }
        self.collected.send(&own, clock.known_shift()).await
    }
}

impl Pipe for Own<'_> {
    async fn pipe(&self, requests: Vec<Request>) -> Result<Answers> {
        self.run(requests).await
    }
}

impl Transact for Own<'_> {
    fn is_cluster(&self) -> bool {
        self.shared.is_cluster()
    }

    async fn transact(&self, requests: Vec<Request>) -> Result<Option<Answers>> {
        match self.shared.transact(&self.connection, requests).await? {
            Value::Null => Ok(None),
            Value::Array(replies) => Ok(Some(replies.into_iter().map(Ok).collect())),
            _ => Err(error::unexpected()),
        }
    }
}

impl Transaction for OnOwn {
    fn check(&self, steps: &[Step]) -> Result<()> {
        self.collected.check(self.shared.is_cluster(), steps)
    }

    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            match step.queued() {
                Queued::Conditional(write) => self.collected.collect_state(&Own::of(&self.shared).await?, write).await,
                Queued::Blind(_) | Queued::No => self.collected.collect(self.shared.is_cluster(), step),
            }
        })
    }

    fn commit(self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(self.send())
    }

    fn roll_back(self: Box<Self>) -> Task<'static, ()> {
        Box::pin(async {})
    }
}

/// What the script answers that EXEC has run.
fn finished(replies: Option<Answers>) -> Result<usize> {
    let mut replies = replies.ok_or_else(error::conflict)?;
    match (replies.pop(), replies.is_empty()) {
        (Some(reply), true) => usize::try_from(number_of(reply)?).map_err(|_| error::unexpected()),
        _ => Err(error::unexpected()),
    }
}

/// Whether all writes have happened, of what EXEC answered.
fn committed(writes: &[Write], replies: Option<Answers>) -> Result<()> {
    let replies = replies.ok_or_else(error::conflict)?;
    if replies.len() != writes.len() {
        return Err(error::unexpected());
    }
    let answers = writes.iter().zip(replies).map(|(write, reply)| answer_write(write, reply));
    let failed: Vec<_> = answers.filter_map(Result::err).collect();
    match failed.first() {
        None => Ok(()),
        // None of them has happened.
        Some(first) if failed.len() == writes.len() => Err(first.clone()),
        Some(first) => Err(error::partly(first)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    fn writes() -> Vec<Write> {
        let put = Write::Put { id: "a".into(), data: Bytes::new(), expires_at: None };
        vec![put, Write::Delete { id: "b".into() }]
    }

    #[test]
    fn exec_has_to_answer_every_command() {
        let ok = || Ok(Value::from("OK"));
        assert!(committed(&writes(), Some(vec![ok(), Ok(Value::Integer(0))])).is_ok());
        let error = committed(&writes(), None).unwrap_err();
        assert!(error.is_retryable() && error.message().contains("watched key"), "{error:?}");
        for replies in [vec![], vec![ok()], vec![ok(), ok()], vec![Ok(Value::Queued), Ok(Value::Integer(1))]] {
            assert!(committed(&writes(), Some(replies.clone())).is_err(), "{replies:?}");
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
        let error = committed(&writes(), Some(vec![failed(), Ok(Value::Integer(0))])).unwrap_err();
        assert!(error.message().contains("part of it may have happened"), "{error:?}");
        let error = committed(&writes(), Some(vec![failed(), failed()])).unwrap_err();
        assert_eq!(error.message(), "no memory");
    }
}
