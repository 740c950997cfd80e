//! On a client of the application: a `MongoClient`, a `Db`, a `ClientSession` in a transaction.
//!
//! What the server says of itself (its clock, whether it has transactions) is asked outside of a
//! transaction also where the store has only ever been used within: a server that does not know
//! transactions may run a command as if it were none, and that must not happen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::capabilities::Lacks;
use super::channel::{Carrier, Collection, Failure};
use super::clock::Clock;
use super::commands::Terms;
use super::document::{max_payload_bytes, raw};
use super::hello::Hello;
use super::objects::{ObjectWriter, first_batch, of_document, read, to_document};
use super::payloads::number;
use super::payloads::single::{self, Sender};
use super::states::States;
use super::{error, inspect};
use crate::contract::capability::Capabilities;
use crate::contract::client::{Client, ClientError};
use crate::contract::dynamic::Dynamic;
use crate::contract::guest::ClientDriver;
use crate::contract::report::{Probe, Usage};
use crate::contract::step::{Reply, Step};
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;
use crate::time::Millis;

/// Payloads that are read at once where they are counted one by one; if they have been small.
const COUNT_AT_ONCE: u64 = 32;
/// Of large ones so many bytes: two of the largest fit an answer.
const COUNT_BYTES: u64 = 8 << 20;

/// A collection, on whichever client.
pub(super) struct Hosted {
    /// None: that of the client.
    database: Option<String>,
    collection: String,
    states_collection: String,
    clock: Clock,
    lacks: Lacks,
    known: Mutex<Option<Arc<Known>>>,
}

/// What is known of the server and of the client.
struct Known {
    /// The client's database, or ours.
    database: String,
    hello: Hello,
    write_concern: RawDocumentBuf,
    read_concern: Option<RawDocumentBuf>,
}

impl Hosted {
    pub(super) fn new(database: Option<String>, collection: String, states_collection: String) -> Self {
        Self {
            database,
            collection,
            states_collection,
            clock: Clock::new(),
            lacks: Lacks::default(),
            known: Mutex::default(),
        }
    }

    fn on<'a>(&'a self, client: &'a Client) -> OnClient<'a> {
        OnClient { client, database: self.database.as_deref() }
    }

    fn terms<'a>(&'a self, on: &Client, known: &'a Known) -> Terms<'a> {
        let alone = !on.facts().in_transaction;
        Terms {
            collection: &self.collection,
            write_concern: Some(&*known.write_concern).filter(|_| alone),
            read_concern: known.read_concern.as_deref().filter(|_| alone),
            max_time: None,
        }
    }

    fn state_terms<'a>(&'a self, terms: Terms<'a>) -> Terms<'a> {
        Terms { collection: &self.states_collection, ..terms }
    }

