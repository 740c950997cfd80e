//! Changes of one execution: one script each.

use fred::prelude::Value;

use super::Executions;
use super::keys::{self, Bucket, corrupt};
use super::scripts::{Script, Words, texts_of};
use crate::backends::redis::channel::Channel;
use crate::backends::redis::error;
use crate::contract::executions::record::{Checkpointed, Shows, Status, conflict, ended, lease_lost, missing, taken};
use crate::contract::executions::{Attempts, Change, Creation, ExecutionWrite, Fence, LeaseChange, Replacement, judge};
use crate::contract::step::Reply;
use crate::error::{Error, Result};
use crate::time::Millis;

/// What a change has come to, or would come to.
pub(crate) enum Judged {
    /// It was made, and when by the server's clock.
    Done(Checkpointed, Millis),
    /// There was nothing to remove.
    Nothing,
    /// There was something.
    Removed,
}

impl<C: Channel> Executions<'_, C> {
    /// Runs a change.
    pub(super) async fn write(&self, write: &ExecutionWrite) -> Result<Reply> {
        match write {
            ExecutionWrite::Claim(claim) => self.claim(claim).await,
            ExecutionWrite::Heartbeat { renewals, terms } => self.heartbeat(renewals, terms).await,
            ExecutionWrite::Redrive { ids, reset_attempts } => self.redrive(ids, *reset_attempts).await,
            ExecutionWrite::Cleanup { before, statuses, limit } => self.cleanup(*before, statuses, *limit).await,
            one => {
                let script = self.change(one)?;
                answer(one, &judged(one, self.ask_one(script).await?)?)
            }
        }
    }

    /// The script of a change of one execution.
    pub(super) fn change(&self, write: &ExecutionWrite) -> Result<Script> {
        let id = write_id(write);
        Ok(self.script(Bucket::of(id), &[id], &self.change_words(write)?))
    }

    /// The same, in words. What could not be stored in any case is refused.
    pub(super) fn change_words(&self, write: &ExecutionWrite) -> Result<Words> {
        let id = write_id(write);
        let words = |operation| self.words(operation, Bucket::of(id)).text(id);
        match write {
            ExecutionWrite::Create(creation) => creation_words(words("create"), "create", creation),
            ExecutionWrite::Save(replacement) => {
                let Replacement { creation, force } = &**replacement;
                creation_words(words("create"), if *force { "force" } else { "save" }, creation)
            }
            ExecutionWrite::Change(change) => Ok(change_words(words("change"), change)),
            ExecutionWrite::Delete { .. } => Ok(words("delete")),
            _ => Err(error::unexpected()),
        }
    }
}

/// The saga id of a change of one execution.
pub(super) fn write_id(write: &ExecutionWrite) -> &str {
    use crate::contract::operation::Operation;
    write.id()
}

fn creation_words(words: Words, mode: &str, creation: &Creation) -> Result<Words> {
    // When it is due depends on the server's clock.
    let (execution, _) = judge::created(creation, Millis(0))?;
    let (from, due) = match (&creation.lease, creation.due_at) {
        _ if creation.status.is_terminal() => ("", None),
        (Some(lease), _) => ("now", Some(i64::try_from(lease.lease_ms).unwrap_or(i64::MAX))),
        (None, Some(due_at)) => ("", Some(due_at.0)),
        (None, None) => ("now", Some(0).filter(|_| creation.status.is_active())),
    };
    let from = if due.is_none() { "" } else { from };
    let (fields, others) = keys::fields_of(&execution);
    let words = words.text(mode).text(from).optional(due).list(fields).list(others);
    Ok(words.entries(&creation.entries, creation.at))
}

