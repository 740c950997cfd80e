//! The tables of a store, by its options.

use super::{Dialect, Table};
use crate::error::Result;
use crate::namespace::{Namespace, PAYLOADS, SAGAS, same_place};
use crate::options::OptionReader;

/// One table for each kind of records.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub(crate) payloads: Table,
    pub(crate) states: Table,
}

impl Tables {
    /// Takes `namespace`, `tableName` and `statesTableName`; on PostgreSQL `schema` too.
    pub(crate) fn read(options: &mut OptionReader, dialect: Dialect) -> Result<Self> {
        let schema = match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => options.optional_identifier("schema")?,
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => None,
        };
        let namespace = Namespace::read(options)?;
        let payloads = options.identifier("tableName", &namespace.table(PAYLOADS, "saga_store"))?;
        let states = options.identifier("statesTableName", &namespace.table(SAGAS, "saga_instances"))?;
        let is_same = match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => payloads == states,
            // SQLite does not tell capitals from small letters.
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => payloads.eq_ignore_ascii_case(&states),
        };
        if is_same {
            return Err(same_place("tableName", "statesTableName"));
        }
        Ok(Self { payloads: Table::new(schema.clone(), payloads), states: Table::new(schema, states) })
    }
}
