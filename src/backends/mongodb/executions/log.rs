//! The log of an execution. Its end (`tail`) is in the document of the execution, what is older in segments, which are
//! written once and never changed: `{ _id: "<log>:<first>", sagaId, log, first, last, entries, keys }`.
//!
//! - Entries have no numbers of their own: the last one of the tail is number `seq` of its document.
//! - Where the tail has become large, its beginning is stored as a segment, and then leaves the tail, if that is still as
//!   it was. Who finds the segment stored already goes on from where it ends: it has the same entries.
//! - Each execution that is made or replaced has a `log` of its own: segments of an earlier one are never its.
//! - A reader looks at the document first, then for what is older: each entry is in one of both.

use super::document::{
    BESIDES, COMMAND, MAX_DOCUMENT, Stored, checked, find, load, text, update, write_texts, write_unchanged,
};
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::judge::Known;
use crate::contract::executions::record::{Action, Entry, Logged, Page, StepStatus, missing};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// A tail with more entries is shortened.
pub(super) const TAIL_ENTRIES: i64 = 128;
/// A tail with more bytes is shortened.
pub(super) const TAIL_BYTES: i64 = 256 * 1024;
/// Segments that are read at once.
const SEGMENTS: u64 = 4;
/// Attempts where others change the same execution.
const ATTEMPTS: usize = 5;

/// Where the log of an execution is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What its segments are called by.
    pub(crate) log: Box<str>,
    /// The number of the last entry that is not in the tail.
    pub(crate) spilled: i64,
    /// The bytes of those entries.
    pub(super) spilled_bytes: i64,
}

impl Place {
    /// Of a new log. The names of later logs are greater.
    pub(crate) fn new() -> Self {
        let log = format!("{:012x}{:016x}", Millis::now().0.max(0), fastrand::u64(..));
        Self { log: log.into(), spilled: 0, spilled_bytes: 0 }
    }

    /// Not less than any name of a log that is there.
    pub(super) fn greatest() -> String {
        format!("{:012x}g", Millis::now().0.max(0))
    }

    fn segment(&self, first: i64) -> String {
        format!("{}:{first:012}", self.log)
    }
}

/// The number of the first of the last `count` entries.
pub(super) fn first_of(seq: i64, count: i64) -> Option<i64> {
    (count > 0).then(|| seq - count + 1)
}

/// Whether a tail is too large.
pub(crate) const fn is_large(entries: i64, bytes: i64) -> bool {
    entries > TAIL_ENTRIES || bytes > TAIL_BYTES
}

/// Whether entries are too many for a tail.
pub(super) fn are_large(entries: &[Entry]) -> bool {
    is_large(i64::try_from(entries.len()).unwrap_or(i64::MAX), entries.iter().map(Entry::bytes).sum())
}

/// What makes an entry the only one of its kind.
pub(super) fn key(entry: &Entry) -> Option<String> {
    entry.key().map(|(id, action, status)| format!("{}:{}:{id}", action.name(), status.name()))
}

/// Entries as elements of an array.
pub(super) fn write_entries<'a>(document: &mut impl Build, entries: impl Iterator<Item = (&'a Entry, Millis)>) {
    for (place, (entry, at)) in entries.enumerate() {
        document.begin(&place.to_string()).text("step", &entry.step);
        document.text("action", entry.action.name()).text("status", entry.status.name());
        for (name, value) in [("stepId", &entry.step_id), ("details", &entry.details), ("body", &entry.body)] {
            if let Some(value) = value {
                document.text(name, value);
            }
        }
        if let Some(key) = key(entry) {
            document.text("key", &key);
        }
        document.date("at", at).end();
    }
}

fn corrupt(id: &str, wrong: &str) -> Error {
    Error::new(Kind::CorruptData, format!("the log of the execution cannot be read: {wrong}")).with_id(id)
}

