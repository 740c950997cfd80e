//! The rules of a change, as functions of what is stored. Backends that read before they write use them as they are;
//! others say the same to their server, and ask here why it has refused.

use super::record::{Checkpointed, Entry, Execution, LastOperation, conflict, ended, lease_lost};
use super::{Attempts, Change, ClaimRuns, Creation, Fence, LeaseChange, Replacement, Terms};
use crate::error::{Error, Result};
use crate::time::Millis;

/// Entries of a change that are stored already.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Their places in the change, each with the number that it has in the log, in the order of their places.
    pub places: Vec<(usize, i64)>,
}

impl Known {
    fn seq_of(&self, place: usize) -> Option<i64> {
        self.places.iter().find(|(known, _)| *known == place).map(|(_, seq)| *seq)
    }

    /// Those that are to be stored.
    pub fn fresh<'a>(&'a self, entries: &'a [Entry]) -> impl Iterator<Item = &'a Entry> {
        let places = entries.iter().enumerate();
        places.filter(|(place, _)| self.seq_of(*place).is_none()).map(|(_, entry)| entry)
    }
}

/// What the change of a stored execution may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may happen, and this will be its answer.
    Change(Checkpointed),
    /// It has happened before: this was its answer.
    Repeated(Checkpointed),
}

fn fresh_size(entries: &[Entry], known: &Known) -> (i64, i64) {
    known.fresh(entries).fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.bytes()))
}

fn first_seq(entries: &[Entry], known: &Known, seq: i64) -> Option<i64> {
    (!entries.is_empty()).then(|| known.seq_of(0).unwrap_or(seq + 1))
}

/// Whether a log may have so many entries and bytes.
pub fn fits(id: &str, entries: i64, bytes: i64, terms: &Terms) -> Result<()> {
    let too_large = |what: &str, size: i64, limit: i64| {
        let message = format!("the history of the execution would have {size} {what}; the limit is {limit}");
        Err(Error::too_large(message, u64::try_from(size).unwrap_or(0), u64::try_from(limit).unwrap_or(0)).with_id(id))
    };
    if entries > terms.max_entries {
        return too_large("entries (maxHistoryEntries)", entries, terms.max_entries);
    }
    if bytes > terms.max_bytes {
        return too_large("bytes (maxHistoryBytes)", bytes, terms.max_bytes);
    }
    Ok(())
}

/// Whether a change of `stored` may happen. The order of the rules is that of their errors.
pub fn judge(stored: &Execution, change: &Change, known: &Known) -> Result<Verdict> {
    if let Some(last) = stored.last_operation.as_ref().filter(|last| last.id == change.operation) {
        let (entries, bytes) = (stored.seq, stored.log_bytes);
        let answered = Checkpointed { version: last.version, first_seq: last.first_seq, entries, bytes };
        return Ok(Verdict::Repeated(answered));
    }
    fence(stored, &change.fence)?;
    if let Some(status) = change.status
        && change.fence != Fence::Force
        && stored.status.is_terminal()
        && stored.status != status
    {
        return Err(ended(&change.id, stored.status));
    }
    if let Some(expected) = change.expected
        && expected != stored.version
    {
        return Err(conflict(&change.id, expected, stored.version));
    }
    let (count, size) = fresh_size(&change.entries, known);
    let (entries, bytes) = (stored.seq + count, stored.log_bytes + size);
    if count > 0 {
        fits(&change.id, entries, bytes, &change.terms)?;
    }
    Ok(Verdict::Change(Checkpointed {
        version: stored.version + i64::from(change.counts),
        first_seq: first_seq(&change.entries, known, stored.seq),
        entries,
        bytes,
    }))
}

/// Whether the lease is the one that a change comes with.
fn fence(stored: &Execution, fence: &Fence) -> Result<()> {
    match (fence, &stored.token) {
        (Fence::Force, _) | (Fence::NeverLeased, None) => Ok(()),
        (Fence::Token(given), Some(token)) if given == token => Ok(()),
        (given, _) => Err(lease_lost(&stored.id, matches!(given, Fence::Token(_)))),
    }
}

