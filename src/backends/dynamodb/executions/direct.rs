//! Changes that the server judges: one conditional update of a head that nobody has read.
//!
//! They are the usual ones: of an execution that has not ended, with a lease that is not renewed now, and entries for
//! which there is room in the head. Where the condition does not hold, [`super::change`] looks at what is there.

use super::edit::{Edit, size_of, ttl};
use super::item::{CONTEXT_MAX, TAIL_MAX, entry, head_key, listed_in, number_of, order_key, shard_of};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::clock::Clock;
use crate::backends::dynamodb::expression::{
    ATTEMPTS, COMPLETED_AT, CONTEXT, CONTEXT_BYTES, DUE_AT, ENDS_AT, EXPIRES_AT, Expression, LAST_ERROR,
    LAST_OPERATION, LAST_SEQ, LAST_VERSION, LISTED_IN, LOG_BYTES, METADATA, PARKED_AT, PARKED_IN, PAUSE, REVISION, SEQ,
    STATUS, SUB_STATUS, TAGS, TAIL, TAIL_BYTES, TOKEN, UPDATED, VERSION, WORKER,
};
use crate::backends::dynamodb::requests::Update;
use crate::contract::executions::record::{Checkpointed, Entry, Status};
use crate::contract::executions::{Attempts, Change, Fence, LeaseChange};
use crate::time::Millis;

/// A head has room for more metadata than that.
const METADATA_MAX: usize = 64 << 10;

/// The conditions of an update.
struct Conditions {
    text: String,
    values: Item,
}

impl Conditions {
    fn and(&mut self, text: &str) {
        self.text.extend([" AND ", text]);
    }

    fn value(&mut self, name: &str, value: Attribute) {
        self.values.set(name, value);
    }
}

/// What its answer would be, by what the update answers.
pub(crate) fn answer(change: &Change, updated: &Item) -> Option<Checkpointed> {
    let entries = number_of(updated, SEQ)?;
    Some(Checkpointed {
        version: number_of(updated, LAST_VERSION)?,
        first_seq: (!change.entries.is_empty()).then(|| number_of(updated, LAST_SEQ)).flatten(),
        entries,
        bytes: number_of(updated, LOG_BYTES)?,
    })
}

