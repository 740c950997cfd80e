//! Leases of events: one renewal for each claim, whose events have one token.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Held, Lease, Told};
use crate::contract::operation::Work;
use crate::contract::operations::Call;
use crate::contract::outbox::{Held as HeldEvent, OutboxWrite, Outcome, Settlement};
use crate::contract::settings::Settings;
use crate::contract::step::Step;
use crate::error::Result;
use crate::store::Store;

/// Is told which events are lost; of none, once no event is to be renewed any more.
pub type OnLost = Box<dyn FnOnce(Vec<String>) + Send>;

/// What is held of one claim.
#[derive(Default)]
pub(in crate::store) struct EventsLease {
    ids: HashSet<Box<str>>,
    /// Lost, and nobody was told so far.
    lost: Vec<String>,
    on_lost: Option<OnLost>,
}

impl EventsLease {
    fn told(&mut self) -> Option<Told> {
        if self.lost.is_empty() && !self.ids.is_empty() {
            return None;
        }
        let on_lost = self.on_lost.take()?;
        let lost = std::mem::take(&mut self.lost);
        Some(Box::new(move || on_lost(lost)))
    }

    /// Holds these as well, and tells this one.
    fn keep(&mut self, ids: Vec<String>, on_lost: OnLost) -> Vec<Told> {
        let before = self.on_lost.replace(on_lost);
        for id in ids {
            if !self.lost.contains(&id) {
                self.ids.insert(id.into());
            }
        }
        let before = before.map(|before| Box::new(move || before(Vec::new())) as Told);
        before.into_iter().chain(self.told()).collect()
    }

    /// Holds these no more.
    fn drop_ids(&mut self, ids: &[String]) -> Option<Told> {
        for id in ids {
            self.ids.remove(&**id);
        }
        self.lost.retain(|lost| !ids.contains(lost));
        self.told()
    }
}

impl Lease for EventsLease {
    /// The token.
    type Key = Box<str>;
    type Request = (Box<str>, Vec<Box<str>>, u64);
    const CALL: Call = Call::OutboxExtend;

    fn requests(held: &HashMap<Self::Key, Held<Self>>) -> Vec<Self::Request> {
        let held = held.iter().filter(|(_, held)| held.what.holds());
        held.map(|(token, held)| (token.clone(), held.what.ids.iter().cloned().collect(), held.lease_ms())).collect()
    }

    fn keys((token, ..): &Self::Request) -> Vec<Self::Key> {
        vec![token.clone()]
    }

    fn step((token, ids, lease_ms): &Self::Request, settings: &Settings) -> Step {
        let held = ids.iter().map(|id| HeldEvent { id: id.clone(), token: token.clone() }).collect();
        let settlement = Settlement { held, outcome: Outcome::Extended(*lease_ms), terms: settings.outbox };
        Step::Outbox(Work::Write(OutboxWrite::Settle(Box::new(settlement))))
    }

    /// Those that were dropped meanwhile are lost for nobody.
    fn lose(&mut self, _: &Self::Key, lost: &[String]) -> Option<Told> {
        if lost.is_empty() {
            return None;
        }
        let ids = &mut self.ids;
        self.lost.extend(lost.iter().filter(|id| ids.remove(&***id)).cloned());
        self.told()
    }

    fn end(&mut self, _why: Option<&'static str>) -> Option<Told> {
        self.lost.extend(self.ids.drain().map(String::from));
        self.told()
    }

    fn holds(&self) -> bool {
        !self.ids.is_empty()
    }

    fn is_over(&self) -> bool {
        self.ids.is_empty() && self.lost.is_empty()
    }
}

impl Store {
    /// Renews the lease of events from now on: they were claimed, or renewed, just now, with this token. Where events of
    /// the token are held already, these come in addition, with their times; whoever was to be told of those is told of
    /// nothing.
    pub fn keep_events(
        self: &Arc<Self>,
        token: &str,
        ids: Vec<String>,
        lease: Duration,
        on_lost: OnLost,
    ) -> Result<()> {
        self.check_open()?;
        self.own()?;
        let key: Box<str> = token.into();
        let mut state = self.event_leases.lock();
        let held = state.held.entry(key.clone()).or_insert_with(|| Held::new(EventsLease::default(), lease));
        let told = held.what.keep(ids, on_lost);
        if held.what.is_over() {
            state.held.remove(&key);
        }
        self.serve(&self.event_leases, state)?;
        super::tell(told);
        Ok(())
    }

