//! An execution as a collection of items, which have its saga id in common (`id`) and differ in their `part`:
//!
//! ```text
//! head            { sagaName: S, status: S, subStatus: S, metadata: S, tags: L, version: N, seq: N, logBytes: N,
//!                   token: S, workerId: S, dueAt: N, attempts: N, pause: N, lastError: S,
//!                   lastOperation: S, lastVersion: N, lastSeq: N, createdKey: S, updatedKey: S,
//!                   completedAt: N, parkedAt: N, endsAt: N, expiresAt: N, listedIn: S, parkedIn: S, shard: S, revision: N,
//!                   context: S, or contextParts: N and generation: N; contextBytes: N,
//!                   log: S, tail: L, tailBytes: N, segments: N }
//! log#{firstSeq}  { log: S, entries: L, keys: L, expiresAt: N }
//! context#{n}     { generation: N, context: S, expiresAt: N }
//! ```
//!
//! The last entries of the log are in the head (`tail`); the others are in segments before them. A segment counts only
//! if its `log` is the head's, a piece of a context only if its `generation` is. So what a replacement has left behind
//! is nobody's, until it is removed.
//!
//! `revision` changes with every change of the head, whoever makes it. `createdKey` and `updatedKey` are a time in 16
//! digits, `#` and the id: a total order. `endsAt` says when the execution ceases to exist; `expiresAt` is what TTL
//! reads, in Unix seconds. Where there are other items, the head gets it last. `gone`: a removal has begun.

use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::expression::{
    ATTEMPTS, COMPLETED_AT, CONTEXT, CONTEXT_PARTS, CREATED, DUE_AT, ENDS_AT, ENTRIES, GENERATION, GONE, KEYS,
    LAST_ERROR, LAST_OPERATION, LAST_SEQ, LAST_VERSION, LISTED_IN, LOG, LOG_BYTES, METADATA, NAME, PARKED_AT,
    PARKED_IN, REVISION, SEGMENTS, SEQ, SHARD, STATUS, SUB_STATUS, TAGS, TAIL, TAIL_BYTES, TOKEN, UPDATED, VERSION,
    WORKER, id_of, part_key,
};
use crate::contract::executions::record::{Action, Entry, Execution, LastOperation, Logged, Status, StepStatus};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Items that are asked for beside each other.
pub(crate) const AT_ONCE: usize = 16;

/// The indexes of the table.
pub(crate) const BY_UPDATE: &str = "updated";
pub(crate) const BY_CREATION: &str = "created";
pub(crate) const ENDED: &str = "ended";
pub(crate) const DUE: &str = "due";
pub(crate) const PARKED: &str = "parked";

/// Partitions of an index that executions are spread over. Stored items are where it says.
pub(crate) const SHARDS: u32 = 8;

/// The part that every execution has.
pub(crate) const HEAD: &str = "head";

/// Entries with more bytes are not in the head.
pub(crate) const TAIL_MAX: usize = 8 << 10;
/// A larger context is not in the head.
pub(crate) const CONTEXT_MAX: usize = 4 << 10;
/// A segment has no more, unless it has one entry.
pub(crate) const SEGMENT_MAX: usize = 256 << 10;
/// A piece of a context.
pub(crate) const PIECE_MAX: usize = 380 << 10;
/// What a head needs besides its metadata, at most, with room to spare.
pub(crate) const HEAD_RESERVE: u64 = 48 << 10;

/// What there is to know without the context and the log.
macro_rules! summary {
    () => {
        "#id, #gone, #sagaName, #status, #subStatus, #metadata, #tags, #version, #seq, #logBytes, #token, #workerId, \
         #dueAt, #attempts, #lastError, #lastOperation, #lastVersion, #lastSeq, #createdKey, #updatedKey, \
         #completedAt, #parkedAt, #endsAt, #revision, #segments, #contextParts, #generation, #log"
    };
}
pub(crate) const SUMMARY: &str = summary!();
/// The same with a context that is in the head.
pub(crate) const WITH_CONTEXT: &str = concat!(summary!(), ", #context");

/// The part of the segment that begins with an entry.
pub(crate) fn segment_part(first: i64) -> String {
    format!("log#{first:012}")
}

/// The number of the first entry of a segment.
pub(crate) fn first_of(segment: &Item) -> Option<i64> {
    text_of(segment, "part")?.strip_prefix("log#")?.parse().ok()
}

/// The part of a piece of a context.
pub(crate) fn piece_part(place: usize) -> String {
    format!("context#{place:04}")
}

/// The key of a head.
pub(crate) fn head_key(id: &str) -> Item {
    part_key(id, HEAD)
}

/// A place in the order of a list.
pub(crate) fn order_key(at: Millis, id: &str) -> String {
    format!("{:016}#{id}", at.0.max(0))
}

