//! How much `TransactWriteItems` takes: one change for each item, at most 100 of them and 4 MB in all. That is checked
//! when an operation is called, not when the transaction is sent.

use super::changes::Change;
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backends::dynamodb::expression;
    use crate::backends::dynamodb::payloads::item;
    use crate::error::Kind;

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
}
