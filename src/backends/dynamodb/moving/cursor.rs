//! Where a scan goes on: JSON of the last key of each segment of the table.
//!
//! `{ "dynamodb": 1, "kind": "outbox", "table": "saga_outbox", "phase": 0, "segments": [0, ["id", "part"], null] }`: a
//! segment that has not begun, one that goes on behind a key, and one that is at its end.

use serde_json::{Value, json};

use crate::backends::dynamodb::attribute::Item;
use crate::backends::dynamodb::channel::Channel;
use crate::backends::dynamodb::expression::{PART, id_of, key, part_key};
use crate::contract::moving::{Moved, foreign_cursor};
use crate::error::Result;

/// Parts of a table that are read beside each other, if requests can be.
const SEGMENTS: usize = 4;
/// A cursor with more segments is none of ours.
const MOST_SEGMENTS: usize = 64;
const FORMAT: i64 = 1;

/// How far a segment is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    Start,
    /// The key of the last item.
    After(Item),
    End,
}

/// How far a scan is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    kind: Moved,
    table: String,
    /// Which time the table is read: events are read in two phases, see [`super::scan`].
    pub(super) phase: u8,
    pub(super) segments: Vec<Position>,
}

const fn phases(kind: Moved) -> u8 {
    if matches!(kind, Moved::Outbox) { 2 } else { 1 }
}

impl Cursor {
    pub(super) fn new<C: Channel>(kind: Moved, table: &str) -> Self {
        let segments = if C::IN_PARALLEL { SEGMENTS } else { 1 };
        Self { kind, table: table.to_owned(), phase: 0, segments: vec![Position::Start; segments] }
    }

    /// `INVALID_ARGUMENT` if it is none of this kind and this table.
    pub(super) fn read(text: &str, kind: Moved, table: &str) -> Result<Self> {
        let parsed = serde_json::from_str::<Value>(text).ok();
        let read = |value: &Value| {
            let is_ours = value["dynamodb"] == FORMAT && value["kind"] == kind.name() && value["table"] == table;
            let phase = value["phase"].as_u64().and_then(|phase| u8::try_from(phase).ok())?;
            let segments = value["segments"].as_array()?;
            let is_possible = phase < phases(kind) && (1..=MOST_SEGMENTS).contains(&segments.len());
            let segments = segments.iter().map(position).collect::<Option<_>>()?;
            (is_ours && is_possible).then(|| Self { kind, table: table.to_owned(), phase, segments })
        };
        parsed.as_ref().and_then(read).ok_or_else(foreign_cursor)
    }

    /// As text, if there is more to read.
    pub(super) fn write(&self) -> Option<String> {
        if self.is_at_end() {
            return None;
        }
        let position = |position: &Position| match position {
            Position::Start => json!(0),
            Position::End => Value::Null,
            Position::After(key) => {
                let part = key.get(PART).and_then(|part| part.as_s());
                Value::from(id_of(key).into_iter().chain(part).collect::<Vec<_>>())
            }
        };
        let segments: Vec<Value> = self.segments.iter().map(position).collect();
        let (kind, table, phase) = (self.kind.name(), &self.table, self.phase);
        let cursor = json!({ "dynamodb": FORMAT, "kind": kind, "table": table, "phase": phase, "segments": segments });
        Some(cursor.to_string())
    }

    fn is_at_end(&self) -> bool {
        self.segments.iter().all(|position| *position == Position::End)
    }

    /// Begins the next phase where one has ended; whether there is more to read.
    pub(super) fn go_on(&mut self) -> bool {
        if !self.is_at_end() {
            return true;
        }
        if self.phase + 1 == phases(self.kind) {
            return false;
        }
        self.phase += 1;
        self.segments.fill(Position::Start);
        true
    }
}

fn position(value: &Value) -> Option<Position> {
    let texts =
        |list: &Vec<Value>| list.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    match value {
        Value::Null => Some(Position::End),
        Value::Number(number) if number.as_i64() == Some(0) => Some(Position::Start),
        Value::Array(list) => match texts(list)?.as_slice() {
            [id] => Some(Position::After(key(id))),
            [id, part] => Some(Position::After(part_key(id, part))),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::dynamodb::session::Session;
    use crate::error::Kind;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let mut cursor = Cursor::new::<Session<'_>>(Moved::Outbox, "saga_outbox");
        cursor.segments[0] = Position::End;
        cursor.segments[1] = Position::After(part_key("key#\"ü", "1#e"));
        cursor.segments[2] = Position::After(key("a"));
        let text = cursor.write().unwrap();
        assert_eq!(Cursor::read(&text, Moved::Outbox, "saga_outbox").unwrap(), cursor);
        for (kind, table) in [(Moved::Outbox, "other"), (Moved::Inbox, "saga_outbox")] {
            assert_eq!(Cursor::read(&text, kind, table).unwrap_err().kind(), Kind::InvalidArgument);
        }
        let with = |phase: i64, segments: Value| {
            let cursor =
                json!({ "dynamodb": 1, "kind": "payloads", "table": "t", "phase": phase, "segments": segments });
            Cursor::read(&cursor.to_string(), Moved::Payloads, "t").is_ok()
        };
        assert!(with(0, json!([0])) && with(0, json!([["a"], null])));
        for segments in [json!([]), json!([1]), json!(["a"]), json!([[]]), json!([[1]]), json!([["a", "b", "c"]])] {
            assert!(!with(0, segments.clone()), "{segments}");
        }
        assert!(!with(1, json!([0])) && !with(-1, json!([0])));
        for text in ["", "7", "{}", "a\0b", "[0]"] {
            assert!(Cursor::read(text, Moved::Payloads, "t").is_err(), "{text}");
        }
    }

    #[test]
    fn events_are_read_in_two_phases() {
        let mut cursor = Cursor::new::<Session<'_>>(Moved::Outbox, "t");
        assert!(cursor.go_on() && cursor.phase == 0);
        cursor.segments.fill(Position::End);
        assert!(cursor.go_on() && cursor.phase == 1 && cursor.segments[0] == Position::Start);
        cursor.segments.fill(Position::End);
        assert!(!cursor.go_on() && cursor.write().is_none());
        let mut cursor = Cursor::new::<Session<'_>>(Moved::States, "t");
        cursor.segments.fill(Position::End);
        assert!(!cursor.go_on());
    }
}
