//! Saga state in SQL, for both dialects: one statement for what succeeds at once, and a look at what
//! was in the way for what does not.

#[cfg(feature = "postgres")]
pub(crate) mod batches;
pub(super) mod claims;
pub(crate) mod schema;
#[cfg(feature = "postgres")]
pub(super) mod upkeep;

use super::payloads::PayloadSql;
use super::schema::columns;
#[cfg(feature = "postgres")]
use super::schema::{TimeColumn, at_millis};
use super::{Cell, Dialect, Executor, Table, Value, cells};
use crate::contract::operation::Work;
use crate::contract::states::{
    FoundState, Saga, StateRead, StateStep, StateWrite, conflict, correlation_taken, missing, taken, unreadable,
};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;
use claims::Claims;

/// Attempts of an insert that finds the place taken by a saga whose time is over, or that is gone
/// when it looks.
const INSERTS: usize = 5;

/// The statements for one table of sagas.
#[derive(Debug)]
pub(crate) struct StateSql {
    pub(in crate::sql) dialect: Dialect,
    pub(in crate::sql) table: Table,
    insert: String,
    look: String,
    remove_over: String,
    update: String,
    version: String,
    delete: String,
    delete_by_correlation: String,
    delete_completed: String,
    by_id: String,
    by_correlation: String,
    list: String,
    list_of: String,
    stale: String,
    names: String,
    count: String,
    count_of: String,
    timed_out: String,
    timed_out_of: String,
    claims: Claims,
    purge: String,
}

/// The parts in which the dialects differ.
struct Parts {
    text: &'static str,
    int: &'static str,
    json: &'static str,
    /// The state, as text.
    state: &'static str,
    /// A row, for a delete of some of them.
    row: &'static str,
    /// Rows that others are changing are left for the next time.
    skip_locked: &'static str,
    at: fn(u8) -> String,
    flag: fn(u8) -> String,
}

impl Parts {
    fn of(dialect: Dialect) -> Self {
        match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => Self {
                text: "::text",
                int: "::bigint",
                json: "::text::jsonb",
                state: "state::text",
                row: "ctid",
                skip_locked: " for update skip locked",
                at: |n| at_millis(TimeColumn::WithTimeZone, &format!("${n}::bigint")),
                flag: |n| format!("(${n}::bigint <> 0)"),
            },
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => Self {
                text: "",
                int: "",
                json: "",
                state: "state",
                row: "rowid",
                skip_locked: "",
                at: |n| format!("${n}"),
                flag: |n| format!("${n}"),
            },
        }
    }

    fn live(&self, n: u8) -> String {
        format!("(expires_at is null or expires_at > {})", (self.at)(n))
    }

    /// `delete` of the rows that a query finds.
    fn delete_some(&self, t: &str, found: &str) -> String {
        let row = self.row;
        let found = format!("select {row} from {t} where {found}{}", self.skip_locked);
        // An array is looked up row by row; joined, the whole table might be read.
        let among = if row == "ctid" { format!("= any(array({found}))") } else { format!("in ({found})") };
        format!("delete from {t} where {row} {among}")
    }
}

