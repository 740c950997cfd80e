//! Requests about single items of a table, each in the two forms in which it is sent: with the SDK
//! for Rust, and as the input of a command of the SDK for JavaScript. What is asked is decided before,
//! once.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::attribute::Item;
use super::error::{self, Cause, Failure, classify};
use super::expression;
use super::expression::{Expression, sdk_names, sdk_values};
use crate::contract::dynamic::Dynamic;

/// A request, and how its answer is read.
pub(super) trait Request: Send {
    /// DynamoDB's name of it.
    const NAME: &'static str;
    /// What it answers.
    type Answer: Send;

    /// The tables that it is about, for messages, where that is not the table of its channel.
    fn tables(&self) -> Option<String> {
        None
    }

    /// Sends it with the SDK.
    fn send(self, client: &Client, table: &str) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;

    /// The input of the same command of a client of the application.
    fn input(self, table: &str) -> Dynamic;

    /// Reads that command's output.
    fn answer(output: Dynamic) -> Result<Self::Answer, Failure>;

    /// What that command's failure means.
    fn otherwise(failure: Failure) -> Result<Self::Answer, Failure> {
        Err(failure)
    }
}

/// The properties of an input.
#[derive(Default)]
pub(super) struct Input(Vec<(String, Dynamic)>);

impl Input {
    pub(super) fn about(table: &str) -> Self {
        Self(vec![(String::from("TableName"), Dynamic::text(table))])
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Dynamic>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// As much of items as this names.
    pub(super) fn projecting(self, projection: &'static str) -> Self {
        if projection.is_empty() { self } else { self.with("ProjectionExpression", projection) }
    }

    pub(super) fn item(self, name: &str, item: Item) -> Self {
        self.with(name, item.into_client())
    }

    /// The names and the values of expressions.
    pub(super) fn used(mut self, expressions: &str, values: Item) -> Self {
        let names: Vec<_> =
            expression::names(expressions).map(|(short, name)| (short.to_owned(), Dynamic::text(name))).collect();
        if !names.is_empty() {
            self = self.with("ExpressionAttributeNames", Dynamic::Map(names));
        }
        if values.is_empty() { self } else { self.item("ExpressionAttributeValues", values) }
    }

    pub(super) fn done(self) -> Dynamic {
        Dynamic::Map(self.0)
    }
}

/// What the SDK takes for a projection that may be empty.
pub(super) fn some(projection: &str) -> Option<String> {
    (!projection.is_empty()).then(|| projection.to_owned())
}

/// The same of the names in expressions.
pub(super) fn some_names(expressions: &str) -> Option<HashMap<String, String>> {
    let names = sdk_names(expressions);
    (!names.is_empty()).then_some(names)
}

/// The property of an output, if it has one.
pub(super) fn take(output: &mut Dynamic, name: &str) -> Option<Dynamic> {
    let Dynamic::Map(properties) = output else { return None };
    let place = properties.iter().position(|(known, _)| known == name)?;
    Some(properties.swap_remove(place).1).filter(|value| *value != Dynamic::Null)
}

/// Stores an item, whatever was there.
pub(super) struct Put(pub(super) Item);

impl Request for Put {
    const NAME: &'static str = "PutItem";
    type Answer = ();

    async fn send(self, client: &Client, table: &str) -> Result<(), Failure> {
        let request = client.put_item().table_name(table).set_item(Some(self.0.into_sdk()));
        request.send().await.map(drop).map_err(|error| classify(error, table))
    }

    fn input(self, table: &str) -> Dynamic {
        Input::about(table).item("Item", self.0).done()
    }

    fn answer(_output: Dynamic) -> Result<(), Failure> {
        Ok(())
    }
}

/// Stores an item where `condition` is true of what is there.
pub(super) struct PutIf {
    pub(super) item: Item,
    pub(super) condition: Expression,
}

impl Request for PutIf {
    const NAME: &'static str = Put::NAME;
    type Answer = ();

    async fn send(self, client: &Client, table: &str) -> Result<(), Failure> {
        let request = client
            .put_item()
            .table_name(table)
            .set_item(Some(self.item.into_sdk()))
            .set_expression_attribute_names(Some(sdk_names(&self.condition.text)))
            .condition_expression(self.condition.text)
            .set_expression_attribute_values(sdk_values(self.condition.values));
        request.send().await.map(drop).map_err(|error| classify(error, table))
    }

