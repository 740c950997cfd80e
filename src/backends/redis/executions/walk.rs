//! Sorted sets of all buckets, read as if they were one.
//!
//! A page of each is read in one round trip; where one server has all, by one script, which answers only those that have
//! any. Whichever has the next member is taken from; one of which nothing is left
//! is read on, from its last score.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;

use super::keys::Bucket;
use super::scripts::{Words, ask, list_of, range, script, time, time_of};
use crate::backends::redis::channel::Channel;
use crate::backends::redis::error;
use crate::backends::redis::states::scripts::scored_of;
use crate::error::{Kind, Result};
use crate::time::Millis;

/// Members of one set that are read at once, at most.
const LARGEST_PAGE: usize = 256;

/// A member of one of the sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bucket: Bucket,
    pub(super) at: i64,
    pub(super) id: String,
}

/// Where a walk ends that begins with the least score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Behind the last member.
    End,
    /// Behind this score.
    Score(i64),
    /// Behind so many milliseconds before the server's present.
    Before(u64),
}

struct Stream {
    bucket: Bucket,
    key: Bytes,
    buffer: VecDeque<(i64, String)>,
    /// The last score that was read, and who had it: others of the same score may follow.
    last: Option<i64>,
    seen: HashSet<String>,
    is_at_end: bool,
}

impl Stream {
    fn is_dry(&self) -> bool {
        self.buffer.is_empty() && !self.is_at_end
    }

    /// Takes in what was read from the last score on; `asked` for so many.
    fn add(&mut self, read: Vec<(i64, String)>, asked: usize) {
        self.is_at_end = read.len() < asked;
        for (at, id) in read {
            if self.last == Some(at) && self.seen.contains(&id) {
                continue;
            }
            if self.last != Some(at) {
                self.last = Some(at);
                self.seen.clear();
            }
            self.seen.insert(id.clone());
            self.buffer.push_back((at, id));
        }
    }

    /// The same, without what is outside of the walk.
    fn take_in(&mut self, read: Vec<(i64, String)>, asked: usize, until: Until, after: Option<&(i64, String)>) {
        self.add(read, asked);
        if let Until::Score(most) = until {
            self.end_at(most);
        }
        if let Some(after) = after {
            self.begin_behind(after);
        }
    }

    /// Leaves out what stands behind a score.
    fn end_at(&mut self, most: i64) {
        while self.buffer.back().is_some_and(|(at, _)| *at > most) {
            self.buffer.pop_back();
            self.is_at_end = true;
        }
    }

    /// Leaves out what does not stand behind a place of a list that has the greatest score first.
    fn begin_behind(&mut self, (at, id): &(i64, String)) {
        while self.buffer.front().is_some_and(|(found, other)| (*found, other) >= (*at, id)) {
            self.buffer.pop_front();
        }
    }
}

/// So many milliseconds before the present.
fn since(now: Millis, millis: u64) -> Until {
    Until::Score(now.minus(millis).0)
}

/// A walk through sorted sets.
pub(super) struct Walk {
    streams: Vec<Stream>,
    after: Option<(i64, String)>,
    descending: bool,
    until: Until,
    page: usize,
    is_begun: bool,
    is_of_one_server: bool,
}

impl Walk {
    /// Through these, those with the least score first. About `count` are wanted.
    pub(super) fn ascending(sets: impl Iterator<Item = (Bucket, Bytes)>, until: Until, count: u64) -> Self {
        Self::new(sets, None, false, until, count)
    }

    /// Those with the greatest score first, from behind a place on.
    pub(super) fn descending(
        sets: impl Iterator<Item = (Bucket, Bytes)>,
        after: Option<(i64, String)>,
        count: u64,
    ) -> Self {
        Self::new(sets, after, true, Until::End, count)
    }

