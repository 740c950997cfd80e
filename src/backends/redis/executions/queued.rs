//! Changes of executions in a transaction that is sent at its end:
//!
//! 1. When a change is called, the script judges it and makes it not. So a change that is not possible is refused at
//!    once, and one that is possible is answered.
//! 2. At the commit it is judged once more, inside the script that does everything. If it does not come to the same
//!    answer, nothing of the transaction happens.

use bytes::Bytes;

use super::Executions;
use super::changes::{Judged, answer, judged, write_id};
use super::keys::{self, Bucket};
use super::scripts::{EXECUTION, Words, script};
use crate::backends::redis::channel::Channel;
use crate::backends::redis::commit_script::CommitScript;
use crate::contract::executions::ExecutionWrite;
use crate::contract::states::changed_meanwhile;
use crate::contract::step::Reply;
use crate::error::{Error, Result};

/// A change, and what it was answered.
pub(crate) struct Planned {
    write: ExecutionWrite,
    words: Words,
    expected: String,
}

impl Planned {
    /// The keys that no two changes of a transaction have in common.
    pub(crate) fn places(&self, prefix: &str) -> [Bytes; 1] {
        [keys::record(prefix, write_id(&self.write))]
    }

    /// Adds what must hold, and what is to be done then, to a script.
    pub(crate) fn join(&self, prefix: &str, script: &mut CommitScript) {
        let id = write_id(&self.write);
        let words = [Bytes::from(self.expected.clone())].into_iter().chain(self.words.0.iter().cloned());
        script.require(&EXECUTION, &keys::record(prefix, id), words);
        script.touch(keys::touched(Bucket::of(id), prefix, &[id]));
    }
}

impl<C: Channel> Executions<'_, C> {
    /// What a change would be answered, and what there is to do at the end, if anything is. A change that is not
    /// possible now is an error at once.
    pub(crate) async fn plan(&self, write: &ExecutionWrite) -> Result<(Reply, Option<Planned>)> {
        let (words, id) = (self.change_words(write)?, write_id(write));
        let script = script(self.keys(Bucket::of(id), &[id]), &words, true);
        let judged = judged(write, self.ask_one(script).await?)?;
        let expected = match &judged {
            Judged::Nothing => return Ok((answer(write, &judged)?, None)),
            Judged::Removed => String::from("ok"),
            Judged::Done(answer, _) => {
                let first = answer.first_seq.map(|seq| seq.to_string()).unwrap_or_default();
                format!("ok {} {first} {} {}", answer.version, answer.entries, answer.bytes)
            }
        };
        Ok((answer(write, &judged)?, Some(Planned { write: write.clone(), words, expected })))
    }

    /// The error of a transaction at whose commit this change did not come to its answer any more.
    pub(crate) async fn refusal(&self, planned: &Planned) -> Error {
        let id = write_id(&planned.write);
        match self.plan(&planned.write).await {
            Ok(_) => changed_meanwhile(id),
            Err(error) => error.with_id(id),
        }
    }
}
