//! Changes of the outbox: one script each, or several where one would be long.

use fred::prelude::Value;

use super::Outbox;
use super::keys::{corrupt, stored_of};
use crate::backends::redis::channel::Channel;
use crate::backends::redis::error;
use crate::backends::redis::script::{Words, count_of, list_of, texts_of};
use crate::contract::outbox::record::{Stored, is_sent, listed, missing, settled, taken};
use crate::contract::outbox::{ClaimEvents, Decision, Held, Insertion, OutboxWrite, Outcome, Settlement, Terms, judge};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Events that one script gives, at most.
const GIVEN_TOGETHER: usize = 100;

/// Events that one script acknowledges or removes, at most.
const DONE_TOGETHER: usize = 200;

/// Scripts of one claim, at most: it looks at so many parts of the queue.
const MOST_SCRIPTS: usize = 10_000;

impl<C: Channel> Outbox<'_, C> {
    /// Runs a change.
    pub(super) async fn write(&self, write: &OutboxWrite) -> Result<Reply> {
        Ok(match write {
            OutboxWrite::Insert(insertion) => listed(self.insert(insertion).await?),
            OutboxWrite::Claim(claim) => listed(self.claim(claim).await?),
            OutboxWrite::Settle(settlement) => settled(self.settle(settlement).await?),
            OutboxWrite::Decide { id, decision, terms } => self.decide(id, decision, terms).await?,
            OutboxWrite::ReleaseStuck { older_than_ms, limit } => {
                let (before, stuck) = self.stuck(*older_than_ms, *limit).await?;
                Reply::Count(self.of_ids(&stuck, || self.words("stuck").text(&before)).await?)
            }
            OutboxWrite::Requeue { ids } => Reply::Count(self.of_ids(ids, || self.words("requeue")).await?),
            OutboxWrite::Discard { ids } => Reply::Count(self.of_ids(ids, || self.words("discard")).await?),
            OutboxWrite::Archive { older_than_ms, sent, dead, limit } => {
                let words = || self.words("archive").text(&age(*older_than_ms)).flag(*sent).flag(*dead);
                Reply::Count(self.remove(*limit, words).await?)
            }
        })
    }

    async fn insert(&self, insertion: &Insertion) -> Result<Vec<Stored>> {
        let words = self.words("insert").insertion(insertion).flag(insertion.lease.is_some());
        let words = match &insertion.lease {
            Some(lease) => words.text(&lease.token).text(&lease.worker).millis(lease.lease_ms),
            None => words,
        };
        let mut reply = list_of(self.ask(words).await)?.into_iter();
        let code = reply.next().and_then(|code| code.as_string()).unwrap_or_default();
        if code == "taken" {
            return Err(taken(&reply.next().and_then(|id| id.as_string()).unwrap_or_default()));
        }
        let now = reply.next().and_then(|now| now.as_i64()).map(Millis).ok_or_else(error::unexpected)?;
        let born = list_of(reply.next().ok_or_else(error::unexpected))?.into_iter();
        let stored = |born: Value| -> Result<Stored> {
            let born = texts_of(Ok(born))?;
            let number = |at: usize| born.get(at).and_then(|number| number.parse::<i64>().ok());
            let (place, seq) = number(0).zip(number(1)).ok_or_else(error::unexpected)?;
            let place = usize::try_from(place - 1).map_err(|_| error::unexpected())?;
            let event = insertion.events.get(place).ok_or_else(error::unexpected)?;
            let mut stored = judge::inserted(event, seq, insertion, now);
            if let Some(lease) = &insertion.lease {
                judge::claim(&mut stored, lease, &insertion.terms, now);
            }
            Ok(stored)
        };
        born.map(stored).collect()
    }

    async fn claim(&self, claim: &ClaimEvents) -> Result<Vec<Stored>> {
        let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
        let mut claimed: Vec<Stored> = Vec::new();
        let mut place = Place::default();
        for _ in 0..MOST_SCRIPTS {
            let together = (limit - claimed.len()).min(GIVEN_TOGETHER);
            let part = match self.ask(self.claim_words(claim, together, &place)).await {
                Ok(reply) => Part::read(reply, claim)?,
                // What was given is the caller's.
                Err(_) if !claimed.is_empty() => break,
                Err(error) => return Err(error),
            };
            claimed.extend(part.given);
            if claimed.len() >= limit || !part.has_more {
                break;
            }
            place = part.place;
        }
        claimed.sort_unstable_by_key(|event| event.seq);
        Ok(claimed)
    }

    fn claim_words(&self, claim: &ClaimEvents, limit: usize, place: &Place) -> Words {
        let lease = &claim.lease;
        let words = self.words("claim").terms(&claim.terms).text(&lease.token).text(&lease.worker);
        let words = words.millis(lease.lease_ms).text(&limit.to_string()).text(&age(claim.older_than_ms));
        let mut words = words.text(&place.after);
        for names in [&claim.types, &claim.routing_keys] {
            words = words.flag(names.is_some());
            if let Some(names) = names {
                words = words.texts(names.iter().map(|name| &**name));
            }
        }
        words.text(&place.key).text(&place.seq)
    }

    async fn settle(&self, settlement: &Settlement) -> Result<Vec<Box<str>>> {
        let Settlement { held, outcome, terms } = settlement;
        let (words, together) = match outcome {
            Outcome::Sent => (self.words("ack").terms(terms), DONE_TOGETHER),
            Outcome::Extended(lease_ms) => (self.words("extend").millis(*lease_ms), DONE_TOGETHER),
            // One that fails takes those behind it along: all at once.
            Outcome::Released => (self.words("release").terms(terms), usize::MAX),
            Outcome::Failed { error, retry_at, jitter } => {
                let words = self.words("fail").terms(terms).text(error).optional(retry_at.map(|at| at.0));
                (words.text(&jitter.to_string()), usize::MAX)
            }
        };
        let scripts = held.chunks(together.min(held.len().max(1))).map(|held| words.clone().held(held));
        let mut lost = Vec::new();
        for reply in self.ask_all(scripts.collect()).await? {
            lost.extend(texts_of(reply)?.into_iter().map(Box::from));
        }
        Ok(lost)
    }

    async fn decide(&self, id: &str, decision: &Decision, terms: &Terms) -> Result<Reply> {
        let (name, message, jitter) = match decision {
            Decision::Pending => ("pending", "", 1.0),
            Decision::Sent => ("sent", "", 1.0),
            Decision::Failed { error, jitter } => ("failed", &**error, *jitter),
            Decision::Dead { error } => ("dead", error.as_deref().unwrap_or_default(), 1.0),
        };
        let words = self.words("decide").terms(terms).text(id).text(name).text(message).text(&jitter.to_string());
        match self.ask(words).await?.as_string().unwrap_or_default().as_str() {
            "ok" => Ok(Reply::Done),
            "missing" => Err(missing(id)),
            "sent" => Err(is_sent(id)),
            _ => Err(error::unexpected()),
        }
    }

    /// Does something to events, a part after the other; answers to how many it was done.
    async fn of_ids(&self, ids: &[Box<str>], words: impl Fn() -> Words) -> Result<u64> {
        let scripts = ids.chunks(DONE_TOGETHER).map(|ids| words().texts(ids.iter().map(|id| &**id)));
        self.ask_all(scripts.collect()).await?.into_iter().map(count_of).sum()
    }

    /// Removes what is over, at most `limit`.
    async fn remove(&self, limit: u64, words: impl Fn() -> Words) -> Result<u64> {
        let mut removed = 0;
        while removed < limit {
            let together = (limit - removed).min(DONE_TOGETHER as u64);
            let count = count_of(self.ask(words().millis(together)).await)?;
            removed += count;
            if count < together {
                break;
            }
        }
        Ok(removed)
    }

    /// Removes what is sent, or dead, and was to be kept until now, at most `limit`.
    pub(in crate::backends::redis) async fn purge_expired(&self, limit: u64) -> Result<u64> {
        match self.remove(limit, || self.words("purge")).await {
            // Who may use the keys of payloads alone has no events.
            Err(error) if error.kind() == Kind::Backend && error::is_forbidden(&error) => Ok(0),
            removed => removed,
        }
    }
}