/// Elements of an array as entries; the first one has this number.
fn entries(id: &str, stored: Dynamic, first: i64) -> Result<Vec<Logged>> {
    let stored = stored.into_list().ok_or_else(|| corrupt(id, "its entries are no array"))?;
    let entry = |(seq, stored): (i64, Dynamic)| {
        let word = |name: &str| text(&stored, name).ok_or_else(|| corrupt(id, &format!("entry {seq} lacks '{name}'")));
        let named = |error: Error| error.with_id(id);
        let optional = |name: &str| text(&stored, name).map(Into::into);
        let Some(Dynamic::Time(at)) = stored.get("at") else { return Err(corrupt(id, "an entry has no time")) };
        let status = StepStatus::stored(word("status")?).map_err(named)?;
        let action = Action::named(word("action")?).ok_or_else(|| corrupt(id, "an action is not one that is known"))?;
        let (step_id, details, body) = (optional("stepId"), optional("details"), optional("body"));
        let entry = Entry { step: word("step")?.into(), action, status, step_id, details, body };
        Ok(Logged { seq, entry, at: *at })
    };
    (first..).zip(stored).map(entry).collect()
}

/// The entries of a tail.
fn tail(stored: &Stored, tail: Dynamic) -> Result<Vec<Logged>> {
    let of = &stored.execution;
    let found = entries(&of.id, tail, stored.place.spilled + 1)?;
    if i64::try_from(found.len()).is_ok_and(|count| count == of.seq - stored.place.spilled) {
        Ok(found)
    } else {
        Err(corrupt(&of.id, "it has another number of entries than its document says"))
    }
}

fn bytes_of(entries: &[Logged]) -> i64 {
    entries.iter().map(|logged| logged.entry.bytes()).sum()
}

/// How many of the first entries make a segment; at least one.
fn of_segment(entries: &[Logged]) -> usize {
    let (mut count, mut bytes) = (0, 0);
    for logged in entries {
        bytes += logged.entry.bytes();
        if count > 0 && is_large(count + 1, bytes) {
            break;
        }
        count += 1;
    }
    usize::try_from(count).unwrap_or(entries.len())
}

/// Stores a segment, unless there is one that begins there; the number of its last entry.
pub(super) async fn store_segment<C: Channel>(
    on: &C,
    id: &str,
    place: &Place,
    entries: &[Logged],
    expires_at: Option<Millis>,
) -> Result<i64> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(place.spilled) };
    let (segment, first, last) = (place.segment(first.seq), first.seq, last.seq);
    let size = usize::try_from(bytes_of(entries)).unwrap_or(MAX_DOCUMENT) + entries.len() * 512 + COMMAND;
    let keys: Vec<String> = entries.iter().filter_map(|logged| key(&logged.entry)).collect();
    let change = on.change(size, &[], |command| {
        command.text("update", on.log_collection()).begin_array("updates").begin("0");
        command.begin("q").text("_id", &segment).end().begin("u").begin("$setOnInsert");
        command.text("sagaId", id).text("log", &place.log).long("first", first).long("last", last);
        if let Some(at) = expires_at {
            command.date("expiresAt", at);
        }
        if !keys.is_empty() {
            write_texts(command, "keys", &keys);
        }
        command.begin_array("entries");
        write_entries(command, entries.iter().map(|logged| (&logged.entry, logged.at)));
        command.end().end().end().flag("upsert", true).end().end();
    });
    let reply = change.await?;
    checked(&reply)?;
    if reply.contains_key("upserted") {
        return Ok(last);
    }
    // Somebody else has stored it, perhaps with fewer entries, or with more.
    let filter = |filter: &mut C::Command| {
        filter.text("_id", &segment);
    };
    let found = find(on, on.log_collection(), &["last"], 1, &[], filter).await?.pop();
    let stored = found.and_then(|found| found.get("last").and_then(Dynamic::as_int));
    stored.filter(|stored| *stored >= first).ok_or_else(|| corrupt(id, "a segment has no last number"))
}

/// Stores all that is too much for a tail, before anybody knows of the log; what is left for the tail.
pub(super) async fn store<'a>(
    on: &impl Channel,
    id: &str,
    place: &mut Place,
    given: &'a [Entry],
    at: Millis,
) -> Result<&'a [Entry]> {
    for entry in given {
        super::document::check_size(id, usize::try_from(entry.bytes()).unwrap_or(MAX_DOCUMENT))?;
    }
    if !are_large(given) {
        return Ok(given);
    }
    let logged = |(seq, entry): (i64, &Entry)| Logged { seq, entry: entry.clone(), at };
    let all: Vec<Logged> = (1..).zip(given).map(logged).collect();
    store_all(on, id, place, &all, None).await?;
    Ok(&[])
}

