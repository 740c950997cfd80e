//! Reading the whole table: to remove what has expired, and to count what is there.
//!
//! DynamoDB has no index on the expiry here (one would cost every put a second write), so both
//! read every item and are charged for it: a read unit for every 4 KB stored.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::item::{self, HEAD, IS_EXPIRED, Item, WHOLE};
use super::requests::{Page, Session};
use crate::error::{Error, Result};
use crate::store::statistics::Usage;
use crate::time::Millis;

/// Parts of the table that are read beside each other.
const SEGMENTS: i32 = 4;

/// A walk through the table that goes on where it was when somebody wants more of it.
pub(super) struct Sweep {
    began: Millis,
    segments: Vec<Position>,
}

#[derive(Clone, Debug, PartialEq)]
enum Position {
    Start,
    After(Item),
    End,
}

/// How far a purge has come.
pub(super) struct Purged {
    pub(super) removed: u64,
    /// Its time was over before the table was.
    pub(super) unfinished: bool,
}

impl Sweep {
    fn new(began: Millis) -> Self {
        Self { began, segments: vec![Position::Start; SEGMENTS as usize] }
    }

    fn is_at_end(&self) -> bool {
        self.segments.iter().all(|position| *position == Position::End)
    }

    /// The next page of each segment.
    fn pages<'a>(&self, projection: &'a str, filter: Option<(&'a str, Millis)>) -> Vec<Page<'a>> {
        let open = (0..SEGMENTS).zip(&self.segments).filter(|(_, position)| **position != Position::End);
        open.map(|(segment, position)| Page {
            segment,
            segments: SEGMENTS,
            after: if let Position::After(key) = position { Some(key.clone()) } else { None },
            projection,
            filter: filter.map(|(expression, now)| (expression, item::clock(now))),
        })
        .collect()
    }
}

/// Removes payloads whose time was over at `now`, at most `limit`, for about as long as `slice`.
/// A call goes on where the one before it stopped; one with another `now` also looks at what lies
/// before that place.
pub(super) async fn purge(
    on: &Session<'_>,
    state: &Mutex<Option<Sweep>>,
    now: Millis,
    limit: u64,
    slice: Duration,
) -> Result<Purged> {
    let mut state = state.lock().await;
    let until = Instant::now() + slice;
    let mut removed = 0;
    loop {
        let sweep = state.get_or_insert_with(|| Sweep::new(now));
        if sweep.is_at_end() {
            if sweep.began == now {
                return Ok(Purged { removed, unfinished: false });
            }
            *sweep = Sweep::new(now);
        }
        if removed >= limit {
            return Ok(Purged { removed, unfinished: false });
        }
        if Instant::now() >= until {
            return Ok(Purged { removed, unfinished: true });
        }
        removed += purge_pages(on, sweep, now, limit - removed).await?;
    }
}

/// One page of each segment; at most `room` payloads. The sweep moves on past what has been removed.
async fn purge_pages(on: &Session<'_>, sweep: &mut Sweep, now: Millis, room: u64) -> Result<u64> {
    let pages = sweep.pages(HEAD, Some((IS_EXPIRED, now)));
    let segments: Vec<i32> = pages.iter().map(|page| page.segment).collect();
    let scanned = join_all(pages.into_iter().map(|page| on.scan(page))).await;
    let mut room = usize::try_from(room).unwrap_or(usize::MAX);
    let (mut ids, mut moves) = (Vec::new(), Vec::new());
    for (segment, scanned) in segments.into_iter().zip(scanned) {
        let (items, next) = scanned.map_err(Error::from)?;
        let mut expired: Vec<String> = items.iter().filter_map(item::id_of).map(str::to_owned).collect();
        let position = if expired.len() <= room {
            next.map_or(Position::End, Position::After)
        } else {
            expired.truncate(room);
            match expired.last() {
                Some(last) => Position::After(item::key(last)),
                None => continue,
            }
        };
        room -= expired.len();
        ids.append(&mut expired);
        moves.push((segment, position));
    }
    let deleted = join_all(ids.iter().map(|id| on.delete_expired(id, now))).await;
    let mut removed = 0;
    for outcome in deleted {
        removed += u64::from(outcome.map_err(Error::from)?);
    }
    for (segment, position) in moves {
        if let Some(place) = usize::try_from(segment).ok().and_then(|index| sweep.segments.get_mut(index)) {
            *place = position;
        }
    }
    Ok(removed)
}

/// Counts payloads and their bytes, which means reading them.
pub(super) async fn usage(on: &Session<'_>, now: Millis) -> Result<Usage> {
    let mut usage = Usage::default();
    let mut sweep = Sweep::new(now);
    while !sweep.is_at_end() {
        let pages = sweep.pages(WHOLE, None);
        let segments: Vec<i32> = pages.iter().map(|page| page.segment).collect();
        let scanned = join_all(pages.into_iter().map(|page| on.scan(page))).await;
        for (segment, scanned) in segments.into_iter().zip(scanned) {
            let (items, next) = scanned.map_err(Error::from)?;
            for item in items {
                usage.payloads += 1;
                usage.bytes +=
                    item.get(item::DATA).and_then(|data| data.as_b().ok()).map_or(0, |d| d.as_ref().len()) as u64;
                // What is no payload of ours is counted, and cannot expire.
                usage.expired += u64::from(item::is_expired(&item, now).unwrap_or(false));
            }
            if let Some(place) = usize::try_from(segment).ok().and_then(|index| sweep.segments.get_mut(index)) {
                *place = next.map_or(Position::End, Position::After);
            }
        }
    }
    Ok(usage)
}
