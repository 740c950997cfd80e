//! Pages of a table or of an index of it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::Select;

use super::attribute::Item;
use super::error::{self, Failure, classify};
use super::expression::{Expression, sdk_names, sdk_values};
use super::requests::{Input, Request, some, some_names, take};
use crate::contract::dynamic::Dynamic;

/// What was found, and where the next page begins.
pub(super) type Page = (Vec<Item>, Option<Item>);

/// Reads one page of a segment of the table.
pub(super) struct Scan {
    pub(super) segment: i32,
    pub(super) segments: i32,
    /// The last key of the page before.
    pub(super) after: Option<Item>,
    /// All of an item where it is empty.
    pub(super) projection: &'static str,
    /// Only items of which this is true.
    pub(super) filter: Option<Expression>,
    /// At most so many are looked at.
    pub(super) limit: Option<i32>,
}

impl Scan {
    fn expressions(&self) -> String {
        format!("{} {}", self.projection, self.filter.as_ref().map_or("", |filter| &*filter.text))
    }
}

impl Request for Scan {
    const NAME: &'static str = "Scan";
    type Answer = Page;

    async fn send(self, client: &Client, table: &str) -> Result<Page, Failure> {
        let names = some_names(&self.expressions());
        let mut request = client
            .scan()
            .table_name(table)
            .consistent_read(true)
            .segment(self.segment)
            .total_segments(self.segments)
            .set_limit(self.limit)
            .set_exclusive_start_key(self.after.map(Item::into_sdk))
            .set_projection_expression(some(self.projection))
            .set_expression_attribute_names(names);
        if let Some(Expression { text, values }) = self.filter {
            request = request.filter_expression(text).set_expression_attribute_values(sdk_values(values));
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
            .projecting(self.projection);
        if let Some(limit) = self.limit {
            input = input.with("Limit", i64::from(limit));
        }
        if let Some(filter) = &self.filter {
            input = input.with("FilterExpression", &*filter.text);
        }
        behind(input.used(&expressions, self.filter.map(|filter| filter.values).unwrap_or_default()), self.after).done()
    }

    fn answer(mut output: Dynamic) -> Result<Page, Failure> {
        let items = take(&mut output, "Items").and_then(Dynamic::into_list).ok_or_else(error::unexpected)?;
        Ok((items.into_iter().filter_map(Item::of_client).collect(), next_of(&mut output)))
    }
}

/// Reads one page of an index, in its order; the index follows the table a little later. Or of the table itself, as it
/// is.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// None: the table.
    pub(super) index: Option<&'static str>,
    /// Which of its items.
    pub(super) condition: Expression,
    /// Only those of which this is true.
    pub(super) filter: Option<Expression>,
    pub(super) projection: &'static str,
    /// The last ones first.
    pub(super) reverse: bool,
    /// At most so many.
    pub(super) limit: i32,
    /// The last key of the page before.
    pub(super) after: Option<Item>,
}

impl Query {
    /// The first page, in the order of the key.
    pub(super) fn of(index: Option<&'static str>, condition: Expression, projection: &'static str, limit: i32) -> Self {
        Self { index, condition, filter: None, projection, reverse: false, limit, after: None }
    }

    fn expressions(&self) -> String {
        let filter = self.filter.as_ref().map_or("", |filter| &*filter.text);
        format!("{} {} {filter}", self.projection, self.condition.text)
    }

    fn values(&self) -> Item {
        let filter = self.filter.as_ref().map(|filter| filter.values.clone()).unwrap_or_default();
        self.condition.values.clone().with(filter)
    }
}

impl Request for Query {
    const NAME: &'static str = "Query";
    type Answer = Page;

    async fn send(self, client: &Client, table: &str) -> Result<Page, Failure> {
        let (names, values) = (sdk_names(&self.expressions()), self.values());
        let request = client
            .query()
            .table_name(table)
            .set_index_name(self.index.map(str::to_owned))
            .consistent_read(self.index.is_none())
            .scan_index_forward(!self.reverse)
            .key_condition_expression(self.condition.text)
            .set_filter_expression(self.filter.map(|filter| filter.text.into_owned()))
            .set_projection_expression(some(self.projection))
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(sdk_values(values))
            .limit(self.limit)
            .set_exclusive_start_key(self.after.map(Item::into_sdk));
        let answer = request.send().await.map_err(|error| classify(error, table))?;
        let items = answer.items.unwrap_or_default().into_iter().filter_map(Item::of_sdk).collect();
        Ok((items, answer.last_evaluated_key.and_then(Item::of_sdk)))
    }

