//! How the columns of two tables are typed: ours, or those that python-cqrs has made.
//!
//! There ids are `uuid` (on SQLite 32 hexadecimal digits), a status is a name in capitals or an enum of such, and
//! some times may have no zone: then they are UTC.

use crate::contract::executions::record::{Execution, LastOperation, Status};
use crate::error::{Error, Kind, Result};
#[cfg(feature = "postgres")]
use crate::sql::schema::at_millis;
use crate::sql::schema::{Column, TimeColumn};
use crate::sql::{Cell, Dialect, Value};
use crate::time::Millis;

/// How ids are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Ids {
    /// As they are.
    Text,
    /// PostgreSQL's `uuid`.
    #[cfg(feature = "postgres")]
    Uuid,
    /// Hexadecimal digits of a uuid.
    #[cfg(feature = "sqlite")]
    Hex,
}

/// How a status is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Words {
    /// As it is named.
    Small,
    /// In capitals.
    Capitals,
    /// An enum of names in capitals: the type.
    #[cfg(feature = "postgres")]
    Enum(String),
}

/// Both tables.
#[derive(Clone, Debug)]
pub(in crate::sql) struct Form {
    pub(in crate::sql) dialect: Dialect,
    pub(in crate::sql) ids: Ids,
    pub(in crate::sql) status: Words,
    pub(in crate::sql) step_status: Words,
    pub(in crate::sql) created: TimeColumn,
    pub(in crate::sql) updated: TimeColumn,
    pub(in crate::sql) logged: TimeColumn,
    /// The type of the context, where that is cast to.
    pub(in crate::sql) context: String,
    /// There is no execution without a context.
    pub(in crate::sql) needs_context: bool,
    /// The log has numbers of its own beside those of each saga.
    pub(in crate::sql) log_id: bool,
    /// Others have made the tables.
    pub(in crate::sql) is_foreign: bool,
}

