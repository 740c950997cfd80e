//! Single requests about one table.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, PutRequest, WriteRequest};

use super::error::{self, Cause, Failure, classify};
use super::executor::Executor;
use super::item::{self, HEAD, IS_EXPIRED, IS_LIVE, Item};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// An id to ask for when only the answer's kind matters.
const NOBODY: &str = "sagastore:probe";

/// A table, and the way to it.
pub(super) struct Session<'a> {
    pub(super) client: Client,
    pub(super) executor: &'a Executor,
    pub(super) table: &'a str,
}

/// Items that were found, and ids that DynamoDB has not looked for.
#[derive(Default)]
pub(super) struct Found {
    pub(super) items: Vec<Item>,
    pub(super) unprocessed: HashSet<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { cause: Cause::Other, message: String::new(), error }
    }
}

/// Whether a conditional request has found its condition to hold.
fn held<T>(outcome: Result<T, Failure>) -> Result<bool, Failure> {
    match outcome {
        Ok(_) => Ok(true),
        Err(failure) if failure.cause == Cause::Condition => Ok(false),
        Err(failure) => Err(failure),
    }
}

impl Session<'_> {
    /// Before the first request: whether our clock is the server's. Any answer tells, a refusal too;
    /// a difference takes two of them. None in time means that the server cannot be reached.
    pub(super) async fn read_clock(&self) -> Result<()> {
        if self.executor.clock.ahead().is_some() {
            return Ok(());
        }
        let _first = self.executor.first().await;
        for _ in 0..2 {
            if self.executor.clock.ahead().is_some() {
                break;
            }
            let asked = tokio::time::timeout(self.executor.connect_timeout, self.get_at_once(NOBODY, HEAD)).await;
            match asked.unwrap_or_else(|_| Err(error::unreachable_in_time().into())) {
                Err(failure) if failure.cause == Cause::Clock => {}
                Err(failure) if failure.error.kind() == Kind::Connection => return Err(failure.error),
                // A refusal of another kind is told to those whom it concerns.
                _ => {}
            }
        }
        self.executor.clock.settle();
        Ok(())
    }

    /// Stores an item, whatever was there.
    pub(super) async fn put(&self, item: Item) -> Result<(), Failure> {
        let _turn = self.executor.turn().await?;
        let sent = self.client.put_item().table_name(self.table).set_item(Some(item)).send().await;
        sent.map(drop).map_err(|error| classify(error, self.table))
    }

    /// Removes a payload if its time is not over; whether there was one.
    pub(super) async fn delete(&self, id: &str, now: Millis) -> Result<bool, Failure> {
        self.delete_if(id, IS_LIVE, now).await
    }

    /// Removes a payload if its time is over; whether there was one.
    pub(super) async fn delete_expired(&self, id: &str, now: Millis) -> Result<bool, Failure> {
        self.delete_if(id, IS_EXPIRED, now).await
    }

    async fn delete_if(&self, id: &str, condition: &str, now: Millis) -> Result<bool, Failure> {
        let _turn = self.executor.turn().await?;
        let request = self
            .client
            .delete_item()
            .table_name(self.table)
            .set_key(Some(item::key(id)))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(item::names(condition)))
            .set_expression_attribute_values(Some(item::clock(now)));
        held(request.send().await.map_err(|error| classify(error, self.table)))
    }

    /// Sets another expiry if the time is not over; whether there was a payload.
    pub(super) async fn touch(&self, id: &str, expires_at: Millis, now: Millis) -> Result<bool, Failure> {
        let _turn = self.executor.turn().await?;
        let mut values = item::clock(now);
        values.insert(String::from(":at"), item::number(item::seconds(expires_at)));
        values.insert(String::from(":ms"), item::number(expires_at.0));
        let request = self
            .client
            .update_item()
            .table_name(self.table)
            .set_key(Some(item::key(id)))
            .update_expression("SET #at = :at, #ms = :ms")
            .condition_expression(IS_LIVE)
            .set_expression_attribute_names(Some(item::names(IS_LIVE)))
            .set_expression_attribute_values(Some(values));
        held(request.send().await.map_err(|error| classify(error, self.table)))
    }

    /// An item, as much of it as `projection` names.
    pub(super) async fn get(&self, id: &str, projection: &str) -> Result<Option<Item>, Failure> {
        let _turn = self.executor.turn().await?;
        self.get_at_once(id, projection).await
    }

    /// The same, without waiting for its turn.
    pub(super) async fn get_at_once(&self, id: &str, projection: &str) -> Result<Option<Item>, Failure> {
        let request = self
            .client
            .get_item()
            .table_name(self.table)
            .set_key(Some(item::key(id)))
            .consistent_read(true)
            .projection_expression(projection)
            .set_expression_attribute_names(Some(item::names(projection)));
        let answer = request.send().await.map_err(|error| classify(error, self.table))?;
        Ok(answer.item)
    }

    /// Stores items of different ids, at most 25; answers the ids of those that must be sent again.
    pub(super) async fn put_batch(&self, items: Vec<Item>) -> Result<HashSet<String>, Failure> {
        let _turn = self.executor.turn().await?;
        let mut writes = Vec::with_capacity(items.len());
        for item in items {
            let put = PutRequest::builder().set_item(Some(item)).build().map_err(|_| error::unexpected())?;
            writes.push(WriteRequest::builder().put_request(put).build());
        }
        let sent = self.client.batch_write_item().request_items(self.table, writes).send().await;
        let answer = sent.map_err(|error| classify(error, self.table))?;
        let left = answer.unprocessed_items.unwrap_or_default().into_values().flatten();
        Ok(left.filter_map(|write| Some(item::id_of(&write.put_request?.item)?.to_owned())).collect())
    }

    /// Items of different ids, at most 100, as much of them as `projection` names.
    pub(super) async fn get_batch(&self, ids: &[&str], projection: &str) -> Result<Found, Failure> {
        let _turn = self.executor.turn().await?;
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(ids.iter().map(|id| item::key(id)).collect()))
            .consistent_read(true)
            .projection_expression(projection)
            .set_expression_attribute_names(Some(item::names(projection)))
            .build()
            .map_err(|_| error::unexpected())?;
        let sent = self.client.batch_get_item().request_items(self.table, wanted).send().await;
        let answer = sent.map_err(|error| classify(error, self.table))?;
        let left = answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys);
        Ok(Found {
            items: answer.responses.unwrap_or_default().into_values().flatten().collect(),
            unprocessed: left.filter_map(|key| item::id_of(&key).map(str::to_owned)).collect(),
        })
    }

    /// Whether the table is there, asked in the way of an ordinary read.
    pub(super) async fn exists(&self) -> Result<bool> {
        match self.get_at_once(NOBODY, HEAD).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.cause == Cause::NoTable => Ok(false),
            Err(failure) => Err(failure.error),
        }
    }

    /// One page of a segment of the table; also where the next one begins.
    pub(super) async fn scan(&self, page: Page<'_>) -> Result<(Vec<Item>, Option<Item>), Failure> {
        let _turn = self.executor.turn().await?;
        let Page { segment, segments, after, projection, filter } = page;
        let mut request = self
            .client
            .scan()
            .table_name(self.table)
            .consistent_read(true)
            .segment(segment)
            .total_segments(segments)
            .set_exclusive_start_key(after)
            .projection_expression(projection);
        let mut used = item::names(projection);
        if let Some((filter, values)) = filter {
            used.extend(item::names(filter));
            request = request.filter_expression(filter).set_expression_attribute_values(Some(values));
        }
        let request = request.set_expression_attribute_names(Some(used));
        let answer = request.send().await.map_err(|error| classify(error, self.table))?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key.filter(|key| !key.is_empty())))
    }
}

/// Which part of a table to read.
pub(super) struct Page<'a> {
    pub(super) segment: i32,
    pub(super) segments: i32,
    /// The last key of the page before.
    pub(super) after: Option<Item>,
    pub(super) projection: &'a str,
    /// Only items of which this is true, with the values in it.
    pub(super) filter: Option<(&'a str, HashMap<String, AttributeValue>)>,
}
