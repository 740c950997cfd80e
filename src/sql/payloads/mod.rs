//! The payload operations in SQL, for both dialects.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::schema::TimeColumn;
#[cfg(feature = "postgres")]
use super::schema::at_millis;
use super::{Cell, Dialect, Executor, Table, Value};
use crate::contract::operation::Work;
use crate::contract::payloads::PayloadStep;
use crate::contract::payloads::{Read, Write};
use crate::contract::report::Usage;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// What is read on the caller's thread is no larger: reading more takes longer than asking another thread for it.
#[cfg(feature = "sqlite")]
const SMALL_BYTES: u32 = 16 * 1024;

/// The statements for one table.
#[derive(Debug)]
pub(crate) struct PayloadSql {
    pub(in crate::sql) dialect: Dialect,
    /// The quoted name of the table, and the type of its `expires_at`.
    pub(in crate::sql) t: String,
    pub(in crate::sql) time: TimeColumn,
    put: String,
    /// One row without arrays: the planner keeps its plan, and large data is not copied into an array first.
    #[cfg(feature = "postgres")]
    put_one: String,
    #[cfg(feature = "postgres")]
    find_one: String,
    /// The same, with the payload as base64: fewer bytes than the hexadecimal digits that a client's library gets.
    #[cfg(feature = "postgres")]
    find_encoded: String,
    #[cfg(feature = "postgres")]
    has_one: String,
    #[cfg(feature = "postgres")]
    delete_one: String,
    #[cfg(feature = "postgres")]
    touch_one: String,
    delete: String,
    touch: String,
    find: String,
    /// The same of a small payload; no row of a large one, of which nothing is read then.
    #[cfg(feature = "sqlite")]
    pub(crate) find_small: String,
    has: String,
    purge: String,
    usage: String,
}