/// Stores a whole log as segments, before anybody knows of it.
pub(crate) async fn store_all(
    on: &impl Channel,
    id: &str,
    place: &mut Place,
    all: &[Logged],
    expires_at: Option<Millis>,
) -> Result<()> {
    let mut rest = all;
    while !rest.is_empty() {
        let (segment, others) = rest.split_at(of_segment(rest));
        store_segment(on, id, place, segment, expires_at).await?;
        rest = others;
    }
    (place.spilled, place.spilled_bytes) = (i64::try_from(all.len()).unwrap_or(i64::MAX), bytes_of(all));
    Ok(())
}

/// Shortens the tail of an execution, where it is too large. A crash in between leaves a segment that the next one
/// finds, and goes on from.
pub(super) async fn spill(on: &impl Channel, id: &str) -> Result<()> {
    let mut made: Option<Place> = None;
    for _ in 0..ATTEMPTS {
        let found = load(on, id, &["tail"], None).await?;
        let (stored, entries) = match found {
            Some((stored, entries)) if made.as_ref().is_none_or(|made| made.log == stored.place.log) => {
                let entries = tail(&stored, entries)?;
                (stored, entries)
            }
            // It was deleted or replaced meanwhile: what was stored for it is nobody's.
            _ => match made {
                Some(place) => return remove_log(on, id, &place.log).await,
                None => return Ok(()),
            },
        };
        let Stored { execution, place, .. } = &stored;
        if !is_large(execution.seq - place.spilled, execution.log_bytes - place.spilled_bytes) {
            return Ok(());
        }
        let segment = &entries[..of_segment(&entries)];
        let last = store_segment(on, id, place, segment, execution.expires_at).await?;
        let gone = usize::try_from(last - place.spilled).unwrap_or(usize::MAX).min(entries.len());
        let (gone, rest) = entries.split_at(gone);
        let size = usize::try_from(bytes_of(rest)).unwrap_or(MAX_DOCUMENT) + rest.len() * 512 + COMMAND;
        let spilled_bytes = place.spilled_bytes + bytes_of(gone);
        let count = i64::try_from(gone.len()).unwrap_or(i64::MAX);
        let shortened = update(on, on.collection(), size, |command| {
            command.begin("q");
            write_unchanged(command, &stored);
            command.end().begin("u").begin("$set").begin_array("tail");
            write_entries(command, rest.iter().map(|logged| (&logged.entry, logged.at)));
            command.end().long("spilled", place.spilled + count).long("spilledBytes", spilled_bytes).end();
            command.begin("$inc").long("revision", 1).end().end();
        })
        .await?;
        if shortened > 0 && !is_large(i64::try_from(rest.len()).unwrap_or(i64::MAX), bytes_of(rest)) {
            return Ok(());
        }
        made = Some(place.clone());
    }
    Ok(())
}

/// Removes the segments of executions, of all logs that are not later than this one.
pub(super) async fn remove_segments(on: &impl Channel, ids: &[&str], log: &str) -> Result<()> {
    let change = on.change_many(COMMAND + ids.len() * 64, |command| {
        command.text("delete", on.log_collection()).begin_array("deletes").begin("0").begin("q");
        match ids {
            [id] => drop(command.text("sagaId", id)),
            ids => super::document::write_in(command, "sagaId", ids),
        }
        command.begin("log").text("$lte", log).end();
        command.end().int("limit", 0).end().end();
    });
    checked(&change.await?).map(drop)
}

/// Removes the segments of one log, which is nobody's.
pub(crate) async fn remove_log(on: &impl Channel, id: &str, log: &str) -> Result<()> {
    remove_logs(on, &[(id, log)]).await
}

/// The same, of several executions, each with its log.
pub(crate) async fn remove_logs(on: &impl Channel, logs: &[(&str, &str)]) -> Result<()> {
    let (ids, names): (Vec<&str>, Vec<&str>) = logs.iter().copied().unzip();
    let change = on.change_many(COMMAND + logs.len() * 128, |command| {
        command.text("delete", on.log_collection()).begin_array("deletes").begin("0").begin("q");
        match (&ids[..], &names[..]) {
            ([id], [log]) => drop(command.text("sagaId", id).text("log", log)),
            (ids, names) => {
                super::document::write_in(command, "sagaId", ids);
                super::document::write_in(command, "log", names);
            }
        }
        command.end().int("limit", 0).end().end();
    });
    checked(&change.await?).map(drop)
}

