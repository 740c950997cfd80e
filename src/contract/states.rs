//! Saga state as data, and the contract that every backend keeps.
//!
//! - A saga is known by its name and its saga id, and as well by its name and its correlation id;
//!   each is unique among the sagas of one name, also under concurrent inserts.
//! - `Update` replaces a state if its version is the expected one: of several with the same
//!   expectation one succeeds, the others are told the version that they met.
//! - A state whose time is over does not exist: it is not found, not listed, not counted, and in
//!   nobody's way.
//! - The state is JSON text. No backend looks into it, but for what [`Saga`] has beside it.
//! - Lists are in the order of saga ids, which no insert changes.

use super::arguments::Arguments;
use super::dynamic::Dynamic;
use super::operation::{Access, Group, Operation, RecordKind, Work, check_id};
use super::operations::Call;
use super::settings::Settings;
#[allow(unused_imports)] // Named in the documentation.
use super::step::Reply;
use crate::error::{Detail, Error, Kind, Result};
use crate::time::Millis;

/// The longest saga name, in bytes of UTF-8.
const MAX_NAME_BYTES: usize = 128;

/// The longest saga id and the longest correlation id, in bytes of UTF-8: with a name before it, it
/// is a key of every backend.
const MAX_STATE_ID_BYTES: usize = 512;

/// What correlation ids must not begin with: Redis has its indexes under that name.
const RESERVED: &str = "idx:";

/// A saga, as it is to be stored.
#[derive(Clone, Debug)]
pub struct Saga {
    /// The saga's name, such as `OrderSaga`.
    pub name: Box<str>,
    /// The saga id.
    pub id: Box<str>,
    /// Counts the updates.
    pub version: i64,
    /// Whether it has ended.
    pub completed: bool,
    /// When it began.
    pub created_at: Millis,
    /// When it was changed last.
    pub updated_at: Millis,
    /// When it has ended, unless it has before this change; none for one that has not.
    pub completed_at: Option<Millis>,
    /// When it times out; none for one that has ended.
    pub timeout_at: Option<Millis>,
    /// When it ceases to exist.
    pub expires_at: Option<Millis>,
    /// The whole state, as JSON.
    pub state: Box<str>,
}

/// A change of one saga, or of several that have ended. What it was given is valid.
#[derive(Clone, Debug)]
pub enum StateWrite {
    /// Stores a new saga. Replies [`Reply::Done`]; see [`taken`] and [`correlation_taken`].
    Insert {
        /// The saga.
        saga: Box<Saga>,
        /// The id of what it is about, such as an order's.
        correlation_id: Box<str>,
    },
    /// Replaces state and version. Replies [`Reply::Done`]; see [`conflict`] and [`missing`].
    Update {
        /// The saga, with its new version.
        saga: Box<Saga>,
        /// The version that it must have.
        expected: i64,
    },
    /// Removes a saga, if there is one. Replies [`Reply::Done`].
    Delete {
        /// The saga's name.
        name: Box<str>,
        /// The saga id.
        id: Box<str>,
    },
    /// Removes a saga, if there is one. Replies [`Reply::Done`].
    DeleteByCorrelation {
        /// The saga's name.
        name: Box<str>,
        /// The correlation id.
        correlation_id: Box<str>,
    },
    /// Removes at most `limit` sagas that ended before a time. One counts as ended when an insert or an
    /// update first made it so, whatever happens to it behind that; where that has not been noted (by an
    /// older version, by other software), when it was changed last. Replies [`Reply::Count`]; fewer than
    /// `limit` means that there are no more.
    DeleteCompleted {
        /// The sagas' name.
        name: Box<str>,
        /// The time.
        before: Millis,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
    /// Gives sagas that have timed out to a worker, the longest overdue first. Replies
    /// [`Reply::States`]. The lease is kept beside the state and for one timeout: an update that moves
    /// or clears it, or ends the saga, ends the lease. The state and its version stay as they are.
    ClaimTimedOut(Box<Claim>),
}

/// Who wants sagas that have timed out, and which.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The worker.
    pub worker: Box<str>,
    /// How long nobody else is given them, in milliseconds: judged by the server's clock where it has one.
    pub lease_ms: u64,
    /// The present, for timeouts.
    pub now: Millis,
    /// Only those of this name.
    pub name: Option<Box<str>>,
    /// At most [`super::arguments::MAX_LISTED`].
    pub limit: u64,
}

