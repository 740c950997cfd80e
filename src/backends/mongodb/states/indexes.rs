//! The indexes of sagas, and what the server must do for them.

use mongodb::bson::doc;

use crate::backends::mongodb::channel::{Carrier, Collection};
use crate::backends::mongodb::initialize::NamedIndex;
use crate::error::{Error, Result};

/// The correlation ids of a saga name are unique.
const CORRELATION: &str = "correlation";

/// What they are, beside the one that keeps correlation ids unique.
fn others() -> Vec<NamedIndex> {
    let index = |name, key| NamedIndex { name, key, partial: None };
    vec![
        index("listing", doc! { "sagaName": 1, "sagaId": 1 }),
        index("listing_completed", doc! { "sagaName": 1, "isCompleted": 1, "sagaId": 1 }),
        // (The one named `completed` is that of older versions: of `updatedAt`, which changes each time.)
        index("ended", doc! { "sagaName": 1, "isCompleted": 1, "completedAt": 1 }),
        index("timeouts", doc! { "timeoutAt": 1 }),
    ]
}

/// Their names.
pub(crate) fn names() -> Vec<&'static str> {
    std::iter::once(CORRELATION).chain(others().into_iter().map(|index| index.name)).collect()
}

/// Makes the indexes of sagas. Safe from many processes at once: a server makes an index once.
/// Answers why the server refuses to, if it does: payloads can be kept all the same.
pub(crate) async fn make<C: Carrier>(on: &Collection<'_, C>) -> Result<Option<Error>> {
    on.make_index().await?;
    let key = doc! { "sagaName": 1, "correlationId": 1 };
    let refused = on.create_index(&doc! { "key": key, "name": CORRELATION, "unique": true }).await?;
    if refused.is_some() { Ok(refused) } else { on.make_named(others()).await }
}
