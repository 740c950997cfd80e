//! A page of what is stored.
//!
//! 1. The next page of each segment of the table is read, beside each other where requests can be.
//! 2. Items become records, until the page is full. A segment goes on behind the last item that was taken.
//! 3. What a record has in other items is asked for: the log of an execution, the event of a place.
//!
//! Events are read in two phases. The first one goes along the places of keys, which stand in the table in their order:
//! so the events of a key are answered in their order. The second one answers events that have no place: those without
//! a key, and those that are sent. Those of one page are in their order; a small outbox is one page.

use super::cursor::{Cursor, Position};
use super::single;
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::error::{Cause, Failure};
use crate::backends::dynamodb::executions::{Executions, moved as executions};
use crate::backends::dynamodb::expression::{Expression, PART, id_of, key_of};
use crate::backends::dynamodb::outbox::{Outbox, moved as events};
use crate::backends::dynamodb::pages::Scan;
use crate::backends::dynamodb::payloads::item::WHOLE as PAYLOAD;
use crate::backends::dynamodb::states::moved as states;
use crate::contract::moving::record::Record;
use crate::contract::moving::{Moved, Page, foreign_cursor};
use crate::error::{Kind, Result};

/// How often segments are read for one page of records: few items of a table may be records.
const ROUNDS: u32 = 8;
/// Places whose events are asked for at once.
const PLACES: usize = 50;

/// What a scan wants.
pub(super) struct Wanted<'a> {
    pub(super) limit: u64,
    pub(super) max_bytes: u64,
    pub(super) only_sizes: bool,
    /// What the ids of payloads begin with.
    pub(super) prefix: &'a str,
}

/// A page that is being filled.
struct Filling<'a> {
    page: Page,
    wanted: Wanted<'a>,
    bytes: u64,
    /// Records that are in the page, or will be.
    count: u64,
}

