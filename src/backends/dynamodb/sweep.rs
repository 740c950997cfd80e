//! Reading the whole table: to remove what has expired, and to count what is there.
//!
//! DynamoDB has no index on the expiry here (one would cost every put a second write), so both
//! read every item and are charged for it: a read unit for every 4 KB stored.

use std::time::{Duration, Instant};

use super::attribute::Item;
use super::channel::{Channel, all, delete_expired, exists};
use super::executions::removal as executions;
use super::expression::{self, Expression, HEAD, HEAD_OF_PART, IS_EXPIRED, id_of};
use super::outbox;
use super::pages::Scan;
use super::payloads::item::{self, WHOLE};
use super::tables::Contents;
use crate::contract::report::Usage;
use crate::error::{Error, Result};
use crate::time::Millis;

/// Parts of the table that are read beside each other, if requests can be.
const SEGMENTS: usize = 4;

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
    fn new<C: Channel>(began: Millis) -> Self {
        let segments = if C::IN_PARALLEL { SEGMENTS } else { 1 };
        Self { began, segments: vec![Position::Start; segments] }
    }

    fn is_at_end(&self) -> bool {
        self.segments.iter().all(|position| *position == Position::End)
    }

    /// Reads the next page of each segment.
    async fn next_pages<C: Channel>(
        &self,
        on: &C,
        projection: &'static str,
        filter: Option<Expression>,
    ) -> Result<Vec<ScannedSegment>> {
        let segments = i32::try_from(self.segments.len()).unwrap_or(1);
        let open = (0..).zip(&self.segments).filter(|(_, position)| **position != Position::End);
        let scans = open.map(|(segment, position)| {
            let after = if let Position::After(key) = position { Some(key.clone()) } else { None };
            let scan = on.send(Scan { segment, segments, after, projection, filter: filter.clone(), limit: None });
            async move {
                let (items, next) = scan.await?;
                Ok(ScannedSegment { segment, items, next })
            }
        });
        all::<C, _>(scans.collect()).await.into_iter().collect()
    }

    fn go_to(&mut self, segment: i32, position: Position) {
        if let Some(place) = usize::try_from(segment).ok().and_then(|index| self.segments.get_mut(index)) {
            *place = position;
        }
    }
}

/// A page of a segment.
struct ScannedSegment {
    segment: i32,
    items: Vec<Item>,
    /// Where the next one begins.
    next: Option<Item>,
}

/// Removes payloads whose time was over at `now`, at most `limit`, for about as long as `slice`.
/// A call goes on where the one before it stopped; one with another `now` also looks at what lies
/// before that place.
///
/// Without a `slice` it goes on to the end. Dropped in the middle, it has removed what it has, and
/// `state` says where to go on.
pub(super) async fn purge<C: Channel>(
    (on, contents): (&C, Contents),
    state: &mut Option<Sweep>,
    now: Millis,
    limit: u64,
    slice: Option<Duration>,
) -> Result<Purged> {
    let until = slice.map(|slice| Instant::now() + slice);
    let mut removed = 0;
    loop {
        let sweep = state.get_or_insert_with(|| Sweep::new::<C>(now));
        if sweep.is_at_end() {
            if sweep.began == now {
                return Ok(Purged { removed, unfinished: false });
            }
            *sweep = Sweep::new::<C>(now);
        }
        if removed >= limit {
            return Ok(Purged { removed, unfinished: false });
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(Purged { removed, unfinished: true });
        }
        removed += purge_pages((on, contents), sweep, now, limit - removed).await?;
    }
}

/// The same of a table that perhaps nobody has made.
pub(super) async fn purge_if_there<C: Channel>(
    (on, contents): (&C, Contents),
    state: &mut Option<Sweep>,
    now: Millis,
    limit: u64,
    slice: Option<Duration>,
) -> Result<Purged> {
    if limit == 0 || !exists(on, contents).await? {
        return Ok(Purged { removed: 0, unfinished: false });
    }
    purge((on, contents), state, now, limit, slice).await
}

/// One page of each segment; at most `room` records. The sweep moves on past what has been removed.
async fn purge_pages<C: Channel>(
    (on, contents): (&C, Contents),
    sweep: &mut Sweep,
    now: Millis,
    room: u64,
) -> Result<u64> {
    let (projection, filter) = match contents {
        Contents::Executions => (executions::OVER, executions::is_over(now)),
        Contents::Events => (outbox::OVER, Expression::new(IS_EXPIRED, expression::clock(now))),
        Contents::Messages => (HEAD_OF_PART, Expression::new(IS_EXPIRED, expression::clock(now))),
        Contents::Payloads | Contents::Sagas => (HEAD, Expression::new(IS_EXPIRED, expression::clock(now))),
    };
    let scanned = sweep.next_pages(on, projection, Some(filter)).await?;
    let mut room = usize::try_from(room).unwrap_or(usize::MAX);
    let (mut over, mut moves) = (Vec::new(), Vec::new());
    for ScannedSegment { segment, items, next } in scanned {
        let mut expired: Vec<Item> = items.into_iter().filter(|item| id_of(item).is_some()).collect();
        let position = if expired.len() <= room {
            next.map_or(Position::End, Position::After)
        } else {
            expired.truncate(room);
            match expired.last() {
                Some(last) => Position::After(expression::key_of(last)),
                None => continue,
            }
        };
        room -= expired.len();
        over.append(&mut expired);
        moves.push((segment, position));
    }
    let deletes = over.iter().map(|item| async move {
        match contents {
            Contents::Executions => executions::purge_one(on, item, now).await,
            Contents::Events => outbox::purge_one(on, item, now).await,
            Contents::Payloads | Contents::Sagas | Contents::Messages => {
                delete_expired(on, expression::key_of(item), now).await.map_err(Error::from)
            }
        }
    });
    let mut removed = 0;
    for outcome in all::<C, _>(deletes.collect()).await {
        removed += u64::from(outcome?);
    }
    for (segment, position) in moves {
        sweep.go_to(segment, position);
    }
    Ok(removed)
}

/// Counts payloads and their bytes, which means reading them.
pub(super) async fn usage<C: Channel>(on: &C, now: Millis) -> Result<Usage> {
    let mut usage = Usage::default();
    let mut sweep = Sweep::new::<C>(now);
    while !sweep.is_at_end() {
        for ScannedSegment { segment, items, next } in sweep.next_pages(on, WHOLE, None).await? {
            for item in items {
                usage.payloads += 1;
                usage.bytes += item::payload_bytes(&item) as u64;
                // What is no payload of ours is counted, and cannot expire.
                usage.expired += u64::from(expression::is_expired(&item, now).unwrap_or(false));
            }
            sweep.go_to(segment, next.map_or(Position::End, Position::After));
        }
    }
    Ok(usage)
}
