//! Changes of saga state that wait for the end of a transaction. What they need to know is read when
//! they are called; whether it still holds is decided at the end, by their conditions.

use super::item::{HEAD, saga_key};
use super::{Removal, States, correlation_of};
use crate::backends::dynamodb::changes::Change;
use crate::backends::dynamodb::channel::Transport;
use crate::backends::dynamodb::error;
use crate::contract::states::{Saga, StateWrite, changed_meanwhile, correlation_taken, taken};
use crate::error::{Error, Result};

/// A change, and what it means if its condition does not hold at the end.
pub(crate) struct Planned {
    pub(crate) change: Change,
    pub(crate) refused: Refused,
}

/// Why a condition does not hold.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    /// For one reason alone.
    Because(Error),
    /// The saga is to have this version.
    Version { saga: Box<Saga>, expected: i64 },
    /// Something has changed since it was read, of this saga.
    Changed(String),
}

impl<T: Transport> States<'_, T> {
    /// What there is to do at the end. What does not hold now is an error at once, where a look was
    /// needed.
    pub(crate) async fn plan(&self, write: &StateWrite) -> Result<Vec<Planned>> {
        match write {
            StateWrite::Insert { saga, correlation_id } => {
                let reasons =
                    [taken(saga), correlation_taken(saga, correlation_id)].map(|error| error.with_id(&saga.id));
                let changes = self.insertion(saga, correlation_id)?.into_iter().zip(reasons);
                Ok(changes.map(|(change, error)| Planned { change, refused: Refused::Because(error) }).collect())
            }
            StateWrite::Update { saga, expected } => {
                let found = self.expected(saga, *expected).await?;
                let changes = self.replacement(saga, *expected, &found)?.into_iter();
                let refused = Refused::Version { saga: saga.clone(), expected: *expected };
                Ok(changes.map(|change| Planned { change, refused: refused.clone() }).collect())
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
            StateWrite::DeleteCompleted { .. } | StateWrite::ClaimTimedOut(_) => Err(error::unexpected()),
        }
    }

    fn planned_removal(&self, saga: &Removal<'_>) -> Vec<Planned> {
        let refused = Refused::Changed(saga.id.to_owned());
        let planned = |change| Planned { change, refused: refused.clone() };
        self.removal(saga, false).into_iter().map(planned).collect()
    }

    /// The error of a transaction of which a condition did not hold.
    pub(crate) async fn refusal(&self, refused: &Refused) -> Error {
        match refused {
            Refused::Because(error) => error.clone(),
            Refused::Version { saga, expected } => match self.expected(saga, *expected).await {
                Ok(_) => changed_meanwhile(&saga.id),
                Err(error) => error.with_id(&saga.id),
            },
            Refused::Changed(id) => changed_meanwhile(id),
        }
    }
}
