//! What a call on executions was given, read strictly: a list, as `ts/kinds/executions.ts` makes it.

use super::record::{Action, Entry, Status, StepStatus};
use super::{
    Attempts, Change, ClaimRuns, Creation, ExecutionRead, ExecutionStep, ExecutionWrite, Fence, Filter, LeaseChange,
    NewLease, Order, Patch, Renewal, Replacement, Terms,
};
use crate::contract::arguments::{Arguments, Fields, MAX_LISTED, check_word, shortened};
use crate::contract::dynamic::Dynamic;
use crate::contract::lease::random;
use crate::contract::operation::check_id;
use crate::contract::operations::Call;
use crate::contract::settings::Settings;
use crate::contract::states::check_name;
use crate::error::{Error, Result};
use crate::time::Millis;

/// The longest saga id, in bytes of UTF-8: with a bucket or a name before it, it is a key of every backend.
const MAX_SAGA_ID_BYTES: usize = 512;

/// The longest tag, in bytes of UTF-8.
const MAX_TAG_BYTES: usize = 64;
/// How many tags there are at most.
const MAX_TAGS: usize = 8;

/// A token that no lease has.
const NO_TOKEN: &str = "-";

/// Entries of one change.
const MAX_ENTRIES: usize = 1_000;

/// Reads and checks what a call on executions was given.
pub fn step(call: Call, given: Vec<Dynamic>, settings: &Settings) -> Result<ExecutionStep> {
    let mut given = Arguments::new(given);
    let terms = settings.executions;
    Ok(match call {
        Call::ExecutionCreate | Call::ExecutionStart => {
            let is_start = call == Call::ExecutionStart;
            let creation = of_one(&mut given, |fields, id| creation(fields, id, terms, is_start))?;
            ExecutionStep::Write(ExecutionWrite::Create(Box::new(creation)))
        }
        Call::ExecutionSave => {
            let replacement = of_one(&mut given, |fields, id| {
                let force = fields.flag("force")?.unwrap_or(false);
                Ok(Replacement { creation: creation(fields, id, terms, false)?, force })
            })?;
            ExecutionStep::Write(ExecutionWrite::Save(Box::new(replacement)))
        }
        Call::ExecutionDelete => ExecutionStep::Write(ExecutionWrite::Delete { id: id(&mut given)? }),
        Call::ExecutionLoad | Call::ExecutionFind => {
            let id = id(&mut given)?;
            let mut fields = given.fields()?;
            let for_update = fields.flag("forUpdate")?.unwrap_or(false);
            fields.finish()?;
            ExecutionStep::Read(ExecutionRead::Load { id, for_update })
        }
        Call::ExecutionHistory => {
            let id = id(&mut given)?;
            let mut fields = given.fields()?;
            let after = fields.whole("after", 0, i64::MAX)?;
            let limit = fields.limit()?;
            let max_bytes =
                fields.whole("maxBytes", 1, i64::MAX)?.ok_or_else(|| Error::invalid("maxBytes is missing"))?;
            let reverse = fields.flag("reverse")?.unwrap_or(false);
            fields.finish()?;
            let max_bytes = u64::try_from(max_bytes).unwrap_or(u64::MAX);
            ExecutionStep::Read(ExecutionRead::History { id, after, limit, max_bytes, reverse })
        }
        Call::ExecutionList
        | Call::ExecutionCount
        | Call::ExecutionStatistics
        | Call::ExecutionCleanup
        | Call::ExecutionClaim
        | Call::ExecutionHeartbeat
        | Call::ExecutionRedrive
        | Call::ExecutionRecoverable => {
            let mut fields = given.fields()?;
            let step = of_several(call, &mut fields, terms)?;
            fields.finish()?;
            step
        }
        // All others change one.
        _ => {
            let change = of_one(&mut given, |fields, id| change(fields, id, terms))?;
            ExecutionStep::Write(ExecutionWrite::Change(Box::new(change)))
        }
    })
}

