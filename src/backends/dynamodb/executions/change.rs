//! Creations, changes and replacements of an execution that has been read.
//!
//! 1. Reads the head, and where entries have ids, what the segments know of them.
//! 2. Judges, and plans an update of the head under the condition that its revision is still the same.
//! 3. Sends it, in one transaction with the items beside it if there are any.
//! 4. If the condition does not hold, begins again.
//!
//! An expiry that other items have to get as well (or to lose) is set in steps, so that TTL never removes a head before
//! its other items know that they end: see [`Ttl`].

use super::edit::{Edit, Rewrite, ttl};
use super::item::{Head, entry, entry_key, first_of, head_key, list_of, stored_key, text_of};
use super::read::segments;
use super::{ATTEMPTS, Executions, crowded, direct};
use crate::backends::dynamodb::attribute::{Attribute, Item, MAX_ITEM_BYTES};
use crate::backends::dynamodb::changes::Change as Piece;
use crate::backends::dynamodb::channel::{Channel, all, held};
use crate::backends::dynamodb::error::{self, Cause, Failure};
use crate::backends::dynamodb::expression::{EXPIRES_AT, Expression, KEYS, LOG, PAUSE, REVISION, SEGMENTS, key_of};
use crate::backends::dynamodb::load::Load;
use crate::backends::dynamodb::pages::Query;
use crate::backends::dynamodb::requests::{Revise, Revised, Update};
use crate::contract::executions::judge::{self, Known, Verdict};
use crate::contract::executions::record::{Entry, Execution, Shows, missing, taken};
use crate::contract::executions::{Change, Creation, Replacement, Terms};
use crate::contract::lease::random;
use crate::contract::step::Reply;
use crate::error::{Error, Result};
use crate::time::Millis;

/// Changes that a transaction takes, but for that of the head.
pub(super) const BESIDE_MAX: usize = 99;

/// What is still to be done about items that a plan does not write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ttl {
    /// Nothing.
    Keep,
    /// The execution ends at this time: behind the plan they get the expiry, then the head gets it.
    Set(Millis),
    /// It goes on after all: before the plan the head loses its expiry, then they do.
    Clear,
}

/// Changes of the items of an execution that happen together.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) head: Update,
    pub(crate) beside: Vec<Piece>,
    pub(crate) reply: Reply,
    pub(crate) ttl: Ttl,
    /// Items that nobody needs any more behind it, and for which a transaction has no room.
    pub(crate) leftover: Vec<Item>,
}

/// What becomes of a change.
#[derive(Debug)]
pub(crate) enum Decided {
    Plan(Box<Plan>),
    /// It has happened before.
    Repeated(Reply),
}

pub(crate) fn is_same(revision: i64) -> Expression {
    Expression::new("#revision = :was", Item::from([(":was", Attribute::number(revision))]))
}

/// Where a revision begins.
pub(super) fn first_revision() -> i64 {
    fastrand::i64(1..1 << 48)
}

fn entries_of(entries: &[Entry], at: Millis) -> Vec<Attribute> {
    entries.iter().map(|new| entry(new, at)).collect()
}

