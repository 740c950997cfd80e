//! Where a page ends: `{kind}:{bytes}:{way}:{place}`. The bytes are those of a record on the page, on average: so many
//! are asked for next.

use super::super::build::Build;
use super::super::outbox::document::{INSERTING, Place};
use super::super::statements::{text, write_texts};
use crate::contract::dynamic::Dynamic;
use crate::contract::moving::{Moved, foreign_cursor};
use crate::error::Result;

/// Types of an `_id` that is no text. Servers look them up in the index.
const OTHERS: [&str; 8] = ["number", "object", "binData", "objectId", "bool", "date", "null", "timestamp"];
/// Types of what is no number.
const NO_NUMBERS: [&str; 8] = ["string", "object", "binData", "objectId", "bool", "date", "null", "timestamp"];
/// Less than any number of an event, and a number of JavaScript's.
const LEAST: i64 = -9_007_199_254_740_991;

/// A place among the documents of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Behind this `_id`, if there is one.
    Id(Option<String>),
    /// Behind this place in the queue.
    Queue(Option<Place>),
    /// Behind so many of those whose `_id` is no text, or that have no place in the queue.
    Others(u64),
}

/// A cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Bytes of a record; 0: not known.
    pub(super) average: u64,
    pub(super) at: At,
}

impl Cursor {
    /// Before the first.
    pub(super) fn start(kind: Moved) -> Self {
        Self { average: 0, at: if kind == Moved::Outbox { At::Queue(None) } else { At::Id(None) } }
    }

    /// Reads one of this kind.
    pub(super) fn of(kind: Moved, cursor: &str) -> Result<Self> {
        Self::parse(kind, cursor).ok_or_else(foreign_cursor)
    }

    fn parse(kind: Moved, cursor: &str) -> Option<Self> {
        let mut parts = cursor.strip_prefix(kind.name())?.strip_prefix(':')?.splitn(3, ':');
        let (average, way, place) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let at = match (way, kind) {
            ("others", _) => At::Others(place.parse().ok()?),
            ("queue", Moved::Outbox) => {
                let (seq, id) = place.split_once(':')?;
                At::Queue(Some(Place { seq: seq.parse().ok()?, id: id.into() }))
            }
            ("id", kind) if kind != Moved::Outbox => At::Id(Some(place.to_owned())),
            _ => return None,
        };
        Some(Self { average, at })
    }

    /// As text.
    pub(super) fn text(&self, kind: Moved) -> String {
        let (way, place) = match &self.at {
            At::Id(id) => ("id", id.clone().unwrap_or_default()),
            At::Queue(None) => ("queue", format!("{LEAST}:")),
            At::Queue(Some(Place { seq, id })) => ("queue", format!("{seq}:{id}")),
            At::Others(count) => ("others", count.to_string()),
        };
        format!("{}:{}:{way}:{place}", kind.name(), self.average)
    }
}

impl At {
    /// Behind this document; still here, if the document does not say where it stands.
    pub(super) fn behind(&self, document: &Dynamic) -> Self {
        let id = text(document, "_id");
        match self {
            Self::Others(count) => Self::Others(count + 1),
            Self::Id(_) => id.map_or(self.clone(), |id| Self::Id(Some(id.to_owned()))),
            Self::Queue(_) => {
                let place = match document.get("seq") {
                    // None of ours: behind it is the next whole number.
                    #[allow(clippy::cast_possible_truncation)]
                    Some(Dynamic::Number(seq)) if seq.is_finite() && seq.fract() != 0.0 => {
                        Some(Place { seq: seq.ceil() as i64, id: "".into() })
                    }
                    seq => seq.and_then(Dynamic::as_int).zip(id).map(|(seq, id)| Place { seq, id: id.into() }),
                };
                place.map_or(self.clone(), |place| Self::Queue(Some(place)))
            }
        }
    }

    /// The condition that a document stands there.
    pub(super) fn write_filter(&self, kind: Moved, filter: &mut impl Build) {
        match self {
            // A comparison with text is met by texts only.
            Self::Id(None) => drop(filter.begin("_id").text("$gte", "").end()),
            Self::Id(Some(id)) => drop(filter.begin("_id").text("$gt", id).end()),
            Self::Queue(place) => {
                filter.begin("status").text("$ne", INSERTING).end().begin("_id").text("$gte", "").end();
                let seq = place.as_ref().map_or(LEAST, |place| place.seq);
                filter.begin("seq").long("$gte", seq).end();
                if let Some(Place { seq, id }) = place {
                    filter.begin_array("$or").begin("0").begin("seq").long("$gt", *seq).end().end();
                    filter.begin("1").begin("_id").text("$gt", id).end().end().end();
                }
            }
            Self::Others(_) if kind == Moved::Outbox => {
                filter.begin_array("$or").begin("0");
                write_types(filter, "_id", &OTHERS);
                filter.end().begin("1").begin("seq").flag("$exists", false).end().end().begin("2");
                write_types(filter, "seq", &NO_NUMBERS);
                filter.end().end();
            }
            Self::Others(_) => write_types(filter, "_id", &OTHERS),
        }
    }

    /// The order of the documents there.
    pub(super) fn sort(&self) -> &'static [&'static str] {
        if matches!(self, Self::Queue(_)) { &["seq", "_id"] } else { &["_id"] }
    }
}

fn write_types(filter: &mut impl Build, name: &str, types: &[&str]) {
    filter.begin(name);
    write_texts(filter, "$type", types);
    filter.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        let place = |seq, id: &str| At::Queue(Some(Place { seq, id: id.into() }));
        for (kind, at) in [
            (Moved::Payloads, At::Id(Some("a:b:ü".into()))),
            (Moved::States, At::Id(Some("Order:s:1".into()))),
            (Moved::Inbox, At::Others(12)),
            (Moved::Outbox, place(1_784_555_238_120_000, "e:1")),
            (Moved::Outbox, At::Others(0)),
        ] {
            let cursor = Cursor { average: 1_024, at };
            let text = cursor.text(kind);
            assert_eq!(Cursor::of(kind, &text).unwrap(), cursor, "{text}");
            assert_eq!(Cursor::of(Moved::Executions, &text).unwrap_err().kind(), Kind::InvalidArgument, "{text}");
        }
        let foreign = ["", "a", "payloads", "payloads:1", "payloads:1:id", "payloads:x:id:a", "payloads:1:queue:1:a"];
        for text in [&foreign[..], &["payloads:1:others:x", "payloadss:1:id:a", "12"]].concat() {
            assert!(Cursor::of(Moved::Payloads, text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_behind_an_event_of_others() {
        let at = At::Queue(None);
        let document = |seq: Dynamic| Dynamic::map([("_id", "a".into()), ("seq", seq)]);
        let behind = |seq| at.behind(&document(seq));
        assert_eq!(behind(Dynamic::Int(5)), At::Queue(Some(Place { seq: 5, id: "a".into() })));
        assert_eq!(behind(Dynamic::Number(5.0)), At::Queue(Some(Place { seq: 5, id: "a".into() })));
        assert_eq!(behind(Dynamic::Number(5.5)), At::Queue(Some(Place { seq: 6, id: "".into() })));
        assert_eq!(behind(Dynamic::Number(f64::INFINITY)), at);
    }
}