/// Says of the segments of an execution when they cease to exist, or that they do not.
pub(super) async fn expire_segments(on: &impl Channel, id: &str, log: &str, at: Option<Millis>) -> Result<()> {
    let change = on.change_many(COMMAND, |command| {
        command.text("update", on.log_collection()).begin_array("updates").begin("0");
        command.begin("q").text("sagaId", id).text("log", log).end().begin("u");
        match at {
            Some(at) => drop(command.begin("$set").date("expiresAt", at).end()),
            None => drop(command.begin("$unset").int("expiresAt", 1).end()),
        }
        command.end().flag("multi", true).end().end();
    });
    checked(&change.await?).map(drop)
}

/// Which of these entries an execution has already. `tail` has the keys of its tail.
pub(super) async fn known<C: Channel>(on: &C, stored: &Stored, tail: &Dynamic, given: &[Entry]) -> Result<Known> {
    let keys: Vec<(usize, String)> =
        given.iter().enumerate().filter_map(|(place, entry)| Some((place, key(entry)?))).collect();
    if keys.is_empty() {
        return Ok(Known::default());
    }
    let place = &stored.place;
    let mut places: Vec<(usize, i64)> = Vec::new();
    let mut look = |elements: &Dynamic, first: i64, last: i64| {
        let Dynamic::List(elements) = elements else { return };
        for (seq, element) in (first..=last).zip(elements) {
            let Some(stored) = text(element, "key") else { continue };
            places.extend(keys.iter().filter(|(_, key)| key == stored).map(|(place, _)| (*place, seq)));
        }
    };
    look(tail, place.spilled + 1, stored.execution.seq);
    if place.spilled > 0 {
        let asked: Vec<&str> = keys.iter().map(|(_, key)| &**key).collect();
        let filter = |filter: &mut C::Command| {
            filter.begin("_id").text("$gte", &place.segment(0)).text("$lte", &place.segment(place.spilled)).end();
            super::document::write_in(filter, "keys", &asked);
        };
        let fields = ["first", "entries.key"];
        for segment in find(on, on.log_collection(), &fields, asked.len() as u64, &[], filter).await? {
            let first = segment.get("first").and_then(Dynamic::as_int).unwrap_or(1);
            look(segment.get("entries").unwrap_or(&Dynamic::Null), first, place.spilled);
        }
    }
    places.sort_unstable();
    places.dedup_by_key(|(place, _)| *place);
    Ok(Known { places })
}

/// A page of a log, as it is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) after: Option<i64>,
    pub(super) limit: u64,
    pub(super) max_bytes: u64,
    pub(super) reverse: bool,
}

/// Entries that were read for a page, in its order.
struct Reading {
    asked: Asked,
    entries: Vec<Logged>,
    bytes: u64,
    /// The number of the entry that comes next.
    next: i64,
}

impl Reading {
    /// Whether it is known what is on the page, and whether there is more.
    fn is_full(&self) -> bool {
        let count = self.entries.len() as u64;
        count > self.asked.limit || (count > 1 && self.bytes > self.asked.max_bytes)
    }

    /// Takes what comes next, as far as it is among these, which are in their order.
    fn take(&mut self, mut entries: Vec<Logged>) -> bool {
        if self.asked.reverse {
            entries.reverse();
        }
        let before = self.next;
        for logged in entries {
            if self.is_full() {
                break;
            }
            if logged.seq == self.next {
                self.next += if self.asked.reverse { -1 } else { 1 };
                self.bytes = self.bytes.saturating_add(u64::try_from(logged.entry.bytes()).unwrap_or_default());
                self.entries.push(logged);
            }
        }
        self.next != before
    }
}

