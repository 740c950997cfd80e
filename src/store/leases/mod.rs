//! Leases are renewed here, beside the JavaScript thread: while that is blocked, none is lost.
//!
//! 1. All leases of a store that are of one kind are renewed together, as soon as a third of the shortest has passed.
//! 2. A lease that the database says is somebody else's is lost.
//! 3. Without an answer nothing is known: the lease is lost when its time is over, counted from when the last
//!    renewal that succeeded was sent.

mod events;
mod execution;

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, oneshot};

use super::Store;
use crate::contract::dynamic::Dynamic;
use crate::contract::operations::Call;
use crate::contract::settings::Settings;
use crate::contract::step::{Reply, Step};
use crate::error::{Error, Kind, Result};
use crate::runtime;
pub(super) use events::EventsLease;
pub use events::OnLost;
pub(super) use execution::ExecutionLease;
pub use execution::OnEnd;

/// Behind a renewal without an answer the next one comes at the latest after this.
const SOON: Duration = Duration::from_secs(1);

/// Why a lease is lost.
const LATE: &str = "the lease could not be renewed before its end";
const CLOSED: &str = "the store is closed, and renews it no more";

/// Tells whoever waits for it; called under no lock.
type Told = Box<dyn FnOnce() + Send>;

/// What is held with a lease.
pub(super) trait Lease: Sized + Send + 'static {
    /// What it is known by.
    type Key: Clone + Eq + Hash + Send;
    /// What one operation renews.
    type Request: Send;
    /// The operation that renews.
    const CALL: Call;

    /// What is renewed now.
    fn requests(held: &HashMap<Self::Key, Held<Self>>) -> Vec<Self::Request>;
    /// The leases that a request is about.
    fn keys(request: &Self::Request) -> Vec<Self::Key>;
    /// Renews; the reply is a list of ids that are lost.
    fn step(request: &Self::Request, settings: &Settings) -> Step;
    /// Takes down that these ids are not held any more.
    fn lose(&mut self, key: &Self::Key, lost: &[String]) -> Option<Told>;
    /// Takes down that nothing is held any more, for this reason; none: it is not wanted any more.
    fn end(&mut self, why: Option<&'static str>) -> Option<Told>;
    /// Whether there is anything to renew.
    fn holds(&self) -> bool;
    /// Whether nobody needs to hear anything of it any more.
    fn is_over(&self) -> bool;
}

/// The leases of one kind that a store renews.
pub(super) struct Leases<L: Lease> {
    state: Mutex<State<L>>,
    changed: Notify,
}

struct State<L: Lease> {
    held: HashMap<L::Key, Held<L>>,
    is_served: bool,
}

/// A lease, and its times.
pub(super) struct Held<L> {
    lease: Duration,
    /// The next renewal.
    due: Instant,
    /// Until then nobody else is given it.
    until: Instant,
    what: L,
}

impl<L> Held<L> {
    /// It was given, or renewed, just now.
    fn new(what: L, lease: Duration) -> Self {
        let now = Instant::now();
        Self { lease, due: now + lease / 3, until: now + lease, what }
    }

    fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }
}

impl<L: Lease> Default for Leases<L> {
    fn default() -> Self {
        Self { state: Mutex::new(State { held: HashMap::new(), is_served: false }), changed: Notify::new() }
    }
}

impl<L: Lease> Leases<L> {
    fn lock(&self) -> MutexGuard<'_, State<L>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The times of the next renewal and of the next end; none: nothing is held, and nobody serves any more.
    fn next(&self) -> Option<(Instant, Instant)> {
        let mut state = self.lock();
        let held = || state.held.values().filter(|held| held.what.holds());
        let next = held().map(|held| held.due).min().zip(held().map(|held| held.until).min());
        state.is_served = next.is_some();
        next
    }

    /// Takes down what a renewal has come to that was sent at `sent`.
    fn renewed(&self, request: &L::Request, sent: Instant, lost: &Result<Vec<String>>) {
        let mut told: Vec<Told> = Vec::new();
        let mut state = self.lock();
        let now = Instant::now();
        if let Err(error) = lost {
            tracing::warn!(%error, "leases could not be renewed");
        }
        for key in L::keys(request) {
            let Some(held) = state.held.get_mut(&key) else { continue };
            let Ok(lost) = lost else {
                held.due = held.due.max(now + (held.lease / 10).min(SOON));
                continue;
            };
            told.extend(held.what.lose(&key, lost));
            (held.until, held.due) = (sent + held.lease, sent + held.lease / 3);
            if held.what.is_over() {
                state.held.remove(&key);
            }
        }
        drop(state);
        tell(told);
        self.expire();
    }

