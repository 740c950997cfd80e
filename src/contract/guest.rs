//! What a backend offers on clients of the application.

use super::capability::Capabilities;
use super::client::{Client, ClientError};
use super::report::{Probe, Usage};
use super::states::Reindexed;
use super::step::{Reply, Step};
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;
use crate::time::Millis;

/// A backend's operations as a guest on clients of the application. Steps are valid; each runs
/// for itself, in the order in which it is called. It knows names (tables, prefixes) and nothing
/// of connections.
pub trait ClientDriver: Send + Sync + 'static {
    /// What the backend can do.
    fn capabilities(&self) -> &'static Capabilities;

    /// The largest payload that fits under `id`, in bytes.
    fn max_payload_bytes(&self, _id: &str) -> u64 {
        self.capabilities().max_payload_bytes
    }

    /// Runs one step. A buffered client that cannot carry it: `UNSUPPORTED`, and nothing is queued.
    fn run<'a>(&'a self, on: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>>;

    /// What a client's error stands for.
    fn classify(&self, error: ClientError) -> Error {
        Error::new(Kind::Backend, format!("the client failed: {}", error.message)).with_source(error)
    }

    /// What speaks against the steps of one call before the first of them runs (`putMany` on a
    /// buffered client: all are queued, or none).
    fn check(&self, _on: &Client, _steps: &[Step]) -> Result<()> {
        Ok(())
    }

    /// The same, where the client has to be asked for it.
    fn prepare<'a>(&'a self, _on: &'a Client, _steps: &'a [Step]) -> Task<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Creates what is missing; answers warnings.
    fn initialize<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Vec<String>>>;

    /// The statements that `initialize` runs where nothing is there yet; none without SQL.
    fn schema(&self) -> Vec<String> {
        Vec::new()
    }

    /// Removes one batch of at most `limit` payloads whose time was over at `now`.
    fn purge_expired<'a>(&'a self, on: &'a Client, now: Millis, limit: u64) -> Task<'a, Result<u64>>;

    /// Does a part of what has sagas found that other software has written; see `Driver`.
    fn reindex<'a>(
        &'a self,
        _on: &'a Client,
        _name: Option<&'a str>,
        _cursor: Option<&'a str>,
    ) -> Task<'a, Result<Reindexed>> {
        Box::pin(async { Ok(Reindexed::default()) })
    }

    /// Asks the server something cheap.
    fn probe<'a>(&'a self, on: &'a Client) -> Task<'a, Result<Probe>>;

    /// A transaction of the store's own, for clients that take one as a whole at its end. `None`: they
    /// have transactions that answer.
    fn unit_of_work(&self) -> Option<Box<dyn UnitOfWork>> {
        None
    }

    /// Counts what is stored.
    fn usage<'a>(&'a self, on: &'a Client, now: Millis) -> Task<'a, Result<Usage>>;
}

/// A transaction of the store's own that a client takes as a whole at its end: changes are collected
/// until then. Dropped, nothing has happened.
pub trait UnitOfWork: Send {
    /// What speaks against the steps of one call before the first of them is collected.
    fn check(&self, on: &Client, steps: &[Step]) -> Result<()>;

    /// Collects one step. What it needs to know is asked now; nothing is changed.
    fn run<'a>(&'a mut self, on: &'a Client, step: &'a Step) -> Task<'a, Result<Reply>>;

    /// Has everything happen, or nothing: an error means the latter, but for `CONNECTION` and
    /// `TIMEOUT`, where it is not known.
    fn commit<'a>(&'a mut self, on: &'a Client) -> Task<'a, Result<()>>;
}
