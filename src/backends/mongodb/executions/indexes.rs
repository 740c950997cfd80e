//! The indexes of executions and of segments of their logs.

use mongodb::bson::doc;

use crate::backends::mongodb::channel::{Carrier, Collection};
use crate::error::{Error, Result};

/// Makes them. Safe from many processes at once: a server makes an index once. Answers why the server refuses to, if it
/// does: other kinds of records can be kept all the same.
pub(crate) async fn make<C: Carrier>(executions: &Collection<'_, C>, log: &Collection<'_, C>) -> Result<Option<Error>> {
    executions.make_index().await?;
    log.make_index().await?;
    let exists = |field: &str| doc! { field: { "$exists": true } };
    for (on, name, key, partial) in [
        (executions, "due", doc! { "dueAt": 1 }, Some(exists("dueAt"))),
        (executions, "ended", doc! { "completedAt": 1 }, Some(exists("completedAt"))),
        (executions, "names", doc! { "name": 1, "createdAt": -1, "_id": -1 }, None),
        (executions, "statuses", doc! { "status": 1, "name": 1 }, None),
        (executions, "tags", doc! { "tags": 1 }, Some(exists("tags"))),
        (executions, "parked", doc! { "parkedAt": 1 }, Some(exists("parkedAt"))),
        (log, "sagas", doc! { "sagaId": 1 }, None),
    ] {
        let refused = on.make_other_index(name, key, partial).await?;
        if refused.is_some() {
            return Ok(refused);
        }
    }
    Ok(None)
}