    /// Asks the server what it is, at first and every half minute. Not while a transaction is open,
    /// if it can be helped.
    async fn known(&self, on: &Client) -> Result<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let in_transaction = on.facts().in_transaction;
        let known = match known {
            Some(known) if in_transaction || !(self.clock.has_jumped() || self.clock.is_due()) => known,
            before => match (self.greet(on).await, before) {
                (Ok(known), _) | (Err(_), Some(known)) => known,
                (Err(error), None) => return Err(error),
            },
        };
        if in_transaction && !known.hello.has_transactions() {
            return Err(known.hello.refuse_transaction(&Outside(self.on(on))).await.unsent());
        }
        Ok(known)
    }

    async fn greet(&self, on: &Client) -> Result<Arc<Known>> {
        let before = Millis::now();
        let asked = on.ask("hello", vec![self.on(on).database()]).await;
        let answer = asked.map_err(|failure| error::of_client(failure).unsent())?;
        let after = Millis::now();
        let of = |name: &str| answer.get(name).cloned().unwrap_or(Dynamic::Null);
        let hello = Hello::of(&to_document(of("hello"))?);
        if let Some(time) = hello.time {
            self.clock.read(time, before, after);
        }
        let known = Known {
            database: of("database").as_text().or(self.database.as_deref()).unwrap_or_default().to_owned(),
            hello,
            write_concern: write_concern(&of("writeConcern"))?,
            read_concern: read_concern(&of("readConcern"))?,
        };
        let mut state = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_none() {
            self.lacks.learn(hello.has_transactions(), true);
        }
        let known = Arc::new(known);
        *state = Some(Arc::clone(&known));
        Ok(known)
    }

    async fn make(&self, client: &Client) -> Result<Vec<String>> {
        if client.facts().in_transaction {
            let message = "initialize makes an index, which MongoDB does not do within a transaction: call it outside";
            return Err(Error::new(Kind::Unsupported, message));
        }
        let known = self.known(client).await?;
        let on = self.on(client);
        let collection = Collection { on: &on, terms: self.terms(client, &known), clock: &self.clock };
        let made = collection.make_index().await?;
        self.lacks.learn(known.hello.has_transactions(), made.ttl);
        let states = Collection { terms: self.state_terms(self.terms(client, &known)), ..collection };
        let refused = states.make_state_indexes().await?;
        let atomic = states.is_atomic(known.hello).await;
        let sagas = inspect::Sagas { collection: &self.states_collection, refused, atomic };
        Ok(inspect::warnings(made, known.hello, &self.collection, &sagas))
    }

    async fn count(&self, client: &Client, now: Millis) -> Result<Usage> {
        let known = self.known(client).await?;
        let on = self.on(client);
        let collection = Collection { on: &on, terms: self.terms(client, &known), clock: &self.clock };
        match collection.count(now).await? {
            Some(usage) => Ok(usage),
            None => self.count_one_by_one(&on, now).await,
        }
    }

    /// Counts where the server cannot count bytes: payloads are read, page by page, because a cursor
    /// lives in a session, and commands of a client have one each.
    async fn count_one_by_one(&self, on: &OnClient<'_>, now: Millis) -> Result<Usage> {
        let now = self.clock.there(now);
        let (mut usage, mut largest, mut last) = (Usage::default(), COUNT_BYTES / 2, None::<String>);
        loop {
            let page = i64::try_from((COUNT_BYTES / largest.max(1)).clamp(2, COUNT_AT_ONCE)).unwrap_or(2);
            let mut filter = doc! { "$type": "string" };
            if let Some(last) = &last {
                filter.insert("$gt", last);
            }
            let find = doc! {
                "find": &self.collection,
                "filter": { "_id": filter },
                "projection": { "data": 1, "expiresAt": 1 },
                "sort": { "_id": 1 },
                "limit": page,
                "batchSize": page + 1,
            };
            let found = first_batch(on.ask("command", of_document(find)).await.map_err(Failure::into_error)?)?;
            let Some(id) = found.last().and_then(|document| document.get("_id")?.as_text().map(str::to_owned)) else {
                return Ok(usage);
            };
            last = Some(id);
            let mut seen = 0;
            for document in found {
                let bytes = if let Some(Dynamic::Bytes(data)) = document.get("data") { data.len() as u64 } else { 0 };
                seen = seen.max(bytes);
                usage.payloads += 1;
                usage.bytes += bytes;
                usage.expired += u64::from(read(document, now)?.0);
            }
            largest = seen;
        }
    }
}

/// Carries commands to a client, within its transaction if it is one.
struct OnClient<'a> {
    client: &'a Client,
    database: Option<&'a str>,
}

impl OnClient<'_> {
    fn database(&self) -> Dynamic {
        self.database.map_or(Dynamic::Null, Dynamic::text)
    }

    async fn ask(&self, method: &'static str, command: Dynamic) -> Result<Dynamic, Failure> {
        self.client.ask(method, vec![command, self.database()]).await.map_err(Failure::Client)
    }

    async fn ask_document(&self, method: &'static str, command: Document) -> Result<Document, Failure> {
        let answer = self.ask(method, of_document(command)).await?;
        to_document(answer).map_err(Failure::Own)
    }

    fn classify(&self, failure: Failure) -> Error {
        if self.client.facts().in_transaction { failure.into_error_in_transaction() } else { failure.into_error() }
    }
}

