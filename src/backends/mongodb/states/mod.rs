//! Saga state as documents `{ _id: "{name}:{sagaId}", sagaName, sagaId, correlationId, version,
//! isCompleted, createdAt, updatedAt, completedAt, timeoutAt, expiresAt, state }` (and what
//! [`super::state_claims`] adds), one command for each operation that succeeds at once. Unique indexes keep ids apart, so no transaction is needed.
//!
//! The state is JSON text: BSON ends at a hundred levels and has other numbers.

pub(super) mod claims;
pub(super) mod groups;

use bytes::Bytes;

use super::clock::Clock;
use super::commands::{Build, Terms};
use super::error;
use super::objects::{first_batch, to_document};
use super::payloads::number;
use super::payloads::single::Sender;
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::Work;
use crate::contract::states::{
    FoundState, Saga, StateRead, StateStep, StateWrite, conflict, correlation_taken, missing, taken,
};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Attempts of an insert that finds the place taken by a saga whose time is over, or that is gone
/// when it looks.
const INSERTS: usize = 5;
/// Unique indexes do not admit it.
const DUPLICATE_KEY: i64 = 11_000;
/// The largest document that a server stores.
const MAX_DOCUMENT: usize = 16 * 1024 * 1024;
/// What a document needs beside its ids, twice its saga's name and id, and its state.
const BESIDES: usize = 512;
/// Fields that lists are made of.
pub(super) const LISTED: [&str; 3] = ["sagaName", "sagaId", "state"];

/// Sagas in a collection, by whoever carries the commands.
pub(super) struct States<'a, S> {
    pub(super) on: &'a mut S,
    pub(super) terms: Terms<'a>,
    pub(super) clock: &'a Clock,
    /// Whether a write that fails ends a transaction: then nothing is written that is bound to fail.
    pub(super) in_transaction: bool,
}

/// What is in the way of a new saga.
#[derive(Default)]
struct InTheWay {
    by_id: bool,
    by_correlation: bool,
    /// Sagas whose time is over, by `_id`.
    over: Vec<String>,
}

