//! Events, read and stored in the order of the queue. They are found by their numbers in the sorted sets of what is not
//! sent and of what is kept, both looked at by one script: an event that goes from one to the other keeps its number.

use std::sync::LazyLock;

use bytes::Bytes;
use fred::prelude::Value;
use serde::{Deserialize, Serialize};

use super::executions::policy;
use super::scan::Wanted;
use super::{fate, told};
use crate::backends::redis::channel::Servers;
use crate::backends::redis::error;
use crate::backends::redis::outbox::keys::{anchor, body_of, kind_of, stored_of, touched};
use crate::backends::redis::outbox::scripts::{COMMON, INSERT, READS};
use crate::backends::redis::script::{Script, Source, WORD, Words, ask, count_of, list_of, texts_of};
use crate::contract::moving::record::{Key, Record};
use crate::contract::moving::{Count, Fate, Import, Moved, Page, foreign_cursor};
use crate::contract::outbox::record::Stored;
use crate::error::{Kind, Result};
use crate::time::Millis;

const MOVING: &str = include_str!("outbox.lua");
static SCRIPT: LazyLock<Source> = LazyLock::new(|| Source::of(&[WORD, COMMON, INSERT, READS, MOVING]));

/// Events that one script tells, and that it stores: the server does nothing else meanwhile.
const TOGETHER: u64 = 100;

/// Bytes that one script tells or stores, about.
const BYTES_TOGETHER: u64 = 4 << 20;

/// What a page ends with.
#[derive(Serialize, Deserialize)]
struct Cursor {
    kind: String,
    /// The number of the last event.
    seq: i64,
}

impl Cursor {
    fn read(text: &str) -> Result<i64> {
        let Self { kind, seq } = serde_json::from_str(text).map_err(|_| foreign_cursor())?;
        if kind == Moved::Outbox.name() && seq >= 0 { Ok(seq) } else { Err(foreign_cursor()) }
    }

    fn text(seq: &str) -> Result<String> {
        let seq = seq.parse().map_err(|_| error::unexpected())?;
        let cursor = Self { kind: Moved::Outbox.name().to_owned(), seq };
        serde_json::to_string(&cursor).map_err(|source| error::unexpected().with_source(source))
    }
}

/// The events under a prefix.
pub(super) struct Events<'a, S> {
    pub(super) on: &'a S,
    pub(super) prefix: &'a str,
}

