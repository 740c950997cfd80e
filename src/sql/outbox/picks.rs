//! Claims on SQLite: what has a place is looked at in its order, and with the first event of a key its followers.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value as Json, json};

use super::Outbox;
use super::form::{Kept, Shows, columns, read};
use super::reads::signed;
use super::rows::{Changes, list};
use crate::contract::outbox::record::Stored;
use crate::contract::outbox::{ClaimEvents, judge};
use crate::error::Result;
use crate::sql::query::Query;
use crate::sql::{Executor, Value};
use crate::time::Millis;

/// So many events whose time has come get their place at once.
const WOKEN: i64 = 1_000;

/// What a claim takes, and what it finds out.
#[derive(Default)]
struct Picked {
    claimed: Vec<i64>,
    changes: Changes,
    /// They have a place, and are not the first of their key.
    misplaced: Vec<i64>,
    /// Dead letters that are in the way, and the keys that they hold up.
    blocking: BTreeSet<i64>,
    held_up: BTreeSet<Box<str>>,
}

/// Events of a key, from one of them on.
struct Run {
    key: Box<str>,
    /// What has a place.
    head: i64,
    /// What is looked at stands behind this one.
    after: i64,
    /// The first dead letter, where it is in the way.
    cut: Option<i64>,
}

impl Outbox {
    /// Gives events to a worker.
    pub(super) async fn pick<E: Executor>(&self, on: &mut E, claim: &ClaimEvents, now: Millis) -> Result<Vec<Stored>> {
        self.wake(on, now).await?;
        if claim.terms.skips_dead {
            self.unblock(on, now).await?;
        }
        let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
        let (mut picked, mut from) = (Picked::default(), i64::MIN);
        while picked.claimed.len() < limit {
            let wanted = limit - picked.claimed.len();
            let candidates = self.candidates(on, claim, from, wanted, now).await?;
            let is_last = candidates.len() < wanted;
            let mut runs = Vec::new();
            for mut event in candidates {
                from = event.seq;
                if let Some(key) = event.event.partition_key {
                    runs.push(Run { key, head: event.seq, after: i64::MIN, cut: None });
                } else if !judge::is_free(&event, now) {
                } else if judge::claim(&mut event, &claim.lease, &claim.terms, now) {
                    picked.claimed.push(event.seq);
                } else {
                    picked.changes.change(event);
                }
            }
            self.follow(on, runs, claim, &mut picked, now).await?;
            if is_last {
                break;
            }
        }
        self.take(on, picked, claim, now).await
    }

    /// Events whose time has come, or whose lease is over, are ready.
    async fn wake<E: Executor>(&self, on: &mut E, now: Millis) -> Result<()> {
        let t = &self.t;
        let mut query = Query::new(
            self.dialect,
            format!("update {t} set ready = 1, wake_at = null where seq in (select seq from {t} where wake_at <= "),
        );
        query.int(now.0);
        query.push(" order by wake_at limit ");
        query.int(WOKEN);
        query.push(")");
        query.run(on).await.map(drop)
    }

    /// Dead letters that were in the way are so no more: another store, or this one before, was opened with other
    /// options.
    async fn unblock<E: Executor>(&self, on: &mut E, now: Millis) -> Result<()> {
        let t = &self.t;
        let sql = format!("update {t} set blocks = 0 where blocks = 1 returning partition_key");
        let mut keys = BTreeSet::new();
        for cell in on.run(&sql, &[]).await?.rows.into_iter().flatten() {
            keys.insert(cell.into_text("partition_key")?.into());
        }
        self.place(on, &keys, now).await
    }

    async fn candidates<E: Executor>(
        &self,
        on: &mut E,
        claim: &ClaimEvents,
        from: i64,
        wanted: usize,
        now: Millis,
    ) -> Result<Vec<Stored>> {
        let mut query = Query::new(self.dialect, self.select(Kept::Unsent, Shows::State, false));
        query.push(" where x.ready = 1 and x.seq > ");
        query.int(from);
        for (column, names) in [("event_type", &claim.types), ("routing_key", &claim.routing_keys)] {
            if let Some(names) = names {
                query.push(&format!(" and x.{column} in "));
                query.among(names, "");
            }
        }
        if claim.older_than_ms > 0 {
            query.push(" and x.created_at <= ");
            query.ago(claim.older_than_ms, now);
        }
        query.push(" order by x.seq limit ");
        query.int(signed(wanted as u64));
        self.rows(on, &query).await
    }