/// A question about sagas. What it was given is valid.
#[derive(Clone, Debug)]
pub enum StateRead {
    /// A state. Replies [`Reply::State`].
    ById {
        /// The saga's name.
        name: Box<str>,
        /// The saga id.
        id: Box<str>,
    },
    /// A state. Replies [`Reply::State`].
    ByCorrelation {
        /// The saga's name.
        name: Box<str>,
        /// The correlation id.
        correlation_id: Box<str>,
    },
    /// A page of the sagas of a name, in the order of their ids. Replies [`Reply::States`]; fewer
    /// than `limit` means that there are no more.
    List {
        /// The sagas' name.
        name: Box<str>,
        /// Only those that have ended, or that have not.
        completed: Option<bool>,
        /// The id that the page before ended with.
        after: Option<Box<str>>,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
    /// How many sagas of a name there are. Replies [`Reply::Count`].
    Count {
        /// The sagas' name.
        name: Box<str>,
        /// Only those that have ended, or that have not.
        completed: Option<bool>,
    },
    /// Sagas that have not ended and whose timeout has passed, the longest overdue first. Replies
    /// [`Reply::States`].
    TimedOut {
        /// The present.
        now: Millis,
        /// Only those of this name.
        name: Option<Box<str>>,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
    /// A page of the names that sagas have, in their order. Replies [`Reply::ids`]; fewer than `limit` means that there
    /// are no more.
    Names {
        /// The name that the page before ended with.
        after: Option<Box<str>>,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
    /// The same as `List`, of those that have not ended and that nobody has changed since.
    Stale {
        /// The sagas' name.
        name: Box<str>,
        /// They were changed last then, or before.
        since: Millis,
        /// The id that the page before ended with.
        after: Option<Box<str>>,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
}

/// A state that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundState {
    /// The saga's name.
    pub name: Box<str>,
    /// The saga id.
    pub id: Box<str>,
    /// Its correlation id; none where other software has stored it without one.
    pub correlation_id: Option<Box<str>>,
    /// JSON, or why there is none.
    pub state: std::result::Result<String, String>,
}

/// The state of a saga that was asked for alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneState {
    /// JSON.
    pub state: String,
    /// Its correlation id; none where other software has stored it without one.
    pub correlation_id: Option<Box<str>>,
}

impl FoundState {
    /// Its state, or the error of the operation that asked for it alone.
    pub fn into_one(self) -> Result<OneState> {
        let state = self.state.map_err(|why| Error::new(Kind::CorruptData, why).with_id(&self.id))?;
        Ok(OneState { state, correlation_id: self.correlation_id })
    }
}

/// Why a state cannot be read; any other error is one of the whole operation.
pub fn unreadable(error: Error) -> Result<String> {
    if error.kind() == Kind::CorruptData { Ok(error.message().to_owned()) } else { Err(error) }
}

/// What a part of `reindex` came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reindexed {
    /// Where the next part begins; none: that was all.
    pub cursor: Option<String>,
    /// Sagas that were looked at.
    pub found: u64,
    /// Those of them that were not in just the lists in which they belong.
    pub added: u64,
    /// Entries of sagas that are not stored any more.
    pub removed: u64,
    /// Sagas whose state cannot be read.
    pub unreadable: u64,
}

impl Operation for StateWrite {
    const KIND: RecordKind = RecordKind::States;
    const ACCESS: Access = Access::Write;
    const ORDERED: bool = true;

