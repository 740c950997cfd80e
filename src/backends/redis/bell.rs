//! New events, heard on the stream of those that can be claimed.
//!
//! - A store that is asked for it reads the stream (`XREAD BLOCK`, without the group: nothing is claimed by that) over a
//!   connection of its own, which does nothing else.
//! - The server answers every few seconds, also with nothing. A connection that does not is replaced; behind each new
//!   one the bell rings, because nobody knows what was missed.
//! - What goes back to the queue, and what becomes due, does not come over the stream: others find it by polling.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::Error as FredError;
use fred::interfaces::ClientLike;
use fred::prelude::Value;
use fred::types::config::PerformanceConfig;
use fred::types::{ClusterHash, CustomCommand};
use fred::util::redis_keyslot;
use tokio::sync::Notify;

use super::error;
use super::shared::Connector;
use crate::error::{Error, Kind, Result};
use crate::runtime;

/// So long the server waits for an event before it answers with nothing.
const WAIT: Duration = Duration::from_secs(4);
/// So long it may take beyond that.
const PATIENCE: Duration = Duration::from_secs(4);
/// The pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a store hears of others.
#[derive(Default)]
pub(super) struct Bell {
    /// Permits are kept: what has rung since the last question is heard by the next one.
    rung: Arc<Notify>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Ends with the store.
    listener: Option<tokio::task::JoinHandle<()>>,
    /// Why it hears nothing.
    trouble: Option<String>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bell {
    /// Why others' events are only found by polling; nothing, where nobody has asked.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.state).trouble.clone()
    }

    /// Whether it listens; none, where nobody has asked.
    pub(super) fn listens(&self) -> Option<bool> {
        let state = lock(&self.state);
        state.listener.as_ref().map(|_| state.trouble.is_none())
    }

    /// Ready when events may have been stored since the last time.
    pub(super) async fn rung(&self, shared: &Arc<Connector>, stream: String) {
        {
            let mut state = lock(&self.state);
            if state.listener.is_none()
                && let Ok(io) = runtime::io()
            {
                let listening = Listening {
                    shared: Arc::clone(shared),
                    stream,
                    rung: Arc::clone(&self.rung),
                    state: Arc::clone(&self.state),
                };
                state.listener = Some(io.spawn(listening.run()));
            }
        }
        self.rung.notified().await;
    }

    /// Listens no more.
    pub(super) fn close(&self) {
        if let Some(listener) = lock(&self.state).listener.take() {
            listener.abort();
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the connection of its own needs.
struct Listening {
    shared: Arc<Connector>,
    stream: String,
    rung: Arc<Notify>,
    state: Arc<Mutex<State>>,
}

/// Ends a connection with the task that listens.
struct Ends(tokio::task::JoinHandle<std::result::Result<(), FredError>>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listening {
    /// Listens, again and again.
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let Err(error) = self.listen().await;
            tracing::debug!(%error, "redis: nothing is heard of others' events");
            lock(&self.state).trouble =
                Some(format!("events of other processes are found by polling: {}", error.message()));
            if began.elapsed() > WAIT * 2 {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Listens until that fails.
    async fn listen(&self) -> Result<Infallible> {
        let endpoint = self.shared.endpoint();
        let (config, connection) = (endpoint.client_config()?, endpoint.connection_config());
        let client = Client::new(config, Some(PerformanceConfig::default()), Some(connection), None);
        let _ends = Ends(client.connect());
        within(client.wait_for_connect()).await?;
        // From here on: what was stored before is found by the look that the bell asks for.
        let mut after = String::from("$");
        lock(&self.state).trouble = None;
        self.rung.notify_one();
        loop {
            if let Some(last) = within(self.read(&client, &after)).await? {
                after = last;
                self.rung.notify_one();
            }
        }
    }

    /// Waits for events behind `after`; the id of the last one.
    async fn read(&self, client: &Client, after: &str) -> std::result::Result<Option<String>, FredError> {
        let slot = ClusterHash::Custom(redis_keyslot(self.stream.as_bytes()));
        let wait = WAIT.as_millis().to_string();
        // Many are told by one: nobody reads them here.
        let words = ["COUNT", "1000", "BLOCK", &wait, "STREAMS", &self.stream, after].map(str::to_owned);
        let heard: Value = client.custom(CustomCommand::new_static("XREAD", slot, true), words.to_vec()).await?;
        Ok(last_id(&heard))
    }
}

/// The id of the last entry of an answer to XREAD: `[[stream, [[id, fields], …]]]`, or with RESP3 `{stream: […]}`.
fn last_id(answer: &Value) -> Option<String> {
    let entries = match answer {
        Value::Array(streams) => match streams.first()? {
            Value::Array(stream) => stream.get(1)?,
            _ => return None,
        },
        Value::Map(streams) => streams.iter().next()?.1,
        _ => return None,
    };
    let Value::Array(entries) = entries else { return None };
    let Value::Array(last) = entries.last()? else { return None };
    last.first()?.as_string()
}

async fn within<T>(asked: impl Future<Output = std::result::Result<T, FredError>>) -> Result<T> {
    let late = || Error::new(Kind::Timeout, "the connection that listens has fallen silent");
    tokio::time::timeout(WAIT + PATIENCE, asked).await.map_err(|_| late())?.map_err(error::connecting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::String(text.into())
    }

    #[test]
    fn the_last_entry_of_an_answer_is_found() {
        let entry = |id: &str| Value::Array(vec![text(id), Value::Array(vec![text("id"), text("e")])]);
        let stream = |ids: &[&str]| {
            Value::Array(vec![text("s"), Value::Array(ids.iter().map(|id| entry(id)).collect::<Vec<_>>())])
        };
        assert_eq!(last_id(&Value::Array(vec![stream(&["1-0", "7-0"])])), Some(String::from("7-0")));
        assert_eq!(last_id(&Value::Null), None);
        assert_eq!(last_id(&Value::Array(vec![])), None);
    }
}
