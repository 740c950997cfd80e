//! What becomes of one event: the rules as functions of what is stored. Backends that read before they write call them;
//! others say the same to their server.

use super::record::{Event, EventStatus, Stored, is_sent};
use super::{ClaimEvents, Decision, Insertion, LONGEST_BACKOFF_MS, NEVER_ANSWERED, NewLease, Outcome, Terms};
use crate::error::Result;
use crate::time::Millis;

/// The pause behind so many failures, in milliseconds.
pub fn backoff(terms: &Terms, failures: i64, jitter: f64) -> u64 {
    let Ok(failures @ 1..) = u32::try_from(failures) else { return 0 };
    let longest = LONGEST_BACKOFF_MS.max(terms.backoff_ms);
    let pause = terms.backoff_ms.saturating_mul(1_u64 << (failures - 1).min(40)).min(longest);
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    let jittered = (pause as f64 * jitter) as u64;
    jittered
}

/// A new event, which nobody has.
pub fn inserted(event: &Event, seq: i64, insertion: &Insertion, now: Millis) -> Stored {
    let due_at = event.available_at.filter(|at| *at > now);
    Stored { due_at, ..Stored::pending(event.clone(), seq, insertion.operation.clone(), now) }
}

/// Whether nobody has it, and its time has come.
pub fn is_free(stored: &Stored, now: Millis) -> bool {
    match stored.status {
        EventStatus::Pending => stored.due_at.is_none_or(|at| at <= now),
        EventStatus::Claimed => stored.lease_until.is_none_or(|until| until <= now),
        EventStatus::Sent | EventStatus::DeadLetter => false,
    }
}

/// Whether a claim takes events such as this one.
pub fn is_wanted(stored: &Stored, claim: &ClaimEvents, now: Millis) -> bool {
    let among = |names: &Option<Vec<Box<str>>>, name: Option<&str>| {
        names.as_ref().is_none_or(|names| name.is_some_and(|name| names.iter().any(|known| **known == *name)))
    };
    let age = u64::try_from(now.0.saturating_sub(stored.created_at.0)).unwrap_or(0);
    among(&claim.types, Some(&stored.event.event_type))
        && among(&claim.routing_keys, stored.event.routing_key.as_deref())
        && age >= claim.older_than_ms
}

/// Whether it holds up those of its key that stand behind it.
pub fn holds_up(stored: &Stored, terms: &Terms) -> bool {
    match stored.status {
        EventStatus::Sent => false,
        EventStatus::DeadLetter => !terms.skips_dead,
        EventStatus::Pending | EventStatus::Claimed => true,
    }
}

/// Gives it to a worker. False: it was claimed too often, and is a dead letter.
pub fn claim(stored: &mut Stored, lease: &NewLease, terms: &Terms, now: Millis) -> bool {
    if stored.deliveries >= terms.max_deliveries {
        bury(stored, Some(NEVER_ANSWERED.into()), terms, now);
        return false;
    }
    stored.status = EventStatus::Claimed;
    stored.claimed_at = Some(now);
    stored.worker = Some(lease.worker.clone());
    stored.token = Some(lease.token.clone());
    stored.lease_until = Some(now.plus(lease.lease_ms));
    stored.due_at = None;
    stored.deliveries += 1;
    true
}

/// Whether this token's worker has it.
pub fn is_held(stored: &Stored, token: &str) -> bool {
    stored.status == EventStatus::Claimed && stored.token.as_deref() == Some(token)
}

/// It is pending again; the claim counts as a delivery.
pub fn release(stored: &mut Stored) {
    let_go(stored, None);
}

/// Nobody has it.
fn let_go(stored: &mut Stored, due_at: Option<Millis>) {
    stored.status = EventStatus::Pending;
    stored.due_at = due_at;
    (stored.dead_at, stored.expires_at) = (None, None);
    (stored.claimed_at, stored.worker, stored.token, stored.lease_until) = (None, None, None, None);
}

/// Nobody tries any more.
fn bury(stored: &mut Stored, error: Option<Box<str>>, terms: &Terms, now: Millis) {
    let_go(stored, None);
    stored.status = EventStatus::DeadLetter;
    stored.dead_at = Some(now);
    stored.expires_at = terms.retain_dead_ms.map(|ms| now.plus(ms));
    stored.last_error = error.or(stored.last_error.take());
}

/// It is pending again, and the claim does not count.
pub fn hand_back(stored: &mut Stored) {
    let_go(stored, None);
    stored.deliveries = (stored.deliveries - 1).max(0);
}

fn fail(stored: &mut Stored, error: &str, pause: (Option<Millis>, f64), terms: &Terms, now: Millis) {
    stored.retry_count += 1;
    if stored.retry_count > terms.max_retries {
        bury(stored, Some(error.into()), terms, now);
        return;
    }
    let (retry_at, jitter) = pause;
    let_go(stored, retry_at.or(Some(now.plus(backoff(terms, stored.retry_count, jitter)))));
    stored.last_error = Some(error.into());
}

/// It is sent. A backend removes it at once if [`Terms::retain_sent_ms`] is 0.
fn send(stored: &mut Stored, terms: &Terms, now: Millis) {
    let_go(stored, None);
    stored.status = EventStatus::Sent;
    stored.sent_at = Some(now);
    stored.expires_at = Some(now.plus(terms.retain_sent_ms));
}