    fn input(self, table: &str) -> Dynamic {
        let Expression { text, values } = self.condition;
        Input::about(table).item("Item", self.item).used(&text, values).with("ConditionExpression", &*text).done()
    }

    fn answer(_output: Dynamic) -> Result<(), Failure> {
        Ok(())
    }
}

/// Removes an item of which `condition` is true, and tells what it was; none if the condition does not hold.
pub(super) struct TakeOut(pub(super) Delete);

impl Request for TakeOut {
    const NAME: &'static str = Delete::NAME;
    type Answer = Option<Item>;

    async fn send(self, client: &Client, table: &str) -> Result<Option<Item>, Failure> {
        let Delete { key, condition } = self.0;
        let request = client
            .delete_item()
            .table_name(table)
            .set_key(Some(key.into_sdk()))
            .set_expression_attribute_names(Some(sdk_names(&condition.text)))
            .condition_expression(condition.text)
            .set_expression_attribute_values(sdk_values(condition.values))
            .return_values(ReturnValue::AllOld);
        match request.send().await {
            Ok(answer) => Ok(answer.attributes.and_then(Item::of_sdk)),
            Err(error) => Self::otherwise(classify(error, table)),
        }
    }

    fn input(self, table: &str) -> Dynamic {
        let Dynamic::Map(mut input) = self.0.input(table) else { return Dynamic::Null };
        input.push((String::from("ReturnValues"), "ALL_OLD".into()));
        Dynamic::Map(input)
    }

    fn answer(mut output: Dynamic) -> Result<Option<Item>, Failure> {
        Ok(take(&mut output, "Attributes").and_then(Item::of_client))
    }

    fn otherwise(failure: Failure) -> Result<Option<Item>, Failure> {
        if failure.cause == Cause::Condition { Ok(None) } else { Err(failure) }
    }
}

/// Removes an item of which `condition` is true.
pub(super) struct Delete {
    pub(super) key: Item,
    pub(super) condition: Expression,
}

impl Request for Delete {
    const NAME: &'static str = "DeleteItem";
    type Answer = ();

    async fn send(self, client: &Client, table: &str) -> Result<(), Failure> {
        let request = client
            .delete_item()
            .table_name(table)
            .set_key(Some(self.key.into_sdk()))
            .set_expression_attribute_names(Some(sdk_names(&self.condition.text)))
            .condition_expression(self.condition.text)
            .set_expression_attribute_values(sdk_values(self.condition.values));
        request.send().await.map(drop).map_err(|error| classify(error, table))
    }

    fn input(self, table: &str) -> Dynamic {
        let Expression { text, values } = self.condition;
        Input::about(table).item("Key", self.key).used(&text, values).with("ConditionExpression", &*text).done()
    }

    fn answer(_output: Dynamic) -> Result<(), Failure> {
        Ok(())
    }
}

/// Changes an item of which `condition` is true.
#[derive(Clone, Debug)]
pub(super) struct Update {
    pub(super) key: Item,
    pub(super) change: Expression,
    pub(super) condition: Expression,
}

impl Request for Update {
    const NAME: &'static str = "UpdateItem";
    type Answer = ();

    async fn send(self, client: &Client, table: &str) -> Result<(), Failure> {
        let (change, condition) = (self.change, self.condition);
        let request = client
            .update_item()
            .table_name(table)
            .set_key(Some(self.key.into_sdk()))
            .set_expression_attribute_names(Some(sdk_names(&format!("{} {}", change.text, condition.text))))
            .update_expression(change.text)
            .condition_expression(condition.text)
            .set_expression_attribute_values(sdk_values(change.values.with(condition.values)));
        request.send().await.map(drop).map_err(|error| classify(error, table))
    }

    fn input(self, table: &str) -> Dynamic {
        let (change, condition) = (self.change, self.condition);
        Input::about(table)
            .item("Key", self.key)
            .with("UpdateExpression", &*change.text)
            .with("ConditionExpression", &*condition.text)
            .used(&format!("{} {}", change.text, condition.text), change.values.with(condition.values))
            .done()
    }

