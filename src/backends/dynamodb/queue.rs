//! Changes that are kept here and sent together at the end: the store's own transaction, on its own connections
//! ([`super::transaction`]) and on a client of the application ([`super::guest`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::changes::{Change, Planned};
use super::channel::Channel;
use super::clock::Clock;
use super::config::Tables;
use super::error::canceled_item;
use super::load::Load;
use super::outbox::queued::LastPlaces;
use super::plan;
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::Operation;
use crate::contract::states::changed_twice;
use crate::contract::step::{Queued, Reply, Step, not_queueable};
use crate::error::{Error, Result};

/// Changes that nobody has sent yet. Of changes without a condition, the last one of each item.
///
/// It does not hold its channel: a client of the application is lent for one operation at a time.
pub(super) struct Queue {
    tables: Arc<Tables>,
    clock: Arc<Clock>,
    planned: Vec<Planned>,
    load: Load,
    /// The ids of executions that are changed.
    executions: HashSet<Box<str>>,
}

impl Queue {
    pub(super) fn new(tables: Arc<Tables>, clock: Arc<Clock>) -> Self {
        Self { tables, clock, planned: Vec::new(), load: Load::default(), executions: HashSet::new() }
    }

    /// The tables.
    pub(super) fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// The server's clock beside ours.
    pub(super) fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Adds what a step changes: all of it, or nothing. The channel is opened only for a step with conditions.
    pub(super) async fn add<C: Channel>(
        &mut self,
        channel: impl Future<Output = Result<C>> + Send,
        step: &Step,
    ) -> Result<Reply> {
        match step.queued() {
            Queued::Blind(write) => {
                let change = plan::copy_of(write, &self.tables, &self.clock)?;
                self.add_blind(change)?;
            }
            Queued::Conditional(write) => {
                let on = channel.await?;
                plan::list_name(&on, write).await?;
                let planned = plan::conditional(&on, write).await?;
                self.add_conditional(planned, step.id())?;
            }
            Queued::Execution(write) => {
                // It is judged by what is stored, which the change before is not yet.
                if self.executions.contains(write.id()) {
                    return Err(changed_twice(write.id()));
                }
                let (planned, reply) = plan::execution(&channel.await?, write).await?;
                self.add_conditional(planned, step.id())?;
                self.executions.insert(write.id().into());
                return Ok(reply);
            }
            Queued::Outbox(insertion) => {
                let last = if plan::insertion_needs_a_look(insertion) {
                    plan::last_places(&channel.await?, &plan::keys_of(insertion)).await?
                } else {
                    LastPlaces::new()
                };
                let planned = plan::insertion_behind(insertion, &last, &self.tables, &self.clock)?;
                self.add_once(planned, step.subject())?;
                return Ok(Reply::Value(Dynamic::List(Vec::new())));
            }
            Queued::Inbox(write) => {
                let (planned, reply) = plan::message(write, &self.tables, &self.clock)?;
                self.add_once(planned, step.subject())?;
                return Ok(reply);
            }
            Queued::No => return Err(not_queueable(step)),
        }
        Ok(Reply::Done)
    }

    fn add_blind(&mut self, change: Change) -> Result<()> {
        let place = self.place_of(&change);
        self.load = self.load.with(&change, place.map(|place| self.planned[place].change.size()))?;
        match place {
            Some(place) => self.planned[place].change = change,
            None => self.planned.push(Planned { change, refused: None }),
        }
        Ok(())
    }

    /// Adds changes of items that nothing in the transaction is about.
    fn add_once(&mut self, planned: Vec<Planned>, id: &str) -> Result<()> {
        let is_known = |new: &&Planned| self.planned.iter().any(|known| known.change.has_item_of(&new.change));
        match planned.iter().find(is_known) {
            Some(twice) => Err(plan::twice(twice, id)),
            None => self.add_conditional(planned, id),
        }
    }

