//! The collections of a store, one for each kind of records, and what commands about them say.

use mongodb::bson::RawDocumentBuf;

use super::address;
use super::build::Terms;
use crate::contract::operation::RecordKind;
use crate::error::Result;
use crate::namespace::{EXECUTIONS, INBOX, LOG, Namespace, OUTBOX, PAYLOADS, SAGAS, check_places};
use crate::options::OptionReader;

/// The names of the collections.
#[derive(Clone)]
pub(super) struct Names {
    payloads: String,
    states: String,
    executions: String,
    log: String,
    outbox: String,
    inbox: String,
}

impl Names {
    /// Takes `namespace`, and the option of each collection.
    pub(super) fn read(options: &mut OptionReader) -> Result<Self> {
        let namespace = Namespace::read(options)?;
        let mut read = |name, default: String| -> Result<String> {
            let collection = options.string(name)?.unwrap_or(default);
            address::check_collection(name, &collection)?;
            Ok(collection)
        };
        let payloads = read("collectionName", namespace.table(PAYLOADS, "saga_store"))?;
        let states = read("statesCollectionName", namespace.table(SAGAS, "saga_instances"))?;
        let executions = read("executionsCollectionName", namespace.table(EXECUTIONS, "saga_executions"))?;
        let log = read("logCollectionName", namespace.table(LOG, "saga_logs"))?;
        let outbox = read("outboxCollectionName", namespace.table(OUTBOX, "saga_outbox"))?;
        let inbox = read("inboxCollectionName", namespace.table(INBOX, "saga_inbox"))?;
        let places = [
            ("collectionName", &*payloads),
            ("statesCollectionName", &states),
            ("executionsCollectionName", &executions),
            ("logCollectionName", &log),
            ("outboxCollectionName", &outbox),
            ("inboxCollectionName", &inbox),
        ];
        check_places(&places, |a, b| a == b)?;
        Ok(Self { payloads, states, executions, log, outbox, inbox })
    }

    /// The collection of what is older of the logs of executions.
    pub(super) fn log(&self) -> &str {
        &self.log
    }

    /// The collection of a kind.
    pub(super) fn of(&self, kind: RecordKind) -> &str {
        match kind {
            RecordKind::Payloads => &self.payloads,
            RecordKind::States => &self.states,
            RecordKind::Executions => &self.executions,
            RecordKind::Outbox => &self.outbox,
            RecordKind::Inbox | RecordKind::Moving => &self.inbox,
        }
    }
}

/// The collections, as commands on the store's own connections speak of them.
pub(super) struct Collections {
    pub(super) names: Names,
    pub(super) write_concern: RawDocumentBuf,
    pub(super) read_concern: Option<RawDocumentBuf>,
    /// The server gives up after this many milliseconds: nobody waits any longer.
    pub(super) max_time: i64,
}

impl Collections {
    /// What commands about a kind say.
    pub(super) fn terms(&self, kind: RecordKind) -> Terms<'_> {
        Terms {
            collection: self.names.of(kind),
            write_concern: Some(&self.write_concern),
            read_concern: self.read_concern.as_deref(),
            max_time: Some(self.max_time),
        }
    }
}