impl StateSql {
    /// The statements for `table`.
    pub(crate) fn new(dialect: Dialect, table: &Table) -> Self {
        let (t, parts) = (table.quoted(), Parts::of(dialect));
        let Parts { text, int, json, state, at, flag, .. } = &parts;
        let live = |n: u8| parts.live(n);
        // Whoever has ended it: older software leaves `timeout_at` as it is.
        let open = "not is_completed";
        let found = format!("select saga_name, id, correlation_id, {state} as state from {t}");
        let list = |filter: &str, n: u8| {
            format!(
                "{found} where saga_name = $1{text}{filter} and id > ${n}{text} and {} order by id limit ${}{int}",
                live(n + 1),
                n + 2
            )
        };
        let timed_out = |filter: &str, n: u8| {
            format!(
                "{found} where {filter}timeout_at <= {} and {open} and {} order by timeout_at, id limit ${}{int}",
                at(n),
                live(n + 1),
                n + 2
            )
        };
        // Those whose time is over are counted by themselves: the others then need no look into the rows.
        let count = |filter: &dyn Fn(u8) -> String, next: u8| {
            format!(
                "select (select count(*) from {t} where {}) - (select count(*) from {t} where {} and expires_at <= {}) as sagas",
                filter(1),
                filter(next),
                at(2 * next - 1)
            )
        };
        let of_name = |n: u8| format!("saga_name = ${n}{text}");
        let of_name_and_end = |n: u8| format!("{} and is_completed = {}", of_name(n), flag(n + 1));
        Self {
            dialect,
            table: table.clone(),
            insert: format!(
                "insert into {t} (id, saga_name, correlation_id, version, is_completed, state, created_at, updated_at, \
                 completed_at, timeout_at, expires_at) values ($1{text}, $2{text}, $3{text}, $4{int}, {}, $6{json}, {}, {}, \
                 {}, {}, {}) on conflict do nothing",
                flag(5),
                at(7),
                at(8),
                at(9),
                at(10),
                at(11)
            ),
            look: format!(
                "select id, correlation_id, case when expires_at <= {} then 1 else 0 end as over from {t} \
                 where saga_name = $2{text} and (id = $3{text} or correlation_id = $4{text})",
                at(1)
            ),
            remove_over: format!(
                "delete from {t} where saga_name = $1{text} and (id = $2{text} or correlation_id = $3{text}) and expires_at <= {}",
                at(4)
            ),
            update: format!(
                "update {t} set version = $1{int}, is_completed = {}, state = $3{json}, updated_at = {}, \
                 completed_at = case when {} then {} end, timeout_at = {}, expires_at = {} \
                 where saga_name = $9{text} and id = $10{text} and version = $11{int} and {}",
                flag(2),
                at(4),
                flag(5),
                ended("", &at(6)),
                at(7),
                at(8),
                live(12)
            ),
            version: format!(
                "select version{int} as version from {t} where saga_name = $1{text} and id = $2{text} and {}",
                live(3)
            ),
            delete: format!("delete from {t} where saga_name = $1{text} and id = $2{text}"),
            delete_by_correlation: format!("delete from {t} where saga_name = $1{text} and correlation_id = $2{text}"),
            delete_completed: parts.delete_some(
                &t,
                &format!(
                    "saga_name = $1{text} and completed_at < {} and {} order by completed_at limit $4{int}",
                    at(2),
                    live(3)
                ),
            ),
            by_id: format!("{found} where saga_name = $1{text} and id = $2{text} and {}", live(3)),
            by_correlation: format!("{found} where saga_name = $1{text} and correlation_id = $2{text} and {}", live(3)),
            list: list("", 2),
            list_of: list(&format!(" and is_completed = {}", flag(2)), 3),
            stale: list(&format!(" and is_completed = {} and updated_at <= {}", flag(2), at(3)), 4),
            // From name to name by the primary key, whatever there is of each. (It begins as what answers rows does. Asked
            // for any saga, by `exists` or without an order, SQLite may read all of the table.)
            names: format!(
                "select found.name from (with recursive sagastore_names(name) as (select min(saga_name) from {t} \
                 where saga_name > $1{text} union all select (select min(saga_name) from {t} \
                 where saga_name > sagastore_names.name) from sagastore_names where sagastore_names.name is not null) \
                 select name from sagastore_names where name is not null) as found \
                 where (select id from {t} where saga_name = found.name and {} order by id limit 1) is not null \
                 limit $3{int}",
                live(2)
            ),
            count: count(&of_name, 2),
            count_of: count(&of_name_and_end, 3),
            timed_out: timed_out("", 1),
            timed_out_of: timed_out(&format!("saga_name = $1{text} and "), 2),
            claims: Claims::new(dialect, table),
            purge: parts.delete_some(&t, &format!("expires_at <= {} order by expires_at limit $2{int}", at(1))),
        }
    }

