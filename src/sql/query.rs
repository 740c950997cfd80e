//! A statement that grows: its placeholders stand once each and in order, because they are made here.

use super::{Answer, Dialect, Executor, Value};
use crate::error::Result;
use crate::time::Millis;

/// The time by the server's clock, in Unix milliseconds.
#[cfg(feature = "postgres")]
pub(super) const NOW_MS: &str = "floor(extract(epoch from clock_timestamp()) * 1000)::bigint";

/// A statement, and its values so far.
pub(super) struct Query<'a> {
    pub(super) dialect: Dialect,
    sql: String,
    values: Vec<Value<'a>>,
}

impl<'a> Query<'a> {
    /// A statement that begins so.
    pub(super) fn new(dialect: Dialect, sql: String) -> Self {
        Self { dialect, sql, values: Vec::new() }
    }

    /// The statement so far.
    #[cfg(test)]
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Goes on with this.
    pub(super) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Goes on with a value. `cast` is PostgreSQL's, and says the type.
    pub(super) fn bind(&mut self, value: Value<'a>, cast: &str) {
        let placeholder = self.placeholder(value);
        self.sql.push_str(&placeholder);
        self.sql.push_str(cast);
    }

    /// Takes a value; what stands for it has to be used next, and once.
    pub(super) fn placeholder(&mut self, value: Value<'a>) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// Goes on with a whole number.
    pub(super) fn int(&mut self, number: i64) {
        let cast = self.int_cast();
        self.bind(Value::Int(number), cast);
    }

    /// Goes on with the time in Unix milliseconds, by the server's clock where there is one.
    pub(super) fn clock(&mut self, now: Millis) {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let _ = now;
                self.push(NOW_MS);
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => self.bind(Value::Int(now.0), ""),
        }
    }

    /// Goes on with a time so many milliseconds ago.
    pub(super) fn ago(&mut self, ms: u64, now: Millis) {
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let _ = now;
                self.push(&format!("{NOW_MS} - "));
                // A hundred thousand years are always long enough.
                self.int(ms.min(3_153_600_000_000_000));
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => self.bind(Value::Int(now.0.saturating_sub(ms)), ""),
        }
    }

    /// Goes on with text.
    pub(super) fn text(&mut self, text: &'a str) {
        let cast = self.text_cast();
        self.bind(Value::text(text), cast);
    }

    /// What PostgreSQL casts text to.
    pub(super) fn text_cast(&self) -> &'static str {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => "::text",
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => "",
        }
    }

    fn int_cast(&self) -> &'static str {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => "::bigint",
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => "",
        }
    }

    /// Goes on with the elements of a list, which travels as JSON.
    pub(super) fn among(&mut self, texts: &[impl AsRef<str>], cast: &str) {
        let list: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let json = serde_json::to_string(&list).unwrap_or_default();
        let placeholder = self.placeholder(Value::Text(json.into()));
        let sql = match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                format!("(select u.one{cast} from json_array_elements_text({placeholder}::text::json) as u(one))")
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => format!("(select value{cast} from json_each({placeholder}))"),
        };
        self.push(&sql);
    }

    /// Runs it.
    pub(super) async fn run<E: Executor>(&self, on: &mut E) -> Result<Answer> {
        on.run(&self.sql, &self.values).await
    }
}
