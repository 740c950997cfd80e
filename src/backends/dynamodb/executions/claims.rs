//! Leases: given to workers, renewed, given up.
//!
//! 1. The index `due` names candidates, the longest due first.
//! 2. Their heads are read, and judged.
//! 3. A conditional update decides: nobody has changed the head since.

use super::change::is_same;
use super::edit::{Edit, Rewrite};
use super::item::{AT_ONCE, DUE, SHARDS, SUMMARY, WITH_CONTEXT, execution, head_key, number_of};
use super::{ATTEMPTS, Executions, crowded};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::channel::{Channel, all, held};
use crate::backends::dynamodb::expression::{DUE_AT, Expression, PAUSE, REVISION, id_of};
use crate::backends::dynamodb::merged::{Merged, fetch};
use crate::backends::dynamodb::pages::Query;
use crate::backends::dynamodb::requests::Update;
use crate::contract::executions::judge::{self, Claimed};
use crate::contract::executions::record::{Execution, Shows};
use crate::contract::executions::{ClaimRuns, Renewal, Terms};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// Candidates that are looked at together.
const LOOKED_AT: usize = 100;

fn by_due(one: &Item, other: &Item) -> std::cmp::Ordering {
    (number_of(one, DUE_AT), id_of(one)).cmp(&(number_of(other, DUE_AT), id_of(other)))
}

/// What the index has of executions that are due.
fn due(now: Millis, limit: u64) -> Merged {
    let queries = (0..SHARDS).map(|shard| {
        let values = Item::from([(":shard", Attribute::S(shard.to_string())), (":now", Attribute::number(now.0))]);
        Query::of(Some(DUE), Expression::new("#shard = :shard AND #dueAt <= :now", values), "#id, #dueAt", 0)
    });
    Merged::new(queries.collect(), limit, by_due)
}

/// Gives executions to a worker.
pub(super) async fn claim<C: Channel>(executions: &Executions<'_, C>, claim: &ClaimRuns) -> Result<Reply> {
    let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
    let mut merged = due(executions.now(), claim.limit);
    let mut claimed = Vec::new();
    while claimed.len() < limit {
        // A few more than are wanted: others may be quicker with some.
        let count = (limit - claimed.len()).saturating_mul(2).clamp(8, LOOKED_AT);
        let listed = merged.next(executions.on, count).await?;
        if listed.is_empty() {
            break;
        }
        let ids: Vec<&str> = listed.iter().filter_map(id_of).collect();
        let heads = fetch(executions.on, &ids, Some(super::item::HEAD), WITH_CONTEXT).await?;
        let mut candidates = ids.iter().filter_map(|id| heads.get(*id)).collect::<Vec<_>>().into_iter();
        while claimed.len() < limit {
            let some: Vec<_> = candidates.by_ref().take((limit - claimed.len()).min(AT_ONCE)).collect();
            if some.is_empty() {
                break;
            }
            let taken = some.into_iter().map(|item| take(executions, claim, item));
            for taken in all::<C, _>(taken.collect()).await {
                claimed.extend(taken?);
            }
        }
    }
    Ok(Reply::executions(claimed, Shows::ContextAndToken))
}

/// Leases an execution, or parks it. None if it is not the worker's.
async fn take<C: Channel>(executions: &Executions<'_, C>, claim: &ClaimRuns, item: &Item) -> Result<Option<Execution>> {
    let now = executions.now();
    let Some(stored) = execution(item)?.filter(|stored| stored.lives_at(now)) else { return Ok(None) };
    let mut after = stored.clone();
    let outcome = judge::claim(&mut after, claim, now);
    if outcome == Claimed::No || !edit(executions, item, &stored, &after, Some(&claim.terms)).await? {
        return Ok(None);
    }
    if outcome == Claimed::Parked {
        return Ok(None);
    }
    // Nobody else changes the context now, but with force.
    match executions.with_context(after.clone(), item).await? {
        Some(whole) => Ok(Some(whole)),
        None => executions.loaded(&after.id).await,
    }
}