    fn input(self, table: &str) -> Dynamic {
        let (expressions, values) = (self.expressions(), self.values());
        let mut input = Input::about(table);
        input = match self.index {
            Some(index) => input.with("IndexName", index),
            None => input.with("ConsistentRead", Dynamic::Bool(true)),
        };
        if self.reverse {
            input = input.with("ScanIndexForward", Dynamic::Bool(false));
        }
        if let Some(filter) = &self.filter {
            input = input.with("FilterExpression", &*filter.text);
        }
        let input = input
            .with("KeyConditionExpression", &*self.condition.text)
            .projecting(self.projection)
            .with("Limit", i64::from(self.limit))
            .used(&expressions, values);
        behind(input, self.after).done()
    }

    fn answer(output: Dynamic) -> Result<Page, Failure> {
        Scan::answer(output)
    }
}

/// Counts the items of one page of an index.
#[derive(Clone, Debug)]
pub(super) struct Count {
    pub(super) index: &'static str,
    /// Which of its items.
    pub(super) condition: Expression,
    /// Only those of which this is true.
    pub(super) filter: Expression,
    /// The last key of the page before.
    pub(super) after: Option<Item>,
}

impl Count {
    fn expressions(&self) -> String {
        format!("{} {}", self.condition.text, self.filter.text)
    }
}

impl Request for Count {
    const NAME: &'static str = "Query";
    /// How many, and where the next page begins.
    type Answer = (u64, Option<Item>);

    async fn send(self, client: &Client, table: &str) -> Result<Self::Answer, Failure> {
        let names = sdk_names(&self.expressions());
        let request = client
            .query()
            .table_name(table)
            .index_name(self.index)
            .select(Select::Count)
            .key_condition_expression(self.condition.text)
            .filter_expression(self.filter.text)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(sdk_values(self.condition.values.with(self.filter.values)))
            .set_exclusive_start_key(self.after.map(Item::into_sdk));
        let answer = request.send().await.map_err(|error| classify(error, table))?;
        let count = u64::try_from(answer.count).unwrap_or_default();
        Ok((count, answer.last_evaluated_key.and_then(Item::of_sdk)))
    }

    fn input(self, table: &str) -> Dynamic {
        let expressions = self.expressions();
        let input = Input::about(table)
            .with("IndexName", self.index)
            .with("Select", "COUNT")
            .with("KeyConditionExpression", &*self.condition.text)
            .with("FilterExpression", &*self.filter.text)
            .used(&expressions, self.condition.values.with(self.filter.values));
        behind(input, self.after).done()
    }

    fn answer(mut output: Dynamic) -> Result<Self::Answer, Failure> {
        let count = take(&mut output, "Count").and_then(|count| u64::try_from(count.as_int()?).ok());
        Ok((count.ok_or_else(error::unexpected)?, next_of(&mut output)))
    }
}

/// Counts the items of one page of a segment of the table.
pub(super) struct ScanCount {
    pub(super) segment: i32,
    pub(super) segments: i32,
    /// The last key of the page before.
    pub(super) after: Option<Item>,
    /// Only items of which this is true.
    pub(super) filter: Option<Expression>,
}

/// What was counted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// Items of which the filter is true.
    pub(super) count: u64,
    /// All of them.
    pub(super) scanned: u64,
    /// Where the next page begins.
    pub(super) next: Option<Item>,
}

impl Request for ScanCount {
    const NAME: &'static str = "Scan";
    type Answer = Counted;

    async fn send(self, client: &Client, table: &str) -> Result<Counted, Failure> {
        let mut request = client
            .scan()
            .table_name(table)
            .consistent_read(true)
            .select(Select::Count)
            .segment(self.segment)
            .total_segments(self.segments)
            .set_exclusive_start_key(self.after.map(Item::into_sdk));
        if let Some(Expression { text, values }) = self.filter {
            request = request
                .set_expression_attribute_names(some_names(&text))
                .filter_expression(text)
                .set_expression_attribute_values(sdk_values(values));
        }
        let answer = request.send().await.map_err(|error| classify(error, table))?;
        let number = |number: i32| u64::try_from(number).unwrap_or_default();
        let next = answer.last_evaluated_key.and_then(Item::of_sdk);
        Ok(Counted { count: number(answer.count), scanned: number(answer.scanned_count), next })
    }

