//! Insertions in a transaction that is sent at its end: whether an id is taken is judged there, inside the script that
//! does everything.

use std::collections::HashSet;

use bytes::Bytes;

use super::Outbox;
use super::keys;
use super::scripts::EVENTS;
use crate::backends::redis::channel::Channel;
use crate::backends::redis::commit_script::CommitScript;
use crate::backends::redis::script::Words;
use crate::contract::outbox::Insertion;
use crate::contract::outbox::record::taken;
use crate::contract::states::changed_meanwhile;
use crate::error::{Error, Result};

/// Events that are to be stored, in memory of their own.
pub(crate) struct PlannedEvents {
    ids: Vec<Box<str>>,
    operation: Box<str>,
    words: Words,
}

impl PlannedEvents {
    /// None: all are left out. `known` are the ids of the transaction's insertions before; it takes in the new ones.
    pub(crate) fn of(insertion: &Insertion, prefix: &str, known: &mut HashSet<Box<str>>) -> Result<Option<Self>> {
        let mut insertion = insertion.clone();
        if insertion.ignores_duplicates {
            insertion.events.retain(|event| !known.contains(&event.id));
        } else if let Some(event) = insertion.events.iter().find(|event| known.contains(&event.id)) {
            return Err(taken(&event.id));
        }
        let ids: Vec<Box<str>> = insertion.events.iter().map(|event| event.id.clone()).collect();
        known.extend(ids.iter().cloned());
        let words = Words(vec![Bytes::from(prefix.to_owned())]).insertion(&insertion);
        let operation = insertion.operation;
        Ok((!ids.is_empty()).then_some(Self { ids, operation, words }))
    }

    /// Adds what must hold, and what is to be done then, to a script.
    pub(crate) fn join(&self, prefix: &str, script: &mut CommitScript) {
        script.require(&EVENTS, &keys::anchor(prefix), self.words.0.iter().cloned());
        script.touch(keys::touched(prefix));
    }
}

impl<C: Channel> Outbox<'_, C> {
    /// The error of a transaction at whose commit an id was taken.
    pub(crate) async fn refusal(&self, planned: &PlannedEvents) -> Error {
        let words = self.words("taken").text(&planned.operation).texts(planned.ids.iter().map(|id| &**id));
        match self.ask(words).await {
            Ok(found) => match found.as_string() {
                Some(id) => taken(&id),
                None => changed_meanwhile(planned.ids.first().map_or("", |id| id)),
            },
            Err(error) => error,
        }
    }
}