    /// Renews these no more.
    pub fn drop_events(&self, token: &str, ids: &[String]) {
        self.event_leases.change(&token.into(), |held| held.drop_ids(ids));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::super::Leases;
    use super::*;
    use crate::error::{Error, Kind};

    type Told = mpsc::Receiver<Vec<String>>;

    fn texts(ids: &[&str]) -> Vec<String> {
        ids.iter().copied().map(str::to_owned).collect()
    }

    fn listener() -> (OnLost, Told) {
        let (tell, told) = mpsc::channel();
        (Box::new(move |lost| tell.send(lost).unwrap()), told)
    }

    fn held(lease: Duration) -> (Leases<EventsLease>, Told, <EventsLease as Lease>::Request) {
        let (on_lost, told) = listener();
        let mut what = EventsLease::default();
        assert!(what.keep(texts(&["a", "b"]), on_lost).is_empty());
        let now = Instant::now();
        let leases = Leases::default();
        leases.lock().held.insert("t".into(), Held { lease, due: now, until: now + lease, what });
        let request = EventsLease::requests(&leases.lock().held).remove(0);
        (leases, told, request)
    }

    #[test]
    fn all_events_of_a_claim_are_one_request() {
        let (_, _, (token, mut ids, lease_ms)) = held(Duration::from_secs(30));
        ids.sort();
        assert_eq!((&*token, lease_ms), ("t", 30_000));
        assert_eq!(ids, ["a", "b"].map(Box::<str>::from));
    }

    #[test]
    fn a_lost_event_is_told_and_the_others_are_renewed() {
        let (leases, told, request) = held(Duration::from_secs(30));
        leases.renewed(&request, Instant::now(), &Ok(texts(&["a"])));
        assert_eq!(told.try_recv().unwrap(), ["a"]);
        assert_eq!(EventsLease::requests(&leases.lock().held)[0].1, [Box::<str>::from("b")]);
    }

    #[test]
    fn what_is_lost_while_nobody_listens_is_told_to_the_next_one() {
        let (leases, told, request) = held(Duration::from_secs(30));
        leases.renewed(&request, Instant::now(), &Ok(texts(&["a"])));
        leases.renewed(&request, Instant::now(), &Ok(texts(&["b"])));
        assert_eq!((told.try_recv().unwrap(), told.try_recv().is_err()), (texts(&["a"]), true));
        // Nothing is renewed any more, and nothing is due.
        assert_eq!(leases.next(), None);
        let (on_lost, next) = listener();
        leases.change(&"t".into(), |held| held.keep(texts(&["b"]), on_lost).pop());
        assert_eq!(next.try_recv().unwrap(), ["b"]);
        assert!(leases.lock().held.is_empty());
    }

    #[test]
    fn what_was_dropped_meanwhile_is_lost_for_nobody() {
        let (leases, told, request) = held(Duration::from_secs(30));
        leases.change(&"t".into(), |held| held.drop_ids(&texts(&["a"])));
        leases.renewed(&request, Instant::now(), &Ok(texts(&["a"])));
        assert!(told.try_recv().is_err() && leases.next().is_some());
        leases.change(&"t".into(), |held| held.drop_ids(&texts(&["b"])));
        assert_eq!(told.try_recv().unwrap(), texts(&[]));
        assert!(leases.lock().held.is_empty());
    }

    #[test]
    fn without_an_answer_events_are_lost_when_their_time_is_over() {
        let failed = || Err(Error::new(Kind::Connection, "gone"));
        let (leases, told, request) = held(Duration::from_secs(30));
        leases.renewed(&request, Instant::now(), &failed());
        assert!(told.try_recv().is_err() && leases.next().is_some());
        let (leases, told, request) = held(Duration::ZERO);
        leases.renewed(&request, Instant::now(), &failed());
        let mut lost = told.try_recv().unwrap();
        lost.sort();
        assert_eq!(lost, ["a", "b"]);
        assert!(leases.lock().held.is_empty());
    }

    #[test]
    fn the_end_of_the_store_ends_all() {
        let (leases, told, _) = held(Duration::from_secs(30));
        leases.end_all();
        assert_eq!(told.try_recv().unwrap().len(), 2);
    }
}