impl PayloadSql {
    /// The statements for `table`, whose `expires_at` is of the given type.
    pub(crate) fn new(dialect: Dialect, table: &Table, time: TimeColumn) -> Self {
        match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => Self::postgres(&table.quoted(), time),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => Self::sqlite(&table.quoted(), time),
        }
    }

    #[cfg(feature = "postgres")]
    fn postgres(t: &str, time: TimeColumn) -> Self {
        let dialect = Dialect::Postgres;
        let at = |n: u8| at_millis(time, &format!("${n}::bigint"));
        let row_at = at_millis(time, "u.ms");
        Self {
            dialect,
            t: t.to_owned(),
            time,
            put: format!(
                "insert into {t} (id, data, expires_at) select u.id, u.data, {row_at} \
                         from unnest($1::text[], $2::bytea[], $3::bigint[]) as u(id, data, ms) \
                         on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at"
            ),
            put_one: format!(
                "insert into {t} (id, data, expires_at) values ($1::text, $2::bytea, {}) \
                         on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at",
                at(3)
            ),
            find_one: format!(
                "select id::text, data from {t} where id = $1::text and (expires_at is null or expires_at > {})",
                at(2)
            ),
            find_encoded: format!(
                "select id::text, encode(data, 'base64') as data from {t} \
                         where id = $1::text and (expires_at is null or expires_at > {})",
                at(2)
            ),
            has_one: format!(
                "select id::text from {t} where id = $1::text and (expires_at is null or expires_at > {})",
                at(2)
            ),
            delete_one: format!(
                "delete from {t} where id = $1::text returning (expires_at is null or expires_at > {})::int as lived",
                at(2)
            ),
            touch_one: format!(
                "update {t} set expires_at = {} where id = $2::text \
                         and (expires_at is null or expires_at > {})",
                at(1),
                at(3)
            ),
            // Rows are locked in the order of their ids' bytes, as puts lock them: without it groups of
            // several stores deadlock.
            delete: format!(
                "delete from {t} where id = any(array(select id from {t} where id = any($1::text[]) \
                         order by id collate \"C\" for update)) \
                         returning id::text, (expires_at is null or expires_at > {})::int as lived",
                at(2)
            ),
            touch: format!(
                "update {t} as s set expires_at = {row_at} from (select l.id, v.ms from unnest($1::text[], $2::bigint[]) \
                         as v(id, ms) join {t} as l on l.id = v.id order by v.id collate \"C\" for update of l) as u \
                         where s.id = u.id and (s.expires_at is null or s.expires_at > {}) returning s.id::text",
                at(3)
            ),
            find: format!(
                "select id::text, data from {t} where id = any($1::text[]) and (expires_at is null or expires_at > {})",
                at(2)
            ),
            #[cfg(feature = "sqlite")]
            find_small: String::new(),
            has: format!(
                "select id::text from {t} where id = any($1::text[]) and (expires_at is null or expires_at > {})",
                at(2)
            ),
            // Rows that another purge or a put has locked are left for the next time.
            purge: format!(
                "delete from {t} where id = any(array(select id from {t} where expires_at <= {} \
                         order by expires_at limit $2::bigint for update skip locked))",
                at(1)
            ),
            usage: format!(
                "select count(*) as payloads, coalesce(sum(octet_length(data)), 0)::bigint as bytes, \
                         count(*) filter (where expires_at <= {}) as expired from {t}",
                at(1)
            ),
        }
    }

    #[cfg(feature = "sqlite")]
    fn sqlite(t: &str, time: TimeColumn) -> Self {
        let dialect = Dialect::Sqlite;
        Self {
            dialect,
            t: t.to_owned(),
            time,
            put: format!(
                "insert into {t} (id, data, expires_at) values ($1, $2, $3) \
                         on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at"
            ),
            #[cfg(feature = "postgres")]
            put_one: String::new(),
            #[cfg(feature = "postgres")]
            find_one: String::new(),
            #[cfg(feature = "postgres")]
            find_encoded: String::new(),
            #[cfg(feature = "postgres")]
            has_one: String::new(),
            #[cfg(feature = "postgres")]
            delete_one: String::new(),
            #[cfg(feature = "postgres")]
            touch_one: String::new(),
            delete: format!("delete from {t} where id = $1 returning expires_at"),
            // Other programs may have written the time in another form of ISO 8601: julianday reads them all.
            touch: format!(
                "update {t} set expires_at = $1 where id = $2 \
                         and (expires_at is null or julianday(expires_at) > julianday($3))"
            ),
            // The payload first: expires_at stands behind it, and reading that alone means to go through all pages
            // of the payload, which are known afterwards.
            find: format!("select data, expires_at from {t} where id = $1"),
            // length() reads a row's header only.
            find_small: format!("select data, expires_at from {t} where id = $1 and length(data) <= {SMALL_BYTES}"),
            has: format!("select expires_at from {t} where id = $1"),
            // The first comparison uses the index; '2026-01-01 …' sorts before '2026-01-01T…', so the second decides.
            purge: format!(
                "delete from {t} where id in (select id from {t} where expires_at <= $1 \
                         and julianday(expires_at) <= julianday($2) order by expires_at limit $3)"
            ),
            // length() reads a row's header only, and the expired are counted in the index:
            // expires_at stands behind the payload, so reading it here would read every payload.
            usage: format!(
                "select count(*) as payloads, coalesce(sum(length(data)), 0) as bytes, (select count(*) from {t} \
                         where expires_at <= $1 and julianday(expires_at) <= julianday($2)) as expired from {t}"
            ),
        }
    }

    /// Runs a group of writes, one result each; writes of one id take effect in order.
    pub(crate) async fn write<E: Executor>(&self, on: &mut E, group: &[Write], now: Millis) -> Vec<Result<Reply>> {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => self.write_waves(on, group, now).await,
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                let mut results = Vec::with_capacity(group.len());
                for operation in group {
                    results.push(self.write_row(on, operation, now).await);
                }
                results
            }
        }
    }

    /// Runs a group of reads, one result each.
    pub(crate) async fn read<E: Executor>(&self, on: &mut E, group: &[Read], now: Millis) -> Vec<Result<Reply>> {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => match self.read_set(on, group, now).await {
                Ok(replies) => replies.into_iter().map(Ok).collect(),
                // One row that cannot be read must fail alone.
                Err(error) if group.len() > 1 && !error.is_retryable() => {
                    let mut results = Vec::with_capacity(group.len());
                    for operation in group {
                        let result = self.read_set(on, std::slice::from_ref(operation), now).await;
                        results.push(result.map(|replies| replies.into_iter().next().unwrap_or(Reply::Done)));
                    }
                    results
                }
                Err(error) => group.iter().map(|_| Err(error.clone())).collect(),
            },
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => {
                let mut results = Vec::with_capacity(group.len());
                for operation in group {
                    results.push(self.read_row(on, operation, now).await);
                }
                results
            }
        }
    }

    /// Runs one step, in statements without arrays.
    pub(crate) async fn run<E: Executor>(&self, on: &mut E, step: &PayloadStep, now: Millis) -> Result<Reply> {
        match (self.dialect, step) {
            #[cfg(feature = "postgres")]
            (Dialect::Postgres, Work::Write(write)) => self.write_one(on, write, now).await,
            #[cfg(feature = "postgres")]
            (Dialect::Postgres, Work::Read(read)) => self.read_one(on, read, now).await,
            #[cfg(feature = "sqlite")]
            (Dialect::Sqlite, Work::Write(write)) => self.write_row(on, write, now).await,
            #[cfg(feature = "sqlite")]
            (Dialect::Sqlite, Work::Read(read)) => self.read_row(on, read, now).await,
        }
    }

    /// Removes at most `limit` payloads whose time was over at `now`.
    pub(crate) async fn purge_expired<E: Executor>(&self, on: &mut E, now: Millis, limit: u64) -> Result<u64> {
        let limit = Value::Int(i64::try_from(limit).unwrap_or(i64::MAX));
        let values = match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => vec![self.time(now), limit],
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => vec![self.time(now), self.time(now), limit],
        };
        Ok(on.run(&self.purge, &values).await?.affected)
    }

    /// Counts what is stored; reads the whole table.
    pub(crate) async fn usage<E: Executor>(&self, on: &mut E, now: Millis) -> Result<Usage> {
        let values = match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => vec![self.time(now)],
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => vec![self.time(now), self.time(now)],
        };
        let answer = on.run(&self.usage, &values).await?;
        let mut counts = answer
            .rows
            .into_iter()
            .flatten()
            .map(|cell| cell.into_int("count").map(|count| u64::try_from(count).unwrap_or_default()));
        let mut next = || counts.next().unwrap_or(Ok(0));
        Ok(Usage { payloads: next()?, bytes: next()?, expired: next()? })
    }

    fn time(&self, at: Millis) -> Value<'static> {
        self.dialect.time(at)
    }
}

