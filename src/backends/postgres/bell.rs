//! New events, told by `NOTIFY` and heard by `LISTEN`.
//!
//! - A store that is asked for it listens on a session of its own. It is asked for what it listens to every few seconds,
//!   so that one that has died unnoticed is found and replaced; behind each `LISTEN` the bell rings, because nobody
//!   knows what was missed.
//! - Behind a pooler that hands sessions on with each transaction, `LISTEN` succeeds, and nothing is heard but by whoever
//!   has the session then, who may not expect it. So a pooler is looked for before (`is_handed_on`), and a first `NOTIFY`
//!   of the store's own tells whether it is heard. There, and where the server cannot be reached, others are found by
//!   polling.
//! - A `NOTIFY` goes in a statement of its own behind the commit, one at a time: the server commits those that notify
//!   one after the other.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgListener, PgPoolOptions, Postgres};
use sqlx::{AssertSqlSafe, Executor, Row, raw_sql};

use super::error::of_connecting;
use super::pool::{Patience, Pool};
use crate::error::{Error, Kind, Result};
use crate::listening::{Hearing, Listener, Listening};
use crate::runtime;

/// How often a session is asked whether it listens.
const HEARTBEAT: Duration = Duration::from_secs(4);
/// How long it may take to answer, and how long a `NOTIFY` of the store's own may be under way.
const PATIENCE: Duration = Duration::from_secs(4);
/// A `NOTIFY` comes at the earliest so long behind the one before it.
const APART: Duration = Duration::from_millis(10);

/// So often a pooler is looked for.
const ROUNDS: usize = 5;

/// What a store hears, and tells.
pub(super) struct Bell {
    channel: Arc<str>,
    /// What it says, so that it knows its own voice: whoever waits in this store is woken without it.
    voice: Arc<str>,
    /// Whether the URL says that there is a pooler.
    is_pooled: bool,
    pub(super) listener: Listener,
    telling: Arc<Mutex<Telling>>,
}

#[derive(Default)]
struct Telling {
    is_under_way: bool,
    is_due: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bell {
    /// A bell that tells and hears on this channel, and says this.
    pub(super) fn new(channel: &str, voice: &str, is_pooled: bool) -> Self {
        let (listener, telling) = (Listener::default(), Arc::default());
        Self { channel: channel.into(), voice: voice.into(), is_pooled, listener, telling }
    }

    /// Ready when somebody has told of events since the last time.
    pub(super) async fn rung(&self, pool: &Arc<Pool>) {
        let session = || Session {
            channel: Arc::clone(&self.channel),
            voice: Arc::clone(&self.voice),
            is_pooled: self.is_pooled,
            pool: Arc::clone(pool),
        };
        self.listener.rung(session).await;
    }

    /// Tells others that there are new events.
    pub(super) fn tell(&self, pool: &Arc<Pool>, wait: Duration) {
        let mut telling = lock(&self.telling);
        telling.is_due = true;
        if std::mem::replace(&mut telling.is_under_way, true) {
            return;
        }
        drop(telling);
        let Ok(io) = runtime::io() else { return };
        let (telling, pool) = (Arc::clone(&self.telling), Arc::clone(pool));
        let (channel, voice) = (Arc::clone(&self.channel), Arc::clone(&self.voice));
        io.spawn(async move {
            loop {
                {
                    let mut telling = lock(&telling);
                    telling.is_under_way = std::mem::take(&mut telling.is_due);
                    if !telling.is_under_way {
                        return;
                    }
                }
                let began = Instant::now();
                if let Err(error) = notify(&pool, &channel, &voice, wait).await {
                    // Others find the events by polling.
                    tracing::debug!(%error, "postgres: others were not told of new events");
                }
                tokio::time::sleep_until((began + APART).into()).await;
            }
        });
    }
}

fn word() -> String {
    format!("{:016x}", fastrand::u64(..))
}

async fn notify(pool: &Arc<Pool>, channel: &str, payload: &str, wait: Duration) -> Result<()> {
    let mut checkout = pool.checkout(Patience { wait, trust: super::driver::TRUSTED }).await?;
    // The names are ours: letters, digits, underscores and a colon.
    let sql = format!("notify \"{channel}\", '{payload}'");
    let connection = checkout.start()?;
    let told = tokio::time::timeout(PATIENCE, raw_sql(AssertSqlSafe(sql)).execute(connection)).await;
    let late = || Error::new(Kind::Timeout, format!("NOTIFY: no answer within {} ms", PATIENCE.as_millis()));
    told.map_err(|_| late())?.map_err(of_connecting)?;
    checkout.done();
    Ok(())
}

/// What the session of its own needs.
struct Session {
    channel: Arc<str>,
    voice: Arc<str>,
    is_pooled: bool,
    pool: Arc<Pool>,
}

impl Listening for Session {
    const BACKEND: &'static str = "postgres";