/// The update, if the server can judge it.
pub(crate) fn update(change: &Change, clock: &Clock) -> Option<Update> {
    let ends = change.status.is_some_and(Status::is_terminal);
    let is_usual = !change.has_step_ids()
        && change.context.as_ref().is_none_or(|context| context.len() <= CONTEXT_MAX)
        && change.metadata.iter().flatten().all(|metadata| metadata.len() <= METADATA_MAX)
        && change.attempts != Attempts::Increment
        && (ends || !matches!(change.lease, LeaseChange::End { .. }))
        && !(ends && change.fence == Fence::Force);
    let entries: Vec<Attribute> = change.entries.iter().map(|new| entry(new, change.at)).collect();
    let size = size_of(&entries);
    if !is_usual || size > TAIL_MAX {
        return None;
    }
    let number = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    let mut edit = Edit::default();
    let mut only_if = Conditions { text: String::from("attribute_not_exists(#completedAt)"), values: Item::default() };
    only_if.and("#updatedKey <= :updatedKey AND #lastOperation <> :lastOperation");
    guard(change, &mut only_if);

    edit.set(UPDATED, Attribute::S(order_key(change.at, &change.id)));
    edit.set(LAST_OPERATION, Attribute::text(&change.operation));
    edit.add(REVISION, 1);
    edit.assign(LAST_VERSION, "#version + :lastVersion", Attribute::number(i64::from(change.counts)));
    if change.counts {
        edit.add(VERSION, 1);
    }
    edit.add(SEQ, number(entries.len()));
    edit.add(LOG_BYTES, change.entries.iter().map(Entry::bytes).sum());
    if entries.is_empty() {
        edit.remove(LAST_SEQ);
    } else {
        edit.assign(LAST_SEQ, "#seq + :lastSeq", Attribute::number(1));
        only_if.and("#seq <= :mostEntries AND #logBytes <= :mostBytes AND #tailBytes <= :room");
        let bytes: i64 = change.entries.iter().map(Entry::bytes).sum();
        only_if.value(":mostEntries", Attribute::number(change.terms.max_entries - number(entries.len())));
        only_if.value(":mostBytes", Attribute::number(change.terms.max_bytes.saturating_sub(bytes)));
        only_if.value(":room", Attribute::number(number(TAIL_MAX - size)));
        edit.append(TAIL, entries);
        edit.add(TAIL_BYTES, number(size));
    }
    if let Some(context) = &change.context {
        only_if.and("attribute_not_exists(#contextParts)");
        edit.set(CONTEXT, Attribute::text(context));
        edit.set(CONTEXT_BYTES, Attribute::number(number(context.len())));
    }
    let patches = [(SUB_STATUS, &change.sub_status), (METADATA, &change.metadata), (LAST_ERROR, &change.last_error)];
    for (name, patch) in patches {
        match patch {
            None => {}
            Some(Some(text)) => edit.set(name, Attribute::text(text)),
            Some(None) => edit.remove(name),
        }
    }
    match &change.tags {
        None => {}
        Some(tags) if tags.is_empty() => edit.remove(TAGS),
        Some(tags) => edit.set(TAGS, Attribute::L(tags.iter().map(|tag| Attribute::text(tag)).collect())),
    }
    let attempts = match change.attempts {
        Attempts::Set(attempts) => Some(attempts),
        _ => change.is_progress().then_some(0),
    };
    if let Some(attempts) = attempts {
        edit.set(ATTEMPTS, Attribute::number(attempts));
        edit.set(PAUSE, Attribute::number(number(usize::try_from(change.terms.backoff(attempts)).unwrap_or(0))));
    }
    if let Some(status) = change.status {
        edit.set(STATUS, Attribute::text(status.name()));
        edit.set(LISTED_IN, Attribute::S(listed_in(status, shard_of(&change.id))));
    }
    if ends {
        end(change, clock, &mut edit, &mut only_if);
    } else {
        go_on(change, attempts, clock, &mut edit, &mut only_if);
    }
    let Conditions { text, values } = only_if;
    Some(Update { key: head_key(&change.id), change: edit.done(), condition: Expression::new(text, values) })
}

/// The version and the lease.
fn guard(change: &Change, only_if: &mut Conditions) {
    match &change.fence {
        Fence::Token(token) => {
            only_if.and("#token = :mine");
            only_if.value(":mine", Attribute::text(token));
        }
        Fence::NeverLeased => only_if.and("attribute_not_exists(#token)"),
        Fence::Force => {}
    }
    if let Some(expected) = change.expected {
        only_if.and("#version = :expected");
        only_if.value(":expected", Attribute::number(expected));
    }
}

/// It ends. The expiry of other items would have to be set as well.
fn end(change: &Change, clock: &Clock, edit: &mut Edit, only_if: &mut Conditions) {
    edit.set(COMPLETED_AT, Attribute::number(change.at.0));
    for name in [DUE_AT, PARKED_AT, PARKED_IN, WORKER] {
        edit.remove(name);
    }
    if matches!(change.fence, Fence::Token(_)) {
        edit.set(TOKEN, Attribute::text(""));
    }
    if let Some(ttl_ms) = change.terms.ttl_ms {
        let at = clock.stored(change.at.plus(ttl_ms));
        only_if.and("attribute_not_exists(#segments) AND attribute_not_exists(#contextParts)");
        edit.set(ENDS_AT, Attribute::number(at.0));
        edit.set(EXPIRES_AT, ttl(at));
    }
}

