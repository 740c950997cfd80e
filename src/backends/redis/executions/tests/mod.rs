//! Against real servers, where the environment names them: what the behaviour suite cannot see. Does the script judge
//! as `judge.rs` does, do the indexes say what the records say, does anything stay behind, how often is the server asked?

mod judging;
mod keeping;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::keys::{self, Bucket, SHOWN, execution_of};
use super::scripts::{fields, list_of};
use super::{Executions, Request};
use crate::backends::redis::channel::{Answers, Channel, OwnChannel};
use crate::backends::redis::config::Endpoint;
use crate::backends::redis::shared::Connector;
use crate::backends::redis::states::scripts::scored_of;
use crate::contract::executions::record::{Action, Entry, Execution, Status, StepStatus};
use crate::contract::executions::{
    Attempts, Change, ClaimRuns, Creation, ExecutionWrite, Fence, LeaseChange, NewLease, Terms,
};
use crate::contract::lease::random;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

const TERMS: Terms = Terms { ttl_ms: None, backoff_ms: 1_000, max_entries: 12, max_bytes: 400 };

/// Counts what is sent.
struct Counted<'a> {
    on: OwnChannel<'a>,
    round_trips: AtomicUsize,
}

impl Channel for Counted<'_> {
    fn one_server(&self) -> bool {
        self.on.one_server()
    }

    async fn send(&self, requests: Vec<Request>) -> Result<Answers> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        self.on.send(requests).await
    }
}

type Tested<'a> = Executions<'a, Counted<'a>>;

/// Runs a test on each server that is named, under a prefix of its own.
fn with_servers(test: &impl AsyncFn(&Tested<'_>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for url in ["REDIS_URL", "REDIS_CLUSTER_URL"].map(std::env::var).into_iter().flatten() {
        let shared = Arc::new(Connector::new(Endpoint::parse(&url, None, Duration::from_secs(5)).unwrap()));
        let prefix = format!("sagastore-test:{:x}:", fastrand::u64(..));
        runtime.block_on(async {
            let on = Counted { on: OwnChannel::of(&shared).await.unwrap(), round_trips: AtomicUsize::new(0) };
            let executions = Executions { on: &on, prefix: &prefix };
            test(&executions).await;
            for bucket in Bucket::all() {
                executions.take_away(bucket).await;
            }
            shared.close().await;
        });
    }
}

impl Tested<'_> {
    async fn stored(&self, id: &str) -> Option<Execution> {
        let request = fields(self.prefix, Bucket::of(id), id, &SHOWN);
        execution_of(id, list_of(self.one(request).await.unwrap()).unwrap()).unwrap()
    }

    async fn command(&self, words: &[&str]) -> Result<fred::prelude::Value> {
        let words: Vec<Bytes> = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        self.one(Request::Words { key: words[1].clone(), words }).await.unwrap()
    }

    /// The keys of a bucket that are there, for some ids.
    async fn there(&self, bucket: Bucket, ids: &[&str]) -> Vec<String> {
        let mut there = Vec::new();
        for key in keys::touched(bucket, self.prefix, ids) {
            let key = String::from_utf8(key.to_vec()).unwrap();
            if self.command(&["EXISTS", &key]).await.unwrap().as_i64() == Some(1) {
                there.push(key);
            }
        }
        there
    }

    async fn take_away(&self, bucket: Bucket) {
        let requests = keys::touched(bucket, self.prefix, &[]).into_iter().map(|key| Request::Unlink { key });
        self.on.on.send(requests.collect()).await.unwrap();
    }

    fn round_trips(&self) -> usize {
        self.on.round_trips.swap(0, Ordering::Relaxed)
    }

    /// Whether the indexes have just these executions, as their records say.
    async fn check_indexes(&self, ids: &[&str]) {
        let mut expected: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        let mut bytes: HashMap<Bucket, i64> = HashMap::new();
        for id in ids {
            let Some(of) = self.stored(id).await else { continue };
            let bucket = Bucket::of(id);
            let status = of.status.name();
            let context = of.context.as_ref().map_or(0, |context| context.len());
            *bytes.entry(bucket).or_default() += of.log_bytes + i64::try_from(context).unwrap();
            let mut stands = |index: &str, at: Option<i64>| {
                let key = String::from_utf8(bucket.key(self.prefix, &[index]).to_vec()).unwrap();
                at.map(|at| expected.entry(key).or_default().insert((*id).to_owned(), at));
            };
            stands(&format!("updated:{status}"), Some(of.updated_at.0));
            stands(&format!("created:{status}"), Some(of.created_at.0));
            stands(&format!("due:{status}"), of.due_at.map(|at| at.0));
            stands(&format!("parked:{status}"), of.parked_at.map(|_| of.updated_at.0));
            stands(&format!("ended:{status}"), of.completed_at.map(|at| at.0));
            stands(&format!("expiring:{status}"), of.expires_at.map(|at| at.0));
            stands("leased", of.is_leased().then_some(0));
        }
        let mut found: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        let mut buckets: Vec<Bucket> = ids.iter().map(|id| Bucket::of(id)).collect();
        buckets.sort();
        buckets.dedup();
        for bucket in buckets {
            for key in self.there(bucket, &[]).await {
                if key.ends_with(":sizes") {
                    continue;
                }
                if key.ends_with(":bytes") {
                    let counted = self.command(&["GET", &key]).await.unwrap().as_string().unwrap();
                    assert_eq!(counted, bytes.get(&bucket).copied().unwrap_or_default().to_string());
                    continue;
                }
                let members = scored_of(self.command(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]).await).unwrap();
                found.insert(key, members.into_iter().map(|(at, id)| (id, at)).collect());
            }
        }
        assert_eq!(found, expected);
    }
}

fn creation(id: &str, status: Status) -> Creation {
    Creation {
        id: id.into(),
        name: "Order".into(),
        status,
        sub_status: None,
        context: Some("{\"n\":1}".into()),
        metadata: None,
        tags: Vec::new(),
        entries: Vec::new(),
        due_at: None,
        lease: None,
        operation: random(),
        at: Millis::now(),
        terms: TERMS,
    }
}

fn change(id: &str, fence: Fence) -> Change {
    Change {
        id: id.into(),
        expected: None,
        fence,
        operation: random(),
        counts: true,
        context: None,
        status: None,
        sub_status: None,
        metadata: None,
        tags: None,
        entries: Vec::new(),
        due_at: None,
        last_error: None,
        lease: LeaseChange::Keep,
        attempts: Attempts::Keep,
        at: Millis::now(),
        terms: TERMS,
    }
}

fn entry(step_id: Option<&str>, status: StepStatus) -> Entry {
    let step_id = step_id.map(Into::into);
    Entry { step: "charge".into(), action: Action::Act, status, step_id, details: None, body: Some("{}".into()) }
}

fn create(creation: Creation) -> ExecutionWrite {
    ExecutionWrite::Create(Box::new(creation))
}

fn made(change: Change) -> ExecutionWrite {
    ExecutionWrite::Change(Box::new(change))
}

fn claim(limit: u64, max_attempts: i64) -> ExecutionWrite {
    ExecutionWrite::Claim(Box::new(ClaimRuns {
        lease: NewLease { token: random(), worker: "w".into(), lease_ms: 60_000 },
        limit,
        names: None,
        statuses: vec![Status::Running, Status::Compensating],
        max_attempts,
        stale_after_ms: 0,
        terms: TERMS,
    }))
}
