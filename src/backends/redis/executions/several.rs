//! Operations on several executions. They are found in the indexes of all buckets, and what is found is judged once
//! more by one script for each bucket that has some.

use std::collections::BTreeMap;

use super::Executions;
use super::keys::Bucket;
use super::scripts::count_of;
use super::walk::{Found, Until, Walk};
use crate::backends::redis::channel::{Answers, Channel};
use crate::backends::redis::error;
use crate::contract::executions::record::Status;
use crate::contract::executions::{Renewal, Terms};
use crate::contract::step::Reply;
use crate::error::{Kind, Result};
use crate::time::Millis;

/// Executions of one bucket that one script takes: the server does nothing else meanwhile.
pub(super) const TOGETHER: usize = 50;

/// Executions of one bucket, by their places in what was found.
pub(super) type Share<'a> = (Bucket, Vec<(usize, &'a str)>);

/// What was found, by buckets.
pub(super) fn shares(found: &[Found]) -> Vec<Share<'_>> {
    let mut by_bucket: BTreeMap<Bucket, Vec<(usize, &str)>> = BTreeMap::new();
    for (place, found) in found.iter().enumerate() {
        by_bucket.entry(found.bucket).or_default().push((place, &found.id));
    }
    let chunks = by_bucket.into_iter().flat_map(|(bucket, ids)| {
        let chunks: Vec<_> = ids.chunks(TOGETHER).map(|chunk| (bucket, chunk.to_vec())).collect();
        chunks
    });
    chunks.collect()
}

impl<C: Channel> Executions<'_, C> {
    /// The sets of this index of all buckets.
    pub(super) fn sets(&self, index: &str, statuses: &[Status]) -> Vec<(Bucket, bytes::Bytes)> {
        let names: Vec<&str> = statuses.iter().map(|status| status.name()).collect();
        let of = |bucket: Bucket| names.iter().map(move |name| (bucket, bucket.key(self.prefix, &[index, ":", name])));
        let mut sets = Vec::with_capacity(names.len() * 256);
        for bucket in Bucket::all() {
            sets.extend(of(bucket));
        }
        sets
    }

    /// Has one script run for each share, whose words end with the ids.
    async fn ask_shares(
        &self,
        shares: &[Share<'_>],
        words: impl Fn(Bucket) -> super::scripts::Words,
    ) -> Result<Answers> {
        let scripts = shares.iter().map(|(bucket, ids)| {
            let ids: Vec<&str> = ids.iter().map(|(_, id)| *id).collect();
            self.script(*bucket, &ids, &words(*bucket).texts(ids.iter().copied()))
        });
        self.ask(scripts.collect()).await
    }

    /// Renews leases.
    pub(super) async fn heartbeat(&self, renewals: &[Renewal], terms: &Terms) -> Result<Reply> {
        let scripts = renewals.iter().map(|Renewal { id, token, lease_ms }| {
            let bucket = Bucket::of(id);
            let words = self.words("heartbeat", bucket).text(id).text(token);
            self.script(bucket, &[id], &words.millis(*lease_ms).millis(terms.backoff_ms))
        });
        let mut lost = Vec::new();
        for (Renewal { id, .. }, reply) in renewals.iter().zip(self.ask(scripts.collect()).await?) {
            if count_of(reply)? == 0 {
                lost.push(id.clone());
            }
        }
        Ok(Reply::ids(lost))
    }

    /// Makes parked executions due again.
    pub(super) async fn redrive(&self, ids: &[Box<str>], reset_attempts: bool) -> Result<Reply> {
        let scripts = ids.iter().map(|id| {
            let bucket = Bucket::of(id);
            self.script(bucket, &[id], &self.words("redrive", bucket).text(id).flag(reset_attempts))
        });
        self.ask(scripts.collect()).await?.into_iter().map(count_of).sum::<Result<u64>>().map(Reply::Count)
    }

    /// Removes executions that ended before a time.
    pub(super) async fn cleanup(&self, before: Millis, statuses: &[Status], limit: u64) -> Result<Reply> {
        let sets = self.sets("ended", statuses);
        let until = Until::Score(before.0.saturating_sub(1));
        let words = |bucket| {
            let names = statuses.iter().map(|status| status.name());
            self.words("cleanup", bucket).number(before.0).texts(names)
        };
        self.remove(Walk::ascending(sets.into_iter(), until, limit), limit, words).await.map(Reply::Count)
    }

    /// Removes what executions have left that have ceased to exist.
    pub(in crate::backends::redis) async fn purge_expired(&self, limit: u64) -> Result<u64> {
        let sets = self.sets("expiring", &Status::TERMINAL);
        let walk = Walk::ascending(sets.into_iter(), Until::Before(0), limit);
        match self.remove(walk, limit, |bucket| self.words("purge", bucket)).await {
            // Who may use the keys of payloads alone has no executions.
            Err(error) if error.kind() == Kind::Backend && error::is_forbidden(&error) => Ok(0),
            removed => removed,
        }
    }

    /// Removes what a walk finds and a script agrees to, at most `limit`.
    async fn remove(&self, mut walk: Walk, limit: u64, words: impl Fn(Bucket) -> super::scripts::Words) -> Result<u64> {
        let mut removed = 0;
        while removed < limit {
            let found = walk.next(self.on, limit - removed).await?;
            if found.is_empty() {
                break;
            }
            let replies = self.ask_shares(&shares(&found), &words).await?;
            removed += replies.into_iter().map(count_of).sum::<Result<u64>>()?;
        }
        Ok(removed)
    }
}