fn time_of_key(key: &str) -> Option<Millis> {
    key.get(..16)?.parse().ok().map(Millis)
}

/// Where executions of a status are listed.
pub(crate) fn listed_in(status: Status, shard: u32) -> String {
    format!("{}#{shard}", status.name())
}

/// FNV-1a.
pub(crate) fn shard_of(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % SHARDS
}

pub(crate) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(Attribute::as_s)
}

pub(crate) fn number_of(item: &Item, name: &str) -> Option<i64> {
    item.get(name).and_then(Attribute::as_n)?.parse().ok()
}

fn texts(texts: &[Box<str>]) -> Attribute {
    Attribute::L(texts.iter().map(|text| Attribute::text(text)).collect())
}

/// All that a head has of an execution, but for its context and its log.
pub(crate) fn attributes(of: &Execution) -> Item {
    let shard = shard_of(&of.id);
    let mut item = Item::from([
        (NAME, Attribute::text(&of.name)),
        (STATUS, Attribute::text(of.status.name())),
        (VERSION, Attribute::number(of.version)),
        (SEQ, Attribute::number(of.seq)),
        (LOG_BYTES, Attribute::number(of.log_bytes)),
        (ATTEMPTS, Attribute::number(of.attempts)),
        (CREATED, Attribute::S(order_key(of.created_at, &of.id))),
        (UPDATED, Attribute::S(order_key(of.updated_at, &of.id))),
        (LISTED_IN, Attribute::S(listed_in(of.status, shard))),
        (SHARD, Attribute::S(shard.to_string())),
    ]);
    let last = of.last_operation.as_ref();
    let optional = [
        (SUB_STATUS, of.sub_status.as_deref()),
        (METADATA, of.metadata.as_deref()),
        (TOKEN, of.token.as_deref()),
        (WORKER, of.worker.as_deref()),
        (LAST_ERROR, of.last_error.as_deref()),
        (LAST_OPERATION, last.map(|last| &*last.id)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            item.set(name, Attribute::text(value));
        }
    }
    let time = |at: Option<Millis>| at.map(|at| at.0);
    let optional = [
        (DUE_AT, time(of.due_at)),
        (COMPLETED_AT, time(of.completed_at)),
        (PARKED_AT, time(of.parked_at)),
        (ENDS_AT, time(of.expires_at)),
        (LAST_VERSION, last.map(|last| last.version)),
        (LAST_SEQ, last.and_then(|last| last.first_seq)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            item.set(name, Attribute::number(value));
        }
    }
    if of.parked_at.is_some() {
        item.set(PARKED_IN, Attribute::S(shard.to_string()));
    }
    if !of.tags.is_empty() {
        item.set(TAGS, texts(&of.tags));
    }
    item
}

/// `CORRUPT_DATA`.
pub(crate) fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::CorruptData, format!("the DynamoDB item of this execution cannot be read: {what}"))
}

fn needed<T>(value: Option<T>, name: &str) -> Result<T> {
    value.ok_or_else(|| corrupt(format!("'{name}' is missing, or of another type")))
}

/// The execution in a head; a removed one has none. Its context is there if it is in the head, and was asked for.
pub(crate) fn execution(item: &Item) -> Result<Option<Execution>> {
    let id = needed(id_of(item), "id")?;
    if item.get(GONE).is_some() {
        return Ok(None);
    }
    decode(item, id).map(Some).map_err(|error| error.with_id(id))
}

fn decode(item: &Item, id: &str) -> Result<Execution> {
    let text = |name| text_of(item, name).map(Box::<str>::from);
    let number = |name: &'static str| needed(number_of(item, name), name);
    // An attribute of another type is not one that is missing.
    let time = |name: &'static str| item.get(name).map(|_| number(name)).transpose().map(|at| at.map(Millis));
    let key_time = |name| needed(text_of(item, name).and_then(time_of_key), name);
    let last = |id| -> Result<LastOperation> {
        Ok(LastOperation { id, version: number(LAST_VERSION)?, first_seq: number_of(item, LAST_SEQ) })
    };
    let tags = match item.get(TAGS) {
        None => Vec::new(),
        Some(Attribute::L(tags)) => tags.iter().filter_map(|tag| tag.as_s().map(Into::into)).collect(),
        Some(_) => return Err(corrupt("'tags' is no list")),
    };
    Ok(Execution {
        id: id.into(),
        name: needed(text(NAME), NAME)?,
        status: Status::stored(needed(text_of(item, STATUS), STATUS)?)?,
        sub_status: text(SUB_STATUS),
        context: text(CONTEXT),
        metadata: text(METADATA),
        tags,
        version: number(VERSION)?,
        seq: number(SEQ)?,
        log_bytes: number(LOG_BYTES)?,
        token: text(TOKEN),
        worker: text(WORKER),
        due_at: time(DUE_AT)?,
        attempts: number(ATTEMPTS)?,
        last_error: text(LAST_ERROR),
        last_operation: text(LAST_OPERATION).map(last).transpose()?,
        created_at: key_time(CREATED)?,
        updated_at: key_time(UPDATED)?,
        completed_at: time(COMPLETED_AT)?,
        parked_at: time(PARKED_AT)?,
        expires_at: time(ENDS_AT)?,
    })
}

