//! An execution as a document, without its log, and reading it.

use super::log::{Place, first_of};
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::clock::Clock;
use crate::backends::mongodb::objects::of_document;
pub(super) use crate::backends::mongodb::statements::{COMMAND, checked, find, text, update, write_in, write_texts};
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::record::{Execution, LastOperation, Status};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Fields of a document, without the context and the log.
pub(crate) const HEAD: [&str; 24] = [
    "_id",
    "name",
    "status",
    "subStatus",
    "metadata",
    "tags",
    "version",
    "seq",
    "logBytes",
    "token",
    "worker",
    "dueAt",
    "attempts",
    "lastError",
    "lastOperation",
    "createdAt",
    "updatedAt",
    "completedAt",
    "parkedAt",
    "expiresAt",
    "log",
    "spilled",
    "spilledBytes",
    "revision",
];
/// The largest document that a server stores.
pub(super) const MAX_DOCUMENT: usize = 16 * 1024 * 1024;
/// What a document needs beside its texts, at most: ids, names, tags, times.
pub(super) const BESIDES: usize = 8 * 1024;
/// An execution as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Without its context, unless that was asked for.
    pub(crate) execution: Execution,
    /// Where its log is.
    pub(crate) place: Place,
    /// Counts the updates of the document.
    pub(super) revision: i64,
}

fn corrupt(id: &str, wrong: &str) -> Error {
    Error::new(Kind::CorruptData, format!("the document is not an execution: {wrong}")).with_id(id)
}

/// Reads a document that has the [`HEAD`] fields.
pub(crate) fn stored(document: Dynamic) -> Result<Stored> {
    let id = text(&document, "_id").ok_or_else(|| corrupt("", "its _id is not text"))?.to_owned();
    let Dynamic::Map(properties) = document else { return Err(corrupt(&id, "it is none")) };
    let (mut name, mut status, mut version, mut seq, mut log) = (None, None, None, None, None);
    let (mut created_at, mut updated_at, mut revision, mut last) = (None, None, 0, None);
    let (mut spilled, mut spilled_bytes) = (0, 0);
    let mut of = Execution {
        id: id.as_str().into(),
        name: "".into(),
        status: Status::Pending,
        sub_status: None,
        context: None,
        metadata: None,
        tags: Vec::new(),
        version: 0,
        seq: 0,
        log_bytes: 0,
        token: None,
        worker: None,
        due_at: None,
        attempts: 0,
        last_error: None,
        last_operation: None,
        created_at: Millis(0),
        updated_at: Millis(0),
        completed_at: None,
        parked_at: None,
        expires_at: None,
    };
    for (field, value) in properties {
        let wrong = || corrupt(&id, &format!("'{field}' has another type"));
        let int = |value: &Dynamic| value.as_int().ok_or_else(wrong);
        let text = |value: Dynamic| match value {
            Dynamic::Text(text) => Ok(Some(text.into_boxed_str())),
            Dynamic::Null => Ok(None),
            _ => Err(wrong()),
        };
        let time = |value: &Dynamic| match value {
            Dynamic::Time(at) => Ok(Some(*at)),
            Dynamic::Null => Ok(None),
            _ => Err(wrong()),
        };
        match &*field {
            "name" => name = text(value)?,
            "status" => {
                let named = text(value)?.unwrap_or_default();
                status = Some(Status::stored(&named).map_err(|error| error.with_id(&id))?);
            }
            "subStatus" => of.sub_status = text(value)?,
            "context" => of.context = text(value)?,
            "metadata" => of.metadata = text(value)?,
            "tags" => {
                let tags = value.into_list().ok_or_else(wrong)?.into_iter();
                of.tags = tags.map(|tag| text(tag)?.ok_or_else(wrong)).collect::<Result<_>>()?;
            }
            "version" => version = Some(int(&value)?),
            "seq" => seq = Some(int(&value)?),
            "logBytes" => of.log_bytes = int(&value)?,
            "token" => of.token = text(value)?,
            "worker" => of.worker = text(value)?,
            "dueAt" => of.due_at = time(&value)?,
            "attempts" => of.attempts = int(&value)?,
            "lastError" => of.last_error = text(value)?,
            "lastOperation" => last = Some(value),
            "createdAt" => created_at = time(&value)?,
            "updatedAt" => updated_at = time(&value)?,
            "completedAt" => of.completed_at = time(&value)?,
            "parkedAt" => of.parked_at = time(&value)?,
            "expiresAt" => of.expires_at = time(&value)?,
            "log" => log = text(value)?,
            "spilled" => spilled = int(&value)?,
            "spilledBytes" => spilled_bytes = int(&value)?,
            "revision" => revision = int(&value)?,
            _ => {}
        }
    }
    let (Some(name), Some(status), Some(version), Some(seq)) = (name, status, version, seq) else {
        return Err(corrupt(&id, "it lacks a name, a status, a version or a seq"));
    };
    let (Some(created_at), Some(updated_at), Some(log)) = (created_at, updated_at, log) else {
        return Err(corrupt(&id, "it lacks createdAt, updatedAt or log"));
    };
    (of.name, of.status, of.version, of.seq) = (name, status, version, seq);
    (of.created_at, of.updated_at) = (created_at, updated_at);
    of.last_operation = last.and_then(|last| {
        let first = last.get("first").and_then(Dynamic::as_int);
        let count = last.get("entries").and_then(Dynamic::as_int).unwrap_or(0);
        let first_seq = first.or_else(|| first_of(seq, count));
        Some(LastOperation { id: text(&last, "id")?.into(), version, first_seq })
    });
    Ok(Stored { execution: of, place: Place { log, spilled, spilled_bytes }, revision })
}