/// Reads what is about one execution: its id, and fields of which none may be left. Errors carry the id.
fn of_one<T>(given: &mut Arguments, read: impl FnOnce(&mut Fields, Box<str>) -> Result<T>) -> Result<T> {
    let id = id(given)?;
    let mut fields = given.fields()?;
    let read = read(&mut fields, id.clone()).and_then(|read| fields.finish().map(|()| read));
    read.map_err(|error| error.with_id(&id))
}

fn of_several(call: Call, fields: &mut Fields, terms: Terms) -> Result<ExecutionStep> {
    Ok(match call {
        Call::ExecutionList => {
            let filter = filter(fields)?;
            let order = match &*fields.text("order")?.unwrap_or_default() {
                "updated" => Order::Updated,
                "created" => Order::Created,
                _ => return Err(Error::invalid("order must be one of 'updated', 'created'")),
            };
            let after = match fields.take("after") {
                Dynamic::Null => None,
                Dynamic::List(cursor) => match <[Dynamic; 2]>::try_from(cursor) {
                    Ok([Dynamic::Time(at), Dynamic::Text(id)]) => Some((at, id.into())),
                    _ => return Err(Error::invalid("cursor is not one of a page of this list")),
                },
                _ => return Err(Error::invalid("cursor is not one of a page of this list")),
            };
            ExecutionStep::Read(ExecutionRead::List { filter, order, after, limit: fields.limit()? })
        }
        Call::ExecutionCount => ExecutionStep::Read(ExecutionRead::Count { filter: filter(fields)? }),
        Call::ExecutionStatistics => ExecutionStep::Read(ExecutionRead::Statistics),
        Call::ExecutionCleanup => {
            let before = fields.time("before")?.ok_or_else(|| Error::invalid("before is missing"))?;
            let statuses = statuses(fields, Status::is_terminal, "only what has ended can be cleaned up")?;
            ExecutionStep::Write(ExecutionWrite::Cleanup { before, statuses, limit: fields.limit()? })
        }
        Call::ExecutionClaim => ExecutionStep::Write(ExecutionWrite::Claim(Box::new(claim(fields, terms)?))),
        Call::ExecutionHeartbeat => {
            let Dynamic::List(runs) = fields.take("runs") else { return Err(Error::invalid("runs must be a list")) };
            let renewals = runs.into_iter().map(renewal).collect::<Result<_>>()?;
            ExecutionStep::Write(ExecutionWrite::Heartbeat { renewals, terms })
        }
        Call::ExecutionRedrive => {
            let ids = fields.texts("ids", usize::MAX, MAX_SAGA_ID_BYTES)?.unwrap_or_default();
            for id in &ids {
                check_saga_id(id)?;
            }
            let reset_attempts = fields.flag("resetAttempts")?.unwrap_or(true);
            ExecutionStep::Write(ExecutionWrite::Redrive { ids, reset_attempts })
        }
        _ => {
            let limit = fields.limit()?;
            let (max_attempts, stale_after_ms) = (max_attempts(fields)?, stale_after(fields)?);
            ExecutionStep::Read(ExecutionRead::Recoverable { limit, max_attempts, stale_after_ms, name: name(fields)? })
        }
    })
}

fn id(given: &mut Arguments) -> Result<Box<str>> {
    let id = given.text("sagaId")?;
    check_saga_id(&id)?;
    Ok(id)
}

/// Refuses what is no saga id.
pub fn check_saga_id(id: &str) -> Result<()> {
    let checked = if id.len() > MAX_SAGA_ID_BYTES {
        Err(Error::invalid(format!("sagaId is longer than {MAX_SAGA_ID_BYTES} bytes of UTF-8")))
    } else {
        check_id(id).map_err(|error| Error::invalid(error.message().replacen("id", "sagaId", 1)))
    };
    checked.map_err(|error| error.with_id(id))
}

fn name(fields: &mut Fields) -> Result<Option<Box<str>>> {
    let name = fields.text("name")?;
    if let Some(name) = &name {
        check_name(name).map_err(|error| Error::invalid(error.message().replacen("sagaName", "name", 1)))?;
    }
    Ok(name)
}

