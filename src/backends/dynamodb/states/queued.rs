//! Changes of saga state that wait for the end of a transaction.
//!
//! 1. When the operation is called, what it needs to know of the saga is read.
//! 2. Its changes are planned, each with a condition: what was read must still be true at the end.
//! 3. If a condition does not hold at the end, nothing of the transaction happens, and [`Refused`] says why.

use std::sync::Arc;

use super::item::{HEAD, Removal, correlation_of, saga_key};
use super::saga::States;
use crate::backends::dynamodb::changes::{Planned, Refused};
use crate::backends::dynamodb::channel::Channel;
use crate::backends::dynamodb::error;
use crate::contract::operation::Work;
use crate::contract::states::{StateWrite, correlation_taken, taken};
use crate::contract::step::Step;
use crate::error::Result;

/// Whether the plan of a change depends on what is stored.
pub(crate) fn looks_first(write: &StateWrite) -> bool {
    !matches!(write, StateWrite::Insert { .. })
}

impl<C: Channel> States<'_, C> {
    /// The changes to be made at the end. If a look at the saga shows that they cannot be made, that is an error now.
    pub(crate) async fn plan(&self, write: &StateWrite) -> Result<Vec<Planned>> {
        let planned = |change, refused| Planned { change, refused: Some(refused) };
        match write {
            StateWrite::Insert { saga, correlation_id } => {
                let reasons =
                    [taken(saga), correlation_taken(saga, correlation_id)].map(|error| error.with_id(&saga.id));
                let changes = self.insertion(saga, correlation_id)?.into_iter().zip(reasons);
                Ok(changes.map(|(change, error)| planned(change, Refused::Because(error))).collect())
            }
            StateWrite::Update { saga, expected } => {
                let found = self.expected(saga, *expected).await?;
                let changes = self.replacement(saga, *expected, &found)?.into_iter();
                let refused = Refused::LookAgain(Arc::new(Step::State(Work::Write(write.clone()))));
                Ok(changes.map(|change| planned(change, refused.clone())).collect())
            }
            StateWrite::Delete { name, id } => {
                let Some(found) = self.item(&saga_key(name, id), HEAD).await? else { return Ok(Vec::new()) };
                let correlation_id = correlation_of(&found)?;
                Ok(self.planned_removal(&Removal { name, id, correlation_id, before: None }))
            }
            StateWrite::DeleteByCorrelation { name, correlation_id } => {
                let Some(id) = self.led_to(name, correlation_id).await? else { return Ok(Vec::new()) };
                Ok(self.planned_removal(&Removal { name, id: &id, correlation_id, before: None }))
            }
            // A caller waits for their answers, so they are never queued.
            StateWrite::DeleteCompleted { .. } | StateWrite::ClaimTimedOut(_) => Err(error::unexpected()),
        }
    }

    fn planned_removal(&self, saga: &Removal<'_>) -> Vec<Planned> {
        let refused = || Some(Refused::Changed(saga.id.to_owned()));
        self.removal(saga, false).into_iter().map(|change| Planned { change, refused: refused() }).collect()
    }
}
