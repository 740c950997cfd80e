//! Whole executions on their way in and out.
//!
//! A new one is a head, or a transaction of the head and the items beside it; a replacement is a transaction, which
//! leaves nothing of the old log. What is too large for a transaction is stored in steps:
//!
//! 1. If it replaces another one, that one is removed.
//! 2. The items beside the head are stored: nobody looks at them without a head.
//! 3. The head is stored if there is still none. From then on the execution is there, as a whole.
//!
//! What is left of 2 where somebody is killed is overwritten by the next import, and goes with the execution.

use super::change::{BESIDE_MAX, first_revision};
use super::edit::Rewrite;
use super::item::{HEAD, Head, entry, head_key, number_of};
use super::removal::Removed;
use super::{ATTEMPTS, Executions, crowded};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::batch::{AT_ONCE, fate_of, put_all};
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::expression::{CONTEXT_BYTES, Expression, LOG_BYTES, REVISION, id_of};
use crate::backends::dynamodb::requests::Update;
use crate::contract::executions::record::Execution;
use crate::contract::lease::random;
use crate::contract::moving::record::{Logbook, Record};
use crate::contract::moving::{Conflict, Fate, Import};
use crate::contract::step::Reply;
use crate::error::Result;

/// More bytes beside the head are stored in steps: a transaction takes 4 MB, the head among them.
const TOGETHER_MAX: u64 = 3 << 20;
/// How often what changes meanwhile is read again.
const READS: u32 = 12;
/// Executions that are read beside each other: each may have some megabytes.
const READ_AT_ONCE: usize = 16;

/// What a scan asks of an item: it is a head, and no removal of it has begun.
pub(in crate::backends::dynamodb) fn is_head() -> Expression {
    Expression::new("#part = :head AND attribute_not_exists(#gone)", Item::from([(":head", Attribute::text(HEAD))]))
}

/// About how many bytes the execution of a head has.
pub(in crate::backends::dynamodb) fn bytes_of(head: &Item) -> u64 {
    let number = |name| number_of(head, name).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
    head.size().saturating_add(number(LOG_BYTES)).saturating_add(number(CONTEXT_BYTES))
}

fn is_free() -> Expression {
    Expression::new("attribute_not_exists(#id)", Item::default())
}

