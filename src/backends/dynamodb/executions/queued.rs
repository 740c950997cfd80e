//! Changes of executions that wait for the end of a transaction.
//!
//! 1. When the operation is called, the head is read, and judged: the answer is known then.
//! 2. Its changes are planned. The condition of the head's is that nobody has changed it at the end.
//! 3. If it does not hold then, nothing of the transaction happens.

use super::Executions;
use super::change::{Decided, Plan, Ttl};
use super::edit::{Edit, ttl};
use super::item::{Head, head_key};
use crate::backends::dynamodb::changes::{Change as Piece, Planned, Refused};
use crate::backends::dynamodb::channel::Channel;
use crate::backends::dynamodb::error;
use crate::backends::dynamodb::expression::{EXPIRES_AT, key_of};
use crate::contract::executions::ExecutionWrite;
use crate::contract::executions::record::{missing, taken};
use crate::contract::operation::Operation;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

impl<C: Channel> Executions<'_, C> {
    /// The changes to be made at the end, and the answer.
    pub(in crate::backends::dynamodb) async fn queue(&self, write: &ExecutionWrite) -> Result<(Vec<Planned>, Reply)> {
        let id = write.id();
        let item = self.item(head_key(id), "").await?;
        let is_there = item.is_some();
        let head = self.living(item)?;
        if head.is_none() && is_there {
            // What is over, or half removed, is not in the way of a transaction.
            self.remove(id, |head| !head.execution.lives_at(self.now())).await?;
        }
        let decided = match (write, &head) {
            (ExecutionWrite::Create(creation), None) => Decided::Plan(Box::new(self.plan_creation(creation)?)),
            (ExecutionWrite::Create(_), Some(_)) => return Err(taken(id)),
            (ExecutionWrite::Change(change), Some(head)) => self.plan_change(change, head, true).await?,
            (ExecutionWrite::Change(_), None) => return Err(missing(id)),
            (ExecutionWrite::Save(replacement), Some(head)) => self.plan_replacement(replacement, head).await?,
            (ExecutionWrite::Save(replacement), None) => {
                Decided::Plan(Box::new(self.plan_creation(&replacement.creation)?))
            }
            (ExecutionWrite::Delete { .. }, None) => return Ok((Vec::new(), Reply::Flag(false))),
            (ExecutionWrite::Delete { .. }, Some(head)) => {
                let others = self.others(id).await?;
                return Ok((planned(id, self.removal(head, &others)), Reply::Flag(true)));
            }
            // A caller waits for their answers, so they are never queued.
            _ => return Err(error::unexpected()),
        };
        let mut plan = match decided {
            Decided::Repeated(reply) => return Ok((Vec::new(), reply)),
            Decided::Plan(plan) => *plan,
        };
        self.spread(id, &mut plan, head.as_ref()).await?;
        Ok((planned(id, plan.changes(self.on.table())), plan.reply))
    }

    /// What is done behind a plan where there is no transaction, in the same one.
    async fn spread(&self, id: &str, plan: &mut Plan, head: Option<&Head>) -> Result<()> {
        let table = self.on.table();
        plan.beside.extend(plan.leftover.iter().map(|item| Piece::delete(table, key_of(item))));
        let at: Option<Millis> = match plan.ttl {
            Ttl::Keep => return Ok(()),
            Ttl::Set(at) => Some(at),
            Ttl::Clear => None,
        };
        let set = || {
            let mut edit = Edit::default();
            match at {
                Some(at) => edit.set(EXPIRES_AT, ttl(at)),
                None => edit.remove(EXPIRES_AT),
            }
            edit.done()
        };
        let others = if head.is_some() { self.others(id).await? } else { Vec::new() };
        for item in others {
            let change = Piece::update(table, key_of(&item), set());
            if !plan.beside.iter().any(|known| known.has_item_of(&change)) {
                plan.beside.push(change);
            }
        }
        Ok(())
    }
}

fn planned(id: &str, changes: Vec<Piece>) -> Vec<Planned> {
    let refused = || Some(Refused::Changed(id.to_owned()));
    changes.into_iter().map(|change| Planned { change, refused: refused() }).collect()
}
