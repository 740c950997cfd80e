//! Leases of executions: one renewal for all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Held, Lease, Told};
use crate::contract::executions::{ExecutionWrite, Renewal};
use crate::contract::operation::Work;
use crate::contract::operations::Call;
use crate::contract::settings::Settings;
use crate::contract::step::Step;
use crate::error::Result;
use crate::store::Store;

/// Is told why a lease is lost; nothing, once it is not to be renewed any more.
pub type OnEnd = Box<dyn FnOnce(Option<String>) + Send>;

/// The lease of an execution.
pub(in crate::store) struct ExecutionLease(Option<OnEnd>);

impl Lease for ExecutionLease {
    /// Saga id and token.
    type Key = (Box<str>, Box<str>);
    type Request = Vec<Renewal>;
    const CALL: Call = Call::ExecutionHeartbeat;

    /// All of them, but of one saga only the lease that is due first. The answer names sagas, and an earlier lease that
    /// is lost must not end the one that came after it.
    fn requests(held: &HashMap<Self::Key, Held<Self>>) -> Vec<Vec<Renewal>> {
        // By saga: the token of the lease that is due first.
        let mut first: HashMap<&str, (&str, &Held<Self>)> = HashMap::with_capacity(held.len());
        for ((id, token), held) in held {
            let earliest = first.entry(&**id).or_insert((&**token, held));
            if held.due < earliest.1.due {
                *earliest = (&**token, held);
            }
        }
        let renewal = |(id, (token, held)): (&str, (&str, &Held<Self>))| Renewal {
            id: id.into(),
            token: token.into(),
            lease_ms: held.lease_ms(),
        };
        vec![first.into_iter().map(renewal).collect()]
    }

    fn keys(request: &Vec<Renewal>) -> Vec<Self::Key> {
        request.iter().map(|renewal| (renewal.id.clone(), renewal.token.clone())).collect()
    }

    fn step(request: &Vec<Renewal>, settings: &Settings) -> Step {
        let renewals = request.clone();
        Step::Execution(Work::Write(ExecutionWrite::Heartbeat { renewals, terms: settings.executions }))
    }

    fn lose(&mut self, (id, _): &Self::Key, lost: &[String]) -> Option<Told> {
        let is_lost = lost.iter().any(|lost| **lost == **id);
        if is_lost {
            self.end(Some("another worker has taken the execution over, or its lease was ended"))
        } else {
            None
        }
    }

    fn end(&mut self, why: Option<&'static str>) -> Option<Told> {
        let on_end = self.0.take()?;
        Some(Box::new(move || on_end(why.map(str::to_owned))))
    }

    fn holds(&self) -> bool {
        self.0.is_some()
    }

    fn is_over(&self) -> bool {
        self.0.is_none()
    }
}

impl Store {
    /// Renews the lease of an execution from now on. It was given, or renewed, just now.
    pub fn keep_lease(self: &Arc<Self>, id: &str, token: &str, lease: Duration, on_end: OnEnd) -> Result<()> {
        self.check_open()?;
        self.own()?;
        let key = (id.into(), token.into());
        let mut state = self.leases.lock();
        let before = state.held.insert(key, Held::new(ExecutionLease(Some(on_end)), lease));
        self.serve(&self.leases, state)?;
        super::tell(before.and_then(|mut before| before.what.end(None)));
        Ok(())
    }

    /// Renews it no more.
    pub fn drop_lease(&self, id: &str, token: &str) {
        self.leases.change(&(id.into(), token.into()), |lease| lease.end(None));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::super::Leases;
    use super::*;
    use crate::error::{Error, Kind};

    fn held(lease: Duration) -> (Leases<ExecutionLease>, mpsc::Receiver<Option<String>>, Vec<Renewal>) {
        let (tell, told) = mpsc::channel();
        let now = Instant::now();
        let on_end: OnEnd = Box::new(move |why| tell.send(why).unwrap());
        let leases = Leases::default();
        let lease = Held { lease, due: now, until: now + lease, what: ExecutionLease(Some(on_end)) };
        leases.lock().held.insert(("s".into(), "t".into()), lease);
        let renewal = Renewal { id: "s".into(), token: "t".into(), lease_ms: 1 };
        (leases, told, vec![renewal])
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_sent() {
        let (leases, told, renewal) = held(Duration::from_secs(30));
        let sent = Instant::now().checked_sub(Duration::from_secs(9)).unwrap();
        leases.renewed(&renewal, sent, &Ok(Vec::new()));
        assert_eq!(leases.next(), Some((sent + Duration::from_secs(10), sent + Duration::from_secs(30))));
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn without_an_answer_nothing_is_lost_before_the_time_is_over() {
        let failed = || Err(Error::new(Kind::Connection, "gone"));
        let (leases, told, renewal) = held(Duration::from_secs(30));
        leases.renewed(&renewal, Instant::now(), &failed());
        assert!(told.try_recv().is_err() && leases.next().is_some());
        let (leases, told, _) = held(Duration::ZERO);
        leases.renewed(&renewal, Instant::now(), &failed());
        assert!(told.try_recv().unwrap().is_some_and(|why| why.contains("could not be renewed")));
        assert_eq!(leases.next(), None);
    }

    #[test]
    fn of_one_saga_the_lease_that_is_due_first_is_asked_for_alone() {
        let (leases, told, renewal) = held(Duration::from_secs(30));
        let now = Instant::now();
        let later = Held::new(ExecutionLease(Some(Box::new(|_| panic!()))), Duration::from_secs(30));
        leases.lock().held.insert(("s".into(), "new".into()), later);
        let asked = || ExecutionLease::requests(&leases.lock().held).remove(0);
        let first = asked();
        assert_eq!(first.iter().map(|one| &*one.token).collect::<Vec<_>>(), [&*renewal[0].token]);
        leases.renewed(&first, now, &Ok(vec![String::from("s")]));
        assert!(told.try_recv().unwrap().is_some());
        assert_eq!(&*asked()[0].token, "new");
    }

    #[test]
    fn what_somebody_else_has_is_lost_at_once() {
        let (leases, told, renewal) = held(Duration::from_secs(30));
        leases.renewed(&renewal, Instant::now(), &Ok(vec![String::from("s")]));
        assert!(told.try_recv().unwrap().is_some_and(|why| why.contains("another worker")));
    }
}
