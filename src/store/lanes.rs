//! A driver, and the lanes to it: two for each kind of records.

use std::sync::Arc;

use super::lane::{Lane, Settle};
use super::meters::Meter;
use crate::contract::driver::Driver;
use crate::contract::executions::{ExecutionRead, ExecutionWrite};
use crate::contract::inbox::{InboxRead, InboxWrite};
use crate::contract::moving::{MovingRead, MovingWrite};
use crate::contract::operation::{Operation, Work};
use crate::contract::outbox::{OutboxRead, OutboxWrite};
use crate::contract::payloads::{Read, Write};
use crate::contract::settings::Settings;
use crate::contract::states::{StateRead, StateWrite};
use crate::contract::step::Step;
use crate::url::Backend;

/// Connections of the store's own.
pub(super) struct Own {
    pub(super) driver: Arc<dyn Driver>,
    payloads: KindLanes<Write, Read>,
    states: KindLanes<StateWrite, StateRead>,
    executions: KindLanes<ExecutionWrite, ExecutionRead>,
    outbox: KindLanes<OutboxWrite, OutboxRead>,
    inbox: KindLanes<InboxWrite, InboxRead>,
    moving: KindLanes<MovingWrite, MovingRead>,
}

impl Own {
    pub(super) fn new(backend: Backend, driver: Arc<dyn Driver>, settings: Settings) -> Self {
        let payloads = KindLanes::new(backend, &driver, settings);
        let states = KindLanes::new(backend, &driver, settings);
        let executions = KindLanes::new(backend, &driver, settings);
        let outbox = KindLanes::new(backend, &driver, settings);
        let inbox = KindLanes::new(backend, &driver, settings);
        let moving = KindLanes::new(backend, &driver, settings);
        Self { driver, payloads, states, executions, outbox, inbox, moving }
    }

    /// Sends a step on its way. With a meter, it is counted there.
    pub(super) fn submit(&self, name: &'static str, step: Step, meter: Option<Arc<Meter>>, settle: Settle) {
        match step {
            Step::Payload(work) => self.payloads.submit(name, work, meter, settle),
            Step::State(work) => self.states.submit(name, work, meter, settle),
            Step::Execution(work) => self.executions.submit(name, work, meter, settle),
            Step::Outbox(work) => self.outbox.submit(name, work, meter, settle),
            Step::Inbox(work) => self.inbox.submit(name, work, meter, settle),
            Step::Moving(work) => self.moving.submit(name, work, meter, settle),
        }
    }

    /// Operations that wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        let records = self.payloads.waiting() + self.states.waiting() + self.executions.waiting();
        records + self.outbox.waiting() + self.inbox.waiting() + self.moving.waiting()
    }

    /// Takes no more operations; ready when those on their way are answered.
    pub(super) async fn close_lanes(&self) {
        // All are closed before the first is waited for.
        let (payloads, states, executions) = (self.payloads.close(), self.states.close(), self.executions.close());
        let (outbox, inbox, moving) = (self.outbox.close(), self.inbox.close(), self.moving.close());
        let events = futures_util::future::join3(outbox, inbox, moving);
        futures_util::future::join4(payloads, states, executions, events).await;
    }
}

/// The lanes of one kind.
struct KindLanes<W: Operation, R: Operation> {
    writes: Lane<W>,
    reads: Lane<R>,
}

impl<W: Operation, R: Operation> KindLanes<W, R> {
    fn new(backend: Backend, driver: &Arc<dyn Driver>, settings: Settings) -> Self {
        Self {
            writes: Lane::new(backend, Arc::clone(driver), settings),
            reads: Lane::new(backend, Arc::clone(driver), settings),
        }
    }

    fn submit(&self, name: &'static str, work: Work<W, R>, meter: Option<Arc<Meter>>, settle: Settle) {
        match work {
            Work::Write(write) => self.writes.submit(name, write, meter, settle),
            Work::Read(read) => self.reads.submit(name, read, meter, settle),
        }
    }

    fn waiting(&self) -> usize {
        self.writes.waiting() + self.reads.waiting()
    }

    fn close(&self) -> impl Future<Output = ((), ())> + Send + use<W, R> {
        futures_util::future::join(self.writes.close(), self.reads.close())
    }
}
