//! A store's operations over its own connections.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Store;
use super::gather::Gather;
use super::lane::Settle;
use super::lanes::Own;
use super::meters::is_answer;
use super::plan::{Given, Plan, Steps, answer_many, answer_one, may_differ};
use crate::contract::operation::check_id;
use crate::contract::operations::Call;
use crate::contract::step::{Reply, Step};
use crate::error::Result;

impl Store {
    /// Runs a call. Of several steps all must succeed; nothing is sent if one of them is refused.
    pub fn run(&self, call: Call, given: Given<'_>, settle: Settle) {
        let started = Instant::now();
        match self.plan(call, given).and_then(|plan| Ok((self.own()?, plan))) {
            Err(error) => self.refuse(call, error, settle),
            Ok((own, Plan { steps: Steps::One(step), .. })) => self.submit(own, call, step, started, settle),
            Ok((own, Plan { steps: Steps::Many(steps), .. })) => {
                let gather = Gather::new(steps.len(), self.metered(call, settle), call, answer_many);
                for (index, step) in steps.into_iter().enumerate() {
                    self.submit(own, call, step, started, Gather::slot(&gather, index));
                }
            }
        }
    }

    fn submit(&self, own: &Own, call: Call, step: Step, started: Instant, settle: Settle) {
        match self.transcoder().run_here(&*own.driver, &step) {
            Some(result) => {
                let result = result.and_then(|reply| answer_one(call, step.id(), reply));
                self.answer(call, started, result.map_err(|error| error.with_id(step.subject())), settle);
            }
            None if may_differ(call) => {
                let (backend, id) = (self.backend.name(), Box::<str>::from(step.subject()));
                let settle: Settle = Box::new(move |result| {
                    let answer = result.and_then(|reply| answer_one(call, &id, reply));
                    settle(answer.map_err(|error| error.at(backend, call.name())));
                });
                own.submit(call.name(), step, self.meter(call), settle);
            }
            None => own.submit(call.name(), step, self.meter(call), settle),
        }
    }

    /// Whether it is worth asking [`Store::get_here`].
    pub fn answers_here(&self) -> bool {
        self.own().is_ok_and(|own| own.driver.answers_here())
    }

    /// The payload, for a caller that waits for nothing else, if it can be had on this thread, sooner than
    /// from another one. Where it cannot, or is none, or may not be read: [`Store::run`] has the answer.
    pub fn get_here(&self, id: &str) -> Option<Bytes> {
        let started = Instant::now();
        self.check_open().and_then(|()| check_id(id)).ok()?;
        let stored = self.own().ok()?.driver.find_here(id)?;
        let Ok(Reply::Data(Some(data))) = self.transcoder().decode_here(Reply::Data(Some(stored)))? else {
            return None;
        };
        self.meters[Call::Get as usize].record(started.elapsed(), true);
        Some(data)
    }

    /// Answers what was done on the caller's thread.
    fn answer(&self, call: Call, started: Instant, result: Result<Reply>, settle: Settle) {
        if let Some(meter) = self.meter(call) {
            meter.record(started.elapsed(), is_answer(&result));
        }
        settle(result.map_err(|error| error.at(self.backend.name(), call.name())));
    }

    fn metered(&self, call: Call, settle: Settle) -> Settle {
        let (meter, started) = (Arc::clone(&self.meters[call as usize]), Instant::now());
        Box::new(move |result| {
            meter.record(started.elapsed(), result.is_ok());
            settle(result);
        })
    }
}