impl<S: Sender> States<'_, S> {
    /// Runs an operation.
    pub(super) async fn run(&mut self, step: &StateStep) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.there(Millis::now())
    }

    async fn write(&mut self, write: &StateWrite) -> Result<Reply> {
        match write {
            StateWrite::Insert { saga, correlation_id } => self.insert(saga, correlation_id).await,
            StateWrite::Update { saga, expected } => self.update(saga, *expected).await,
            StateWrite::Delete { name, id } => self.delete(&[("_id", &key(name, id))]).await,
            StateWrite::DeleteByCorrelation { name, correlation_id } => {
                self.delete(&[("sagaName", name), ("correlationId", correlation_id)]).await
            }
            StateWrite::DeleteCompleted { name, before, limit } => self.delete_completed(name, *before, *limit).await,
            StateWrite::ClaimTimedOut(claim) => self.claim_timed_out(claim).await,
        }
    }

    async fn insert(&mut self, saga: &Saga, correlation_id: &str) -> Result<Reply> {
        let size = saga.state.len() + 2 * (saga.name.len() + saga.id.len()) + correlation_id.len() + BESIDES;
        check_size(size)?;
        for attempt in 0..INSERTS {
            if attempt > 0 || self.in_transaction {
                let found = self.in_the_way(saga, correlation_id).await?;
                if found.by_id {
                    return Err(taken(saga));
                }
                if found.by_correlation {
                    return Err(correlation_taken(saga, correlation_id));
                }
                for id in &found.over {
                    self.delete_if_over(id).await?;
                }
            }
            let mut command = self.on.command(size);
            command.text("insert", self.terms.collection).begin_array("documents").begin("0");
            command.text("_id", &key(&saga.name, &saga.id)).text("sagaName", &saga.name).text("sagaId", &saga.id);
            command.text("correlationId", correlation_id).date("createdAt", saga.created_at);
            self.write_saga(&mut command, saga, saga.completed_at);
            command.end().end();
            self.terms.end_write(&mut command);
            match self.send(command).await? {
                Some(DUPLICATE_KEY) => {}
                _ => return Ok(Reply::Done),
            }
        }
        let message = "others insert and delete sagas with these ids at the same time";
        Err(Error::new(Kind::Backend, message).retryable(true))
    }

    /// The fields that an update sets as well.
    fn write_saga(&self, document: &mut S::Command, saga: &Saga, completed_at: Option<Millis>) {
        document.long("version", saga.version).flag("isCompleted", saga.completed).date("updatedAt", saga.updated_at);
        if let Some(at) = completed_at {
            document.date("completedAt", at);
        }
        if let Some(at) = saga.timeout_at {
            document.date("timeoutAt", at);
        }
        if let Some(at) = saga.expires_at {
            document.date("expiresAt", self.clock.there(at));
        }
        document.text("state", &saga.state);
    }

    async fn in_the_way(&mut self, saga: &Saga, correlation_id: &str) -> Result<InTheWay> {
        let (now, id) = (self.now(), key(&saga.name, &saga.id));
        let mut found = InTheWay::default();
        let ways: [&[(&str, &str)]; 2] =
            [&[("_id", &id)], &[("sagaName", &saga.name), ("correlationId", correlation_id)]];
        for (way, by_id) in ways.into_iter().zip([true, false]) {
            let fields = ["expiresAt", "_id"];
            for document in self.find(&fields, 1, None, |filter| write_filter(filter, way)).await? {
                if matches!(document.get("expiresAt"), Some(Dynamic::Time(at)) if *at <= now) {
                    found.over.extend(text(&document, "_id").map(str::to_owned));
                } else if by_id {
                    found.by_id = true;
                } else {
                    found.by_correlation = true;
                }
            }
        }
        Ok(found)
    }

    /// One that ends is looked for among those that have not, first: only these are told when they end.
    async fn update(&mut self, saga: &Saga, expected: i64) -> Result<Reply> {
        let size = saga.state.len() + 2 * (saga.name.len() + saga.id.len()) + BESIDES + 1_024;
        check_size(size)?;
        let id = key(&saga.name, &saga.id);
        let mut from: &[Option<bool>] = if saga.completed { &[Some(false), Some(true)] } else { &[None] };
        if self.in_transaction {
            let has_ended = self.check_version(saga, &id, expected).await?;
            from = if saga.completed { &from[usize::from(has_ended)..] } else { from };
        }
        for completed in from {
            let command = self.change(saga, &id, expected, *completed, size);
            let reply = to_document(self.on.send(command).await?)?;
            failed(&reply)?;
            if number(&reply, "n") > 0 {
                return Ok(Reply::Done);
            }
        }
        self.check_version(saga, &id, expected).await?;
        // It had another version a moment ago.
        Err(Error::new(Kind::Backend, "the saga changes while it is updated").retryable(true))
    }

    /// The change of a saga that has ended already, or has not, or of any.
    fn change(&self, saga: &Saga, id: &str, expected: i64, completed: Option<bool>, size: usize) -> S::Command {
        let mut command = self.on.command(size);
        command.text("update", self.terms.collection).begin_array("updates").begin("0").begin("q").text("_id", id);
        command.long("version", expected);
        match completed {
            Some(true) => drop(command.flag("isCompleted", true)),
            Some(false) => drop(command.begin("isCompleted").flag("$ne", true).end()),
            None => {}
        }
        write_live(&mut command, self.now());
        command.end().begin("u").begin("$set");
        self.write_saga(&mut command, saga, saga.completed_at.filter(|_| completed != Some(true)));
        command.end();
        let absent = [
            ("completedAt", !saga.completed),
            ("timeoutAt", saga.timeout_at.is_none()),
            ("expiresAt", saga.expires_at.is_none()),
        ];
        if absent.iter().any(|(_, absent)| *absent) {
            command.begin("$unset");
            for (name, _) in absent.iter().filter(|(_, absent)| *absent) {
                command.int(name, 1);
            }
            command.end();
        }
        command.end().end().end();
        self.terms.end_write(&mut command);
        command
    }

    /// An error unless the saga has this version; whether it has ended.
    async fn check_version(&mut self, saga: &Saga, id: &str, expected: i64) -> Result<bool> {
        let now = self.now();
        let filter = |filter: &mut S::Command| {
            filter.text("_id", id);
            write_live(filter, now);
        };
        let found = self.find(&["version", "isCompleted"], 1, None, filter).await?.pop();
        let has_ended = matches!(found.as_ref().and_then(|saga| saga.get("isCompleted")), Some(Dynamic::Bool(true)));
        match found.map(|document| document.get("version").and_then(Dynamic::as_int)) {
            Some(Some(actual)) if actual == expected => Ok(has_ended),
            Some(Some(actual)) => Err(conflict(saga, expected, actual)),
            Some(None) => Err(Error::new(Kind::CorruptData, "the document of this saga has no version")),
            None => Err(missing(saga)),
        }
    }

    async fn delete(&mut self, filter: &[(&str, &str)]) -> Result<Reply> {
        let mut command = self.on.command(2_048);
        command.text("delete", self.terms.collection).begin_array("deletes").begin("0").begin("q");
        write_filter(&mut command, filter);
        command.end().int("limit", 1).end().end();
        self.terms.end_write(&mut command);
        failed(&to_document(self.on.send(command).await?)?)?;
        Ok(Reply::Done)
    }

    async fn delete_if_over(&mut self, id: &str) -> Result<()> {
        let now = self.now();
        let mut command = self.on.command(2_048);
        command.text("delete", self.terms.collection).begin_array("deletes").begin("0").begin("q").text("_id", id);
        command.begin("expiresAt").date("$lte", now).end().end().int("limit", 1).end().end();
        self.terms.end_write(&mut command);
        failed(&to_document(self.on.send(command).await?)?)
    }

    async fn delete_completed(&mut self, name: &str, before: Millis, limit: u64) -> Result<Reply> {
        let (mut found, mut removed) = (0, 0);
        // Older versions do not note when a saga ends.
        for is_noted in [true, false] {
            let write = |filter: &mut S::Command| {
                filter.flag("isCompleted", true);
                if !is_noted {
                    filter.begin("completedAt").flag("$exists", false).end();
                }
                filter.begin(if is_noted { "completedAt" } else { "updatedAt" }).date("$lt", before).end();
            };
            let left = limit.saturating_sub(found);
            if left == 0 {
                break;
            }
            let of_name = |filter: &mut S::Command| {
                filter.text("sagaName", name);
                write(filter);
            };
            let listed = self.find(&["_id"], left, is_noted.then_some("completedAt"), of_name).await?;
            found += listed.len() as u64;
            // One by one: who has changed meanwhile stays, and FerretDB 1 does not like many statements in a command.
            for document in &listed {
                let Some(id) = text(document, "_id") else { continue };
                let mut command = self.on.command(2_048);
                command.text("delete", self.terms.collection).begin_array("deletes").begin("0").begin("q");
                command.text("_id", id);
                write(&mut command);
                command.end().int("limit", 1).end().end();
                self.terms.end_write(&mut command);
                let reply = to_document(self.on.send(command).await?)?;
                failed(&reply)?;
                removed += u64::try_from(number(&reply, "n")).unwrap_or_default();
            }
        }
        // Those that have changed are not there any more: the batch counts as full.
        Ok(Reply::Count(if found >= limit { limit.min(removed.max(1)) } else { removed }))
    }

    /// Sends a write; the server's code, where it refused it because it is there already.
    async fn send(&mut self, command: S::Command) -> Result<Option<i64>> {
        let reply = to_document(self.on.send(command).await?)?;
        let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        let code = errors.first().and_then(mongodb::bson::Bson::as_document).map(|entry| number(entry, "code"));
        if code == Some(DUPLICATE_KEY) {
            return Ok(code);
        }
        failed(&reply).map(|()| None)
    }

    async fn read(&mut self, read: &StateRead) -> Result<Reply> {
        match read {
            StateRead::ById { name, id } => self.one(&[("_id", &key(name, id))]).await,
            StateRead::ByCorrelation { name, correlation_id } => {
                self.one(&[("sagaName", name), ("correlationId", correlation_id)]).await
            }
            StateRead::List { name, completed, after, limit } => {
                self.list(name, *completed, after.as_deref(), *limit).await
            }
            StateRead::Count { name, completed } => self.count(name, *completed).await,
            StateRead::TimedOut { now, name, limit } => {
                let present = self.now();
                let filter = |filter: &mut S::Command| {
                    filter.begin("timeoutAt").date("$lte", *now).end().begin("isCompleted").flag("$ne", true).end();
                    if let Some(name) = name {
                        filter.text("sagaName", name);
                    }
                    write_live(filter, present);
                };
                let found = self.find(&LISTED, *limit, Some("timeoutAt"), filter).await?;
                Ok(Reply::States(found.into_iter().map(state).collect::<Result<_>>()?))
            }
        }
    }

    async fn one(&mut self, way: &[(&str, &str)]) -> Result<Reply> {
        let now = self.now();
        let filter = |filter: &mut S::Command| {
            write_filter(filter, way);
            write_live(filter, now);
        };
        let found = self.find(&LISTED, 1, None, filter).await?.pop();
        Ok(Reply::State(found.map(|document| state(document)?.into_state()).transpose()?))
    }

    /// An answer ends at 16 MB, so what it lacks is asked for behind its last saga: a cursor would
    /// need a session, which commands of a client do not share.
    async fn list(&mut self, name: &str, completed: Option<bool>, after: Option<&str>, limit: u64) -> Result<Reply> {
        let now = self.now();
        let mut listed: Vec<FoundState> = Vec::new();
        loop {
            let left = limit.saturating_sub(listed.len() as u64);
            let last = listed.last().map(|found| found.id.to_string());
            let behind = last.as_deref().or(after);
            let filter = |filter: &mut S::Command| {
                filter.text("sagaName", name);
                if let Some(completed) = completed {
                    filter.flag("isCompleted", completed);
                }
                if let Some(behind) = behind {
                    filter.begin("sagaId").text("$gt", behind).end();
                }
                write_live(filter, now);
            };
            let found = if left == 0 { Vec::new() } else { self.find(&LISTED, left, Some("sagaId"), filter).await? };
            if found.is_empty() {
                return Ok(Reply::States(listed));
            }
            let all = found.len() as u64 == left;
            listed.extend(found.into_iter().map(state).collect::<Result<Vec<_>>>()?);
            if all {
                return Ok(Reply::States(listed));
            }
        }
    }

    async fn count(&mut self, name: &str, completed: Option<bool>) -> Result<Reply> {
        let now = self.now();
        let mut command = self.on.command(1_024);
        // `count` is not for transactions.
        command.text("aggregate", self.terms.collection).begin_array("pipeline").begin("0").begin("$match");
        command.text("sagaName", name);
        if let Some(completed) = completed {
            command.flag("isCompleted", completed);
        }
        write_live(&mut command, now);
        command.end().end().begin("1").text("$count", "sagas").end().end().begin("cursor").end();
        self.terms.end_read(&mut command);
        let found = first_batch(self.on.send(command).await?)?.pop();
        let count = found.and_then(|found| found.get("sagas").and_then(Dynamic::as_int)).unwrap_or(0);
        Ok(Reply::Count(u64::try_from(count).unwrap_or_default()))
    }

    pub(super) async fn find(
        &mut self,
        fields: &[&str],
        limit: u64,
        sort: Option<&str>,
        filter: impl FnOnce(&mut S::Command),
    ) -> Result<Vec<Dynamic>> {
        let mut command = self.on.command(2_048);
        command.text("find", self.terms.collection).begin("filter");
        filter(&mut command);
        command.end().begin("projection");
        for field in fields {
            command.int(field, 1);
        }
        command.end();
        if let Some(field) = sort {
            command.begin("sort").int(field, 1).end();
        }
        // More than there can be: see `write_find`.
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        command.int("limit", limit).int("batchSize", limit.saturating_add(1));
        self.terms.end_read(&mut command);
        first_batch(self.on.send(command).await?)
    }
}

