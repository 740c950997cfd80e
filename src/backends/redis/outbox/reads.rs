//! Questions about the outbox.

use fred::prelude::Value;

use super::Outbox;
use super::changes::age;
use super::keys::stored_of;
use crate::backends::redis::channel::Channel;
use crate::backends::redis::error;
use crate::backends::redis::script::{count_of, list_of, texts_of};
use crate::contract::dynamic::Dynamic;
use crate::contract::outbox::OutboxRead;
use crate::contract::outbox::record::{Counts, EventPage, EventStatus, Stored, foreign_cursor, listed};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// Events that one script looks at, and that it tells.
const LOOKS: usize = 500;
const TOLD: usize = 100;

/// Scripts that look for the earliest event that is ready; then it is taken to be the next one that they have not seen.
const STEPS_TO_OLDEST: usize = 40;

impl<C: Channel> Outbox<'_, C> {
    /// Answers a question.
    pub(super) async fn read(&self, read: &OutboxRead) -> Result<Reply> {
        Ok(match read {
            OutboxRead::Get { id } => match self.ask(self.words("get").text(id)).await? {
                Value::Null => Reply::Value(Dynamic::Null),
                found => Reply::Value(stored_of(list_of(Ok(found))?)?.into_dynamic()),
            },
            OutboxRead::List { saga_id, status, after, limit } => {
                let after = after.as_ref().map(|after| after.parse::<i64>().map_err(|_| foreign_cursor()));
                let after = after.transpose()?.unwrap_or(0);
                self.list(saga_id.as_deref(), *status, after, *limit).await?.into_reply()
            }
            OutboxRead::Stuck { older_than_ms, limit } => {
                let (_, ids) = self.stuck(*older_than_ms, *limit).await?;
                let scripts = ids.chunks(TOLD).map(|ids| self.words("several").texts(ids.iter().map(|id| &**id)));
                let mut found = Vec::new();
                for reply in self.ask_all(scripts.collect()).await? {
                    found.extend(told(reply?)?);
                }
                // It may have been answered meanwhile.
                found.retain(|event| event.status == EventStatus::Claimed);
                listed(found)
            }
            OutboxRead::Count { status } => {
                Reply::Count(count_of(self.ask(self.words("count").text(status.name())).await)?)
            }
            OutboxRead::BlockedKeys { terms, .. } if terms.skips_dead => Reply::ids(Vec::new()),
            OutboxRead::BlockedKeys { limit, .. } => {
                let keys = texts_of(self.ask(self.words("blocked").millis(*limit)).await)?;
                Reply::ids(keys.into_iter().map(Box::from))
            }
            OutboxRead::Statistics { terms } => {
                let (mut counts, now) = self.counts().await?;
                if terms.skips_dead {
                    counts.blocked_keys = 0;
                }
                Reply::Value(counts.into_dynamic(now))
            }
        })
    }

    async fn list(&self, saga: Option<&str>, status: Option<EventStatus>, after: i64, limit: u64) -> Result<EventPage> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let saga = saga.map(|saga| format!("s:{saga}"));
        let indexes: &[(&str, Option<EventStatus>)] = match (&saga, status) {
            (Some(saga), status) => &[(&**saga, status)],
            (None, Some(EventStatus::DeadLetter)) => &[("dead", status)],
            (None, Some(EventStatus::Sent)) => &[("kept", status)],
            (None, Some(_)) => &[("all", status)],
            (None, None) => &[("all", None), ("kept", Some(EventStatus::Sent))],
        };
        let mut events = Vec::new();
        for (index, status) in indexes {
            events.extend(self.walk(index, *status, after, limit.saturating_add(1)).await?);
        }
        events.sort_unstable_by_key(|event| event.seq);
        // One that was just sent may stand in both.
        events.dedup_by_key(|event| event.seq);
        let has_more = events.len() > limit;
        events.truncate(limit);
        let cursor = events.last().filter(|_| has_more).map(|event| event.seq.to_string().into());
        Ok(EventPage { events, cursor })
    }

    /// The first events of an index behind a number.
    async fn walk(&self, index: &str, status: Option<EventStatus>, after: i64, limit: usize) -> Result<Vec<Stored>> {
        let mut found: Vec<Stored> = Vec::new();
        let mut after = after.to_string();
        while found.len() < limit {
            let told_together = (limit - found.len()).min(TOLD);
            // Where all are meant, those that are not told are not looked at either.
            let looks = if status.is_some() { LOOKS } else { told_together };
            let words = self.words("page").text(index).text(&after).text(status.map_or("", |status| status.name()));
            let words = words.text(&looks.to_string()).text(&told_together.to_string());
            let mut reply = list_of(self.ask(words).await)?;
            found.extend(told(reply.pop().ok_or_else(error::unexpected)?)?);
            after = reply.pop().and_then(|after| after.as_string()).ok_or_else(error::unexpected)?;
            if after.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// Those that were claimed so long ago, the earliest event first; and the time that was meant.
    pub(super) async fn stuck(&self, older_than_ms: u64, limit: u64) -> Result<(String, Vec<Box<str>>)> {
        let mut found: Vec<(i64, Box<str>)> = Vec::new();
        let (mut from, mut first_before) = (0, None);
        loop {
            let words = self.words("claimed").text(&age(older_than_ms));
            let words = words.text(&from.to_string()).text(&LOOKS.to_string());
            let mut reply = list_of(self.ask(words).await)?;
            let mut ids = texts_of(Ok(reply.pop().ok_or_else(error::unexpected)?))?.into_iter();
            let looked = reply.pop().and_then(|looked| looked.as_u64()).ok_or_else(error::unexpected)?;
            let before = reply.pop().and_then(|before| before.as_string()).ok_or_else(error::unexpected)?;
            let before = first_before.get_or_insert(before);
            while let (Some(seq), Some(id)) = (ids.next(), ids.next()) {
                found.push((seq.parse().map_err(|_| error::unexpected())?, id.into()));
            }
            from += LOOKS;
            if looked < LOOKS as u64 {
                found.sort_unstable();
                found.dedup();
                found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                return Ok((before.clone(), found.into_iter().map(|(_, id)| id).collect()));
            }
        }
    }

    async fn counts(&self) -> Result<(Counts, Millis)> {
        let reply = texts_of(self.ask(self.words("statistics")).await)?;
        let numbers: Vec<i64> = reply.iter().filter_map(|number| number.parse().ok()).collect();
        let [now, counts @ ..] = <[i64; 7]>::try_from(numbers).map_err(|_| error::unexpected())?;
        let [ready, claimed, waiting, dead, sent, blocked_keys] =
            counts.map(|count| u64::try_from(count).unwrap_or_default());
        let oldest_ready = if ready > 0 { self.oldest_ready().await? } else { None };
        Ok((Counts { ready, claimed, waiting, dead, sent, blocked_keys, oldest_ready }, Millis(now)))
    }

    async fn oldest_ready(&self) -> Result<Option<Millis>> {
        let mut after = String::from("0");
        for _ in 0..STEPS_TO_OLDEST {
            let words = self.words("oldest").text(&after).text(&LOOKS.to_string());
            let [at, next] =
                <[String; 2]>::try_from(texts_of(self.ask(words).await)?).map_err(|_| error::unexpected())?;
            if !at.is_empty() {
                return at.parse().map(|at| Some(Millis(at))).map_err(|_| error::unexpected());
            }
            if next.is_empty() {
                break;
            }
            after = next;
        }
        Ok(None)
    }
}

/// Events that a script tells.
fn told(reply: Value) -> Result<Vec<Stored>> {
    list_of(Ok(reply))?.into_iter().map(|event| stored_of(list_of(Ok(event))?)).collect()
}
