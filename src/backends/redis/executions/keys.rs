//! The keys of executions, and what stands under them. All keys of one bucket are in one hash slot:
//!
//! ```text
//! {prefix}{b17}:saga:{id}          a hash: the execution
//! {prefix}{b17}:log:{id}           a list: the entries of its log, in their order
//! {prefix}{b17}:steps:{id}         a hash: the numbers of entries with a step id
//! {prefix}{b17}:updated:{status}   sorted sets of ids: by the last change
//! {prefix}{b17}:created:{status}   by the creation
//! {prefix}{b17}:due:{status}       by when they are due
//! {prefix}{b17}:parked:{status}    those that are parked, by the last change
//! {prefix}{b17}:ended:{status}     by when they ended
//! {prefix}{b17}:expiring:{status}  by when they cease to exist
//! {prefix}{b17}:leased             those that somebody has
//! {prefix}{b17}:sizes              a hash: the bytes of those that cease to exist by themselves
//! {prefix}{b17}:bytes              the bytes of all
//! {prefix}buckets                  the number of buckets
//! ```

use bytes::Bytes;
use fred::prelude::Value;
use fred::util::redis_keyslot;

use crate::contract::executions::record::{Action, Entry, Execution, LastOperation, Logged, Status, StepStatus};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// How many buckets there are.
pub(crate) const BUCKETS: u16 = 256;

/// A bucket of executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Bucket(u16);

impl Bucket {
    /// That of a saga: what `CLUSTER KEYSLOT id` says, modulo the number of buckets. So sagas that share a hash tag are
    /// in one bucket.
    pub(crate) fn of(id: &str) -> Self {
        Self(redis_keyslot(id.as_bytes()) % BUCKETS)
    }

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..BUCKETS).map(Self)
    }

    /// What its keys begin with.
    pub(crate) fn base(self, prefix: &str) -> String {
        format!("{prefix}{{b{}}}:", self.0)
    }

    /// One of its keys.
    pub(crate) fn key(self, prefix: &str, rest: &[&str]) -> Bytes {
        Bytes::from(self.base(prefix) + &rest.concat())
    }
}

/// Where the number of buckets stands.
pub(crate) fn buckets(prefix: &str) -> Bytes {
    Bytes::from(format!("{prefix}buckets"))
}

/// The key of an execution's record.
pub(crate) fn record(prefix: &str, id: &str) -> Bytes {
    Bucket::of(id).key(prefix, &["saga:", id])
}

/// All keys that a change of these executions may touch, which are in one bucket: a cluster that moves its slot has to
/// know them.
pub(crate) fn touched(bucket: Bucket, prefix: &str, ids: &[&str]) -> Vec<Bytes> {
    let mut keys = Vec::with_capacity(27 + 3 * ids.len());
    for id in ids {
        keys.extend(["saga:", "log:", "steps:"].map(|part| bucket.key(prefix, &[part, id])));
    }
    for status in Status::ALL {
        let own = if status.is_terminal() { ["ended:", "expiring:"] } else { ["due:", "parked:"] };
        let indexes = ["updated:", "created:"].into_iter().chain(own);
        keys.extend(indexes.map(|index| bucket.key(prefix, &[index, status.name()])));
    }
    keys.extend(["leased", "sizes", "bytes"].map(|part| bucket.key(prefix, &[part])));
    keys
}

/// The fields of a record, in the order in which they are read. The context is the last: lists leave it out.
pub(crate) const SHOWN: [&str; 22] = [
    "name",
    "status",
    "token",
    "workerId",
    "operation",
    "version",
    "entries",
    "bytes",
    "attempts",
    "createdAt",
    "updatedAt",
    "dueAt",
    "operationVersion",
    "operationSeq",
    "completedAt",
    "parkedAt",
    "expiresAt",
    "subStatus",
    "metadata",
    "tags",
    "lastError",
    "context",
];

/// `CORRUPT_DATA`: what stands there is no execution.
pub(crate) fn corrupt(id: &str) -> Error {
    Error::new(Kind::CorruptData, "the stored execution cannot be read").with_id(id)
}

