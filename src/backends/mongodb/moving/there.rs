//! What an import finds under its ids, and what becomes of a record.

use std::collections::{BTreeMap, HashMap};

use super::super::build::Build;
use super::super::channel::Channel;
use super::super::clock::Clock;
use super::super::outbox::document::INSERTING;
use super::super::outbox::insert::ABANDONED_MS;
use super::super::statements::{find, text, write_in};
use super::item::Item;
use super::records::outline;
use crate::contract::dynamic::Dynamic;
use crate::contract::moving::record::{Record, State};
use crate::contract::moving::{Conflict, Fate, Moved, has_expired};
use crate::contract::states::correlation_taken;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// The last of JavaScript's dates.
const LATEST: Millis = Millis(8_640_000_000_000_000);

/// The fields that decide whether a document is replaced.
fn fields(kind: Moved) -> &'static [&'static str] {
    match kind {
        Moved::Payloads => &["expiresAt"],
        Moved::States => &["sagaName", "sagaId", "correlationId", "version", "createdAt", "updatedAt", "expiresAt"],
        Moved::Executions => {
            &["name", "status", "version", "seq", "createdAt", "updatedAt", "expiresAt", "log", "revision"]
        }
        Moved::Outbox => &["seq", "status", "token", "retryCount", "deliveries", "createdAt", "expiresAt"],
        Moved::Inbox => &["consumer", "messageId", "operation", "expiresAt"],
    }
}

/// The fields that every change of a document changes one of.
const fn marks(kind: Moved) -> &'static [&'static str] {
    match kind {
        Moved::Payloads => &["expiresAt"],
        Moved::States => &["version", "updatedAt", "expiresAt"],
        Moved::Executions => &["revision", "log"],
        Moved::Outbox => &["status", "token", "retryCount", "deliveries"],
        Moved::Inbox => &["operation", "expiresAt"],
    }
}

/// A document that is there.
pub(super) struct Found {
    document: Dynamic,
    /// What is known of it; an error where it is none of ours.
    outline: Result<Record>,
}

impl Found {
    fn of(kind: Moved, document: Dynamic, clock: &Clock) -> Self {
        let outline = outline(kind, document.clone(), clock);
        Self { document, outline }
    }

    fn is_over(&self, now: Millis) -> bool {
        self.outline.as_ref().is_ok_and(|outline| has_expired(outline.expires_at(), now))
    }

    /// A text of the document.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        text(&self.document, name)
    }

    /// The number of an event.
    pub(super) fn seq(&self) -> Option<i64> {
        self.document.get("seq").and_then(Dynamic::as_int)
    }

    /// The condition that it is as it was read.
    pub(super) fn write_unchanged(&self, kind: Moved, filter: &mut impl Build) {
        for name in marks(kind) {
            match self.document.get(name) {
                Some(Dynamic::Text(text)) => drop(filter.text(name, text)),
                Some(Dynamic::Time(at)) => drop(filter.date(name, *at)),
                // No date at all: it is missing, or null.
                None | Some(Dynamic::Null) if name.ends_with("At") => {
                    filter.begin(name).begin("$not").date("$lte", LATEST).end().end();
                }
                None => drop(filter.begin(name).flag("$exists", false).end()),
                Some(value) => {
                    if let Some(number) = value.as_int() {
                        filter.long(name, number);
                    }
                }
            }
        }
    }

    /// Whether it is what was sent of an item.
    fn is_of(&self, item: &Item<'_>) -> bool {
        if let Some(log) = item.log() {
            return text(&self.document, "log") == Some(log);
        }
        let is_as_old = |there: &Record| !there.is_newer_than(item.record) && !item.record.is_newer_than(there);
        item.was_sent && self.outline.as_ref().is_ok_and(is_as_old)
    }
}

/// What is there.
pub(super) struct There {
    by_id: HashMap<String, Found>,
    /// Sagas, by their name and their correlation id.
    by_correlation: HashMap<(Box<str>, Box<str>), Found>,
}

/// What becomes of a record.
pub(super) enum Verdict {
    /// It is stored.
    Insert,
    /// It takes the place of a document.
    Replace(Found),
    /// That is decided.
    Decided(Fate),
    /// A saga whose time is over must be removed first.
    InTheWay(String),
    /// An insertion that was given up must be removed first.
    Abandoned,
    /// It cannot be stored now.
    Blocked(Error),
}

