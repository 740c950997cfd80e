//! The driver's client, which stores of one URL share: made by the first operation, with what
//! the server says of itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::{Client, ClientSession, Database};

use super::address::Address;
use super::channel::{Carrier, Failure};
use super::clock::Clock;
use super::document::raw;
use super::error;
use super::hello::{Deployment, Hello, changes_atomically};
use crate::connecting::Connecting;
use crate::contract::report::Pool;
use crate::error::Result;
use crate::reaching::looked_for_at;
use crate::runtime;
use crate::time::Millis;

/// Saying goodbye to the servers takes no longer.
const GOODBYE: Duration = Duration::from_secs(1);

/// The client, connected.
pub(super) struct Server {
    client: Client,
    database: Database,
    hello: Hello,
    numbers: AtomicBool,
    one_by_one: bool,
    is_atomic: bool,
}

impl Server {
    /// The store's database.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// What it has said of itself.
    pub(super) fn hello(&self) -> Hello {
        self.hello
    }

    /// Whether it changes a document atomically.
    pub(super) fn is_atomic(&self) -> bool {
        self.is_atomic
    }

    /// Puts that one command may carry.
    pub(super) fn puts_in_command(&self) -> usize {
        if self.one_by_one { 1 } else { usize::MAX }
    }

    /// Ids that one command may ask for.
    pub(super) fn ids_in_command(&self) -> usize {
        if self.one_by_one { 1 } else { usize::MAX }
    }

    /// Whether writes carry a session and a number.
    pub(super) fn numbers_writes(&self) -> bool {
        self.numbers.load(Ordering::Relaxed)
    }

    /// It has refused a numbered write.
    pub(super) fn stop_numbering(&self) {
        self.numbers.store(false, Ordering::Relaxed);
    }

    /// A session for a transaction.
    pub(super) async fn new_session(&self) -> Result<ClientSession> {
        self.client.start_session().await.map_err(error::connecting)
    }

    /// Runs a command whose answer fits one document.
    pub(super) async fn run_raw(&self, command: RawDocumentBuf) -> Result<Document, mongodb::error::Error> {
        self.database.run_raw_command(command).await
    }
}

impl Carrier for Server {
    async fn run(&self, command: Document) -> Result<Document, Failure> {
        let command = raw(&command).map_err(Failure::Own)?;
        self.run_raw(command).await.map_err(Failure::Driver)
    }