/// Makes `after` of an execution that was read; whether it was still the same.
async fn edit<C: Channel>(
    executions: &Executions<'_, C>,
    item: &Item,
    before: &Execution,
    after: &Execution,
    terms: Option<&Terms>,
) -> Result<bool> {
    let mut rewrite = Rewrite::of(Some(before), after)?;
    match terms {
        Some(terms) => rewrite.set_pause(before, after, terms),
        None if after.attempts == 0 => rewrite.edit.remove(PAUSE),
        None => {}
    }
    rewrite.edit.add(REVISION, 1);
    let revision = number_of(item, REVISION).ok_or_else(|| super::item::corrupt("'revision' is missing"))?;
    let update = Update { key: head_key(&before.id), change: rewrite.edit.done(), condition: is_same(revision) };
    match executions.on.send(update).await {
        Ok(()) => Ok(true),
        Err(failure) if failure.is_met() => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

/// Renews leases, each in one update.
pub(super) async fn heartbeat<C: Channel>(
    executions: &Executions<'_, C>,
    renewals: &[Renewal],
    _terms: &Terms,
) -> Result<Reply> {
    let mut lost = Vec::new();
    for some in renewals.chunks(AT_ONCE * 2) {
        let renewed = some.iter().map(|renewal| renew(executions, renewal));
        for (renewal, renewed) in some.iter().zip(all::<C, _>(renewed.collect()).await) {
            if !renewed? {
                lost.push(renewal.id.clone());
            }
        }
    }
    Ok(Reply::ids(lost))
}

async fn renew<C: Channel>(executions: &Executions<'_, C>, renewal: &Renewal) -> Result<bool> {
    for attempt in 0..ATTEMPTS {
        executions.rest(attempt).await;
        let mut edit = Edit::default();
        // Behind it the pause that these attempts ask for, as it was written with them.
        let until = Attribute::number(executions.now().plus(renewal.lease_ms).0);
        edit.assign(DUE_AT, ":dueAt + if_not_exists(#pause, :zero)", until);
        edit.add(REVISION, 1);
        let mut change = edit.done();
        change.values.set(":zero", Attribute::number(0));
        let values = Item::from([(":mine", Attribute::text(&renewal.token))]);
        let condition = Expression::new("#token = :mine", values);
        let sent = executions.on.send(Update { key: head_key(&renewal.id), change, condition }).await;
        match sent {
            Err(failure) if failure.cause == crate::backends::dynamodb::error::Cause::Conflict => {}
            sent => return Ok(held(sent)?),
        }
    }
    Err(crowded(&renewal.id))
}

/// Makes executions due that were given up.
pub(super) async fn redrive<C: Channel>(
    executions: &Executions<'_, C>,
    ids: &[Box<str>],
    reset_attempts: bool,
) -> Result<Reply> {
    let mut count = 0;
    let mut ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
    ids.sort_unstable();
    ids.dedup();
    for some in ids.chunks(AT_ONCE) {
        let driven = some.iter().map(|id| redrive_one(executions, id, reset_attempts));
        for driven in all::<C, _>(driven.collect()).await {
            count += u64::from(driven?);
        }
    }
    Ok(Reply::Count(count))
}

async fn redrive_one<C: Channel>(executions: &Executions<'_, C>, id: &str, reset_attempts: bool) -> Result<bool> {
    for attempt in 0..ATTEMPTS {
        executions.rest(attempt).await;
        let Some(item) = executions.item(head_key(id), SUMMARY).await? else { return Ok(false) };
        let now = executions.now();
        let found = execution(&item)?.filter(|found| found.lives_at(now) && found.parked_at.is_some());
        let Some(stored) = found else { return Ok(false) };
        let mut after = stored.clone();
        judge::redrive(&mut after, reset_attempts, now);
        if edit(executions, &item, &stored, &after, None).await? {
            return Ok(true);
        }
    }
    Err(crowded(id))
}
