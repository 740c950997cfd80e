//! On a client of the application: a `MongoClient`, a `Db`, a `ClientSession` in a transaction.
//!
//! What the server says of itself (its clock, whether it has transactions) is asked outside of a
//! transaction also where the store has only ever been used within: a server that does not know
//! transactions may run a command as if it were none, and that must not happen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::answer::number;
use super::build::Terms;
use super::capabilities::Lacks;
use super::channel::{self, Carrier, Channel, Collection, Failure};
use super::clock::Clock;
use super::collections::Names;
use super::document::{max_payload_bytes, raw};
use super::hello::Hello;
use super::objects::{ObjectWriter, first_batch, of_document, read, to_document};
use super::{error, executions, inbox, inspect, moving, outbox, payloads, rights, states};
use crate::contract::capability::Capabilities;
use crate::contract::client::{Client, ClientError};
use crate::contract::dynamic::Dynamic;
use crate::contract::guest::ClientDriver;
use crate::contract::operation::RecordKind;
use crate::contract::report::{Probe, Usage};
use crate::contract::step::{Reply, Step};
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;
use crate::time::Millis;

/// Payloads that are read at once where they are counted one by one; if they have been small.
const COUNT_AT_ONCE: u64 = 32;
/// Of large ones so many bytes: two of the largest fit an answer.
const COUNT_BYTES: u64 = 8 << 20;

/// The collections, on whichever client.
pub(super) struct Hosted {
    /// None: that of the client.
    database: Option<String>,
    names: Names,
    clock: Clock,
    lacks: Lacks,
    known: Mutex<Option<Arc<Known>>>,
}

/// What is known of the server and of the client.
struct Known {
    /// The client's database, or ours.
    database: String,
    hello: Hello,
    is_atomic: bool,
    write_concern: RawDocumentBuf,
    read_concern: Option<RawDocumentBuf>,
}

impl Hosted {
    pub(super) fn new(database: Option<String>, names: Names) -> Self {
        Self { database, names, clock: Clock::new(), lacks: Lacks::default(), known: Mutex::default() }
    }

    fn caller<'a>(&'a self, client: &'a Client) -> Caller<'a> {
        Caller { client, database: self.database.as_deref() }
    }

    /// To the collection of payloads.
    fn on<'a>(&'a self, client: &'a Client, known: &'a Known) -> OnClient<'a> {
        let alone = !client.facts().in_transaction;
        let terms = Terms {
            collection: self.names.of(RecordKind::Payloads),
            write_concern: Some(&*known.write_concern).filter(|_| alone),
            read_concern: known.read_concern.as_deref().filter(|_| alone),
            max_time: None,
        };
        let (caller, is_atomic) = (self.caller(client), known.is_atomic);
        let has_transactions = known.hello.has_transactions();
        OnClient { caller, names: &self.names, terms, clock: &self.clock, is_atomic, has_transactions }
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
            return Err(known.hello.refuse_transaction(&Outside(self.caller(on))).await.unsent());
        }
        Ok(known)
    }

    async fn greet(&self, on: &Client) -> Result<Arc<Known>> {
        let before = Millis::now();
        let asked = on.ask("hello", vec![self.caller(on).database()]).await;
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
            is_atomic: hello.changes_atomically(&Outside(self.caller(on))).await,
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
        let on = self.on(client, &known);
        let (states, executions) = (on.to(RecordKind::States), on.to(RecordKind::Executions));
        let (outbox, inbox) = (on.to(RecordKind::Outbox), on.to(RecordKind::Inbox));
        let kinds = inspect::Kinds {
            payloads: on.as_collection(),
            states: states.as_collection(),
            executions: executions.as_collection(),
            log: executions.as_log_collection(),
            outbox: outbox.as_collection(),
            inbox: inbox.as_collection(),
        };
        let mut warnings = inspect::initialize(kinds, known.hello, &self.lacks).await?;
        warnings.extend(rights::lacking(&Outside(on.caller), &known.database, &self.names).await?);
        Ok(warnings)
    }

    async fn count(&self, client: &Client, now: Millis) -> Result<Usage> {
        let known = self.known(client).await?;
        let on = self.on(client, &known);
        match on.as_collection().count(now).await? {
            Some(usage) => Ok(usage),
            None => on.count_one_by_one(now).await,
        }
    }
}

/// Carries commands to a client, within its transaction if it is one.
#[derive(Clone, Copy)]
struct Caller<'a> {
    client: &'a Client,
    database: Option<&'a str>,
}

impl Caller<'_> {
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
}

impl Carrier for Caller<'_> {
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

/// The same, outside of the transaction.
struct Outside<'a>(Caller<'a>);

impl Carrier for Outside<'_> {
    async fn run(&self, command: Document) -> Result<Document, Failure> {
        self.0.ask_document("outside", command).await
    }

    async fn pause(&self, pause: Duration) {
        self.0.pause(pause).await;
    }
}

/// A collection on a client, within its transaction if it is one.
#[derive(Clone, Copy)]
struct OnClient<'a> {
    caller: Caller<'a>,
    names: &'a Names,
    terms: Terms<'a>,
    clock: &'a Clock,
    is_atomic: bool,
    has_transactions: bool,
}

impl<'a> OnClient<'a> {
    /// For commands that are sent rarely.
    fn as_collection(&self) -> Collection<'_, Caller<'a>> {
        Collection { on: &self.caller, terms: self.terms, clock: self.clock }
    }

