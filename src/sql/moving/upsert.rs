//! Rows that are stored, or replace others, in one statement: arrays on PostgreSQL, lists of values on SQLite.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;

use crate::contract::moving::record::Key;
use crate::contract::moving::{Conflict, Fate};
use crate::error::{Error, Kind, Result};
#[cfg(feature = "sqlite")]
use crate::sql::TOGETHER;
use crate::sql::query::Query;
#[cfg(feature = "postgres")]
use crate::sql::rowset;
use crate::sql::schema::TimeColumn;
#[cfg(feature = "postgres")]
use crate::sql::schema::at_millis;
use crate::sql::{Cell, Dialect, Executor, Value};
use crate::time::Millis;

/// The values of a column, one for each row.
pub(super) enum Cells<'a> {
    Texts(Vec<Option<Cow<'a, str>>>),
    Ints(Vec<Option<i64>>),
    Blobs(Vec<&'a Bytes>),
}

/// A column of rows that are stored.
pub(super) struct Column<'a> {
    name: &'static str,
    /// How PostgreSQL makes the stored value of `u.name`.
    stored: String,
    cells: Cells<'a>,
}

impl<'a> Column<'a> {
    /// Texts; `cast` is PostgreSQL's.
    pub(super) fn texts(name: &'static str, cast: &str, texts: impl Iterator<Item = &'a str>) -> Self {
        Self::new(name, cast, Cells::Texts(texts.map(|text| Some(text.into())).collect()))
    }

    /// Whole numbers.
    pub(super) fn ints(name: &'static str, numbers: impl Iterator<Item = i64>) -> Self {
        Self::new(name, "", Cells::Ints(numbers.map(Some).collect()))
    }

    /// Yes or no.
    pub(super) fn flags(name: &'static str, flags: impl Iterator<Item = bool>) -> Self {
        Self::new(name, " <> 0", Cells::Ints(flags.map(|flag| Some(flag.into())).collect()))
    }

    /// Bytes.
    pub(super) fn blobs(name: &'static str, blobs: impl Iterator<Item = &'a Bytes>) -> Self {
        Self::new(name, "", Cells::Blobs(blobs.collect()))
    }

    /// Times, for a column of this type.
    pub(super) fn times(
        dialect: Dialect,
        time: TimeColumn,
        name: &'static str,
        times: impl Iterator<Item = Option<Millis>>,
    ) -> Self {
        match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let stored = at_millis(time, &format!("u.{name}"));
                Self { name, stored, cells: Cells::Ints(times.map(|at| at.map(|at| at.0)).collect()) }
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                let _ = time;
                Self::new(name, "", Cells::Texts(times.map(|at| at.map(|at| at.to_iso().into())).collect()))
            }
        }
    }

    fn new(name: &'static str, cast: &str, cells: Cells<'a>) -> Self {
        Self { name, stored: format!("u.{name}{cast}"), cells }
    }

    #[cfg(feature = "postgres")]
    fn rows(&self) -> rowset::Column<'_> {
        match &self.cells {
            Cells::Texts(texts) => rowset::Column::Texts(texts.iter().map(Option::as_deref).collect()),
            Cells::Ints(numbers) => rowset::Column::Ints(numbers.clone()),
            Cells::Blobs(blobs) => rowset::Column::Blobs(blobs.iter().map(|blob| &blob[..]).collect()),
        }
    }

    #[cfg(feature = "sqlite")]
    fn value(&self, at: usize) -> Value<'_> {
        match &self.cells {
            Cells::Texts(texts) => texts[at].as_deref().map_or(Value::Null, Value::text),
            Cells::Ints(numbers) => numbers[at].map_or(Value::Null, Value::Int),
            Cells::Blobs(blobs) => Value::Bytes(blobs[at]),
        }
    }
}

/// Rows for one table.
pub(super) struct Upsert<'a> {
    pub(super) dialect: Dialect,
    /// The quoted name of the table.
    pub(super) t: &'a str,
    /// What a row is known by: a name, which may be none, and an id.
    pub(super) key: (Option<&'static str>, &'static str),
    pub(super) columns: Vec<Column<'a>>,
    /// What a row that is replaced loses.
    pub(super) forgets: &'static [&'static str],
}