    fn new(
        sets: impl Iterator<Item = (Bucket, Bytes)>,
        after: Option<(i64, String)>,
        descending: bool,
        until: Until,
        count: u64,
    ) -> Self {
        let last = after.as_ref().map(|(at, _)| *at);
        let stream = |(bucket, key)| {
            let (buffer, seen) = (VecDeque::new(), HashSet::new());
            Stream { bucket, key, buffer, last, seen, is_at_end: false }
        };
        let streams: Vec<Stream> = sets.map(stream).collect();
        // They are spread: few sets have more than twice their share.
        let share = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(2) / streams.len().max(1);
        Self {
            streams,
            after,
            descending,
            until,
            page: share.min(LARGEST_PAGE) + 4,
            is_begun: false,
            is_of_one_server: false,
        }
    }

    /// The same, but of each set at least so many members are read at once.
    pub(super) fn with_pages(mut self, least: usize) -> Self {
        self.page = self.page.max(least);
        self
    }

    /// Whether one script has read all sets: it is not only said that one server has them.
    pub(super) fn is_of_one_server(&self) -> bool {
        self.is_of_one_server
    }

    /// Reads on, until each set has something or is at its end.
    async fn fill(&mut self, on: &impl Channel) -> Result<()> {
        if !std::mem::replace(&mut self.is_begun, true) && on.one_server() {
            self.begin(on).await?;
        }
        let Self { streams, after, descending, until, page, .. } = self;
        while streams.iter().any(Stream::is_dry) {
            let mut dry: Vec<&mut Stream> = streams.iter_mut().filter(|stream| stream.is_dry()).collect();
            let wanted = |stream: &Stream| *page + stream.seen.len();
            let mut requests: Vec<_> =
                dry.iter().map(|stream| range(&stream.key, stream.last, *descending, wanted(stream))).collect();
            if let (Until::Before(_), Some(stream)) = (*until, dry.first()) {
                requests.push(time(stream.key.clone()));
            }
            let mut replies = on.send(requests).await?;
            if let Until::Before(millis) = *until {
                *until = since(time_of(replies.pop().unwrap_or_else(|| Err(error::unexpected())))?, millis);
            }
            for (stream, reply) in dry.iter_mut().zip(replies) {
                let asked = wanted(stream);
                stream.take_in(scored_of(reply)?, asked, *until, after.as_ref());
            }
            *page = (*page * 4).min(LARGEST_PAGE);
        }
        streams.retain(|stream| !stream.buffer.is_empty() || !stream.is_at_end);
        Ok(())
    }

    /// Reads the beginnings of all sets by one script, if the server has all.
    async fn begin(&mut self, on: &impl Channel) -> Result<()> {
        let from = self.after.as_ref().map(|(at, _)| *at);
        let words = Words::new("heads").flag(self.descending).optional(from).text(&self.page.to_string());
        let keys = self.streams.iter().map(|stream| stream.key.clone()).collect();
        let reply = ask(on, vec![script(keys, &words, false)]).await?.pop().unwrap_or_else(|| Err(error::unexpected()));
        if reply.as_ref().is_err_and(|error| error.kind() == Kind::InvalidArgument) {
            // CROSSSLOT: behind a proxy there are several servers after all.
            return Ok(());
        }
        let mut replies = list_of(reply)?.into_iter();
        let now = replies.next().and_then(|now| now.as_string()?.parse().ok()).ok_or_else(error::unexpected)?;
        if let Until::Before(millis) = self.until {
            self.until = since(Millis(now), millis);
        }
        let mut pages = HashMap::new();
        while let (Some(place), Some(page)) = (replies.next(), replies.next()) {
            pages.insert(place.as_u64().ok_or_else(error::unexpected)?, scored_of(Ok(page))?);
        }
        for (stream, place) in self.streams.iter_mut().zip(1..) {
            let page = pages.remove(&place).unwrap_or_default();
            stream.take_in(page, self.page, self.until, self.after.as_ref());
        }
        self.is_of_one_server = true;
        Ok(())
    }

