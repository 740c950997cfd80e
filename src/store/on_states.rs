//! A store's operations on saga state, over its own connections.

use std::time::Instant;

use super::Store;
use super::dynamic::Dynamic;
use super::lane::Settle;
use super::payloads::Reply;
use super::plan::Call;
use super::states::{StateStep, step};
use super::transaction::is_answer;
use crate::error::Result;

impl Store {
    /// Runs a call on states; `given` is in the order in which `ts/states.ts` gives it.
    pub fn state(&self, call: Call, given: Vec<Dynamic>, settle: Settle) {
        let started = Instant::now();
        let planned = self.check_open().and_then(|()| Ok((self.own()?, step(call, given, &self.settings)?)));
        match planned {
            Err(error) => self.refuse(call, error, settle),
            Ok((own, step)) => match own.driver.state_now(&step) {
                Some(result) => {
                    let result = result.map_err(|error| error.with_id(step.id()));
                    self.answer_state(call, started, result, settle);
                }
                None => match step {
                    StateStep::Write(write) => own.state_writes.submit(call.name(), write, self.meter(call), settle),
                    StateStep::Read(read) => own.state_reads.submit(call.name(), read, self.meter(call), settle),
                },
            },
        }
    }

    fn answer_state(&self, call: Call, started: Instant, result: Result<Reply>, settle: Settle) {
        self.meters[call as usize].record(started.elapsed(), is_answer(&result));
        settle(result.map_err(|error| error.at(self.backend.name(), call.name())));
    }
}