    fn input(self, table: &str) -> Dynamic {
        let mut input = Input::about(table)
            .with("ConsistentRead", Dynamic::Bool(true))
            .with("Select", "COUNT")
            .with("Segment", i64::from(self.segment))
            .with("TotalSegments", i64::from(self.segments));
        if let Some(Expression { text, values }) = self.filter {
            input = input.with("FilterExpression", &*text).used(&text, values);
        }
        behind(input, self.after).done()
    }

    fn answer(mut output: Dynamic) -> Result<Counted, Failure> {
        let mut number = |name| take(&mut output, name).and_then(|count| u64::try_from(count.as_int()?).ok());
        let (count, scanned) = (number("Count"), number("ScannedCount"));
        let count = count.ok_or_else(error::unexpected)?;
        Ok(Counted { count, scanned: scanned.unwrap_or(count), next: next_of(&mut output) })
    }
}

fn behind(input: Input, after: Option<Item>) -> Input {
    match after {
        Some(after) => input.item("ExclusiveStartKey", after),
        None => input,
    }
}

fn next_of(output: &mut Dynamic) -> Option<Item> {
    take(output, "LastEvaluatedKey").and_then(Item::of_client)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backends::dynamodb::expression;
    use crate::backends::dynamodb::payloads::item;
    use crate::backends::dynamodb::requests::samples::{expression, keys};

    fn scan_all() -> Scan {
        Scan { segment: 0, segments: 1, after: None, projection: "", filter: None, limit: None }
    }

    #[test]
    fn inputs_name_what_their_expressions_use() {
        let after = Some(expression::key("z"));
        let filter = Some(expression("#at < :s", ":s"));
        let scan = Scan { segment: 0, segments: 1, after: after.clone(), projection: "#id", filter, limit: Some(7) };
        assert_eq!(scan_all().input("orders").get("ProjectionExpression"), None);
        let condition = expression("#listed = :listed", ":listed");
        let query = Query { after: after.clone(), ..Query::of(Some("listing"), condition.clone(), "#id", 5) };
        let count = Count { index: "listing", condition, filter: expression("#at < :s", ":s"), after: after.clone() };
        let filter = Some(expression("#at < :s", ":s"));
        let scan_count = ScanCount { segment: 0, segments: 1, after, filter };
        for (input, names, values) in [
            (scan.input("orders"), vec!["#id", "#at"], vec![":s"]),
            (query.input("orders"), vec!["#id", "#listed"], vec![":listed"]),
            (scan_count.input("orders"), vec!["#at"], vec![":s"]),
            (count.input("orders"), vec!["#at", "#listed"], vec![":listed", ":s"]),
        ] {
            assert_eq!(keys(input.get("ExpressionAttributeNames")), names);
            assert_eq!(keys(input.get("ExpressionAttributeValues")), values);
            assert_eq!(input.get("ExclusiveStartKey"), Some(&expression::key("z").into_client()));
            assert_eq!(input.get("TableName"), Some(&"orders".into()));
        }
    }

    #[test]
    fn outputs_are_read() {
        let stored = item::encode("a", &Bytes::from_static(b"x"), None);
        let items = Dynamic::List(vec![stored.clone().into_client()]);
        let output = Dynamic::map([("Items", items), ("LastEvaluatedKey", expression::key("a").into_client())]);
        assert_eq!(Query::answer(output).ok(), Some((vec![stored], Some(expression::key("a")))));
        assert!(Scan::answer(Dynamic::Null).is_err());
        assert_eq!(Count::answer(Dynamic::map([("Count", Dynamic::Int(7))])).ok(), Some((7, None)));
        assert!(Count::answer(Dynamic::Null).is_err());
        let output = Dynamic::map([("Count", Dynamic::Int(7)), ("ScannedCount", Dynamic::Int(9))]);
        assert_eq!(ScanCount::answer(output).ok(), Some(Counted { count: 7, scanned: 9, next: None }));
    }
}
