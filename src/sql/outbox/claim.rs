//! Claims on PostgreSQL: one statement gives what it gives.
//!
//! 1. `w` is a window: the first events that are not parked, and parked ones whose time has come.
//! 2. `h` are those of it that may go first: without a key, or the first of their key that is not sent.
//! 3. `l` locks some of them, and looks again at what they are like now. What another claim has locked is left out: who
//!    has not got the first of a key gets none of it.
//! 4. `r` are those behind the first of their key that may be claimed with it, `g` those of them that are locked, `o`
//!    all of them up to the first that is not. Those that were claimed too often become dead letters.
//!
//! What is parked is not in the window: what waits for its time, dead letters, and, where the window was full of them,
//! events behind others of their key (`tidy`). The latter come back when they are the first of their key: whoever takes
//! away the one before sees to it (`unpark`), and a look at all such keys, once a second (`sweep`).
//!
//! A claim begins where the last one has (`mark.rs`).
//!
//! A question for the first of a key compares (key, number) as a row: the server has then no other index to answer it by.
//!
//! Where nothing in the window has a key, a shorter statement does (`plain.rs`).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Outbox;
use super::form::{Kept, Shows, columns, read, unestimated};
use super::reads::{signed, wants_base64};
use crate::contract::outbox::record::{EventStatus, Stored};
use crate::contract::outbox::{ClaimEvents, NEVER_ANSWERED};
use crate::error::Result;
use crate::sql::query::{NOW_MS, Query};
use crate::sql::{Around, Cell, Executor, Value};

/// How often keys are looked at whose events are parked behind others.
const SWEEPS: Duration = Duration::from_secs(1);

/// So many keys are looked at by a sweep.
const KEYS: usize = 10_000;

/// So many events are looked at where the window of a claim was full of those that cannot be claimed.
const TIDIED: usize = 4_000;

/// A claim looks again so often, where it finds nothing but what is to be put aside.
const LOOKS: usize = 40;

/// Whether nobody has the event `x`, and its time has come.
pub(super) fn is_free() -> String {
    unestimated(&free())
}

fn free() -> String {
    let now = format!("(select {NOW_MS})");
    format!(
        "x.dead_at is null and (x.token is null or x.lease_until <= {now}) and (x.due_at is null or x.due_at <= {now})"
    )
}

/// Goes on with a condition: that the event `x` is no dead letter, where those are let pass.
pub(super) fn of_living(skips_dead: bool) -> String {
    if skips_dead { format!("and {} ", unestimated("x.dead_at is null")) } else { String::new() }
}

/// So many events are looked at by a claim of so many: there are few different statements, whatever the limit.
fn window(limit: u64) -> u64 {
    (limit * 4 + 100).next_power_of_two()
}

/// Whether the event `row` is parked behind another one.
fn is_behind(row: &str) -> String {
    format!("{row}parked and {row}due_at is null and {row}dead_at is null")
}

impl Outbox {
    /// Gives events to a worker.
    pub(super) async fn claim<E: Executor>(
        &self,
        on: &mut E,
        claim: &ClaimEvents,
        around: Around,
    ) -> Result<Vec<Stored>> {
        if self.is_sweep_due() {
            retried!(around, self.sweep(on, claim.terms.skips_dead))?;
        }
        let takes_all = !claim.is_choosy() && claim.older_than_ms == 0;
        let from = if takes_all { self.mark.begin() } else { 0 };
        let (mut given, began) = (Vec::new(), Instant::now());
        self.claim_from(on, claim, from, around, &mut given).await?;
        let from_mark = began.elapsed();
        if from > 0 && (given.len() as u64) < claim.limit && self.mark.may_look_again() {
            self.claim_from(on, claim, 0, around, &mut given).await?;
            self.mark.took(from_mark, began.elapsed().saturating_sub(from_mark));
        }
        given.sort_by_key(|event| event.seq);
        if takes_all && let Some(first) = given.first() {
            self.mark.found(first.seq);
        }
        Ok(given)
    }

