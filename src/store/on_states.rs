//! A store's operations on saga state, over its own connections.

use std::time::Instant;

use super::Store;
use super::dynamic::Dynamic;
use super::lane::Settle;
use super::plan::Call;
use super::states::{StateStep, step};

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
                    self.answer(call, started, result, settle);
                }
                None => match step {
                    StateStep::Write(write) => own.state_writes.submit(call.name(), write, self.meter(call), settle),
                    StateStep::Read(read) => own.state_reads.submit(call.name(), read, self.meter(call), settle),
                },
            },
        }
    }
}
