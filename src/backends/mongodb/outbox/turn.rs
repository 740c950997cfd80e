//! What an update makes of events, and the update.

use super::document::{AT_ONCE, NEVER};
use crate::backends::mongodb::build::Build;
use crate::contract::outbox::record::EventStatus;
use crate::contract::outbox::{NewLease, Terms};
use crate::time::Millis;

/// What becomes of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// It stays.
    Keep,
    /// So many more.
    Add(i64),
    /// It counts from zero again.
    Zero,
}

/// What an update makes of events.
#[derive(Clone, Debug)]
pub(super) struct Turn<'a> {
    /// What they are.
    pub(super) status: EventStatus,
    /// When they can be claimed.
    pub(super) due_at: Option<Millis>,
    /// When it happens.
    pub(super) at: Millis,
    /// Who has them.
    pub(super) lease: Option<&'a NewLease>,
    /// When they may be removed.
    pub(super) expires_at: Option<Millis>,
    /// Why; none: what is stored stays.
    pub(super) error: Option<&'a str>,
    /// The failures.
    pub(super) retry_count: Count,
    /// The deliveries.
    pub(super) deliveries: Count,
}

impl<'a> Turn<'a> {
    /// Pending, from a time on; none: at once.
    pub(super) fn pending(due_at: Option<Millis>, at: Millis) -> Self {
        Self {
            status: EventStatus::Pending,
            due_at: Some(due_at.unwrap_or(AT_ONCE)),
            at,
            lease: None,
            expires_at: None,
            error: None,
            retry_count: Count::Keep,
            deliveries: Count::Keep,
        }
    }

    /// Pending at once; the claim does not count.
    pub(super) fn handed_back(at: Millis) -> Self {
        Self { deliveries: Count::Add(-1), ..Self::pending(None, at) }
    }

    /// Pending at once; failures and deliveries count from zero.
    pub(super) fn requeued(at: Millis) -> Self {
        Self { retry_count: Count::Zero, deliveries: Count::Zero, ..Self::pending(None, at) }
    }

    /// A worker's.
    pub(super) fn claimed(lease: &'a NewLease, at: Millis) -> Self {
        let until = Some(at.plus(lease.lease_ms));
        let claimed = Self { status: EventStatus::Claimed, lease: Some(lease), ..Self::pending(until, at) };
        Self { deliveries: Count::Add(1), ..claimed }
    }

    /// Sent, and kept.
    pub(super) fn sent(terms: &Terms, at: Millis) -> Self {
        let expires_at = Some(at.plus(terms.retain_sent_ms));
        Self { status: EventStatus::Sent, due_at: None, expires_at, ..Self::pending(None, at) }
    }

    /// A dead letter.
    pub(super) fn dead(error: Option<&'a str>, terms: &Terms, at: Millis) -> Self {
        let expires_at = terms.retain_dead_ms.map(|ms| at.plus(ms));
        let pending = Self::pending(Some(NEVER), at);
        Self { status: EventStatus::DeadLetter, expires_at, error, ..pending }
    }

    /// The update.
    pub(super) fn write(&self, update: &mut impl Build) {
        let mut cleared: Vec<&str> = Vec::new();
        update.begin("$set").text("status", self.status.name());
        let is = |status| (self.status == status).then_some(self.at);
        for (name, at) in [
            ("dueAt", self.due_at),
            ("claimedAt", is(EventStatus::Claimed)),
            ("sentAt", is(EventStatus::Sent)),
            ("deadAt", is(EventStatus::DeadLetter)),
            ("expiresAt", self.expires_at),
        ] {
            match at {
                Some(at) => drop(update.date(name, at)),
                None => cleared.push(name),
            }
        }
        match self.lease {
            Some(lease) => drop(update.text("worker", &lease.worker).text("token", &lease.token)),
            None => cleared.extend(["worker", "token"]),
        }
        if let Some(error) = self.error {
            update.text("lastError", error);
        }
        let counts = [("retryCount", self.retry_count), ("deliveries", self.deliveries)];
        for (name, _) in counts.iter().filter(|(_, count)| *count == Count::Zero) {
            update.long(name, 0);
        }
        update.end();
        if !cleared.is_empty() {
            update.begin("$unset");
            for name in cleared {
                update.int(name, 1);
            }
            update.end();
        }
        if counts.iter().any(|(_, count)| matches!(count, Count::Add(_))) {
            update.begin("$inc");
            for (name, count) in counts {
                if let Count::Add(more) = count {
                    update.long(name, more);
                }
            }
            update.end();
        }
    }
}