fn change_words(words: Words, change: &Change) -> Words {
    let (fence, token) = match &change.fence {
        Fence::Token(token) => ("token", &**token),
        Fence::NeverLeased => ("never", ""),
        Fence::Force => ("force", ""),
    };
    let attempts = match change.attempts {
        Attempts::Keep => String::new(),
        Attempts::Increment => String::from("+"),
        Attempts::Set(attempts) => attempts.to_string(),
    };
    let millis = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
    let (lease, lease_ms, counted) = match change.lease {
        LeaseChange::Keep => ("", None, false),
        LeaseChange::Renew(lease_ms) => ("renew", Some(millis(lease_ms)), false),
        LeaseChange::End { due_at, counted } => ("end", due_at.map(|at| at.0), counted),
    };
    let patches =
        [("subStatus", &change.sub_status), ("metadata", &change.metadata), ("lastError", &change.last_error)];
    let cleared = patches.iter().filter(|(_, patch)| **patch == Some(None)).map(|(name, _)| *name);
    let tags = change.tags.as_ref().map(|tags| keys::tags_text(tags));
    let cleared = cleared.chain((tags == Some(None)).then_some("tags"));
    let set = patches.iter().map(|(name, patch)| (*name, (*patch).clone().flatten().map(String::from)));
    let context = change.context.as_ref().map(ToString::to_string);
    let set = set.chain([("context", context), ("tags", tags.clone().flatten())]);
    let words = words.text(&change.operation).number(change.at.0).flag(change.counts).text(fence).text(token);
    let words = words.optional(change.expected).text(change.status.map(Status::name).unwrap_or_default());
    let words = words.text(&attempts).flag(change.is_progress()).flag(change.due_at.is_some());
    let words = words.optional(change.due_at.flatten().map(|at| at.0)).text(lease).optional(lease_ms).flag(counted);
    let terms = &change.terms;
    let words = words.optional(terms.ttl_ms.map(millis)).millis(terms.backoff_ms);
    let words = words.number(terms.max_entries).number(terms.max_bytes);
    words.list(keys::given(set)).texts(cleared).entries(&change.entries, change.at)
}

/// What the script has answered to a change of one execution.
pub(super) fn judged(write: &ExecutionWrite, reply: Result<Value>) -> Result<Judged> {
    let id = write_id(write);
    let reply = texts_of(reply)?;
    let number = |at: usize| -> Result<i64> {
        let text: &String = reply.get(at).ok_or_else(error::unexpected)?;
        text.parse().map_err(|_| error::unexpected())
    };
    let is_delete = matches!(write, ExecutionWrite::Delete { .. });
    let code = reply.first().map(String::as_str).unwrap_or_default();
    Err(match code {
        "ok" if is_delete => return Ok(Judged::Removed),
        "missing" if is_delete => return Ok(Judged::Nothing),
        "ok" => {
            let first_seq = reply.get(2).filter(|seq| !seq.is_empty()).map(|_| number(2)).transpose()?;
            let answer = Checkpointed { version: number(1)?, first_seq, entries: number(3)?, bytes: number(4)? };
            return Ok(Judged::Done(answer, Millis(number(5)?)));
        }
        "missing" => missing(id),
        "taken" => taken(id),
        "lease" => {
            lease_lost(id, matches!(write, ExecutionWrite::Change(change) if matches!(change.fence, Fence::Token(_))))
        }
        "ended" => ended(id, Status::stored(reply.get(1).map(String::as_str).unwrap_or_default())?),
        "conflict" => {
            let expected = if let ExecutionWrite::Change(change) = write { change.expected } else { None };
            conflict(id, expected.unwrap_or_default(), number(1)?)
        }
        "large" => too_large(write, number(1)?, number(2)?),
        "corrupt" => corrupt(id),
        _ => error::unexpected(),
    })
}

fn too_large(write: &ExecutionWrite, entries: i64, bytes: i64) -> Error {
    let ExecutionWrite::Change(change) = write else { return error::unexpected() };
    judge::fits(&change.id, entries, bytes, &change.terms).err().unwrap_or_else(error::unexpected)
}

/// What the caller is answered.
pub(super) fn answer(write: &ExecutionWrite, judged: &Judged) -> Result<Reply> {
    Ok(match (write, judged) {
        (ExecutionWrite::Create(creation), Judged::Done(_, now)) if creation.lease.is_some() => {
            Reply::execution(Some(judge::created(creation, *now)?.0), Shows::ContextAndToken)
        }
        (_, Judged::Done(answer, _)) => Reply::Value(answer.into_dynamic()),
        (_, Judged::Removed) => Reply::Flag(true),
        (_, Judged::Nothing) => Reply::Flag(false),
    })
}