    fn id(&self) -> &str {
        match self {
            Self::Insert { saga, .. } | Self::Update { saga, .. } => &saga.id,
            Self::Delete { id, .. } => id,
            Self::DeleteByCorrelation { correlation_id, .. } => correlation_id,
            Self::DeleteCompleted { name, .. } => name,
            Self::ClaimTimedOut(claim) => claim.name.as_deref().unwrap_or_default(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Insert { saga, .. } | Self::Update { saga, .. } => saga.id.len() + saga.state.len(),
            _ => self.id().len(),
        }
    }

    /// One whose answer was lost has perhaps happened, and would now meet itself.
    fn may_repeat(&self) -> bool {
        matches!(self, Self::Delete { .. } | Self::DeleteByCorrelation { .. })
    }

    fn group(group: &[Self]) -> Group<'_> {
        Group::States(Work::Write(group))
    }
}

impl Operation for StateRead {
    const KIND: RecordKind = RecordKind::States;
    const ACCESS: Access = Access::Read;
    const ORDERED: bool = false;

    fn id(&self) -> &str {
        match self {
            Self::ById { id, .. } => id,
            Self::ByCorrelation { correlation_id, .. } => correlation_id,
            Self::List { name, .. } | Self::Count { name, .. } | Self::Stale { name, .. } => name,
            Self::Names { .. } => "",
            Self::TimedOut { name, .. } => name.as_deref().unwrap_or_default(),
        }
    }

