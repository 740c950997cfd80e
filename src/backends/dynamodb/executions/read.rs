//! One execution, its context and its log.
//!
//! Heads are read first, then the items that they name. A change in between is noticed: a piece of another generation,
//! a segment of another log, a number that is missing. Then it is read again.

use super::item::{
    Head, WITH_CONTEXT, execution, first_of, head_key, list_of, logged, number_of, piece_part, segment_part, text_of,
};
use super::{ATTEMPTS, Executions};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::channel::Channel;
use crate::backends::dynamodb::expression::{CONTEXT, CONTEXT_PARTS, ENTRIES, Expression, GENERATION, LOG};

use crate::backends::dynamodb::pages::Query;
use crate::contract::executions::record::{Execution, Logged, Page, Shows, missing};
use crate::contract::step::Reply;
use crate::error::Result;

/// Segments that are asked for at once.
const SEGMENTS_AT_ONCE: i32 = 100;

/// A page that is being filled.
struct Filling {
    entries: Vec<Logged>,
    bytes: u64,
    limit: u64,
    max_bytes: u64,
}

impl Filling {
    /// Whether there is no room for more, nor a need to know of more.
    fn is_full(&self) -> bool {
        self.entries.len() as u64 > self.limit || (self.bytes > self.max_bytes && self.entries.len() > 1)
    }

    fn add(&mut self, logged: Logged) {
        self.bytes = self.bytes.saturating_add(u64::try_from(logged.entry.bytes()).unwrap_or_default());
        self.entries.push(logged);
    }
}

/// Segments of a log that begin with a number from `from` up to `to`.
pub(super) fn segments(id: &str, from: i64, to: i64, reverse: bool) -> Query {
    let values = Item::from([
        (":id", Attribute::text(id)),
        (":from", Attribute::S(segment_part(from))),
        (":to", Attribute::S(segment_part(to))),
    ]);
    let condition = Expression::new("#id = :id AND #part BETWEEN :from AND :to", values);
    let query = Query::of(None, condition, "#part, #log, #entries", SEGMENTS_AT_ONCE);
    Query { reverse, ..query }
}