    /// Runs one operation.
    pub(crate) async fn run<E: Executor>(&self, on: &mut E, step: &StateStep, now: Millis) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(on, write, now).await,
            Work::Read(read) => self.read(on, read, now).await,
        }
    }

    /// Runs a change.
    pub(crate) async fn write<E: Executor>(&self, on: &mut E, write: &StateWrite, now: Millis) -> Result<Reply> {
        match write {
            StateWrite::Insert { saga, correlation_id } => self.insert(on, saga, correlation_id, now).await,
            StateWrite::Update { saga, expected } => self.update(on, saga, *expected, now).await,
            StateWrite::Delete { name, id } => {
                on.run(&self.delete, &[Value::text(name), Value::text(id)]).await?;
                Ok(Reply::Done)
            }
            StateWrite::DeleteByCorrelation { name, correlation_id } => {
                on.run(&self.delete_by_correlation, &[Value::text(name), Value::text(correlation_id)]).await?;
                Ok(Reply::Done)
            }
            StateWrite::DeleteCompleted { name, before, limit } => {
                let values = [Value::text(name), self.time(*before), self.time(now), number(*limit)];
                Ok(Reply::Count(on.run(&self.delete_completed, &values).await?.affected))
            }
            StateWrite::ClaimTimedOut(claim) => self.claims.claim(on, claim, now).await,
        }
    }

    async fn insert<E: Executor>(&self, on: &mut E, saga: &Saga, correlation_id: &str, now: Millis) -> Result<Reply> {
        let (name, id) = (Value::text(&saga.name), Value::text(&saga.id));
        let values = [
            id.clone(),
            name.clone(),
            Value::text(correlation_id),
            Value::Int(saga.version),
            Value::Int(saga.completed.into()),
            Value::text(&saga.state),
            self.time(saga.created_at),
            self.time(saga.updated_at),
            self.optional(saga.completed_at),
            self.optional(saga.timeout_at),
            self.optional(saga.expires_at),
        ];
        for _ in 0..INSERTS {
            if on.run(&self.insert, &values).await?.affected > 0 {
                return Ok(Reply::Done);
            }
            let looked = [self.time(now), name.clone(), id.clone(), Value::text(correlation_id)];
            let (mut by_id, mut by_correlation) = (false, false);
            for row in on.run(&self.look, &looked).await?.rows {
                let [found, correlation, over] = cells(row);
                if over.into_int("expires_at")? == 0 {
                    by_id |= found.into_text("id")? == *saga.id;
                    by_correlation |= correlation.into_text("correlation_id")? == correlation_id;
                }
            }
            if by_id {
                return Err(taken(saga));
            }
            if by_correlation {
                return Err(correlation_taken(saga, correlation_id));
            }
            let over = [name.clone(), id.clone(), Value::text(correlation_id), self.time(now)];
            on.run(&self.remove_over, &over).await?;
        }
        let message = "others insert and delete sagas with these ids at the same time";
        Err(Error::new(Kind::Backend, message).retryable(true))
    }

    async fn update<E: Executor>(&self, on: &mut E, saga: &Saga, expected: i64, now: Millis) -> Result<Reply> {
        let (name, id) = (Value::text(&saga.name), Value::text(&saga.id));
        let values = [
            Value::Int(saga.version),
            Value::Int(saga.completed.into()),
            Value::text(&saga.state),
            self.time(saga.updated_at),
            Value::Int(saga.completed.into()),
            self.optional(saga.completed_at),
            self.optional(saga.timeout_at),
            self.optional(saga.expires_at),
            name.clone(),
            id.clone(),
            Value::Int(expected),
            self.time(now),
        ];
        if on.run(&self.update, &values).await?.affected > 0 {
            return Ok(Reply::Done);
        }
        let found = on.run(&self.version, &[name, id, self.time(now)]).await?;
        match found.rows.into_iter().flatten().next() {
            Some(actual) => Err(conflict(saga, expected, actual.into_int("version")?)),
            None => Err(missing(saga)),
        }
    }

    /// Runs a question.
    pub(crate) async fn read<E: Executor>(&self, on: &mut E, read: &StateRead, now: Millis) -> Result<Reply> {
        match read {
            StateRead::ById { name, id } => {
                self.one(on, &self.by_id, [Value::text(name), Value::text(id), self.time(now)]).await
            }
            StateRead::ByCorrelation { name, correlation_id } => {
                let values = [Value::text(name), Value::text(correlation_id), self.time(now)];
                self.one(on, &self.by_correlation, values).await
            }
            StateRead::List { name, completed, after, limit } => {
                let mut values = vec![Value::text(name)];
                values.extend(completed.map(|completed| Value::Int(completed.into())));
                values.extend([Value::text(after.as_deref().unwrap_or_default()), self.time(now), number(*limit)]);
                self.many(on, if completed.is_some() { &self.list_of } else { &self.list }, &values).await
            }
            StateRead::Stale { name, since, after, limit } => {
                let (after, now) = (Value::text(after.as_deref().unwrap_or_default()), self.time(now));
                let values = [Value::text(name), Value::Int(0), self.time(*since), after, now, number(*limit)];
                self.many(on, &self.stale, &values).await
            }
            StateRead::Names { after, limit } => {
                let after = Value::text(after.as_deref().unwrap_or_default());
                let rows = on.run(&self.names, &[after, self.time(now), number(*limit)]).await?.rows;
                let names: Result<Vec<Box<str>>> = rows
                    .into_iter()
                    .map(|row| {
                        let [name] = cells(row);
                        Ok(name.into_text("saga_name")?.into())
                    })
                    .collect();
                Ok(Reply::ids(names?))
            }
            StateRead::Count { name, completed } => {
                let mut values = Vec::with_capacity(5);
                for _ in 0..2 {
                    values.push(Value::text(name));
                    values.extend(completed.map(|completed| Value::Int(completed.into())));
                }
                values.push(self.time(now));
                let answer = on.run(if completed.is_some() { &self.count_of } else { &self.count }, &values).await?;
                let count = answer.rows.into_iter().flatten().next().unwrap_or(Cell::Int(0)).into_int("count")?;
                Ok(Reply::Count(u64::try_from(count).unwrap_or_default()))
            }
            StateRead::TimedOut { now: at, name, limit } => {
                let mut values: Vec<Value<'_>> = name.iter().map(|name| Value::text(name)).collect();
                values.extend([self.time(*at), self.time(now), number(*limit)]);
                self.many(on, if name.is_some() { &self.timed_out_of } else { &self.timed_out }, &values).await
            }
        }
    }

    async fn one<E: Executor>(&self, on: &mut E, sql: &str, values: [Value<'_>; 3]) -> Result<Reply> {
        let row = on.run(sql, &values).await?.rows.into_iter().next();
        Ok(Reply::State(row.map(|row| found(row)?.into_one()).transpose()?))
    }

    async fn many<E: Executor>(&self, on: &mut E, sql: &str, values: &[Value<'_>]) -> Result<Reply> {
        let rows = on.run(sql, values).await?.rows;
        Ok(Reply::States(rows.into_iter().map(found).collect::<Result<_>>()?))
    }

    /// Removes at most `limit` sagas whose time was over at `now`.
    pub(crate) async fn purge_expired<E: Executor>(&self, on: &mut E, now: Millis, limit: u64) -> Result<u64> {
        Ok(on.run(&self.purge, &[self.time(now), number(limit)]).await?.affected)
    }

    fn time(&self, at: Millis) -> Value<'static> {
        self.dialect.time(at)
    }

    fn optional(&self, at: Option<Millis>) -> Value<'static> {
        at.map_or(Value::Null, |at| self.time(at))
    }
}