/// One row a statement.
#[cfg(feature = "sqlite")]
impl PayloadSql {
    async fn write_row<E: Executor>(&self, on: &mut E, operation: &Write, now: Millis) -> Result<Reply> {
        match operation {
            Write::Put { id, data, expires_at } => {
                let expires_at = expires_at.map_or(Value::Null, |at| self.time(at));
                on.run(&self.put, &[Value::text(id), Value::Bytes(data), expires_at]).await?;
                Ok(Reply::Done)
            }
            Write::Delete { id } => {
                let answer = on.run(&self.delete, &[Value::text(id)]).await?;
                // A row that cannot be read is gone all the same: it existed.
                let lived = answer.rows.into_iter().flatten().next().map(|cell| lives(cell, now).unwrap_or(true));
                Ok(Reply::Flag(lived.unwrap_or(false)))
            }
            Write::Touch { id, expires_at } => {
                let values = [self.time(*expires_at), Value::text(id), self.time(now)];
                Ok(Reply::Flag(on.run(&self.touch, &values).await?.affected > 0))
            }
        }
    }

    async fn read_row<E: Executor>(&self, on: &mut E, operation: &Read, now: Millis) -> Result<Reply> {
        let (sql, id) = match operation {
            Read::Find { id } => (&self.find, id),
            Read::Has { id } => (&self.has, id),
        };
        let Some(row) = on.run(sql, &[Value::text(id)]).await?.rows.into_iter().next() else {
            return Ok(if matches!(operation, Read::Has { .. }) { Reply::Flag(false) } else { Reply::Data(None) });
        };
        let mut cells = row.into_iter().rev();
        let lives = lives(cells.next().unwrap_or(Cell::Null), now)?;
        Ok(match operation {
            Read::Has { .. } => Reply::Flag(lives),
            Read::Find { .. } if !lives => Reply::Data(None),
            Read::Find { .. } => Reply::Data(Some(cells.next().unwrap_or(Cell::Null).into_bytes("data")?)),
        })
    }
}

/// Whether a row with this `expires_at` (ISO 8601 in any form) exists at `now`.
#[cfg(feature = "sqlite")]
pub(crate) fn lives(expires_at: Cell, now: Millis) -> Result<bool> {
    match expires_at {
        Cell::Null => Ok(true),
        // Some libraries store a Date as Unix milliseconds.
        Cell::Int(at) => Ok(Millis(at) > now),
        other => {
            let text = other.into_text("expires_at")?;
            let at = Millis::from_iso(&text)
                .ok_or_else(|| Error::new(Kind::CorruptData, "column expires_at holds no ISO 8601 time"))?;
            Ok(at > now)
        }
    }
}