    /// Takes what may be taken of some keys: a few of each at a time, until nothing is left, or there is no place.
    async fn follow<E: Executor>(
        &self,
        on: &mut E,
        mut runs: Vec<Run>,
        claim: &ClaimEvents,
        picked: &mut Picked,
        now: Millis,
    ) -> Result<()> {
        let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
        if !claim.terms.skips_dead {
            self.find_cuts(on, &mut runs).await?;
        }
        while !runs.is_empty() && picked.claimed.len() < limit {
            let most = (limit - picked.claimed.len()).div_ceil(runs.len()) + 1;
            let mut rows = self.followers(on, &runs, most).await?;
            let mut left = Vec::new();
            for mut run in runs {
                let rows = rows.remove(&run.key).unwrap_or_default();
                picked.changes.keys.insert(run.key.clone());
                if run.after == i64::MIN && rows.first().is_none_or(|first| first.seq != run.head) {
                    picked.misplaced.push(run.head);
                }
                let mut goes_on = rows.len() == most;
                for mut event in rows {
                    if let Some(cut) = run.cut.filter(|cut| *cut < event.seq) {
                        if run.after == i64::MIN {
                            picked.misplaced.push(run.head);
                            picked.blocking.insert(cut);
                            picked.held_up.insert(run.key.clone());
                        }
                        goes_on = false;
                        break;
                    }
                    let is_place = picked.claimed.len() < limit;
                    if !is_place || !judge::is_free(&event, now) || !judge::is_wanted(&event, claim, now) {
                        goes_on = false;
                        break;
                    }
                    run.after = event.seq;
                    if judge::claim(&mut event, &claim.lease, &claim.terms, now) {
                        picked.claimed.push(event.seq);
                    } else {
                        picked.changes.change(event);
                        if !claim.terms.skips_dead {
                            goes_on = false;
                            break;
                        }
                    }
                }
                if goes_on {
                    left.push(run);
                }
            }
            runs = left;
        }
        Ok(())
    }

    async fn find_cuts<E: Executor>(&self, on: &mut E, runs: &mut [Run]) -> Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        let mut query = Query::new(
            self.dialect,
            format!(
                "select k.value as partition_key, (select x.seq from {} as x where x.partition_key = k.value \
                 and x.dead_at is not null order by x.seq limit 1) as cut from json_each(",
                self.t
            ),
        );
        query.bind(Value::Text(list(runs.iter().map(|run| &*run.key)).into()), "");
        query.push(") as k");
        let mut cuts = HashMap::new();
        for row in query.run(on).await?.rows {
            let [key, cut] = crate::sql::cells(row);
            if let Ok(cut) = cut.into_int("seq") {
                cuts.insert(key.into_text("partition_key")?, cut);
            }
        }
        for run in runs {
            run.cut = cuts.get(&*run.key).copied();
        }
        Ok(())
    }

    /// The next events of some keys, at most so many of each, that are no dead letters.
    async fn followers<E: Executor>(
        &self,
        on: &mut E,
        runs: &[Run],
        most: usize,
    ) -> Result<HashMap<Box<str>, Vec<Stored>>> {
        let t = &self.t;
        let pairs: Vec<Json> = runs.iter().map(|run| json!([run.key, run.after])).collect();
        let columns = columns(self.dialect, "x.", Kept::Unsent, Shows::State, false);
        let mut query = Query::new(self.dialect, format!("select {columns} from json_each("));
        query.bind(Value::Text(Json::from(pairs).to_string().into()), "");
        query.push(&format!(
            ") as k cross join {t} as x where x.seq in (select n.seq from {t} as n \
             where n.partition_key = json_extract(k.value, '$[0]') and n.seq > json_extract(k.value, '$[1]') \
             and n.dead_at is null order by n.seq limit "
        ));
        query.int(signed(most as u64));
        query.push(") order by x.seq");
        let mut found: HashMap<Box<str>, Vec<Stored>> = HashMap::with_capacity(runs.len());
        for event in self.rows(on, &query).await? {
            if let Some(key) = event.event.partition_key.clone() {
                found.entry(key).or_default().push(event);
            }
        }
        Ok(found)
    }

    /// Writes what a claim has found, and answers what it takes.
    async fn take<E: Executor>(
        &self,
        on: &mut E,
        picked: Picked,
        claim: &ClaimEvents,
        now: Millis,
    ) -> Result<Vec<Stored>> {
        let Picked { claimed, mut changes, misplaced, blocking, held_up } = picked;
        let mut keys = std::mem::take(&mut changes.keys);
        keys.retain(|key| !held_up.contains(key));
        if !misplaced.is_empty() {
            self.mark(on, "ready = 0, wake_at = null", &misplaced).await?;
        }
        if !blocking.is_empty() {
            self.mark(on, "blocks = 1", &blocking.iter().copied().collect::<Vec<_>>()).await?;
        }
        self.make_changes(on, changes, None, now).await?;
        let mut taken = Vec::new();
        if !claimed.is_empty() {
            let mut query =
                Query::new(self.dialect, format!("update {} set status = 'claimed', claimed_at = ", self.t));
            query.int(now.0);
            query.push(", worker_id = ");
            query.text(&claim.lease.worker);
            query.push(", token = ");
            query.text(&claim.lease.token);
            let until = now.plus(claim.lease.lease_ms).0;
            query.push(", lease_until = ");
            query.int(until);
            query.push(", due_at = null, deliveries = deliveries + 1, ready = 0, wake_at = case when partition_key is null then ");
            query.int(until);
            query.push(" end where seq in (select value from json_each(");
            query.bind(Value::Text(claimed.into_iter().collect::<Json>().to_string().into()), "");
            query.push(&format!(")) returning {}", columns(self.dialect, "", Kept::Unsent, Shows::Event, false)));
            for row in query.run(on).await?.rows {
                taken.push(read(row)?);
            }
            taken.sort_by_key(|event| event.seq);
        }
        self.place(on, &keys, now).await?;
        Ok(taken)
    }

    async fn mark<E: Executor>(&self, on: &mut E, set: &str, seqs: &[i64]) -> Result<()> {
        let mut query =
            Query::new(self.dialect, format!("update {} set {set} where seq in (select value from json_each(", self.t));
        query.bind(Value::Text(seqs.iter().copied().collect::<Json>().to_string().into()), "");
        query.push("))");
        query.run(on).await.map(drop)
    }
}