impl<C: Channel> Executions<'_, C> {
    /// The head of an execution that is there and has not expired.
    pub(super) async fn head(&self, id: &str) -> Result<Option<Head>> {
        let item = self.item(head_key(id), "").await?;
        self.living(item)
    }

    pub(super) fn living(&self, item: Option<Item>) -> Result<Option<Head>> {
        let head = item.map(Head::of).transpose()?.flatten();
        Ok(head.filter(|head| head.execution.lives_at(self.now())))
    }

    /// An expiry that is new, by the server's clock.
    fn settle(&self, before: Option<Millis>, after: &mut Execution) {
        if after.expires_at != before {
            after.expires_at = after.expires_at.map(|at| self.on.clock().stored(at));
        }
    }

    /// Stores a new execution.
    pub(super) async fn create(&self, creation: &Creation) -> Result<Reply> {
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let plan = self.plan_creation(creation)?;
            if self.carry_out(&plan).await? {
                return Ok(plan.reply);
            }
            let item = self.item(head_key(&creation.id), "").await?;
            match self.living(item.clone())? {
                Some(stored) if is_repeated(&stored, creation) => return Ok(plan.reply),
                Some(_) => return Err(taken(&creation.id)),
                // Of one that is over, or a removal that was not finished.
                None if item.is_some() => {
                    self.remove(&creation.id, |head| !head.execution.lives_at(self.now())).await?;
                }
                None => {}
            }
        }
        Err(crowded(&creation.id))
    }

    /// The items of a new execution, if nothing is there.
    pub(super) fn plan_creation(&self, creation: &Creation) -> Result<Plan> {
        let (mut execution, answer) = judge::created(creation, self.now())?;
        self.settle(None, &mut execution);
        let revision = first_revision();
        let mut rewrite = Rewrite::of(None, &execution)?;
        if let Some(context) = &creation.context {
            rewrite.set_context(&creation.id, context, None, revision);
        }
        rewrite.set_log(&creation.id, &random(), entries_of(&creation.entries, creation.at), 0)?;
        rewrite.set_ttl(None, execution.expires_at, false);
        rewrite.edit.set(REVISION, Attribute::number(revision));
        let reply = if creation.lease.is_some() {
            Reply::execution(Some(execution), Shows::ContextAndToken)
        } else {
            Reply::Value(answer.into_dynamic())
        };
        let is_free = Expression::new("attribute_not_exists(#id)", Item::default());
        self.plan(&creation.id, rewrite, is_free, reply)
    }

    /// Changes an execution.
    pub(super) async fn change(&self, change: &Change) -> Result<Reply> {
        let mut seen = match direct::update(change, self.on.clock()) {
            None => None,
            Some(update) => match self.on.send(Revise(update)).await {
                Ok(Revised::Done(updated)) => {
                    let answer = direct::answer(change, &updated).ok_or_else(error::unexpected)?;
                    return Ok(Reply::Value(answer.into_dynamic()));
                }
                Ok(Revised::Refused(None)) => return Err(missing(&change.id)),
                Ok(Revised::Refused(item)) => item,
                Ok(Revised::Unseen) => None,
                Err(failure) if failure.cause == Cause::Conflict => None,
                Err(failure) => return Err(of_write(failure)),
            },
        };
        let mut is_cleared = false;
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let item = match seen.take() {
                Some(item) => Some(item),
                None => self.item(head_key(&change.id), "").await?,
            };
            let head = self.living(item)?.ok_or_else(|| missing(&change.id))?;
            let plan = match self.plan_change(change, &head, false).await? {
                Decided::Repeated(reply) => return Ok(reply),
                Decided::Plan(plan) => plan,
            };
            if plan.ttl == Ttl::Clear && !is_cleared {
                is_cleared = self.clear_ttl(&head).await?;
                continue;
            }
            if self.carry_out(&plan).await? {
                if let Ttl::Set(at) = plan.ttl {
                    self.set_ttl(&change.id, at).await?;
                }
                return Ok(plan.reply);
            }
        }
        Err(crowded(&change.id))
    }

    /// What a change makes of an execution, or why it may not happen. `together`: whoever sends it sees to the expiry of
    /// other items in the same transaction.
    pub(super) async fn plan_change(&self, change: &Change, head: &Head, together: bool) -> Result<Decided> {
        let stored = &head.execution;
        let known = self.known(head, &change.entries).await?;
        let answer = match judge::judge(stored, change, &known)? {
            Verdict::Repeated(answer) => return Ok(Decided::Repeated(Reply::Value(answer.into_dynamic()))),
            Verdict::Change(answer) => answer,
        };
        let mut after = stored.clone();
        judge::apply(&mut after, change, &answer, self.now());
        self.settle(stored.expires_at, &mut after);
        let mut rewrite = Rewrite::of(Some(stored), &after)?;
        rewrite.set_pause(stored, &after, &change.terms);
        if let Some(context) = &change.context {
            rewrite.set_context(&change.id, context, Some(head), head.revision + 1);
        }
        rewrite.append(head, known.fresh(&change.entries).map(|new| entry(new, change.at)).collect())?;
        let has_others = head.has_others();
        rewrite.set_ttl(stored.expires_at, after.expires_at, has_others && !together);
        rewrite.edit.add(REVISION, 1);
        let mut plan = self.plan(&change.id, rewrite, is_same(head.revision), Reply::Value(answer.into_dynamic()))?;
        plan.ttl = match after.expires_at {
            Some(at) if has_others && stored.expires_at != Some(at) => Ttl::Set(at),
            None if has_others && stored.expires_at.is_some() => Ttl::Clear,
            _ => Ttl::Keep,
        };
        Ok(Decided::Plan(Box::new(plan)))
    }

    /// Which of these entries the log has already.
    async fn known(&self, head: &Head, entries: &[Entry]) -> Result<Known> {
        let mut wanted: Vec<(usize, String)> =
            entries.iter().enumerate().filter_map(|(place, entry)| Some((place, entry_key(entry)?))).collect();
        let mut known = Known::default();
        let mut look = |key: &str, seq: i64| {
            if let Some(at) = wanted.iter().position(|(_, wanted)| wanted == key) {
                known.places.push((wanted.swap_remove(at).0, seq));
            }
            wanted.is_empty()
        };
        if entries.iter().all(|entry| entry.step_id.is_none()) {
            return Ok(known);
        }
        for (seq, stored) in (head.tail_from()..).zip(&head.tail) {
            let _ = stored_key(stored).is_some_and(|key| look(&key, seq));
        }
        if head.segments > 0 {
            // The last ones first: what is repeated was repeated soon.
            let mut segments = segments(&head.execution.id, 0, head.tail_from() - 1, true);
            segments.projection = "#part, #log, #keys";
            let mut next = Some(segments);
            'pages: while let Some(query) = next.take() {
                let (items, after) = self.on.send(query.clone()).await?;
                for item in items.iter().filter(|item| text_of(item, LOG) == Some(&head.log)) {
                    let first = first_of(item).unwrap_or(1);
                    for (seq, key) in (first..).zip(list_of(item, KEYS)) {
                        if key.as_s().is_some_and(|key| look(key, seq)) {
                            break 'pages;
                        }
                    }
                }
                next = after.map(|after| Query { after: Some(after), ..query });
            }
        }
        known.places.sort_unstable();
        Ok(known)
    }

    /// Stores an execution, whatever was there.
    pub(super) async fn save(&self, replacement: &Replacement) -> Result<Reply> {
        let id = &replacement.creation.id;
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let item = self.item(head_key(id), "").await?;
            let is_there = item.is_some();
            let plan = match self.living(item)? {
                Some(head) => match self.plan_replacement(replacement, &head).await? {
                    Decided::Repeated(reply) => return Ok(reply),
                    Decided::Plan(plan) => *plan,
                },
                None if is_there => {
                    self.remove(id, |head| !head.execution.lives_at(self.now())).await?;
                    continue;
                }
                None => self.plan_creation(&replacement.creation)?,
            };
            if self.carry_out(&plan).await? {
                self.drop_all(&plan.leftover).await?;
                return Ok(plan.reply);
            }
        }
        Err(crowded(id))
    }

    /// The items in place of an execution that is there.
    ///
    /// What the old one leaves and the transaction has no room for is none of the new log's. It is removed later; if
    /// that does not happen, with the execution.
    pub(super) async fn plan_replacement(&self, replacement: &Replacement, head: &Head) -> Result<Decided> {
        let (stored, creation) = (&head.execution, &replacement.creation);
        let (mut execution, answer) = judge::replaced(Some(stored), replacement, self.now())?;
        let reply = Reply::Value(answer.into_dynamic());
        if stored.last_operation.as_ref().is_some_and(|last| last.id == creation.operation) {
            return Ok(Decided::Repeated(reply));
        }
        self.settle(stored.expires_at, &mut execution);
        let entries = entries_of(&creation.entries, creation.at);
        let plan = self.replacement(head, &execution, creation.context.as_deref(), entries, reply).await?;
        Ok(Decided::Plan(Box::new(plan)))
    }

    /// The same of an execution with this context and this log.
    pub(super) async fn replacement(
        &self,
        head: &Head,
        execution: &Execution,
        context: Option<&str>,
        entries: Vec<Attribute>,
        reply: Reply,
    ) -> Result<Plan> {
        let (stored, id) = (&head.execution, &*execution.id);
        let mut rewrite = Rewrite::of(Some(stored), execution)?;
        match context {
            Some(context) => rewrite.set_context(id, context, Some(head), head.revision + 1),
            None => rewrite.drop_context(id, head),
        }
        let mut old = Vec::new();
        if head.segments > 0 {
            old = self.others(id).await?;
            old.retain(|item| first_of(item).is_some());
        }
        // More segments than those of which a transaction has room are there still behind it.
        let is_left = old.len() > BESIDE_MAX / 2;
        rewrite.set_log(id, &random(), entries, i64::from(is_left))?;
        let is_replaced = |item: &Item| rewrite.puts.iter().any(|put| first_of(put) == first_of(item));
        old.retain(|item| !is_replaced(item));
        let room = BESIDE_MAX.saturating_sub(rewrite.puts.len() + rewrite.deletes.len());
        let leftover = old.split_off(old.len().min(room));
        rewrite.deletes.extend(old.iter().map(key_of));
        if !is_left && head.segments > 0 && rewrite.puts.iter().all(|put| first_of(put).is_none()) {
            rewrite.edit.remove(SEGMENTS);
        }
        rewrite.set_ttl(stored.expires_at, execution.expires_at, false);
        rewrite.edit.remove(PAUSE);
        rewrite.edit.add(REVISION, 1);
        let mut plan = self.plan(id, rewrite, is_same(head.revision), reply)?;
        plan.leftover = leftover;
        Ok(plan)
    }

    /// A plan, if a transaction takes it.
    pub(super) fn plan(&self, id: &str, rewrite: Rewrite, condition: Expression, reply: Reply) -> Result<Plan> {
        let Rewrite { edit, puts, deletes } = rewrite;
        let table = self.on.table();
        let mut beside: Vec<Piece> = puts.into_iter().map(|item| Piece::put(table, item)).collect();
        beside.extend(deletes.into_iter().map(|key| Piece::delete(table, key)));
        let head = Update { key: head_key(id), change: edit.done(), condition };
        if !beside.is_empty() {
            let mut load = Load::default().with_size(head.key.size() + head.change.values.size(), None)?;
            for piece in &beside {
                load = load.with_size(piece.size(), None).map_err(|error| error.with_id(id))?;
            }
        }
        Ok(Plan { head, beside, reply, ttl: Ttl::Keep, leftover: Vec::new() })
    }

    /// Sends a plan; whether its condition held.
    pub(super) async fn carry_out(&self, plan: &Plan) -> Result<bool> {
        let Plan { head, beside, .. } = plan;
        let sent = if beside.is_empty() {
            self.on.send(head.clone()).await
        } else {
            self.on.transact(plan.changes(self.on.table())).await
        };
        match sent {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_met() => Ok(false),
            Err(failure) => Err(of_write(failure)),
        }
    }

    /// Behind a plan: the expiry of what it has not written, and then that of the head.
    pub(super) async fn set_ttl(&self, id: &str, at: Millis) -> Result<()> {
        let set = || {
            let mut edit = Edit::default();
            edit.set(EXPIRES_AT, ttl(at));
            edit.done()
        };
        self.edit_others(id, &set()).await?;
        let ends = Expression::new("#endsAt = :ends", Item::from([(":ends", Attribute::number(at.0))]));
        let head = Update { key: head_key(id), change: set(), condition: ends };
        if held(self.on.send(head).await)? {
            return Ok(());
        }
        // It goes on after all.
        match self.head(id).await? {
            Some(head) if head.execution.expires_at.is_none() => self.edit_others(id, &unset()).await,
            _ => Ok(()),
        }
    }

    /// Before a plan: no expiry of the head, and then of all others. Whether it is so.
    async fn clear_ttl(&self, head: &Head) -> Result<bool> {
        let mut edit = Edit::default();
        edit.add(REVISION, 1);
        edit.remove(EXPIRES_AT);
        let id = &head.execution.id;
        let cleared = Update { key: head_key(id), change: edit.done(), condition: is_same(head.revision) };
        match self.on.send(cleared).await {
            Ok(()) => {}
            Err(failure) if failure.is_met() => return Ok(false),
            Err(failure) => return Err(failure.into()),
        }
        self.edit_others(id, &unset()).await.map(|()| true)
    }

    /// Changes all items of an execution but its head.
    async fn edit_others(&self, id: &str, change: &Expression) -> Result<()> {
        let others = self.others(id).await?;
        for some in others.chunks(super::item::AT_ONCE) {
            let edits = some.iter().map(|item| {
                let key = key_of(item);
                let condition = Expression::new("attribute_exists(#id)", Item::default());
                self.on.send(Update { key, change: change.clone(), condition })
            });
            for edited in all::<C, _>(edits.collect()).await {
                held(edited)?;
            }
        }
        Ok(())
    }
}

