//! Whole sagas on their way in and out.
//!
//! 1. New ones are stored as an insertion stores them, several in a transaction.
//! 2. If one is in the way there, it is looked at by itself: the saga that has its id is kept or replaced.
//! 3. A replacement is one transaction. It leaves nothing of the correlation id that the saga had before.

use std::collections::HashSet;

use super::item::{
    LINK, check_size, correlation_key, is_free, is_unlinked, leads_nowhere_else_now, leads_there, number_of,
    of_correlation, of_saga, saga_key, text_of,
};
use super::saga::{ATTEMPTS, States, crowded, of_write};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::batch::{AT_ONCE, Unit, fate_of, packs, store_together};
use crate::backends::dynamodb::changes::Change;
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::clock::Clock;
use crate::backends::dynamodb::expression::{
    self, CORRELATION_ID, CREATED_AT, ENDED_AT, Expression, LISTED_IN, NAME, SAGA_ID, STATE, TIMEOUT_AT, UPDATED_AT,
    VERSION, is_expired,
};
use crate::contract::moving::record::{Record, State};
use crate::contract::moving::{Conflict, Fate, Import};
use crate::contract::states::{Saga, correlation_taken};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// What a scan asks of an item: it is a saga's.
pub(in crate::backends::dynamodb) fn is_saga() -> Expression {
    Expression::new("begins_with(#id, :saga)", Item::from([(":saga", Attribute::text("saga#"))]))
}

/// All of a saga.
pub(in crate::backends::dynamodb) const WHOLE: &str = "#id, #correlation, #name, #saga, #version, #state, #createdAt, \
    #updated, #listed, #ended, #timeout, #at, #ms";

/// The saga of an item, whether its time is over or not.
pub(in crate::backends::dynamodb) fn decode(item: &Item, clock: &Clock) -> Result<State> {
    let corrupt = |name: &str| {
        let text = format!("the DynamoDB item of this saga cannot be read: '{name}' is missing, or of another type");
        Error::new(Kind::CorruptData, text)
    };
    let text = |name: &str| text_of(item, name).map(Box::<str>::from).ok_or_else(|| corrupt(name));
    let number = |name: &str| number_of(item, name).ok_or_else(|| corrupt(name));
    // An attribute of another type is not one that is missing.
    let time = |name: &str| item.get(name).map(|_| number(name)).transpose().map(|at| at.map(Millis));
    let name = text(NAME)?;
    let listed = text(LISTED_IN)?;
    let listed = listed.strip_prefix(&*name).ok_or_else(|| corrupt(LISTED_IN))?;
    let saga = Saga {
        id: text(SAGA_ID)?,
        version: number(VERSION)?,
        completed: listed.starts_with("#ended#"),
        created_at: Millis(number(CREATED_AT)?),
        updated_at: Millis(number(UPDATED_AT)?),
        completed_at: time(ENDED_AT)?,
        timeout_at: time(TIMEOUT_AT)?,
        expires_at: expression::expiry(item)?.map(|at| clock.told(at)),
        state: text(STATE)?,
        name,
    };
    Ok(State { saga, correlation_id: text(CORRELATION_ID)? })
}

/// True of a saga that is still as it was read.
fn is_as_read(state: &State) -> Expression {
    let values = [
        (":version", Attribute::number(state.saga.version)),
        (":updated", Attribute::number(state.saga.updated_at.0)),
        (":correlation", Attribute::text(&state.correlation_id)),
    ];
    let text = "#version = :version AND #updated = :updated AND #correlation = :correlation";
    Expression::new(text, Item::from(values))
}