    /// The same, of the logs of executions.
    fn as_log_collection(&self) -> Collection<'_, Caller<'a>> {
        Collection { terms: Terms { collection: self.log_collection(), ..self.terms }, ..self.as_collection() }
    }

    async fn send(&self, command: ObjectWriter) -> Result<Dynamic> {
        self.caller.ask("command", command.finish()).await.map_err(|failure| {
            if self.in_transaction() { failure.into_error_in_transaction() } else { failure.into_error() }
        })
    }

    /// Counts where the server cannot count bytes: payloads are read, page by page, because a cursor
    /// lives in a session, and commands of a client have one each.
    async fn count_one_by_one(&self, now: Millis) -> Result<Usage> {
        let now = self.clock.there(now);
        let (mut usage, mut largest, mut last) = (Usage::default(), COUNT_BYTES / 2, None::<String>);
        loop {
            let page = i64::try_from((COUNT_BYTES / largest.max(1)).clamp(2, COUNT_AT_ONCE)).unwrap_or(2);
            let mut filter = doc! { "$type": "string" };
            if let Some(last) = &last {
                filter.insert("$gt", last);
            }
            let find = doc! {
                "find": self.collection(),
                "filter": { "_id": filter },
                "projection": { "data": 1, "expiresAt": 1 },
                "sort": { "_id": 1 },
                "limit": page,
                "batchSize": page + 1,
            };
            let found = first_batch(self.caller.ask("command", of_document(find)).await.map_err(Failure::into_error)?)?;
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

impl Channel for OnClient<'_> {
    type Command = ObjectWriter;

    fn to(&self, kind: RecordKind) -> Self {
        Self { terms: Terms { collection: self.names.of(kind), ..self.terms }, ..*self }
    }

    fn collection(&self) -> &str {
        self.terms.collection
    }

    fn log_collection(&self) -> &str {
        self.names.log()
    }

    fn clock(&self) -> &Clock {
        self.clock
    }

    fn is_atomic(&self) -> bool {
        self.is_atomic
    }

    fn in_transaction(&self) -> bool {
        self.caller.client.facts().in_transaction
    }

    /// What became of a write is the client's own affair: it sends it again, or does not.
    async fn change<W: Fn(&mut ObjectWriter) + Send + Sync>(
        &self,
        _size: usize,
        _replaces: &[&str],
        write: W,
    ) -> Result<Document> {
        let mut command = ObjectWriter::default();
        write(&mut command);
        self.terms.end_write(&mut command);
        to_document(self.send(command).await?)
    }

    /// The client begins a transaction of its own, unless it is in one.
    async fn change_together<W: Fn(usize, &mut ObjectWriter) + Send + Sync>(
        &self,
        sizes: &[usize],
        write: W,
    ) -> Result<Option<Vec<Document>>> {
        if self.in_transaction() {
            return channel::one_by_one(self, sizes, write).await.map(Some);
        }
        if !self.has_transactions {
            return Ok(None);
        }
        let commands = (0..sizes.len()).map(|at| {
            let mut command = ObjectWriter::default();
            write(at, &mut command);
            command.finish()
        });
        let concern = self.terms.write_concern.map(Document::try_from).transpose().map_err(error::malformed)?;
        let concern = of_document(concern.unwrap_or_default());
        let given = vec![Dynamic::List(commands.collect()), self.caller.database(), concern];
        let asked = self.caller.client.ask("together", given).await;
        let answer = asked.map_err(|failure| Failure::Client(failure).into_error_in_transaction())?;
        let replies = answer.into_list().ok_or_else(error::unexpected)?;
        replies.into_iter().map(to_document).collect::<Result<_>>().map(Some)
    }

    async fn ask<W: FnOnce(&mut ObjectWriter) + Send>(&self, _size: usize, write: W) -> Result<Dynamic> {
        let mut command = ObjectWriter::default();
        write(&mut command);
        self.terms.end_read(&mut command);
        self.send(command).await
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
            let on = self.on(on, &known);
            match step {
                Step::Payload(step) => payloads::single::run(&on, step).await,
                Step::Outbox(step) => outbox::single::run(&on.to(RecordKind::Outbox), step).await,
                Step::Moving(step) => moving::run(&on, step).await,
                Step::Inbox(step) => inbox::run(&on.to(RecordKind::Inbox), step).await,
                Step::Execution(step) => executions::single::run(&on.to(RecordKind::Executions), step).await,
                Step::State(step) => states::single::run(&on.to(RecordKind::States), step).await,
            }
        })
    }

    fn initialize<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Vec<String>>> {
        Box::pin(self.make(on))
    }

    fn purge_expired<'a>(&'a self, on: &'a Client, now: Millis, limit: u64) -> Task<'a, Result<u64>> {
        Box::pin(async move {
            let known = self.known(on).await?;
            let on = self.on(on, &known);
            let states = on.to(RecordKind::States);
            let removed = inspect::purge(&[on.as_collection(), states.as_collection()], now, limit).await?;
            Ok(removed + inspect::purge_others(&on, now, limit.saturating_sub(removed)).await?)
        })
    }

    fn probe<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Probe>> {
        Box::pin(async move {
            let known = self.known(on).await?;
            let on = self.on(on, &known);
            // Servers do not tell of indexes within a transaction.
            let outside = Outside(on.caller);
            let collection = Collection { on: &outside, terms: on.terms, clock: on.clock };
            collection.probe(&known.database, known.hello, &self.names).await
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