fn unset() -> Expression {
    let mut edit = Edit::default();
    edit.remove(EXPIRES_AT);
    edit.done()
}

/// Whether this creation is the one that has made it.
fn is_repeated(stored: &Head, creation: &Creation) -> bool {
    let last = stored.execution.last_operation.as_ref();
    stored.execution.version == 1 && last.is_some_and(|last| last.id == creation.operation)
}

/// What a failed write means.
fn of_write(failure: Failure) -> Error {
    if failure.is_too_large() { super::edit::too_large("the execution", MAX_ITEM_BYTES + 1) } else { failure.error }
}

impl Plan {
    /// As a transaction.
    pub(crate) fn changes(&self, table: &str) -> Vec<Piece> {
        let Update { key, change, condition } = self.head.clone();
        let head = Piece::update(table, key, change).only_if(condition);
        std::iter::once(head).chain(self.beside.iter().cloned()).collect()
    }
}

impl Rewrite {
    /// The pause that a renewal of the lease adds.
    pub(super) fn set_pause(&mut self, before: &Execution, after: &Execution, terms: &Terms) {
        if before.attempts != after.attempts {
            let pause = i64::try_from(terms.backoff(after.attempts)).unwrap_or(i64::MAX);
            self.edit.set(PAUSE, Attribute::number(pause));
        }
    }
}
