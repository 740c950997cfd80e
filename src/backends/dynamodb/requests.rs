//! Requests about one table, each in the two forms in which it is sent: with the SDK for Rust, and
//! as the input of a command of the SDK for JavaScript. What is asked is decided before, once.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{Delete as SdkDelete, Put as SdkPut, TransactWriteItem};

use super::attribute::Item;
use super::error::{self, Failure, classify};
use super::item;
use crate::store::dynamic::Dynamic;

/// A request, and how its answer is read.
pub(super) trait Request: Send {
    /// DynamoDB's name of it.
    const NAME: &'static str;
    /// What it answers.
    type Answer: Send;

    /// Sends it with the SDK.
    fn send(self, client: &Client, table: &str) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;

    /// The input of the same command of a client of the application.
    fn input(self, table: &str) -> Dynamic;

    /// Reads that command's output.
    fn answer(output: Dynamic) -> Result<Self::Answer, Failure>;
}

/// The properties of an input.
pub(super) struct Input(Vec<(String, Dynamic)>);

impl Input {
    pub(super) fn about(table: &str) -> Self {
        Self(vec![(String::from("TableName"), Dynamic::text(table))])
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Dynamic>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    fn item(self, name: &str, item: Item) -> Self {
        self.with(name, item.into_client())
    }

    /// The names and the values of expressions.
    fn used(self, expressions: &str, values: Option<Item>) -> Self {
        let names = item::names(expressions).map(|(short, name)| (short.to_owned(), Dynamic::text(name))).collect();
        let input = self.with("ExpressionAttributeNames", Dynamic::Map(names));
        match values {
            Some(values) => input.item("ExpressionAttributeValues", values),
            None => input,
        }
    }

    pub(super) fn done(self) -> Dynamic {
        Dynamic::Map(self.0)
    }
}

/// The property of an output, if it has one.
pub(super) fn take(output: &mut Dynamic, name: &str) -> Option<Dynamic> {
    let Dynamic::Map(properties) = output else { return None };
    let place = properties.iter().position(|(known, _)| known == name)?;
    Some(properties.swap_remove(place).1).filter(|value| *value != Dynamic::Null)
}

/// The names that expressions use, for the SDK.
pub(super) fn sdk_names(expressions: &str) -> HashMap<String, String> {
    item::names(expressions).map(|(short, name)| (short.to_owned(), name.to_owned())).collect()
}

/// An expression about an item, and the values in it.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub(super) text: &'static str,
    pub(super) values: Item,
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
            .condition_expression(self.condition.text)
            .set_expression_attribute_names(Some(sdk_names(self.condition.text)))
            .set_expression_attribute_values(Some(self.condition.values.into_sdk()));
        request.send().await.map(drop).map_err(|error| classify(error, table))
    }

    fn input(self, table: &str) -> Dynamic {
        let Expression { text, values } = self.condition;
        Input::about(table).item("Key", self.key).with("ConditionExpression", text).used(text, Some(values)).done()
    }

    fn answer(_output: Dynamic) -> Result<(), Failure> {
        Ok(())
    }
}

/// Changes an item of which `condition` is true.
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
            .update_expression(change.text)
            .condition_expression(condition.text)
            .set_expression_attribute_names(Some(sdk_names(&format!("{} {}", change.text, condition.text))))
            .set_expression_attribute_values(Some(change.values.with(condition.values).into_sdk()));
        request.send().await.map(drop).map_err(|error| classify(error, table))
    }

    fn input(self, table: &str) -> Dynamic {
        let (change, condition) = (self.change, self.condition);
        Input::about(table)
            .item("Key", self.key)
            .with("UpdateExpression", change.text)
            .with("ConditionExpression", condition.text)
            .used(&format!("{} {}", change.text, condition.text), Some(change.values.with(condition.values)))
            .done()
    }

    fn answer(_output: Dynamic) -> Result<(), Failure> {
        Ok(())
    }
}

/// Reads an item, as much of it as `projection` names.
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
            .projection_expression(self.projection)
            .set_expression_attribute_names(Some(sdk_names(self.projection)));
        let answer = request.send().await.map_err(|error| classify(error, table))?;
        Ok(answer.item.and_then(Item::of_sdk))
    }

    fn input(self, table: &str) -> Dynamic {
        Input::about(table)
            .item("Key", self.key)
            .with("ConsistentRead", Dynamic::Bool(true))
            .with("ProjectionExpression", self.projection)
            .used(self.projection, None)
            .done()
    }

    fn answer(mut output: Dynamic) -> Result<Option<Item>, Failure> {
        Ok(take(&mut output, "Item").and_then(Item::of_client))
    }
}

/// Reads one page of a segment of the table.
pub(super) struct Scan {
    pub(super) segment: i32,
    pub(super) segments: i32,
    /// The last key of the page before.
    pub(super) after: Option<Item>,
    pub(super) projection: &'static str,
    /// Only items of which this is true.
    pub(super) filter: Option<Expression>,
}

impl Scan {
    fn expressions(&self) -> String {
        format!("{} {}", self.projection, self.filter.as_ref().map_or("", |filter| filter.text))
    }
}

/// What a scan has found, and where the next page begins.
pub(super) type Scanned = (Vec<Item>, Option<Item>);

impl Request for Scan {
    const NAME: &'static str = "Scan";
    type Answer = Scanned;

