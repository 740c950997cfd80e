//! The inbox: a key for each entry, which ceases to exist by itself. Its value is the operation that has accepted it.

use bytes::Bytes;
use fred::prelude::Value;

use super::channel::Channel;
use super::command::{Request, Until};
use super::commit_script::{CommitScript, Condition};
use super::{error, groups};
use crate::contract::inbox::{Entry, InboxRead, InboxStep, InboxWrite};
use crate::contract::operation::{Work, chains};
use crate::contract::step::Reply;
use crate::error::Result;

/// What a transaction's end knows of an entry: it is not there, or the same operation has made it.
static ACCEPTED: Condition = Condition {
    name: "accepted",
    text: &["local function accepted(key) local operation = word() local found = redis.call('GET', key) \
        return not found or found == operation end "],
};

/// The key of an entry. Before the consumer's name stands how many bytes it has, so that no two entries have one key.
pub(super) fn key(prefix: &str, entry: &Entry) -> Bytes {
    Bytes::from(format!("{prefix}{}:{}:{}", entry.consumer.len(), entry.consumer, entry.message))
}

/// Runs a group of changes over the store's own connection; those of one entry in their order.
pub(super) async fn write(on: &impl Channel, prefix: &str, group: &[InboxWrite]) -> Vec<Result<Reply>> {
    groups::run(on, &chains(group), |on, at| Box::pin(async move { change(&*on, prefix, &group[at]).await })).await
}

/// Runs a group of questions.
pub(super) async fn read(on: &impl Channel, prefix: &str, group: &[InboxRead]) -> Vec<Result<Reply>> {
    let chains: Vec<Vec<usize>> = (0..group.len()).map(|at| vec![at]).collect();
    groups::run(on, &chains, |on, at| Box::pin(async move { ask(&*on, prefix, &group[at]).await })).await
}

/// Runs an operation.
pub(super) async fn run(on: &impl Channel, prefix: &str, step: &InboxStep) -> Result<Reply> {
    match step {
        Work::Write(write) => change(on, prefix, write).await,
        Work::Read(read) => ask(on, prefix, read).await,
    }
}

async fn change(on: &impl Channel, prefix: &str, write: &InboxWrite) -> Result<Reply> {
    match write {
        InboxWrite::Accept { entry, ttl_ms, operation } => {
            let key = key(prefix, entry);
            let operation = Bytes::copy_from_slice(operation.as_bytes());
            let words = ["SET".into(), key.clone(), operation.clone(), "NX".into(), "PX".into()];
            let words = words.into_iter().chain([Bytes::from(ttl_ms.to_string())]).collect();
            // Whose it is, if it is there: perhaps this very operation is repeated.
            let requests = vec![Request::Words { key: key.clone(), words }, Request::Get { key }];
            let mut answers = on.send(requests).await?.into_iter();
            let set = answers.next().ok_or_else(error::unexpected)??;
            let found = answers.next().ok_or_else(error::unexpected)?;
            let is_ours = || found.map(|found| found.as_string().is_some_and(|found| found.as_bytes() == operation));
            Ok(Reply::Flag(!set.is_null() || is_ours()?))
        }
        InboxWrite::Forget { entry } => {
            let reply = one(on, Request::Unlink { key: key(prefix, entry) }).await?;
            Ok(Reply::Flag(reply.as_u64().ok_or_else(error::unexpected)? > 0))
        }
        // They go by themselves.
        InboxWrite::Cleanup { .. } => Ok(Reply::Count(0)),
    }
}

async fn ask(on: &impl Channel, prefix: &str, read: &InboxRead) -> Result<Reply> {
    let InboxRead::Has { entry } = read;
    is_there(on, prefix, entry).await.map(Reply::Flag)
}

/// Whether an entry is there.
pub(super) async fn is_there(on: &impl Channel, prefix: &str, entry: &Entry) -> Result<bool> {
    let reply = one(on, Request::Exists { key: key(prefix, entry) }).await?;
    Ok(reply.as_u64().ok_or_else(error::unexpected)? > 0)
}

async fn one(on: &impl Channel, request: Request) -> Result<Value> {
    on.send(vec![request]).await?.pop().ok_or_else(error::unexpected)?
}

/// Adds a change at the end of a transaction to its script: what must hold, and what is to be done then.
pub(super) fn join(write: &InboxWrite, prefix: &str, script: &mut CommitScript) {
    match write {
        InboxWrite::Accept { entry, ttl_ms, operation } => {
            let (key, data) = (key(prefix, entry), Bytes::copy_from_slice(operation.as_bytes()));
            script.require(&ACCEPTED, &key, [data.clone()]);
            let until = Some(Until::In(i64::try_from(*ttl_ms).unwrap_or(i64::MAX)));
            script.then([Request::Set { key, data, until }]);
        }
        InboxWrite::Forget { entry } => script.then([Request::Unlink { key: key(prefix, entry) }]),
        InboxWrite::Cleanup { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_entries_have_one_key() {
        let entry = |consumer: &str, message: &str| Entry {
            consumer: consumer.into(),
            message: message.into(),
            key: format!("{consumer}\0{message}").into(),
        };
        assert_ne!(key("p:", &entry("a:b", "c")), key("p:", &entry("a", "b:c")));
        assert_eq!(key("p:", &entry("mailer", "m-1")), Bytes::from_static(b"p:6:mailer:m-1"));
    }
}
