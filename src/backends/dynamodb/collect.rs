//! What `TransactWriteItems` can carry: puts and deletes, one for each item, at most 100 of them and
//! 4 MB in all. All of it is checked when an operation is called, not when the transaction is sent.

use std::collections::HashSet;

use bytes::Bytes;

use super::changes::Change;
use super::clock::Clock;
use super::expression;
use super::payloads::item;
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::Work;
use crate::contract::payloads::Write;
use crate::contract::step::{Step, not_queueable};
use crate::error::{Detail, Error, Result};

const MAX_ITEMS: u64 = 100;
const MAX_BYTES: u64 = 4 << 20;

/// How full a transaction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) items: u64,
    pub(super) bytes: u64,
}

impl Load {
    /// With one change more, or with one in the place of another; an error if that is too much.
    pub(super) fn with(self, change: &Change, instead_of: Option<u64>) -> Result<Self> {
        self.with_size(change.size(), instead_of).map_err(|error| error.with_id(change.id().unwrap_or_default()))
    }

    /// The same by its size; the error has no id.
    pub(super) fn with_size(self, size: u64, instead_of: Option<u64>) -> Result<Self> {
        let items = if instead_of.is_some() { self.items } else { self.items + 1 };
        let bytes = self.bytes.saturating_sub(instead_of.unwrap_or(0)) + size;
        let refused = if items > MAX_ITEMS {
            let text =
                format!("a DynamoDB transaction takes at most {MAX_ITEMS} items, and this would be number {items}");
            Error::invalid(text).with_detail("limit", Detail::count(MAX_ITEMS))
        } else if bytes > MAX_BYTES {
            let text =
                format!("the items of the transaction would have {bytes} bytes; the limit of dynamodb is {MAX_BYTES}");
            Error::too_large(text, bytes, MAX_BYTES)
        } else {
            return Ok(Self { items, bytes });
        };
        Err(refused)
    }
}

/// What is in a transaction that the application collects.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    load: Load,
    /// Of items in the table that was asked for.
    ids: HashSet<String>,
}

impl Found {
    /// Of what `collected` answers.
    pub(super) fn read(found: Dynamic) -> Option<Self> {
        let (mut load, mut ids) = (Load::default(), HashSet::new());
        for item in found.into_list()? {
            load.bytes += item.get("bytes").and_then(Dynamic::as_int).and_then(|bytes| u64::try_from(bytes).ok())?;
            load.items += 1;
            ids.extend(item.get("id").and_then(Dynamic::as_text).map(str::to_owned));
        }
        Some(Self { load, ids })
    }

    /// Whether it has an operation on the item of a change.
    pub(super) fn has(&self, change: &Change) -> bool {
        change.id().is_some_and(|id| self.ids.contains(id))
    }

    /// Adds a change, if there is room for it.
    pub(super) fn add(&mut self, change: &Change) -> Result<()> {
        let id = change.id().unwrap_or_default();
        if self.has(change) {
            let text = "the transaction has an operation on this item already, and DynamoDB takes one for each";
            return Err(Error::invalid(text).with_id(id));
        }
        self.load = self.load.with(change, None)?;
        self.ids.insert(id.to_owned());
        Ok(())
    }
}

/// What a step changes. Its bytes are the caller's: to look at, not to keep.
pub(super) fn change_of(step: &Step, table: &str, clock: &Clock) -> Result<Change> {
    change_with(step, table, clock, Bytes::clone)
}

/// The same with bytes of its own: the caller's are the caller's again when the step has been queued.
pub(super) fn copy_of(step: &Step, table: &str, clock: &Clock) -> Result<Change> {
    change_with(step, table, clock, |data| Bytes::copy_from_slice(data))
}

fn change_with(step: &Step, table: &str, clock: &Clock, bytes_of: impl Fn(&Bytes) -> Bytes) -> Result<Change> {
    match step {
        Step::Payload(Work::Write(Write::Put { id, data, expires_at })) => {
            Ok(Change::put(table, item::encode(id, &bytes_of(data), expires_at.map(|at| clock.stored(at)))))
        }
        Step::Payload(Work::Write(Write::Delete { id })) => Ok(Change::delete(table, expression::key(id))),
        Step::Payload(Work::Write(Write::Touch { .. }) | Work::Read(_)) | Step::State(_) => Err(not_queueable(step)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::dynamodb::changes::Action;
    use crate::contract::payloads::Read;
    use crate::error::Kind;
    use crate::time::Millis;

    fn put(id: &str, size: usize) -> Change {
        Change::put("orders", item::encode(id, &Bytes::from(vec![0; size]), None))
    }

    #[test]
    fn the_101st_item_is_refused() {
        let mut load = Load::default();
        for _ in 0..100 {
            load = load.with(&Change::delete("orders", expression::key("a")), None).unwrap();
        }
        let error = load.with(&put("b", 1), None).unwrap_err();
        assert_eq!((error.kind(), error.id()), (Kind::InvalidArgument, Some("b")));
        assert!(error.details().contains(&("limit", Detail::Number(100))), "{error}");
        // In the place of another there is room.
        assert_eq!(load.with(&put("a", 1), Some(3)).unwrap().items, 100);
    }

    #[test]
    fn four_megabytes_are_the_limit_of_all_together() {
        let mut load = Load::default();
        for _ in 0..11 {
            load = load.with(&put("a", 370_000), None).unwrap();
        }
        let left = usize::try_from(MAX_BYTES - load.bytes - put("a", 0).size()).unwrap();
        assert_eq!(load.with(&put("a", left), None).unwrap().bytes, MAX_BYTES);
        let error = load.with(&put("a", left + 1), None).unwrap_err();
        assert_eq!(error.kind(), Kind::PayloadTooLarge);
        let details = [("size", Detail::count(MAX_BYTES + 1)), ("limit", Detail::count(MAX_BYTES))];
        assert_eq!(error.details(), details);
        assert!(load.with(&put("a", left + 100), Some(put("a", 100).size())).is_ok());
    }

    #[test]
    fn only_what_needs_no_answer_is_a_change() {
        let clock = Clock::default();
        let data = Bytes::from(vec![1; 64]);
        let write = Write::Put { id: "a".into(), data: data.clone(), expires_at: Some(Millis(1)) };
        let put = Step::Payload(Work::Write(write));
        for (change, is_copy) in [(change_of(&put, "orders", &clock), false), (copy_of(&put, "orders", &clock), true)] {
            let Action::Put(mut item) = change.unwrap().action else { panic!() };
            let Some(super::super::attribute::Attribute::B(kept)) = item.take(expression::DATA) else { panic!() };
            assert!(kept == data && (kept.as_ptr() != data.as_ptr()) == is_copy);
        }
        let delete =
            change_of(&Step::Payload(Work::Write(Write::Delete { id: "a".into() })), "orders", &clock).unwrap();
        assert_eq!(delete, Change::delete("orders", expression::key("a")));
        let touch = Step::Payload(Work::Write(Write::Touch { id: "a".into(), expires_at: Millis(1) }));
        for step in [
            touch,
            Step::Payload(Work::Read(Read::Find { id: "a".into() })),
            Step::Payload(Work::Read(Read::Has { id: "a".into() })),
        ] {
            assert_eq!(change_of(&step, "orders", &clock).unwrap_err().kind(), Kind::Unsupported, "{step:?}");
        }
    }
}
