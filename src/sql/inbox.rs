//! The inbox in SQL, for both dialects: each operation is one statement.

use super::own_table::{self, OwnTable};
use super::query::Query;
use super::schema::name_of_index;
use super::{Cell, Dialect, Executor, Table};
use crate::contract::inbox::{Entry, InboxRead, InboxStep, InboxWrite};
use crate::contract::operation::Work;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// The inbox of a store. Times are Unix milliseconds, by the server's clock where there is one.
pub(crate) struct Inbox {
    pub(in crate::sql) dialect: Dialect,
    table: Table,
    /// Its quoted name.
    pub(in crate::sql) t: String,
}

impl Inbox {
    /// The inbox in this table.
    pub(crate) fn new(dialect: Dialect, table: Table) -> Self {
        Self { dialect, t: table.quoted(), table }
    }

    /// The quoted name of its table.
    pub(crate) fn quoted(&self) -> &str {
        &self.t
    }

    fn own(&self) -> OwnTable {
        let (t, dialect) = (&self.t, self.dialect);
        let create = match dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => format!(
                "create table if not exists {t} (consumer text collate \"C\" not null, message_id text collate \"C\" not null, \
                 expires_at bigint not null, operation text not null, primary key (consumer, message_id))"
            ),
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => format!(
                "create table if not exists {t} (consumer text not null, message_id text not null, \
                 expires_at integer not null, operation text not null, primary key (consumer, message_id)) without rowid"
            ),
        };
        let index =
            format!("create index if not exists \"{}\" on {t} (expires_at)", name_of_index(&self.table, "expiry_idx"));
        OwnTable {
            table: self.table.clone(),
            what: "an inbox",
            columns: vec!["consumer", "message_id", "expires_at", "operation"],
            statements: vec![create, index],
        }
    }

    /// The statements that make its table.
    pub(crate) fn statements(&self) -> Vec<String> {
        self.own().statements
    }

    /// Creates the table where it is missing; checks one that is there.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn make<E: Executor>(&self, on: &mut E) -> Result<()> {
        own_table::make(on, &[self.own()]).await
    }

    /// Whether the table is there; an error if it is another one.
    pub(crate) async fn is_ready<E: Executor>(&self, on: &mut E) -> Result<bool> {
        own_table::are_there(on, self.dialect, &[self.own()]).await
    }

    /// Creates the table where it is missing; what this role may not do is a warning.
    #[cfg(feature = "postgres")]
    pub(crate) async fn make_if_allowed<E: Executor>(&self, on: &mut E) -> Result<Vec<String>> {
        own_table::make_if_allowed(on, &[self.own()]).await
    }

    /// Runs one operation.
    pub(crate) async fn run<E: Executor>(&self, on: &mut E, step: &InboxStep, now: Millis) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(on, write, now).await,
            Work::Read(read) => self.read(on, read, now).await,
        }
    }

    /// Runs a change.
    pub(crate) async fn write<E: Executor>(&self, on: &mut E, write: &InboxWrite, now: Millis) -> Result<Reply> {
        match write {
            InboxWrite::Accept { entry, ttl_ms, operation } => {
                self.accept(on, entry, *ttl_ms, operation, now).await.map(Reply::Flag)
            }
            InboxWrite::Forget { entry } => {
                let mut query = Query::new(self.dialect, format!("delete from {} where ", self.t));
                Self::entry(&mut query, entry);
                query.push(" returning case when expires_at > ");
                query.clock(now);
                query.push(" then 1 else 0 end as lived");
                let lived = query.run(on).await?.rows.into_iter().flatten().next().unwrap_or(Cell::Int(0));
                Ok(Reply::Flag(lived.into_int("lived")? != 0))
            }
            InboxWrite::Cleanup { limit } => self.remove_expired(on, now, *limit).await.map(Reply::Count),
        }
    }

    /// Stores an entry unless it is there. One whose time is over, and one of the same operation, is written over.
    async fn accept<E: Executor>(
        &self,
        on: &mut E,
        entry: &Entry,
        ttl_ms: u64,
        operation: &str,
        now: Millis,
    ) -> Result<bool> {
        let mut query = Query::new(
            self.dialect,
            format!("insert into {} as x (consumer, message_id, expires_at, operation) values (", self.t),
        );
        query.text(&entry.consumer);
        query.push(", ");
        query.text(&entry.message);
        query.push(", ");
        query.clock(now);
        query.push(" + ");
        query.int(i64::try_from(ttl_ms).unwrap_or(i64::MAX));
        query.push(", ");
        query.bind(super::Value::Text(operation.to_owned().into()), query.text_cast());
        query.push(
            ") on conflict (consumer, message_id) do update set expires_at = excluded.expires_at, \
             operation = excluded.operation where x.operation = excluded.operation or x.expires_at <= ",
        );
        query.clock(now);
        query.push(" returning 1 as stored");
        Ok(!query.run(on).await?.rows.is_empty())
    }

    /// Answers a question.
    pub(crate) async fn read<E: Executor>(&self, on: &mut E, read: &InboxRead, now: Millis) -> Result<Reply> {
        let InboxRead::Has { entry } = read;
        let mut query = Query::new(self.dialect, format!("select 1 as found from {} where ", self.t));
        Self::entry(&mut query, entry);
        query.push(" and expires_at > ");
        query.clock(now);
        Ok(Reply::Flag(!query.run(on).await?.rows.is_empty()))
    }

    fn entry<'a>(query: &mut Query<'a>, entry: &'a Entry) {
        query.push("consumer = ");
        query.text(&entry.consumer);
        query.push(" and message_id = ");
        query.text(&entry.message);
    }

    async fn remove_expired<E: Executor>(&self, on: &mut E, now: Millis, limit: u64) -> Result<u64> {
        let (t, limit) = (&self.t, i64::try_from(limit).unwrap_or(i64::MAX));
        let mut query = Query::new(
            self.dialect,
            format!(
                "delete from {t} where (consumer, message_id) in (select consumer, message_id from {t} where expires_at <= "
            ),
        );
        query.clock(now);
        query.push(" order by expires_at limit ");
        query.int(limit);
        query.push(match self.dialect {
            // Accepted anew meanwhile: whoever does that has locked it.
            #[cfg(feature = "postgres")]
            Dialect::Postgres => " for update skip locked)",
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => ")",
        });
        Ok(query.run(on).await?.affected)
    }

    /// Removes at most `limit` entries whose time is over. The table may be missing, where `initialize` has not made it
    /// yet.
    pub(crate) async fn purge_expired<E: Executor>(&self, on: &mut E, now: Millis, limit: u64) -> Result<u64> {
        match self.remove_expired(on, now, limit).await {
            Err(_) if own_table::is_missing(on, self.dialect, &self.table).await => Ok(0),
            done => done,
        }
    }
}
