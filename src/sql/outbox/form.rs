//! Rows of the outbox, as they are asked for and as they are read.

use bytes::Bytes;

use crate::contract::outbox::record::{Content, Event, EventStatus, Stored};
use crate::error::{Error, Kind, Result};
use crate::sql::{Cell, Dialect};
use crate::time::Millis;

/// Which table a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Kept {
    /// That of what is not sent.
    Unsent,
    /// That of what was sent.
    Sent,
}

/// How much of a row is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Shows {
    /// All of it.
    Event,
    /// What the rules ask for: no payload, and nothing else that only its owner reads.
    State,
}

/// The columns, in the order in which [`read`] takes them. `row` is the table's alias, with a full stop.
pub(in crate::sql) fn columns(dialect: Dialect, row: &str, of: Kept, shows: Shows, as_base64: bool) -> String {
    let null = |kind: &str| match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => format!("null::{kind}"),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => {
            let _ = kind;
            String::from("null")
        }
    };
    let whole =
        |name: &str| if shows == Shows::Event { format!("{row}{name}") } else { format!("{} as {name}", null("text")) };
    let unsent = |name: &str, kind: &str| {
        if of == Kept::Unsent { format!("{row}{name}") } else { format!("{} as {name}", null(kind)) }
    };
    let column = |name: &str| format!("{row}{name}");
    let body = match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres if shows == Shows::State => String::from("null::bytea as body"),
        #[cfg(feature = "postgres")]
        Dialect::Postgres if as_base64 => format!("encode({row}body, 'base64') as body"),
        _ => {
            let _ = as_base64;
            whole("body")
        }
    };
    [
        column("seq"),
        column("event_id"),
        column("operation"),
        column("event_type"),
        whole("saga_id"),
        whole("aggregate_type"),
        whole("aggregate_id"),
        whole("headers"),
        column("routing_key"),
        column("partition_key"),
        column("available_at"),
        column("occurred_at"),
        if of == Kept::Unsent { column("status") } else { String::from("'sent' as status") },
        column("created_at"),
        unsent("claimed_at", "bigint"),
        if of == Kept::Sent { column("sent_at") } else { format!("{} as sent_at", null("bigint")) },
        unsent("dead_at", "bigint"),
        column("retry_count"),
        column("deliveries"),
        column("last_error"),
        unsent("worker_id", "text"),
        unsent("token", "text"),
        unsent("lease_until", "bigint"),
        unsent("due_at", "bigint"),
        column("expires_at"),
        whole("payload"),
        body,
    ]
    .join(", ")
}

/// A condition that PostgreSQL takes for true of nearly every row. Without statistics it would take `dead_at is null` for
/// true of one row in two hundred, and read and sort the whole table rather than an index, in its order, as far as the
/// limit goes. A table of events is new at first, and turns over in minutes: statistics are missing, or wrong.
#[cfg(feature = "postgres")]
pub(super) fn unestimated(condition: &str) -> String {
    format!("nullif({condition}, false) is not null")
}

/// Goes on with a condition on a whole number: it is not null. PostgreSQL finds such rows in an index also without
/// statistics: it takes a range for a small one.
#[cfg(feature = "postgres")]
pub(super) const ANY: &str = "between '-9223372036854775808'::bigint and '9223372036854775807'::bigint";

/// Reads [`columns`].
pub(in crate::sql) fn read(row: Vec<Cell>) -> Result<Stored> {
    let mut cells = row.into_iter();
    let mut next = || cells.next().unwrap_or(Cell::Null);
    let seq = next().into_int("seq")?;
    let id: Box<str> = next().into_text("event_id")?.into();
    rest(seq, id.clone(), &mut next).map_err(|error| error.with_id(&id))
}

fn rest(seq: i64, id: Box<str>, next: &mut impl FnMut() -> Cell) -> Result<Stored> {
    let operation = next().into_text("operation")?.into();
    let event_type = next().into_text("event_type")?.into();
    let mut event = Event {
        id,
        event_type,
        payload: Content::Bytes(Bytes::new()),
        saga_id: text(next(), "saga_id")?,
        aggregate_type: text(next(), "aggregate_type")?,
        aggregate_id: text(next(), "aggregate_id")?,
        headers: text(next(), "headers")?,
        routing_key: text(next(), "routing_key")?,
        partition_key: text(next(), "partition_key")?,
        available_at: time(next(), "available_at")?,
        occurred_at: Millis(next().into_int("occurred_at")?),
    };
    let status = EventStatus::stored(&next().into_text("status")?)?;
    let created_at = Millis(next().into_int("created_at")?);
    let [claimed_at, sent_at, dead_at] =
        [time(next(), "claimed_at")?, time(next(), "sent_at")?, time(next(), "dead_at")?];
    let (retry_count, deliveries) = (next().into_int("retry_count")?, next().into_int("deliveries")?);
    let [last_error, worker, token] = [text(next(), "last_error")?, text(next(), "worker_id")?, text(next(), "token")?];
    let [lease_until, due_at, expires_at] =
        [time(next(), "lease_until")?, time(next(), "due_at")?, time(next(), "expires_at")?];
    let (json, body) = (text(next(), "payload")?, next());
    event.payload = match (json, body) {
        (Some(json), _) => Content::Json(json),
        (None, Cell::Null) => Content::Bytes(Bytes::new()),
        (None, Cell::Bytes(bytes)) => Content::Bytes(bytes),
        #[cfg(feature = "postgres")]
        (None, text @ Cell::Text(_)) => Content::Bytes(text.into_encoded_bytes("body")?),
        (None, _) => return Err(Error::new(Kind::CorruptData, "column body holds something else than bytes")),
    };
    Ok(Stored {
        event,
        seq,
        operation,
        status,
        created_at,
        claimed_at,
        sent_at,
        dead_at,
        retry_count,
        deliveries,
        last_error,
        worker,
        token,
        lease_until,
        due_at,
        expires_at,
    })
}

fn text(cell: Cell, column: &str) -> Result<Option<Box<str>>> {
    match cell {
        Cell::Null => Ok(None),
        cell => cell.into_text(column).map(|text| Some(text.into())),
    }
}

fn time(cell: Cell, column: &str) -> Result<Option<Millis>> {
    match cell {
        Cell::Null => Ok(None),
        cell => cell.into_int(column).map(|at| Some(Millis(at))),
    }
}
