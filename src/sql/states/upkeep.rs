//! How a table of sagas stays right on PostgreSQL while other software writes to it, such as
//! `@saga-bus/store-postgres`, which knows neither `completed_at` nor `timeout_at`.
//!
//! - A trigger makes both of what it writes. What this store writes is right already: then only the
//!   trigger's condition runs (3 microseconds of the server for a row), not its function.
//! - Rows that were there before the trigger are gone through once. Until that has come to its end
//!   the trigger has another name, so that whoever is interrupted goes on at the next `initialize`.
//! - Ids of VARCHAR become text. `version` stays `integer` where it is: node-postgres hands a bigint
//!   over as a string, and workers that count with it would make 11 of 1.

use crate::error::Result;
use crate::sql::schema::name_of_index;
use crate::sql::{Executor, Table, Value};

/// Rows of one statement that goes through those that were there before the trigger.
const PAGE: u32 = 2_000;

/// The columns of text that others limit.
pub(crate) const TEXTS: [&str; 3] = ["id", "saga_name", "correlation_id"];

/// The trigger's function, the trigger, and its name while not all rows are known to be right.
fn names(table: &Table) -> [String; 3] {
    ["keep", "keeper", "keeper_filling"].map(|what| name_of_index(table, what))
}

/// The function's name with its schema.
fn function(table: &Table) -> String {
    let [name, ..] = names(table);
    table.schema().map_or_else(|| format!("\"{name}\""), |schema| format!("\"{schema}\".\"{name}\""))
}

/// When a saga times out by its state: a time as JavaScript's Dates become JSON, and nothing else.
/// Never an error, so that no other software's write fails here: the day is added to the month.
/// (Without question marks and dollars, which are placeholders of some client.)
fn due(row: &str) -> String {
    let text = format!("({row}.state #>> '{{metadata,timeoutExpiresAt}}')");
    let form = r"^[1-9]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6}){0,1}Z\Z";
    format!(
        "(case when {row}.is_completed then null when {text} ~ '{form}' then \
         (substr({text}, 1, 8) || '01' || substr({text}, 11))::timestamptz \
         + (substr({text}, 9, 2)::int - 1) * interval '24 hours' end)"
    )
}

/// When a saga has ended.
fn ended(row: &str) -> String {
    format!("(case when {row}.is_completed then coalesce({row}.completed_at, {row}.updated_at) end)")
}

/// Whether a row is not what its state says.
fn is_wrong(row: &str) -> String {
    format!("{row}.is_completed <> ({row}.completed_at is not null) or {row}.timeout_at is distinct from {}", due(row))
}

/// Makes ids as long as they may be.
pub(crate) fn widen(table: &Table) -> String {
    let (t, wide) = (table.quoted(), TEXTS.map(|name| format!("alter column {name} type text")).join(", "));
    format!(
        "if exists (select 1 from pg_attribute where attrelid = to_regclass('{t}') and attname in ('id', 'saga_name', \
         'correlation_id') and not attisdropped and atttypid <> 'text'::regtype) then alter table {t} {wide}; end if"
    )
}

/// The function and the trigger, for within a block. `filled`: there are no rows to be gone through.
pub(crate) fn keeper(table: &Table, filled: bool) -> [String; 2] {
    let (t, [_, name, filling], function) = (table.quoted(), names(table), function(table));
    let made = if filled { &name } else { &filling };
    [
        format!(
            "create or replace function {function}() returns trigger language plpgsql as $keep$ begin \
             new.completed_at := {}; new.timeout_at := {}; return new; end $keep$",
            ended("new"),
            due("new")
        ),
        format!(
            "if not exists (select 1 from pg_trigger where tgrelid = to_regclass('{t}') and tgname in ('{name}', \
             '{filling}')) then create trigger \"{made}\" before insert or update on {t} for each row when ({}) \
             execute function {function}(); end if",
            is_wrong("new")
        ),
    ]
}

/// What a table has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// No trigger.
    Not,
    /// A trigger, and perhaps rows that are older.
    FromNowOn,
    /// All rows are right.
    Wholly,
}

/// Looks whether a table is kept right.
pub(crate) async fn look<E: Executor>(on: &mut E, table: &Table) -> Result<Kept> {
    let [_, name, filling] = names(table);
    let sql = "select tgname::text as name from pg_trigger where tgrelid = to_regclass($1::text)";
    let mut kept = Kept::Not;
    for cell in on.run(sql, &[Value::Text(table.quoted().into())]).await?.rows.into_iter().flatten() {
        let found = cell.into_text("tgname")?;
        if found == name {
            return Ok(Kept::Wholly);
        }
        if found == filling {
            kept = Kept::FromNowOn;
        }
    }
    Ok(kept)
}

/// All rows in one statement, for people who run their own migrations.
pub(crate) fn fill_at_once(table: &Table) -> String {
    format!(
        "update {} as s set completed_at = {}, timeout_at = {} where {}",
        table.quoted(),
        ended("s"),
        due("s"),
        is_wrong("s")
    )
}

/// Goes through all rows, in the order of their keys, some in one statement: who writes waits for
/// these alone.
pub(crate) async fn fill<E: Executor>(on: &mut E, table: &Table) -> Result<()> {
    let t = table.quoted();
    let page = format!(
        "with page as (select saga_name, id from {t} where (saga_name, id) > ($1::text, $2::text) order by saga_name, id \
         limit {PAGE}), filled as (update {t} as s set completed_at = {}, timeout_at = {} from page \
         where s.saga_name = page.saga_name and s.id = page.id and ({}) returning 1) \
         select saga_name::text, id::text from page order by page.saga_name desc, page.id desc limit 1",
        ended("s"),
        due("s"),
        is_wrong("s")
    );
    let mut last = (String::new(), String::new());
    loop {
        let found = on.run(&page, &[Value::text(&last.0), Value::text(&last.1)]).await?.rows.into_iter().next();
        let mut cells = found.into_iter().flatten();
        let (Some(name), Some(id)) = (cells.next(), cells.next()) else { return Ok(()) };
        last = (name.into_text("saga_name")?, id.into_text("id")?);
    }
}

/// Remembers that all rows are right, for within a block.
pub(crate) fn filled(table: &Table) -> String {
    let (t, [_, name, filling]) = (table.quoted(), names(table));
    format!(
        "if exists (select 1 from pg_trigger where tgrelid = to_regclass('{t}') and tgname = '{filling}') then \
         alter trigger \"{filling}\" on {t} rename to \"{name}\"; end if"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_tables_own() {
        let long = Table::new(Some(String::from("app")), "t".repeat(63));
        for name in names(&long) {
            assert!(name.len() <= 63, "{name}");
        }
        let table = Table::new(Some(String::from("app")), String::from("sagas"));
        assert_eq!(function(&table), "\"app\".\"sagas_keep\"");
        assert!(keeper(&table, true)[1].contains("create trigger \"sagas_keeper\""));
        assert!(keeper(&table, false)[1].contains("create trigger \"sagas_keeper_filling\""));
    }
}
