//! Sagas that have timed out, each given to one worker.
//!
//! A lease is an item of its own: one conditional update takes it, which costs what that item is large,
//! not what the saga is, and TTL removes it. It is for one timeout, so an update that moves the timeout
//! ends it. The saga is read once the lease is held: what others have ended before is seen to have.

use super::item::{LEASE, LISTED, decode, is_unclaimed, lease, lease_key, number_of, saga_key};
use super::lists::{is_due, overdue};
use super::saga::States;
use crate::backends::dynamodb::attribute::Item;
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::expression::{self, TIMEOUT_AT, id_of, is_expired};
use crate::backends::dynamodb::merged::fetch;
use crate::backends::dynamodb::requests::Update;
use crate::contract::states::{Claim, FoundState};
use crate::contract::step::Reply;
use crate::error::Result;

/// Sagas that are looked at together: one BatchGetItem has so many.
const AT_ONCE: usize = 100;
/// What is read of the index at once, whatever the limit is: many may be leased.
const READ_ON: u64 = 400;

/// A saga that the index says is overdue.
struct Overdue {
    /// Of its item, and of that of its lease.
    id: String,
    lease: String,
    due: i64,
}

impl Overdue {
    fn of(listed: &Item) -> Option<Self> {
        // `saga#{name}#{id}`; names have no `#`.
        let id = id_of(listed)?;
        let (name, saga_id) = id.strip_prefix("saga#")?.split_once('#')?;
        Some(Self { id: id.to_owned(), lease: lease_key(name, saga_id), due: number_of(listed, TIMEOUT_AT)? })
    }
}

/// Gives sagas to a worker.
pub(crate) async fn claim<C: Channel>(states: &States<'_, C>, claim: &Claim) -> Result<Reply> {
    let mut merged = overdue(claim.now, claim.limit.max(READ_ON));
    let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
    let prefix = saga_key(claim.name.as_deref().unwrap_or_default(), "");
    let mut claimed: Vec<FoundState> = Vec::new();
    while claimed.len() < limit {
        let listed = merged.next(states.on, AT_ONCE).await?;
        if listed.is_empty() {
            break;
        }
        let mut candidates: Vec<Overdue> = listed.iter().filter_map(Overdue::of).collect();
        candidates.retain(|saga| claim.name.is_none() || saga.id.starts_with(&prefix));
        let free = free(states, candidates).await?;
        let mut free = free.as_slice();
        // Others may be quicker with some of them.
        while claimed.len() < limit && !free.is_empty() {
            let (some, rest) = free.split_at(free.len().min(limit - claimed.len()));
            free = rest;
            take(states, claim, some, &mut claimed).await?;
        }
    }
    Ok(Reply::States(claimed))
}

/// Those that nobody has, as a look tells: a refused write costs as much as one that is not.
async fn free<C: Channel>(states: &States<'_, C>, overdue: Vec<Overdue>) -> Result<Vec<Overdue>> {
    let leases: Vec<&str> = overdue.iter().map(|saga| &*saga.lease).collect();
    let leases = fetch(states.on, &leases, None, LEASE).await?;
    let now = states.now();
    let mut free = Vec::with_capacity(overdue.len());
    for saga in overdue {
        let is_taken = match leases.get(&saga.lease) {
            Some(lease) => number_of(lease, TIMEOUT_AT) == Some(saga.due) && !is_expired(lease, now)?,
            None => false,
        };
        if !is_taken {
            free.push(saga);
        }
    }
    Ok(free)
}

/// Leases sagas, and answers what has timed out indeed.
async fn take<C: Channel>(
    states: &States<'_, C>,
    claim: &Claim,
    sagas: &[Overdue],
    claimed: &mut Vec<FoundState>,
) -> Result<()> {
    let leases: Vec<_> = sagas.iter().map(|saga| lease_one(states, claim, saga)).collect();
    let mut ours = Vec::with_capacity(sagas.len());
    for (saga, leased) in sagas.iter().zip(all::<C, _>(leases).await) {
        if leased? {
            ours.push(saga);
        }
    }
    let ids: Vec<&str> = ours.iter().map(|saga| &*saga.id).collect();
    let mut found = fetch(states.on, &ids, None, LISTED).await?;
    for saga in ours {
        let item = found.remove(&saga.id);
        let item = item.filter(|item| number_of(item, TIMEOUT_AT) == Some(saga.due) && is_due(item, claim.now));
        if let Some(item) = item
            && !is_expired(&item, states.now())?
        {
            claimed.push(decode(item)?);
        }
    }
    Ok(())
}

/// Leases a saga, unless somebody else has it.
async fn lease_one<C: Channel>(states: &States<'_, C>, claim: &Claim, saga: &Overdue) -> Result<bool> {
    let now = states.now();
    let update = Update {
        key: expression::key(&saga.lease),
        change: lease(&claim.worker, saga.due, now.plus(claim.lease_ms)),
        condition: is_unclaimed(saga.due, now),
    };
    match states.on.send(update).await {
        Ok(()) => Ok(true),
        Err(failure) if failure.is_met() => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}
