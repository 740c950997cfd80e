//! Deletion, cleanup and expiry: all items of an execution.
//!
//! 1. A head that has no other items is deleted alone, under a condition.
//! 2. Else the head and the others are deleted in one transaction.
//! 3. If there are more than a transaction takes, the head becomes a mark that a removal has begun (`gone`). From then
//!    on nobody sees the execution. Then the others are deleted, and the mark last. Whoever meets the mark goes on
//!    there: another deletion, a creation, `purge_expired`.

use super::change::{BESIDE_MAX, is_same};
use super::item::{AT_ONCE, HEAD, Head, head_key, number_of, text_of};
use super::{ATTEMPTS, Executions, crowded};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::changes::Change as Piece;
use crate::backends::dynamodb::channel::{Channel, all, held};
use crate::backends::dynamodb::expression::{Expression, GENERATION, GONE, LOG, PART, id_of, key_of, seconds};
use crate::backends::dynamodb::pages::Query;
use crate::backends::dynamodb::requests::Delete;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// What there is to know of what is over.
pub(in crate::backends::dynamodb) const OVER: &str = "#id, #part, #log, #generation";

/// True of a head whose time is over or whose removal was not finished, and of other items that end.
pub(in crate::backends::dynamodb) fn is_over(now: Millis) -> Expression {
    let text = "attribute_exists(#gone) OR #endsAt <= :now OR #expiresAt < :second";
    let second = seconds(Millis(now.0 - 999));
    Expression::new(text, Item::from([(":now", Attribute::number(now.0)), (":second", Attribute::number(second))]))
}

/// Removes an execution by its head, or another item, if it is over; whether an execution is removed.
pub(in crate::backends::dynamodb) async fn purge_one<C: Channel>(on: &C, item: &Item, now: Millis) -> Result<bool> {
    let executions = Executions { on };
    let id = id_of(item).unwrap_or_default();
    if text_of(item, PART) == Some(HEAD) {
        return Ok(executions.remove(id, |head| !head.execution.lives_at(now)).await? == Removed::Over);
    }
    let values = Item::from([(":second", Attribute::number(seconds(Millis(now.0 - 999))))]);
    let condition = Expression::new("#expiresAt < :second", values);
    match on.send(Delete { key: key_of(item), condition }).await {
        Err(failure) if !failure.is_met() => Err(failure.into()),
        _ => Ok(false),
    }
}

/// What came of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// There was none, or another one than was meant.
    No,
    /// One whose time was over.
    Over,
    /// One that lived.
    Living,
}

/// True of an execution that is a single item.
const IS_ALONE: &str =
    "attribute_exists(#revision) AND attribute_not_exists(#segments) AND attribute_not_exists(#contextParts)";

/// True of one whose time is not over.
const LIVES: &str = "(attribute_not_exists(#endsAt) OR #endsAt > :now)";

/// The same of one that lives.
pub(super) fn is_alone_now(now: Millis) -> Expression {
    let text = format!("{IS_ALONE} AND {LIVES}");
    Expression::new(text, Item::from([(":now", Attribute::number(now.0))]))
}

/// The same of one that lives, ended before a time, and is listed there.
pub(super) fn is_alone_since(before: Millis, listed_in: &str, now: Millis) -> Expression {
    let text = format!("{IS_ALONE} AND {LIVES} AND #completedAt < :before AND #listedIn = :listed");
    let values = [(":before", Attribute::number(before.0)), (":listed", Attribute::text(listed_in))];
    Expression::new(text, Item::from(values).with(Item::from([(":now", Attribute::number(now.0))])))
}