/// Removes payloads, and sagas, whose time was over at `now`: at most `limit` of both together. The
/// table of sagas may be missing, where `initialize` has not made it yet.
pub(crate) async fn purge_both<E: Executor>(
    on: &mut E,
    payloads: &PayloadSql,
    states: &StateSql,
    now: Millis,
    limit: u64,
) -> Result<u64> {
    let removed = payloads.purge_expired(on, now, limit).await?;
    if removed >= limit {
        return Ok(removed);
    }
    match states.purge_expired(on, now, limit - removed).await {
        Ok(more) => Ok(removed + more),
        Err(_) if columns(on, states.dialect, &states.table).await.is_ok_and(|columns| columns.is_empty()) => {
            Ok(removed)
        }
        Err(error) => Err(error),
    }
}

/// When a saga has ended that an update ends now, or did not end first. (`completed_at` is indexed in
/// place of `updated_at`, which changes each time.)
pub(super) fn ended(row: &str, now: &str) -> String {
    format!("case when {row}is_completed then coalesce({row}completed_at, {row}updated_at) else {now} end")
}

pub(super) fn number(number: u64) -> Value<'static> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn found(row: Vec<Cell>) -> Result<FoundState> {
    found_of(cells(row))
}

/// A saga, of its columns.
pub(super) fn found_of([name, id, correlation_id, state]: [Cell; 4]) -> Result<FoundState> {
    let (name, id) = (name.into_text("saga_name")?, id.into_text("id")?);
    let correlation_id = Some(correlation_id.into_text("correlation_id")?.into());
    let state = match state.into_text("state") {
        Ok(state) => Ok(state),
        Err(error) => Err(unreadable(error)?),
    };
    Ok(FoundState { name: name.into(), id: id.into(), correlation_id, state })
}

