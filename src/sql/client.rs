//! SQL on a client of the application: statements travel as text and parameters, rows come back
//! as whatever the client's library makes of them.

use std::borrow::Cow;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use super::payloads::PayloadSql;
use super::schema::{TimeColumn, inspect};
use super::{Answer, Cell, Dialect, Executor, Table, Value};
use crate::contract::client::{Client, ClientError};
use crate::contract::dynamic::Dynamic;
use crate::error::{Error, Kind, Result};

/// Makes an error of the store of what a client threw, for the table of this quoted name.
pub(crate) type Classify = fn(ClientError, &str) -> Error;

/// Carries statements to a client.
pub(crate) struct OnClient<'a> {
    client: &'a Client,
    dialect: Dialect,
    /// The quoted name, for messages.
    table: &'a str,
    classify: Classify,
}

impl<'a> OnClient<'a> {
    /// Carries statements about `table` to `client`.
    pub(crate) fn new(client: &'a Client, dialect: Dialect, table: &'a str, classify: Classify) -> Self {
        Self { client, dialect, table, classify }
    }

    async fn carry(&self, sql: &str, values: &[Value<'_>]) -> Result<Answer> {
        let text = match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => question_marks(sql),
            #[cfg(feature = "postgres")]
            Dialect::Postgres => sql.to_owned(),
        };
        let values = values.iter().map(dynamic).collect::<Result<Vec<_>>>()?;
        let has_rows = returns_rows(sql);
        let arguments = vec![Dynamic::Text(text), Dynamic::List(values)];
        let answered = self.client.ask(if has_rows { "query" } else { "execute" }, arguments).await;
        let answer = answered.map_err(|error| (self.classify)(error, self.table))?;
        if !has_rows {
            let affected = answer.as_int().ok_or_else(|| unreadable("a count of rows"))?;
            return Ok(Answer { rows: Vec::new(), affected: u64::try_from(affected).unwrap_or_default() });
        }
        let rows = answer.into_list().ok_or_else(|| unreadable("rows"))?;
        let rows = rows.into_iter().map(|row| {
            let cells = row.into_list().ok_or_else(|| unreadable("a row"))?;
            cells.into_iter().map(cell).collect::<Result<Vec<_>>>()
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        Ok(Answer { affected: rows.len() as u64, rows })
    }
}

impl Executor for OnClient<'_> {
    fn run(&mut self, sql: &str, values: &[Value<'_>]) -> impl Future<Output = Result<Answer>> + Send {
        self.carry(sql, values)
    }

    #[cfg(feature = "postgres")]
    fn wants_base64(&self) -> bool {
        self.dialect == Dialect::Postgres
    }
}

fn unreadable(what: &str) -> Error {
    Error::new(Kind::Backend, format!("the client answered with something else than {what}"))
}

/// Libraries want to know whether a statement has a result.
fn returns_rows(sql: &str) -> bool {
    sql.starts_with("select ") || sql.contains(" returning ")
}

/// `$1..$n`, which stand once each and in order, as `?`.
#[cfg(feature = "sqlite")]
fn question_marks(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut parts = sql.split('$');
    text.extend(parts.next());
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        // A path of JSON has no number.
        text.push(if rest.len() < part.len() { '?' } else { '$' });
        text.push_str(rest);
    }
    text
}

fn dynamic(value: &Value<'_>) -> Result<Dynamic> {
    Ok(match value {
        Value::Null | Value::NoText => Dynamic::Null,
        Value::Text(text) => Dynamic::Text(match text {
            Cow::Borrowed(text) => (*text).to_owned(),
            Cow::Owned(text) => text.clone(),
        }),
        Value::Bytes(bytes) => Dynamic::Bytes((*bytes).clone()),
        Value::Int(number) => Dynamic::Int(*number),
        Value::Texts(_) | Value::OptionalTexts(_) | Value::Blobs(_) | Value::Ints(_) => {
            return Err(Error::new(Kind::Backend, "arrays do not travel to a client of the application"));
        }
    })
}

/// A cell, whatever the library has made of it. Times become text: ISO 8601 in UTC.
fn cell(value: Dynamic) -> Result<Cell> {
    Ok(match value {
        Dynamic::Null => Cell::Null,
        Dynamic::Bool(flag) => Cell::Int(i64::from(flag)),
        Dynamic::Int(number) => Cell::Int(number),
        Dynamic::Number(number) => match Dynamic::Number(number).as_int() {
            Some(whole) => Cell::Int(whole),
            None => Cell::Text(number.to_string()),
        },
        Dynamic::Text(text) => Cell::Text(text),
        Dynamic::Bytes(bytes) => Cell::Bytes(bytes),
        Dynamic::Time(at) => Cell::Text(at.to_iso()),
        Dynamic::List(_) | Dynamic::Map(_) => return Err(unreadable("a value of the column's type")),
    })
}

/// A table, and its statements once it has been looked at.
pub(crate) struct KnownTable {
    dialect: Dialect,
    table: Table,
    quoted: String,
    sql: Mutex<Option<Arc<PayloadSql>>>,
}

impl KnownTable {
    /// Nothing is known yet.
    pub(crate) fn new(dialect: Dialect, table: Table) -> Self {
        let quoted = table.quoted();
        Self { dialect, table, quoted, sql: Mutex::default() }
    }

    /// The table.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Its quoted name.
    pub(crate) fn quoted(&self) -> &str {
        &self.quoted
    }

    /// The statements for the table as it is. That it is missing is not remembered.
    pub(crate) async fn statements(&self, on: &mut OnClient<'_>) -> Result<Arc<PayloadSql>> {
        let known = self.sql.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(sql) = known {
            return Ok(sql);
        }
        let found = inspect(on, self.dialect, &self.table).await?;
        let found = found.ok_or_else(|| {
            Error::new(Kind::Backend, format!("table {} does not exist: call initialize() first", self.quoted)).unsent()
        })?;
        Ok(self.learn(found.time))
    }

    /// What the table is like.
    pub(crate) fn learn(&self, time: TimeColumn) -> Arc<PayloadSql> {
        let sql = Arc::new(PayloadSql::new(self.dialect, &self.table, time));
        *self.sql.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&sql));
        sql
    }

    /// Has it looked at again before its next use.
    pub(crate) fn forget(&self) {
        *self.sql.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_with_rows_are_known_by_their_text() {
        assert!(returns_rows("select 1"));
        assert!(returns_rows("delete from t where id = $1 returning id"));
        assert!(!returns_rows("insert into t values ($1)"));
        assert!(!returns_rows("do $$ begin end $$"));
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn placeholders_become_question_marks() {
        assert_eq!(question_marks("a = $1 and b > $12"), "a = ? and b > ?");
        assert_eq!(question_marks("json_extract(a, '$[0]') = $1"), "json_extract(a, '$[0]') = ?");
        assert_eq!(question_marks("begin"), "begin");
    }

    #[test]
    fn cells_are_what_libraries_make_of_them() {
        for (value, expected) in
            [(Dynamic::text("7"), 7), (Dynamic::Int(7), 7), (Dynamic::Number(7.0), 7), (Dynamic::Bool(true), 1)]
        {
            assert_eq!(cell(value).unwrap().into_int("n").unwrap(), expected);
        }
        let time = cell(Dynamic::Time(crate::time::Millis(0))).unwrap();
        assert_eq!(time.into_text("at").unwrap(), "1970-01-01T00:00:00.000Z");
    }
}
