//! Redis Cluster runs a transaction on one server, and only if all its keys are in one hash slot.

use bytes::Bytes;
use fred::util::redis_keyslot;

use super::error::TAG_HINT;
use crate::error::{Error, Result};

/// The key that the others of a transaction have to go with: the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Anchor(Option<Bytes>);

impl Anchor {
    /// A transaction that has `first` in it already.
    pub(super) fn at(first: Option<Bytes>) -> Self {
        Self(first)
    }

    /// Whether all these keys go with it, and with each other; each with the id that it is about.
    pub(super) fn check<'a>(&self, keys: impl IntoIterator<Item = (Bytes, &'a str)>) -> Result<()> {
        let mut anchor = self.0.clone();
        for (key, id) in keys {
            match &anchor {
                None => anchor = Some(key),
                Some(first) if redis_keyslot(first) == redis_keyslot(&key) => {}
                Some(first) => {
                    let message = format!(
                        "in a Redis Cluster transaction all keys must be in one hash slot; key '{}' is in another one \
                        than '{}': {TAG_HINT}",
                        shown(&key),
                        shown(first)
                    );
                    return Err(Error::invalid(message).with_id(id));
                }
            }
        }
        Ok(())
    }

    /// Has `key` in it from now on.
    pub(super) fn keep(&mut self, key: &Bytes) {
        self.0.get_or_insert_with(|| key.clone());
    }
}

/// A key in a message.
fn shown(key: &[u8]) -> String {
    const LONGEST: usize = 80;
    let text = String::from_utf8_lossy(key);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// What a transaction with payloads of these ids says.
    fn check(anchor: &Anchor, prefix: &str, ids: &[&str]) -> Result<()> {
        anchor.check(ids.iter().map(|id| (Bytes::from(format!("{prefix}:{id}")), *id)))
    }

    #[test]
    fn keys_of_one_slot_go_together() {
        let empty = Anchor::default();
        assert!(check(&empty, "p", &["{a}1", "{a}2", "x{a}y"]).is_ok());
        assert!(check(&empty, "{p}", &["a", "b", "c"]).is_ok());
        assert!(check(&empty, "p", &["a"]).is_ok());
        let error = check(&empty, "p", &["{a}1", "{b}1"]).unwrap_err();
        assert_eq!((error.kind(), error.id()), (Kind::InvalidArgument, Some("{b}1")));
        assert!(error.message().contains("hash tag") && error.message().contains("'p:{b}1'"), "{error}");
    }

    #[test]
    fn what_is_queued_already_counts() {
        // What the application has queued has no prefix of ours.
        let order = Anchor::at(Some(Bytes::from_static(b"order:{7}")));
        assert!(check(&order, "p", &["slip-{7}"]).is_ok());
        assert!(check(&order, "p", &["slip-7"]).is_err());
        let mut anchor = Anchor::default();
        anchor.keep(&Bytes::from_static(b"p:{a}1"));
        anchor.keep(&Bytes::from_static(b"p:{b}1"));
        assert!(check(&anchor, "p", &["{a}2"]).is_ok());
        assert!(check(&anchor, "p", &["{b}2"]).is_err());
    }

    #[test]
    fn long_keys_are_cut() {
        let error = check(&Anchor::at(Some(Bytes::from(vec![b'x'; 1_000]))), "p", &["y"]).unwrap_err();
        assert!(error.message().len() < 600);
    }
}
