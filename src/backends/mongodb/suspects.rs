//! Writes whose fate is not known, so that each ends once, and never late ([`super::own`] sends them).
//!
//! On a replica set or a sharded cluster each write command runs in a session that it has for
//! itself and carries the session's next number (`lsid` and `txnNumber`, a "retryable write").
//! The server keeps the highest number of each session, and
//!
//! - runs a command of the same number once, however often it is sent: after a broken connection
//!   or a failover it is sent again at once, deletes included;
//! - refuses a command with a lower number. So when it is not known what has become of a write
//!   (its time was over, the connection broke twice), the ids that it touched are not written
//!   again before a command with the next number of its session has been answered. That command
//!   changes nothing, but it waits for the write if the server is at it, and afterwards the
//!   server will not run it any more: it cannot land after a newer one.
//!
//! Where there are no such numbers (standalone servers, `FerretDB`, `retryWrites=false`) only
//! `maxTimeMS` bounds a lost write: a server that was paused may still run what it had received
//! when it goes on.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::shared::WriteSession;
use crate::contract::operation::RecordKind;

/// Writes of unknown fate that are remembered.
const MAX_SUSPECTS: usize = 4_096;

/// A write that may still be under way, and the ids that it touches, of one kind of records.
pub(super) struct Suspect {
    pub(super) kind: RecordKind,
    pub(super) session: WriteSession,
    pub(super) ids: Vec<Box<str>>,
}

/// The writes of a store whose fate is not known.
#[derive(Default)]
pub(super) struct Suspects(Mutex<VecDeque<Suspect>>);

impl Suspects {
    fn list(&self) -> MutexGuard<'_, VecDeque<Suspect>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, suspect: Suspect) {
        let mut list = self.list();
        if list.len() == MAX_SUSPECTS {
            list.pop_front();
        }
        list.push_back(suspect);
    }

    /// Takes those that touch one of these ids.
    pub(super) fn touching<'a>(&self, kind: RecordKind, ids: impl Iterator<Item = &'a str>) -> Vec<Suspect> {
        let mut list = self.list();
        if list.is_empty() {
            return Vec::new();
        }
        let ids: HashSet<&str> = ids.collect();
        let (touching, others) = std::mem::take(&mut *list)
            .into_iter()
            .partition(|suspect| suspect.kind == kind && suspect.ids.iter().any(|id| ids.contains(&**id)));
        *list = others;
        Vec::from(touching)
    }

    /// Forgets them: the store is being closed.
    pub(super) fn clear(&self) {
        let suspects = std::mem::take(&mut *self.list());
        drop(suspects);
    }
}

/// A write under way. Dropped before its answer, it is a suspect.
pub(super) struct UnderWay<'a> {
    suspects: &'a Suspects,
    suspect: Option<Suspect>,
}

impl<'a> UnderWay<'a> {
    pub(super) fn new(suspects: &'a Suspects, suspect: Suspect) -> Self {
        Self { suspects, suspect: Some(suspect) }
    }

    /// The write, and its session.
    pub(super) fn suspect(&mut self) -> Option<&mut Suspect> {
        self.suspect.as_mut()
    }

    /// It has come to its end: its session is free.
    pub(super) fn answered(mut self) -> Option<WriteSession> {
        self.suspect.take().map(|suspect| suspect.session)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(suspect) = self.suspect.take() {
            self.suspects.add(suspect);
        }
    }
}