    fn bytes(&self) -> usize {
        0
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn group(group: &[Self]) -> Group<'_> {
        Group::States(Work::Read(group))
    }
}

/// `ALREADY_EXISTS`: a saga of this name has the saga id.
pub fn taken(saga: &Saga) -> Error {
    Error::new(Kind::AlreadyExists, format!("a saga '{}' with this saga id already exists", saga.name))
        .with_detail("sagaName", Detail::Text(saga.name.to_string()))
        .with_detail("sagaId", Detail::Text(saga.id.to_string()))
}

/// `ALREADY_EXISTS`: a saga of this name has the correlation id.
pub fn correlation_taken(saga: &Saga, correlation_id: &str) -> Error {
    let message = format!("a saga '{}' with the correlation id '{correlation_id}' already exists", saga.name);
    Error::new(Kind::AlreadyExists, message)
        .with_detail("sagaName", Detail::Text(saga.name.to_string()))
        .with_detail("correlationId", Detail::Text(correlation_id.to_owned()))
}

/// `NOT_FOUND`: there is no saga to update.
pub fn missing(saga: &Saga) -> Error {
    Error::new(Kind::NotFound, format!("not found: no saga '{}' has this saga id", saga.name))
        .with_detail("sagaName", Detail::Text(saga.name.to_string()))
        .with_detail("sagaId", Detail::Text(saga.id.to_string()))
}

/// `CONCURRENCY_CONFLICT`: the saga has another version than was expected.
pub fn conflict(saga: &Saga, expected: i64, actual: i64) -> Error {
    let message =
        format!("Optimistic concurrency conflict: version {expected} was expected, the saga has version {actual}");
    Error::new(Kind::ConcurrencyConflict, message)
        .with_detail("sagaName", Detail::Text(saga.name.to_string()))
        .with_detail("sagaId", Detail::Text(saga.id.to_string()))
        .with_detail("expectedVersion", Detail::Number(expected))
        .with_detail("actualVersion", Detail::Number(actual))
}

/// `INVALID_ARGUMENT`: a transaction that is sent at its end has a change of this saga.
pub fn changed_twice(id: &str) -> Error {
    Error::invalid("this transaction is only sent at its end, and takes one change of each saga").with_id(id)
}

/// `BACKEND`: a saga is not what it was when its change was queued.
pub fn changed_meanwhile(id: &str) -> Error {
    let text =
        "somebody else has changed the saga since its change was queued; nothing of the transaction has happened";
    Error::new(Kind::Backend, text).retryable(true).unsent().with_id(id)
}

/// An operation on states.
pub type StateStep = Work<StateWrite, StateRead>;

/// Reads and checks what a call on states was given: a list, as `ts/states.ts` makes it.
pub fn step(call: Call, given: Vec<Dynamic>, settings: &Settings) -> Result<StateStep> {
    let mut given = Arguments::new(given);
    Ok(match call {
        Call::StateInsert => {
            let mut saga = given.saga(settings)?;
            // Old ones that are brought in keep their age.
            saga.completed_at = saga.completed_at.map(|now| now.min(saga.updated_at));
            let correlation_id = given.correlation_id()?;
            StateStep::Write(StateWrite::Insert { saga, correlation_id })
        }
        Call::StateUpdate => {
            let saga = given.saga(settings)?;
            StateStep::Write(StateWrite::Update { expected: given.version("expectedVersion")?, saga })
        }
        Call::StateDelete => StateStep::Write(StateWrite::Delete { name: given.name()?, id: given.id()? }),
        Call::StateDeleteByCorrelation => StateStep::Write(StateWrite::DeleteByCorrelation {
            name: given.name()?,
            correlation_id: given.correlation_id()?,
        }),
        Call::StateDeleteCompleted => StateStep::Write(StateWrite::DeleteCompleted {
            name: given.name()?,
            before: given.time("before")?,
            limit: given.limit()?,
        }),
        Call::StateById => StateStep::Read(StateRead::ById { name: given.name()?, id: given.id()? }),
        Call::StateByCorrelation => {
            StateStep::Read(StateRead::ByCorrelation { name: given.name()?, correlation_id: given.correlation_id()? })
        }
        Call::StateList => StateStep::Read(StateRead::List {
            name: given.name()?,
            completed: given.optional_flag("completed")?,
            after: given.optional("cursor")?,
            limit: given.limit()?,
        }),
        Call::StateCount => {
            StateStep::Read(StateRead::Count { name: given.name()?, completed: given.optional_flag("completed")? })
        }
        Call::StateTimedOut => {
            let (now, name) = (given.time("now")?, given.optional("sagaName")?);
            if let Some(name) = &name {
                check_name(name)?;
            }
            StateStep::Read(StateRead::TimedOut { now, name, limit: given.limit()? })
        }
        Call::StateNames => {
            StateStep::Read(StateRead::Names { after: given.optional("cursor")?, limit: given.limit()? })
        }
        Call::StateStale => StateStep::Read(StateRead::Stale {
            name: given.name()?,
            since: given.time("unchangedForMs")?,
            after: given.optional("cursor")?,
            limit: given.limit()?,
        }),
        Call::StateClaimTimedOut => {
            let (worker, lease_ms) = (given.worker()?, given.lease()?);
            let (now, name) = (given.time("now")?, given.optional("sagaName")?);
            if let Some(name) = &name {
                check_name(name)?;
            }
            let limit = given.limit()?;
            StateStep::Write(StateWrite::ClaimTimedOut(Box::new(Claim { worker, lease_ms, now, name, limit })))
        }
        _ => return Err(Error::invalid("the call is not one on states")),
    })
}

impl Arguments {
    fn name(&mut self) -> Result<Box<str>> {
        let name = self.text("sagaName")?;
        check_name(&name)?;
        Ok(name)
    }

    fn id(&mut self) -> Result<Box<str>> {
        let id = self.text("sagaId")?;
        check_state_id("sagaId", &id)?;
        Ok(id)
    }

    fn correlation_id(&mut self) -> Result<Box<str>> {
        let id = self.text("correlationId")?;
        check_correlation_id(&id)?;
        Ok(id)
    }

    fn saga(&mut self, settings: &Settings) -> Result<Box<Saga>> {
        let (name, id) = (self.name()?, self.id()?);
        self.rest_of_saga(name, id.clone(), settings).map_err(|error| error.with_id(&id))
    }

