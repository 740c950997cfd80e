//! Payloads and entries of the inbox: a string key each, which ceases to exist by itself.

use std::sync::LazyLock;

use bytes::Bytes;
use fred::prelude::Value;

use super::scan::Scanned;
use super::{Found, fate, unreadable};
use crate::backends::redis::channel::{Servers, escaped};
use crate::backends::redis::command::{Request, Until};
use crate::backends::redis::payloads::{is_soon, lost_at_once, shifted};
use crate::backends::redis::script::{Script, Source, WORD, Words, ask, list_of};
use crate::backends::redis::{error, inbox, payloads};
use crate::buffers;
use crate::contract::inbox::Entry;
use crate::contract::moving::record::{Body, Key, Message, Payload, Record};
use crate::contract::moving::{Conflict, Fate, HEAD_BYTES, Import, Stat};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Larger data is handed on as it was read.
const LARGEST_COPY: usize = 128 << 10;

/// When a key ceases to exist, by the server's clock: -1, it does not; -2, it is not there. Redis 6.2 tells only how
/// much time is left.
const ENDS: &str = "local function ends(key) local at = redis.pcall('PEXPIRETIME', key) \
    if type(at) ~= 'table' then return at end \
    local left, time = redis.call('PTTL', key), redis.call('TIME') \
    if left < 0 then return left end return time[1] * 1000 + math.floor(time[2] / 1000) + left end\n";

/// When a key ceases to exist, and what a command says of it; nothing where nothing is.
const READ: &str =
    "local at = ends(KEYS[1]) if at == -2 then return false end return {at, redis.call(word(), KEYS[1])}";

/// Stores what lives longer than what is there.
const NEWER: &str = "local key, at, data, there = KEYS[1], word(), word(), ends(KEYS[1]) \
    if there == -1 or there ~= -2 and at ~= '' and tonumber(at) <= there then return 0 end \
    if at == '' then redis.call('SET', key, data) else redis.call('SET', key, data, 'PXAT', at) end return 1";

static READS: LazyLock<Source> = LazyLock::new(|| Source::of(&[WORD, ENDS, READ]));
static STORES_NEWER: LazyLock<Source> = LazyLock::new(|| Source::of(&[WORD, ENDS, NEWER]));

/// What stands under a key, and when it ceases to exist.
pub(super) struct Plain {
    pub(super) value: Value,
    pub(super) expires_at: Option<Millis>,
}

/// Reads some keys: with GET, or STRLEN.
pub(super) async fn read(
    on: &impl Servers,
    keys: impl IntoIterator<Item = Bytes>,
    command: &'static str,
) -> Result<Vec<Result<Option<Plain>>>> {
    on.keep_time().await?;
    let shift = on.clock().shift();
    let scripts = keys.into_iter().map(|key| Script::new(&READS, vec![key], Words::new(command))).collect();
    let plain = |reply: Result<Value>| match reply? {
        Value::Null => Ok(None),
        reply => {
            let [at, value] = <[Value; 2]>::try_from(list_of(Ok(reply))?).map_err(|_| error::unexpected())?;
            let at = at.as_i64().ok_or_else(error::unexpected)?;
            Ok(Some(Plain { value, expires_at: (at >= 0).then(|| Millis(at.saturating_sub(shift))) }))
        }
    };
    Ok(ask(on, scripts).await?.into_iter().map(plain).collect())
}

/// Data in memory of its own.
fn data_of(value: Value) -> Result<Bytes> {
    let data = match value {
        Value::Bytes(data) => data,
        Value::String(text) => text.into_inner(),
        _ => return Err(error::unexpected()),
    };
    Ok(if data.len() < LARGEST_COPY { buffers::copied(&data) } else { data })
}

/// A record that is a key, as it is to be stored.
struct Given<'a> {
    record: &'a Record,
    key: Bytes,
    data: Bytes,
    expires_at: Option<Millis>,
}

