//! The way of requests to a table on a client of the application.

use std::time::Duration;

use super::changes::{Change, Transact};
use super::channel::{Channel, read_clock};
use super::clock::Clock;
use super::config::{KnownNames, Tables};
use super::error::{Failure, of_client};
use super::requests::{Request, take};
use crate::contract::client::Client;
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::RecordKind;
use crate::error::Result;

/// The table of a kind, and a client of the application.
pub(super) struct OnClient<'a> {
    client: &'a Client,
    tables: &'a Tables,
    kind: RecordKind,
    clock: &'a Clock,
}

impl<'a> OnClient<'a> {
    /// Leads to the table of payloads.
    pub(super) fn new(client: &'a Client, tables: &'a Tables, clock: &'a Clock) -> Self {
        Self { client, tables, kind: RecordKind::Payloads, clock }
    }

    /// The same. Looks at the server's clock, the first time.
    pub(super) async fn open(client: &'a Client, tables: &'a Tables, clock: &'a Clock) -> Result<Self> {
        let on = Self::new(client, tables, clock);
        if clock.ahead().is_none() {
            read_clock(&on).await?;
        }
        Ok(on)
    }
}

impl Channel for OnClient<'_> {
    const IN_PARALLEL: bool = false;

    fn to(&self, kind: RecordKind) -> Self {
        Self { kind, ..*self }
    }

    fn table(&self) -> &str {
        self.tables.of(self.kind)
    }

    fn clock(&self) -> &Clock {
        self.clock
    }

    fn known_names(&self) -> &KnownNames {
        &self.tables.known
    }

    async fn send<R: Request>(&self, request: R) -> Result<R::Answer, Failure> {
        let wants_date = Dynamic::Bool(self.clock.is_due());
        let tables = request.tables();
        let arguments = vec![R::NAME.into(), request.input(self.table()), wants_date];
        let answered = self.client.ask("send", arguments).await;
        let mut answer = match answered {
            Ok(answer) => answer,
            Err(error) => return R::otherwise(of_client(error, tables.as_deref().unwrap_or(self.table()))),
        };
        if let Some(Dynamic::Text(date)) = take(&mut answer, "date") {
            self.clock.read(&date);
        }
        R::answer(take(&mut answer, "output").unwrap_or(Dynamic::Null))
    }

    async fn transact(&self, changes: Vec<Change>) -> Result<(), Failure> {
        let sent = self.send(Transact { changes, token: None }).await;
        sent.map_err(|failure| if failure.is_uncertain() { failure.into_unknown_outcome().into() } else { failure })
    }

    async fn pause(&self, pause: Duration) {
        self.client.pause(pause).await;
    }
}