    fn rest_of_saga(&mut self, name: Box<str>, id: Box<str>, settings: &Settings) -> Result<Box<Saga>> {
        let version = self.version("metadata.version")?;
        let completed = self.flag("metadata.isCompleted")?;
        let created_at = self.time("metadata.createdAt")?;
        let updated_at = self.time("metadata.updatedAt")?;
        let timeout_at = self.optional_time("metadata.timeoutExpiresAt")?.filter(|_| !completed);
        // Only in the state; one that is no date could not be read again.
        self.optional_time("metadata.archivedAt")?;
        let state = self.text("the state")?;
        let kept = if completed { settings.completed_ttl.or(settings.default_ttl) } else { settings.default_ttl };
        let now = Millis::now();
        let expires_at = kept.map(|kept| now.plus(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX)));
        let completed_at = completed.then_some(now);
        let saga =
            Saga { name, id, version, completed, created_at, updated_at, completed_at, timeout_at, expires_at, state };
        Ok(Box::new(saga))
    }
}

/// Saga names are parts of keys: on Redis `saga:{name}:{correlationId}`, so a colon in it would make two keys one.
pub fn check_name(name: &str) -> Result<()> {
    let wrong = if name.is_empty() {
        "must not be empty"
    } else if name.len() > MAX_NAME_BYTES {
        "is longer than 128 bytes of UTF-8"
    } else if name.chars().any(|c| c == ':' || c == '#' || c.is_control()) {
        "must not contain ':', '#' or control characters"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("sagaName {wrong}")))
}

/// Refuses correlation ids that some backend could not keep.
pub fn check_correlation_id(id: &str) -> Result<()> {
    check_state_id("correlationId", id)?;
    if id.starts_with(RESERVED) {
        return Err(Error::invalid(format!("correlationId must not begin with '{RESERVED}'")).with_id(id));
    }
    Ok(())
}

