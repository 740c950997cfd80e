//! Changes that all happen, or none of them: `TransactWriteItems`.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};

use super::attribute::Item;
use super::error::{self, Failure, classify};
use super::expression::{self, Expression, sdk_names, sdk_values};
use super::requests::{Input, Request};
use crate::contract::dynamic::Dynamic;
use crate::contract::step::Step;
use crate::error::Error;

/// One change of those that happen together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) table: String,
    pub(super) action: Action,
    /// What must be true of the item, for any of them to happen.
    condition: Option<Expression>,
}

/// What is done to an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Stores it, whatever was there.
    Put(Item),
    /// Changes the item of a key.
    Update { key: Item, change: Expression },
    /// Removes the item of a key, if there is one.
    Delete(Item),
    /// Nothing, to the item of a key.
    Check(Item),
}

/// A change that waits for the end of a transaction, and what it means if its condition does not hold then.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) change: Change,
    /// `None`: it has no condition.
    pub(super) refused: Option<Refused>,
}

/// Why the condition of a change does not hold.
#[derive(Clone, Debug)]
pub(super) enum Refused {
    /// For one reason alone.
    Because(Error),
    /// The record of this id has changed since it was read.
    Changed(String),
    /// The step has to be planned again, which says why; if it can be, the record has changed in between.
    LookAgain(Arc<Step>),
}

impl Change {
    pub(super) fn put(table: &str, item: Item) -> Self {
        Self::new(table, Action::Put(item))
    }

    pub(super) fn update(table: &str, key: Item, change: Expression) -> Self {
        Self::new(table, Action::Update { key, change })
    }

    pub(super) fn delete(table: &str, key: Item) -> Self {
        Self::new(table, Action::Delete(key))
    }

    pub(super) fn check(table: &str, key: Item) -> Self {
        Self::new(table, Action::Check(key))
    }

    fn new(table: &str, action: Action) -> Self {
        Self { table: table.to_owned(), action, condition: None }
    }

    /// Only where `condition` is true.
    pub(super) fn only_if(self, condition: Expression) -> Self {
        Self { condition: Some(condition), ..self }
    }

    /// The item, or its key.
    fn item(&self) -> &Item {
        match &self.action {
            Action::Put(item) | Action::Update { key: item, .. } | Action::Delete(item) | Action::Check(item) => item,
        }
    }

    /// What it adds to the size of the transaction.
    pub(super) fn size(&self) -> u64 {
        let set = if let Action::Update { change, .. } = &self.action { change.values.size() } else { 0 };
        self.item().size() + set
    }

    /// The id of its item.
    pub(super) fn id(&self) -> Option<&str> {
        expression::id_of(self.item())
    }

    /// The part of what the id has that its item is, in a table whose key has parts.
    pub(super) fn part(&self) -> Option<&str> {
        self.item().get(expression::PART)?.as_s()
    }

    /// Whether it is about the same item as another one.
    pub(super) fn has_item_of(&self, other: &Self) -> bool {
        self.id() == other.id() && self.table == other.table && self.part() == other.part()
    }

    /// Its expressions, and their values.
    fn expressions(&self) -> (String, Item) {
        let change = if let Action::Update { change, .. } = &self.action { Some(change) } else { None };
        let used = [change, self.condition.as_ref()];
        let text: Vec<&str> = used.iter().flatten().map(|expression| &*expression.text).collect();
        let values = used.iter().flatten().fold(Item::default(), |all, used| all.with(used.values.clone()));
        (text.join(" "), values)
    }

    /// As it stands in `TransactItems`.
    pub(super) fn input(self) -> Dynamic {
        let (expressions, values) = self.expressions();
        let input = Input::about(&self.table).used(&expressions, values);
        let input = match self.condition {
            Some(condition) => input.with("ConditionExpression", &*condition.text),
            None => input,
        };
        let (name, input) = match self.action {
            Action::Put(item) => ("Put", input.item("Item", item)),
            Action::Update { key, change } => {
                ("Update", input.item("Key", key).with("UpdateExpression", &*change.text))
            }
            Action::Delete(key) => ("Delete", input.item("Key", key)),
            Action::Check(key) => ("ConditionCheck", input.item("Key", key)),
        };
        Dynamic::map([(name, input.done())])
    }

