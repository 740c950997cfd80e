//! One operation as one command, on whichever channel.

use super::commands::{Put, size_of_find, size_of_puts, size_of_single, write_find, write_puts, write_single};
use crate::backends::mongodb::answer::Answer;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::error;
use crate::backends::mongodb::objects::{first_batch, read as read_document};
use crate::contract::operation::{Operation, Work};
use crate::contract::payloads::{PayloadStep, Read, Write};
use crate::contract::step::Reply;
use crate::error::Result;

/// Runs one operation.
pub(crate) async fn run(on: &impl Channel, step: &PayloadStep) -> Result<Reply> {
    match step {
        Work::Write(write) => self::write(on, write).await,
        Work::Read(read) => self::read(on, read).await,
    }
}

/// Runs a write.
pub(crate) async fn write(on: &impl Channel, write: &Write) -> Result<Reply> {
    let ids = [write.id()];
    let change = on.change(size_of_single(write), &ids, |command| {
        write_single(command, on.collection(), write, |at| on.clock().there(at));
    });
    let answer = Answer::of(&change.await?);
    answer.at(0)?;
    Ok(match write {
        Write::Put { .. } => Reply::Done,
        Write::Delete { .. } | Write::Touch { .. } => Reply::Flag(answer.count > 0),
    })
}

/// Runs puts of different ids in one command; what came of each.
pub(crate) async fn put(on: &impl Channel, puts: &[Put<'_>]) -> Vec<Result<Reply>> {
    let ids: Vec<&str> = puts.iter().map(|(id, ..)| *id).collect();
    match on.change(size_of_puts(puts), &ids, |command| write_puts(command, on.collection(), puts)).await {
        Ok(reply) => {
            let answer = Answer::of(&reply);
            (0..puts.len()).map(|place| answer.at(place).map(|()| Reply::Done)).collect()
        }
        Err(error) => vec![Err(error); puts.len()],
    }
}

/// Runs a read.
pub(crate) async fn read(on: &impl Channel, read: &Read) -> Result<Reply> {
    let (ids, names_only) = ([read.id()], matches!(read, Read::Has { .. }));
    let answer = on.ask(size_of_find(&ids), |command| write_find(command, on.collection(), &ids, names_only)).await?;
    let found = first_batch(answer)?.pop();
    let found = found.map(|document| read_document(document, on.now())).transpose()?;
    match (read, found) {
        (Read::Has { .. }, found) => Ok(Reply::Flag(found.is_some_and(|(over, _)| !over))),
        (Read::Find { .. }, None) => Ok(Reply::Data(None)),
        (Read::Find { id }, Some((_, data))) => data.map(Reply::Data).map_err(|wrong| error::corrupt(id, &wrong)),
    }
}