    async fn send(self, client: &Client, table: &str) -> Result<Scanned, Failure> {
        let names = sdk_names(&self.expressions());
        let mut request = client
            .scan()
            .table_name(table)
            .consistent_read(true)
            .segment(self.segment)
            .total_segments(self.segments)
            .set_exclusive_start_key(self.after.map(Item::into_sdk))
            .projection_expression(self.projection)
            .set_expression_attribute_names(Some(names));
        if let Some(Expression { text, values }) = self.filter {
            request = request.filter_expression(text).set_expression_attribute_values(Some(values.into_sdk()));
        }
        let answer = request.send().await.map_err(|error| classify(error, table))?;
        let items = answer.items.unwrap_or_default().into_iter().filter_map(Item::of_sdk).collect();
        Ok((items, answer.last_evaluated_key.and_then(Item::of_sdk)))
    }

    fn input(self, table: &str) -> Dynamic {
        let expressions = self.expressions();
        let mut input = Input::about(table)
            .with("ConsistentRead", Dynamic::Bool(true))
            .with("Segment", i64::from(self.segment))
            .with("TotalSegments", i64::from(self.segments))
            .with("ProjectionExpression", self.projection);
        if let Some(after) = self.after {
            input = input.item("ExclusiveStartKey", after);
        }
        if let Some(filter) = &self.filter {
            input = input.with("FilterExpression", filter.text);
        }
        input.used(&expressions, self.filter.map(|filter| filter.values)).done()
    }

    fn answer(mut output: Dynamic) -> Result<Scanned, Failure> {
        let items = take(&mut output, "Items").and_then(Dynamic::into_list).ok_or_else(error::unexpected)?;
        let next = take(&mut output, "LastEvaluatedKey").and_then(Item::of_client);
        Ok((items.into_iter().filter_map(Item::of_client).collect(), next))
    }
}

/// One change of those that happen together (`TransactWriteItems`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Stores an item, whatever was there.
    Put(Item),
    /// Removes the item of a key, if there is one.
    Delete(Item),
}

impl Change {
    /// What it adds to the size of the transaction.
    pub(super) fn size(&self) -> u64 {
        let (Self::Put(item) | Self::Delete(item)) = self;
        item.size()
    }

    /// Its id.
    pub(super) fn id(&self) -> Option<&str> {
        let (Self::Put(item) | Self::Delete(item)) = self;
        item::id_of(item)
    }

    /// As it stands in `TransactItems`.
    pub(super) fn input(self, table: &str) -> Dynamic {
        match self {
            Self::Put(item) => Dynamic::map([("Put", Input::about(table).item("Item", item).done())]),
            Self::Delete(key) => Dynamic::map([("Delete", Input::about(table).item("Key", key).done())]),
        }
    }

    /// The same for the SDK.
    pub(super) fn into_sdk(self, table: &str) -> Result<TransactWriteItem, Failure> {
        let write = TransactWriteItem::builder();
        let write = match self {
            Self::Put(item) => {
                write.put(SdkPut::builder().table_name(table).set_item(Some(item.into_sdk())).build().map_err(unbuilt)?)
            }
            Self::Delete(key) => {
                let delete = SdkDelete::builder().table_name(table).set_key(Some(key.into_sdk()));
                write.delete(delete.build().map_err(unbuilt)?)
            }
        };
        Ok(write.build())
    }
}

fn unbuilt<E>(_error: E) -> Failure {
    error::unexpected().into()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backends::dynamodb::attribute::Attribute;

    fn expression(text: &'static str, name: &str) -> Expression {
        Expression { text, values: Item::from([(name, Attribute::number(1))]) }
    }

    fn keys(value: Option<&Dynamic>) -> Vec<&str> {
        let Some(Dynamic::Map(properties)) = value else { panic!("{value:?}") };
        properties.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn inputs_name_what_their_expressions_use() {
        let condition = expression("attribute_exists(#id)", ":now");
        let change = expression("SET #at = :at", ":at");
        let input = Update { key: item::key("a"), change, condition }.input("orders");
        assert_eq!(input.get("TableName"), Some(&"orders".into()));
        assert_eq!(keys(input.get("ExpressionAttributeNames")), ["#id", "#at"]);
        assert_eq!(keys(input.get("ExpressionAttributeValues")), [":at", ":now"]);
        let filter = Some(expression("#at < :s", ":s"));
        let scan = Scan { segment: 0, segments: 1, after: Some(item::key("z")), projection: "#id", filter };
        let input = scan.input("orders");
        assert_eq!(keys(input.get("ExpressionAttributeNames")), ["#id", "#at"]);
        assert_eq!(input.get("ExclusiveStartKey"), Some(&item::key("z").into_client()));
        let input = Get { key: item::key("a"), projection: "#data" }.input("orders");
        assert_eq!(keys(input.get("ExpressionAttributeNames")), ["#data"]);
        assert_eq!(input.get("ExpressionAttributeValues"), None);
    }

    #[test]
    fn outputs_are_read() {
        let stored = item::encode("a", &Bytes::from_static(b"x"), None);
        let output = Dynamic::map([("Item", stored.clone().into_client())]);
        assert_eq!(Get::answer(output).ok(), Some(Some(stored.clone())));
        assert_eq!(Get::answer(Dynamic::map([("Item", Dynamic::Null)])).ok(), Some(None));
        let items = Dynamic::List(vec![stored.clone().into_client()]);
        let output = Dynamic::map([("Items", items), ("LastEvaluatedKey", item::key("a").into_client())]);
        assert_eq!(Scan::answer(output).ok(), Some((vec![stored], Some(item::key("a")))));
        assert!(Scan::answer(Dynamic::Null).is_err());
    }
}
