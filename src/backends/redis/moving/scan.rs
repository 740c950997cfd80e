//! Pages of what SCANs find. A SCAN tells keys; those that a page has no room for are in its cursor, so nothing is told
//! twice or forgotten because a page was full.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Found;
use super::walk::{Pattern, Place, Walk};
use crate::backends::redis::channel::{SCAN_COUNT, Servers};
use crate::backends::redis::command::Request;
use crate::backends::redis::error;
use crate::contract::moving::record::Record;
use crate::contract::moving::{Moved, Page, foreign_cursor};
use crate::error::{Kind, Result};

/// A page is what was found until then, also if that is nothing.
const LASTS: Duration = Duration::from_millis(500);

/// Keys that are read at once.
const TOGETHER: usize = 256;

/// What a page is to be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) kind: Moved,
    pub(super) limit: u64,
    pub(super) max_bytes: u64,
    pub(super) only_sizes: bool,
}

/// Records of a kind that stand under keys of their own.
pub(super) trait Scanned: Sync {
    /// What their keys are, as TYPE says it.
    const TYPE: &'static str;

    /// What their keys match.
    fn pattern(&self) -> String;

    /// Whether it is the key of a record.
    fn is_record(&self, key: &str) -> bool;

    /// A key as it is told.
    fn shown<'k>(&self, key: &'k str) -> &'k str;

    /// What asks for about the bytes of a record; none: they are all small.
    fn size(&self, key: &str) -> Option<Request>;

    /// What stands there; none where there is nothing any more.
    fn read(&self, keys: &[String]) -> impl Future<Output = Result<Vec<Option<Found>>>> + Send;
}

/// What a page ends with.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    kind: String,
    /// What has been found, and not been told.
    keys: Vec<String>,
    /// None: the rest is found.
    walk: Option<Place>,
}

impl Cursor {
    fn read(text: &str, kind: Moved) -> Result<Self> {
        let cursor: Self = serde_json::from_str(text).map_err(|_| foreign_cursor())?;
        if cursor.kind == kind.name() { Ok(cursor) } else { Err(foreign_cursor()) }
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|source| error::unexpected().with_source(source))
    }
}

/// A page that is being filled.
struct Filling<'a> {
    page: Page,
    wanted: &'a Wanted,
    bytes: u64,
}

impl Filling<'_> {
    fn len(&self) -> u64 {
        self.page.records.len() as u64
    }

    fn is_full(&self) -> bool {
        self.len() >= self.wanted.limit || (self.len() > 0 && self.bytes >= self.wanted.max_bytes)
    }

    fn add(&mut self, record: Record) {
        self.bytes = self.bytes.saturating_add(record.bytes() as u64);
        self.page.records.push(record);
    }

    /// How many of the next keys there is room for, which have so many bytes: at least one.
    fn room(&self, sizes: &[u64]) -> usize {
        let mut left = self.wanted.max_bytes.saturating_sub(self.bytes);
        let most = usize::try_from(self.wanted.limit.saturating_sub(self.len())).unwrap_or(usize::MAX);
        let fits = |size: &&u64| {
            let fits = **size <= left;
            left = left.saturating_sub(**size);
            fits
        };
        let count = sizes.iter().take(most).take_while(fits).count();
        if self.len() == 0 { count.max(1) } else { count }
    }
}

