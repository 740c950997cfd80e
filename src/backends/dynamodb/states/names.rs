//! The names that sagas have.
//!
//! No index can be asked for its partitions. So each name has an item of its own, and these are one partition of the
//! index that lists sagas, in the order of the names. A process writes the item before the first saga of this name that it stores, and
//! then no more. Nobody removes it: who asks for names looks whether there are sagas.

use super::item::LISTING;
use super::lists::{partitions, within};
use super::saga::States;
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::channel::{Channel, all, put};
use crate::backends::dynamodb::expression::{self, Expression, LISTED_IN, SAGA_ID, expired, key};
use crate::backends::dynamodb::pages::Query;
use crate::contract::step::Reply;
use crate::error::Result;

/// Where names are listed. (Sagas are listed in `{sagaName}#...`.)
const NAMES: &str = "names";
/// Sagas that are looked at in one request, to see whether there is one.
const LOOKED_AT: i32 = 20;

impl<C: Channel> States<'_, C> {
    /// Lists a name, unless this process has done so.
    pub(crate) async fn list_name(&self, name: &str) -> Result<()> {
        if self.on.known_names().has(name) {
            return Ok(());
        }
        let mut item = key(&format!("name#{name}"));
        item.set(LISTED_IN, Attribute::text(NAMES));
        item.set(SAGA_ID, Attribute::text(name));
        put(self.on, item).await?;
        self.on.known_names().add(name);
        Ok(())
    }

    /// Whether a name has any.
    async fn has_sagas(&self, name: &str) -> Result<bool> {
        for partition in partitions(name, None) {
            let condition = Expression::new("#listed = :listed", within(partition));
            let filter = Expression::new(concat!("NOT ", expired!()), expression::clock(self.now()));
            let mut query = Query { filter: Some(filter), ..Query::of(Some(LISTING), condition, "#id", LOOKED_AT) };
            loop {
                let (items, next) = self.on.send(query.clone()).await?;
                if !items.is_empty() {
                    return Ok(true);
                }
                if next.is_none() {
                    break;
                }
                query.after = next;
            }
        }
        Ok(false)
    }
}

/// A page of the names.
pub(crate) async fn list<C: Channel>(states: &States<'_, C>, after: Option<&str>, limit: u64) -> Result<Reply> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let listed = within(String::from(NAMES));
    let condition = match after {
        Some(after) => {
            let behind = Item::from([(":after", Attribute::text(after))]);
            Expression::new("#listed = :listed AND #saga > :after", listed.with(behind))
        }
        None => Expression::new("#listed = :listed", listed),
    };
    let page = i32::try_from(limit).unwrap_or(i32::MAX);
    let mut query = Some(Query::of(Some(LISTING), condition, "#saga", page));
    let mut names: Vec<Box<str>> = Vec::new();
    while let Some(asked) = query.take() {
        let (items, next) = states.on.send(asked.clone()).await?;
        query = next.map(|next| Query { after: Some(next), ..asked });
        let found: Vec<Box<str>> = items.iter().filter_map(|item| Some(item.get(SAGA_ID)?.as_s()?.into())).collect();
        let used = all::<C, _>(found.iter().map(|name| states.has_sagas(name)).collect()).await;
        for (name, used) in found.into_iter().zip(used) {
            if used? {
                names.push(name);
            }
        }
        if names.len() >= most {
            names.truncate(most);
            break;
        }
    }
    Ok(Reply::ids(names))
}
