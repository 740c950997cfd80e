//! A single saga: found by one of its ids, stored, replaced, removed.
//!
//! A saga and its correlation id are two items, and are changed together. If a condition does not hold, somebody else
//! was quicker. A consistent read then tells what is in the way. If nothing is, the change is tried again.

use std::time::Duration;

use super::item::{
    FOUND, HEAD, LINK, OLD, Removal, change, check_size, correlation_key, correlation_of, decode, is_free, is_lasting,
    is_linked, is_same, is_unlinked, leads_nowhere_else, leads_nowhere_else_now, leads_there, number_of,
    of_correlation, of_saga, saga_key, text_of, too_large,
};
use crate::backends::dynamodb::attribute::{Item, MAX_ITEM_BYTES};
use crate::backends::dynamodb::changes::Change;
use crate::backends::dynamodb::channel::Channel;
use crate::backends::dynamodb::error::{Cause, Failure};
use crate::backends::dynamodb::expression::{self, CORRELATION_ID, ENDED_AT, SAGA_ID, VERSION, is_expired};
use crate::backends::dynamodb::requests::{Get, Update};
use crate::contract::states::{Saga, conflict, correlation_taken, missing, taken};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Attempts of a change that others are in the way of.
pub(super) const ATTEMPTS: u32 = 40;
/// Pauses before them: random ones up to the first, doubled each time up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// The table of sagas.
pub(crate) struct States<'a, C> {
    pub(crate) on: &'a C,
}

