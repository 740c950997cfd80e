//! The tables of a store, by its options.

use super::{Dialect, Table};
use crate::error::Result;
use crate::namespace::{EXECUTIONS, INBOX, LOG, Namespace, OUTBOX, PAYLOADS, SAGAS, check_places};
use crate::options::OptionReader;

/// The tables of each kind of records.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub(crate) payloads: Table,
    pub(crate) states: Table,
    pub(crate) executions: Table,
    /// The log of the executions.
    pub(crate) log: Table,
    pub(crate) outbox: Table,
    pub(crate) inbox: Table,
}

impl Tables {
    /// Takes `namespace` and the names of tables; on PostgreSQL `schema` too.
    pub(crate) fn read(options: &mut OptionReader, dialect: Dialect) -> Result<Self> {
        let schema = match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => options.optional_identifier("schema")?,
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => None,
        };
        let namespace = Namespace::read(options)?;
        let mut place = |option, kind, default| -> Result<(&'static str, String)> {
            Ok((option, options.identifier(option, &namespace.table(kind, default))?))
        };
        let places = [
            place("tableName", PAYLOADS, "saga_store")?,
            place("statesTableName", SAGAS, "saga_instances")?,
            place("executionsTableName", EXECUTIONS, "saga_executions")?,
            place("logTableName", LOG, "saga_logs")?,
            place("outboxTableName", OUTBOX, "saga_outbox")?,
            place("inboxTableName", INBOX, "saga_inbox")?,
        ];
        let names = places.each_ref().map(|(option, name)| (*option, &**name));
        check_places(&names, |one: &str, other: &str| match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => one == other,
            // SQLite does not tell capitals from small letters.
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => one.eq_ignore_ascii_case(other),
        })?;
        let [payloads, states, executions, log, outbox, inbox] =
            places.map(|(_, name)| Table::new(schema.clone(), name));
        Ok(Self { payloads, states, executions, log, outbox, inbox })
    }
}
