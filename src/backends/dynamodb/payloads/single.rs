//! One payload operation as one request.

use super::item::{self, WHOLE};
use crate::backends::dynamodb::attribute::Item;
use crate::backends::dynamodb::channel::{self, Channel};
use crate::backends::dynamodb::expression::{self, HEAD};
use crate::contract::payloads::{Read, Write};
use crate::contract::step::Reply;
use crate::error::{Error, Result};
use crate::time::Millis;

/// Runs a write.
pub(crate) async fn write(on: &impl Channel, write: &Write) -> Result<Reply> {
    let clock = on.clock();
    match write {
        Write::Put { id, data, expires_at } => {
            let item = item::encode(id, data, expires_at.map(|at| clock.stored(at)));
            channel::put(on, item).await.map(|()| Reply::Done)
        }
        Write::Delete { id } => channel::delete(on, id, clock.now()).await.map(Reply::Flag),
        Write::Touch { id, expires_at } => {
            channel::touch(on, id, clock.stored(*expires_at), clock.now()).await.map(Reply::Flag)
        }
    }
    .map_err(Error::from)
}

/// Runs a read.
pub(crate) async fn read(on: &impl Channel, read: &Read) -> Result<Reply> {
    let (id, projection, whole) = match read {
        Read::Find { id } => (id, WHOLE, true),
        Read::Has { id } => (id, HEAD, false),
    };
    reply_of(channel::get(on, id, projection).await?, whole, on.clock().now())
}

/// What is told to somebody who asks for an item, or only whether it is there.
pub(crate) fn reply_of(item: Option<Item>, whole: bool, now: Millis) -> Result<Reply> {
    match item {
        None if whole => Ok(Reply::Data(None)),
        None => Ok(Reply::Flag(false)),
        Some(item) if whole => item::decode(item, now).map(Reply::Data),
        Some(item) => expression::is_expired(&item, now).map(|expired| Reply::Flag(!expired)),
    }
}