/// Groups as arrays.
#[cfg(feature = "postgres")]
impl PayloadSql {
    /// A statement can name an id only once: the group is run in waves of distinct ids.
    async fn write_waves<E: Executor>(&self, on: &mut E, group: &[Write], now: Millis) -> Vec<Result<Reply>> {
        let mut results: Vec<Result<Reply>> = vec![Ok(Reply::Done); group.len()];
        let mut left: Vec<usize> = (0..group.len()).collect();
        while !left.is_empty() {
            let mut ids = HashSet::with_capacity(left.len());
            let (mut wave, later): (Vec<usize>, Vec<usize>) =
                left.into_iter().partition(|&at| ids.insert(write_id(&group[at])));
            left = later;
            // The same order in every process: two groups that lock the same rows cannot deadlock.
            wave.sort_unstable_by_key(|&at| write_id(&group[at]));
            for part in by_kind(&wave, group) {
                let members: Vec<&Write> = part.iter().map(|&at| &group[at]).collect();
                match self.write_set(on, &members, now).await {
                    Ok(replies) => {
                        for (&at, reply) in part.iter().zip(replies) {
                            results[at] = Ok(reply);
                        }
                    }
                    // One bad row must fail alone.
                    Err(error) if part.len() > 1 && !error.is_retryable() => {
                        for &at in &part {
                            let result = self.write_set(on, &[&group[at]], now).await;
                            results[at] = result.map(|replies| replies.into_iter().next().unwrap_or(Reply::Done));
                        }
                    }
                    Err(error) => {
                        for &at in &part {
                            results[at] = Err(error.clone());
                        }
                    }
                }
            }
        }
        results
    }

    /// One statement for writes of one kind and distinct ids.
    async fn write_set<E: Executor>(&self, on: &mut E, group: &[&Write], now: Millis) -> Result<Vec<Reply>> {
        let ids: Vec<&str> = group.iter().map(|operation| write_id(operation)).collect();
        match group.first() {
            None => Ok(Vec::new()),
            Some(only) if group.len() == 1 => Ok(vec![self.write_one(on, only, now).await?]),
            Some(Write::Put { .. }) => {
                let (mut blobs, mut times) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
                for operation in group {
                    if let Write::Put { data, expires_at, .. } = operation {
                        blobs.push(&**data);
                        times.push(expires_at.map(|at| at.0));
                    }
                }
                on.run(&self.put, &[Value::Texts(ids), Value::Blobs(blobs), Value::Ints(times)]).await?;
                Ok(vec![Reply::Done; group.len()])
            }
            Some(Write::Delete { .. }) => {
                let answer = on.run(&self.delete, &[Value::Texts(ids.clone()), self.time(now)]).await?;
                let mut lived = HashSet::new();
                for row in answer.rows {
                    let [id, alive] = columns(row)?;
                    if alive.into_int("expires_at")? != 0 {
                        lived.insert(id.into_text("id")?);
                    }
                }
                Ok(ids.iter().map(|id| Reply::Flag(lived.contains(*id))).collect())
            }
            Some(Write::Touch { .. }) => {
                let mut times = Vec::with_capacity(group.len());
                for operation in group {
                    if let Write::Touch { expires_at, .. } = operation {
                        times.push(Some(expires_at.0));
                    }
                }
                let answer =
                    on.run(&self.touch, &[Value::Texts(ids.clone()), Value::Ints(times), self.time(now)]).await?;
                let touched = ids_of(answer.rows)?;
                Ok(ids.iter().map(|id| Reply::Flag(touched.contains(*id))).collect())
            }
        }
    }

    async fn write_one<E: Executor>(&self, on: &mut E, operation: &Write, now: Millis) -> Result<Reply> {
        match operation {
            Write::Put { id, data, expires_at } => {
                let expires_at = expires_at.map_or(Value::Null, |at| self.time(at));
                on.run(&self.put_one, &[Value::text(id), Value::Bytes(data), expires_at]).await?;
                Ok(Reply::Done)
            }
            Write::Delete { id } => {
                let answer = on.run(&self.delete_one, &[Value::text(id), self.time(now)]).await?;
                let lived = answer.rows.into_iter().flatten().next().map(|cell| cell.into_int("lived")).transpose()?;
                Ok(Reply::Flag(lived.is_some_and(|lived| lived != 0)))
            }
            Write::Touch { id, expires_at } => {
                let values = [self.time(*expires_at), Value::text(id), self.time(now)];
                Ok(Reply::Flag(on.run(&self.touch_one, &values).await?.affected > 0))
            }
        }
    }

