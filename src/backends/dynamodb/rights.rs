//! What the credentials may do. It is asked by a read, and by writes whose condition does not hold, which change nothing.
//!
//! What lists, scans and batches need is not asked: they are charged for, or cannot be made to do nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::attribute::Item;
use super::changes::{Change, Transact};
use super::channel::{Channel, NOBODY, all};
use super::error::{Cause, Failure};
use super::expression::{self, Expression, HEAD};
use super::requests::{Delete, Get, PutIf, Update};
use super::tables::Contents;
use crate::error::{Kind, Result};

/// `health()` tells what was found for so long: a write that changes nothing is charged for as well.
const KNOWN_FOR: Duration = Duration::from_secs(300);

/// Which actions the credentials lack, as far as it is known.
#[derive(Default)]
pub(super) struct Rights(Mutex<Option<(Instant, Vec<String>)>>);

impl Rights {
    fn known(&self) -> MutexGuard<'_, Option<(Instant, Vec<String>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks which actions the credentials lack, table by table. Answers them in words.
    pub(super) async fn ask<C: Channel>(&self, tables: &[(C, Contents)]) -> Result<Vec<String>> {
        let asked = tables.iter().map(|(on, contents)| denied(on, *contents)).collect();
        let mut lacking = Vec::new();
        for of_table in all::<C, _>(asked).await {
            lacking.extend(of_table?);
        }
        *self.known() = Some((Instant::now(), lacking.clone()));
        Ok(lacking)
    }

    /// The same, as it was a while ago.
    pub(super) async fn lacking<C: Channel>(&self, tables: &[(C, Contents)]) -> Result<Vec<String>> {
        let known = self.known().clone();
        match known {
            Some((at, lacking)) if at.elapsed() < KNOWN_FOR => Ok(lacking),
            _ => self.ask(tables).await,
        }
    }
}

async fn denied(on: &impl Channel, contents: Contents) -> Result<Vec<String>> {
    let key = || contents.sort().map_or_else(|| expression::key(NOBODY), |_| expression::part_key(NOBODY, NOBODY));
    let never = || Expression::new("attribute_exists(#id)", Item::default());
    let nothing = Expression::new("REMOVE #version", Item::default());
    let mut asked: Vec<Result<(), Failure>> = vec![
        on.send(Get { key: key(), projection: HEAD }).await.map(drop),
        on.send(PutIf { item: key(), condition: never() }).await,
        on.send(Update { key: key(), change: nothing, condition: never() }).await,
        on.send(Delete { key: key(), condition: never() }).await,
    ];
    if matches!(contents, Contents::Sagas | Contents::Events) {
        let check = Change::check(on.table(), key()).only_if(never());
        asked.push(on.send(Transact { changes: vec![check], token: None }).await);
    }
    let mut lacking = Vec::new();
    for failure in asked.into_iter().filter_map(Result::err) {
        match failure.cause {
            Cause::Denied => lacking.push(failure.error.message().to_owned()),
            _ if matches!(failure.error.kind(), Kind::Connection | Kind::Timeout) => return Err(failure.error),
            // A condition that does not hold, and whatever else is told to those whom it concerns.
            _ => {}
        }
    }
    lacking.dedup();
    Ok(lacking)
}