fn status(fields: &mut Fields) -> Result<Option<Status>> {
    fields.text("status")?.map(|status| Status::given(&status)).transpose()
}

fn sub_status(fields: &mut Fields) -> Result<Patch<Box<str>>> {
    let word = fields.patch("subStatus")?;
    if let Some(Some(word)) = &word {
        check_word("subStatus", word)?;
    }
    Ok(word)
}

/// Tags, or nothing.
pub fn tags(fields: &mut Fields) -> Result<Option<Vec<Box<str>>>> {
    fields.texts("tags", MAX_TAGS, MAX_TAG_BYTES)
}

fn operation(fields: &mut Fields) -> Result<Box<str>> {
    match fields.text("operationId")? {
        Some(operation) => check_word("operationId", &operation).map(|()| operation),
        None => Ok(random()),
    }
}

fn creation(fields: &mut Fields, id: Box<str>, terms: Terms, is_start: bool) -> Result<Creation> {
    let name = name(fields)?.ok_or_else(|| Error::invalid("name must be a string"))?;
    let status = status(fields)?.ok_or_else(|| Error::invalid("status is missing"))?;
    let lease = is_start.then(|| NewLease::read(fields)).transpose()?;
    if is_start && status.is_terminal() {
        return Err(Error::invalid("an execution that has ended cannot be started"));
    }
    Ok(Creation {
        id,
        name,
        status,
        sub_status: sub_status(fields)?.flatten(),
        context: fields.text("context")?,
        metadata: fields.patch("metadata")?.flatten(),
        tags: tags(fields)?.unwrap_or_default(),
        entries: entries(fields)?,
        due_at: fields.time("dueAt")?,
        lease,
        operation: operation(fields)?,
        at: Millis::now(),
        terms,
    })
}

fn change(fields: &mut Fields, id: Box<str>, terms: Terms) -> Result<Change> {
    let token = fields.text("token")?;
    let force = fields.flag("force")?.unwrap_or(false);
    // An execution that was given back has an empty one, which is nobody's.
    let token = token.map(|token| if token.is_empty() { Box::from(NO_TOKEN) } else { token });
    let has_token = token.is_some();
    let due_at = fields.time_patch("dueAt")?;
    if has_token && due_at.is_some() {
        return Err(Error::invalid("dueAt is not for an execution that is leased: waitUntil gives it back until then"));
    }
    let lease_ms = fields.whole("leaseMs", 1, i64::MAX)?;
    let lease = match (fields.take("release"), lease_ms) {
        (Dynamic::Null, None) => LeaseChange::Keep,
        (Dynamic::Null, Some(lease_ms)) => LeaseChange::Renew(u64::try_from(lease_ms).unwrap_or(1)),
        (release @ Dynamic::Map(_), _) => {
            let mut release = Fields::of(release)?;
            let ended =
                LeaseChange::End { due_at: release.time("dueAt")?, counted: release.flag("counted")?.unwrap_or(false) };
            release.finish()?;
            ended
        }
        _ => return Err(Error::invalid("release must be an object")),
    };
    let attempts = match fields.take("attempts") {
        Dynamic::Null => Attempts::Keep,
        Dynamic::Text(text) if text == "increment" => Attempts::Increment,
        Dynamic::Int(attempts @ 0..=1_000_000) => Attempts::Set(attempts),
        _ => return Err(Error::invalid("attempts must be a whole number from 0 to 1000000")),
    };
    let last_error = fields.patch("lastError")?.map(|text| text.map(|text| shortened(&text)));
    Ok(Change {
        id,
        expected: fields.version("expectedVersion")?,
        fence: match (token, force) {
            (_, true) => Fence::Force,
            (Some(token), false) => Fence::Token(token),
            (None, false) => Fence::NeverLeased,
        },
        operation: operation(fields)?,
        counts: fields.flag("counts")?.unwrap_or(true),
        context: fields.text("context")?,
        status: status(fields)?,
        sub_status: sub_status(fields)?,
        metadata: fields.patch("metadata")?,
        tags: tags(fields)?,
        entries: entries(fields)?,
        due_at,
        last_error,
        lease,
        attempts,
        at: Millis::now(),
        terms,
    })
}