    async fn pause(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}

/// Connections, as the driver's events tell of them.
#[derive(Default)]
struct Counts {
    open: AtomicU64,
    in_use: AtomicU64,
}

impl Counts {
    fn note(&self, event: &CmapEvent) {
        // Each is told once, so a wrapped count comes right again.
        match event {
            CmapEvent::ConnectionCreated(_) => self.open.fetch_add(1, Ordering::Relaxed),
            CmapEvent::ConnectionClosed(_) => self.open.fetch_sub(1, Ordering::Relaxed),
            CmapEvent::ConnectionCheckedOut(_) => self.in_use.fetch_add(1, Ordering::Relaxed),
            CmapEvent::ConnectionCheckedIn(_) => self.in_use.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// A session for writes, and the number of its last one.
pub(super) struct WriteSession {
    pub(super) session: ClientSession,
    pub(super) number: i64,
}

/// Carries commands to the servers of one URL.
pub(super) struct Connector {
    address: Address,
    counts: Arc<Counts>,
    clock: Clock,
    connecting: Arc<Connecting<Server>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    client: Option<Client>,
    idle_sessions: Vec<WriteSession>,
}

impl Connector {
    /// Does not connect.
    pub(super) fn new(address: Address) -> Self {
        let connecting = Arc::new(Connecting::new("MongoDB"));
        Self { address, counts: Arc::default(), clock: Clock::new(), connecting, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL, read.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The server's clock.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The client; makes it, and asks the server what it is, if that has not been done.
    pub(super) async fn server(self: &Arc<Self>) -> Result<Arc<Server>> {
        let open = || {
            let shared = Arc::clone(self);
            async move {
                let opened = shared.open().await;
                opened.map_err(|error| looked_for_at(error, &shared.address.place()))
            }
        };
        self.connecting.get(|_| true, open).await
    }

    async fn open(&self) -> Result<Server> {
        let known = self.state().client.clone();
        let client = match known {
            Some(client) => client,
            None => self.new_client().await?,
        };
        let hello = self.hello(&client).await?;
        let is_alone = hello.deployment == Deployment::Standalone;
        let build = if is_alone { build_info(&client).await? } else { Document::new() };
        Ok(Server {
            one_by_one: build.contains_key("ferretdbVersion"),
            is_atomic: changes_atomically(&build),
            database: client.database(&self.address.database),
            client,
            hello,
            numbers: AtomicBool::new(hello.has_transactions() && self.address.retry_writes),
        })
    }

    async fn new_client(&self) -> Result<Client> {
        let mut options = self.address.options().await?;
        let counts = Arc::clone(&self.counts);
        options.cmap_event_handler = Some(EventHandler::callback(move |event| counts.note(&event)));
        let client = Client::with_options(options).map_err(error::connecting)?;
        self.state().client = Some(client.clone());
        Ok(client)
    }

    async fn hello(&self, client: &Client) -> Result<Hello> {
        let before = Millis::now();
        let reply = client.database("admin").run_command(doc! { "hello": 1 }).await.map_err(error::connecting)?;
        let hello = Hello::of(&reply);
        if let Some(time) = hello.time {
            self.clock.read(time, before, Millis::now());
        }
        Ok(hello)
    }

    /// Reads the server's clock, if ours has been set since the last time; if that was only long ago, beside the work.
    pub(super) async fn keep_time(self: &Arc<Self>, server: &Arc<Server>) {
        if self.clock.has_jumped() {
            // What comes next meets the same failure, and says it.
            drop(self.hello(&server.client).await);
            return;
        }
        if !self.clock.is_due() {
            return;
        }
        if let Ok(runtime) = runtime::io() {
            let (shared, server) = (Arc::clone(self), Arc::clone(server));
            runtime.spawn(async move { drop(shared.hello(&server.client).await) });
        }
    }

    /// A session that nobody else is using.
    pub(super) async fn write_session(&self, server: &Server) -> Result<WriteSession> {
        let idle = self.state().idle_sessions.pop();
        if let Some(session) = idle {
            return Ok(session);
        }
        let session = server.client.start_session().causal_consistency(false).await;
        Ok(WriteSession { session: session.map_err(error::connecting)?, number: 0 })
    }

    /// Takes a session back whose last write has come to its end.
    pub(super) fn give_back(&self, session: WriteSession) {
        let mut state = self.state();
        if !self.connecting.is_closed() {
            state.idle_sessions.push(session);
        }
    }

    /// The connections as they are.
    pub(super) fn pool(&self) -> Pool {
        let open = self.counts.open.load(Ordering::Relaxed);
        Pool { open, idle: open.saturating_sub(self.counts.in_use.load(Ordering::Relaxed)) }
    }

    /// Ends the connections; ready when they are gone.
    pub(super) async fn close(&self) {
        // Nobody gives sessions back behind this.
        let (_, attempt) = self.connecting.close();
        let State { client, idle_sessions } = std::mem::take(&mut *self.state());
        drop(idle_sessions);
        if let Some(attempt) = attempt {
            drop(tokio::time::timeout(GOODBYE, attempt).await);
        }
        if let Some(client) = client {
            let goodbye = client.clone().shutdown();
            if tokio::time::timeout(GOODBYE, async { goodbye.await }).await.is_err() {
                // It tells the servers which sessions have ended: a silent one is not waited for.
                let shutdown = client.shutdown().immediate(true);
                drop(tokio::time::timeout(GOODBYE, async { shutdown.await }).await);
            }
        }
    }
}

/// What a server says of its version. FerretDB 1 takes a connection of its own pool for each statement of a command and
/// keeps it until the command ends: when all are taken, it waits for ever. It has an index for one id, not for several,
/// and puts into one answer what does not fit there.
async fn build_info(client: &Client) -> Result<Document> {
    match client.database("admin").run_command(doc! { "buildInfo": 1 }).await {
        Ok(build) => Ok(build),
        // Who may not ask talks to another server.
        Err(failure) if error::code_of(&failure).is_some() => Ok(Document::new()),
        Err(failure) => Err(error::connecting(failure)),
    }
}
