//! Claims.
//!
//! 1. The beginnings of all indexes are read ([`Walk`]), and so it is known what has been due the longest.
//! 2. A script takes it: on one server that of all buckets at once, elsewhere one for each bucket. It judges once more.
//!
//! The first step asks 512 indexes, and costs the server more than the second. On one server it finds more than one claim
//! wants, which the store remembers ([`Due`]): what becomes due later is behind that. So while there is much to do, most
//! claims are one script.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Mutex as AsyncMutex;

use super::Executions;
use super::keys::{Bucket, SHOWN, corrupt, execution_of};
use super::scripts::{Script, Words, list_of};
use super::several::{Share, TOGETHER, shares};
use super::walk::{Found, Until, Walk};
use crate::backends::redis::channel::Channel;
use crate::contract::executions::record::{Execution, Shows, Status};
use crate::contract::executions::{ClaimRuns, ExecutionWrite, LeaseChange};
use crate::contract::step::Reply;
use crate::error::Result;

/// So long it is remembered what is due. Somebody else may store an execution meanwhile that is due since long ago.
const REMEMBERED: Duration = Duration::from_millis(50);

/// Of each index so many are read at once: the more, the longer what was remembered has lasted.
const PAGES: [usize; 4] = [4, 8, 16, 32];

/// What is due, as far as the claims of a store know.
#[derive(Default)]
pub(crate) struct Due {
    memory: Mutex<Memory>,
    /// One looks at a time.
    looking: AsyncMutex<()>,
}

#[derive(Default)]
struct Memory {
    statuses: Vec<Status>,
    found: VecDeque<Found>,
    until: Option<Instant>,
    /// Of [`PAGES`].
    page: usize,
}