impl Form {
    /// That of the tables that this store makes.
    pub(in crate::sql) fn ours(dialect: Dialect) -> Self {
        let time = match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => TimeColumn::WithTimeZone,
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => TimeColumn::Text,
        };
        Self {
            dialect,
            ids: Ids::Text,
            status: Words::Small,
            step_status: Words::Small,
            created: time,
            updated: time,
            logged: time,
            context: String::from("json"),
            needs_context: false,
            log_id: false,
            is_foreign: false,
        }
    }

    /// That of tables with these columns.
    pub(in crate::sql) fn of(dialect: Dialect, executions: &[Column], log: &[Column]) -> Self {
        let mut form = Self::ours(dialect);
        let type_of = |columns: &[Column], name: &str| {
            columns.iter().find(|column| column.name == name).map(|column| column.type_name.clone()).unwrap_or_default()
        };
        let words = |name: String| match dialect {
            _ if name == "text" => Words::Small,
            #[cfg(feature = "postgres")]
            Dialect::Postgres if !["varchar", "bpchar"].contains(&&*name) => Words::Enum(name),
            _ => Words::Capitals,
        };
        form.status = words(type_of(executions, "status"));
        form.step_status = words(type_of(log, "status"));
        form.is_foreign = form.status != Words::Small;
        form.log_id = log.iter().any(|column| column.name == "id");
        form.needs_context = executions.iter().any(|column| column.name == "context" && column.not_null);
        match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                if type_of(executions, "id") == "uuid" {
                    form.ids = Ids::Uuid;
                }
                form.context = type_of(executions, "context");
                let time = |name: String| {
                    if name == "timestamp" { TimeColumn::WithoutTimeZone } else { TimeColumn::WithTimeZone }
                };
                form.created = time(type_of(executions, "created_at"));
                form.updated = time(type_of(executions, "updated_at"));
                form.logged = time(type_of(log, "created_at"));
            }
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                if type_of(executions, "id") == "char(32)" {
                    form.ids = Ids::Hex;
                }
            }
        }
        form
    }

    /// An id as it is stored; `INVALID_ARGUMENT` where the column cannot take it.
    pub(in crate::sql) fn id(&self, id: &str) -> Result<String> {
        if self.ids == Ids::Text {
            return Ok(id.to_owned());
        }
        let bare = id.replace('-', "");
        let is_uuid = bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_uuid {
            let message = "sagaId must be a uuid: the table of executions has no place for another one";
            return Err(Error::invalid(message).with_id(id));
        }
        Ok(bare.to_ascii_lowercase())
    }

    /// An id as a parameter.
    pub(in crate::sql) fn id_value(&self, id: &str) -> Result<Value<'static>> {
        self.id(id).map(|id| Value::Text(id.into()))
    }

    /// An id as its owner knows it.
    pub(in crate::sql) fn read_id(&self, id: String) -> Box<str> {
        #[cfg(feature = "sqlite")]
        if self.ids == Ids::Hex && id.len() == 32 && id.is_ascii() {
            return format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]).into();
        }
        id.into()
    }

    /// What an expression of text is cast to, to be an id.
    pub(in crate::sql) fn id_cast(&self) -> &'static str {
        match (self.dialect, self.ids) {
            #[cfg(feature = "postgres")]
            (Dialect::Postgres, Ids::Uuid) => "::text::uuid",
            #[cfg(feature = "postgres")]
            (Dialect::Postgres, _) => "::text",
            #[cfg(feature = "sqlite")]
            (Dialect::Sqlite, _) => "",
        }
    }

    /// What a column is cast to, to be text.
    pub(in crate::sql) fn text(&self) -> &'static str {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => "::text",
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => "",
        }
    }

    /// A word as it is stored, as a parameter.
    #[cfg(feature = "sqlite")]
    pub(in crate::sql) fn word(words: &Words, name: &'static str) -> Value<'static> {
        if *words == Words::Small { Value::text(name) } else { Value::Text(name.to_ascii_uppercase().into()) }
    }

    /// A column with a word, as it is named.
    pub(in crate::sql) fn named(words: &Words, column: &str) -> String {
        match words {
            Words::Small => column.to_owned(),
            Words::Capitals => format!("lower({column})"),
            #[cfg(feature = "postgres")]
            Words::Enum(_) => format!("lower({column}::text)"),
        }
    }

    /// An expression of text, as it is stored.
    #[cfg(feature = "postgres")]
    pub(in crate::sql) fn to_store(words: &Words, text: &str) -> String {
        match words {
            Words::Small => text.to_owned(),
            Words::Capitals => format!("upper({text})"),
            Words::Enum(name) => format!("upper({text})::{name}"),
        }
    }

    /// The status of a row of executions, as it is named.
    pub(in crate::sql) fn status_of(&self, row: &str) -> String {
        Self::named(&self.status, &format!("{row}status"))
    }

    /// Whether the status is one of these.
    pub(in crate::sql) fn status_in(&self, row: &str, statuses: impl IntoIterator<Item = Status>) -> String {
        let names: Vec<String> = statuses.into_iter().map(|status| format!("'{}'", status.name())).collect();
        format!("{} in ({})", self.status_of(row), names.join(", "))
    }

    /// A time as a parameter.
    pub(in crate::sql) fn time(&self, at: Millis) -> Value<'static> {
        match self.dialect {
            #[cfg(feature = "sqlite")]
            // As SQLAlchemy writes it, so that all times of a column have one order.
            Dialect::Sqlite if self.is_foreign => Value::Text(at.to_iso().replace('T', " ").replace('Z', "000").into()),
            dialect => dialect.time(at),
        }
    }

    /// A time that may be missing.
    pub(in crate::sql) fn optional_time(&self, at: Option<Millis>) -> Value<'static> {
        at.map_or(Value::Null, |at| self.time(at))
    }

    /// A time column as it is answered: milliseconds, or text.
    pub(in crate::sql) fn time_of(&self, column: &str) -> String {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => format!("(extract(epoch from date_trunc('milliseconds', {column})) * 1000)::bigint"),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => column.to_owned(),
        }
    }

    /// A time column to whole milliseconds, for an order that a cursor goes on with.
    pub(in crate::sql) fn place_of(&self, column: &str) -> String {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => format!("date_trunc('milliseconds', {column})"),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite if self.is_foreign => format!("strftime('%Y-%m-%d %H:%M:%f000', {column})"),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => column.to_owned(),
        }
    }

    /// A parameter that is a time, compared with a column of this type.
    pub(in crate::sql) fn at(&self, time: TimeColumn, parameter: &str) -> String {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => at_millis(time, &format!("{parameter}::bigint")),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                let _ = time;
                parameter.to_owned()
            }
        }
    }

    /// The columns of an execution, in the order in which [`Form::read`] takes them.
    pub(in crate::sql) fn columns(&self, row: &str, with_context: bool) -> String {
        let time = |name: &str| self.time_of(&format!("{row}{name}"));
        let (text, int, json_text) = match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => ("::text", "::bigint", "::text"),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => ("", "", ""),
        };
        let context = if with_context { format!("{row}context{json_text}") } else { format!("null{text}") };
        let now = match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => self.time_of("clock_timestamp()"),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => String::from("null"),
        };
        // Libraries that hand rows over as objects want different names.
        let columns = [
            format!("{row}id{text} as id"),
            format!("{row}name{text} as name"),
            format!("{} as status", self.status_of(row)),
            format!("{row}sub_status as sub_status"),
            format!("{context} as context"),
            format!("{row}metadata{json_text} as metadata"),
            format!("{row}tags{json_text} as tags"),
            format!("{row}version{int} as version"),
            format!("{row}log_seq as log_seq"),
            format!("{row}log_bytes as log_bytes"),
            format!("{row}token as token"),
            format!("{row}worker_id as worker_id"),
            format!("{} as due_ms", time("due_at")),
            format!("{row}recovery_attempts{int} as attempts"),
            format!("{row}last_error as last_error"),
            format!("{row}last_operation as last_operation"),
            format!("{row}last_version as last_version"),
            format!("{row}last_seq as last_seq"),
            format!("{} as created_ms", time("created_at")),
            format!("{} as updated_ms", time("updated_at")),
            format!("{} as completed_ms", time("completed_at")),
            format!("{} as parked_ms", time("parked_at")),
            format!("{} as expires_ms", time("expires_at")),
            format!("{now} as now_ms"),
        ];
        columns.join(", ")
    }

    /// An execution, and the server's time, where it has one.
    pub(in crate::sql) fn read(&self, row: Vec<Cell>) -> Result<(Execution, Option<Millis>)> {
        let mut cells = row.into_iter();
        let mut next = || cells.next().unwrap_or(Cell::Null);
        let id = self.read_id(next().into_text("id")?);
        let read = || -> Result<(Execution, Option<Millis>)> {
            let execution = Execution {
                id: id.clone(),
                name: next().into_text("name")?.into(),
                status: Status::stored(&next().into_text("status")?)?,
                sub_status: optional_text(next(), "sub_status")?,
                context: optional_text(next(), "context")?
                    .filter(|context| !self.needs_context || **context != *"null"),
                metadata: optional_text(next(), "metadata")?,
                tags: tags(next())?,
                version: next().into_int("version")?,
                seq: next().into_int("log_seq")?,
                log_bytes: next().into_int("log_bytes")?,
                token: optional_text(next(), "token")?,
                worker: optional_text(next(), "worker_id")?,
                due_at: self.read_time(next(), "due_at")?,
                attempts: next().into_int("recovery_attempts")?,
                last_error: optional_text(next(), "last_error")?,
                last_operation: last_operation(next(), next(), next())?,
                created_at: self.needed_time(next(), "created_at")?,
                updated_at: self.needed_time(next(), "updated_at")?,
                completed_at: self.read_time(next(), "completed_at")?,
                parked_at: self.read_time(next(), "parked_at")?,
                expires_at: self.read_time(next(), "expires_at")?,
            };
            Ok((execution, self.read_time(next(), "now")?))
        };
        let mut read = read;
        read().map_err(|error| error.with_id(&id))
    }

    /// A time, as it was answered.
    pub(in crate::sql) fn read_time(&self, cell: Cell, column: &str) -> Result<Option<Millis>> {
        match (self.dialect, cell) {
            (_, Cell::Null) => Ok(None),
            #[cfg(feature = "sqlite")]
            (Dialect::Sqlite, Cell::Text(text)) => Millis::from_iso(&text).map(Some).ok_or_else(|| {
                Error::new(Kind::CorruptData, format!("column {column} holds text where a time should be"))
            }),
            (_, cell) => cell.into_int(column).map(|millis| Some(Millis(millis))),
        }
    }

    /// A time that is never missing.
    pub(in crate::sql) fn needed_time(&self, cell: Cell, column: &str) -> Result<Millis> {
        self.read_time(cell, column)?
            .ok_or_else(|| Error::new(Kind::CorruptData, format!("column {column} holds NULL where a time should be")))
    }
}

/// Text that may be missing.
pub(in crate::sql) fn optional_text(cell: Cell, column: &str) -> Result<Option<Box<str>>> {
    if cell == Cell::Null { Ok(None) } else { cell.into_text(column).map(|text| Some(text.into())) }
}

fn last_operation(id: Cell, version: Cell, seq: Cell) -> Result<Option<LastOperation>> {
    let Some(id) = optional_text(id, "last_operation")? else { return Ok(None) };
    let first_seq = if seq == Cell::Null { None } else { Some(seq.into_int("last_seq")?) };
    Ok(Some(LastOperation { id, version: version.into_int("last_version")?, first_seq }))
}

fn tags(cell: Cell) -> Result<Vec<Box<str>>> {
    let Some(text) = optional_text(cell, "tags")? else { return Ok(Vec::new()) };
    serde_json::from_str(&text).map_err(|error| {
        Error::new(Kind::CorruptData, "column tags holds something else than a list of texts").with_source(error)
    })
}

/// Tags as they are stored; none where there are none.
pub(in crate::sql) fn tags_text(tags: &[Box<str>]) -> Option<String> {
    (!tags.is_empty()).then(|| serde_json::to_string(tags).unwrap_or_default())
}
