//! The indexes of events.

use mongodb::bson::{Document, doc};

use crate::backends::mongodb::channel::{Carrier, Collection};
use crate::error::{Error, Result};

/// Makes them. Safe from many processes at once: a server makes an index once. Answers why the server refuses to, if it
/// does: other kinds of records can be kept all the same.
pub(crate) async fn make<C: Carrier>(on: &Collection<'_, C>) -> Result<Option<Error>> {
    on.make_index().await?;
    let exists = |field: &str| doc! { field: { "$exists": true } };
    let unsent_of_key: Document = exists("partitionKey").into_iter().chain(exists("dueAt")).collect();
    for (name, key, partial) in [
        ("queue", doc! { "status": 1, "dueAt": 1, "seq": 1 }, None),
        ("keys", doc! { "partitionKey": 1, "seq": 1 }, Some(unsent_of_key)),
        ("sagas", doc! { "sagaId": 1, "seq": 1 }, Some(exists("sagaId"))),
        ("order", doc! { "seq": 1, "_id": 1 }, None),
        ("sent", doc! { "sentAt": 1 }, Some(exists("sentAt"))),
    ] {
        let refused = on.make_other_index(name, key, partial).await?;
        if refused.is_some() {
            return Ok(refused);
        }
    }
    Ok(None)
}
