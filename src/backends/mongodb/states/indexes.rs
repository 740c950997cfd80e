//! The indexes of sagas, and what the server must do for them.

use mongodb::bson::{Document, doc};

use crate::backends::mongodb::channel::{Carrier, Collection, Failure};
use crate::error::{Error, Result};

/// Makes the indexes of sagas. Safe from many processes at once: a server makes an index once.
/// Answers why the server refuses to, if it does: payloads can be kept all the same.
pub(crate) async fn make<C: Carrier>(on: &Collection<'_, C>) -> Result<Option<Error>> {
    on.make_index().await?;
    let index = |name: &str, key: Document| doc! { "key": key, "name": name };
    let mut unique = index("correlation", doc! { "sagaName": 1, "correlationId": 1 });
    unique.insert("unique", true);
    for index in [
        unique,
        index("listing", doc! { "sagaName": 1, "sagaId": 1 }),
        index("listing_completed", doc! { "sagaName": 1, "isCompleted": 1, "sagaId": 1 }),
        // (The one named `completed` is that of older versions: of `updatedAt`, which changes each time.)
        index("ended", doc! { "sagaName": 1, "isCompleted": 1, "completedAt": 1 }),
        index("timeouts", doc! { "timeoutAt": 1 }),
    ] {
        let mut command = doc! { "createIndexes": on.terms.collection, "indexes": [index] };
        if on.terms.write_concern.is_some() {
            command.insert("writeConcern", doc! { "w": "majority" });
        }
        match on.on.run(command).await {
            Err(failure) if failure.code().is_some() => {
                let error = failure.into_error();
                return if error.is_retryable() { Err(error) } else { Ok(Some(error)) };
            }
            made => drop(made.map_err(Failure::into_error)?),
        }
    }
    Ok(None)
}