/// The execution that these values of [`SHOWN`] are; none if nothing is there.
pub(crate) fn execution_of(id: &str, values: Vec<Value>) -> Result<Option<Execution>> {
    if values.iter().all(Value::is_null) {
        return Ok(None);
    }
    let mut values = values.into_iter();
    let mut text = || match values.next() {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_string().map(|text| Some(Box::<str>::from(text))).ok_or_else(|| corrupt(id)),
    };
    let number = |text: Option<Box<str>>| text.map(|text| whole(&text).ok_or_else(|| corrupt(id))).transpose();
    let needed = |text: Option<Box<str>>| number(text)?.ok_or_else(|| corrupt(id));
    let at = |text: Option<Box<str>>| Ok::<_, Error>(number(text)?.map(Millis));
    let name = text()?.ok_or_else(|| corrupt(id))?;
    let status = Status::stored(&text()?.unwrap_or_default()).map_err(|error| error.with_id(id))?;
    let (token, worker, operation) = (text()?, text()?, text()?);
    let (version, seq, log_bytes, attempts) = (needed(text()?)?, needed(text()?)?, needed(text()?)?, needed(text()?)?);
    let (created_at, updated_at) = (Millis(needed(text()?)?), Millis(needed(text()?)?));
    let (due_at, operation_version, first_seq) = (at(text()?)?, number(text()?)?, number(text()?)?);
    let (completed_at, parked_at, expires_at) = (at(text()?)?, at(text()?)?, at(text()?)?);
    let (sub_status, metadata, tags) = (text()?, text()?, text()?);
    let tags = tags.map(|tags| serde_json::from_str(&tags).map_err(|source| corrupt(id).with_source(source)));
    let last_operation =
        operation.map(|id| LastOperation { id, version: operation_version.unwrap_or(version), first_seq });
    Ok(Some(Execution {
        id: id.into(),
        name,
        status,
        sub_status,
        metadata,
        tags: tags.transpose()?.unwrap_or_default(),
        version,
        seq,
        log_bytes,
        token,
        worker,
        due_at,
        attempts,
        last_operation,
        created_at,
        updated_at,
        completed_at,
        parked_at,
        expires_at,
        last_error: text()?,
        context: text()?,
    }))
}

/// A whole number; scripts write those that are out of all reason less exactly.
fn whole(text: &str) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)]
    text.parse().ok().or_else(|| text.parse::<f64>().ok().map(|number| number as i64))
}

/// Tags as they are stored; none if there are none.
pub(crate) fn tags_text(tags: &[Box<str>]) -> Option<String> {
    (!tags.is_empty()).then(|| serde_json::Value::from(tags.iter().map(|tag| &**tag).collect::<Vec<_>>()).to_string())
}

/// A new execution's fields with their values: those that scripts know, but for when it is due, and the others.
pub(crate) fn fields_of(of: &Execution) -> (Vec<Bytes>, Vec<Bytes>) {
    let text = |text: &Option<Box<str>>| text.as_ref().map(ToString::to_string);
    let number = |number: i64| Some(number.to_string());
    let size = i64::try_from(of.context.as_ref().map_or(0, |context| context.len())).unwrap_or(0) + of.log_bytes;
    let last = of.last_operation.as_ref();
    let known = [
        ("name", Some(of.name.to_string())),
        ("status", Some(of.status.name().to_owned())),
        ("token", text(&of.token)),
        ("workerId", text(&of.worker)),
        ("operation", last.map(|last| last.id.to_string())),
        ("version", number(of.version)),
        ("entries", number(of.seq)),
        ("bytes", number(of.log_bytes)),
        ("size", number(size)),
        ("attempts", number(of.attempts)),
        ("createdAt", number(of.created_at.0)),
        ("updatedAt", number(of.updated_at.0)),
        ("operationVersion", last.map(|last| last.version.to_string())),
        ("operationSeq", last.and_then(|last| last.first_seq).map(|seq| seq.to_string())),
        ("completedAt", of.completed_at.map(|at| at.0.to_string())),
        ("expiresAt", of.expires_at.map(|at| at.0.to_string())),
    ];
    let others = [
        ("context", text(&of.context)),
        ("subStatus", text(&of.sub_status)),
        ("metadata", text(&of.metadata)),
        ("tags", tags_text(&of.tags)),
        ("lastError", text(&of.last_error)),
    ];
    (given(known), given(others))
}