    fn answer(_output: Dynamic) -> Result<(), Failure> {
        Ok(())
    }
}

/// Changes an item of which `condition` is true, and tells what it has become, or why not.
pub(super) struct Revise(pub(super) Update);

/// What became of an item.
#[derive(Debug, PartialEq)]
pub(super) enum Revised {
    /// The attributes that were set, as they are now.
    Done(Item),
    /// The condition does not hold: of this item, if there is one.
    Refused(Option<Item>),
    /// The same, and the item is not told.
    Unseen,
}

impl Request for Revise {
    const NAME: &'static str = Update::NAME;
    type Answer = Revised;

    async fn send(self, client: &Client, table: &str) -> Result<Revised, Failure> {
        let Update { key, change, condition } = self.0;
        let request = client
            .update_item()
            .table_name(table)
            .set_key(Some(key.into_sdk()))
            .set_expression_attribute_names(Some(sdk_names(&format!("{} {}", change.text, condition.text))))
            .update_expression(change.text)
            .condition_expression(condition.text)
            .set_expression_attribute_values(sdk_values(change.values.with(condition.values)))
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match request.send().await {
            Ok(answer) => return Ok(Revised::Done(answer.attributes.and_then(Item::of_sdk).unwrap_or_default())),
            Err(error) => error,
        };
        if let Some(UpdateItemError::ConditionalCheckFailedException(refused)) = error.as_service_error() {
            return Ok(Revised::Refused(refused.item.clone().and_then(Item::of_sdk)));
        }
        Err(classify(error, table))
    }

    fn input(self, table: &str) -> Dynamic {
        let Dynamic::Map(mut input) = self.0.input(table) else { return Dynamic::Null };
        input.push((String::from("ReturnValues"), "UPDATED_NEW".into()));
        Dynamic::Map(input)
    }

    fn answer(mut output: Dynamic) -> Result<Revised, Failure> {
        Ok(Revised::Done(take(&mut output, "Attributes").and_then(Item::of_client).unwrap_or_default()))
    }

    /// The error of a client does not tell the item.
    fn otherwise(failure: Failure) -> Result<Revised, Failure> {
        if failure.cause == Cause::Condition { Ok(Revised::Unseen) } else { Err(failure) }
    }
}

/// Reads an item, as much of it as `projection` names; all of it where that is empty.
pub(super) struct Get {
    pub(super) key: Item,
    pub(super) projection: &'static str,
}

impl Request for Get {
    const NAME: &'static str = "GetItem";
    type Answer = Option<Item>;

    async fn send(self, client: &Client, table: &str) -> Result<Option<Item>, Failure> {
        let request = client
            .get_item()
            .table_name(table)
            .set_key(Some(self.key.into_sdk()))
            .consistent_read(true)
            .set_projection_expression(some(self.projection))
            .set_expression_attribute_names(some_names(self.projection));
        let answer = request.send().await.map_err(|error| classify(error, table))?;
        Ok(answer.item.and_then(Item::of_sdk))
    }

    fn input(self, table: &str) -> Dynamic {
        Input::about(table)
            .item("Key", self.key)
            .with("ConsistentRead", Dynamic::Bool(true))
            .projecting(self.projection)
            .used(self.projection, Item::default())
            .done()
    }

    fn answer(mut output: Dynamic) -> Result<Option<Item>, Failure> {
        Ok(take(&mut output, "Item").and_then(Item::of_client))
    }
}

/// Reads items of different ids, at most 100, as much of them as `projection` names.
pub(super) struct BatchGet<'a> {
    pub(super) ids: &'a [&'a str],
    /// Which part of them, in a table whose key has parts.
    pub(super) part: Option<&'static str>,
    pub(super) projection: &'static str,
}

/// Items that were found, and ids that DynamoDB has not looked for.
pub(super) struct Found {
    pub(super) items: Vec<Item>,
    pub(super) unprocessed: HashSet<String>,
}

impl BatchGet<'_> {
    fn keys(&self) -> impl Iterator<Item = Item> {
        self.ids.iter().map(|id| match self.part {
            Some(part) => expression::part_key(id, part),
            None => expression::key(id),
        })
    }
}