impl<C: Channel> Executions<'_, C> {
    /// An execution with its context.
    pub(super) async fn load(&self, id: &str) -> Result<Reply> {
        Ok(Reply::execution(self.loaded(id).await?, Shows::Context))
    }

    pub(super) async fn loaded(&self, id: &str) -> Result<Option<Execution>> {
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let Some(item) = self.item(head_key(id), WITH_CONTEXT).await? else { return Ok(None) };
            let Some(execution) = execution(&item)?.filter(|found| found.lives_at(self.now())) else {
                return Ok(None);
            };
            if let Some(execution) = self.with_context(execution, &item).await? {
                return Ok(Some(execution));
            }
        }
        Err(super::item::corrupt("pieces of its context are missing").with_id(id))
    }

    /// With a context that is not in its head; none if that has changed meanwhile.
    pub(super) async fn with_context(&self, mut found: Execution, item: &Item) -> Result<Option<Execution>> {
        let parts = number_of(item, CONTEXT_PARTS).and_then(|parts| usize::try_from(parts).ok()).unwrap_or(0);
        if parts == 0 {
            return Ok(Some(found));
        }
        let generation = number_of(item, GENERATION);
        let mut context = String::new();
        let values = Item::from([
            (":id", Attribute::text(&found.id)),
            (":from", Attribute::S(piece_part(0))),
            (":to", Attribute::S(piece_part(parts - 1))),
        ]);
        let condition = Expression::new("#id = :id AND #part BETWEEN :from AND :to", values);
        let mut next = Some(Query::of(None, condition, "#part, #generation, #context", 100));
        let mut count = 0;
        while let Some(query) = next.take() {
            let (pieces, after) = self.on.send(query.clone()).await?;
            for piece in pieces.iter().filter(|piece| number_of(piece, GENERATION) == generation) {
                context.push_str(text_of(piece, CONTEXT).unwrap_or_default());
                count += 1;
            }
            next = after.map(|after| Query { after: Some(after), ..query });
        }
        found.context = Some(context.into());
        Ok((count == parts).then_some(found))
    }

    /// A page of a log.
    pub(super) async fn history(
        &self,
        id: &str,
        after: Option<i64>,
        (limit, max_bytes): (u64, u64),
        reverse: bool,
    ) -> Result<Reply> {
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let head = self.head(id).await?.ok_or_else(|| missing(id))?;
            let mut filling = Filling { entries: Vec::new(), bytes: 0, limit, max_bytes };
            let is_whole = if reverse {
                self.backwards(&head, after, &mut filling).await?
            } else {
                self.forwards(&head, after.unwrap_or(0).saturating_add(1), &mut filling).await?
            };
            if is_whole {
                return Ok(Reply::Value(Page::of(filling.entries, limit, max_bytes).into_dynamic()));
            }
        }
        Err(super::item::corrupt("segments of its log are missing").with_id(id))
    }

    /// A whole log; none if it has changed meanwhile.
    pub(super) async fn log_of(&self, head: &Head) -> Result<Option<Vec<Logged>>> {
        let mut filling = Filling { entries: Vec::new(), bytes: 0, limit: u64::MAX, max_bytes: u64::MAX };
        let is_whole = self.forwards(head, 1, &mut filling).await?;
        Ok(is_whole.then_some(filling.entries))
    }

    /// Entries from a number on; whether none of them was missing.
    async fn forwards(&self, head: &Head, from: i64, filling: &mut Filling) -> Result<bool> {
        let (id, last) = (&head.execution.id, head.tail_from() - 1);
        let mut wanted = from;
        if wanted <= last {
            let begin = if from == 1 { Some(1) } else { self.segment_of(head, from).await? };
            let Some(begin) = begin else { return Ok(false) };
            let mut next = Some(segments(id, begin, last, false));
            while let Some(query) = next.take() {
                let (segments, after) = self.on.send(query.clone()).await?;
                for segment in segments.iter().filter(|segment| text_of(segment, LOG) == Some(&head.log)) {
                    let first = first_of(segment).unwrap_or(0);
                    let begins = wanted;
                    let numbered = (first..).zip(list_of(segment, ENTRIES));
                    for (seq, stored) in numbered.filter(|(seq, _)| *seq >= begins) {
                        if seq != wanted {
                            return Ok(false);
                        }
                        filling.add(logged(stored, seq)?);
                        wanted += 1;
                        if filling.is_full() {
                            return Ok(true);
                        }
                    }
                }
                next = after.map(|after| Query { after: Some(after), ..query });
            }
            if wanted <= last {
                return Ok(false);
            }
        }
        for (seq, stored) in (head.tail_from()..).zip(&head.tail).filter(|(seq, _)| *seq >= wanted) {
            filling.add(logged(stored, seq)?);
            if filling.is_full() {
                break;
            }
        }
        Ok(true)
    }

    /// The number that the segment with an entry begins with.
    async fn segment_of(&self, head: &Head, seq: i64) -> Result<Option<i64>> {
        let query = segments(&head.execution.id, 0, seq, true);
        let mut next = Some(Query { projection: "#part, #log", limit: 4, ..query });
        while let Some(query) = next.take() {
            let (segments, after) = self.on.send(query.clone()).await?;
            let ours = segments.iter().find(|segment| text_of(segment, LOG) == Some(&head.log));
            if let Some(segment) = ours {
                return Ok(first_of(segment));
            }
            next = after.map(|after| Query { after: Some(after), ..query });
        }
        Ok(None)
    }

    /// Entries before a number, the last ones first; whether none of them was missing.
    async fn backwards(&self, head: &Head, before: Option<i64>, filling: &mut Filling) -> Result<bool> {
        let mut wanted = before.unwrap_or(i64::MAX).min(head.execution.seq.saturating_add(1)) - 1;
        let tail_from = head.tail_from();
        while wanted >= tail_from && wanted > 0 {
            let place = usize::try_from(wanted - tail_from).unwrap_or(0);
            filling.add(logged(&head.tail[place], wanted)?);
            wanted -= 1;
            if filling.is_full() {
                return Ok(true);
            }
        }
        if wanted <= 0 {
            return Ok(true);
        }
        let mut next = Some(Query { limit: 8, ..segments(&head.execution.id, 0, wanted, true) });
        while let Some(query) = next.take() {
            let (segments, after) = self.on.send(query.clone()).await?;
            for segment in segments.iter().filter(|segment| text_of(segment, LOG) == Some(&head.log)) {
                let (first, entries) = (first_of(segment).unwrap_or(0), list_of(segment, ENTRIES));
                let numbered: Vec<_> = (first..).zip(entries).filter(|(seq, _)| *seq <= wanted).collect();
                for (seq, stored) in numbered.into_iter().rev() {
                    if seq != wanted {
                        return Ok(false);
                    }
                    filling.add(logged(stored, seq)?);
                    wanted -= 1;
                    if filling.is_full() {
                        return Ok(true);
                    }
                }
            }
            next = after.map(|after| Query { after: Some(after), ..query });
        }
        Ok(wanted <= 0)
    }
}