/// Looks what is there.
pub(super) async fn look<C: Channel>(on: &C, kind: Moved, items: &[Item<'_>]) -> Result<There> {
    let ids: Vec<&str> = items.iter().map(|item| &*item.id).collect();
    let mut correlations: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for item in items {
        if let Record::State(state) = item.record {
            correlations.entry(&state.saga.name).or_default().push(&state.correlation_id);
        }
    }
    let most = items.len() as u64 * if correlations.is_empty() { 1 } else { 2 };
    let filter = |filter: &mut C::Command| {
        if correlations.is_empty() {
            return write_in(filter, "_id", &ids);
        }
        filter.begin_array("$or").begin("0");
        write_in(filter, "_id", &ids);
        filter.end();
        for (place, (name, ids)) in (1..).zip(&correlations) {
            let place: usize = place;
            filter.begin(&place.to_string()).text("sagaName", name);
            write_in(filter, "correlationId", ids);
            filter.end();
        }
        filter.end();
    };
    let mut there = There { by_id: HashMap::new(), by_correlation: HashMap::new() };
    for document in find(on, on.collection(), fields(kind), most, &[], filter).await? {
        if let (Some(name), Some(id)) = (text(&document, "sagaName"), text(&document, "correlationId")) {
            let key = (name.into(), id.into());
            there.by_correlation.insert(key, Found::of(kind, document.clone(), on.clock()));
        }
        if let Some(id) = text(&document, "_id").map(str::to_owned) {
            there.by_id.insert(id, Found::of(kind, document, on.clock()));
        }
    }
    Ok(there)
}

impl There {
    /// What becomes of a record. What is over is in nobody's way.
    pub(super) fn judge(&mut self, item: &Item<'_>, conflict: Conflict, now: Millis) -> Verdict {
        let verdict = match self.by_id.remove(&item.id) {
            None => Verdict::Insert,
            Some(found) => judge(found, item, conflict, now),
        };
        match (&verdict, item.record) {
            (Verdict::Insert | Verdict::Replace(_), Record::State(state)) => {
                self.in_the_way(item, state, now).unwrap_or(verdict)
            }
            _ => verdict,
        }
    }

    /// Another saga that has the correlation id.
    fn in_the_way(&self, item: &Item<'_>, state: &State, now: Millis) -> Option<Verdict> {
        let found = self.by_correlation.get(&(state.saga.name.clone(), state.correlation_id.clone()))?;
        match found.text("_id") {
            Some(id) if id == item.id => None,
            Some(id) if found.is_over(now) => Some(Verdict::InTheWay(id.to_owned())),
            _ => {
                let taken = correlation_taken(&state.saga, &state.correlation_id).with_id(&state.saga.id);
                Some(Verdict::Blocked(taken))
            }
        }
    }
}

fn judge(found: Found, item: &Item<'_>, conflict: Conflict, now: Millis) -> Verdict {
    if found.is_of(item) {
        return Verdict::Decided(Fate::Stored);
    }
    if found.text("status") == Some(INSERTING) {
        let inserted = if let Some(Dynamic::Time(at)) = found.document.get("createdAt") { *at } else { now };
        if inserted.plus(ABANDONED_MS) < now {
            return Verdict::Abandoned;
        }
        let message = "an insertion of an event with this id is under way";
        return Verdict::Blocked(Error::new(Kind::Backend, message).with_id(&item.id).retryable(true).unsent());
    }
    if found.is_over(now) {
        return Verdict::Replace(found);
    }
    let replaces = match (&found.outline, conflict) {
        (Ok(there), conflict) => conflict.replaces(item.record, there),
        (Err(_), Conflict::Skip) => Ok(false),
        (Err(_), Conflict::Overwrite) => Ok(true),
        (Err(_), Conflict::Refuse) => Err(item.record.taken()),
        (Err(unreadable), Conflict::Newer) => Err(unreadable.clone().with_id(&item.id)),
    };
    match replaces {
        Ok(true) => Verdict::Replace(found),
        other => Verdict::Decided(Fate::from(other)),
    }
}
