//! Puts and deletes that wait for the end of a transaction.

use bytes::Bytes;

use super::item;
use crate::backends::dynamodb::changes::Change;
use crate::backends::dynamodb::clock::Clock;
use crate::backends::dynamodb::error;
use crate::backends::dynamodb::expression;
use crate::contract::payloads::Write;
use crate::error::Result;

/// The change of a write, to look at only: its bytes are the caller's.
pub(crate) fn change_of(write: &Write, table: &str, clock: &Clock) -> Result<Change> {
    change_with(write, table, clock, Bytes::clone)
}

/// The same to be kept, with bytes of its own: once the call has returned, the caller may write to its bytes.
pub(crate) fn copy_of(write: &Write, table: &str, clock: &Clock) -> Result<Change> {
    change_with(write, table, clock, |data| Bytes::copy_from_slice(data))
}

fn change_with(write: &Write, table: &str, clock: &Clock, bytes_of: impl Fn(&Bytes) -> Bytes) -> Result<Change> {
    match write {
        Write::Put { id, data, expires_at } => {
            Ok(Change::put(table, item::encode(id, &bytes_of(data), expires_at.map(|at| clock.stored(at)))))
        }
        Write::Delete { id } => Ok(Change::delete(table, expression::key(id))),
        // A caller waits for its answer, so it is never queued.
        Write::Touch { .. } => Err(error::unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::dynamodb::attribute::Attribute;
    use crate::backends::dynamodb::changes::Action;
    use crate::time::Millis;

    #[test]
    fn what_is_kept_has_bytes_of_its_own() {
        let clock = Clock::default();
        let data = Bytes::from(vec![1; 64]);
        let put = Write::Put { id: "a".into(), data: data.clone(), expires_at: Some(Millis(1)) };
        for (change, is_copy) in [(change_of(&put, "orders", &clock), false), (copy_of(&put, "orders", &clock), true)] {
            let Action::Put(mut item) = change.unwrap().action else { panic!() };
            let Some(Attribute::B(kept)) = item.take(expression::DATA) else { panic!() };
            assert!(kept == data && (kept.as_ptr() != data.as_ptr()) == is_copy);
        }
        let delete = change_of(&Write::Delete { id: "a".into() }, "orders", &clock).unwrap();
        assert_eq!(delete, Change::delete("orders", expression::key("a")));
    }
}
