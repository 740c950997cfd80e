//! One operation as one command: in a transaction, and on clients of the application.

use std::future::Future;

use super::clock::Clock;
use super::commands::{Build, Terms, size_of_find, size_of_single, write_find, write_single};
use super::error;
use super::objects::{first_batch, read, to_document};
use super::payloads::answer_to_single;
use crate::error::Result;
use crate::store::dynamic::Dynamic;
use crate::store::payloads::{Operation, Read, Reply};
use crate::store::plan::Step;
use crate::store::without_states;
use crate::time::Millis;

/// Carries the command of one operation.
pub(super) trait Sender: Send {
    /// How commands are built for it.
    type Command: Build;

    /// An empty command that will need about this many bytes.
    fn command(&self, size: usize) -> Self::Command;

    /// Runs it.
    fn send(&mut self, command: Self::Command) -> impl Future<Output = Result<Dynamic>> + Send;
}

/// Runs one operation.
pub(super) async fn run(on: &mut impl Sender, terms: Terms<'_>, clock: &Clock, step: &Step) -> Result<Reply> {
    match step {
        Step::State(_) => Err(without_states()),
        Step::Write(write) => {
            let mut command = on.command(size_of_single(write));
            write_single(&mut command, terms.collection, write, |at| clock.there(at));
            terms.end_write(&mut command);
            answer_to_single(write, &to_document(on.send(command).await?)?)
        }
        Step::Read(question) => {
            let (ids, names_only) = ([question.id()], matches!(question, Read::Has { .. }));
            let mut command = on.command(size_of_find(&ids));
            write_find(&mut command, terms.collection, &ids, names_only);
            terms.end_read(&mut command);
            let found = first_batch(on.send(command).await?)?.pop();
            let found = found.map(|document| read(document, clock.there(Millis::now()))).transpose()?;
            match (question, found) {
                (Read::Has { .. }, found) => Ok(Reply::Flag(found.is_some_and(|(over, _)| !over))),
                (Read::Find { .. }, None) => Ok(Reply::Data(None)),
                (Read::Find { id }, Some((_, data))) => {
                    data.map(Reply::Data).map_err(|wrong| error::corrupt(id, &wrong))
                }
            }
        }
    }
}