impl Request for BatchGet<'_> {
    const NAME: &'static str = "BatchGetItem";
    type Answer = Found;

    async fn send(self, client: &Client, table: &str) -> Result<Found, Failure> {
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(self.keys().map(Item::into_sdk).collect()))
            .consistent_read(true)
            .projection_expression(self.projection)
            .set_expression_attribute_names(Some(sdk_names(self.projection)))
            .build()
            .map_err(|_| error::unexpected())?;
        let sent = client.batch_get_item().request_items(table, wanted).send().await;
        let answer = sent.map_err(|error| classify(error, table))?;
        let left = answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys);
        Ok(Found {
            items: answer.responses.unwrap_or_default().into_values().flatten().filter_map(Item::of_sdk).collect(),
            unprocessed: left.filter_map(|key| key_of(&Item::of_sdk(key)?)).collect(),
        })
    }

    fn input(self, table: &str) -> Dynamic {
        let keys = self.keys().map(Item::into_client).collect();
        let wanted = Input::default()
            .with("Keys", Dynamic::List(keys))
            .with("ConsistentRead", Dynamic::Bool(true))
            .with("ProjectionExpression", self.projection)
            .used(self.projection, Item::default());
        Input::default().with("RequestItems", Dynamic::Map(vec![(table.to_owned(), wanted.done())])).done()
    }

    fn answer(mut output: Dynamic) -> Result<Found, Failure> {
        let mut of_table = |name: &str| match take(&mut output, name) {
            Some(Dynamic::Map(tables)) => tables.into_iter().next().map(|(_, found)| found),
            _ => None,
        };
        let items = of_table("Responses").and_then(Dynamic::into_list).unwrap_or_default();
        let left = of_table("UnprocessedKeys").and_then(|mut left| take(&mut left, "Keys")?.into_list());
        Ok(Found {
            items: items.into_iter().filter_map(Item::of_client).collect(),
            unprocessed: left
                .unwrap_or_default()
                .into_iter()
                .filter_map(|key| key_of(&Item::of_client(key)?))
                .collect(),
        })
    }
}

fn key_of(key: &Item) -> Option<String> {
    expression::id_of(key).map(str::to_owned)
}

/// What tests of requests are made of.
#[cfg(test)]
pub(super) mod samples {
    use super::*;
    use crate::backends::dynamodb::attribute::Attribute;

    pub(in crate::backends::dynamodb) fn expression(text: &'static str, name: &str) -> Expression {
        Expression::new(text, Item::from([(name, Attribute::number(1))]))
    }

    pub(in crate::backends::dynamodb) fn keys(value: Option<&Dynamic>) -> Vec<&str> {
        let Some(Dynamic::Map(properties)) = value else { panic!("{value:?}") };
        properties.iter().map(|(name, _)| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::samples::{expression, keys};
    use super::*;
    use crate::backends::dynamodb::payloads::item;

    #[test]
    fn inputs_name_what_their_expressions_use() {
        let condition = expression("attribute_exists(#id)", ":now");
        let change = expression("SET #at = :at", ":at");
        let input = Update { key: expression::key("a"), change, condition }.input("orders");
        assert_eq!(input.get("TableName"), Some(&"orders".into()));
        assert_eq!(keys(input.get("ExpressionAttributeNames")), ["#id", "#at"]);
        assert_eq!(keys(input.get("ExpressionAttributeValues")), [":at", ":now"]);
        let input = Get { key: expression::key("a"), projection: "#data" }.input("orders");
        assert_eq!(keys(input.get("ExpressionAttributeNames")), ["#data"]);
        assert_eq!(input.get("ExpressionAttributeValues"), None);
    }

    #[test]
    fn outputs_are_read() {
        let stored = item::encode("a", &Bytes::from_static(b"x"), None);
        let output = Dynamic::map([("Item", stored.clone().into_client())]);
        assert_eq!(Get::answer(output).ok(), Some(Some(stored.clone())));
        assert_eq!(Get::answer(Dynamic::map([("Item", Dynamic::Null)])).ok(), Some(None));
        let answers = Dynamic::map([("orders", Dynamic::List(vec![stored.clone().into_client()]))]);
        let left = Dynamic::map([("Keys", Dynamic::List(vec![expression::key("b").into_client()]))]);
        let output = Dynamic::map([("Responses", answers), ("UnprocessedKeys", Dynamic::map([("orders", left)]))]);
        let found = BatchGet::answer(output).ok().unwrap();
        assert_eq!((found.items, found.unprocessed), (vec![stored], HashSet::from([String::from("b")])));
        let found = BatchGet::answer(Dynamic::map([("UnprocessedKeys", Dynamic::map([]))])).ok().unwrap();
        assert!(found.items.is_empty() && found.unprocessed.is_empty());
    }
}