/// A page of a log.
pub(super) async fn history(on: &impl Channel, id: &str, asked: Asked) -> Result<Reply> {
    for _ in 0..ATTEMPTS {
        let (stored, entries) = load(on, id, &["tail"], Some(on.now())).await?.ok_or_else(|| missing(id))?;
        let entries = tail(&stored, entries)?;
        let (seq, spilled) = (stored.execution.seq, stored.place.spilled);
        let next = match (asked.reverse, asked.after) {
            (false, after) => after.unwrap_or(0).saturating_add(1),
            (true, after) => after.map_or(seq, |after| seq.min(after - 1)),
        };
        let mut reading = Reading { asked, entries: Vec::new(), bytes: 0, next };
        if asked.reverse {
            reading.take(entries);
            if segments(on, &stored, &mut reading).await? {
                return Ok(page(reading));
            }
        } else if segments(on, &stored, &mut reading).await? {
            if reading.next > spilled {
                reading.take(entries);
            }
            return Ok(page(reading));
        }
        // A segment is missing: unless the execution has been deleted or replaced meanwhile, it is lost.
        let now = load(on, id, &[], Some(on.now())).await?.ok_or_else(|| missing(id))?.0;
        if now.place.log == stored.place.log {
            return Err(corrupt(id, &format!("entry {} is missing", reading.next)));
        }
    }
    Err(Error::new(Kind::Backend, "the execution is replaced while it is read").with_id(id).retryable(true))
}

/// The whole log of an execution that was read with this tail; and the execution, which may have been replaced
/// meanwhile. None: it is gone.
pub(crate) async fn whole(
    on: &impl Channel,
    mut stored: Stored,
    mut elements: Dynamic,
) -> Result<Option<(Stored, Vec<Logged>)>> {
    let asked = Asked { after: None, limit: u64::MAX, max_bytes: u64::MAX, reverse: false };
    for _ in 0..ATTEMPTS {
        let mut reading = Reading { asked, entries: Vec::new(), bytes: 0, next: 1 };
        let entries = tail(&stored, elements)?;
        if segments(on, &stored, &mut reading).await? {
            reading.take(entries);
            return Ok(Some((stored, reading.entries)));
        }
        let id = &stored.execution.id;
        let Some((now, again)) = load(on, id, &["context", "tail"], None).await? else { return Ok(None) };
        if now.place.log == stored.place.log {
            return Err(corrupt(id, &format!("entry {} is missing", reading.next)));
        }
        (stored, elements) = (now, again);
    }
    Err(Error::new(Kind::Backend, "the execution is replaced while it is read").retryable(true))
}

fn page(reading: Reading) -> Reply {
    let Asked { limit, max_bytes, .. } = reading.asked;
    Reply::Value(Page::of(reading.entries, limit, max_bytes).into_dynamic())
}

/// Reads what is in segments, as long as it comes next and the page is not full. False: one is missing.
async fn segments<C: Channel>(on: &C, stored: &Stored, reading: &mut Reading) -> Result<bool> {
    let place = &stored.place;
    let reverse = reading.asked.reverse;
    while !reading.is_full() && (1..=place.spilled).contains(&reading.next) {
        let (next, last) = (reading.next, place.segment(place.spilled));
        let filter = |filter: &mut C::Command| {
            filter.begin("_id").text("$gte", &place.segment(0));
            if reverse {
                filter.text("$lte", &place.segment(next)).end();
            } else {
                filter.text("$lte", &last).end().begin("last").long("$gte", next).end();
            }
        };
        let sort = [("_id", if reverse { -1 } else { 1 })];
        let found = find(on, on.log_collection(), &["first", "entries"], SEGMENTS, &sort, filter).await?;
        let mut has_moved = false;
        for segment in found {
            let first = segment.get("first").and_then(Dynamic::as_int).unwrap_or(i64::MAX - 1);
            let Dynamic::Map(fields) = segment else { continue };
            let stored_entries = fields.into_iter().find(|(name, _)| name == "entries");
            let mut entries =
                entries(&stored.execution.id, stored_entries.map_or(Dynamic::Null, |(_, list)| list), first)?;
            entries.retain(|logged| logged.seq <= place.spilled);
            has_moved |= reading.take(entries);
        }
        if !has_moved {
            return Ok(false);
        }
    }
    Ok(true)
}

/// About the bytes that entries need in a command.
pub(crate) fn command_bytes(entries: &[Entry]) -> usize {
    let bytes: i64 = entries.iter().map(Entry::bytes).sum();
    usize::try_from(bytes).unwrap_or(MAX_DOCUMENT) + entries.len() * 256 + BESIDES
}
