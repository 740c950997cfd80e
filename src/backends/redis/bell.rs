//! New events, heard on the stream of those that can be claimed.
//!
//! - A store that is asked for it reads the stream (`XREAD BLOCK`, without the group: nothing is claimed by that) over a
//!   connection of its own, which does nothing else.
//! - The server answers every few seconds, also with nothing. A connection that does not is replaced; behind each new
//!   one the bell rings, because nobody knows what was missed.
//! - What goes back to the queue, and what becomes due, does not come over the stream: others find it by polling.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error as FredError;
use fred::interfaces::ClientLike;
use fred::prelude::Value;
use fred::types::config::PerformanceConfig;
use fred::types::{ClusterHash, CustomCommand};
use fred::util::redis_keyslot;

use super::error;
use super::shared::Connector;
use crate::error::{Error, Kind, Result};
use crate::listening::{Hearing, Listener, Listening};

/// So long the server waits for an event before it answers with nothing.
const WAIT: Duration = Duration::from_secs(4);
/// So long it may take beyond that.
const PATIENCE: Duration = Duration::from_secs(4);
/// Ready when events may have been stored since the last time.
pub(super) async fn rung(listener: &Listener, shared: &Arc<Connector>, stream: String) {
    listener.rung(|| Reader { shared: Arc::clone(shared), stream }).await;
}

/// What the connection of its own needs.
struct Reader {
    shared: Arc<Connector>,
    stream: String,
}

/// Ends a connection with the task that listens.
struct Ends(tokio::task::JoinHandle<std::result::Result<(), FredError>>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listening for Reader {
    const BACKEND: &'static str = "redis";

    async fn listen(&self, hearing: &Hearing) -> Result<Infallible> {
        let endpoint = self.shared.endpoint();
        let (config, connection) = (endpoint.client_config()?, endpoint.connection_config());
        let client = Client::new(config, Some(PerformanceConfig::default()), Some(connection), None);
        let _ends = Ends(client.connect());
        within(client.wait_for_connect()).await?;
        // From here on: what was stored before is found by the look that the bell asks for.
        let mut after = String::from("$");
        hearing.begun();
        loop {
            if let Some(last) = within(self.read(&client, &after)).await? {
                after = last;
                hearing.heard();
            }
        }
    }
}

impl Reader {
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
