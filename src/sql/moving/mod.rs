//! Whole records in SQL, for both dialects.
//!
//! A page is two statements: the keys of what comes next, with their sizes, by the primary key; then the records of
//! these keys, as many as the page has room for. An import is one statement for many records where the dialect lets it
//! be. Where it fails, each half has its say, down to the record that is to blame: that one is refused alone.
//!
//! ```text
//! cursor.rs       what a page begins behind
//! keys.rs         keys on their way to the database
//! upsert.rs       rows that are stored, or replace others, in one statement
//! payloads.rs     one file a kind
//! states.rs
//! executions.rs   on PostgreSQL with the log in one statement
//! outbox.rs       both tables
//! events.rs       events into PostgreSQL
//! event_rows.rs   events into SQLite
//! inbox.rs
//! count.rs        how many there are
//! ```

mod count;
mod cursor;
#[cfg(feature = "sqlite")]
mod event_rows;
#[cfg(feature = "postgres")]
mod events;
mod executions;
mod inbox;
mod keys;
mod outbox;
mod payloads;
mod states;
#[cfg(test)]
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod tests;
mod upsert;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use bytes::Bytes;

use super::executions::Executions;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::payloads::PayloadSql;
use super::states::StateSql;
#[cfg(feature = "sqlite")]
use super::{Around, Dialect};
use super::{Executor, sql_state};
use crate::contract::moving::record::{Body, Key, Record};
use crate::contract::moving::{Conflict, Fate, Import, MovingRead, MovingWrite, Page, Stat, fetched};
use crate::contract::outbox::record::Content;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// One statement carries about so many bytes into the database.
const STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// A statement that the server has ended for the sake of others is run again so often.
const ATTEMPTS: usize = 8;

/// Records by their keys. One that cannot be read is an error of its own.
type Found = HashMap<Key, Result<Record>>;

/// A record that a page may have.
struct Listed {
    key: Key,
    /// What the cursor behind it says.
    place: Vec<String>,
    bytes: u64,
}

