//! A payload as an item: `{ id: S, data: B, expiresAt: N, expiresAtMs: N }`.

use bytes::Bytes;

use crate::backends::dynamodb::attribute::{Attribute, Item, MAX_ITEM_BYTES};
use crate::backends::dynamodb::expression::{
    DATA, EXPIRES_AT, EXPIRES_AT_MS, ID, corrupt, is_expired, key, set_expiry,
};
use crate::error::Result;
use crate::time::Millis;

/// The largest that the two expiry attributes can be: names, and numbers of 13 and of 16 digits.
const EXPIRY_BYTES: u64 = EXPIRES_AT.len() as u64 + 8 + EXPIRES_AT_MS.len() as u64 + 9;

/// The largest payload of an id of this many bytes. Room for an expiry is always kept, so that
/// `touch` can give one to a payload that was stored without.
pub(crate) const fn max_payload_bytes(id_bytes: u64) -> u64 {
    MAX_ITEM_BYTES - (ID.len() as u64 + id_bytes) - DATA.len() as u64 - EXPIRY_BYTES
}

/// The attributes that a `get` asks for.
pub(crate) const WHOLE: &str = "#id, #data, #at, #ms";

/// A payload's item.
pub(crate) fn encode(id: &str, data: &Bytes, expires_at: Option<Millis>) -> Item {
    let mut item = key(id);
    item.set(DATA, Attribute::B(data.clone()));
    set_expiry(&mut item, expires_at);
    item
}

/// The size of the payload in an item.
pub(crate) fn payload_bytes(item: &Item) -> usize {
    if let Some(Attribute::B(data)) = item.get(DATA) { data.len() } else { 0 }
}

/// The payload of an item that has not expired.
pub(crate) fn decode(mut item: Item, now: Millis) -> Result<Option<Bytes>> {
    if is_expired(&item, now)? {
        return Ok(None);
    }
    match item.take(DATA) {
        Some(Attribute::B(data)) => Ok(Some(data)),
        Some(_) => Err(corrupt("data is not binary")),
        None => Err(corrupt("it has no data")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn numbers(at: &str, ms: Option<&str>) -> Item {
        let mut item = key("a");
        item.set(EXPIRES_AT, Attribute::N(at.to_owned()));
        if let Some(ms) = ms {
            item.set(EXPIRES_AT_MS, Attribute::N(ms.to_owned()));
        }
        item
    }

    #[test]
    fn the_largest_payload_fits_with_every_expiry() {
        for id in ["a", "slip-1", &"x".repeat(1_024), &"\u{fc}".repeat(512)] {
            let limit = max_payload_bytes(id.len() as u64);
            let data = Bytes::from(vec![0; usize::try_from(limit).unwrap()]);
            // The end of time is 8.64e15 ms, the number with the most digits 8639999999999999.
            for at in [None, Some(Millis(1)), Some(Millis(1_763_637_316_123)), Some(Millis(8_639_999_999_999_999))] {
                assert!(encode(id, &data, at).size() <= MAX_ITEM_BYTES, "{id} {at:?}");
            }
            assert_eq!(encode(id, &data, Some(Millis(8_639_999_999_998_999))).size(), MAX_ITEM_BYTES);
        }
        assert_eq!(max_payload_bytes(1), 409_556);
    }

    #[test]
    fn what_is_no_payload_is_corrupt() {
        let now = Millis(1_000);
        let error = decode(key("a"), now).unwrap_err();
        assert!(error.kind() == Kind::CorruptData && error.message().contains("no data"), "{error}");
        let mut text = key("a");
        text.set(DATA, Attribute::S(String::from("text")));
        assert_eq!(decode(text, now).unwrap_err().kind(), Kind::CorruptData);
        assert_eq!(decode(numbers("1", None), now).unwrap(), None);
    }
}