#[cfg(all(test, feature = "postgres", feature = "sqlite"))]
mod tests {
    use super::*;

    fn all(sql: &StateSql) -> [&str; 21] {
        [
            &sql.insert,
            &sql.look,
            &sql.remove_over,
            &sql.update,
            &sql.version,
            &sql.delete,
            &sql.delete_by_correlation,
            &sql.delete_completed,
            &sql.by_id,
            &sql.by_correlation,
            &sql.list,
            &sql.list_of,
            &sql.stale,
            &sql.names,
            &sql.count,
            &sql.count_of,
            &sql.timed_out,
            &sql.timed_out_of,
            &sql.claims.of_all,
            &sql.claims.of_name,
            &sql.purge,
        ]
    }

    #[test]
    fn placeholders_stand_once_each_and_in_order() {
        let table = Table::new(None, String::from("t"));
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            for statement in all(&StateSql::new(dialect, &table)) {
                let numbers: Vec<usize> = statement
                    .split('$')
                    .skip(1)
                    .map(|part| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap())
                    .collect();
                assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{statement}");
                assert!(!statement.contains("now()"), "{statement}");
            }
        }
    }

    /// (What PostgreSQL does is asked of a server, in `__test__/states/table.spec.ts`.)
    #[test]
    fn sqlite_finds_all_of_100_000_sagas_by_an_index() {
        let [payloads, table] = ["p", "t"].map(|name| Table::new(None, String::from(name)));
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for statement in super::schema::all_statements(Dialect::Sqlite, &payloads, &table) {
            connection.execute_batch(&statement).unwrap();
        }
        connection
            .execute_batch(
                "insert into t (id, saga_name, correlation_id, version, is_completed, created_at, updated_at, completed_at, \
                 timeout_at, expires_at, state) with recursive n(n) as (select 1 union all select n + 1 from n where n < 100000) \
                 select 's-' || n, 'Name' || n % 20, 'o-' || n, 1, n % 2, 'c', 'u', iif(n % 2, 'd', null), \
                 iif(n % 10, null, 't'), iif(n % 7, null, 'x'), '{}' from n; analyze",
            )
            .unwrap();
        for statement in all(&StateSql::new(Dialect::Sqlite, &table)) {
            let mut plan = connection.prepare(&format!("explain query plan {statement}")).unwrap();
            let mut steps = plan.raw_query();
            while let Some(step) = steps.next().unwrap() {
                let detail: String = step.get("detail").unwrap();
                assert!(!detail.starts_with("SCAN t"), "{detail}: {statement}");
            }
        }
    }
}
