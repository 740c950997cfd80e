//! Entries of the inbox.

use super::states::{listed, of_pairs_behind};
use super::upsert::{self, Column, Upsert, key_of, of_another_kind};
use super::{Found, Listed, keys};
use crate::contract::moving::record::{Key, Message, Record};
use crate::contract::moving::{Conflict, Fate};
use crate::error::Result;
use crate::sql::inbox::Inbox;
use crate::sql::query::Query;
use crate::sql::{Executor, cells};
use crate::time::Millis;

/// The entries that come next.
pub(super) async fn list<E: Executor>(
    inbox: &Inbox,
    on: &mut E,
    after: Option<&[String]>,
    most: i64,
) -> Result<Vec<Listed>> {
    let columns = "x.consumer as name, x.message_id as id, 0 as bytes";
    let mut query = Query::new(inbox.dialect, format!("select {columns} from {} as x", inbox.t));
    of_pairs_behind(&mut query, ["consumer", "message_id"], after, most)?;
    listed(query, on).await
}

/// Entries by their consumers and messages.
pub(super) async fn look_up<E: Executor>(inbox: &Inbox, on: &mut E, keys: &[Key]) -> Result<Found> {
    let columns = "x.consumer as name, x.message_id as id, x.operation as operation, x.expires_at as expires_at";
    let mut query = Query::new(inbox.dialect, String::new());
    keys::of_pairs(&mut query, &inbox.t, columns, ["consumer", "message_id"], keys);
    let mut found = Found::with_capacity(keys.len());
    for row in query.run(on).await?.rows {
        let [consumer, id, operation, expires_at] = cells(row);
        let key = key_of(consumer, id)?;
        let read = || -> Result<Record> {
            Ok(Record::Message(Message {
                consumer: key.name.clone(),
                id: key.id.clone(),
                operation: operation.into_text("operation")?.into(),
                expires_at: Millis(expires_at.into_int("expires_at")?),
            }))
        };
        let record = read().map_err(|error| error.with_id(&key.id));
        found.insert(key, record);
    }
    Ok(found)
}

/// Stores entries in one statement.
pub(super) async fn store<E: Executor>(
    inbox: &Inbox,
    on: &mut E,
    records: &[Record],
    conflict: Conflict,
    now: Millis,
) -> Result<Vec<Fate>> {
    let mut given = Vec::with_capacity(records.len());
    for record in records {
        match record {
            Record::Message(message) => given.push(message),
            _ => return Err(of_another_kind()),
        }
    }
    let rows = Upsert {
        dialect: inbox.dialect,
        t: &inbox.t,
        key: (Some("consumer"), "message_id"),
        columns: vec![
            Column::texts("consumer", "", given.iter().map(|message| &*message.consumer)),
            Column::texts("message_id", "", given.iter().map(|message| &*message.id)),
            Column::ints("expires_at", given.iter().map(|message| message.expires_at.0)),
            Column::texts("operation", "", given.iter().map(|message| &*message.operation)),
        ],
        forgets: &[],
    };
    let is_over = |query: &mut Query<'_>| {
        query.push("x.expires_at <= ");
        query.clock(now);
    };
    let is_newer = "excluded.expires_at > x.expires_at";
    let stored = rows.run(on, records.len(), |query| upsert::replaces(query, conflict, is_over, is_newer)).await?;
    Ok(upsert::fates(records, &stored, conflict))
}