/// A head, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) execution: Execution,
    pub(crate) revision: i64,
    /// Of its segments.
    pub(crate) log: String,
    /// The last entries of the log.
    pub(crate) tail: Vec<Attribute>,
    pub(crate) tail_bytes: i64,
    pub(crate) segments: i64,
    /// Of a context that is not in the head.
    pub(crate) parts: usize,
}

impl Head {
    /// None of a removed one.
    pub(crate) fn of(mut item: Item) -> Result<Option<Self>> {
        let Some(execution) = execution(&item)? else { return Ok(None) };
        let tail = match item.take(TAIL) {
            Some(Attribute::L(tail)) => tail,
            _ => Vec::new(),
        };
        let head = Self {
            revision: needed(number_of(&item, REVISION), REVISION)?,
            log: needed(text_of(&item, LOG), LOG)?.to_owned(),
            tail,
            tail_bytes: number_of(&item, TAIL_BYTES).unwrap_or(0),
            segments: number_of(&item, SEGMENTS).unwrap_or(0),
            parts: number_of(&item, CONTEXT_PARTS).and_then(|parts| usize::try_from(parts).ok()).unwrap_or(0),
            execution,
        };
        Ok(Some(head))
    }

    /// The number of the first entry that is in the head.
    pub(crate) fn tail_from(&self) -> i64 {
        self.execution.seq - i64::try_from(self.tail.len()).unwrap_or(0) + 1
    }

    /// Whether it has more items than this one.
    pub(crate) fn has_others(&self) -> bool {
        self.segments > 0 || self.parts > 0
    }
}

/// An entry, as it is stored in lists.
pub(crate) fn entry(of: &Entry, at: Millis) -> Attribute {
    let mut item = Item::from([
        ("step", Attribute::text(&of.step)),
        ("action", Attribute::text(of.action.name())),
        ("status", Attribute::text(of.status.name())),
        ("at", Attribute::number(at.0)),
    ]);
    for (name, value) in [("stepId", &of.step_id), ("details", &of.details), ("body", &of.body)] {
        if let Some(value) = value {
            item.set(name, Attribute::text(value));
        }
    }
    Attribute::M(item)
}

/// The entry of a number.
pub(crate) fn logged(stored: &Attribute, seq: i64) -> Result<Logged> {
    let item = needed(stored.as_m(), "entries")?;
    let text = |name| text_of(item, name).map(Box::<str>::from);
    let named = |name| needed(text_of(item, name), name);
    let entry = Entry {
        step: named("step")?.into(),
        action: Action::stored(named("action")?)?,
        status: StepStatus::stored(named("status")?)?,
        step_id: text("stepId"),
        details: text("details"),
        body: text("body"),
    };
    Ok(Logged { seq, entry, at: Millis(needed(number_of(item, "at"), "at")?) })
}

/// What makes an entry the only one of its kind, as one text; none without an id.
pub(crate) fn entry_key(of: &Entry) -> Option<String> {
    of.key().map(|(id, action, status)| format!("{}/{}/{id}", action.name(), status.name()))
}

/// The same of one that is stored.
pub(crate) fn stored_key(stored: &Attribute) -> Option<String> {
    let item = stored.as_m()?;
    let text = |name| text_of(item, name);
    Some(format!("{}/{}/{}", text("action")?, text("status")?, text("stepId")?))
}

/// A segment of a log. With keys, it can be asked what is in it without its entries.
pub(crate) fn segment(id: &str, log: &str, first: i64, entries: Vec<Attribute>) -> Item {
    let mut item = part_key(id, &segment_part(first));
    item.set(LOG, Attribute::text(log));
    let keys: Vec<Option<String>> = entries.iter().map(stored_key).collect();
    if keys.iter().any(Option::is_some) {
        let keys = keys.into_iter().map(|key| Attribute::S(key.unwrap_or_default()));
        item.set(KEYS, Attribute::L(keys.collect()));
    }
    item.set(ENTRIES, Attribute::L(entries));
    item
}

/// The list of an attribute.
pub(crate) fn list_of<'a>(item: &'a Item, name: &str) -> &'a [Attribute] {
    if let Some(Attribute::L(list)) = item.get(name) { list } else { &[] }
}