    /// Tells those whose lease is over.
    fn expire(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let over = state.held.values_mut().filter(|held| held.until <= now && held.what.holds());
        let told: Vec<Told> = over.filter_map(|held| held.what.end(Some(LATE))).collect();
        state.held.retain(|_, held| !held.what.is_over());
        drop(state);
        tell(told);
    }

    /// Renews nothing any more: the store is closed, and whoever holds something is told.
    pub(super) fn end_all(&self) {
        let ended: Vec<Held<L>> = self.lock().held.drain().map(|(_, held)| held).collect();
        tell(ended.into_iter().filter_map(|mut held| held.what.end(Some(CLOSED))));
        self.changed.notify_one();
    }

    /// Changes what is held under a key. What it answers is told, and a lease that is over is forgotten.
    fn change(&self, key: &L::Key, change: impl FnOnce(&mut L) -> Option<Told>) {
        let mut state = self.lock();
        let Some(held) = state.held.get_mut(key) else { return };
        let told = change(&mut held.what);
        if held.what.is_over() {
            state.held.remove(key);
        }
        drop(state);
        tell(told);
        self.changed.notify_one();
    }
}

fn tell(told: impl IntoIterator<Item = Told>) {
    for tell in told {
        tell();
    }
}

impl Store {
    /// Has a kind of leases renewed, of which one has just been added: `state` is what it was added to.
    fn serve<L: Lease>(self: &Arc<Self>, leases: &Arc<Leases<L>>, mut state: MutexGuard<'_, State<L>>) -> Result<()> {
        let is_first = !std::mem::replace(&mut state.is_served, true);
        drop(state);
        if is_first {
            let (leases, store) = (Arc::clone(leases), Arc::downgrade(self));
            runtime::io()?.spawn(async move { serve(&leases, &store).await });
        } else {
            leases.changed.notify_one();
        }
        Ok(())
    }

    /// Sends a renewal; the ids that are lost.
    fn renew<L: Lease>(&self, request: &L::Request) -> impl Future<Output = Result<Vec<String>>> + use<L> {
        let (tell, told) = oneshot::channel();
        let meter = Arc::clone(&self.meters[L::CALL as usize]);
        let settle = Box::new(move |result| drop(tell.send(result)));
        let step = L::step(request, &self.settings);
        let sent = self.own().map(|own| own.submit(L::CALL.name(), step, Some(meter), settle));
        async move {
            sent?;
            let reply = told.await.map_err(|_| Error::new(Kind::Closed, "the renewal was dropped"))??;
            let Reply::Value(Dynamic::List(ids)) = reply else { return Ok(Vec::new()) };
            Ok(ids.iter().filter_map(Dynamic::as_text).map(str::to_owned).collect())
        }
    }
}

/// Renews until nothing is held.
async fn serve<L: Lease>(leases: &Leases<L>, store: &Weak<Store>) {
    while let Some((due, until)) = leases.next() {
        let next = due.min(until);
        if next > Instant::now() {
            // A new lease may be due sooner.
            let _ = tokio::time::timeout_at(next.into(), leases.changed.notified()).await;
            continue;
        }
        leases.expire();
        let Some(store) = store.upgrade() else { return leases.end_all() };
        let sent = Instant::now();
        let requests = L::requests(&leases.lock().held);
        let mut renewals: FuturesUnordered<_> = requests
            .into_iter()
            .map(|request| {
                let renewal = store.renew::<L>(&request);
                async move { (renewal.await, request) }
            })
            .collect();
        drop(store);
        loop {
            // While the server does not answer, any of the leases may come to its end, a new one too.
            let Some((_, until)) = leases.next() else { return };
            tokio::select! {
                answered = renewals.next() => match answered {
                    Some((lost, request)) => leases.renewed(&request, sent, &lost),
                    None => break,
                },
                () = tokio::time::sleep_until(until.into()) => leases.expire(),
                () = leases.changed.notified() => {}
            }
        }
    }
}