    /// Gives events whose numbers are not before `from`.
    async fn claim_from<E: Executor>(
        &self,
        on: &mut E,
        claim: &ClaimEvents,
        from: i64,
        around: Around,
        given: &mut Vec<Stored>,
    ) -> Result<()> {
        for _ in 0..LOOKS {
            let wanted = claim.limit - given.len() as u64;
            let (is_full, found) = retried!(around, self.claim_some(on, claim, wanted, from, !given.is_empty()))?;
            let buried = found.iter().filter(|event| event.status == EventStatus::DeadLetter).count();
            given.extend(found.into_iter().filter(|event| event.status == EventStatus::Claimed));
            if given.len() as u64 >= claim.limit {
                break;
            }
            if buried > 0 {
                if claim.terms.skips_dead {
                    retried!(around, self.sweep(on, true))?;
                }
            } else if !is_full || retried!(around, self.tidy(on, claim.terms.skips_dead))? == 0 {
                break;
            }
        }
        if from == 0 {
            self.mark.looked();
        }
        Ok(())
    }

    fn is_sweep_due(&self) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_due = swept.is_none_or(|at| at.elapsed() >= SWEEPS);
        if is_due {
            *swept = Some(Instant::now());
        }
        is_due
    }

    /// One statement: at most `limit` events, those that it has made dead letters among them; and whether it had seen
    /// as many as it looks at, some behind others of their key among them.
    async fn claim_some<E: Executor>(
        &self,
        on: &mut E,
        claim: &ClaimEvents,
        limit: u64,
        from: i64,
        again: bool,
    ) -> Result<(bool, Vec<Stored>)> {
        if self.is_plain.load(Ordering::Relaxed) {
            if let Some(done) = self.claim_plain(on, claim, limit, from, again).await? {
                return Ok(done);
            }
            self.is_plain.store(false, Ordering::Relaxed);
        }
        let (t, free) = (&self.t, is_free());
        let most = claim.terms.max_deliveries;
        // One that becomes a dead letter lets others pass, or is the last that is looked at.
        let goes_on = "bool_and(ok) over (partition by partition_key order by seq)";
        let (goes_past, goes_on) = if claim.terms.skips_dead {
            (String::new(), goes_on.to_owned())
        } else {
            let all_live = "coalesce(bool_and(lives) over (partition by partition_key order by seq \
                            rows between unbounded preceding and 1 preceding), true)";
            (format!("and l.deliveries < {most} "), format!("{goes_on} and {all_live}"))
        };
        let of_living = of_living(claim.terms.skips_dead);
        let mut query = Query::new(self.dialect, String::from("with n as materialized (select "));
        query.bind(Value::Int(signed(limit)), "::bigint as wanted");
        query.push("), ");
        self.seen(&mut query, claim, limit, from, again);
        query.push(&format!(
            ", k as materialized (select distinct on (partition_key) partition_key, seq from w \
             where partition_key is not null order by partition_key, seq), \
             h as materialized (select seq from w where partition_key is null union all \
             select k.seq from k cross join lateral (select x.seq, x.partition_key from {t} as x \
             where (x.partition_key, x.seq) >= (k.partition_key, 0::bigint) and x.partition_key is not null {of_living}\
             order by x.partition_key, x.seq limit 1) as f where f.seq = k.seq), \
             l as materialized (select x.seq, x.partition_key, x.deliveries from {t} as x \
             where x.seq = any(array(select seq from h)) and {free} order by x.seq limit (select wanted from n) \
             for update skip locked), f as materialized (select r.seq, r.partition_key, r.ok, r.lives from l cross join lateral (\
             select x.seq, x.partition_key, (x.deliveries < {most}) as lives, ("
        ));
        takes(&mut query, claim, again);
        query.push(&format!(
            ") as ok from {t} as x where (x.partition_key, x.seq) > (l.partition_key, l.seq) \
             and x.partition_key is not null {of_living}order by x.partition_key, x.seq limit (select case \
             when count(*) >= (select wanted from n) or count(partition_key) = 0 then 0 \
             else ((select wanted from n) - count(*)) * 2 / count(partition_key) + 1 end from l)) as r \
             where l.partition_key is not null {goes_past}and r.partition_key = l.partition_key), \
             r as materialized (select seq, partition_key from (select seq, partition_key, \
             {goes_on} as goes_on from f) as f where goes_on \
             order by seq limit (select greatest((select wanted from n) - count(*), 0) from l)), \
             g as materialized (select x.seq from {t} as x where x.seq = any(array(select seq from r)) and {free} \
             order by x.seq for update skip locked), \
             o as materialized (select seq from l union all select seq from (select r.seq, \
             bool_and(g.seq is not null) over (partition by r.partition_key order by r.seq) as is_ours \
             from r left join g on g.seq = r.seq) as q where is_ours)"
        ));
        self.give(on, &mut query, claim, "x.seq = any(array(select seq from o))");
        let looked = self.given(on, &query).await?;
        self.is_plain.store(looked.keys == 0, Ordering::Relaxed);
        Ok((looked.is_full(limit), looked.found))
    }

    /// Goes on with `w`, the window.
    pub(super) fn seen<'a>(&self, query: &mut Query<'a>, claim: &'a ClaimEvents, limit: u64, from: i64, again: bool) {
        let (t, window) = (&self.t, window(limit));
        query.push(&format!("w as materialized ((select x.seq, x.partition_key from {t} as x where not x.parked and "));
        takes(query, claim, again);
        if from > 0 {
            query.push(" and x.seq >= ");
            query.bind(Value::Int(from), "::bigint");
        }
        query.push(&format!(
            " order by x.seq limit {window}) union all (select x.seq, x.partition_key from {t} as x \
             where x.due_at <= (select {NOW_MS}) and x.parked and "
        ));
        takes(query, claim, again);
        query.push(&format!(" order by x.due_at limit {window}))"));
    }

    /// Goes on with the change of those events `x` that are given, or become dead letters; and with the answer.
    pub(super) fn give<'a, E: Executor>(&self, on: &E, query: &mut Query<'a>, claim: &'a ClaimEvents, which: &str) {
        let (t, most) = (&self.t, claim.terms.max_deliveries);
        query.push(&format!(
            ", u as (update {t} as x set \
             status = case when x.deliveries < {most} then 'claimed' else 'dead_letter' end, \
             claimed_at = case when x.deliveries < {most} then {NOW_MS} end, \
             dead_at = case when x.deliveries >= {most} then {NOW_MS} end, \
             parked = x.deliveries >= {most}, due_at = null, \
             deliveries = x.deliveries + case when x.deliveries < {most} then 1 else 0 end, \
             last_error = case when x.deliveries < {most} then x.last_error else '{NEVER_ANSWERED}' end, \
             expires_at = case when x.deliveries >= {most} then {} end, \
             lease_until = case when x.deliveries < {most} then {NOW_MS} + {} end, worker_id = case when x.deliveries < {most} then ",
            until(claim.terms.retain_dead_ms),
            claim.lease.lease_ms,
        ));
        query.text(&claim.lease.worker);
        query.push(&format!(" end, token = case when x.deliveries < {most} then "));
        query.text(&claim.lease.token);
        query.push(&format!(
            " end where {which} returning {}) select s.looked, s.keys, u.* \
             from (select count(*) as looked, count(partition_key) as keys from w) as s left join u on true",
            columns(self.dialect, "x.", Kept::Unsent, Shows::Event, wants_base64(on))
        ));
    }

    /// Runs a claim, and reads its answer.
    pub(super) async fn given<E: Executor>(&self, on: &mut E, query: &Query<'_>) -> Result<Looked> {
        let mut looked = Looked::default();
        for mut row in query.run(on).await?.rows {
            let rest = row.split_off(2);
            let [count, keys] = crate::sql::cells(row);
            (looked.count, looked.keys) = (count.into_int("looked")?, keys.into_int("keys")?);
            if rest.first().is_some_and(|seq| *seq != Cell::Null) {
                looked.found.push(read(rest)?);
            }
        }
        Ok(looked)
    }

    /// Parks events that stand behind others of their key; how many.
    async fn tidy<E: Executor>(&self, on: &mut E, skips_dead: bool) -> Result<u64> {
        let (t, free, of_living) = (&self.t, is_free(), of_living(skips_dead));
        let sql = format!(
            "with w as materialized (select x.seq, x.partition_key from {t} as x where not x.parked and {free} \
             and x.partition_key is not null order by x.seq limit {TIDIED}), \
             d as materialized (select x.seq, x.partition_key from {t} as x where x.due_at <= (select {NOW_MS}) \
             and x.parked and {free} and x.partition_key is not null order by x.due_at limit {TIDIED}), \
             a as materialized (select * from w union all select * from d), \
             k as materialized (select k.partition_key, f.seq from (select distinct partition_key from a) as k \
             cross join lateral (select x.seq, x.partition_key from {t} as x \
             where (x.partition_key, x.seq) >= (k.partition_key, 0::bigint) and x.partition_key is not null {of_living}\
             order by x.partition_key, x.seq limit 1) as f where f.partition_key = k.partition_key), \
             l as materialized (select x.seq from {t} as x where x.seq = any(array(select a.seq from a join k \
             on k.partition_key = a.partition_key and k.seq < a.seq)) and {free} order by x.seq for update skip locked) \
             update {t} as x set parked = true, due_at = null where x.seq = any(array(select seq from l)) \
             returning 1 as parked"
        );
        Ok(on.run(&sql, &[]).await?.rows.len() as u64)
    }

    /// Brings back what is parked behind others, and is the first of its key now.
    async fn sweep<E: Executor>(&self, on: &mut E, skips_dead: bool) -> Result<()> {
        let (t, behind) = (&self.t, is_behind("x."));
        let keys = format!(
            "select partition_key from (with recursive k as ((select x.partition_key from {t} as x where {behind} \
             and x.partition_key is not null order by x.partition_key limit 1) union all \
             select (select x.partition_key from {t} as x where {behind} and x.partition_key > k.partition_key \
             order by x.partition_key limit 1) from k where k.partition_key is not null) \
             select partition_key from k limit {KEYS}) as k where partition_key is not null"
        );
        on.run(&self.unparked(&keys, skips_dead), &[]).await.map(drop)
    }

    /// Brings back what is parked behind others, and is the first of one of these keys now.
    pub(in crate::sql) async fn unpark<E: Executor>(&self, on: &mut E, keys: &[String]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut query = Query::new(self.dialect, String::new());
        let list = serde_json::to_string(keys).unwrap_or_default();
        let place = query.placeholder(Value::Text(list.into()));
        let keys = format!(
            "select distinct u.one as partition_key from json_array_elements_text({place}::text::json) as u(one)"
        );
        // Dead letters are let pass: if they are in the way, the event is parked again.
        query.push(&self.unparked(&keys, true));
        query.run(on).await.map(drop)
    }

    fn unparked(&self, keys: &str, skips_dead: bool) -> String {
        let (t, of_living) = (&self.t, of_living(skips_dead));
        format!(
            "with k as materialized ({keys}), f as materialized (select f.seq from k cross join lateral (\
             select x.seq, x.partition_key, {} as is_behind from {t} as x \
             where (x.partition_key, x.seq) >= (k.partition_key, 0::bigint) and x.partition_key is not null {of_living}\
             order by x.partition_key, x.seq limit 1) as f where f.partition_key = k.partition_key and f.is_behind), \
             l as materialized (select x.seq from {t} as x where x.seq = any(array(select seq from f)) and {} \
             order by x.seq for update) \
             update {t} as x set parked = false where x.seq = any(array(select seq from l)) returning 1 as unparked",
            is_behind("x."),
            is_behind("x."),
        )
    }
}

