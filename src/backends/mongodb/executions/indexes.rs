//! The indexes of executions and of segments of their logs.

use mongodb::bson::{Document, doc};

use crate::backends::mongodb::channel::{Carrier, Collection};
use crate::backends::mongodb::initialize::NamedIndex;
use crate::error::{Error, Result};

/// Those of executions.
pub(crate) fn of_executions() -> Vec<NamedIndex> {
    let exists = |field: &str| -> Option<Document> { Some(doc! { field: { "$exists": true } }) };
    vec![
        NamedIndex { name: "due", key: doc! { "dueAt": 1 }, partial: exists("dueAt") },
        NamedIndex { name: "ended", key: doc! { "completedAt": 1 }, partial: exists("completedAt") },
        NamedIndex { name: "names", key: doc! { "name": 1, "createdAt": -1, "_id": -1 }, partial: None },
        NamedIndex { name: "statuses", key: doc! { "status": 1, "name": 1 }, partial: None },
        NamedIndex { name: "tags", key: doc! { "tags": 1 }, partial: exists("tags") },
        NamedIndex { name: "parked", key: doc! { "parkedAt": 1 }, partial: exists("parkedAt") },
    ]
}

/// Those of segments of their logs.
pub(crate) fn of_logs() -> Vec<NamedIndex> {
    vec![NamedIndex { name: "sagas", key: doc! { "sagaId": 1 }, partial: None }]
}

/// Makes them. Safe from many processes at once: a server makes an index once. Answers why the server refuses to, if it
/// does: other kinds of records can be kept all the same.
pub(crate) async fn make<C: Carrier>(executions: &Collection<'_, C>, log: &Collection<'_, C>) -> Result<Option<Error>> {
    for (on, indexes) in [(executions, of_executions()), (log, of_logs())] {
        on.make_index().await?;
        let refused = on.make_named(indexes).await?;
        if refused.is_some() {
            return Ok(refused);
        }
    }
    Ok(None)
}