/// Where the records of a kind are.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Payloads(&'a PayloadSql),
    States(&'a StateSql),
    Executions(&'a Executions),
    Outbox(&'a Outbox),
    Inbox(&'a Inbox),
}

impl Place<'_> {
    /// Answers a question.
    pub(crate) async fn read<E: Executor>(&self, on: &mut E, read: &MovingRead) -> Result<Reply> {
        match read {
            MovingRead::Scan { after, limit, max_bytes, only_sizes, .. } => {
                let page = self.scan(on, after.as_deref(), *limit, *max_bytes, *only_sizes).await?;
                Ok(page.into_reply())
            }
            MovingRead::Fetch { keys, .. } => {
                let records = self.fetch(on, keys, false).await?;
                let mut records = records.into_iter().collect::<Result<Vec<_>>>()?;
                repeat(keys, &mut records);
                Ok(fetched(records))
            }
            MovingRead::List { prefix, after, limit } => {
                let Self::Payloads(sql) = self else { return Err(Error::invalid("only payloads are listed")) };
                Ok(payloads::page(sql, on, prefix, after.as_deref(), *limit).await?.into_reply())
            }
            MovingRead::Stat { id, expired } => {
                let Self::Payloads(sql) = self else { return Err(Error::invalid("only payloads are looked at")) };
                Ok(Stat::into_reply(payloads::stat(sql, on, id).await?, *expired))
            }
            MovingRead::Count { .. } => Ok(self.count(on).await?.into_reply()),
        }
    }

    async fn scan<E: Executor>(
        &self,
        on: &mut E,
        after: Option<&str>,
        limit: u64,
        max_bytes: u64,
        only_sizes: bool,
    ) -> Result<Page> {
        let after = after.map(|after| cursor::read(self.name(), after)).transpose()?;
        // One more tells whether this page is the last.
        let most = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
        let listed = self.list(on, after.as_deref(), most).await?;
        let (mut taken, mut bytes) = (0_usize, 0_u64);
        for record in &listed {
            bytes = bytes.saturating_add(if only_sizes { 128 } else { record.bytes.saturating_add(128) });
            if taken as u64 == limit || (taken > 0 && bytes > max_bytes) {
                break;
            }
            taken += 1;
        }
        let mut page = Page::default();
        if taken < listed.len() {
            page.cursor = listed[..taken].last().map(|last| cursor::write(self.name(), &last.place));
        }
        let keys: Vec<Key> = listed.into_iter().take(taken).map(|listed| listed.key).collect();
        for (record, key) in self.fetch(on, &keys, only_sizes).await?.into_iter().zip(&keys) {
            match record {
                Ok(record) => page.records.extend(record),
                Err(error) => page.unreadable.push((text_of(key), error.message().to_owned())),
            }
        }
        Ok(page)
    }

    /// The records of these keys, in their order; nothing for what is not there, an error for what cannot be read.
    async fn fetch<E: Executor>(
        &self,
        on: &mut E,
        keys: &[Key],
        only_sizes: bool,
    ) -> Result<Vec<Result<Option<Record>>>> {
        let mut found = Vec::with_capacity(keys.len());
        let mut parts: Vec<Range<usize>> = std::iter::once(0..keys.len()).collect();
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let some = &keys[part.clone()];
            match self.look_up(on, some, only_sizes).await {
                Ok(mut records) => found.extend(some.iter().map(|key| records.remove(key).transpose())),
                Err(error) if is_of_all(&error) => return Err(error),
                Err(error) if some.len() == 1 => found.push(Err(error)),
                Err(_) => parts.extend(halves(part)),
            }
        }
        Ok(found)
    }

    /// Stores records.
    pub(crate) async fn write<E: Executor>(&self, on: &mut E, write: &MovingWrite, now: Millis) -> Result<Reply> {
        let MovingWrite::Import(import) = write;
        Ok(import.reply(self.import(on, import, now).await?))
    }

    async fn import<E: Executor>(&self, on: &mut E, import: &Import, now: Millis) -> Result<Vec<Fate>> {
        let (mut fates, mut parts) = (Vec::with_capacity(import.records.len()), in_statements(&import.records));
        while let Some(part) = parts.pop() {
            let records = &import.records[part.clone()];
            match self.store_again(on, records, import.conflict, now).await {
                Ok(stored) => fates.extend(stored),
                Err(error) if is_of_all(&error) => return Err(error),
                Err(error) if records.len() == 1 => {
                    fates.push(Fate::Refused(error.with_id(records.first().map_or("", Record::id))));
                }
                Err(_) => parts.extend(halves(part)),
            }
        }
        Ok(fates)
    }

    /// Stores records, all of them or none; again where the server has ended a deadlock by it.
    async fn store_again<E: Executor>(
        &self,
        on: &mut E,
        records: &[Record],
        conflict: Conflict,
        now: Millis,
    ) -> Result<Vec<Fate>> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.store_together(on, records, conflict, now).await {
                Err(error) if attempt < ATTEMPTS && matches!(sql_state(&error), Some("40P01" | "40001")) => {}
                done => return done,
            }
        }
    }

    async fn store_together<E: Executor>(
        &self,
        on: &mut E,
        records: &[Record],
        conflict: Conflict,
        now: Millis,
    ) -> Result<Vec<Fate>> {
        #[cfg(feature = "sqlite")]
        if self.dialect() == Dialect::Sqlite {
            // Several statements, all of which or none have happened.
            Around::Savepoint.enter(on).await?;
            let done = self.store(on, records, conflict, now).await;
            return Around::Savepoint.leave(on, done).await;
        }
        self.store(on, records, conflict, now).await
    }

    /// Stores records; one fate each.
    async fn store<E: Executor>(
        &self,
        on: &mut E,
        records: &[Record],
        conflict: Conflict,
        now: Millis,
    ) -> Result<Vec<Fate>> {
        match self {
            Self::Payloads(sql) => payloads::store(sql, on, records, conflict, now).await,
            Self::States(sql) => states::store(sql, on, records, conflict, now).await,
            Self::Executions(executions) => {
                let sql = executions.sql(on).await?;
                let done = executions::store(&sql, on, records, conflict, now).await;
                executions.note(&done);
                done
            }
            Self::Outbox(outbox) => outbox::store(outbox, on, records, conflict, now).await,
            Self::Inbox(inbox) => inbox::store(inbox, on, records, conflict, now).await,
        }
    }

    /// What comes next, by the primary key: at most so many.
    async fn list<E: Executor>(&self, on: &mut E, after: Option<&[String]>, most: i64) -> Result<Vec<Listed>> {
        match self {
            Self::Payloads(sql) => payloads::list(sql, on, after, most).await,
            Self::States(sql) => states::list(sql, on, after, most).await,
            Self::Executions(executions) => {
                let sql = executions.sql(on).await?;
                let listed = executions::list(&sql, on, after, most).await;
                executions.note(&listed);
                listed
            }
            Self::Outbox(outbox) => outbox::list(outbox, on, after, most).await,
            Self::Inbox(inbox) => inbox::list(inbox, on, after, most).await,
        }
    }

    async fn look_up<E: Executor>(&self, on: &mut E, keys: &[Key], only_sizes: bool) -> Result<Found> {
        match self {
            Self::Payloads(sql) => payloads::look_up(sql, on, keys, only_sizes).await,
            Self::States(sql) => states::look_up(sql, on, keys).await,
            Self::Executions(executions) => {
                let sql = executions.sql(on).await?;
                let found = executions::look_up(&sql, on, keys).await;
                executions.note(&found);
                found
            }
            Self::Outbox(outbox) => outbox::look_up(outbox, on, keys).await,
            Self::Inbox(inbox) => inbox::look_up(inbox, on, keys).await,
        }
    }

    #[cfg(feature = "sqlite")]
    fn dialect(&self) -> Dialect {
        match self {
            Self::Payloads(sql) => sql.dialect,
            Self::States(sql) => sql.dialect,
            Self::Executions(executions) => executions.dialect,
            Self::Outbox(outbox) => outbox.dialect,
            Self::Inbox(inbox) => inbox.dialect,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Payloads(_) => "payloads",
            Self::States(_) => "states",
            Self::Executions(_) => "executions",
            Self::Outbox(_) => "outbox",
            Self::Inbox(_) => "inbox",
        }
    }
}