impl<S: Servers> Events<'_, S> {
    fn words(&self, operation: &'static str) -> Words {
        Words::of(operation, self.prefix.to_owned())
    }

    fn script(&self, words: Words) -> Script {
        let keys = if self.on.one_server() { vec![anchor(self.prefix)] } else { touched(self.prefix) };
        Script::new(&SCRIPT, keys, words)
    }

    async fn ask(&self, words: Words) -> Result<Value> {
        ask(self.on, vec![self.script(words)]).await?.pop().ok_or_else(error::unexpected)?
    }

    pub(super) async fn page(&self, wanted: &Wanted, after: Option<&str>) -> Result<Page> {
        let mut after = after.map(Cursor::read).transpose()?.unwrap_or(0).to_string();
        let (mut page, mut bytes) = (Page::default(), 0_u64);
        while (page.records.len() as u64) < wanted.limit {
            let left = wanted.max_bytes.saturating_sub(bytes);
            if left == 0 && !page.records.is_empty() {
                break;
            }
            let limit = (wanted.limit - page.records.len() as u64).min(TOGETHER);
            let words = self.words("scan").text(&after).millis(limit).millis(left.min(BYTES_TOGETHER));
            let mut reply = list_of(self.ask(words).await)?;
            let events = list_of(reply.pop().ok_or_else(error::unexpected))?;
            after = reply.pop().and_then(|after| after.as_string()).ok_or_else(error::unexpected)?;
            for event in events {
                match stored_of(list_of(Ok(event))?) {
                    Ok(stored) => {
                        let record = Record::Event(Box::new(stored));
                        bytes = bytes.saturating_add(record.bytes() as u64);
                        page.records.push(record);
                    }
                    Err(error) if error.kind() == Kind::CorruptData => {
                        let id = error.id().unwrap_or_default().to_owned();
                        page.unreadable.push((id, error.message().to_owned()));
                    }
                    Err(error) => return Err(error),
                }
            }
            if after.is_empty() {
                return Ok(page);
            }
        }
        page.cursor = Some(Cursor::text(&after)?);
        Ok(page)
    }

    pub(super) async fn fetch(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let scripts = keys.iter().map(|key| self.script(self.words("get").text(&key.id))).collect();
        let record = |reply: Result<Value>| match reply? {
            Value::Null => Ok(None),
            found => Ok(Some(Record::Event(Box::new(stored_of(list_of(Ok(found))?)?)))),
        };
        ask(self.on, scripts).await?.into_iter().map(record).collect()
    }

    pub(super) async fn count(&self) -> Result<Count> {
        Ok(Count { records: count_of(self.ask(self.words("total")).await)?, approximate: false })
    }

    /// One part after the other: a server that does not know the script yet would mix their order up.
    pub(super) async fn import(&self, import: &Import) -> Result<Vec<Fate>> {
        let mut fates = Vec::with_capacity(import.records.len());
        let mut rest = &import.records[..];
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |record: &&Record| {
                bytes += record.bytes() as u64;
                bytes <= BYTES_TOGETHER
            };
            let most = usize::try_from(TOGETHER).unwrap_or(usize::MAX);
            let count = rest.iter().take(most).take_while(fits).count().max(1);
            let (some, others) = rest.split_at(count);
            let mut words = self.words("bring").text(policy(import.conflict)).text(&count.to_string());
            for record in some {
                let Record::Event(stored) = record else { return Err(error::unexpected()) };
                words = words.event(stored);
            }
            match self.ask(words).await {
                Ok(reply) => {
                    for (record, word) in some.iter().zip(texts_of(Ok(reply))?) {
                        fates.push(fate(told(&word, record), record)?);
                    }
                }
                Err(error) => {
                    // None of them is stored.
                    for record in some {
                        fates.push(fate(Err(error.clone()), record)?);
                    }
                }
            }
            rest = others;
        }
        Ok(fates)
    }
}

impl Words {
    /// An event, with all that is kept of it.
    fn event(self, stored: &Stored) -> Self {
        let event = &stored.event;
        let text = |text: &Option<Box<str>>| text.as_ref().map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let number = |number: i64| (number != 0).then(|| Bytes::from(number.to_string()));
        let time = |at: Option<Millis>| at.map(|at| Bytes::from(at.0.to_string()));
        let fields = [
            ("body", Some(body_of(event))),
            ("kind", Some(Bytes::from(kind_of(event)))),
            ("made", Some(Bytes::from(format!("{} {}", stored.created_at.0, stored.operation)))),
            ("status", Some(Bytes::from(stored.status.name()))),
            ("key", text(&event.partition_key)),
            ("saga", text(&event.saga_id)),
            ("due", time(stored.due_at)),
            ("lease", time(stored.lease_until)),
            ("token", text(&stored.token)),
            ("worker", text(&stored.worker)),
            ("claimed", time(stored.claimed_at)),
            ("deliveries", number(stored.deliveries)),
            ("retries", number(stored.retry_count)),
            ("error", text(&stored.last_error)),
            ("sent", time(stored.sent_at)),
            ("dead", time(stored.dead_at)),
            ("expires", time(stored.expires_at)),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some([Bytes::from(name), value?])).flatten();
        let fields: Vec<Bytes> = fields.collect();
        let millis = |at: Option<Millis>| at.map(|at| at.0);
        let words = self.text(&event.id).text(stored.status.name());
        let words = words.text(event.partition_key.as_deref().unwrap_or_default());
        let words = words.text(event.saga_id.as_deref().unwrap_or_default());
        let words = words.optional(millis(stored.due_at)).optional(millis(stored.lease_until));
        let words = words.optional(millis(stored.sent_at)).optional(millis(stored.dead_at));
        let words = words.optional(millis(stored.expires_at)).number(stored.deliveries).number(stored.retry_count);
        words.list(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_numbers_of_events() {
        let text = Cursor::text("17").unwrap();
        assert_eq!(Cursor::read(&text).unwrap(), 17);
        for other in ["17", "", r#"{"kind":"payloads","seq":17}"#, r#"{"kind":"outbox","seq":-1}"#] {
            assert_eq!(Cursor::read(other).unwrap_err().kind(), Kind::InvalidArgument, "{other}");
        }
    }
}