/// What has become of an event that is held. Whether those of its key behind it in the same claim are handed back.
pub fn settle(stored: &mut Stored, outcome: &Outcome, terms: &Terms, now: Millis) -> bool {
    match outcome {
        Outcome::Sent => send(stored, terms, now),
        Outcome::Failed { error, retry_at, jitter } => fail(stored, error, (*retry_at, *jitter), terms, now),
        Outcome::Released => hand_back(stored),
        Outcome::Extended(lease_ms) => stored.lease_until = Some(now.plus(*lease_ms)),
    }
    matches!(outcome, Outcome::Failed { .. } | Outcome::Released)
}

/// What somebody decides about it. Whether those of its key behind it in the same claim are handed back.
pub fn decide(stored: &mut Stored, decision: &Decision, terms: &Terms, now: Millis) -> Result<bool> {
    if stored.status == EventStatus::Sent {
        return if *decision == Decision::Sent { Ok(false) } else { Err(is_sent(&stored.event.id)) };
    }
    match decision {
        Decision::Pending if stored.status == EventStatus::DeadLetter => requeue(stored),
        Decision::Pending => let_go(stored, None),
        Decision::Sent => send(stored, terms, now),
        Decision::Failed { error, jitter } => fail(stored, error, (None, *jitter), terms, now),
        Decision::Dead { error } => bury(stored, error.clone(), terms, now),
    }
    Ok(*decision != Decision::Sent)
}

/// A dead letter is pending again.
pub fn requeue(stored: &mut Stored) {
    let_go(stored, None);
    (stored.retry_count, stored.deliveries) = (0, 0);
}

#[cfg(test)]
mod tests {
    use super::super::record::Content;
    use super::*;

    const NOW: Millis = Millis(1_000_000);

    fn terms() -> Terms {
        Terms {
            max_retries: 2,
            max_deliveries: 3,
            backoff_ms: 1_000,
            skips_dead: false,
            retain_sent_ms: 0,
            retain_dead_ms: None,
            notifies_in_transaction: false,
        }
    }

    fn lease() -> NewLease {
        NewLease { token: "t".into(), worker: "w".into(), lease_ms: 100 }
    }

    fn stored() -> Stored {
        let event = Event {
            id: "e".into(),
            event_type: "OrderPlaced".into(),
            payload: Content::Json("1".into()),
            saga_id: None,
            aggregate_type: None,
            aggregate_id: None,
            headers: None,
            routing_key: None,
            partition_key: None,
            available_at: None,
            occurred_at: NOW,
        };
        let insertion = Insertion {
            events: vec![event.clone()],
            ignores_duplicates: false,
            lease: None,
            operation: "o".into(),
            terms: terms(),
        };
        inserted(&event, 1, &insertion, NOW)
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let pauses = [0, 1, 2, 3, 9, 10, 60].map(|failures| backoff(&terms(), failures, 1.0));
        assert_eq!(pauses, [0, 1_000, 2_000, 4_000, 256_000, 300_000, 300_000]);
    }

    #[test]
    fn failures_end_in_a_dead_letter() {
        let mut event = stored();
        let failed = Outcome::Failed { error: "no".into(), retry_at: None, jitter: 1.0 };
        for pause in [1_000, 2_000] {
            assert!(claim(&mut event, &lease(), &terms(), NOW));
            assert!(settle(&mut event, &failed, &terms(), NOW));
            assert_eq!((event.status, event.due_at), (EventStatus::Pending, Some(NOW.plus(pause))));
        }
        assert!(claim(&mut event, &lease(), &terms(), NOW));
        settle(&mut event, &failed, &terms(), NOW);
        assert_eq!((event.status, event.retry_count, event.dead_at), (EventStatus::DeadLetter, 3, Some(NOW)));
        assert!(!is_held(&event, "t") && !is_free(&event, NOW) && holds_up(&event, &terms()));
        requeue(&mut event);
        assert!(is_free(&event, NOW) && event.retry_count == 0 && event.last_error.as_deref() == Some("no"));
    }

    #[test]
    fn claims_without_an_answer_end_in_a_dead_letter() {
        let mut event = stored();
        for _ in 0..3 {
            assert!(is_free(&event, NOW.plus(100)));
            assert!(claim(&mut event, &lease(), &terms(), NOW));
            assert!(!is_free(&event, NOW.plus(99)));
        }
        hand_back(&mut event);
        assert!(claim(&mut event, &lease(), &terms(), NOW));
        assert!(!claim(&mut event, &lease(), &terms(), NOW));
        assert_eq!((event.status, event.last_error.as_deref()), (EventStatus::DeadLetter, Some(NEVER_ANSWERED)));
    }

    #[test]
    fn what_is_sent_is_not_decided_about() {
        let mut event = stored();
        assert!(!decide(&mut event, &Decision::Sent, &terms(), NOW).unwrap());
        assert!(!decide(&mut event, &Decision::Sent, &terms(), NOW).unwrap());
        assert!(decide(&mut event, &Decision::Pending, &terms(), NOW).is_err());
    }
}
