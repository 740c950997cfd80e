//! What an update of a head says.

use super::item::{
    CONTEXT_MAX, HEAD_RESERVE, Head, SEGMENT_MAX, TAIL_MAX, attributes, piece, piece_part, pieces, segment,
};
use crate::backends::dynamodb::attribute::{Attribute, Item, MAX_ITEM_BYTES};
use crate::backends::dynamodb::expression::{
    CONTEXT, CONTEXT_BYTES, CONTEXT_PARTS, EXPIRES_AT, Expression, GENERATION, LOG, SEGMENTS, TAIL, TAIL_BYTES,
    part_key, seconds,
};
use crate::contract::executions::record::Execution;
use crate::error::{Error, Result};
use crate::time::Millis;

/// Attributes that are set, and that are removed.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    set: String,
    remove: String,
    values: Item,
}

impl Edit {
    /// What makes an item of another one.
    pub(crate) fn between(before: &Item, after: &Item) -> Self {
        let mut edit = Self::default();
        for (name, value) in after.iter().filter(|(name, value)| before.get(name) != Some(value)) {
            edit.set(name, value.clone());
        }
        for (name, _) in before.iter().filter(|(name, _)| after.get(name).is_none()) {
            edit.remove(name);
        }
        edit
    }

    /// Sets an attribute. Its expression has the attribute's own name, and so has its value.
    pub(crate) fn set(&mut self, name: &str, value: Attribute) {
        self.assign(name, &format!(":{name}"), value);
    }

    /// Adds to a number.
    pub(crate) fn add(&mut self, name: &str, number: i64) {
        self.assign(name, &format!("#{name} + :{name}"), Attribute::number(number));
    }

    /// Adds to a list.
    pub(crate) fn append(&mut self, name: &str, list: Vec<Attribute>) {
        self.assign(name, &format!("list_append(#{name}, :{name})"), Attribute::L(list));
    }

    /// Sets an attribute to what an expression says; the value is its `:{name}`.
    pub(crate) fn assign(&mut self, name: &str, expression: &str, value: Attribute) {
        self.assign_known(name, expression);
        self.values.set(&format!(":{name}"), value);
    }

    /// The same with values that are there already.
    pub(crate) fn assign_known(&mut self, name: &str, expression: &str) {
        let joint = if self.set.is_empty() { "SET " } else { ", " };
        self.set.extend([joint, "#", name, " = ", expression]);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let joint = if self.remove.is_empty() { "REMOVE " } else { ", " };
        self.remove.extend([joint, "#", name]);
    }

    pub(crate) fn done(self) -> Expression {
        Expression::new(format!("{} {}", self.set, self.remove), self.values)
    }
}

/// What TTL reads of an expiry.
pub(crate) fn ttl(at: Millis) -> Attribute {
    Attribute::number(seconds(at))
}

/// `PAYLOAD_TOO_LARGE`, of what needs so many bytes in one item.
pub(crate) fn too_large(what: &str, size: u64) -> Error {
    let text = format!("{what} would be an item of {size} bytes; the limit of dynamodb is {MAX_ITEM_BYTES}");
    Error::too_large(text, size, MAX_ITEM_BYTES)
}

/// What a head is changed to, and the items beside it.
#[derive(Debug, Default)]
pub(crate) struct Rewrite {
    pub(crate) edit: Edit,
    pub(crate) puts: Vec<Item>,
    pub(crate) deletes: Vec<Item>,
}

impl Rewrite {
    /// The execution itself, but for its context and its log.
    pub(crate) fn of(before: Option<&Execution>, after: &Execution) -> Result<Self> {
        let (before, after) = (before.map(attributes).unwrap_or_default(), attributes(after));
        let size = after.size() + HEAD_RESERVE;
        if size > MAX_ITEM_BYTES {
            return Err(too_large("the execution with its metadata", size));
        }
        Ok(Self { edit: Edit::between(&before, &after), ..Self::default() })
    }