impl<C: Channel> States<'_, C> {
    pub(crate) fn now(&self) -> Millis {
        self.on.clock().now()
    }

    pub(super) fn expiry(&self, saga: &Saga) -> Option<Millis> {
        saga.expires_at.map(|at| self.on.clock().stored(at))
    }

    /// Stores a new saga under both of its ids.
    ///
    /// 1. Puts both items in one transaction. The condition of each: nothing is there, or its time is over.
    /// 2. If a condition does not hold, looks at the saga's item. If it is there, the saga id is taken.
    /// 3. Else looks at the correlation id's item, and at the saga that it leads to. If that saga has this correlation
    ///    id, the correlation id is taken. If not, removes the item, which leads nowhere.
    /// 4. If nothing is in the way any more, begins again with 1.
    pub(crate) async fn insert(&self, saga: &Saga, correlation_id: &str) -> Result<Reply> {
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
    pub(crate) fn insertion(&self, saga: &Saga, correlation_id: &str) -> Result<[Change; 2]> {
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
            // Or somebody else was quicker: the caller looks again.
            Err(failure) if !failure.is_met() => Err(failure.into()),
            _ => Ok(false),
        }
    }

    /// Replaces a saga of the version `expected`.
    ///
    /// 1. If the new version has no expiry, tries to change the saga's item alone, in one request. The condition: it
    ///    has this version and no expiry.
    /// 2. If that does not hold, reads the saga. If it is missing, or has another version, that is the answer.
    /// 3. If the old or the new version has an expiry, changes both items in one transaction, because both must
    ///    expire at the same time. The correlation id is known from 2.
    /// 4. If a condition does not hold, begins again.
    pub(crate) async fn update(&self, saga: &Saga, expected: i64) -> Result<Reply> {
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
    pub(crate) async fn expected(&self, saga: &Saga, expected: i64) -> Result<Item> {
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
    pub(crate) fn replacement(&self, saga: &Saga, expected: i64, found: &Item) -> Result<Vec<Change>> {
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

    /// Removes a saga, found by its id.
    pub(crate) async fn delete(&self, name: &str, id: &str) -> Result<Reply> {
        let Some(found) = self.item(&saga_key(name, id), HEAD).await? else { return Ok(Reply::Done) };
        let correlation_id = correlation_of(&found)?;
        self.remove(&Removal { name, id, correlation_id, before: None }).await.map(|_| Reply::Done)
    }

    /// Removes a saga, found by its correlation id.
    pub(crate) async fn delete_by_correlation(&self, name: &str, correlation_id: &str) -> Result<Reply> {
        let Some(id) = self.led_to(name, correlation_id).await? else { return Ok(Reply::Done) };
        let removal = Removal { name, id: &id, correlation_id, before: None };
        self.remove(&removal).await.map(|_| Reply::Done)
    }

    /// The saga id that a correlation id leads to.
    pub(crate) async fn led_to(&self, name: &str, correlation_id: &str) -> Result<Option<String>> {
        let Some(link) = self.live(&correlation_key(name, correlation_id), LINK).await? else { return Ok(None) };
        let no_saga_id = || Error::new(Kind::CorruptData, "the item of this correlation id has no sagaId");
        text_of(&link, SAGA_ID).map(|id| Some(id.to_owned())).ok_or_else(no_saga_id)
    }

    /// Both items of a saga, or the saga's alone.
    pub(crate) fn removal(&self, saga: &Removal<'_>, alone: bool) -> Vec<Change> {
        let Removal { name, id, correlation_id, before } = *saga;
        let key = expression::key(&saga_key(name, id));
        let mut changes =
            vec![Change::delete(self.on.table(), key).only_if(is_linked(correlation_id, before, self.now()))];
        if !alone {
            let link = expression::key(&correlation_key(name, correlation_id));
            changes.push(Change::delete(self.on.table(), link).only_if(leads_nowhere_else(id)));
        }
        changes
    }

    /// Removes a saga that has this correlation id; whether there was one.
    ///
    /// 1. Deletes both items in one transaction. The conditions: the saga has this correlation id, and its item leads
    ///    to this saga, or is missing.
    /// 2. If a condition does not hold, reads the saga. If it does not fit any more, nothing is removed.
    /// 3. If the correlation id's item leads to another saga, it stays: only the saga's item is deleted.
    /// 4. Begins again.
    pub(crate) async fn remove(&self, saga: &Removal<'_>) -> Result<bool> {
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
            let Some(found) = self.item(&saga_key(name, id), OLD).await? else { return Ok(false) };
            let is_old = |before: Millis| {
                number_of(&found, ENDED_AT).is_some_and(|ended| ended < before.0)
                    && is_expired(&found, self.now()).is_ok_and(|is_over| !is_over)
            };
            if text_of(&found, CORRELATION_ID) != Some(correlation_id) || !before.is_none_or(is_old) {
                return Ok(false);
            }
            // What leads to another saga stays.
            let led_to = self.item(&link, LINK).await?;
            alone = led_to.is_some_and(|led_to| text_of(&led_to, SAGA_ID) != Some(id));
        }
        Err(crowded())
    }

    /// The state of a saga, found by its id.
    pub(crate) async fn by_id(&self, name: &str, id: &str) -> Result<Reply> {
        let found = self.live(&saga_key(name, id), FOUND).await?;
        Ok(Reply::State(found.map(|item| decode(item)?.into_one()).transpose()?))
    }

    /// The state of a saga, found by its correlation id.
    pub(crate) async fn by_correlation(&self, name: &str, correlation_id: &str) -> Result<Reply> {
        let Some(id) = self.led_to(name, correlation_id).await? else { return Ok(Reply::State(None)) };
        let saga = self.live(&saga_key(name, &id), FOUND).await?;
        let saga = saga.filter(|saga| text_of(saga, CORRELATION_ID) == Some(correlation_id));
        Ok(Reply::State(saga.map(|item| decode(item)?.into_one()).transpose()?))
    }

    /// The item of an id, whether its time is over or not.
    pub(crate) async fn item(&self, id: &str, projection: &'static str) -> Result<Option<Item>> {
        Ok(self.on.send(Get { key: expression::key(id), projection }).await?)
    }

    /// The item of an id, if its time is not over.
    pub(super) async fn live(&self, id: &str, projection: &'static str) -> Result<Option<Item>> {
        let Some(item) = self.item(id, projection).await? else { return Ok(None) };
        Ok((!is_expired(&item, self.now())?).then_some(item))
    }

    /// Waits before another attempt.
    pub(super) async fn rest(&self, attempt: u32) {
        if attempt > 0 {
            let longest = PAUSES.0.saturating_mul(1 << (attempt - 1).min(10)).min(PAUSES.1);
            self.on.pause(longest.mul_f64(fastrand::f64())).await;
        }
    }
}

/// What a failed write of an item of this size means.
pub(super) fn of_write(failure: Failure, size: u64) -> Error {
    if failure.is_too_large() { too_large(size.max(MAX_ITEM_BYTES + 1)) } else { failure.error }
}

pub(super) fn crowded() -> Error {
    Error::new(Kind::Backend, "others change this saga at the same time").retryable(true)
}
