//! The keys of sagas, and what a stored state tells of itself.
//!
//! ```text
//! {prefix}saga:{name}:{correlationId}     the state, as JSON
//! {prefix}saga:{name}:idx:id:{sagaId}     its correlation id
//! {prefix}saga:{name}:idx:open            saga ids of those that have not ended
//! {prefix}saga:{name}:idx:completed       and of those that have
//! {prefix}saga:{name}:idx:ended           the same, by the time at which they ended first
//! {prefix}saga:{name}:idx:timeouts        saga ids by the time at which they time out
//! {prefix}saga:{name}:idx:expires         saga ids by the time at which they cease to exist
//! {prefix}saga:{name}:idx:unsettled       changes whose indexes are not known to be right
//! {prefix}saga:{name}:idx:lease:{sagaId}  its timeout and the worker that has it, while one has
//! {prefix}names                           the names of sagas that have had a timeout or a time to live
//! {prefix}names:all                       the names of all sagas, but those of older versions and of other software
//! ```
//!
//! Names have no colon, and correlation ids do not begin with `idx:`, so no two are the same.

use bytes::Bytes;
use serde::Deserialize;

use crate::contract::states::Saga;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// How states begin that `ts/states.ts` writes; the version follows.
const HEAD: &str = "{\"metadata\":{\"version\":";
/// As much of a state as is needed to see its version.
pub(crate) const HEAD_BYTES: usize = HEAD.len() + 17;

/// The indexes that sagas of a name are listed by.
pub(crate) const LISTS: [&str; 5] = ["open", "completed", "ended", "timeouts", "expires"];

/// Makes the keys of the sagas of one name.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) name: &'a str,
}

impl Keys<'_> {
    fn of(self, rest: &[&str]) -> Bytes {
        let Self { prefix, name } = self;
        Bytes::from(format!("{prefix}saga:{name}:{}", rest.concat()))
    }

    /// Of a state.
    pub(crate) fn state(self, correlation_id: &str) -> Bytes {
        self.of(&[correlation_id])
    }

    /// Of the index that leads from a saga id to its correlation id.
    pub(crate) fn id(self, saga_id: &str) -> Bytes {
        self.of(&["idx:id:", saga_id])
    }

    /// Of what says who has a saga that has timed out.
    pub(crate) fn lease(self, saga_id: &str) -> Bytes {
        self.of(&["idx:lease:", saga_id])
    }

    /// Of an index.
    pub(crate) fn list(self, list: &str) -> Bytes {
        self.of(&["idx:", list])
    }

    /// Of the changes whose indexes are not known to be right.
    pub(crate) fn unsettled(self) -> Bytes {
        self.list("unsettled")
    }
}

/// The names of sagas that have had a timeout or a time to live.
pub(crate) fn names(prefix: &str) -> Bytes {
    Bytes::from(format!("{prefix}names"))
}

/// The names of all sagas that were inserted, or brought in.
pub(crate) fn all_names(prefix: &str) -> Bytes {
    Bytes::from(format!("{prefix}names:all"))
}

/// When a state says that it was changed last.
pub(crate) fn updated_at(state: &str) -> Option<Millis> {
    let Document { metadata } = serde_json::from_str(state).ok()?;
    Millis::from_iso(&metadata.updated_at?)
}

#[derive(Deserialize)]
struct Document {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    saga_id: String,
    version: f64,
    #[serde(default)]
    is_completed: bool,
    updated_at: Option<String>,
    timeout_expires_at: Option<String>,
}

/// What a state tells of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) saga_id: String,
    pub(crate) version: i64,
    pub(crate) completed: bool,
    /// When it ended, if it has; of one that is stored, when it was changed last.
    pub(crate) ended_at: Option<Millis>,
    /// Whether that counts also where another time is noted.
    pub(crate) sets_end: bool,
    pub(crate) timeout_at: Option<Millis>,
}

impl Known {
    /// Reads a state, which others may have written.
    pub(crate) fn of(state: &[u8]) -> Result<Self> {
        let Document { metadata } = serde_json::from_slice(state).map_err(|source| corrupt().with_source(source))?;
        let time = |text: &Option<String>| text.as_deref().and_then(Millis::from_iso);
        #[allow(clippy::cast_possible_truncation)]
        Ok(Self {
            version: metadata.version as i64,
            completed: metadata.is_completed,
            ended_at: metadata.is_completed.then(|| time(&metadata.updated_at).unwrap_or(Millis(0))),
            // Other software notes nothing.
            sets_end: version_at_head(state).is_none(),
            timeout_at: time(&metadata.timeout_expires_at).filter(|_| !metadata.is_completed),
            saga_id: metadata.saga_id,
        })
    }