    /// Another context. `generation` is one that nobody has had before.
    pub(crate) fn set_context(&mut self, id: &str, context: &str, before: Option<&Head>, generation: i64) {
        let pieces = if context.len() > CONTEXT_MAX { pieces(context) } else { Vec::new() };
        let known = before.map_or(0, |head| head.parts);
        self.edit.set(CONTEXT_BYTES, Attribute::number(i64::try_from(context.len()).unwrap_or(i64::MAX)));
        if pieces.is_empty() {
            self.edit.set(CONTEXT, Attribute::text(context));
            if known > 0 {
                self.edit.remove(CONTEXT_PARTS);
                self.edit.remove(GENERATION);
            }
        } else {
            self.edit.set(CONTEXT_PARTS, Attribute::number(i64::try_from(pieces.len()).unwrap_or(i64::MAX)));
            self.edit.set(GENERATION, Attribute::number(generation));
            if before.is_some_and(|head| head.parts == 0) {
                self.edit.remove(CONTEXT);
            }
        }
        let is_left = pieces.len()..known.max(pieces.len());
        self.deletes.extend(is_left.map(|place| part_key(id, &piece_part(place))));
        let pieces = pieces.into_iter().enumerate();
        self.puts.extend(pieces.map(|(place, text)| piece(id, place, generation, text)));
    }

    /// No context, where there was one perhaps.
    pub(crate) fn drop_context(&mut self, id: &str, before: &Head) {
        self.edit.remove(CONTEXT);
        self.edit.remove(CONTEXT_BYTES);
        if before.parts > 0 {
            self.edit.remove(CONTEXT_PARTS);
            self.edit.remove(GENERATION);
        }
        self.deletes.extend((0..before.parts).map(|place| part_key(id, &piece_part(place))));
    }

    /// A log from its beginning; `known`: segments that are there still, of another one.
    pub(crate) fn set_log(&mut self, id: &str, log: &str, entries: Vec<Attribute>, known: i64) -> Result<()> {
        self.edit.set(LOG, Attribute::text(log));
        let size = size_of(&entries);
        if size <= TAIL_MAX {
            self.set_tail(entries, size);
            return Ok(());
        }
        self.put_segments(id, log, 1, entries, known)
    }

    fn set_tail(&mut self, tail: Vec<Attribute>, size: usize) {
        self.edit.set(TAIL, Attribute::L(tail));
        self.edit.set(TAIL_BYTES, Attribute::number(i64::try_from(size).unwrap_or(i64::MAX)));
    }

    /// More entries behind a log. If they do not fit in the head, all of its entries go into segments.
    pub(crate) fn append(&mut self, head: &Head, entries: Vec<Attribute>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let size = size_of(&entries);
        let kept = usize::try_from(head.tail_bytes).unwrap_or(0);
        if kept + size <= TAIL_MAX {
            self.edit.append(TAIL, entries);
            self.edit.add(TAIL_BYTES, i64::try_from(size).unwrap_or(i64::MAX));
            return Ok(());
        }
        let all = head.tail.iter().cloned().chain(entries).collect();
        self.put_segments(&head.execution.id, &head.log, head.tail_from(), all, head.segments)
    }

    /// Entries in segments, and none in the head.
    fn put_segments(&mut self, id: &str, log: &str, first: i64, entries: Vec<Attribute>, known: i64) -> Result<()> {
        self.set_tail(Vec::new(), 0);
        let (mut first, mut packed, mut size, mut count) = (first, Vec::new(), 0, known);
        for entry in entries {
            let more = entry.size() + 1;
            if !packed.is_empty() && size + more > SEGMENT_MAX {
                let full = std::mem::take(&mut packed);
                let next = first + i64::try_from(full.len()).unwrap_or(0);
                self.put_segment(segment(id, log, first, full))?;
                (first, size, count) = (next, 0, count + 1);
            }
            size += more;
            packed.push(entry);
        }
        self.put_segment(segment(id, log, first, packed))?;
        self.edit.set(SEGMENTS, Attribute::number(count + 1));
        Ok(())
    }

    fn put_segment(&mut self, segment: Item) -> Result<()> {
        if segment.size() > MAX_ITEM_BYTES {
            return Err(too_large("a step of the log", segment.size()));
        }
        self.puts.push(segment);
        Ok(())
    }

    /// The expiry of an execution that ends, or of one that goes on after all. `others`: it has other items than those
    /// that are written here, so its head gets it when they have it.
    pub(crate) fn set_ttl(&mut self, before: Option<Millis>, after: Option<Millis>, others: bool) {
        if let Some(at) = after {
            for item in &mut self.puts {
                item.set(EXPIRES_AT, ttl(at));
            }
        }
        match after {
            _ if before == after => {}
            Some(at) if !others => self.edit.set(EXPIRES_AT, ttl(at)),
            _ => self.edit.remove(EXPIRES_AT),
        }
    }
}

/// What entries need, in bytes.
pub(crate) fn size_of(entries: &[Attribute]) -> usize {
    entries.iter().map(|entry| entry.size() + 1).sum()
}
