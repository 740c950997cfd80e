//! The tables of a store, by its options.

#[cfg(feature = "postgres")]
use super::Value;
use super::executions::Executions;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::schema::inspect;
use super::{Dialect, Executor, Table, states};
use crate::error::{Kind, Result};
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

/// All tables of a store, as they are used.
pub(crate) struct All<'a> {
    pub(crate) payloads: &'a Table,
    pub(crate) states: &'a Table,
    pub(crate) executions: &'a Executions,
    pub(crate) outbox: &'a Outbox,
    pub(crate) inbox: &'a Inbox,
}

impl All<'_> {
    /// Which of them are there, and are other ones than they should be, in words. That one is missing is no fault here:
    /// perhaps nobody uses it.
    pub(crate) async fn wrong<E: Executor>(&self, on: &mut E, dialect: Dialect) -> Result<Vec<String>> {
        let checks = [
            inspect(on, dialect, self.payloads).await.map(drop),
            states::schema::check(on, dialect, self.states).await,
            self.executions.check(on).await,
            self.outbox.is_ready(on).await.map(drop),
            self.inbox.is_ready(on).await.map(drop),
        ];
        let mut wrong = Vec::new();
        for error in checks.into_iter().filter_map(Result::err) {
            if error.kind() != Kind::Backend || error.is_retryable() {
                return Err(error);
            }
            wrong.push(error.message().to_owned());
        }
        Ok(wrong)
    }

    /// Which rights this role lacks on those that are there, in words.
    #[cfg(feature = "postgres")]
    pub(crate) async fn forbidden<E: Executor>(&self, on: &mut E) -> Result<Vec<String>> {
        let pair = self.executions.pair();
        let tables = [
            self.payloads.quoted(),
            self.states.quoted(),
            pair.executions.quoted(),
            pair.log.quoted(),
            self.outbox.quoted().to_owned(),
            self.outbox.quoted_kept().to_owned(),
            self.inbox.quoted().to_owned(),
        ];
        let rows: Vec<String> = (1..=tables.len()).map(|number| format!("(${number}::text)")).collect();
        // A right on columns will do.
        let lacks = ["select", "insert", "update", "delete"].map(|right| {
            let on_columns = if right == "delete" {
                String::new()
            } else {
                format!(" or has_any_column_privilege(to_regclass(x.name), '{right}')")
            };
            format!(
                "case when not (has_table_privilege(to_regclass(x.name), '{right}'){on_columns}) then '{right}' end"
            )
        });
        let sql = format!(
            "select x.name, coalesce(case when to_regclass(x.name) is not null then concat_ws(', ', {}) end, '') as lacking \
             from (values {}) as x (name)",
            lacks.join(", "),
            rows.join(", ")
        );
        let values: Vec<Value<'_>> = tables.iter().map(|table| Value::text(table)).collect();
        let mut told = Vec::new();
        for row in on.run(&sql, &values).await?.rows {
            let mut cells = row.into_iter();
            let (Some(name), Some(lacking)) = (cells.next(), cells.next()) else { continue };
            let lacking = lacking.into_text("lacking")?;
            if !lacking.is_empty() {
                told.push(format!("this role lacks the rights on table {}: {lacking}", name.into_text("name")?));
            }
        }
        Ok(told)
    }
}