impl Given<'_> {
    fn request(&self, conflict: Conflict, shift: i64) -> Option<Request> {
        let (key, data) = (self.key.clone(), self.data.clone());
        let until = self.expires_at.map(|at| shifted(at, shift));
        match conflict {
            Conflict::Overwrite => Some(Request::Set { key, data, until: until.map(Until::At) }),
            Conflict::Skip | Conflict::Refuse => {
                let head = [Bytes::from("SET"), key.clone(), data, Bytes::from("NX")];
                let until = until.map(|at| [Bytes::from("PXAT"), Bytes::from(at.to_string())]);
                Some(Request::Words { key, words: head.into_iter().chain(until.into_iter().flatten()).collect() })
            }
            Conflict::Newer => None,
        }
    }

    fn script(&self, shift: i64) -> Script {
        let mut words = Words(Vec::with_capacity(2)).optional(self.expires_at.map(|at| shifted(at, shift)));
        words.0.push(self.data.clone());
        Script::new(&STORES_NEWER, vec![self.key.clone()], words)
    }

    /// Whether a reply says that it was stored.
    fn stored(&self, reply: Result<Value>, conflict: Conflict) -> Result<bool> {
        match reply? {
            Value::Null if conflict == Conflict::Skip => Ok(false),
            Value::Null if conflict == Conflict::Refuse => Err(self.record.taken()),
            reply if conflict == Conflict::Newer => Ok(reply.as_i64().ok_or_else(error::unexpected)? == 1),
            reply if reply.as_bytes().is_some_and(|reply| reply == b"OK") => Ok(true),
            _ => Err(error::unexpected()),
        }
    }
}