    /// The next ones, at most `count`; none at the end.
    pub(super) async fn next(&mut self, on: &impl Channel, count: u64) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        while (found.len() as u64) < count {
            self.fill(on).await?;
            let fronts = self.streams.iter_mut().filter(|stream| !stream.buffer.is_empty());
            let next = if self.descending {
                fronts.max_by(|one, other| one.buffer.front().cmp(&other.buffer.front()))
            } else {
                fronts.min_by(|one, other| one.buffer.front().cmp(&other.buffer.front()))
            };
            let Some(stream) = next else { break };
            let bucket = stream.bucket;
            found.extend(stream.buffer.pop_front().map(|(at, id)| Found { bucket, at, id }));
        }
        Ok(found)
    }

    /// Those that come next, as far as that is known without reading on; the least score first.
    pub(super) fn known(&mut self) -> Vec<Found> {
        let reaches_to = |stream: &Stream| if stream.is_at_end { None } else { Some(stream.buffer.back().cloned()) };
        let horizon = self.streams.iter().filter_map(reaches_to).min();
        let mut known = Vec::new();
        for stream in &mut self.streams {
            // Behind it others may come, of sets that were read less far.
            let is_within = |one: &(i64, String)| horizon.as_ref().is_none_or(|last| Some(one) <= last.as_ref());
            while stream.buffer.front().is_some_and(is_within) {
                let bucket = stream.bucket;
                known.extend(stream.buffer.pop_front().map(|(at, id)| Found { bucket, at, id }));
            }
        }
        known.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        known
    }

    /// A page of each, in no order; none at the end.
    pub(super) async fn page(&mut self, on: &impl Channel) -> Result<Vec<Found>> {
        self.fill(on).await?;
        let found = self.streams.iter_mut().flat_map(|stream| {
            let bucket = stream.bucket;
            stream.buffer.drain(..).map(move |(at, id)| Found { bucket, at, id })
        });
        Ok(found.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        let (buffer, seen) = (VecDeque::new(), HashSet::new());
        Stream { bucket: Bucket::of("a"), key: Bytes::new(), buffer, last: None, seen, is_at_end: false }
    }

    fn ids(stream: &Stream) -> Vec<&str> {
        stream.buffer.iter().map(|(_, id)| &**id).collect()
    }

    fn read(found: &[(i64, &str)]) -> Vec<(i64, String)> {
        found.iter().map(|(at, id)| (*at, String::from(*id))).collect()
    }

    #[test]
    fn those_of_one_score_are_read_once_each() {
        let mut stream = stream();
        stream.add(read(&[(1, "a"), (2, "b"), (2, "c")]), 3);
        assert!(!stream.is_at_end);
        // From 2 on, with room for those of the same score that are known.
        stream.add(read(&[(2, "b"), (2, "c"), (2, "d"), (3, "e")]), 5);
        assert!(stream.is_at_end);
        assert_eq!(ids(&stream), ["a", "b", "c", "d", "e"]);
        stream.end_at(2);
        assert_eq!(ids(&stream), ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_is_known_ends_where_a_set_was_not_read_on() {
        let sets = [(Bucket::of("a"), Bytes::new()), (Bucket::of("b"), Bytes::new())];
        let mut walk = Walk::ascending(sets.into_iter(), Until::End, 1);
        walk.streams[0].add(read(&[(1, "a"), (4, "d"), (6, "f")]), 4);
        walk.streams[1].add(read(&[(2, "b"), (4, "e")]), 2);
        let ids = |found: Vec<Found>| found.into_iter().map(|found| found.id).collect::<Vec<_>>();
        assert_eq!(ids(walk.known()), ["a", "b", "d", "e"]);
        assert_eq!(ids(walk.known()), Vec::<String>::new());
        walk.streams[1].add(Vec::new(), 2);
        assert_eq!(ids(walk.known()), ["f"]);
    }

    #[test]
    fn a_list_goes_on_behind_a_place() {
        let mut stream = stream();
        stream.add(read(&[(3, "z"), (3, "b"), (3, "a"), (2, "z")]), 4);
        stream.begin_behind(&(3, String::from("b")));
        assert_eq!(ids(&stream), ["a", "z"]);
    }
}