/// Refuses ids that some backend could not keep.
pub fn check_state_id(what: &str, id: &str) -> Result<()> {
    let checked = if id.len() > MAX_STATE_ID_BYTES {
        Err(Error::invalid(format!("{what} is longer than {MAX_STATE_ID_BYTES} bytes of UTF-8")))
    } else {
        check_id(id).map_err(|error| Error::invalid(error.message().replacen("id", what, 1)))
    };
    checked.map_err(|error| error.with_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::operation::chains;

    fn settings(options: &str) -> Settings {
        Settings::read(&mut crate::options::OptionReader::parse(options).unwrap()).unwrap()
    }

    fn saga(completed: bool) -> Vec<Dynamic> {
        let time = || Dynamic::Time(Millis(1));
        let known = vec!["Order".into(), "s-1".into(), 3.into(), Dynamic::Bool(completed), time(), time(), time()];
        [known, vec![Dynamic::Null, "{}".into()]].concat()
    }

    fn refusal(call: Call, given: Vec<Dynamic>) -> String {
        let error = step(call, given, &settings("{}")).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |place: usize, value: Dynamic| {
            let mut given = saga(false);
            given.push("c-1".into());
            given[place] = value;
            refusal(Call::StateInsert, given)
        };
        for (place, value, expected) in [
            (0, "".into(), "sagaName must not be empty"),
            (0, "a:b".into(), "sagaName must not contain ':'"),
            (0, Dynamic::text(&"n".repeat(129)), "sagaName is longer"),
            (1, "".into(), "sagaId must not be empty"),
            (1, "a\0".into(), "sagaId must not contain a NUL"),
            (1, Dynamic::text(&"i".repeat(513)), "sagaId is longer"),
            (2, Dynamic::Int(-1), "metadata.version must be a whole number"),
            (2, Dynamic::Number(1.5), "metadata.version must be a whole number"),
            (4, Dynamic::Null, "metadata.createdAt must be a valid Date"),
            (5, Dynamic::Number(f64::NAN), "metadata.updatedAt must be a valid Date"),
            (6, "soon".into(), "metadata.timeoutExpiresAt must be a valid Date"),
            (7, 0.into(), "metadata.archivedAt must be a valid Date"),
            (9, "idx:id:1".into(), "correlationId must not begin with 'idx:'"),
        ] {
            let message = with(place, value);
            assert!(message.starts_with(expected), "{message}");
        }
        let list = |limit: i64| refusal(Call::StateList, vec!["n".into(), Dynamic::Null, Dynamic::Null, limit.into()]);
        assert!(list(0).contains("limit") && list(1_001).contains("1 to 1000"));
    }

    #[test]
    fn a_saga_that_has_ended_is_kept_for_its_own_time_and_times_out_no_more() {
        let insert = |options: &str, completed: bool| {
            let mut given = saga(completed);
            given.push("c-1".into());
            match step(Call::StateInsert, given, &settings(options)).unwrap() {
                StateStep::Write(StateWrite::Insert { saga, .. }) => *saga,
                other => panic!("{other:?}"),
            }
        };
        let left = |saga: &Saga| saga.expires_at.map(|at| (at.0 - Millis::now().0 + 50) / 100 * 100);
        assert_eq!(left(&insert("{}", true)), None);
        let options = r#"{"completedTtlMs": 60000, "defaultTtlMs": 90000}"#;
        let (open, ended) = (insert(options, false), insert(options, true));
        assert_eq!((left(&open), open.timeout_at), (Some(90_000), Some(Millis(1))));
        assert_eq!((left(&ended), ended.timeout_at), (Some(60_000), None));
        assert_eq!(left(&insert(r#"{"completedTtlMs": 60000}"#, false)), None);
        assert_eq!(left(&insert(r#"{"defaultTtlMs": 90000, "completedTtlMs": 0}"#, true)), Some(90_000));
    }

    #[test]
    fn a_saga_ends_now_unless_it_is_inserted_as_an_old_one() {
        let ended = |call: Call, completed: bool, updated_at: Millis| {
            let mut given = saga(completed);
            given[5] = Dynamic::Time(updated_at);
            given.push(if call == Call::StateInsert { "c-1".into() } else { 2.into() });
            match step(call, given, &settings("{}")).unwrap() {
                StateStep::Write(StateWrite::Insert { saga, .. } | StateWrite::Update { saga, .. }) => {
                    saga.completed_at
                }
                other => panic!("{other:?}"),
            }
        };
        let (before, ahead) = (Millis::now(), Millis::now().plus(3_600_000));
        let is_now = |at: Option<Millis>| at.is_some_and(|at| at >= before && at < ahead);
        assert_eq!(ended(Call::StateInsert, true, Millis(1)), Some(Millis(1)));
        assert!(is_now(ended(Call::StateInsert, true, ahead)));
        assert!(is_now(ended(Call::StateUpdate, true, Millis(1))) && is_now(ended(Call::StateUpdate, true, ahead)));
        for call in [Call::StateInsert, Call::StateUpdate] {
            assert_eq!(ended(call, false, Millis(1)), None);
        }
    }

    #[test]
    fn changes_of_one_saga_stay_together() {
        let delete = |id: &str| StateWrite::Delete { name: "n".into(), id: id.into() };
        let group = [delete("a"), delete("b"), delete("a"), delete("c"), delete("b")];
        assert_eq!(chains(&group), [vec![0, 2], vec![1, 4], vec![3]]);
    }

    #[test]
    fn a_conflict_says_what_it_met() {
        let StateStep::Write(StateWrite::Update { saga, expected }) =
            step(Call::StateUpdate, [saga(false), vec![2.into()]].concat(), &settings("{}")).unwrap()
        else {
            panic!()
        };
        let error = conflict(&saga, expected, 5);
        assert!(error.message().contains("Optimistic concurrency conflict"));
        assert!(error.details().contains(&("expectedVersion", Detail::Number(2))));
        assert!(error.details().contains(&("actualVersion", Detail::Number(5))));
    }
}