impl<C: Channel> Executions<'_, C> {
    /// Removes an execution.
    pub(super) async fn delete(&self, id: &str) -> Result<Reply> {
        let alone = Delete { key: head_key(id), condition: is_alone_now(self.now()) };
        match self.on.send(alone).await {
            Ok(()) => return Ok(Reply::Flag(true)),
            Err(failure) if failure.is_met() => {}
            Err(failure) => return Err(failure.into()),
        }
        Ok(Reply::Flag(self.remove(id, |_| true).await? == Removed::Living))
    }

    /// Removes all items of an execution that is meant.
    pub(super) async fn remove(&self, id: &str, is_meant: impl Fn(&Head) -> bool) -> Result<Removed> {
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let Some(item) = self.item(head_key(id), "").await? else {
                // What TTL has not come to yet.
                self.drop_all(&self.others(id).await?).await?;
                return Ok(Removed::No);
            };
            let Some(head) = Head::of(item)? else {
                self.finish(id).await?;
                return Ok(Removed::No);
            };
            if !is_meant(&head) {
                return Ok(Removed::No);
            }
            if self.remove_head(&head).await? {
                let lives = head.execution.lives_at(self.now());
                return Ok(if lives { Removed::Living } else { Removed::Over });
            }
        }
        Err(crowded(id))
    }

    /// Whether the head was still that one.
    async fn remove_head(&self, head: &Head) -> Result<bool> {
        let id = &head.execution.id;
        let others = self.others(id).await?;
        if others.len() > BESIDE_MAX {
            let sent = self.on.transact(vec![self.mark(head)]).await;
            let is_marked = match sent {
                Ok(()) => true,
                Err(failure) if failure.is_met() => false,
                Err(failure) => return Err(failure.into()),
            };
            if is_marked {
                self.finish(id).await?;
            }
            return Ok(is_marked);
        }
        match self.on.transact(self.removal(head, &others)).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_met() => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// All items of an execution, in a transaction.
    pub(super) fn removal(&self, head: &Head, others: &[Item]) -> Vec<Piece> {
        let (table, key) = (self.on.table(), head_key(&head.execution.id));
        let mut changes = vec![Piece::delete(table, key).only_if(is_same(head.revision))];
        changes.extend(others.iter().map(|item| Piece::delete(table, key_of(item))));
        changes
    }

    /// In place of a head: the removal has begun.
    fn mark(&self, head: &Head) -> Piece {
        let mut mark = head_key(&head.execution.id);
        mark.set(GONE, Attribute::number(self.now().0));
        Piece::put(self.on.table(), mark).only_if(is_same(head.revision))
    }

    /// Ends a removal that has begun.
    pub(super) async fn finish(&self, id: &str) -> Result<()> {
        self.drop_all(&self.others(id).await?).await?;
        let condition = Expression::new("attribute_exists(#gone)", Item::default());
        held(self.on.send(Delete { key: head_key(id), condition }).await)?;
        Ok(())
    }

    /// What there is of an execution but its head: keys, and of which log or context it is.
    pub(super) async fn others(&self, id: &str) -> Result<Vec<Item>> {
        let values = Item::from([(":id", Attribute::text(id))]);
        let condition = Expression::new("#id = :id", values);
        let mut next = Some(Query::of(None, condition, "#id, #part, #log, #generation", 1_000));
        let mut others = Vec::new();
        while let Some(query) = next.take() {
            let (items, after) = self.on.send(query.clone()).await?;
            others.extend(items);
            next = after.map(|after| Query { after: Some(after), ..query });
        }
        others.retain(|item| text_of(item, PART) != Some(HEAD));
        Ok(others)
    }

    /// Deletes items that were found, unless they are another's by now.
    pub(super) async fn drop_all(&self, items: &[Item]) -> Result<()> {
        for some in items.chunks(AT_ONCE) {
            let deletes = some.iter().map(|item| {
                let condition = match (text_of(item, LOG), number_of(item, GENERATION)) {
                    (Some(log), _) => Expression::new("#log = :log", Item::from([(":log", Attribute::text(log))])),
                    (None, Some(generation)) => {
                        let values = Item::from([(":generation", Attribute::number(generation))]);
                        Expression::new("#generation = :generation", values)
                    }
                    (None, None) => Expression::new("attribute_exists(#id)", Item::default()),
                };
                self.on.send(Delete { key: key_of(item), condition })
            });
            for deleted in all::<C, _>(deletes.collect()).await {
                held(deleted)?;
            }
        }
        Ok(())
    }
}