    async fn read_one<E: Executor>(&self, on: &mut E, operation: &Read, now: Millis) -> Result<Reply> {
        match operation {
            Read::Find { id } => {
                let encoded = on.wants_base64();
                let sql = if encoded { &self.find_encoded } else { &self.find_one };
                let answer = on.run(sql, &[Value::text(id), self.time(now)]).await?;
                let Some(row) = answer.rows.into_iter().next() else { return Ok(Reply::Data(None)) };
                let [_, data] = columns(row)?;
                Ok(Reply::Data(Some(if encoded { data.into_encoded_bytes("data")? } else { data.into_bytes("data")? })))
            }
            Read::Has { id } => {
                let answer = on.run(&self.has_one, &[Value::text(id), self.time(now)]).await?;
                Ok(Reply::Flag(!answer.rows.is_empty()))
            }
        }
    }

    async fn read_set<E: Executor>(&self, on: &mut E, group: &[Read], now: Millis) -> Result<Vec<Reply>> {
        if let [only] = group {
            return Ok(vec![self.read_one(on, only, now).await?]);
        }
        let wanted = |finds: bool| {
            let mut seen = HashSet::new();
            group
                .iter()
                .filter_map(move |operation| match operation {
                    Read::Find { id } if finds => Some(&**id),
                    Read::Has { id } if !finds => Some(&**id),
                    _ => None,
                })
                .filter(|id| seen.insert(*id))
                .collect::<Vec<&str>>()
        };
        let (finds, asks) = (wanted(true), wanted(false));
        let mut found: HashMap<String, (Bytes, bool)> = HashMap::with_capacity(finds.len());
        if !finds.is_empty() {
            let answer = on.run(&self.find, &[Value::Texts(finds), self.time(now)]).await?;
            for row in answer.rows {
                let [id, data] = columns(row)?;
                found.insert(id.into_text("id")?, (data.into_bytes("data")?, false));
            }
        }
        let mut there = HashSet::new();
        if !asks.is_empty() {
            there = ids_of(on.run(&self.has, &[Value::Texts(asks), self.time(now)]).await?.rows)?;
        }
        Ok(group
            .iter()
            .map(|operation| match operation {
                // Answers never share bytes: who asked for the same id again gets a copy.
                Read::Find { id } => Reply::Data(found.get_mut(&**id).map(|(data, taken)| {
                    if std::mem::replace(taken, true) { Bytes::copy_from_slice(data) } else { data.clone() }
                })),
                Read::Has { id } => Reply::Flag(there.contains(&**id)),
            })
            .collect())
    }
}

#[cfg(feature = "postgres")]
fn write_id(operation: &Write) -> &str {
    crate::contract::operation::Operation::id(operation)
}

/// Splits a wave by kind of write, keeping the order within each.
#[cfg(feature = "postgres")]
fn by_kind(wave: &[usize], group: &[Write]) -> Vec<Vec<usize>> {
    let [mut puts, mut deletes, mut touches] = [const { Vec::new() }; 3];
    for &at in wave {
        match group[at] {
            Write::Put { .. } => puts.push(at),
            Write::Delete { .. } => deletes.push(at),
            Write::Touch { .. } => touches.push(at),
        }
    }
    [puts, deletes, touches].into_iter().filter(|part| !part.is_empty()).collect()
}

#[cfg(feature = "postgres")]
fn columns<const N: usize>(row: Vec<Cell>) -> Result<[Cell; N]> {
    row.try_into().map_err(|_| Error::new(Kind::CorruptData, "a row has an unexpected number of columns"))
}

#[cfg(feature = "postgres")]
fn ids_of(rows: Vec<Vec<Cell>>) -> Result<HashSet<String>> {
    rows.into_iter().flatten().map(|cell| cell.into_text("id")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Placeholders appear once each and in order, so that they can be rewritten to `?`.
    #[test]
    fn placeholders_are_once_each_and_in_order() {
        let dialects: &[Dialect] = &[
            #[cfg(feature = "postgres")]
            Dialect::Postgres,
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite,
        ];
        for dialect in dialects {
            for time in [TimeColumn::WithTimeZone, TimeColumn::WithoutTimeZone, TimeColumn::Text] {
                let sql = PayloadSql::new(*dialect, &Table::new(None, String::from("saga_store")), time);
                #[cfg(feature = "postgres")]
                let more =
                    [&sql.put_one, &sql.find_one, &sql.find_encoded, &sql.has_one, &sql.delete_one, &sql.touch_one];
                #[cfg(not(feature = "postgres"))]
                let more: [&String; 0] = [];
                for statement in [&sql.put, &sql.delete, &sql.touch, &sql.find, &sql.has, &sql.purge, &sql.usage]
                    .into_iter()
                    .chain(more)
                {
                    let numbers: Vec<usize> =
                        statement.split('$').skip(1).map(|rest| rest[..1].parse().unwrap()).collect();
                    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{statement}");
                }
            }
        }
    }
}