    fn add_conditional(&mut self, planned: Vec<Planned>, id: &str) -> Result<()> {
        let mut load = self.load;
        for Planned { change, .. } in &planned {
            if self.planned.iter().any(|known| known.refused.is_some() && known.change.has_item_of(change)) {
                return Err(changed_twice(id));
            }
            load = load.with_size(change.size(), None).map_err(|error| error.with_id(id))?;
        }
        self.load = load;
        self.planned.extend(planned);
        Ok(())
    }

    /// Where a change without a condition stands that is about the same item.
    fn place_of(&self, change: &Change) -> Option<usize> {
        self.planned.iter().position(|known| known.refused.is_none() && known.change.has_item_of(change))
    }

    /// Whether all of the steps of a call have room, before the first of them is added.
    pub(super) fn check(&self, steps: &[Step]) -> Result<()> {
        let mut load = self.load;
        // Of ids that the call itself has come by.
        let mut sizes: HashMap<&str, u64> = HashMap::with_capacity(steps.len());
        for step in steps {
            let write = match step.queued() {
                Queued::Blind(write) => write,
                // A call has one such step, and `add` looks whether there is room for it.
                Queued::Conditional(_) | Queued::Execution(_) | Queued::Outbox(_) | Queued::Inbox(_) => continue,
                Queued::No => return Err(not_queueable(step)),
            };
            let change = plan::change_of(write, &self.tables, &self.clock)?;
            let kept = self.place_of(&change).map(|place| self.planned[place].change.size());
            let instead_of = sizes.insert(step.id(), change.size()).or(kept);
            load = load.with(&change, instead_of)?;
        }
        Ok(())
    }

    /// Has everything happen, or nothing. The channel is opened only if there is something to send.
    pub(super) async fn send<C: Channel>(&self, channel: impl Future<Output = Result<C>> + Send) -> Result<()> {
        if self.planned.is_empty() {
            return Ok(());
        }
        let on = channel.await?;
        let changes = self.planned.iter().map(|planned| planned.change.clone()).collect();
        let Err(failure) = on.transact(changes).await else { return Ok(()) };
        let failed = canceled_item(&failure.error).and_then(|place| self.planned.get(place));
        Err(match failed {
            Some(Planned { refused: Some(refused), .. }) if failure.is_met() => {
                if failure.error.is_retryable() {
                    failure.error
                } else {
                    plan::refusal(&on, refused).await
                }
            }
            Some(Planned { change, .. }) => with_id_of(failure.error, change),
            None => failure.error,
        })
    }
}