/// Stores records in one round trip. See `payloads.rs` for whose clock it is that judges expiries.
async fn store(on: &impl Servers, given: &[Given<'_>], conflict: Conflict) -> Result<Vec<Fate>> {
    if given.iter().any(|given| given.expires_at.is_some()) {
        on.keep_time().await?;
    }
    let shift = on.clock().shift();
    let requests: Option<Vec<_>> = given.iter().map(|given| given.request(conflict, shift)).collect();
    let replies = match requests {
        Some(requests) => on.send(requests).await?,
        None => ask(on, given.iter().map(|given| given.script(shift)).collect()).await?,
    };
    let fates = given.iter().zip(replies).map(|(given, reply)| fate(given.stored(reply, conflict), given.record));
    let mut fates: Vec<Fate> = fates.collect::<Result<_>>()?;
    look_for_lost(on, given, &mut fates).await?;
    Ok(fates)
}

/// What expires soon may be gone at once, because the server's clock is another one.
async fn look_for_lost(on: &impl Servers, given: &[Given<'_>], fates: &mut [Fate]) -> Result<()> {
    let now = Millis::now();
    let pairs = given.iter().zip(fates);
    let soon = pairs
        .filter(|(given, fate)| matches!(fate, Fate::Stored) && given.expires_at.is_some_and(|at| is_soon(at, now)));
    let (soon, fates): (Vec<_>, Vec<_>) = soon.unzip();
    let requests = soon.iter().map(|given| Request::Exists { key: given.key.clone() }).collect();
    let mut is_lost = false;
    for ((given, fate), reply) in soon.iter().zip(fates).zip(on.send(requests).await?) {
        // An EXISTS that fails says nothing.
        if !reply.is_ok_and(|count| count.as_i64() == Some(0)) {
            continue;
        }
        *fate = if given.expires_at.is_some_and(|at| at > Millis::now()) {
            is_lost = true;
            Fate::Refused(lost_at_once().with_id(given.record.id()))
        } else {
            Fate::Expired
        };
    }
    if is_lost {
        on.ask_time().await?;
    }
    Ok(())
}

/// The payloads under a prefix.
pub(super) struct Payloads<'a, S> {
    pub(super) on: &'a S,
    pub(super) prefix: &'a str,
    /// What their ids begin with.
    pub(super) ids: &'a str,
    pub(super) only_sizes: bool,
}

impl<S: Servers> Payloads<'_, S> {
    fn record(&self, id: &str, found: Plain) -> Result<Record> {
        let body = if self.only_sizes {
            Body::Size(found.value.as_u64().ok_or_else(error::unexpected)?)
        } else {
            Body::Whole(data_of(found.value)?)
        };
        Ok(Record::Payload(Payload { id: id.into(), body, expires_at: found.expires_at }))
    }

    fn id<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(self.prefix)?.strip_prefix(':')
    }

    pub(super) async fn fetch(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let found = read(self.on, keys.iter().map(|key| payloads::key(self.prefix, &key.id)), "GET").await?;
        let record = |(key, found): (&Key, Result<Option<Plain>>)| {
            let found = found.map_err(|error| error.with_id(&key.id))?;
            found.map(|found| self.record(&key.id, found)).transpose()
        };
        keys.iter().zip(found).map(record).collect()
    }

    /// What is known of a payload.
    pub(super) async fn stat(&self, id: &str) -> Result<Option<Stat>> {
        let key = payloads::key(self.prefix, id);
        let measured = read(self.on, [key.clone()], "STRLEN").await?.pop().ok_or_else(error::unexpected)??;
        let Some(Plain { value, expires_at }) = measured else { return Ok(None) };
        let bytes = value.as_u64().ok_or_else(error::unexpected)?;
        let words = [Bytes::from("GETRANGE"), key.clone(), Bytes::from("0"), Bytes::from((HEAD_BYTES - 1).to_string())];
        let head = self.on.send(vec![Request::Words { key, words: words.into() }]).await?.pop();
        let head = data_of(head.ok_or_else(error::unexpected)??)?;
        Ok(Some(Stat { bytes, head, expires_at }))
    }

    pub(super) async fn import(&self, import: &Import) -> Result<Vec<Fate>> {
        let given = import.records.iter().map(|record| match record {
            Record::Payload(Payload { id, body: Body::Whole(data), expires_at }) => {
                let (key, data) = (payloads::key(self.prefix, id), data.clone());
                Ok(Given { record, key, data, expires_at: *expires_at })
            }
            _ => Err(Error::invalid("a payload without its bytes cannot be stored")),
        });
        store(self.on, &given.collect::<Result<Vec<_>>>()?, import.conflict).await
    }
}

impl<S: Servers> Scanned for Payloads<'_, S> {
    const TYPE: &'static str = "string";

    fn pattern(&self) -> String {
        format!("{}:{}*", escaped(self.prefix), escaped(self.ids))
    }

    fn is_record(&self, key: &str) -> bool {
        self.id(key).is_some_and(|id| id.starts_with(self.ids))
    }

    fn shown<'k>(&self, key: &'k str) -> &'k str {
        self.id(key).unwrap_or(key)
    }

    fn size(&self, key: &str) -> Option<Request> {
        (!self.only_sizes).then(|| Request::Length { key: Bytes::copy_from_slice(key.as_bytes()) })
    }

    async fn read(&self, keys: &[String]) -> Result<Vec<Option<Found>>> {
        let command = if self.only_sizes { "STRLEN" } else { "GET" };
        let found = read(self.on, keys.iter().map(|key| Bytes::copy_from_slice(key.as_bytes())), command).await?;
        let record = |(key, found): (&String, Result<Option<Plain>>)| match found {
            Ok(None) => Ok(None),
            Ok(Some(found)) => self.record(self.shown(key), found).map(|record| Some(Ok(record))),
            Err(error) => unreadable(error).map(Some),
        };
        keys.iter().zip(found).map(record).collect()
    }
}

/// The consumer and the message of an entry's key.
fn parts<'k>(prefix: &str, key: &'k str) -> Option<(&'k str, &'k str)> {
    let (length, rest) = key.strip_prefix(prefix)?.split_once(':')?;
    let (consumer, message) = rest.split_at_checked(length.parse().ok()?)?;
    Some((consumer, message.strip_prefix(':')?))
}