    /// The same for the SDK.
    fn into_sdk(self) -> Result<TransactWriteItem, Failure> {
        let (expressions, values) = self.expressions();
        let (names, values) = (sdk_names(&expressions), sdk_values(values));
        let names = (!names.is_empty()).then_some(names);
        let condition = self.condition.map(|condition| condition.text.into_owned());
        let write = TransactWriteItem::builder();
        let write = match self.action {
            Action::Put(item) => {
                let put = Put::builder().table_name(self.table).set_item(Some(item.into_sdk()));
                let put = put.set_condition_expression(condition).set_expression_attribute_names(names);
                write.put(put.set_expression_attribute_values(values).build().map_err(unbuilt)?)
            }
            Action::Update { key, change } => {
                let update = Update::builder().table_name(self.table).set_key(Some(key.into_sdk()));
                let update = update.update_expression(change.text).set_condition_expression(condition);
                let update = update.set_expression_attribute_names(names).set_expression_attribute_values(values);
                write.update(update.build().map_err(unbuilt)?)
            }
            Action::Delete(key) => {
                let delete = Delete::builder().table_name(self.table).set_key(Some(key.into_sdk()));
                let delete = delete.set_condition_expression(condition).set_expression_attribute_names(names);
                write.delete(delete.set_expression_attribute_values(values).build().map_err(unbuilt)?)
            }
            Action::Check(key) => {
                let check = ConditionCheck::builder().table_name(self.table).set_key(Some(key.into_sdk()));
                let check = check.set_condition_expression(condition).set_expression_attribute_names(names);
                write.condition_check(check.set_expression_attribute_values(values).build().map_err(unbuilt)?)
            }
        };
        Ok(write.build())
    }
}

fn unbuilt<E>(_error: E) -> Failure {
    error::unexpected().into()
}

/// All of the changes, or none. Sent again with the same token they do not happen twice.
pub(super) struct Transact {
    pub(super) changes: Vec<Change>,
    /// Without one, the client has its own.
    pub(super) token: Option<String>,
}

impl Request for Transact {
    const NAME: &'static str = "TransactWriteItems";
    type Answer = ();

    fn tables(&self) -> Option<String> {
        let mut tables: Vec<&str> = self.changes.iter().map(|change| &*change.table).collect();
        tables.sort_unstable();
        tables.dedup();
        Some(tables.join(" or "))
    }

    async fn send(self, client: &Client, table: &str) -> Result<(), Failure> {
        let tables = self.tables();
        let changes = self.changes.into_iter().map(Change::into_sdk).collect::<Result<_, _>>()?;
        let request =
            client.transact_write_items().set_transact_items(Some(changes)).set_client_request_token(self.token);
        request.send().await.map(drop).map_err(|error| classify(error, tables.as_deref().unwrap_or(table)))
    }

    fn input(self, _table: &str) -> Dynamic {
        let changes = self.changes.into_iter().map(Change::input).collect();
        let input = Input::default().with("TransactItems", Dynamic::List(changes));
        match self.token {
            Some(token) => input.with("ClientRequestToken", Dynamic::Text(token)),
            None => input,
        }
        .done()
    }

    fn answer(_output: Dynamic) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::dynamodb::attribute::Attribute;

    #[test]
    fn a_change_is_sent_with_its_condition() {
        let one = || Item::from([(":one", Attribute::number(1))]);
        let condition = || Expression::new("attribute_exists(#id)", Item::default());
        let change = Expression::new("SET #at = :one", one());
        let changes = vec![
            Change::put("orders", expression::key("a")),
            Change::update("sagas", expression::key("b"), change).only_if(condition()),
            Change::delete("sagas", expression::key("c")).only_if(Expression::new("#at = :one", one())),
            Change::check("sagas", expression::key("d")).only_if(condition()),
        ];
        assert!(changes.iter().cloned().all(|change| change.into_sdk().is_ok()));
        let input = Transact { changes, token: Some(String::from("t")) }.input("");
        assert_eq!(input.get("ClientRequestToken"), Some(&"t".into()));
        let Some(Dynamic::List(items)) = input.get("TransactItems") else { panic!("{input:?}") };
        let shown: Vec<_> = ["Put", "Update", "Delete", "ConditionCheck"]
            .into_iter()
            .zip(items)
            .map(|(name, item)| {
                let item = item.get(name).unwrap_or_else(|| panic!("{name}: {item:?}"));
                let text = |name| item.get(name).and_then(Dynamic::as_text).unwrap_or("-");
                let has = |name| item.get(name).is_some();
                let has_values = has("ExpressionAttributeValues");
                (text("TableName"), text("UpdateExpression"), text("ConditionExpression"), has_values)
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("orders", "-", "-", false),
                ("sagas", "SET #at = :one", "attribute_exists(#id)", true),
                ("sagas", "-", "#at = :one", true),
                ("sagas", "-", "attribute_exists(#id)", false),
            ]
        );
    }
}