fn key(name: &str, id: &str) -> String {
    format!("{name}:{id}")
}

fn write_filter(filter: &mut impl Build, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        filter.text(name, value);
    }
}

/// A condition that a saga whose time is over does not meet.
pub(super) fn write_live(filter: &mut impl Build, now: Millis) {
    filter.begin("expiresAt").begin("$not").date("$lte", now).end().end();
}

fn check_size(size: usize) -> Result<()> {
    if size <= MAX_DOCUMENT {
        return Ok(());
    }
    let message = format!("the saga needs {size} bytes; the limit of mongodb is {MAX_DOCUMENT}");
    Err(Error::too_large(message, size as u64, MAX_DOCUMENT as u64))
}

/// An error if the write was refused, or not confirmed.
pub(super) fn failed(reply: &mongodb::bson::Document) -> Result<()> {
    let write = crate::contract::payloads::Write::Put { id: "".into(), data: Bytes::new(), expires_at: None };
    super::payloads::answer_to_single(&write, reply).map(drop)
}

pub(super) fn text<'a>(document: &'a Dynamic, name: &str) -> Option<&'a str> {
    document.get(name).and_then(Dynamic::as_text)
}

pub(super) fn state(document: Dynamic) -> Result<FoundState> {
    let Dynamic::Map(properties) = document else { return Err(error::unexpected()) };
    let (mut name, mut id, mut state, mut place) = (None, None, None, None);
    for (field, value) in properties {
        match (&*field, value) {
            ("sagaName", Dynamic::Text(text)) => name = Some(text),
            ("sagaId", Dynamic::Text(text)) => id = Some(text),
            ("state", Dynamic::Text(text)) => state = Some(text),
            ("_id", Dynamic::Text(text)) => place = Some(text),
            _ => {}
        }
    }
    let state = match (name.is_some() && id.is_some(), state) {
        (true, Some(state)) => Ok(state),
        (false, _) => Err(String::from("a document of the collection of sagas has no sagaName or no sagaId")),
        (true, None) => Err(String::from("the document of this saga has no 'state' that is text")),
    };
    // Names have no colon.
    let known = place.as_deref().and_then(|place| place.split_once(':'));
    let (name, id) = (name.or(known.map(|(name, _)| name.to_owned())), id.or(known.map(|(_, id)| id.to_owned())));
    let (Some(name), Some(id)) = (name, id) else {
        return Err(Error::new(
            Kind::CorruptData,
            "a document of the collection of sagas has no sagaName or no sagaId",
        ));
    };
    Ok(FoundState { name: name.into(), id: id.into(), state })
}
