//! The store's own way to a table: requests with the SDK for Rust.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};

use super::attribute::Item;
use super::changes::Change;
use super::channel::{Transport, read_clock};
use super::clock::Clock;
use super::error::{self, Failure, classify};
use super::expression;
use super::requests::Request;
use super::shared::Connector;
use super::transaction::{self, Patience};
use crate::error::{Error, Result};

/// A table, and the connections that stores share.
#[derive(Clone)]
pub(super) struct Session<'a> {
    client: Client,
    pub(super) shared: &'a Connector,
    table: &'a str,
    /// Whether its requests wait until fewer others are under way.
    in_turn: bool,
    /// The longest that a request may take; without one it is the caller's to say.
    limit: Option<Duration>,
    /// How often and for how long a transaction is sent.
    patience: Patience,
}

impl<'a> Session<'a> {
    /// Connects, the first time.
    pub(super) async fn open(shared: &'a Connector, table: &'a str, patience: Patience) -> Result<Self> {
        let client = shared.client().await?;
        let session = Self { client, shared, table, in_turn: false, limit: Some(shared.connect_timeout), patience };
        if shared.clock.ahead().is_none() {
            let _first = shared.first().await;
            read_clock(&session).await.map_err(Error::unsent)?;
        }
        Ok(Self { in_turn: true, limit: None, ..session })
    }

    /// The same, to another table.
    pub(super) fn about(self, table: &'a str) -> Self {
        Self { table, ..self }
    }

    /// One whose requests do not wait for their turn: what few of them ask must be known soon.
    pub(super) fn unqueued(self) -> Self {
        Self { in_turn: false, ..self }
    }

    /// Stores items of different ids, at most 25; answers the ids of those that must be sent again.
    pub(super) async fn put_batch(&self, items: Vec<Item>) -> Result<HashSet<String>, Failure> {
        let _turn = self.shared.turn().await?;
        let mut writes = Vec::with_capacity(items.len());
        for item in items {
            let put = PutRequest::builder().set_item(Some(item.into_sdk())).build();
            writes.push(WriteRequest::builder().put_request(put.map_err(|_| error::unexpected())?).build());
        }
        let sent = self.client.batch_write_item().request_items(self.table, writes).send().await;
        let answer = sent.map_err(|error| classify(error, self.table))?;
        let left = answer.unprocessed_items.unwrap_or_default().into_values().flatten();
        let id = |write: WriteRequest| expression::id_of(&Item::of_sdk(write.put_request?.item)?).map(str::to_owned);
        Ok(left.filter_map(id).collect())
    }
}

impl Transport for Session<'_> {
    const IN_PARALLEL: bool = true;

    fn table(&self) -> &str {
        self.table
    }

    fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    async fn send<R: Request>(&self, request: R) -> Result<R::Answer, Failure> {
        let _turn = if self.in_turn { Some(self.shared.turn().await?) } else { None };
        let sent = request.send(&self.client, self.table);
        match self.limit {
            Some(limit) => {
                tokio::time::timeout(limit, sent).await.unwrap_or_else(|_| Err(error::unreachable_in_time().into()))
            }
            None => sent.await,
        }
    }

    async fn transact(&self, changes: Vec<Change>) -> Result<(), Failure> {
        transaction::commit(self, changes, self.patience).await
    }

    async fn pause(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}