/// The fields of an execution, without its id, its context and its log.
pub(super) fn write_head(document: &mut impl Build, of: &Execution) {
    document.text("name", &of.name).text("status", of.status.name());
    for (name, value) in [
        ("subStatus", &of.sub_status),
        ("metadata", &of.metadata),
        ("token", &of.token),
        ("worker", &of.worker),
        ("lastError", &of.last_error),
    ] {
        if let Some(value) = value {
            document.text(name, value);
        }
    }
    if !of.tags.is_empty() {
        write_tags(document, &of.tags);
    }
    document.long("version", of.version).long("seq", of.seq).long("logBytes", of.log_bytes);
    document.long("attempts", of.attempts);
    if let Some(last) = &of.last_operation {
        document.begin("lastOperation").text("id", &last.id);
        if let Some(first) = last.first_seq {
            document.long("first", first);
        }
        document.end();
    }
    document.date("createdAt", of.created_at).date("updatedAt", of.updated_at);
    for (name, at) in [("dueAt", of.due_at), ("completedAt", of.completed_at), ("parkedAt", of.parked_at)] {
        if let Some(at) = at {
            document.date(name, at);
        }
    }
    if let Some(at) = of.expires_at {
        document.date("expiresAt", at);
    }
}

/// An expiry that is new is stored by the server's clock, whose TTL index judges it.
pub(super) fn settle_expiry(of: &mut Execution, before: Option<Millis>, clock: &Clock) {
    if of.expires_at != before {
        of.expires_at = of.expires_at.map(|at| clock.there(at));
    }
}

/// The fields that an execution lacks: an update removes them.
pub(super) fn absent(of: &Execution) -> Vec<&'static str> {
    [
        ("subStatus", of.sub_status.is_none()),
        ("metadata", of.metadata.is_none()),
        ("token", of.token.is_none()),
        ("worker", of.worker.is_none()),
        ("lastError", of.last_error.is_none()),
        ("tags", of.tags.is_empty()),
        ("dueAt", of.due_at.is_none()),
        ("completedAt", of.completed_at.is_none()),
        ("parkedAt", of.parked_at.is_none()),
        ("expiresAt", of.expires_at.is_none()),
    ]
    .into_iter()
    .filter_map(|(name, is_absent)| is_absent.then_some(name))
    .collect()
}

/// The tags.
pub(super) fn write_tags(document: &mut impl Build, tags: &[Box<str>]) {
    write_texts(document, "tags", tags);
}

/// A condition that an execution has one of these statuses.
pub(super) fn write_statuses(filter: &mut impl Build, statuses: &[Status]) {
    let names: Vec<&str> = statuses.iter().map(|status| status.name()).collect();
    write_in(filter, "status", &names);
}

/// A condition that an execution whose time is over does not meet.
pub(super) fn write_live(filter: &mut impl Build, now: Millis) {
    filter.begin("expiresAt").begin("$not").date("$lte", now).end().end();
}

/// The condition that an execution is as it was read.
pub(super) fn write_unchanged(filter: &mut impl Build, stored: &Stored) {
    filter.text("_id", &stored.execution.id).long("revision", stored.revision).text("log", &stored.place.log);
}

/// The execution, with these fields besides; also one whose time is over, where `now` is not given.
pub(super) async fn load<C: Channel>(
    on: &C,
    id: &str,
    more: &[&str],
    now: Option<Millis>,
) -> Result<Option<(Stored, Dynamic)>> {
    let fields = [&HEAD[..], more].concat();
    let filter = |filter: &mut C::Command| {
        filter.text("_id", id);
        if let Some(now) = now {
            write_live(filter, now);
        }
    };
    let Some(document) = find(on, on.collection(), &fields, 1, &[], filter).await?.pop() else { return Ok(None) };
    let rest = document.get("tail").cloned().unwrap_or(Dynamic::Null);
    Ok(Some((stored(document)?, rest)))
}

/// `findAndModify`: the document that it answers, if one met the condition.
pub(super) async fn find_and_modify<C: Channel>(
    on: &C,
    id: &str,
    size: usize,
    fields: &[&str],
    write: impl Fn(&mut C::Command) + Send + Sync,
) -> Result<Option<Dynamic>> {
    // What was written before and is not settled must not land behind it.
    let replaces = [id];
    let change = on.change(size, &replaces, |command| {
        command.text("findAndModify", on.collection());
        write(command);
        // FerretDB 1 answers the whole document.
        if on.is_atomic() {
            command.begin("fields");
            for field in fields {
                command.int(field, 1);
            }
            command.end();
        }
    });
    let mut reply = change.await?;
    checked(&reply)?;
    match reply.remove("value") {
        Some(mongodb::bson::Bson::Document(document)) => Ok(Some(of_document(document))),
        _ => Ok(None),
    }
}

/// `PAYLOAD_TOO_LARGE`: no document holds it.
pub(crate) fn check_size(id: &str, size: usize) -> Result<()> {
    if size + BESIDES <= MAX_DOCUMENT {
        return Ok(());
    }
    let (size, limit) = (size as u64, (MAX_DOCUMENT - BESIDES) as u64);
    let message = format!("the execution needs {size} bytes in one document; the limit of mongodb is {limit}");
    Err(Error::too_large(message, size, limit).with_id(id))
}
