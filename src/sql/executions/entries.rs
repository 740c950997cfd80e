//! Entries of logs on their way to PostgreSQL.

use super::ExecutionSql;
use super::form::Form;
use super::rowset::{Column, Rowset};
use crate::contract::executions::record::Entry;

/// Entries, each with the number of the change that it belongs to and its place in that, from 1.
pub(super) fn rowset<'a>(changes: &[(i64, &'a [Entry])]) -> Rowset<'a> {
    let all =
        || changes.iter().flat_map(|(owner, entries)| entries.iter().zip(1..).map(|(entry, nth)| (*owner, nth, entry)));
    let texts = |of: fn(&'a Entry) -> Option<&'a str>| Column::Texts(all().map(|(_, _, entry)| of(entry)).collect());
    vec![
        ("owner", Column::Ints(all().map(|(owner, ..)| Some(owner)).collect())),
        ("nth", Column::Ints(all().map(|(_, nth, _)| Some(nth)).collect())),
        ("bytes", Column::Ints(all().map(|(_, _, entry)| Some(entry.bytes())).collect())),
        ("step", texts(|entry| Some(&entry.step))),
        ("action", texts(|entry| Some(entry.action.name()))),
        ("status", texts(|entry| Some(entry.status.name()))),
        ("step_id", texts(|entry| entry.step_id.as_deref())),
        ("details", texts(|entry| entry.details.as_deref())),
        ("body", texts(|entry| entry.body.as_deref())),
    ]
}

impl ExecutionSql {
    /// What stores entries, up to the query that gives them: `id`, `seq`, [`ExecutionSql::stored_columns`], the time.
    pub(in crate::sql) fn append(&self) -> String {
        format!(
            "insert into {} (saga_id, seq, step_name, action, status, step_id, details, body, created_at)",
            self.log
        )
    }

    /// The columns of an entry of `row`, as they are stored.
    pub(in crate::sql) fn stored_columns(&self, row: &str) -> String {
        let status = Form::to_store(&self.form.step_status, &format!("{row}.status"));
        format!("{row}.step, {row}.action, {status}, {row}.step_id, {row}.details, {row}.body::json")
    }
}