/// Parts of a list, the first one last, each for one statement.
fn in_statements(records: &[Record]) -> Vec<Range<usize>> {
    let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0_usize);
    for (at, record) in records.iter().enumerate() {
        bytes = bytes.saturating_add(record.bytes());
        if at > from && bytes > STATEMENT_BYTES {
            parts.push(from..at);
            (from, bytes) = (at, record.bytes());
        }
    }
    if from < records.len() {
        parts.push(from..records.len());
    }
    parts.reverse();
    parts
}

/// Both halves, the first one last.
fn halves(part: Range<usize>) -> [Range<usize>; 2] {
    let middle = part.start + part.len() / 2;
    [middle..part.end, part.start..middle]
}

/// Whether an error is one of the whole, and not of a record: the next record would fail as well.
fn is_of_all(error: &Error) -> bool {
    let is_about_tables =
        sql_state(error).is_some_and(|code| ["42501", "42P01", "42703", "42804", "3F000", "42P10"].contains(&code));
    error.is_retryable()
        || is_about_tables
        || matches!(error.kind(), Kind::Connection | Kind::Timeout | Kind::Closed)
        // The tables are missing: that is what it says on both databases.
        || error.message().contains("call initialize()")
}

/// What became of a record that an upsert has left alone: somebody else has its key.
fn left_alone(record: &Record, conflict: Conflict) -> Fate {
    match conflict {
        Conflict::Refuse => Fate::Refused(record.taken()),
        Conflict::Skip | Conflict::Overwrite | Conflict::Newer => Fate::Skipped,
    }
}

/// Gives those who have asked for a key again a copy: answers never share bytes.
fn repeat(keys: &[Key], records: &mut [Option<Record>]) {
    if keys.iter().collect::<HashSet<_>>().len() == keys.len() {
        return;
    }
    let mut first: HashMap<&Key, usize> = HashMap::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        match first.get(key) {
            Some(first) if records[at].is_none() => records[at] = records[*first].as_ref().map(copied),
            Some(_) => {}
            None => drop(first.insert(key, at)),
        }
    }
}

fn copied(record: &Record) -> Record {
    let mut copy = record.clone();
    match &mut copy {
        Record::Payload(payload) => {
            if let Body::Whole(data) = &mut payload.body {
                *data = Bytes::copy_from_slice(data);
            }
        }
        Record::Event(stored) => {
            if let Content::Bytes(bytes) = &mut stored.event.payload {
                *bytes = Bytes::copy_from_slice(bytes);
            }
        }
        Record::State(_) | Record::Execution(_) | Record::Message(_) => {}
    }
    copy
}

/// A key, for people.
fn text_of(key: &Key) -> String {
    if key.name.is_empty() { key.id.to_string() } else { format!("{} {}", key.name, key.id) }
}