fn with_id_of(error: Error, change: &Change) -> Error {
    match change.id() {
        Some(id) => error.with_id(id),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;

    use super::*;
    use crate::backends::dynamodb::config::KnownNames;
    use crate::backends::dynamodb::expression;
    use crate::backends::dynamodb::payloads::item;
    use crate::backends::dynamodb::session::Session;
    use crate::contract::operation::Work;
    use crate::contract::payloads::{Read, Write};
    use crate::error::Kind;
    use crate::time::Millis;

    fn empty() -> Queue {
        let tables = Tables {
            payloads: String::from("orders"),
            states: String::from("sagas"),
            executions: String::from("runs"),
            outbox: "outbox".into(),
            inbox: "inbox".into(),
            known: KnownNames::default(),
        };
        Queue::new(Arc::new(tables), Arc::default())
    }

    /// Adds a step that needs no channel.
    fn keep(queue: &mut Queue, step: &Step) -> Result<Reply> {
        let never = async { unreachable!() };
        let added = std::pin::pin!(queue.add::<Session<'_>>(never, step));
        let Poll::Ready(added) = added.poll(&mut Context::from_waker(Waker::noop())) else { unreachable!() };
        added
    }

    fn changes(queue: &Queue) -> Vec<Change> {
        queue.planned.iter().map(|planned| planned.change.clone()).collect()
    }

    fn put(id: &str, data: &'static [u8]) -> Step {
        Step::Payload(Work::Write(Write::Put { id: id.into(), data: Bytes::from_static(data), expires_at: None }))
    }

    fn delete(id: &str) -> Step {
        Step::Payload(Work::Write(Write::Delete { id: id.into() }))
    }

    #[test]
    fn the_last_write_of_an_id_is_the_one_that_is_sent() {
        let mut transaction = empty();
        for step in
            [put("a", b"1"), put("b", b"1"), put("a", b"22"), delete("b"), put("c", b""), delete("c"), put("c", b"3")]
        {
            assert_eq!(keep(&mut transaction, &step).unwrap(), Reply::Done);
        }
        let stored =
            |id: &str, data: &'static [u8]| Change::put("orders", item::encode(id, &Bytes::from_static(data), None));
        let expected = [stored("a", b"22"), Change::delete("orders", expression::key("b")), stored("c", b"3")];
        assert_eq!(changes(&transaction), expected);
        let load = Load { items: 3, bytes: expected.iter().map(Change::size).sum() };
        assert_eq!(transaction.load, load);
        for step in [
            Step::Payload(Work::Write(Write::Touch { id: "a".into(), expires_at: Millis(1) })),
            Step::Payload(Work::Read(Read::Find { id: "a".into() })),
            Step::Payload(Work::Read(Read::Has { id: "a".into() })),
        ] {
            assert_eq!(keep(&mut transaction, &step).unwrap_err().kind(), Kind::Unsupported, "{step:?}");
        }
        assert_eq!(transaction.load, load);
    }

    #[test]
    fn a_refused_write_leaves_what_was_there() {
        let mut transaction = empty();
        for n in 0..100 {
            keep(&mut transaction, &put(&n.to_string(), b"x")).unwrap();
        }
        assert_eq!(keep(&mut transaction, &put("100", b"x")).unwrap_err().kind(), Kind::InvalidArgument);
        assert_eq!(keep(&mut transaction, &delete("99")).unwrap(), Reply::Done);
        assert_eq!(transaction.planned.len(), 100);
    }

    #[test]
    fn a_call_is_queued_as_a_whole_or_not_at_all() {
        let mut transaction = empty();
        for n in 0..98 {
            keep(&mut transaction, &put(&n.to_string(), b"x")).unwrap();
        }
        assert!(transaction.check(&[put("a", b"x"), put("b", b"x")]).is_ok());
        // Those that are there already, or twice in the call, take no room of their own.
        assert!(transaction.check(&[put("a", b"x"), put("7", b"yy"), put("a", b"z"), put("b", b"x")]).is_ok());
        let error = transaction.check(&[put("a", b"x"), put("b", b"x"), put("c", b"x")]).unwrap_err();
        assert_eq!((error.kind(), error.id()), (Kind::InvalidArgument, Some("c")));
        let read = Step::Payload(Work::Read(Read::Has { id: "0".into() }));
        assert_eq!(transaction.check(&[put("a", b"x"), read]).unwrap_err().kind(), Kind::Unsupported);
        assert_eq!(transaction.planned.len(), 98);
    }

    #[test]
    fn the_size_of_a_call_is_that_of_what_it_leaves() {
        static LARGE: [u8; 400_000] = [0; 400_000];
        let mut transaction = empty();
        for n in 0..9 {
            keep(&mut transaction, &put(&n.to_string(), &LARGE)).unwrap();
        }
        assert!(transaction.check(&[put("a", &LARGE), put("a", &LARGE), put("0", &LARGE)]).is_ok());
        let error = transaction.check(&[put("a", &LARGE), put("b", &LARGE)]).unwrap_err();
        assert_eq!((error.kind(), error.id()), (Kind::PayloadTooLarge, Some("b")));
        assert!(transaction.check(&[delete("0"), put("a", &LARGE), put("b", &LARGE)]).is_ok());
    }
}
