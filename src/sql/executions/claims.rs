//! Leases on PostgreSQL, by the server's clock.

use super::changes::{backoff, bounded, pauses};
use super::{ExecutionSql, cells};
use crate::contract::executions::record::{Execution, Shows};
use crate::contract::executions::{ClaimRuns, Renewal, Terms};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::query::Query;
use crate::sql::rowset::{self, Column};
use crate::sql::{Cell, Executor, Value};
use crate::time::Millis;

impl ExecutionSql {
    /// Gives executions to a worker, and parks those that were claimed too often.
    pub(super) async fn claim<E: Executor>(&self, on: &mut E, claim: &ClaimRuns, now: Millis) -> Result<Reply> {
        let mut claimed: Vec<Execution> = Vec::new();
        loop {
            let wanted = claim.limit - claimed.len() as u64;
            let found = self.claim_some(on, claim, wanted, now).await?;
            let has_parked = found.iter().any(|execution| execution.parked_at.is_some());
            claimed.extend(found.into_iter().filter(|execution| execution.parked_at.is_none()));
            // Those that were parked stood in the place of others.
            if !has_parked || claimed.len() as u64 >= claim.limit {
                return Ok(Reply::executions(claimed, Shows::ContextAndToken));
            }
        }
    }

    /// One statement. Rows that another worker is just taking are not waited for. (A CTE that is not materialized could
    /// be run again for each row, and lock more than `limit`.)
    ///
    /// It has to read the index on `due_at` in its order, whatever the server knows of the table: it may just have been
    /// filled. So `due_at` alone is what it is ordered by, and the other conditions stand in a `case`, of which the
    /// planner expects that every second row meets it. Of each by itself it may expect that hardly any does, and reads
    /// and sorts all that are due.
    async fn claim_some<E: Executor>(
        &self,
        on: &mut E,
        claim: &ClaimRuns,
        limit: u64,
        now: Millis,
    ) -> Result<Vec<Execution>> {
        let Self { form, t, .. } = self;
        let (first, longest) = pauses(claim.terms.backoff_ms);
        let mut query = Query::new(form.dialect, String::from("with c as materialized (select "));
        query.bind(Value::Text(claim.lease.token.to_string().into()), "::text as token, ");
        query.bind(Value::Text(claim.lease.worker.to_string().into()), "::text as worker, ");
        for (number, name) in [
            (bounded(claim.lease.lease_ms), "lease, "),
            (claim.max_attempts, "most, "),
            (first, "backoff, "),
            (longest, "longest"),
        ] {
            query.bind(Value::Int(number), &format!("::bigint as {name}"));
        }
        query.push(&format!(
            "), due as materialized (select id, due_at from {t} where due_at <= (select clock_timestamp()) \
             and case when parked_at is null and {}",
            form.status_in("", claim.statuses.iter().copied())
        ));
        if let Some(names) = &claim.names {
            query.push(" and name = any(array");
            query.among(names, "");
            query.push(")");
        }
        query.push(" and ");
        self.stale(&mut query, claim.stale_after_ms, now);
        // In the statement itself: a plan for any limit would sort all that are due.
        query.push(&format!(" then true else false end order by due_at limit {limit}"));
        let is_given_up = "x.recovery_attempts >= c.most";
        let until = format!("(c.lease + {}) * interval '1 millisecond'", backoff("(x.recovery_attempts + 1)", "c"));
        query.push(&format!(
            " for update skip locked) update {t} as x set \
             token = case when not {is_given_up} then c.token when x.token is not null then '' end, \
             worker_id = case when not {is_given_up} then c.worker end, \
             recovery_attempts = x.recovery_attempts + case when {is_given_up} then 0 else 1 end, \
             due_at = case when not {is_given_up} then clock_timestamp() + {until} end, \
             parked_at = case when {is_given_up} then clock_timestamp() end \
             from due cross join c where x.id = due.id returning {}, {} as was_due_ms",
            form.columns("x.", true),
            form.time_of("due.due_at"),
        ));
        let mut found = Vec::new();
        for mut row in query.run(on).await?.rows {
            let was_due = row.pop().unwrap_or(Cell::Null);
            let (execution, _) = form.read(row)?;
            found.push((form.read_time(was_due, "due_at")?, execution));
        }
        // The statement gives them in any order.
        found.sort_by(|(one, a), (other, b)| (one, &a.id).cmp(&(other, &b.id)));
        Ok(found.into_iter().map(|(_, execution)| execution).collect())
    }

    /// Renews leases.
    pub(super) async fn renew<E: Executor>(&self, on: &mut E, renewals: &[Renewal], terms: &Terms) -> Result<Reply> {
        let Self { form, t, .. } = self;
        let (first, longest) = pauses(terms.backoff_ms);
        let mut sorted: Vec<(i64, &Renewal)> = (0..).zip(renewals).collect();
        sorted.sort_by_key(|(_, renewal)| &renewal.id);
        let ids = sorted.iter().map(|(_, renewal)| form.id(&renewal.id)).collect::<Result<Vec<_>>>()?;
        let rows = vec![
            ("place", Column::Ints(sorted.iter().map(|(place, _)| Some(*place)).collect())),
            ("id", Column::Texts(ids.iter().map(|id| Some(id.as_str())).collect())),
            ("token", Column::Texts(sorted.iter().map(|(_, renewal)| Some(&*renewal.token)).collect())),
            ("lease", Column::Ints(sorted.iter().map(|(_, renewal)| Some(bounded(renewal.lease_ms))).collect())),
            ("backoff", Column::Ints(sorted.iter().map(|_| Some(first)).collect())),
            ("longest", Column::Ints(sorted.iter().map(|_| Some(longest)).collect())),
        ];
        let mut query = Query::new(form.dialect, String::from("with r as materialized "));
        rowset::bind(&mut query, "r", rows, on.wants_base64());
        query.push(&format!(
            " update {t} as x set due_at = clock_timestamp() + (r.lease + {}) * interval '1 millisecond' from r \
             where x.id = r.id{} and x.token = r.token returning r.place",
            backoff("x.recovery_attempts", "r"),
            form.id_cast()
        ));
        let mut lost: Vec<Option<&Renewal>> = renewals.iter().map(Some).collect();
        for row in query.run(on).await?.rows {
            let [place] = cells(row);
            let place = usize::try_from(place.into_int("place")?).unwrap_or(usize::MAX);
            if let Some(renewed) = lost.get_mut(place) {
                *renewed = None;
            }
        }
        Ok(Reply::ids(lost.into_iter().flatten().map(|renewal| renewal.id.clone())))
    }

    /// Makes parked executions due again.
    pub(super) async fn redrive<E: Executor>(
        &self,
        on: &mut E,
        ids: &[Box<str>],
        reset_attempts: bool,
        now: Millis,
    ) -> Result<Reply> {
        let Self { form, t, .. } = self;
        let attempts = if reset_attempts { ", recovery_attempts = 0" } else { "" };
        let mut query = Query::new(
            form.dialect,
            format!("update {t} set parked_at = null, due_at = clock_timestamp(){attempts} where id in "),
        );
        let ids = ids.iter().map(|id| form.id(id)).collect::<Result<Vec<_>>>()?;
        query.among(&ids, form.id_cast());
        query.push(" and parked_at is not null and ");
        self.live(&mut query, "", now);
        Ok(Reply::Count(query.run(on).await?.affected))
    }
}