impl Filling<'_> {
    /// Whether there is room for a record of so many bytes. Then it is counted.
    fn has_room(&mut self, bytes: u64) -> bool {
        let bytes = self.bytes.saturating_add(bytes);
        if self.count >= self.wanted.limit || (self.count > 0 && bytes > self.wanted.max_bytes) {
            return false;
        }
        (self.bytes, self.count) = (bytes, self.count + 1);
        true
    }

    fn is_full(&self) -> bool {
        self.count >= self.wanted.limit || (self.count > 0 && self.bytes >= self.wanted.max_bytes)
    }

    /// Adds a record; what cannot be read is told by its name.
    fn add(&mut self, name: impl FnOnce() -> String, record: Result<Record>) -> Result<()> {
        match record {
            Ok(record) => self.page.records.push(record),
            Err(error) if error.kind() == Kind::CorruptData => {
                self.page.unreadable.push((name(), error.message().to_owned()));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What is asked of a table.
fn asked(kind: Moved, phase: u8, prefix: &str) -> (&'static str, Option<Expression>) {
    match kind {
        Moved::Payloads if prefix.is_empty() => (PAYLOAD, None),
        Moved::Payloads => {
            let values = Item::from([(":prefix", Attribute::text(prefix))]);
            (PAYLOAD, Some(Expression::new("begins_with(#id, :prefix)", values)))
        }
        Moved::States => (states::WHOLE, Some(states::is_saga())),
        Moved::Executions => ("", Some(executions::is_head())),
        Moved::Outbox if phase == 0 => ("#id, #part", Some(events::is_place())),
        Moved::Outbox => ("", Some(events::has_no_place())),
        Moved::Inbox => ("", None),
    }
}

/// What an item is known by.
fn name_of(item: &Item) -> String {
    let id = id_of(item).unwrap_or_default();
    match item.get(PART).and_then(|part| part.as_s()) {
        Some(part) if !["head", "event"].contains(&part) => format!("{part}/{id}"),
        _ => id.strip_prefix("saga#").or(id.strip_prefix("event#")).unwrap_or(id).to_owned(),
    }
}

/// A page of a segment.
struct Read {
    segment: usize,
    items: Vec<Item>,
    /// Where it ends.
    end: Position,
}

/// Reads the next page of each segment, of all of them about `count` items.
async fn read<C: Channel>(on: &C, kind: Moved, cursor: &Cursor, count: u64, prefix: &str) -> Result<Vec<Read>> {
    let segments = i32::try_from(cursor.segments.len()).unwrap_or(1);
    let open = cursor.segments.iter().enumerate().filter(|(_, position)| **position != Position::End);
    let open: Vec<(usize, Option<Item>)> = open
        .map(|(at, position)| (at, if let Position::After(key) = position { Some(key.clone()) } else { None }))
        .collect();
    let share = count.div_ceil(open.len().max(1) as u64).clamp(1, 1_000);
    let (projection, filter) = asked(kind, cursor.phase, prefix);
    let scans = open.into_iter().map(|(at, after)| {
        let (filter, limit) = (filter.clone(), i32::try_from(share).ok());
        let has_begun = after.is_some();
        let scan = Scan { segment: i32::try_from(at).unwrap_or(0), segments, after, projection, filter, limit };
        async move {
            match on.send(scan).await {
                Ok((items, next)) => Ok(Read { segment: at, items, end: next.map_or(Position::End, Position::After) }),
                // A key that is none of this segment.
                Err(Failure { cause: Cause::Invalid, .. }) if has_begun => Err(foreign_cursor()),
                Err(failure) => Err(failure.into()),
            }
        }
    });
    all::<C, _>(scans.collect()).await.into_iter().collect()
}

/// Answers a page of the records of a kind.
pub(super) async fn scan<C: Channel>(on: &C, kind: Moved, after: Option<&str>, wanted: Wanted<'_>) -> Result<Page> {
    let mut cursor = match after {
        None => Cursor::new::<C>(kind, on.table()),
        Some(text) => Cursor::read(text, kind, on.table())?,
    };
    let mut filling = Filling { page: Page::default(), wanted, bytes: 0, count: 0 };
    for _ in 0..ROUNDS {
        let left = filling.wanted.limit - filling.count;
        for Read { segment, items, end } in read(on, kind, &cursor, left, filling.wanted.prefix).await? {
            let keys: Vec<Item> = items.iter().map(key_of).collect();
            let taken = take(on, kind, cursor.phase, items, &mut filling).await?;
            if taken == keys.len() {
                cursor.segments[segment] = end;
            } else if let Some(last) = taken.checked_sub(1) {
                cursor.segments[segment] = Position::After(keys[last].clone());
            }
        }
        if !cursor.go_on() || filling.is_full() || filling.count > filling.wanted.limit / 2 {
            break;
        }
    }
    let Filling { mut page, .. } = filling;
    page.records.sort_by_key(|record| if let Record::Event(stored) = record { stored.seq } else { 0 });
    page.cursor = cursor.write();
    Ok(page)
}

/// Takes items until the page is full; answers how many.
async fn take<C: Channel>(
    on: &C,
    kind: Moved,
    phase: u8,
    mut items: Vec<Item>,
    filling: &mut Filling<'_>,
) -> Result<usize> {
    if kind == Moved::Outbox && phase == 0 {
        return take_places(on, &items, filling).await;
    }
    let bytes_of = |item: &Item| match kind {
        Moved::Executions => executions::bytes_of(item),
        _ if filling.wanted.only_sizes => 0,
        _ => item.size(),
    };
    let sizes: Vec<u64> = items.iter().map(bytes_of).collect();
    let taken = sizes.into_iter().take_while(|bytes| filling.has_room(*bytes)).count();
    items.truncate(taken);
    if kind == Moved::Executions {
        let names: Vec<String> = items.iter().map(name_of).collect();
        for (name, logbook) in names.into_iter().zip(Executions { on }.logbooks(items).await) {
            // Else it has been removed meanwhile.
            if let Some(logbook) = logbook.transpose() {
                filling.add(|| name, logbook.map(|logbook| Record::Execution(Box::new(logbook))))?;
            }
        }
        return Ok(taken);
    }
    let only_sizes = filling.wanted.only_sizes;
    for item in items {
        let name = name_of(&item);
        filling.add(|| name, decode(on, kind, item, only_sizes))?;
    }
    Ok(taken)
}

/// The record of an item.
fn decode(on: &impl Channel, kind: Moved, item: Item, only_sizes: bool) -> Result<Record> {
    match kind {
        Moved::Payloads => single::payload(item, on.clock(), only_sizes),
        Moved::States => states::decode(&item, on.clock()).map(|state| Record::State(Box::new(state))),
        Moved::Outbox => events::decode(item).map(|stored| Record::Event(Box::new(stored))),
        Moved::Executions | Moved::Inbox => single::message(&item),
    }
}

/// The same of places, whose events are asked for.
async fn take_places<C: Channel>(on: &C, places: &[Item], filling: &mut Filling<'_>) -> Result<usize> {
    let mut taken = 0;
    for some in places.chunks(PLACES) {
        for event in (Outbox { on }).placed(some).await? {
            if let Some((id, event)) = event {
                if !filling.has_room(event.as_ref().map_or(0, |stored| stored.event.bytes() as u64)) {
                    return Ok(taken);
                }
                filling.add(|| id, event.map(|stored| Record::Event(Box::new(stored))))?;
            }
            taken += 1;
        }
        if filling.is_full() {
            break;
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::dynamodb::expression::{key, part_key};

    #[test]
    fn a_page_has_at_least_one_record() {
        let wanted = |limit, max_bytes| Wanted { limit, max_bytes, only_sizes: false, prefix: "" };
        let filling = |wanted| Filling { page: Page::default(), wanted, bytes: 0, count: 0 };
        let mut small = filling(wanted(10, 100));
        assert!(small.has_room(1_000) && small.is_full() && !small.has_room(1));
        let mut two = filling(wanted(2, 100));
        assert!(two.has_room(60) && !two.has_room(60) && two.has_room(40) && !two.has_room(0));
    }

    #[test]
    fn items_have_names() {
        let names = [key("a"), key("saga#Order#s-1"), part_key("s-1", "head"), part_key("event#e", "event")];
        assert_eq!(names.each_ref().map(name_of), ["a", "Order#s-1", "s-1", "e"]);
        assert_eq!(name_of(&part_key("m-1", "mailer")), "mailer/m-1");
    }
}
