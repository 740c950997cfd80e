//! How many records there are: of executions and events the indexes know it; of the others a sample tells about how many
//! there are, or all keys, where there are few.

use super::Moving;
use super::scan::Scanned;
use super::walk::{self, Pattern};
use crate::backends::redis::channel::{SCAN_COUNT, Servers};
use crate::contract::moving::{Count, Moved};
use crate::error::Result;

/// SCANs on each server.
const LOOKED_AT: usize = 20;

impl<S: Servers> Moving<'_, S> {
    pub(super) async fn count(&self, kind: Moved) -> Result<Count> {
        match kind {
            Moved::Payloads => self.estimate(&self.payloads(true)).await,
            Moved::States => self.estimate(&self.sagas()).await,
            Moved::Executions => self.runs().count().await,
            Moved::Outbox => self.events().count().await,
            Moved::Inbox => self.estimate(&self.entries()).await,
        }
    }

    async fn estimate<T: Scanned>(&self, records: &T) -> Result<Count> {
        let count = SCAN_COUNT.parse().unwrap_or(1_000);
        let pattern = Pattern { keys: records.pattern(), of_type: T::TYPE, count };
        let is_record = |key: &str| records.is_record(key);
        let (records, is_exact) = walk::estimate(self.on, &pattern, LOOKED_AT, is_record).await?;
        Ok(Count { records, approximate: !is_exact })
    }
}
