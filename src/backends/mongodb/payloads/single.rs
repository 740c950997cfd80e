//! One operation as one command: in a transaction, and on clients of the application.

use std::future::Future;

use super::answer_to_single;
use crate::backends::mongodb::clock::Clock;
use crate::backends::mongodb::commands::{Build, Terms, size_of_find, size_of_single, write_find, write_single};
use crate::backends::mongodb::error;
use crate::backends::mongodb::objects::{first_batch, read, to_document};
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::Operation;
use crate::contract::operation::Work;
use crate::contract::payloads::PayloadStep;
use crate::contract::payloads::Read;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// Carries the command of one operation.
pub(crate) trait Sender: Send {
    /// How commands are built for it.
    type Command: Build;

    /// An empty command that will need about this many bytes.
    fn command(&self, size: usize) -> Self::Command;

    /// Runs it.
    fn send(&mut self, command: Self::Command) -> impl Future<Output = Result<Dynamic>> + Send;
}

/// Runs one operation.
pub(crate) async fn run(on: &mut impl Sender, terms: Terms<'_>, clock: &Clock, step: &PayloadStep) -> Result<Reply> {
    match step {
        Work::Write(write) => {
            let mut command = on.command(size_of_single(write));
            write_single(&mut command, terms.collection, write, |at| clock.there(at));
            terms.end_write(&mut command);
            answer_to_single(write, &to_document(on.send(command).await?)?)
        }
        Work::Read(question) => {
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