/// Those fields that have a value, each with it.
pub(crate) fn given(fields: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Vec<Bytes> {
    let given = fields.into_iter().filter_map(|(name, value)| Some([Bytes::from(name), Bytes::from(value?)]));
    given.flatten().collect()
}

/// An entry as it is stored: a line of JSON that begins with its bytes, and its body behind it.
pub(crate) fn line_of(entry: &Entry, at: Millis) -> Bytes {
    let head = serde_json::json!([
        entry.bytes(),
        entry.step,
        entry.action.name(),
        entry.status.name(),
        entry.step_id,
        entry.details,
        at.0
    ]);
    let mut line = head.to_string();
    if let Some(body) = &entry.body {
        line.push('\n');
        line.push_str(body);
    }
    Bytes::from(line)
}

/// The entry that is stored so, the one of this number.
pub(crate) fn logged_of(id: &str, seq: i64, line: &[u8]) -> Result<Logged> {
    type Head = (i64, Box<str>, String, String, Option<Box<str>>, Option<Box<str>>, i64);
    let unreadable = || Error::new(Kind::CorruptData, "an entry of the log cannot be read").with_id(id);
    let line = std::str::from_utf8(line).map_err(|source| unreadable().with_source(source))?;
    let (head, body) = line.split_once('\n').map_or((line, None), |(head, body)| (head, Some(body.into())));
    let (_, step, action, status, step_id, details, at): Head =
        serde_json::from_str(head).map_err(|source| unreadable().with_source(source))?;
    let action = Action::stored(&action).map_err(|error| error.with_id(id))?;
    let status = StepStatus::stored(&status).map_err(|error| error.with_id(id))?;
    Ok(Logged { seq, entry: Entry { step, action, status, step_id, details, body }, at: Millis(at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_documentation() {
        // What `CLUSTER KEYSLOT saga-1` answers: 8225.
        assert_eq!(Bucket::of("saga-1"), Bucket(redis_keyslot(b"saga-1") % 256));
        assert_eq!(Bucket(17).key("p:", &["due:", "running"]), "p:{b17}:due:running");
        assert_eq!(Bucket::of("{order-1}a"), Bucket::of("b{order-1}"));
        assert_eq!(buckets("p:"), "p:buckets");
        let keys = touched(Bucket(17), "p:", &["{x}"]);
        assert_eq!(keys.len(), 30);
        assert!(keys.iter().all(|key| redis_keyslot(key) == redis_keyslot(b"b17")));
    }

    #[test]
    fn entries_come_back_as_they_were() {
        let entry = |step_id: Option<&str>, details: Option<&str>, body: Option<&str>| Entry {
            step: "charge \"it\"\n".into(),
            action: Action::Compensate,
            status: StepStatus::Skipped,
            step_id: step_id.map(Into::into),
            details: details.map(Into::into),
            body: body.map(Into::into),
        };
        for entry in [entry(None, None, None), entry(Some("a\u{fc}"), Some("two\nlines"), Some("{\"result\":\n1}"))] {
            let line = line_of(&entry, Millis(7));
            assert!(line.starts_with(format!("[{},", entry.bytes()).as_bytes()));
            assert_eq!(logged_of("s", 3, &line).unwrap(), Logged { seq: 3, entry, at: Millis(7) });
        }
        for line in ["", "[1]", "[1,\"a\",\"act\",\"done\",null,null,1]", "[1,\"a\",\"act\",\"started\",null,null]"] {
            assert_eq!(logged_of("s", 1, line.as_bytes()).unwrap_err().kind(), Kind::CorruptData, "{line}");
        }
    }

    #[test]
    fn numbers_out_of_all_reason_are_read() {
        assert_eq!(whole("9223372036854775808"), Some(i64::MAX));
        assert_eq!((whole("-5"), whole("x")), (Some(-5), None));
    }
}