    async fn listen(&self, hearing: &Hearing) -> Result<Infallible> {
        if self.is_pooled {
            return Err(handed_on());
        }
        let mut listener = within("connecting to listen", async {
            let one = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
            let session = one.acquire_timeout(PATIENCE).connect_lazy_with(self.pool.options().clone());
            let mut listener = PgListener::connect_with(&session).await?;
            listener.eager_reconnect(false);
            Ok(listener)
        })
        .await?;
        if self.is_handed_on(&mut listener).await? {
            return Err(handed_on());
        }
        within("LISTEN", listener.listen(&self.channel)).await?;
        self.prove(&mut listener).await?;
        hearing.begun();
        loop {
            match tokio::time::timeout(HEARTBEAT, listener.try_recv()).await {
                Ok(Ok(Some(heard))) if heard.payload() == &*self.voice => {}
                Ok(Ok(Some(_))) => hearing.heard(),
                Ok(Ok(None)) => return Err(Error::new(Kind::Connection, "the session that listens was closed")),
                Ok(Err(error)) => return Err(of_connecting(error)),
                Err(_) => self.check(&mut listener).await?,
            }
        }
    }
}

impl Session {
    /// Whether a pooler gives the server's process to others between two statements: another connection has the same one,
    /// or it is another one while that connection keeps one for a transaction.
    async fn is_handed_on(&self, listener: &mut PgListener) -> Result<bool> {
        let ours = process(&mut *listener).await?;
        for _ in 0..ROUNDS {
            let mut checkout = self.pool.checkout(Patience { wait: PATIENCE, trust: super::driver::TRUSTED }).await?;
            let beside = checkout.start()?;
            within("begin", beside.execute(raw_sql("begin"))).await?;
            let is_other = process(&mut *beside).await? == ours || process(&mut *listener).await? != ours;
            within("rollback", beside.execute(raw_sql("rollback"))).await?;
            checkout.done();
            if is_other {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells itself something, over another session.
    async fn prove(&self, listener: &mut PgListener) -> Result<()> {
        let word = word();
        notify(&self.pool, &self.channel, &word, PATIENCE).await?;
        let heard = async {
            loop {
                match listener.try_recv().await {
                    Ok(Some(heard)) if heard.payload() == word => return Ok(()),
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(Error::new(Kind::Connection, "the session that listens was closed")),
                    Err(error) => return Err(of_connecting(error)),
                }
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.unwrap_or_else(|_| Err(handed_on()))
    }

    /// Asks the session whether it is there, and listens.
    async fn check(&self, listener: &mut PgListener) -> Result<()> {
        let sql = "select count(*) from pg_listening_channels() as channel where channel = ";
        // The name is ours: letters, digits, underscores and a colon.
        let sql = format!("{sql}'{}'", self.channel);
        let row = within("the session that listens", listener.fetch_one(AssertSqlSafe(sql))).await?;
        if row.try_get::<i64, _>(0).is_ok_and(|count| count > 0) {
            return Ok(());
        }
        Err(Error::new(Kind::Connection, "the session listens no more"))
    }
}

fn handed_on() -> Error {
    let message = "LISTEN would hear nothing here: a pooler (PgBouncer in transaction mode) hands its session on";
    Error::new(Kind::Unsupported, message)
}

/// The server's process that answers.
async fn process<'c>(on: impl Executor<'c, Database = Postgres>) -> Result<i32> {
    let row = within("select pg_backend_pid()", on.fetch_one(raw_sql("select pg_backend_pid()::text"))).await?;
    let text: String = row.try_get_unchecked(0).map_err(of_connecting)?;
    text.parse().map_err(|_| Error::new(Kind::Backend, "pg_backend_pid() is no number"))
}

async fn within<T>(what: &str, asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T> {
    let late = || Error::new(Kind::Timeout, format!("{what}: no answer within {} ms", PATIENCE.as_millis()));
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| late())?.map_err(of_connecting)
}
