//! Sagas that have timed out, each given to one worker.
//!
//! A lease is a key of its own beside the state, in whichever slot: one script looks at it and sets it,
//! and the server ends it by its clock. Its value begins with the timeout that it is for, so an update
//! that moves the timeout ends it, whoever writes that. A claim does this:
//!
//! 1. It reads the overdue sagas from the lists, the longest overdue first.
//! 2. It takes the leases of those that nobody has.
//! 3. It reads their states. A saga that another worker has ended meanwhile is left out, and its lists are written
//!    again. While the lease lasts, no other worker is given the saga.

use std::collections::{HashSet, VecDeque};

use super::States;
use super::keys::Keys;
use super::reads::found_state;
use super::scripts::{self as ask, number_of, scored_of};
use crate::backends::redis::channel::Channel;
use crate::backends::redis::error;
use crate::contract::states::{Claim, FoundState};
use crate::contract::step::Reply;
use crate::error::Result;

/// Members of a list that are read at once, at least: many may be leased.
const PAGE: usize = 100;

/// The overdue sagas of a name, read as far as they were needed.
struct Overdue<'a> {
    keys: Keys<'a>,
    buffer: VecDeque<(i64, String)>,
    /// The last timeout that was read, and who had it: others of the same moment may follow.
    last: Option<i64>,
    seen: HashSet<String>,
    is_at_end: bool,
}

impl<'a> Overdue<'a> {
    fn new(keys: Keys<'a>) -> Self {
        Self { keys, buffer: VecDeque::new(), last: None, seen: HashSet::new(), is_at_end: false }
    }

    /// Takes in what was found from the last timeout on; `asked` for so many.
    fn add(&mut self, found: Vec<(i64, String)>, asked: usize) {
        self.is_at_end = found.len() < asked;
        for (due, id) in found {
            if self.last == Some(due) && self.seen.contains(&id) {
                continue;
            }
            if self.last != Some(due) {
                self.last = Some(due);
                self.seen.clear();
            }
            self.seen.insert(id.clone());
            self.buffer.push_back((due, id));
        }
    }
}

impl<C: Channel> States<'_, C> {
    /// Gives sagas to a worker.
    pub(crate) async fn claim_timed_out(&self, claim: &Claim) -> Result<Reply> {
        let known_names = self.names(claim.name.as_deref()).await?;
        let mut lists = Vec::with_capacity(known_names.len());
        for name in &known_names {
            let keys = self.keys(name);
            self.settle_marks(keys).await?;
            lists.push(Overdue::new(keys));
        }
        let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
        let mut claimed: Vec<FoundState> = Vec::new();
        while claimed.len() < limit {
            let next = self.next_overdue(&mut lists, claim, limit - claimed.len()).await?;
            if next.is_empty() {
                break;
            }
            self.take(&next, claim, &mut claimed).await?;
        }
        Ok(Reply::States(claimed))
    }

    /// The longest overdue of all lists, at most `count`; none at the end.
    async fn next_overdue<'a>(
        &self,
        lists: &mut [Overdue<'a>],
        claim: &Claim,
        count: usize,
    ) -> Result<Vec<(Keys<'a>, i64, String)>> {
        let mut next = Vec::new();
        while next.len() < count {
            self.fill(lists, claim, count).await?;
            let firsts = lists.iter_mut().filter_map(|list| Some((list.buffer.front()?.0, list)));
            let Some((_, list)) = firsts.min_by_key(|(due, _)| *due) else { break };
            next.extend(list.buffer.pop_front().map(|(due, id)| (list.keys, due, id)));
        }
        Ok(next)
    }

    /// Reads on in lists of which nothing is left, until each has something or is at its end.
    async fn fill(&self, lists: &mut [Overdue<'_>], claim: &Claim, count: usize) -> Result<()> {
        loop {
            let mut empty: Vec<_> = lists.iter_mut().filter(|one| one.buffer.is_empty() && !one.is_at_end).collect();
            if empty.is_empty() {
                return Ok(());
            }
            let wanted = |list: &Overdue<'_>| count.max(PAGE) + list.seen.len();
            let pages = empty.iter().map(|list| {
                let least = list.last.map_or_else(|| String::from("-inf"), |last| last.to_string());
                ask::scored(&list.keys.list("timeouts"), &least, claim.now.0, wanted(list))
            });
            let mut replies = self.on.send(pages.collect()).await?.into_iter();
            for list in &mut empty {
                let found = scored_of(replies.next().unwrap_or_else(|| Err(error::unexpected())))?;
                let asked = wanted(list);
                list.add(found, asked);
            }
        }
    }

    /// Leases what is free, and answers what has timed out indeed.
    async fn take(
        &self,
        overdue: &[(Keys<'_>, i64, String)],
        claim: &Claim,
        claimed: &mut Vec<FoundState>,
    ) -> Result<()> {
        let leases =
            overdue.iter().map(|(keys, due, id)| ask::lease(keys.lease(id), *due, &claim.worker, claim.lease_ms));
        let taken = self.on.send(leases.collect()).await?;
        let mut ours = Vec::with_capacity(overdue.len());
        for (saga, taken) in overdue.iter().zip(taken) {
            if number_of(taken)? == 1 {
                ours.push(saga);
            }
        }
        // Names follow each other as the timeouts do: those of one name are fetched together.
        for group in ours.chunk_by(|(one, ..), (other, ..)| one.name == other.name) {
            let Some((keys, ..)) = group.first() else { continue };
            let ids: Vec<String> = group.iter().map(|(_, _, id)| id.clone()).collect();
            for ((_, due, id), found) in group.iter().zip(self.fetch(*keys, &ids).await?) {
                match found {
                    Some((at, Ok((known, state)))) if known.timeout_at.is_some_and(|at| at.0 == *due) => {
                        claimed.push(found_state(*keys, id, at, Ok(state)));
                    }
                    Some((at, Err(why))) => claimed.push(found_state(*keys, id, at, Err(why))),
                    // Its lists are outdated. The lease is for a timeout that it does not have.
                    _ => self.sync(*keys, id).await?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_one_moment_are_read_once_each() {
        let mut list = Overdue::new(Keys { prefix: "p:", name: "Order" });
        let page = |ids: &[(i64, &str)]| ids.iter().map(|(due, id)| (*due, String::from(*id))).collect::<Vec<_>>();
        list.add(page(&[(1, "a"), (2, "b"), (2, "c")]), 3);
        assert!(!list.is_at_end);
        // From 2 on, with room for those of the same moment that are known.
        list.add(page(&[(2, "b"), (2, "c"), (2, "d"), (3, "e")]), 5);
        assert!(list.is_at_end);
        let ids: Vec<&str> = list.buffer.iter().map(|(_, id)| &**id).collect();
        assert_eq!(ids, ["a", "b", "c", "d", "e"]);
    }
}
