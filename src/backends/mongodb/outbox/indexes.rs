//! The indexes of events.

use mongodb::bson::{Document, doc};

use crate::backends::mongodb::channel::{Carrier, Collection};
use crate::backends::mongodb::initialize::NamedIndex;
use crate::error::{Error, Result};

/// What they are.
pub(crate) fn of_events() -> Vec<NamedIndex> {
    let exists = |field: &str| doc! { field: { "$exists": true } };
    let unsent_of_key: Document = exists("partitionKey").into_iter().chain(exists("dueAt")).collect();
    vec![
        NamedIndex { name: "queue", key: doc! { "status": 1, "dueAt": 1, "seq": 1 }, partial: None },
        NamedIndex { name: "keys", key: doc! { "partitionKey": 1, "seq": 1 }, partial: Some(unsent_of_key) },
        NamedIndex { name: "sagas", key: doc! { "sagaId": 1, "seq": 1 }, partial: Some(exists("sagaId")) },
        NamedIndex { name: "order", key: doc! { "seq": 1, "_id": 1 }, partial: None },
        NamedIndex { name: "sent", key: doc! { "sentAt": 1 }, partial: Some(exists("sentAt")) },
    ]
}

/// Makes them. Safe from many processes at once: a server makes an index once. Answers why the server refuses to, if it
/// does: other kinds of records can be kept all the same.
pub(crate) async fn make<C: Carrier>(on: &Collection<'_, C>) -> Result<Option<Error>> {
    on.make_index().await?;
    on.make_named(of_events()).await
}
