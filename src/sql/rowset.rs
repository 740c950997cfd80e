//! Rows on their way to PostgreSQL, in a statement that works on all of them: arrays, or JSON where a client of the
//! application carries it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::Value;
use super::query::Query;

/// The values of a column.
pub(super) enum Column<'a> {
    Texts(Vec<Option<&'a str>>),
    Ints(Vec<Option<i64>>),
    Blobs(Vec<&'a [u8]>),
}

/// Columns of the same length, with their names.
pub(super) type Rowset<'a> = Vec<(&'static str, Column<'a>)>;

/// Goes on with these rows under a name: `(select * from … as name(…))`.
pub(super) fn bind<'a>(query: &mut Query<'a>, name: &str, rows: Rowset<'a>, as_json: bool) {
    if as_json {
        let definitions: Vec<String> = rows.iter().map(|(column, of)| format!("{column} {}", of.type_name())).collect();
        let read: Vec<String> = rows.iter().map(|(column, of)| of.read(column)).collect();
        query.push(&format!("(select {} from json_to_recordset(", read.join(", ")));
        query.bind(Value::Text(json(&rows).into()), "::text::json");
        query.push(&format!(") as {name}({}))", definitions.join(", ")));
        return;
    }
    let names: Vec<&str> = rows.iter().map(|(column, _)| *column).collect();
    query.push("(select * from unnest(");
    for (at, (_, column)) in rows.into_iter().enumerate() {
        if at > 0 {
            query.push(", ");
        }
        match column {
            Column::Texts(texts) => query.bind(Value::OptionalTexts(texts), "::text[]"),
            Column::Ints(numbers) => query.bind(Value::Ints(numbers), "::bigint[]"),
            Column::Blobs(blobs) => query.bind(Value::Blobs(blobs), "::bytea[]"),
        }
    }
    query.push(&format!(") as {name}({}))", names.join(", ")));
}

impl Column<'_> {
    const fn type_name(&self) -> &'static str {
        match self {
            // Bytes travel as base64.
            Self::Texts(_) | Self::Blobs(_) => "text",
            Self::Ints(_) => "bigint",
        }
    }

    /// The column, of rows that have come as JSON.
    fn read(&self, column: &str) -> String {
        match self {
            Self::Blobs(_) => format!("decode({column}, 'base64') as {column}"),
            Self::Texts(_) | Self::Ints(_) => column.to_owned(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Ints(numbers) => numbers.len(),
            Self::Blobs(blobs) => blobs.len(),
        }
    }

    fn json(&self, at: usize) -> Json {
        match self {
            Self::Texts(texts) => texts[at].map_or(Json::Null, Json::from),
            Self::Ints(numbers) => numbers[at].map_or(Json::Null, Json::from),
            Self::Blobs(blobs) => STANDARD.encode(blobs[at]).into(),
        }
    }
}

fn json(rows: &Rowset<'_>) -> String {
    let count = rows.first().map_or(0, |(_, column)| column.len());
    let row = |at: usize| {
        Json::Object(rows.iter().map(|(name, column)| ((*name).to_owned(), column.json(at))).collect::<Map<_, _>>())
    };
    Json::Array((0..count).map(row).collect()).to_string()
}