impl<C: Channel> Executions<'_, C> {
    /// The executions of heads that were read, expired or not; none of those that are removed.
    pub(in crate::backends::dynamodb) async fn logbooks(&self, heads: Vec<Item>) -> Vec<Result<Option<Logbook>>> {
        let (mut logbooks, mut heads) = (Vec::with_capacity(heads.len()), heads.into_iter());
        loop {
            let some: Vec<_> = heads.by_ref().take(READ_AT_ONCE).map(|head| self.logbook(head)).collect();
            if some.is_empty() {
                return logbooks;
            }
            logbooks.extend(all::<C, _>(some).await);
        }
    }

    async fn logbook(&self, head: Item) -> Result<Option<Logbook>> {
        let id = id_of(&head).unwrap_or_default().to_owned();
        let mut seen = Some(head);
        for attempt in 0..READS {
            self.rest(attempt).await;
            let item = match seen.take() {
                Some(item) => Some(item),
                None => self.item(head_key(&id), "").await?,
            };
            let Some(item) = item else { return Ok(None) };
            let Some(head) = Head::of(item.clone())? else { return Ok(None) };
            let Some(execution) = self.with_context(head.execution.clone(), &item).await? else { continue };
            if let Some(log) = self.log_of(&head).await? {
                let expires_at = execution.expires_at.map(|at| self.on.clock().told(at));
                return Ok(Some(Logbook { execution: Execution { expires_at, ..execution }, log }));
            }
        }
        Err(super::item::corrupt("pieces of its context or its log are missing").with_id(&id))
    }

    /// The executions of these ids, expired or not.
    pub(in crate::backends::dynamodb) async fn fetched(&self, ids: &[&str]) -> Result<Vec<Option<Logbook>>> {
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(READ_AT_ONCE) {
            let read = some.iter().map(|id| async move {
                match self.item(head_key(id), "").await? {
                    Some(head) => self.logbook(head).await,
                    None => Ok(None),
                }
            });
            for read in all::<C, _>(read.collect()).await {
                found.push(read?);
            }
        }
        Ok(found)
    }

    /// Stores executions as they are.
    pub(in crate::backends::dynamodb) async fn import(&self, import: &Import) -> Result<Vec<Fate>> {
        let mut fates = Vec::with_capacity(import.records.len());
        for some in import.records.chunks(AT_ONCE) {
            let brought = some.iter().map(|record| self.bring(record, import.conflict));
            for brought in all::<C, _>(brought.collect()).await {
                fates.push(fate_of(brought.map_err(Into::into))?);
            }
        }
        Ok(fates)
    }

    /// Stores an execution; whether it was stored.
    async fn bring(&self, record: &Record, conflict: Conflict) -> Result<bool> {
        let Record::Execution(logbook) = record else { return Ok(false) };
        let id = &*logbook.execution.id;
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            // The first time without a look: most are new.
            let item = if attempt == 0 { None } else { self.item(head_key(id), "").await? };
            let is_there = item.is_some();
            let head = self.living(item)?;
            match &head {
                Some(head) => {
                    let stored = Logbook { execution: head.execution.clone(), log: Vec::new() };
                    if !conflict.replaces(record, &Record::Execution(Box::new(stored)))? {
                        return Ok(false);
                    }
                }
                // Of one that is over, or a removal that was not finished.
                None if is_there => {
                    self.remove(id, |head| !head.execution.lives_at(self.now())).await?;
                }
                None => {}
            }
            if self.arrive(logbook, head.as_ref()).await? {
                return Ok(true);
            }
        }
        Err(crowded(id))
    }

    /// Stores an execution in place of the one that has this head; whether that was still so.
    async fn arrive(&self, logbook: &Logbook, head: Option<&Head>) -> Result<bool> {
        let expires_at = logbook.execution.expires_at.map(|at| self.on.clock().stored(at));
        let execution = Execution { expires_at, ..logbook.execution.clone() };
        let (id, context) = (&*execution.id, execution.context.as_deref());
        let entries: Vec<Attribute> = logbook.log.iter().map(|logged| entry(&logged.entry, logged.at)).collect();
        let revision = first_revision();
        let mut rewrite = Rewrite::of(None, &execution)?;
        if let Some(context) = context {
            rewrite.set_context(id, context, None, revision);
        }
        rewrite.set_log(id, &random(), entries.clone(), 0)?;
        rewrite.set_ttl(None, execution.expires_at, false);
        rewrite.edit.set(REVISION, Attribute::number(revision));
        let beside: u64 = rewrite.puts.iter().map(Item::size).sum();
        let is_large = rewrite.puts.len() > BESIDE_MAX || beside > TOGETHER_MAX;
        match head {
            None if is_large => self.arrive_in_steps(id, rewrite).await,
            None => self.carry_out(&self.plan(id, rewrite, is_free(), Reply::Done)?).await,
            Some(head) if is_large => {
                let removed = self.remove(id, |there| there.revision == head.revision).await?;
                Ok(removed != Removed::No && self.arrive_in_steps(id, rewrite).await?)
            }
            Some(head) => {
                let plan = self.replacement(head, &execution, context, entries, Reply::Done).await?;
                let is_done = self.carry_out(&plan).await?;
                if is_done {
                    self.drop_all(&plan.leftover).await?;
                }
                Ok(is_done)
            }
        }
    }

    /// Whether there was no head.
    async fn arrive_in_steps(&self, id: &str, rewrite: Rewrite) -> Result<bool> {
        let Rewrite { edit, puts, .. } = rewrite;
        for fate in put_all(self.on, &puts).await? {
            if let Fate::Refused(error) = fate {
                return Err(error);
            }
        }
        let head = Update { key: head_key(id), change: edit.done(), condition: is_free() };
        match self.on.send(head).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_met() => {
                self.drop_all(&puts).await?;
                Ok(false)
            }
            Err(failure) => Err(failure.into()),
        }
    }
}
