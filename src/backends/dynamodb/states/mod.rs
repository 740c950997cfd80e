//! Saga state: changes, and finding a saga by one of its ids. Lists are in [`super::state_lists`].
//!
//! A saga and its correlation id are two items, changed together. Where a condition does not hold,
//! somebody else was there first: a consistent read tells what is in the way, and if nothing is any
//! more, the change is tried again.

pub(super) mod claims;
pub(super) mod groups;
pub(super) mod item;
pub(super) mod lists;
pub(super) mod queued;

use std::time::Duration;

use super::attribute::Item;
use super::changes::Change;
use super::channel::Transport;
use super::error::{Cause, Failure};
use super::expression::is_expired;
use super::requests::{Get, Update};
use crate::backends::dynamodb::expression::{self, CORRELATION_ID, ENDED_AT, SAGA_ID, VERSION};
use crate::backends::dynamodb::payloads::item::MAX_ITEM_BYTES;
use crate::contract::operation::Work;
use crate::contract::states::{Saga, StateRead, StateStep, StateWrite, conflict, correlation_taken, missing, taken};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;
use item::{
    FOUND, HEAD, LINK, OLD, change, check_size, correlation_key, decode, is_free, is_lasting, is_linked, is_same,
    is_unlinked, leads_nowhere_else, leads_nowhere_else_now, leads_there, number_of, of_correlation, of_saga, saga_key,
    text_of, too_large,
};

/// Attempts of a change that others are in the way of.
const ATTEMPTS: u32 = 40;
/// Pauses before them: random ones up to the first, doubled each time up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// The table of sagas.
pub(super) struct States<'a, T> {
    pub(super) on: &'a T,
}

/// Which saga is to be removed.
pub(super) struct Removal<'a> {
    pub(super) name: &'a str,
    pub(super) id: &'a str,
    pub(super) correlation_id: &'a str,
    /// Only if it ended before.
    pub(super) before: Option<Millis>,
}