/// Makes of `stored` what it is behind a change whose verdict was `Change(answer)`. `now` is the server's time.
pub fn apply(stored: &mut Execution, change: &Change, answer: &Checkpointed, now: Millis) {
    stored.version = answer.version;
    stored.seq = answer.entries;
    stored.log_bytes = answer.bytes;
    stored.updated_at = change.at.max(stored.updated_at);
    stored.last_operation =
        Some(LastOperation { id: change.operation.clone(), version: answer.version, first_seq: answer.first_seq });
    if let Some(context) = &change.context {
        stored.context = Some(context.clone());
    }
    if let Some(sub_status) = &change.sub_status {
        stored.sub_status.clone_from(sub_status);
    }
    if let Some(metadata) = &change.metadata {
        stored.metadata.clone_from(metadata);
    }
    if let Some(tags) = &change.tags {
        stored.tags.clone_from(tags);
    }
    if let Some(last_error) = &change.last_error {
        stored.last_error.clone_from(last_error);
    }
    if change.is_progress() {
        stored.attempts = 0;
    }
    match change.attempts {
        Attempts::Keep => {}
        Attempts::Increment => stored.attempts += 1,
        Attempts::Set(attempts) => stored.attempts = attempts,
    }
    let status = change.status.unwrap_or(stored.status);
    let was_terminal = std::mem::replace(&mut stored.status, status).is_terminal();
    if status.is_terminal() {
        if !was_terminal {
            stored.completed_at = Some(change.at);
            stored.expires_at = change.terms.ttl_ms.map(|ttl| change.at.plus(ttl));
        }
        (stored.due_at, stored.parked_at, stored.worker) = (None, None, None);
        if stored.token.is_some() {
            stored.token = Some("".into());
        }
        return;
    }
    (stored.completed_at, stored.expires_at) = (None, None);
    if let Some(due_at) = change.due_at {
        (stored.due_at, stored.parked_at) = (due_at, None);
    }
    match change.lease {
        LeaseChange::Keep => {}
        LeaseChange::Renew(lease_ms) => {
            // Under half of it is left. What lies behind the lease's end is the pause before the next attempt.
            let backoff = change.terms.backoff(stored.attempts);
            let until = now.plus(lease_ms.saturating_add(backoff));
            if stored.due_at.is_none_or(|due| due < now.plus((lease_ms / 2).saturating_add(backoff))) {
                stored.due_at = Some(until);
            }
        }
        LeaseChange::End { due_at, counted } => {
            stored.attempts = if counted { stored.attempts.max(1) } else { (stored.attempts - 1).max(0) };
            let pause = if counted { change.terms.backoff(stored.attempts) } else { 0 };
            stored.due_at = Some(due_at.unwrap_or_else(|| now.plus(pause)));
            (stored.token, stored.worker) = (Some("".into()), None);
        }
    }
    // Nobody has it, and nobody said when it is due.
    let is_asked_for = change.status.is_some() && change.due_at.is_none();
    if is_asked_for && status.is_active() && stored.due_at.is_none() && stored.parked_at.is_none() {
        stored.due_at = Some(now);
    }
}

/// The execution that a creation stores. `now` is the server's time.
pub fn created(creation: &Creation, now: Millis) -> Result<(Execution, Checkpointed)> {
    let count = i64::try_from(creation.entries.len()).unwrap_or(i64::MAX);
    let bytes = creation.entries.iter().map(Entry::bytes).sum();
    fits(&creation.id, count, bytes, &creation.terms)?;
    let first_seq = (count > 0).then_some(1);
    let is_over = creation.status.is_terminal();
    let due_at = match &creation.lease {
        _ if is_over => None,
        Some(lease) => Some(now.plus(lease.lease_ms)),
        None => creation.due_at.or_else(|| creation.status.is_active().then_some(now)),
    };
    let execution = Execution {
        id: creation.id.clone(),
        name: creation.name.clone(),
        status: creation.status,
        sub_status: creation.sub_status.clone(),
        context: creation.context.clone(),
        metadata: creation.metadata.clone(),
        tags: creation.tags.clone(),
        version: 1,
        seq: count,
        log_bytes: bytes,
        token: creation.lease.as_ref().map(|lease| lease.token.clone()),
        worker: creation.lease.as_ref().map(|lease| lease.worker.clone()),
        due_at,
        attempts: 0,
        last_error: None,
        last_operation: Some(LastOperation { id: creation.operation.clone(), version: 1, first_seq }),
        created_at: creation.at,
        updated_at: creation.at,
        completed_at: is_over.then_some(creation.at),
        parked_at: None,
        expires_at: creation.terms.ttl_ms.filter(|_| is_over).map(|ttl| creation.at.plus(ttl)),
    };
    Ok((execution, Checkpointed { version: 1, first_seq, entries: count, bytes }))
}