impl Upsert<'_> {
    /// Stores rows. `replaces` says when one takes the place of `x`; answers the keys of those that are stored.
    pub(super) async fn run<E: Executor>(
        &self,
        on: &mut E,
        count: usize,
        replaces: impl Fn(&mut Query<'_>) + Send,
    ) -> Result<HashSet<Key>> {
        let mut stored = HashSet::with_capacity(count);
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let mut query = self.insert();
                let values: Vec<&str> = self.columns.iter().map(|column| &*column.stored).collect();
                query.push(&format!(" select {} from ", values.join(", ")));
                let rows = self.columns.iter().map(|column| (column.name, column.rows())).collect();
                rowset::bind(&mut query, "u", rows, on.wants_base64());
                query.push(" as u");
                self.finish(on, query, &replaces, &mut stored).await?;
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                let mut next = 0;
                for size in TOGETHER {
                    while count - next >= size {
                        let mut query = self.insert();
                        query.push(" values ");
                        for at in next..next + size {
                            query.push(if at == next { "(" } else { ", (" });
                            for (place, column) in self.columns.iter().enumerate() {
                                if place > 0 {
                                    query.push(", ");
                                }
                                query.bind(column.value(at), "");
                            }
                            query.push(")");
                        }
                        self.finish(on, query, &replaces, &mut stored).await?;
                        next += size;
                    }
                }
            }
        }
        Ok(stored)
    }

    fn insert(&self) -> Query<'_> {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        Query::new(self.dialect, format!("insert into {} as x ({})", self.t, names.join(", ")))
    }

    async fn finish<E: Executor>(
        &self,
        on: &mut E,
        mut query: Query<'_>,
        replaces: &(impl Fn(&mut Query<'_>) + Send),
        stored: &mut HashSet<Key>,
    ) -> Result<()> {
        let (name, id) = self.key;
        let key: Vec<&str> = name.into_iter().chain([id]).collect();
        let set = self.columns.iter().map(|column| column.name).filter(|column| !key.contains(column));
        let set = set.map(|column| format!("{column} = excluded.{column}"));
        let set: Vec<String> = set.chain(self.forgets.iter().map(|column| format!("{column} = null"))).collect();
        query.push(&format!(" on conflict ({}) do update set {} where ", key.join(", "), set.join(", ")));
        replaces(&mut query);
        let text = query.text_cast();
        let name = name.unwrap_or("null");
        query.push(&format!(" returning {name}{text} as name, {id}{text} as id"));
        for row in query.run(on).await?.rows {
            let [name, id] = crate::sql::cells(row);
            stored.insert(key_of(name, id)?);
        }
        Ok(())
    }
}

/// A key, of its columns.
pub(super) fn key_of(name: Cell, id: Cell) -> Result<Key> {
    let name = if name == Cell::Null { Box::default() } else { name.into_text("name")?.into() };
    Ok(Key { name, id: id.into_text("id")?.into() })
}

/// Goes on with when a record takes the place of `x`: where the time of `x` is over, or the rule says so. `is_newer`
/// is how the database says [`crate::contract::moving::record::Record::is_newer_than`] of `excluded` and `x`.
pub(super) fn replaces(
    query: &mut Query<'_>,
    conflict: Conflict,
    is_over: impl FnOnce(&mut Query<'_>),
    is_newer: &str,
) {
    match conflict {
        Conflict::Overwrite => query.push("true"),
        Conflict::Skip | Conflict::Refuse => is_over(query),
        Conflict::Newer => {
            is_over(query);
            query.push(&format!(" or {is_newer}"));
        }
    }
}

/// The fates of records, of the keys of those that are stored.
pub(super) fn fates(
    records: &[crate::contract::moving::record::Record],
    stored: &HashSet<Key>,
    conflict: Conflict,
) -> Vec<Fate> {
    let fate = |record: &crate::contract::moving::record::Record| {
        if stored.contains(&record.key()) { Fate::Stored } else { super::left_alone(record, conflict) }
    };
    records.iter().map(fate).collect()
}

/// The error for a record of another kind than the place is for.
pub(super) fn of_another_kind() -> Error {
    Error::new(Kind::InvalidArgument, "a record of another kind cannot be stored here")
}