impl Due {
    fn with<T>(&self, what: impl FnOnce(&mut Memory) -> T) -> T {
        what(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes at most so many.
    fn take(&self, statuses: &[Status], limit: usize) -> Vec<Found> {
        self.with(|memory| {
            if memory.statuses != statuses || memory.until.is_none_or(|until| until < Instant::now()) {
                memory.found.clear();
            }
            let count = limit.min(memory.found.len());
            memory.found.drain(..count).collect()
        })
    }

    /// How many of each index are to be read.
    fn page(&self) -> usize {
        self.with(|memory| {
            let has_lasted = memory.until.is_some_and(|until| until >= Instant::now());
            memory.page = if has_lasted { (memory.page + 1).min(PAGES.len() - 1) } else { 0 };
            PAGES[memory.page]
        })
    }

    fn keep(&self, statuses: &[Status], found: Vec<Found>) {
        self.with(|memory| {
            memory.statuses = statuses.to_vec();
            memory.until = (!found.is_empty()).then(|| Instant::now() + REMEMBERED);
            memory.found = found.into();
        });
    }

    /// Has it looked at again.
    pub(in crate::backends::redis) fn forget(&self) {
        self.with(|memory| {
            memory.found.clear();
            memory.until = None;
        });
    }

    /// Has it looked at again, if one of these may have been due since before it was looked at.
    pub(super) fn note(&self, writes: &[ExecutionWrite]) {
        let has_time = |write: &ExecutionWrite| match write {
            ExecutionWrite::Create(creation) => creation.due_at.is_some(),
            ExecutionWrite::Save(replacement) => replacement.creation.due_at.is_some(),
            ExecutionWrite::Change(change) => {
                change.due_at.flatten().is_some() || matches!(change.lease, LeaseChange::End { due_at: Some(_), .. })
            }
            _ => false,
        };
        if writes.iter().any(has_time) {
            self.forget();
        }
    }
}

/// What became of a part of a claim.
struct Given {
    /// Some were not due any more.
    has_lost: bool,
    /// Some were given, or parked.
    has_moved: bool,
    /// What has been claimed has to be told, although the rest has failed.
    is_over: bool,
}

/// Runs the claims of a group beside each other, on one server.
pub(super) async fn claim_together<C: Channel>(
    executions: &Executions<'_, C>,
    due: &Due,
    claims: &[&ClaimRuns],
) -> Vec<Result<Reply>> {
    join_all(claims.iter().map(|claim| executions.claim_what_is_known(due, claim))).await
}

impl<C: Channel> Executions<'_, C> {
    /// Gives executions to a worker.
    pub(super) async fn claim(&self, claim: &ClaimRuns) -> Result<Reply> {
        let mut claimed = Vec::new();
        self.claim_by_looking(claim, &mut claimed).await?;
        Ok(Reply::executions(claimed, Shows::ContextAndToken))
    }

    /// The same; what is remembered comes first.
    async fn claim_what_is_known(&self, due: &Due, claim: &ClaimRuns) -> Result<Reply> {
        if claim.names.is_some() || claim.stale_after_ms > 0 {
            return self.claim(claim).await;
        }
        let mut claimed = Vec::new();
        while (claimed.len() as u64) < claim.limit {
            let wanted = left(claim, &claimed);
            let mut found = due.take(&claim.statuses, wanted);
            let mut is_all = false;
            if found.is_empty() {
                let _turn = due.looking.lock().await;
                // Another claim may have looked meanwhile.
                found = due.take(&claim.statuses, wanted);
                if found.is_empty() {
                    let mut walk = self.walk(claim, wanted as u64).with_pages(due.page());
                    match walk.next(self.on, wanted as u64).await {
                        Ok(next) => found = next,
                        Err(error) if claimed.is_empty() => return Err(error),
                        Err(_) => break,
                    }
                    is_all = found.len() < wanted;
                    if walk.is_of_one_server() {
                        due.keep(&claim.statuses, walk.known());
                    }
                }
            }
            if found.is_empty() {
                break;
            }
            let given = self.give(claim, &found, true, &mut claimed).await?;
            if given.has_lost {
                // Another worker takes the same ones.
                due.forget();
            }
            if given.is_over || is_all {
                break;
            }
            if !given.has_moved {
                // Nothing comes of those that stand before others.
                self.claim_by_looking(claim, &mut claimed).await?;
                break;
            }
        }
        Ok(Reply::executions(claimed, Shows::ContextAndToken))
    }

    fn walk(&self, claim: &ClaimRuns, count: u64) -> Walk {
        Walk::ascending(self.sets("due", &claim.statuses).into_iter(), Until::Before(0), count)
    }

    async fn claim_by_looking(&self, claim: &ClaimRuns, claimed: &mut Vec<Execution>) -> Result<()> {
        let mut walk = self.walk(claim, left(claim, claimed) as u64);
        while (claimed.len() as u64) < claim.limit {
            let found = walk.next(self.on, left(claim, claimed) as u64).await;
            // What is claimed already has to be told.
            let found = if claimed.is_empty() { found? } else { found.unwrap_or_default() };
            if found.is_empty() || self.give(claim, &found, walk.is_of_one_server(), claimed).await?.is_over {
                break;
            }
        }
        Ok(())
    }

    /// Has scripts judge what was found; what they give is claimed.
    async fn give(
        &self,
        claim: &ClaimRuns,
        found: &[Found],
        at_once: bool,
        claimed: &mut Vec<Execution>,
    ) -> Result<Given> {
        let shares = if at_once { all_of(found) } else { shares(found) };
        let scripts =
            shares.iter().map(|(bucket, members)| self.claim_script(claim, found, *bucket, members)).collect();
        let mut outcome = Given { has_lost: false, has_moved: false, is_over: false };
        let (mut given, mut failed) = (Vec::new(), None);
        for ((_, members), reply) in shares.iter().zip(self.ask(scripts).await?) {
            match list_of(reply) {
                Ok(replies) => {
                    for ((place, _), reply) in members.iter().zip(replies) {
                        if reply.as_u64() == Some(0) {
                            outcome.has_lost = true;
                            continue;
                        }
                        outcome.has_moved = true;
                        given.extend(list_of(Ok(reply)).ok().map(|values| (*place, values)));
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        given.sort_by_key(|(place, _)| *place);
        for (place, values) in given {
            let id = &found[place].id;
            claimed.push(execution_of(id, values)?.ok_or_else(|| corrupt(id))?);
        }
        match failed {
            Some(error) if claimed.is_empty() => Err(error),
            failed => Ok(Given { is_over: failed.is_some(), ..outcome }),
        }
    }

    fn claim_script(&self, claim: &ClaimRuns, found: &[Found], bucket: Bucket, members: &[(usize, &str)]) -> Script {
        let stale = i64::try_from(claim.stale_after_ms).unwrap_or(i64::MAX);
        let words = Words::new("claim").text(&claim.lease.token).text(&claim.lease.worker);
        let words = words.millis(claim.lease.lease_ms).number(claim.max_attempts).number(stale);
        let words = words.millis(claim.terms.backoff_ms).texts(claim.statuses.iter().map(|status| status.name()));
        let names = claim.names.iter().flatten().map(|name| &**name);
        let words = words.flag(claim.names.is_none()).texts(names).texts(SHOWN);
        let bases: Vec<String> = members.iter().map(|(place, _)| found[*place].bucket.base(self.prefix)).collect();
        let ids: Vec<&str> = members.iter().map(|(_, id)| *id).collect();
        self.script(bucket, &ids, &words.texts(bases.iter().map(String::as_str)).texts(ids.iter().copied()))
    }
}

/// How many are still wanted.
fn left(claim: &ClaimRuns, claimed: &[Execution]) -> usize {
    usize::try_from(claim.limit).unwrap_or(usize::MAX).saturating_sub(claimed.len())
}

/// What was found, whichever buckets it is in; the first one's stands for all.
fn all_of(found: &[Found]) -> Vec<Share<'_>> {
    let places: Vec<(usize, &str)> = found.iter().enumerate().map(|(place, found)| (place, &*found.id)).collect();
    places.chunks(TOGETHER).map(|chunk| (found[chunk[0].0].bucket, chunk.to_vec())).collect()
}
