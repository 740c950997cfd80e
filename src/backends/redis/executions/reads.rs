//! Questions about executions.

use std::collections::HashSet;

use super::Executions;
use super::keys::{Bucket, SHOWN, execution_of, logged_of};
use super::scripts::{Script, Words, fields, list_of, script, texts_of};
use super::walk::{Found, Until, Walk};
use crate::backends::redis::channel::Channel;
use crate::backends::redis::error;
use crate::contract::executions::record::{Counts, Execution, Page, Shows, Status, missing};
use crate::contract::executions::{ExecutionRead, Filter, Order};
use crate::contract::step::Reply;
use crate::error::{Kind, Result};
use crate::time::Millis;

/// Records that are asked for at once.
const TOGETHER: usize = 1_000;

/// Buckets that one script counts, where one server has them: it does nothing else meanwhile.
const BUCKETS_TOGETHER: usize = 32;

/// The statuses of those that may be parked.
const OPEN: [Status; 3] = [Status::Pending, Status::Running, Status::Compensating];

/// The figures of all buckets.
#[derive(Default)]
struct Figures {
    counts: Counts,
    /// Those of each status that are parked.
    parked: [u64; 6],
}

impl<C: Channel> Executions<'_, C> {
    /// Answers a question.
    pub(super) async fn read(&self, read: &ExecutionRead) -> Result<Reply> {
        Ok(match read {
            ExecutionRead::Load { id, .. } => {
                let reply = self.one(fields(self.prefix, Bucket::of(id), id, &SHOWN)).await?;
                Reply::execution(execution_of(id, list_of(reply)?)?, Shows::Context)
            }
            ExecutionRead::History { id, after, limit, max_bytes, reverse } => {
                self.history(id, *after, *limit, *max_bytes, *reverse).await?
            }
            ExecutionRead::List { filter, order, after, limit } => {
                self.list(filter, *order, after.as_ref(), *limit).await?
            }
            ExecutionRead::Count { filter } => Reply::Count(self.count(filter).await?),
            ExecutionRead::Recoverable { limit, max_attempts, stale_after_ms, name } => {
                self.recoverable(*limit, *max_attempts, *stale_after_ms, name.as_deref()).await?
            }
            ExecutionRead::Statistics => Reply::Value(self.figures().await?.counts.into_dynamic()),
        })
    }

    async fn history(&self, id: &str, after: Option<i64>, limit: u64, max_bytes: u64, reverse: bool) -> Result<Reply> {
        let bucket = Bucket::of(id);
        let most_bytes = i64::try_from(max_bytes).unwrap_or(i64::MAX).min(1 << 52);
        // One more, to know whether there are more.
        let words = self.words("history", bucket).text(id).optional(after).flag(reverse).millis(limit + 1);
        let reply = self.ask_one(self.script(bucket, &[id], &words.number(most_bytes))).await?;
        let mut replies = list_of(reply)?.into_iter();
        let first = replies.next().ok_or_else(|| missing(id))?.as_i64().ok_or_else(error::unexpected)?;
        let numbers = (0..).map(|n| if reverse { first + 1 - n } else { first + 1 + n });
        let entry = |(seq, value): (i64, fred::prelude::Value)| {
            logged_of(id, seq, &value.into_bytes().ok_or_else(error::unexpected)?)
        };
        let entries = numbers.zip(replies).map(entry).collect::<Result<Vec<_>>>()?;
        Ok(Reply::Value(Page::of(entries, limit, max_bytes).into_dynamic()))
    }

    /// What is stored of these, without contexts.
    async fn fetch(&self, found: &[Found]) -> Result<Vec<Option<Execution>>> {
        let names = &SHOWN[..SHOWN.len() - 1];
        let mut executions = Vec::with_capacity(found.len());
        for found in found.chunks(TOGETHER) {
            let requests = found.iter().map(|found| fields(self.prefix, found.bucket, &found.id, names));
            for (found, reply) in found.iter().zip(self.on.send(requests.collect()).await?) {
                executions.push(execution_of(&found.id, list_of(reply)?)?);
            }
        }
        Ok(executions)
    }

    async fn list(
        &self,
        filter: &Filter,
        order: Order,
        after: Option<&(Millis, Box<str>)>,
        limit: u64,
    ) -> Result<Reply> {
        let (index, statuses) = match (filter.parked, order) {
            (Some(true), Order::Updated) => ("parked", &OPEN[..]),
            (Some(true), Order::Created) => ("created", &OPEN[..]),
            (_, Order::Updated) => ("updated", Status::ALL),
            (_, Order::Created) => ("created", Status::ALL),
        };
        let statuses: Vec<Status> =
            statuses.iter().copied().filter(|status| filter.status.is_none_or(|asked| asked == *status)).collect();
        let place = |of: &Execution| {
            let at = if order == Order::Updated { of.updated_at } else { of.created_at };
            (at, of.id.clone())
        };
        let begin = after.map(|(at, id)| (at.0, id.to_string()));
        let mut walk = Walk::descending(self.sets(index, &statuses).into_iter(), begin, limit);
        let (mut listed, mut seen) = (Vec::new(), HashSet::new());
        while (listed.len() as u64) < limit {
            let mut found = walk.next(self.on, limit - listed.len() as u64).await?;
            if found.is_empty() {
                break;
            }
            // One whose status changes meanwhile is found twice.
            found.retain(|found| seen.insert(found.id.clone()));
            let there = self.fetch(&found).await?.into_iter().flatten();
            listed.extend(there.filter(|of| is(of, filter) && after.is_none_or(|after| place(of) < *after)));
        }
        // Those that have changed meanwhile stand where they belong now.
        listed.sort_by_key(|of| std::cmp::Reverse(place(of)));
        Ok(Reply::executions(listed, Shows::Neither))
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        if filter.name.is_none() && filter.tag.is_none() {
            let Figures { counts, parked } = self.figures().await?;
            let of_each = Status::ALL.iter().zip(counts.by_status.iter().zip(parked));
            let asked = of_each.filter(|(status, _)| filter.status.is_none_or(|asked| asked == **status));
            return Ok(asked
                .map(|(_, (all, parked))| match filter.parked {
                    None => *all,
                    Some(true) => parked,
                    Some(false) => all.saturating_sub(parked),
                })
                .sum());
        }
        let statuses = filter.status.as_ref().map_or(Status::ALL, std::slice::from_ref);
        let index = if filter.parked == Some(true) { "parked" } else { "updated" };
        let mut walk = Walk::descending(self.sets(index, statuses).into_iter(), None, u64::MAX);
        let mut count = 0;
        loop {
            let found = walk.page(self.on).await?;
            if found.is_empty() {
                return Ok(count);
            }
            count += self.fetch(&found).await?.iter().flatten().filter(|of| is(of, filter)).count() as u64;
        }
    }

    async fn recoverable(
        &self,
        limit: u64,
        max_attempts: i64,
        stale_after_ms: u64,
        name: Option<&str>,
    ) -> Result<Reply> {
        let sets = self.sets("updated", &[Status::Running, Status::Compensating]);
        let mut walk = Walk::ascending(sets.into_iter(), Until::Before(stale_after_ms), limit);
        let mut ids: Vec<Box<str>> = Vec::new();
        while (ids.len() as u64) < limit {
            let found = walk.next(self.on, limit - ids.len() as u64).await?;
            if found.is_empty() {
                break;
            }
            let there = found.iter().zip(self.fetch(&found).await?);
            ids.extend(there.filter_map(|(found, of)| {
                let of = of.filter(|of| {
                    of.status.is_active()
                        && of.attempts < max_attempts
                        && of.parked_at.is_none()
                        && of.updated_at.0 == found.at
                        && name.is_none_or(|name| *name == *of.name)
                })?;
                Some(of.id)
            }));
        }
        Ok(Reply::ids(ids))
    }

    fn figure_scripts(&self, together: usize) -> Vec<Script> {
        let buckets: Vec<Bucket> = Bucket::all().collect();
        let scripts = buckets.chunks(together).map(|buckets| {
            let bases: Vec<String> = buckets.iter().map(|bucket| bucket.base(self.prefix)).collect();
            let words = Words::new("figures").texts(bases.iter().map(String::as_str));
            match buckets {
                [bucket] => self.script(*bucket, &[], &words),
                _ => script(buckets.iter().map(|bucket| bucket.key(self.prefix, &["leased"])).collect(), &words, false),
            }
        });
        scripts.collect()
    }

    async fn figures(&self) -> Result<Figures> {
        let together = if self.on.one_server() { BUCKETS_TOGETHER } else { 1 };
        let mut replies = self.ask(self.figure_scripts(together)).await?;
        let is_refused = |reply: &Result<_>| reply.as_ref().is_err_and(|error| error.kind() == Kind::InvalidArgument);
        if together > 1 && replies.iter().any(is_refused) {
            // CROSSSLOT: behind a proxy there are several servers after all.
            replies = self.ask(self.figure_scripts(1)).await?;
        }
        let mut figures = Figures::default();
        for reply in replies {
            let reply = texts_of(reply)?;
            let number = |at: usize| reply.get(at).and_then(|text| text.parse::<i64>().ok());
            let count = |at| number(at).map(|count| u64::try_from(count).unwrap_or(0)).ok_or_else(error::unexpected);
            let counts = &mut figures.counts;
            for status in 0..Status::ALL.len() {
                counts.by_status[status] += count(2 * status)?;
                let parked = count(2 * status + 1)?;
                figures.parked[status] += parked;
                counts.parked += parked;
            }
            counts.leased += count(12)?;
            counts.bytes += count(13)?;
            counts.oldest_due_at = counts.oldest_due_at.into_iter().chain(number(14).map(Millis)).min();
        }
        Ok(figures)
    }
}

fn is(of: &Execution, filter: &Filter) -> bool {
    let Filter { name, status, tag, parked } = filter;
    name.as_ref().is_none_or(|name| *name == of.name)
        && status.is_none_or(|status| status == of.status)
        && tag.as_ref().is_none_or(|tag| of.tags.contains(tag))
        && parked.is_none_or(|parked| parked == of.parked_at.is_some())
}