/// The entries of the inbox under a prefix.
pub(super) struct Entries<'a, S> {
    pub(super) on: &'a S,
    pub(super) prefix: &'a str,
}

impl<S: Servers> Entries<'_, S> {
    fn key(&self, consumer: &str, message: &str) -> Bytes {
        let key = format!("{consumer}\0{message}").into();
        inbox::key(self.prefix, &Entry { consumer: consumer.into(), message: message.into(), key })
    }

    fn record(consumer: &str, id: &str, found: Plain) -> Result<Found> {
        let Some(expires_at) = found.expires_at else { return Ok(Err(String::from("it does not expire"))) };
        let data = data_of(found.value)?;
        Ok(match std::str::from_utf8(&data) {
            Ok(operation) => {
                let (consumer, id, operation) = (consumer.into(), id.into(), operation.into());
                Ok(Record::Message(Message { consumer, id, operation, expires_at }))
            }
            Err(_) => Err(String::from("the operation is not UTF-8")),
        })
    }

    pub(super) async fn fetch(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let found = read(self.on, keys.iter().map(|key| self.key(&key.name, &key.id)), "GET").await?;
        let record = |(key, found): (&Key, Result<Option<Plain>>)| {
            let Some(found) = found.map_err(|error| error.with_id(&key.id))? else { return Ok(None) };
            let corrupt = |why| Error::new(Kind::CorruptData, why).with_id(&key.id);
            Self::record(&key.name, &key.id, found)?.map(Some).map_err(corrupt)
        };
        keys.iter().zip(found).map(record).collect()
    }

    pub(super) async fn import(&self, import: &Import) -> Result<Vec<Fate>> {
        let given = import.records.iter().map(|record| match record {
            Record::Message(Message { consumer, id, operation, expires_at }) => {
                let (key, data) = (self.key(consumer, id), Bytes::copy_from_slice(operation.as_bytes()));
                Ok(Given { record, key, data, expires_at: Some(*expires_at) })
            }
            _ => Err(error::unexpected()),
        });
        store(self.on, &given.collect::<Result<Vec<_>>>()?, import.conflict).await
    }
}

impl<S: Servers> Scanned for Entries<'_, S> {
    const TYPE: &'static str = "string";

    fn pattern(&self) -> String {
        format!("{}*:*:*", escaped(self.prefix))
    }

    fn is_record(&self, key: &str) -> bool {
        parts(self.prefix, key).is_some()
    }

    fn shown<'k>(&self, key: &'k str) -> &'k str {
        let own = key.strip_prefix(self.prefix).unwrap_or(key);
        own.split_once(':').map_or(own, |(_, rest)| rest)
    }

    fn size(&self, _key: &str) -> Option<Request> {
        None
    }

    async fn read(&self, keys: &[String]) -> Result<Vec<Option<Found>>> {
        let found = read(self.on, keys.iter().map(|key| Bytes::copy_from_slice(key.as_bytes())), "GET").await?;
        let record = |(key, found): (&String, Result<Option<Plain>>)| match (found, parts(self.prefix, key)) {
            (Ok(Some(found)), Some((consumer, id))) => Self::record(consumer, id, found).map(Some),
            (Ok(_), _) => Ok(None),
            (Err(error), _) => unreadable(error).map(Some),
        };
        keys.iter().zip(found).map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_made() {
        let parts = |key: &'static str| parts("p:", key);
        assert_eq!(parts("p:6:mailer:m-1"), Some(("mailer", "m-1")));
        assert_eq!(parts("p:3:a:b:c"), Some(("a:b", "c")));
        assert_eq!(parts("p:3:\u{fc}b:"), Some(("\u{fc}b", "")));
        for other in ["q:6:mailer:m-1", "p:7:mailer:m-1", "p:x:mailer:m-1", "p:1:\u{fc}:x", "p:99:a:b"] {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}