/// What a claim has looked at, and what it has come to.
#[derive(Default)]
pub(super) struct Looked {
    /// Events of the window; those that have a key.
    count: i64,
    pub(super) keys: i64,
    /// Those that were given, and those that have become dead letters.
    pub(super) found: Vec<Stored>,
}

impl Looked {
    /// Whether the window of a claim of so many was full, and some of it may stand behind others of their key.
    pub(super) fn is_full(&self, limit: u64) -> bool {
        self.keys > 0 && self.count >= signed(window(limit))
    }
}

/// Goes on with a condition: nobody has the event `x`, its time has come, and the claim takes such events; again: it
/// has got some, and their lease may be over already.
fn takes<'a>(query: &mut Query<'a>, claim: &'a ClaimEvents, again: bool) {
    // As `unestimated` has it.
    query.push("nullif(");
    query.push(&free());
    for (column, names) in [("event_type", &claim.types), ("routing_key", &claim.routing_keys)] {
        if let Some(names) = names {
            query.push(&format!(" and x.{column} in "));
            query.among(names, "");
        }
    }
    if again {
        query.push(" and x.token is distinct from ");
        query.text(&claim.lease.token);
    }
    if claim.older_than_ms > 0 {
        query.push(&format!(" and x.created_at <= (select {NOW_MS} - "));
        query.int(signed(claim.older_than_ms).min(3_153_600_000_000_000));
        query.push(")");
    }
    query.push(", false) is not null");
}

/// So many milliseconds from now on; null for none.
pub(super) fn until(ms: Option<u64>) -> String {
    ms.map_or_else(|| String::from("null::bigint"), |ms| format!("{NOW_MS} + {ms}"))
}