impl<T: Transport> States<'_, T> {
    /// Runs an operation.
    pub(super) async fn run(&self, step: &StateStep) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    /// Runs a change.
    pub(super) async fn write(&self, write: &StateWrite) -> Result<Reply> {
        match write {
            StateWrite::Insert { saga, correlation_id } => self.insert(saga, correlation_id).await,
            StateWrite::Update { saga, expected } => self.update(saga, *expected).await,
            StateWrite::Delete { name, id } => self.delete(name, id).await,
            StateWrite::DeleteByCorrelation { name, correlation_id } => {
                self.delete_by_correlation(name, correlation_id).await
            }
            StateWrite::DeleteCompleted { name, before, limit } => {
                lists::delete_completed(self, name, *before, *limit).await
            }
            StateWrite::ClaimTimedOut(claim) => claims::claim(self, claim).await,
        }
    }

    /// Answers a question.
    pub(super) async fn read(&self, read: &StateRead) -> Result<Reply> {
        match read {
            StateRead::ById { name, id } => {
                let found = self.live(&saga_key(name, id), FOUND).await?;
                Ok(Reply::State(found.map(|item| decode(item)?.into_state()).transpose()?))
            }
            StateRead::ByCorrelation { name, correlation_id } => self.by_correlation(name, correlation_id).await,
            StateRead::List { name, completed, after, limit } => {
                lists::list(self, name, *completed, after.as_deref(), *limit).await
            }
            StateRead::Count { name, completed } => lists::count(self, name, *completed).await,
            StateRead::TimedOut { now, name, limit } => lists::timed_out(self, *now, name.as_deref(), *limit).await,
        }
    }

    pub(super) fn now(&self) -> Millis {
        self.on.clock().now()
    }

    fn expiry(&self, saga: &Saga) -> Option<Millis> {
        saga.expires_at.map(|at| self.on.clock().stored(at))
    }

    async fn insert(&self, saga: &Saga, correlation_id: &str) -> Result<Reply> {
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let changes = self.insertion(saga, correlation_id)?;
            let size = changes[0].size();
            match self.on.transact(changes.into()).await {
                Ok(()) => return Ok(Reply::Done),
                Err(failure) if failure.is_met() => {}
                Err(failure) => return Err(of_write(failure, size)),
            }
            if self.live(&saga_key(&saga.name, &saga.id), HEAD).await?.is_some() {
                return Err(taken(saga));
            }
            if self.is_correlation_taken(&saga.name, correlation_id).await? {
                return Err(correlation_taken(saga, correlation_id));
            }
        }
        Err(crowded())
    }

    /// The saga and its correlation id, as new items.
    pub(super) fn insertion(&self, saga: &Saga, correlation_id: &str) -> Result<[Change; 2]> {
        let (table, expires_at, now) = (self.on.table(), self.expiry(saga), self.now());
        let item = of_saga(saga, correlation_id, expires_at);
        check_size(item.size())?;
        Ok([
            Change::put(table, item).only_if(is_free(now)),
            Change::put(table, of_correlation(saga, correlation_id, expires_at)).only_if(is_free(now)),
        ])
    }

    /// Whether a saga has this correlation id. An item that only says so is removed.
    async fn is_correlation_taken(&self, name: &str, correlation_id: &str) -> Result<bool> {
        let Some(id) = self.led_to(name, correlation_id).await? else { return Ok(false) };
        let saga = self.live(&saga_key(name, &id), HEAD).await?;
        if saga.is_some_and(|saga| text_of(&saga, CORRELATION_ID) == Some(correlation_id)) {
            return Ok(true);
        }
        let (table, now) = (self.on.table(), self.now());
        let changes = vec![
            Change::check(table, expression::key(&saga_key(name, &id))).only_if(is_unlinked(correlation_id, now)),
            Change::delete(table, expression::key(&correlation_key(name, correlation_id))).only_if(leads_there(&id)),
        ];
        match self.on.transact(changes).await {
            // Or somebody has been quicker: who looks again sees it.
            Err(failure) if !failure.is_met() => Err(failure.into()),
            _ => Ok(false),
        }
    }

    /// One request where neither the saga nor its new version has an expiry; else the correlation
    /// id's item has to follow, which takes knowing it.
    async fn update(&self, saga: &Saga, expected: i64) -> Result<Reply> {
        let expires_at = self.expiry(saga);
        let place = saga_key(&saga.name, &saga.id);
        let change = change(saga, expires_at);
        let size = place.len() as u64 + change.values.size();
        check_size(size)?;
        // Without the correlation id's item.
        let mut alone = expires_at.is_none();
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            if alone {
                let condition = is_lasting(expected);
                let update = Update { key: expression::key(&place), change: change.clone(), condition };
                match self.on.send(update).await {
                    Ok(()) => return Ok(Reply::Done),
                    Err(failure) if failure.cause == Cause::Conflict => continue,
                    Err(failure) if failure.is_met() => {}
                    Err(failure) => return Err(of_write(failure, size)),
                }
            }
            let found = self.expected(saga, expected).await?;
            alone = expires_at.is_none() && found.get(expression::EXPIRES_AT).is_none();
            if alone {
                // It had another version, or an expiry, a moment ago.
                continue;
            }
            match self.on.transact(self.replacement(saga, expected, &found)?).await {
                Ok(()) => return Ok(Reply::Done),
                Err(failure) if failure.is_met() => {}
                Err(failure) => return Err(of_write(failure, size)),
            }
        }
        Err(crowded())
    }

    /// What there is of a saga that is to have this version.
    pub(super) async fn expected(&self, saga: &Saga, expected: i64) -> Result<Item> {
        let found = self.live(&saga_key(&saga.name, &saga.id), HEAD).await?;
        let Some(found) = found else { return Err(missing(saga)) };
        match number_of(&found, VERSION) {
            Some(actual) if actual == expected => Ok(found),
            Some(actual) => Err(conflict(saga, expected, actual)),
            None => Err(Error::new(Kind::CorruptData, "the item of this saga has no version")),
        }
    }

    /// The next version of a saga of which this was found, and where it has an expiry, or is to have
    /// one, that of its correlation id.
    pub(super) fn replacement(&self, saga: &Saga, expected: i64, found: &Item) -> Result<Vec<Change>> {
        let (table, expires_at, now) = (self.on.table(), self.expiry(saga), self.now());
        let key = expression::key(&saga_key(&saga.name, &saga.id));
        let update = Change::update(table, key, change(saga, expires_at));
        check_size(update.size())?;
        if expires_at.is_none() && found.get(expression::EXPIRES_AT).is_none() {
            return Ok(vec![update.only_if(is_lasting(expected))]);
        }
        let correlation_id = correlation_of(found)?;
        let link = Change::put(table, of_correlation(saga, correlation_id, expires_at));
        Ok(vec![
            update.only_if(is_same(expected, correlation_id, now)),
            link.only_if(leads_nowhere_else_now(&saga.id, now)),
        ])
    }

    async fn delete(&self, name: &str, id: &str) -> Result<Reply> {
        let Some(found) = self.item(&saga_key(name, id), HEAD).await? else { return Ok(Reply::Done) };
        let correlation_id = correlation_of(&found)?;
        self.remove(&Removal { name, id, correlation_id, before: None }).await.map(|_| Reply::Done)
    }

    async fn delete_by_correlation(&self, name: &str, correlation_id: &str) -> Result<Reply> {
        let Some(id) = self.led_to(name, correlation_id).await? else { return Ok(Reply::Done) };
        let removal = Removal { name, id: &id, correlation_id, before: None };
        self.remove(&removal).await.map(|_| Reply::Done)
    }

    /// The saga id that a correlation id leads to.
    pub(super) async fn led_to(&self, name: &str, correlation_id: &str) -> Result<Option<String>> {
        let Some(link) = self.live(&correlation_key(name, correlation_id), LINK).await? else { return Ok(None) };
        let no_saga_id = || Error::new(Kind::CorruptData, "the item of this correlation id has no sagaId");
        text_of(&link, SAGA_ID).map(|id| Some(id.to_owned())).ok_or_else(no_saga_id)
    }

    /// Both items of a saga, or the saga's alone.
    pub(super) fn removal(&self, saga: &Removal<'_>, alone: bool) -> Vec<Change> {
        let Removal { name, id, correlation_id, before } = *saga;
        let key = expression::key(&saga_key(name, id));
        let mut changes = vec![Change::delete(self.on.table(), key).only_if(is_linked(correlation_id, before))];
        if !alone {
            let link = expression::key(&correlation_key(name, correlation_id));
            changes.push(Change::delete(self.on.table(), link).only_if(leads_nowhere_else(id)));
        }
        changes
    }

    /// Removes a saga that has this correlation id; whether there was one.
    pub(super) async fn remove(&self, saga: &Removal<'_>) -> Result<bool> {
        let Removal { name, id, correlation_id, before } = *saga;
        let link = correlation_key(name, correlation_id);
        let mut alone = false;
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            match self.on.transact(self.removal(saga, alone)).await {
                Ok(()) => return Ok(true),
                Err(failure) if failure.is_met() => {}
                Err(failure) => return Err(failure.into()),
            }
            let found = self.item(&saga_key(name, id), OLD).await?;
            let fits = |found: &Item| {
                let ended = number_of(found, ENDED_AT);
                text_of(found, CORRELATION_ID) == Some(correlation_id)
                    && before.is_none_or(|before| ended.is_some_and(|ended| ended < before.0))
            };
            if !found.is_some_and(|found| fits(&found)) {
                return Ok(false);
            }
            // What leads to another saga stays.
            let led_to = self.item(&link, LINK).await?;
            alone = led_to.is_some_and(|led_to| text_of(&led_to, SAGA_ID) != Some(id));
        }
        Err(crowded())
    }

    async fn by_correlation(&self, name: &str, correlation_id: &str) -> Result<Reply> {
        let Some(id) = self.led_to(name, correlation_id).await? else { return Ok(Reply::State(None)) };
        let saga = self.live(&saga_key(name, &id), FOUND).await?;
        let saga = saga.filter(|saga| text_of(saga, CORRELATION_ID) == Some(correlation_id));
        Ok(Reply::State(saga.map(|item| decode(item)?.into_state()).transpose()?))
    }

    /// The item of an id, whether its time is over or not.
    pub(super) async fn item(&self, id: &str, projection: &'static str) -> Result<Option<Item>> {
        Ok(self.on.send(Get { key: expression::key(id), projection }).await?)
    }

    /// The item of an id, if its time is not over.
    async fn live(&self, id: &str, projection: &'static str) -> Result<Option<Item>> {
        let Some(item) = self.item(id, projection).await? else { return Ok(None) };
        Ok((!is_expired(&item, self.now())?).then_some(item))
    }

    /// Waits before another attempt.
    async fn rest(&self, attempt: u32) {
        if attempt > 0 {
            let longest = PAUSES.0.saturating_mul(1 << (attempt - 1).min(10)).min(PAUSES.1);
            self.on.pause(longest.mul_f64(fastrand::f64())).await;
        }
    }
}

/// What a failed write of an item of this size means.
fn of_write(failure: Failure, size: u64) -> Error {
    if failure.is_too_large() { too_large(size.max(MAX_ITEM_BYTES + 1)) } else { failure.error }
}

fn crowded() -> Error {
    Error::new(Kind::Backend, "others change this saga at the same time").retryable(true)
}

/// The correlation id of a saga's item.
pub(super) fn correlation_of(saga: &Item) -> Result<&str> {
    let no_correlation_id = || Error::new(Kind::CorruptData, "the item of this saga has no correlationId");
    text_of(saga, CORRELATION_ID).ok_or_else(no_correlation_id)
}