/// It goes on: when it is due.
fn go_on(change: &Change, attempts: Option<i64>, clock: &Clock, edit: &mut Edit, only_if: &mut Conditions) {
    let now = clock.now();
    match change.due_at {
        Some(due_at) => {
            match due_at {
                Some(at) => edit.set(DUE_AT, Attribute::number(at.0)),
                None => edit.remove(DUE_AT),
            }
            edit.remove(PARKED_AT);
            edit.remove(PARKED_IN);
        }
        None if change.status.is_some_and(Status::is_active) => {
            only_if.and("attribute_not_exists(#parkedAt)");
            edit.assign(DUE_AT, "if_not_exists(#dueAt, :dueAt)", Attribute::number(now.0));
        }
        None => {}
    }
    let LeaseChange::Renew(lease_ms) = change.lease else { return };
    // More than half of it is left, and behind it the pause after so many attempts. Usual numbers of them are known.
    let usual = attempts.map_or(vec![0, 1], |attempts| vec![attempts]);
    let clauses = usual.into_iter().enumerate().map(|(place, guess)| {
        let until: Millis = now.plus((lease_ms / 2).saturating_add(change.terms.backoff(guess)));
        only_if.values.set(&format!(":half{place}"), Attribute::number(until.0));
        if attempts.is_some() {
            return format!("#dueAt >= :half{place}");
        }
        only_if.values.set(&format!(":guess{place}"), Attribute::number(guess));
        format!("(#attempts = :guess{place} AND #dueAt >= :half{place})")
    });
    let clauses: Vec<String> = clauses.collect();
    only_if.and(&format!("({})", clauses.join(" OR ")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::dynamodb::expression;
    use crate::contract::executions::Terms;
    use crate::contract::executions::record::{Action, StepStatus};

    fn step(id: Option<&str>, size: usize) -> Entry {
        Entry {
            step: "s".into(),
            action: Action::Act,
            status: StepStatus::Completed,
            step_id: id.map(Into::into),
            details: Some("x".repeat(size).into()),
            body: None,
        }
    }

    fn change() -> Change {
        Change {
            id: "s-1".into(),
            expected: Some(3),
            fence: Fence::Token("t".into()),
            operation: "o".into(),
            counts: true,
            context: Some("{}".into()),
            status: Some(Status::Running),
            sub_status: Some(None),
            metadata: Some(Some("{}".into())),
            tags: Some(vec!["a".into()]),
            entries: vec![step(None, 10)],
            due_at: None,
            last_error: None,
            lease: LeaseChange::Renew(30_000),
            attempts: Attempts::Keep,
            at: Millis(1_700_000_000_000),
            terms: Terms { ttl_ms: Some(1_000), backoff_ms: 1_000, max_entries: 100, max_bytes: 1_000 },
        }
    }

    /// Names and values that an expression uses.
    fn used(text: &str, mark: char) -> Vec<&str> {
        let ends = |c: char| !c.is_ascii_alphanumeric();
        let mut used: Vec<&str> =
            text.split(mark).skip(1).map(|rest| rest.split(ends).next().unwrap_or_default()).collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    #[test]
    fn an_update_has_just_the_names_and_values_that_it_uses() {
        let ended = |fence| Change { status: Some(Status::Failed), fence, ..change() };
        let plain = Change { status: None, context: None, entries: Vec::new(), tags: Some(Vec::new()), ..change() };
        let due = Change { fence: Fence::Force, due_at: Some(Some(Millis(5))), lease: LeaseChange::Keep, ..change() };
        let set = Change { attempts: Attempts::Set(3), counts: false, ..change() };
        for change in [change(), ended(Fence::Token("t".into())), ended(Fence::NeverLeased), plain, due, set] {
            let Update { change, condition, .. } = update(&change, &Clock::default()).unwrap();
            let text = format!("{} {}", change.text, condition.text);
            let names: Vec<&str> = expression::names(&text).map(|(short, _)| &short[1..]).collect();
            for name in used(&text, '#') {
                assert!(names.contains(&name), "{name} in {text}");
            }
            let values = change.values.with(condition.values);
            let mut given: Vec<&str> = values.iter().map(|(name, _)| &name[1..]).collect();
            given.sort_unstable();
            assert_eq!(given, used(&text, ':'), "{text}");
        }
    }

    #[test]
    fn what_depends_on_what_is_stored_is_read_first() {
        for other in [
            Change { entries: vec![step(Some("a"), 1)], ..change() },
            Change { entries: vec![step(None, TAIL_MAX)], ..change() },
            Change { context: Some("x".repeat(CONTEXT_MAX + 1).into()), ..change() },
            Change { attempts: Attempts::Increment, ..change() },
            Change { lease: LeaseChange::End { due_at: None, counted: false }, ..change() },
            Change { fence: Fence::Force, status: Some(Status::Failed), ..change() },
        ] {
            assert!(update(&other, &Clock::default()).is_none());
        }
    }
}