impl Carrier for OnClient<'_> {
    async fn run(&self, command: Document) -> Result<Document, Failure> {
        let done = self.ask_document("command", command).await;
        match done {
            Err(failure) if self.client.facts().in_transaction => {
                Err(Failure::Own(failure.into_error_in_transaction()))
            }
            other => other,
        }
    }

    async fn pause(&self, pause: Duration) {
        self.client.pause(pause).await;
    }
}

impl Sender for OnClient<'_> {
    type Command = ObjectWriter;

    fn command(&self, _size: usize) -> ObjectWriter {
        ObjectWriter::default()
    }

    async fn send(&mut self, command: ObjectWriter) -> Result<Dynamic> {
        self.ask("command", command.finish()).await.map_err(|failure| self.classify(failure))
    }
}

/// The same, outside of the transaction.
struct Outside<'a>(OnClient<'a>);

impl Carrier for Outside<'_> {
    async fn run(&self, command: Document) -> Result<Document, Failure> {
        self.0.ask_document("outside", command).await
    }

    async fn pause(&self, pause: Duration) {
        self.0.pause(pause).await;
    }
}

impl ClientDriver for Hosted {
    fn capabilities(&self) -> &'static Capabilities {
        self.lacks.capabilities()
    }

    fn max_payload_bytes(&self, id: &str) -> u64 {
        max_payload_bytes(id.len())
    }

    fn classify(&self, error: ClientError) -> Error {
        Failure::Client(error).into_error_in_transaction()
    }

    fn run<'a>(&'a self, on: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            let known = self.known(on).await?;
            let terms = self.terms(on, &known);
            match step {
                Step::State(step) => {
                    let (terms, in_transaction) = (self.state_terms(terms), on.facts().in_transaction);
                    States { on: &mut self.on(on), terms, clock: &self.clock, in_transaction }.run(step).await
                }
                Step::Payload(step) => single::run(&mut self.on(on), terms, &self.clock, step).await,
            }
        })
    }

    fn initialize<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Vec<String>>> {
        Box::pin(self.make(on))
    }

    fn purge_expired<'a>(&'a self, on: &'a Client, now: Millis, limit: u64) -> Task<'a, Result<u64>> {
        Box::pin(async move {
            let known = self.known(on).await?;
            let (on, terms) = (&self.on(on), self.terms(on, &known));
            let removed = Collection { on, terms, clock: &self.clock }.purge(now, limit).await?;
            let left = limit.saturating_sub(removed);
            let states = Collection { on, terms: self.state_terms(terms), clock: &self.clock };
            Ok(removed + if left > 0 { states.purge(now, left).await? } else { 0 })
        })
    }

    fn probe<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Probe>> {
        Box::pin(async move {
            let known = self.known(on).await?;
            let terms = self.terms(on, &known);
            // Servers do not tell of indexes within a transaction.
            let outside = Outside(self.on(on));
            Collection { on: &outside, terms, clock: &self.clock }.probe(&known.database, known.hello).await
        })
    }

    fn usage<'a>(&'a self, on: &'a Client, now: Millis) -> Task<'a, Result<Usage>> {
        Box::pin(self.count(on, now))
    }
}

/// What the client says of writes, or as the store's own connections have it.
fn write_concern(given: &Dynamic) -> Result<RawDocumentBuf> {
    let given = to_document(given.clone()).unwrap_or_default();
    let mut concern = doc! { "w": "majority" };
    match given.get("w") {
        Some(mongodb::bson::Bson::Int64(0)) => {
            return Err(Error::invalid(
                "the client's write concern must not be w: 0: a put would not know whether it is stored",
            ));
        }
        Some(w) => drop(concern.insert("w", w.clone())),
        None => {}
    }
    if let Ok(journal) = given.get_bool("journal") {
        concern.insert("j", journal);
    }
    if given.contains_key("wtimeoutMS") {
        concern.insert("wtimeout", number(&given, "wtimeoutMS"));
    }
    raw(&concern)
}

/// What the client says of reads.
fn read_concern(given: &Dynamic) -> Result<Option<RawDocumentBuf>> {
    let level = given.get("level").and_then(Dynamic::as_text);
    level.map(|level| raw(&doc! { "level": level })).transpose()
}