/// The execution that a replacement leaves, and its answer. `now` is the server's time.
pub fn replaced(
    stored: Option<&Execution>,
    replacement: &Replacement,
    now: Millis,
) -> Result<(Execution, Checkpointed)> {
    let creation = &replacement.creation;
    let (mut execution, mut answer) = created(creation, now)?;
    let Some(stored) = stored else { return Ok((execution, answer)) };
    if let Some(last) = stored.last_operation.as_ref().filter(|last| last.id == creation.operation) {
        answer.version = last.version;
        return Ok((stored.clone(), answer));
    }
    if !replacement.force {
        fence(stored, &Fence::NeverLeased)?;
        if stored.status.is_terminal() && stored.status != creation.status {
            return Err(ended(&creation.id, stored.status));
        }
    }
    answer.version = stored.version + 1;
    execution.version = answer.version;
    execution.created_at = stored.created_at;
    execution.attempts = stored.attempts;
    execution.token = stored.token.as_ref().map(|_| "".into());
    execution.last_operation =
        Some(LastOperation { id: creation.operation.clone(), version: answer.version, first_seq: answer.first_seq });
    if stored.status.is_terminal() && execution.status.is_terminal() {
        (execution.completed_at, execution.expires_at) = (stored.completed_at, stored.expires_at);
    }
    Ok((execution, answer))
}

/// What a claim makes of an execution that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Not meant.
    No,
    /// It has been claimed too often, and is parked now.
    Parked,
    /// It is the worker's.
    Yes,
}

/// Gives an execution to a worker, or parks it. `now` is the server's time.
pub fn claim(stored: &mut Execution, claim: &ClaimRuns, now: Millis) -> Claimed {
    let is_due = stored.due_at.is_some_and(|due| due <= now) && stored.parked_at.is_none();
    let stale = i64::try_from(claim.stale_after_ms).unwrap_or(i64::MAX);
    let is_meant = claim.statuses.contains(&stored.status)
        && claim.names.as_ref().is_none_or(|names| names.contains(&stored.name))
        // The one is the caller's clock, the other the server's: without a pause they are not compared.
        && (stale == 0 || stored.updated_at.0 <= now.0.saturating_sub(stale));
    if !is_due || !is_meant {
        return Claimed::No;
    }
    if stored.attempts >= claim.max_attempts {
        park(stored, now);
        return Claimed::Parked;
    }
    stored.attempts += 1;
    stored.token = Some(claim.lease.token.clone());
    stored.worker = Some(claim.lease.worker.clone());
    stored.due_at = Some(leased_until(claim.lease.lease_ms, stored.attempts, &claim.terms, now));
    Claimed::Yes
}

/// Gives an execution up. Who had it last has it no more.
pub fn park(stored: &mut Execution, now: Millis) {
    (stored.parked_at, stored.due_at, stored.worker) = (Some(now), None, None);
    if stored.token.is_some() {
        stored.token = Some("".into());
    }
}

/// Makes a parked execution due again.
pub fn redrive(stored: &mut Execution, reset_attempts: bool, now: Millis) {
    (stored.parked_at, stored.due_at) = (None, Some(now));
    if reset_attempts {
        stored.attempts = 0;
    }
}

