//! Whole records on Redis, on their way out and in.
//!
//! - Payloads, sagas, executions and entries of the inbox are found by SCAN on every primary: whatever is there
//!   throughout is found, whichever index it moves in meanwhile. A page ends where it is full; what a SCAN has told and
//!   no page has had is in the cursor.
//! - Events are read by their numbers, in the order of the queue: all of them are in one hash slot.
//! - A record is read by one script, so nothing comes between its parts.
//!
//! ```text
//! mod.rs         Moving: where an operation goes
//! topology.rs    which primary has which hash slots, and which of them have moved
//! walk.rs        SCANs of all primaries, one after the other, whatever moves meanwhile
//! scan.rs        pages of what SCANs find
//! plain.rs       payloads and entries of the inbox: a key each
//! states.rs      sagas, and bringing.rs how they are stored
//! executions.rs  executions, with executions.lua
//! outbox.rs      events, with outbox.lua
//! count.rs       how many there are
//! ```

mod bringing;
mod count;
mod executions;
mod outbox;
mod plain;
mod scan;
mod states;
#[cfg(test)]
mod tests;
mod topology;
mod walk;

use super::channel::Servers;
use super::config::Prefixes;
use super::error;
use crate::contract::moving::record::{Key, Record};
use crate::contract::moving::{Fate, Import, Moved, MovingRead, MovingStep, MovingWrite, Page, Stat, fetched};
use crate::contract::operation::Work;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use executions::Runs;
use outbox::Events;
use plain::{Entries, Payloads};
use scan::Wanted;
use states::Sagas;

/// The records under some prefixes.
pub(super) struct Moving<'a, S> {
    pub(super) on: &'a S,
    pub(super) prefixes: &'a Prefixes,
}

impl<S: Servers> Moving<'_, S> {
    /// Runs an operation.
    pub(super) async fn run(&self, step: &MovingStep) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    /// Stores records.
    pub(super) async fn write(&self, write: &MovingWrite) -> Result<Reply> {
        let MovingWrite::Import(import) = write;
        Ok(import.reply(self.import(import).await?))
    }

    /// Looks at records.
    pub(super) async fn read(&self, read: &MovingRead) -> Result<Reply> {
        Ok(match read {
            MovingRead::Scan { kind, after, limit, max_bytes, only_sizes } => {
                let wanted = Wanted { kind: *kind, limit: *limit, max_bytes: *max_bytes, only_sizes: *only_sizes };
                self.scan(wanted, after.as_deref()).await?.into_reply()
            }
            MovingRead::Fetch { kind, keys } => fetched(self.fetch(*kind, keys).await?),
            MovingRead::List { prefix, after, limit } => {
                let wanted = Wanted { kind: Moved::Payloads, limit: *limit, max_bytes: u64::MAX, only_sizes: true };
                let payloads = Payloads { ids: prefix, ..self.payloads(true) };
                scan::page(self.on, &payloads, &wanted, after.as_deref()).await?.into_reply()
            }
            MovingRead::Stat { id, expired } => Stat::into_reply(self.payloads(true).stat(id).await?, *expired),
            MovingRead::Count { kind } => self.count(*kind).await?.into_reply(),
        })
    }

    async fn scan(&self, wanted: Wanted, after: Option<&str>) -> Result<Page> {
        match wanted.kind {
            Moved::Payloads => scan::page(self.on, &self.payloads(wanted.only_sizes), &wanted, after).await,
            Moved::States => scan::page(self.on, &self.sagas(), &wanted, after).await,
            Moved::Executions => scan::page(self.on, &self.runs(), &wanted, after).await,
            Moved::Outbox => self.events().page(&wanted, after).await,
            Moved::Inbox => scan::page(self.on, &self.entries(), &wanted, after).await,
        }
    }

    async fn fetch(&self, kind: Moved, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        match kind {
            Moved::Payloads => self.payloads(false).fetch(keys).await,
            Moved::States => self.sagas().fetch(keys).await,
            Moved::Executions => self.runs().fetch(keys).await,
            Moved::Outbox => self.events().fetch(keys).await,
            Moved::Inbox => self.entries().fetch(keys).await,
        }
    }

    async fn import(&self, import: &Import) -> Result<Vec<Fate>> {
        if import.records.is_empty() {
            return Ok(Vec::new());
        }
        match import.kind {
            Moved::Payloads => self.payloads(false).import(import).await,
            Moved::States => self.sagas().import(import).await,
            Moved::Executions => self.runs().import(import).await,
            Moved::Outbox => self.events().import(import).await,
            Moved::Inbox => self.entries().import(import).await,
        }
    }

    fn payloads(&self, only_sizes: bool) -> Payloads<'_, S> {
        Payloads { on: self.on, prefix: &self.prefixes.payloads, ids: "", only_sizes }
    }

    fn sagas(&self) -> Sagas<'_, S> {
        Sagas { on: self.on, prefix: &self.prefixes.states }
    }

    fn runs(&self) -> Runs<'_, S> {
        Runs { on: self.on, prefix: &self.prefixes.executions }
    }

    fn events(&self) -> Events<'_, S> {
        Events { on: self.on, prefix: &self.prefixes.outbox }
    }

    fn entries(&self) -> Entries<'_, S> {
        Entries { on: self.on, prefix: &self.prefixes.inbox }
    }
}

/// What has been found under a key: a record, or why it cannot be read.
type Found = std::result::Result<Record, String>;

/// Found, if the error says so of what is stored.
fn unreadable(error: Error) -> Result<Found> {
    if error.kind() == Kind::CorruptData { Ok(Err(error.message().to_owned())) } else { Err(error) }
}

/// What became of a record. An error that is not about this record is one of the whole.
fn fate(stored: Result<bool>, record: &Record) -> Result<Fate> {
    match stored {
        Err(error) if matches!(error.kind(), Kind::Connection | Kind::Timeout | Kind::Closed) => Err(error),
        Err(error) => Ok(Fate::Refused(error.with_id(record.id()))),
        stored => Ok(Fate::from(stored)),
    }
}

/// What a script has answered that stored a record.
fn told(word: &str, record: &Record) -> Result<bool> {
    match word {
        "stored" => Ok(true),
        "skipped" => Ok(false),
        "taken" => Err(record.taken()),
        _ => Err(error::unexpected()),
    }
}