    /// The same, of a state that is about to be written; `is_new`: nothing is noted of it yet, but what others have
    /// left.
    pub(crate) fn about(saga: &Saga, is_new: bool) -> Self {
        Self {
            saga_id: saga.id.to_string(),
            version: saga.version,
            completed: saga.completed,
            ended_at: saga.completed_at,
            sets_end: is_new,
            timeout_at: saga.timeout_at,
        }
    }

    /// Which indexes it stands in, and its score there; `expires_at` is not told by the state.
    pub(crate) fn lists(&self, expires_at: Option<Millis>) -> [(&'static str, Option<i64>); LISTS.len()] {
        [
            ("open", (!self.completed).then_some(0)),
            ("completed", self.completed.then_some(0)),
            ("ended", self.ended_at.map(|at| at.0)),
            ("timeouts", self.timeout_at.map(|at| at.0)),
            ("expires", expires_at.map(|at| at.0)),
        ]
    }
}

/// `CORRUPT_DATA`: what stands there is no state.
pub(crate) fn corrupt() -> Error {
    Error::new(Kind::CorruptData, "the stored state is no JSON with metadata")
}

/// The version that a state begins with; none where others have written it.
pub(crate) fn version_at_head(head: &[u8]) -> Option<i64> {
    let rest = std::str::from_utf8(head).ok()?.strip_prefix(HEAD)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_documentation() {
        let keys = Keys { prefix: "saga-bus:", name: "Order" };
        assert_eq!(keys.state("order-1"), "saga-bus:saga:Order:order-1");
        assert_eq!(keys.id("s-1"), "saga-bus:saga:Order:idx:id:s-1");
        assert_eq!(keys.list("open"), "saga-bus:saga:Order:idx:open");
        assert_eq!((names("p:"), all_names("p:")), (Bytes::from("p:names"), Bytes::from("p:names:all")));
    }

    #[test]
    fn states_are_read_whoever_wrote_them() {
        let theirs = r#"{"total": 1, "metadata": {"sagaId": "s", "version": 3, "createdAt": "2026-01-01T00:00:00.000Z",
            "updatedAt": "1970-01-01T00:00:01.000Z", "archivedAt": null, "timeoutExpiresAt": "1970-01-01T00:00:02.000Z"}}"#;
        let known = Known::of(theirs.as_bytes()).unwrap();
        let expected = Known {
            saga_id: String::from("s"),
            version: 3,
            completed: false,
            ended_at: None,
            sets_end: true,
            timeout_at: Some(Millis(2_000)),
        };
        assert_eq!(known, expected);
        assert_eq!(updated_at(theirs), Some(Millis(1_000)));
        let ended = theirs.replace("\"version\": 3", "\"version\": 4, \"isCompleted\": true");
        assert_eq!(Known::of(ended.as_bytes()).unwrap().ended_at, Some(Millis(1_000)));
        assert!(!Known::of(br#"{"metadata":{"version":1,"sagaId":"s"}}"#).unwrap().sets_end);
        for state in
            ["", "{}", "[]", r#"{"metadata": {"sagaId": 1, "version": 1}}"#, r#"{"metadata": {"sagaId": "s"}}"#]
        {
            assert_eq!(Known::of(state.as_bytes()).unwrap_err().kind(), Kind::CorruptData, "{state}");
        }
        let deep = format!(
            r#"{{"metadata":{{"sagaId":"s","version":1}},"deep":{}1{}}}"#,
            "[".repeat(5_000),
            "]".repeat(5_000)
        );
        assert_eq!(Known::of(deep.as_bytes()).unwrap().version, 1);
    }

    #[test]
    fn the_version_stands_at_the_head() {
        let state = r#"{"metadata":{"version":9007199254740991,"sagaId":"s"}}"#;
        assert_eq!(version_at_head(&state.as_bytes()[..HEAD_BYTES]), Some(9_007_199_254_740_991));
        for other in ["", "{", r#"{"metadata":{"version":"#, r#"{"metadata":{"version":x"#, r#"{"total":1"#] {
            assert_eq!(version_at_head(other.as_bytes()), None, "{other}");
        }
    }
}