/// When an execution is due that is leased now.
pub fn leased_until(lease_ms: u64, attempts: i64, terms: &Terms, now: Millis) -> Millis {
    now.plus(lease_ms.saturating_add(terms.backoff(attempts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::executions::record::{Action, Status, StepStatus};
    use crate::contract::executions::{LONGEST_BACKOFF_MS, NewLease};
    use crate::error::Kind;

    const TERMS: Terms = Terms { ttl_ms: Some(1_000), backoff_ms: 1_000, max_entries: 3, max_bytes: 100 };
    const NOW: Millis = Millis(1_000_000);

    fn creation(lease: bool) -> Creation {
        Creation {
            id: "s".into(),
            name: "Order".into(),
            status: Status::Running,
            sub_status: None,
            context: None,
            metadata: None,
            tags: Vec::new(),
            entries: Vec::new(),
            due_at: None,
            lease: lease.then(|| NewLease { token: "t".into(), worker: "w".into(), lease_ms: 300 }),
            operation: "first".into(),
            at: NOW,
            terms: TERMS,
        }
    }

    fn execution(lease: bool) -> Execution {
        created(&creation(lease), NOW).unwrap().0
    }

    fn change(fence: Fence) -> Change {
        Change {
            id: "s".into(),
            expected: None,
            fence,
            operation: "second".into(),
            counts: true,
            context: None,
            status: None,
            sub_status: None,
            metadata: None,
            tags: None,
            entries: Vec::new(),
            due_at: None,
            last_error: None,
            lease: LeaseChange::Keep,
            attempts: Attempts::Keep,
            at: NOW,
            terms: TERMS,
        }
    }

    fn entry(id: Option<&str>, status: StepStatus) -> Entry {
        let step_id = id.map(Into::into);
        Entry { step: "charge".into(), action: Action::Act, status, step_id, details: None, body: None }
    }

    fn done(stored: &mut Execution, change: &Change) -> Checkpointed {
        match judge(stored, change, &Known::default()).unwrap() {
            Verdict::Change(answer) => {
                apply(stored, change, &answer, NOW);
                answer
            }
            Verdict::Repeated(answer) => answer,
        }
    }

    #[test]
    fn the_first_rule_that_is_broken_is_the_error() {
        let mut stored = execution(true);
        (stored.status, stored.version) = (Status::Failed, 7);
        let kind = |change: &Change| judge(&stored, change, &Known::default()).unwrap_err().kind();
        let mut wrong = change(Fence::Token("other".into()));
        (wrong.status, wrong.expected) = (Some(Status::Running), Some(6));
        wrong.entries = vec![entry(None, StepStatus::Started); 4];
        assert_eq!(kind(&wrong), Kind::LeaseLost);
        wrong.fence = Fence::NeverLeased;
        assert_eq!(kind(&wrong), Kind::LeaseLost);
        wrong.fence = Fence::Token("t".into());
        assert_eq!(kind(&wrong), Kind::InvalidState);
        wrong.status = Some(Status::Failed);
        assert_eq!(kind(&wrong), Kind::ConcurrencyConflict);
        wrong.expected = Some(7);
        assert_eq!(kind(&wrong), Kind::PayloadTooLarge);
        wrong.entries.pop();
        assert!(judge(&stored, &wrong, &Known::default()).is_ok());
        (wrong.fence, wrong.status) = (Fence::Force, Some(Status::Running));
        assert!(judge(&stored, &wrong, &Known::default()).is_ok());
    }

    #[test]
    fn the_same_operation_answers_the_same_and_changes_nothing() {
        let mut stored = execution(true);
        let mut once = change(Fence::Token("t".into()));
        (once.expected, once.entries) = (Some(1), vec![entry(None, StepStatus::Started)]);
        let first = done(&mut stored, &once);
        let before = stored.clone();
        let again = done(&mut stored, &once);
        assert_eq!((first.version, first.first_seq), (again.version, again.first_seq));
        assert_eq!((before, first.version, first.first_seq), (stored, 2, Some(1)));
    }

    #[test]
    fn entries_that_are_stored_already_answer_their_number() {
        let stored = Execution { seq: 2, ..execution(false) };
        let mut change = change(Fence::NeverLeased);
        change.entries = vec![entry(Some("a"), StepStatus::Started), entry(Some("a"), StepStatus::Completed)];
        let known = Known { places: vec![(0, 1)] };
        let Verdict::Change(answer) = judge(&stored, &change, &known).unwrap() else { panic!() };
        assert_eq!((answer.first_seq, answer.entries), (Some(1), 3));
        assert_eq!(known.fresh(&change.entries).count(), 1);
    }

    #[test]
    fn attempts_are_counted_by_claims_and_set_back_by_progress() {
        let claim_of = |max_attempts| ClaimRuns {
            lease: NewLease { token: "new".into(), worker: "w2".into(), lease_ms: 300 },
            limit: 1,
            names: None,
            statuses: vec![Status::Running],
            max_attempts,
            stale_after_ms: 0,
            terms: TERMS,
        };
        let mut stored = execution(true);
        assert_eq!(claim(&mut stored, &claim_of(2), NOW), Claimed::No);
        let mut now = NOW.plus(300);
        for attempt in 1..=2 {
            assert_eq!(claim(&mut stored, &claim_of(2), now), Claimed::Yes);
            // The pause before the next attempt begins at the end of the lease.
            let pause = 1_000 << (attempt - 1);
            assert_eq!((stored.attempts, stored.due_at), (attempt, Some(now.plus(300 + pause))));
            now = now.plus(300 + pause);
        }
        assert_eq!(claim(&mut stored.clone(), &claim_of(2), Millis(now.0 - 1)), Claimed::No);
        let mut progress = change(Fence::Token("new".into()));
        progress.entries = vec![entry(None, StepStatus::Completed)];
        let mut moved = stored.clone();
        done(&mut moved, &progress);
        assert_eq!(moved.attempts, 0);
        assert_eq!(claim(&mut stored, &claim_of(2), now), Claimed::Parked);
        assert_eq!((stored.due_at, stored.parked_at, stored.token.as_deref()), (None, Some(now), Some("")));
        assert_eq!(claim(&mut stored, &claim_of(2), now.plus(1_000_000)), Claimed::No);
        redrive(&mut stored, true, now);
        assert_eq!(claim(&mut stored, &claim_of(2), now), Claimed::Yes);
    }

    #[test]
    fn a_lease_that_ends_is_due_at_once_or_behind_a_pause() {
        let ended = |attempts: i64, due_at: Option<Millis>, counted: bool| {
            let mut stored = Execution { attempts, ..execution(true) };
            let mut release = change(Fence::Token("t".into()));
            release.lease = LeaseChange::End { due_at, counted };
            done(&mut stored, &release);
            assert_eq!((stored.token.as_deref(), stored.worker.as_deref()), (Some(""), None));
            (stored.attempts, stored.due_at.unwrap().0 - NOW.0)
        };
        assert_eq!(ended(0, None, false), (0, 0));
        assert_eq!(ended(3, None, false), (2, 0));
        assert_eq!(ended(0, None, true), (1, 1_000));
        assert_eq!(ended(3, None, true), (3, 4_000));
        assert_eq!(ended(3, Some(NOW.plus(9)), true), (3, 9));
    }

    #[test]
    fn the_end_ends_the_lease_and_begins_the_time_to_live() {
        let mut stored = execution(true);
        let mut end = change(Fence::Token("t".into()));
        end.status = Some(Status::Completed);
        done(&mut stored, &end);
        assert_eq!((stored.due_at, stored.token.as_deref()), (None, Some("")));
        assert_eq!((stored.completed_at, stored.expires_at), (Some(NOW), Some(NOW.plus(1_000))));
        let again = Change { operation: "third".into(), fence: Fence::Force, at: NOW.plus(5), ..end };
        done(&mut stored, &again);
        assert_eq!(stored.completed_at, Some(NOW));
        let back = Change { operation: "fourth".into(), status: Some(Status::Compensating), ..again };
        done(&mut stored, &back);
        assert_eq!((stored.completed_at, stored.expires_at, stored.due_at), (None, None, Some(NOW)));
    }

    #[test]
    fn a_lease_is_renewed_where_less_than_half_of_it_is_left() {
        let renewed = |left: u64| {
            let mut stored = Execution { due_at: Some(NOW.plus(left)), ..execution(true) };
            let mut write = change(Fence::Token("t".into()));
            write.lease = LeaseChange::Renew(300);
            done(&mut stored, &write);
            stored.due_at.unwrap().0 - NOW.0
        };
        assert_eq!([149, 150, 300].map(renewed), [300, 150, 300]);
    }

    #[test]
    fn a_replacement_keeps_its_beginning_and_ends_no_lease() {
        let mut replacement = Replacement {
            creation: Creation { operation: "save".into(), at: NOW.plus(9), ..creation(false) },
            force: false,
        };
        let stored = execution(false);
        let (execution, answer) = replaced(Some(&stored), &replacement, NOW).unwrap();
        assert_eq!((answer.version, execution.created_at, execution.updated_at), (2, NOW, NOW.plus(9)));
        let leased = self::execution(true);
        assert_eq!(replaced(Some(&leased), &replacement, NOW).unwrap_err().kind(), Kind::LeaseLost);
        replacement.force = true;
        assert_eq!(replaced(Some(&leased), &replacement, NOW).unwrap().0.token.as_deref(), Some(""));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(
            [0, 1, 2, 3, 20, 99].map(|n| TERMS.backoff(n)),
            [0, 1_000, 2_000, 4_000, LONGEST_BACKOFF_MS, LONGEST_BACKOFF_MS]
        );
        assert_eq!(Terms { backoff_ms: 0, ..TERMS }.backoff(9), 0);
    }
}