impl<C: Channel> States<'_, C> {
    /// Stores sagas as they are.
    pub(in crate::backends::dynamodb) async fn import(&self, import: &Import) -> Result<Vec<Fate>> {
        let mut fates: Vec<Option<Fate>> = vec![None; import.records.len()];
        let (mut units, mut alone, mut correlations) = (Vec::new(), Vec::new(), HashSet::new());
        for (member, record) in import.records.iter().enumerate() {
            let Record::State(state) = record else { continue };
            self.list_name(&state.saga.name).await?;
            match self.insertion(&state.saga, &state.correlation_id) {
                Err(error) => fates[member] = Some(Fate::Refused(error)),
                // A transaction has each item once.
                Ok(_) if !correlations.insert((&state.saga.name, &state.correlation_id)) => alone.push(member),
                Ok(changes) => {
                    fates[member] = Some(Fate::Stored);
                    units.push(Unit { member, changes: changes.into() });
                }
            }
        }
        let mut packs = packs(units).into_iter();
        loop {
            let some: Vec<_> = packs.by_ref().take(AT_ONCE).map(|pack| store_together(self.on, pack)).collect();
            if some.is_empty() {
                break;
            }
            for others in all::<C, _>(some).await {
                alone.extend(others?);
            }
        }
        alone.sort_unstable();
        for some in alone.chunks(AT_ONCE) {
            let brought = some.iter().map(|member| self.bring(&import.records[*member], import.conflict));
            for (member, brought) in some.iter().zip(all::<C, _>(brought.collect()).await) {
                fates[*member] = Some(fate_of(brought.map_err(Into::into))?);
            }
        }
        Ok(fates.into_iter().map(|fate| fate.unwrap_or(Fate::Skipped)).collect())
    }

    /// Stores a saga; whether it was stored.
    async fn bring(&self, record: &Record, conflict: Conflict) -> Result<bool> {
        let Record::State(state) = record else { return Ok(false) };
        let saga = &state.saga;
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let item = self.item(&saga_key(&saga.name, &saga.id), "").await?;
            let is_over = item.as_ref().map(|item| is_expired(item, self.now())).transpose()?;
            let living = match &item {
                Some(item) if is_over == Some(false) => Some(decode(item, self.on.clock())?),
                _ => None,
            };
            if let Some(living) = &living
                && !conflict.replaces(record, &Record::State(Box::new(living.clone())))?
            {
                return Ok(false);
            }
            let condition = living.as_ref().map_or_else(|| is_free(self.now()), is_as_read);
            let old = item.as_ref().and_then(|item| text_of(item, CORRELATION_ID));
            let changes = self.arrival(state, condition, old).await?;
            let size = changes[0].size();
            match self.on.transact(changes).await {
                Ok(()) => return Ok(true),
                Err(failure) if failure.is_met() => {}
                Err(failure) => return Err(of_write(failure, size)),
            }
        }
        Err(crowded().unsent())
    }

    /// The items of a saga where `condition` is true of what has its id, and what that has had beside it.
    async fn arrival(&self, state: &State, condition: Expression, old: Option<&str>) -> Result<Vec<Change>> {
        let State { saga, correlation_id } = state;
        let (table, expires_at, now) = (self.on.table(), self.expiry(saga), self.now());
        let item = of_saga(saga, correlation_id, expires_at);
        check_size(item.size())?;
        let link = Change::put(table, of_correlation(saga, correlation_id, expires_at));
        let mut changes = vec![Change::put(table, item).only_if(condition)];
        match self.led_to(&saga.name, correlation_id).await?.filter(|id| **id != *saga.id) {
            None => changes.push(link.only_if(leads_nowhere_else_now(&saga.id, now))),
            Some(id) => {
                let holder = self.live(&saga_key(&saga.name, &id), super::item::HEAD).await?;
                if holder.is_some_and(|holder| text_of(&holder, CORRELATION_ID) == Some(correlation_id)) {
                    return Err(correlation_taken(saga, correlation_id).with_id(&saga.id));
                }
                // What leads to a saga that is no more, or has another correlation id by now.
                changes.push(link.only_if(leads_there(&id)));
                let holder = Change::check(table, expression::key(&saga_key(&saga.name, &id)));
                changes.push(holder.only_if(is_unlinked(correlation_id, now)));
            }
        }
        if let Some(old) = old.filter(|old| **old != **correlation_id) {
            let link = correlation_key(&saga.name, old);
            let led_to = self.item(&link, LINK).await?;
            if led_to.is_some_and(|led_to| text_of(&led_to, SAGA_ID) == Some(&saga.id)) {
                changes.push(Change::delete(table, expression::key(&link)).only_if(leads_there(&saga.id)));
            }
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(completed: bool) -> State {
        let saga = Saga {
            name: "Order".into(),
            id: "s#1".into(),
            version: 7,
            completed,
            created_at: Millis(1),
            updated_at: Millis(2),
            completed_at: completed.then_some(Millis(3)),
            timeout_at: (!completed).then_some(Millis(4)),
            expires_at: completed.then_some(Millis(1_700_000_000_001)),
            state: "{}".into(),
        };
        State { saga, correlation_id: "o-1".into() }
    }

    #[test]
    fn a_saga_comes_back_as_it_went() {
        for completed in [false, true] {
            let State { saga, correlation_id } = state(completed);
            let item = || of_saga(&saga, &correlation_id, saga.expires_at);
            let read = decode(&item(), &Clock::default()).unwrap();
            assert_eq!(format!("{read:?}"), format!("{:?}", state(completed)));
            for name in [NAME, SAGA_ID, CORRELATION_ID, VERSION, CREATED_AT, UPDATED_AT, LISTED_IN, STATE] {
                let mut item = item();
                item.take(name).unwrap();
                assert_eq!(decode(&item, &Clock::default()).unwrap_err().kind(), Kind::CorruptData, "{name}");
            }
        }
    }
}