/// Entries of a log; of those with the same key the first.
fn entries(fields: &mut Fields) -> Result<Vec<Entry>> {
    let given = match fields.take("entries") {
        Dynamic::Null => return Ok(Vec::new()),
        Dynamic::List(given) => given,
        _ => return Err(Error::invalid("steps must be a list")),
    };
    if given.len() > MAX_ENTRIES {
        let message = format!("{} steps are too many for one change; the limit is {MAX_ENTRIES}", given.len());
        return Err(Error::invalid(message));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(given.len());
    for entry in given {
        let entry = self::entry(entry)?;
        if entry.step_id.is_none() || !entries.iter().any(|known| known.key() == entry.key()) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn entry(given: Dynamic) -> Result<Entry> {
    let Dynamic::List(given) = given else { return Err(Error::invalid("a step must be a list")) };
    let mut given = Arguments::new(given);
    let step = given.text("stepName")?;
    check_word("stepName", &step)?;
    let action = Action::given(&given.text("action")?)?;
    let status = StepStatus::given(&given.text("status of a step")?)?;
    let step_id = given.optional("stepId")?;
    if let Some(id) = &step_id {
        check_word("stepId", id)?;
    }
    let details = given.optional("details")?;
    if details.as_ref().is_some_and(|details| details.contains('\0')) {
        return Err(Error::invalid("details must not contain a NUL character"));
    }
    Ok(Entry { step, action, status, step_id, details, body: given.optional("the step")? })
}

fn filter(fields: &mut Fields) -> Result<Filter> {
    let tag = fields.text("tag")?;
    if tag.as_ref().is_some_and(|tag| tag.is_empty() || tag.len() > MAX_TAG_BYTES) {
        return Err(Error::invalid(format!("tag must have 1 to {MAX_TAG_BYTES} bytes of UTF-8")));
    }
    Ok(Filter { name: name(fields)?, status: status(fields)?, tag, parked: fields.flag("parked")? })
}

fn statuses(fields: &mut Fields, admits: impl Fn(Status) -> bool, why: &str) -> Result<Vec<Status>> {
    let names = fields.texts("statuses", Status::ALL.len(), 16)?.unwrap_or_default();
    if names.is_empty() {
        return Err(Error::invalid("statuses must name at least one status"));
    }
    let statuses = names.iter().map(|name| Status::given(name)).collect::<Result<Vec<_>>>()?;
    if statuses.iter().all(|status| admits(*status)) { Ok(statuses) } else { Err(Error::invalid(why)) }
}

fn max_attempts(fields: &mut Fields) -> Result<i64> {
    let given = fields.whole("maxRecoveryAttempts", 0, 1_000_000)?;
    given.ok_or_else(|| Error::invalid("maxRecoveryAttempts is missing"))
}

fn stale_after(fields: &mut Fields) -> Result<u64> {
    Ok(fields.whole("staleAfterMs", 0, i64::MAX)?.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0))
}

fn claim(fields: &mut Fields, terms: Terms) -> Result<ClaimRuns> {
    let names = fields.texts("names", usize::try_from(MAX_LISTED).unwrap_or(usize::MAX), usize::MAX)?;
    if names.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::invalid("names must have at least one name, or be left out"));
    }
    for name in names.iter().flatten() {
        check_name(name).map_err(|error| Error::invalid(error.message().replacen("sagaName", "a name", 1)))?;
    }
    Ok(ClaimRuns {
        lease: NewLease::read(fields)?,
        limit: fields.limit()?,
        names,
        statuses: statuses(fields, |status| !status.is_terminal(), "what has ended cannot be claimed")?,
        max_attempts: max_attempts(fields)?,
        stale_after_ms: stale_after(fields)?,
        terms,
    })
}

fn renewal(given: Dynamic) -> Result<Renewal> {
    let Dynamic::List(given) = given else { return Err(Error::invalid("a run must be a list")) };
    let mut given = Arguments::new(given);
    Ok(Renewal { id: id(&mut given)?, token: given.text("token")?, lease_ms: given.lease()? })
}