/// The next page.
pub(super) async fn page<S: Servers>(
    on: &S,
    records: &impl Scanned,
    wanted: &Wanted,
    after: Option<&str>,
) -> Result<Page> {
    let began = Instant::now();
    let cursor = after.map(|after| Cursor::read(after, wanted.kind)).transpose()?;
    let (mut keys, place, mut is_over) = match cursor {
        None => (Vec::new(), None, false),
        Some(Cursor { keys, walk, .. }) => {
            let is_over = walk.is_none();
            (keys, walk, is_over)
        }
    };
    let most: u64 = SCAN_COUNT.parse().unwrap_or(1_000);
    // What has been found is told first; no server is asked for more before.
    let mut place = place;
    let mut walk = None;
    let mut filling = Filling { page: Page::default(), wanted, bytes: 0 };
    loop {
        let is_full = fill(on, records, &mut filling, &mut keys).await?;
        if is_full || is_over || (began.elapsed() >= LASTS && keys.is_empty()) {
            break;
        }
        let walk = match &mut walk {
            Some(walk) => walk,
            empty @ None => {
                let pattern = Pattern {
                    keys: records.pattern(),
                    of_type: scanned_type(records),
                    count: wanted.limit.clamp(10, most),
                };
                empty.insert(Walk::at(on, pattern, place.take()).await?)
            }
        };
        match walk.step().await? {
            None => is_over = true,
            Some(found) => {
                for key in found {
                    match String::from_utf8(key.to_vec()) {
                        Ok(key) if records.is_record(&key) => keys.push(key),
                        Err(_) if wanted.kind == Moved::Payloads => {
                            let key = String::from_utf8_lossy(&key);
                            filling.page.unreadable.push((key.into_owned(), String::from("the key is not UTF-8")));
                        }
                        Ok(_) | Err(_) => {}
                    }
                }
            }
        }
    }
    let walk = if is_over { None } else { walk.map(Walk::place).or(place) };
    let mut page = filling.page;
    if !(is_over && keys.is_empty()) {
        page.cursor = Some(Cursor { kind: wanted.kind.name().to_owned(), keys, walk }.text()?);
    }
    Ok(page)
}

fn scanned_type<T: Scanned>(_: &T) -> &'static str {
    T::TYPE
}

/// Reads what has been found, as far as there is room. Whether the page is full.
async fn fill<S: Servers>(
    on: &S,
    records: &impl Scanned,
    filling: &mut Filling<'_>,
    keys: &mut Vec<String>,
) -> Result<bool> {
    while !keys.is_empty() && !filling.is_full() {
        let mut next: Vec<String> = keys.drain(..keys.len().min(TOGETHER)).collect();
        let sizes = sizes(on, records, &next).await?;
        let rest = next.split_off(filling.room(&sizes).min(next.len()));
        let is_cut = !rest.is_empty();
        keys.splice(..0, rest);
        for (key, found) in next.iter().zip(records.read(&next).await?) {
            match found {
                None => {}
                Some(Ok(record)) => filling.add(record),
                Some(Err(why)) => filling.page.unreadable.push((records.shown(key).to_owned(), why)),
            }
        }
        if is_cut {
            return Ok(true);
        }
    }
    Ok(filling.is_full())
}

async fn sizes<S: Servers>(on: &S, records: &impl Scanned, keys: &[String]) -> Result<Vec<u64>> {
    let requests: Option<Vec<Request>> = keys.iter().map(|key| records.size(key)).collect();
    let Some(requests) = requests else { return Ok(vec![0; keys.len()]) };
    let mut sizes = Vec::with_capacity(keys.len());
    for reply in on.send(requests).await? {
        match reply {
            Ok(size) => sizes.push(size.as_u64().unwrap_or_default()),
            // It will not be read either, which is told then.
            Err(error) if error.kind() == Kind::CorruptData => sizes.push(0),
            Err(error) => return Err(error),
        }
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted { kind: Moved::Payloads, limit: 3, max_bytes: 100, only_sizes: false };

    #[test]
    fn cursors_are_those_of_a_kind() {
        let cursor = Cursor { kind: String::from("payloads"), keys: vec![String::from("p:a\"")], walk: None };
        let text = cursor.text().unwrap();
        assert_eq!(Cursor::read(&text, Moved::Payloads).unwrap(), cursor);
        for (text, kind) in [(&*text, Moved::States), ("", Moved::Payloads), ("17", Moved::Payloads)] {
            assert_eq!(Cursor::read(text, kind).unwrap_err().kind(), Kind::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn a_page_has_room_for_one_at_least() {
        let filling = Filling { page: Page::default(), wanted: &WANTED, bytes: 0 };
        assert_eq!(filling.room(&[500, 1]), 1);
        assert_eq!(filling.room(&[40, 60, 1]), 2);
        assert_eq!(filling.room(&[1, 1, 1, 1]), 3);
    }
}