/// Milliseconds that Lua can reckon with: a thousand years are more than any clock tells.
pub(super) fn age(millis: u64) -> String {
    millis.min(32_000_000_000_000).to_string()
}

impl Words {
    fn held(self, held: &[Held]) -> Self {
        let words = self.text(&held.len().to_string());
        held.iter().fold(words, |words, held| words.text(&held.id).text(&held.token))
    }
}

/// Where a claim goes on.
struct Place {
    /// Behind this number, of those that are offered again.
    after: String,
    /// With this key first, behind this number: its run was cut.
    key: String,
    seq: String,
}

impl Default for Place {
    fn default() -> Self {
        Self { after: String::from("0"), key: String::new(), seq: String::new() }
    }
}

/// What one script of a claim has answered.
struct Part {
    given: Vec<Stored>,
    has_more: bool,
    place: Place,
}

impl Part {
    fn read(reply: Value, claim: &ClaimEvents) -> Result<Self> {
        let mut reply = list_of(Ok(reply))?;
        let given = list_of(reply.pop().ok_or_else(error::unexpected))?;
        let [now, has_more, after, key, seq] =
            <[String; 5]>::try_from(texts_of(Ok(Value::Array(reply)))?).map_err(|_| error::unexpected())?;
        let now = Millis(now.parse().map_err(|_| error::unexpected())?);
        let given = given.into_iter().map(|given| given_of(given, claim, now)).collect::<Result<_>>()?;
        Ok(Self { given, has_more: has_more == "1", place: Place { after, key, seq } })
    }
}

/// An event of a claim: what all have in common is not sent.
fn given_of(values: Value, claim: &ClaimEvents, now: Millis) -> Result<Stored> {
    let values = list_of(Ok(values))?;
    let [id, seq, key, deliveries, kind, made, saga, retries, why, body] =
        <[Value; 10]>::try_from(values).map_err(|_| -> Error { corrupt("") })?;
    let lease = &claim.lease;
    let text = |text: &str| Value::from(text.to_owned());
    let number = |at: Millis| Value::from(at.0);
    let (due, sent, dead, expires) = (Value::Null, Value::Null, Value::Null, Value::Null);
    stored_of(vec![
        id,
        text("claimed"),
        seq,
        key,
        due,
        number(now.plus(lease.lease_ms)),
        text(&lease.token),
        deliveries,
        kind,
        made,
        saga,
        retries,
        why,
        body,
        number(now),
        text(&lease.worker),
        sent,
        dead,
        expires,
    ])
}