/// A context in pieces that each fit in an item, at the borders of characters.
pub(crate) fn pieces(context: &str) -> Vec<&str> {
    let (mut rest, mut pieces) = (context, Vec::new());
    while !rest.is_empty() {
        let mut end = rest.len().min(PIECE_MAX);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, behind) = rest.split_at(end);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// A piece of a context.
pub(crate) fn piece(id: &str, place: usize, generation: i64, text: &str) -> Item {
    let mut item = part_key(id, &piece_part(place));
    item.set(GENERATION, Attribute::number(generation));
    item.set(CONTEXT, Attribute::text(text));
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Execution {
        Execution {
            id: "s-1".into(),
            name: "Order".into(),
            status: Status::Running,
            sub_status: Some("waits".into()),
            context: None,
            metadata: Some("{}".into()),
            tags: vec!["a".into(), "b".into()],
            version: 3,
            seq: 2,
            log_bytes: 20,
            token: Some("".into()),
            worker: None,
            due_at: Some(Millis(1_700_000_000_000)),
            attempts: 1,
            last_error: Some("why".into()),
            last_operation: Some(LastOperation { id: "o".into(), version: 3, first_seq: None }),
            created_at: Millis(1),
            updated_at: Millis(1_700_000_000_001),
            completed_at: None,
            parked_at: None,
            expires_at: None,
        }
    }

    #[test]
    fn a_head_comes_back_as_it_went() {
        let parked = Execution { parked_at: Some(Millis(5)), due_at: None, tags: Vec::new(), ..sample() };
        let ended = Execution {
            status: Status::Failed,
            completed_at: Some(Millis(6)),
            expires_at: Some(Millis(7)),
            token: None,
            last_operation: Some(LastOperation { id: "o".into(), version: 3, first_seq: Some(2) }),
            ..sample()
        };
        for stored in [sample(), parked, ended] {
            let item = head_key("s-1").with(attributes(&stored));
            assert_eq!(item.get("parkedIn").is_some(), stored.parked_at.is_some());
            assert_eq!(execution(&item).unwrap(), Some(stored));
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (name, value) in [
            (STATUS, Attribute::text("odd")),
            (STATUS, Attribute::number(1)),
            (VERSION, Attribute::text("x")),
            (UPDATED, Attribute::text("yesterday")),
            (TAGS, Attribute::text("a")),
            (DUE_AT, Attribute::text("soon")),
        ] {
            let mut item = head_key("s-1").with(attributes(&sample()));
            item.take(name);
            item.set(name, value);
            let error = execution(&item).unwrap_err();
            assert_eq!((error.kind(), error.id()), (Kind::CorruptData, Some("s-1")), "{name}");
        }
        let mut gone = head_key("s-1");
        gone.set(GONE, Attribute::number(1));
        assert_eq!(execution(&gone).unwrap(), None);
    }

    #[test]
    fn entries_come_back_as_they_went() {
        let new = Entry {
            step: "pay".into(),
            action: Action::Compensate,
            status: StepStatus::Started,
            step_id: Some("p/1".into()),
            details: None,
            body: Some("{}".into()),
        };
        let stored = entry(&new, Millis(9));
        assert_eq!(logged(&stored, 4).unwrap(), Logged { seq: 4, entry: new.clone(), at: Millis(9) });
        assert_eq!(stored_key(&stored), entry_key(&new));
        assert_eq!(entry_key(&new).as_deref(), Some("compensate/started/p/1"));
        let without = Entry { step_id: None, ..new };
        let segment = segment("s-1", "l", 12, vec![stored, entry(&without, Millis(9))]);
        assert_eq!((first_of(&segment), list_of(&segment, KEYS).len()), (Some(12), 2));
        assert!(logged(&Attribute::text("x"), 1).is_err());
    }

    #[test]
    fn contexts_are_cut_between_characters() {
        let context = format!("x{}", "\u{1f600}".repeat(PIECE_MAX / 2));
        let cut = pieces(&context);
        assert!(cut.len() == 3 && cut.iter().all(|piece| piece.len() <= PIECE_MAX));
        assert_eq!(cut.concat(), context);
    }

    #[test]
    fn numbers_in_keys_are_in_order() {
        assert!(segment_part(9) < segment_part(10) && segment_part(99_999) < segment_part(100_000));
        assert!(piece_part(9) < piece_part(10) && piece_part(11).as_str() < HEAD);
        let (one, other) = (order_key(Millis(999_999_999_999), "b"), order_key(Millis(1_000_000_000_000), "a"));
        assert!(one < other && order_key(Millis(1), "a") < order_key(Millis(1), "b"));
        assert_eq!(time_of_key(&other), Some(Millis(1_000_000_000_000)));
    }
}
