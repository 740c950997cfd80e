//! The store's own transaction, on its own connections.

use std::sync::Arc;

use super::queue::Queue;
use super::session::{Patience, Session};
use super::shared::SharedClient;
use crate::contract::step::{Reply, Step};
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::runtime::Task;

/// Changes, and the connections on which they are sent.
pub(super) struct OwnTransaction {
    shared: Arc<SharedClient>,
    patience: Patience,
    queue: Queue,
}

impl OwnTransaction {
    pub(super) fn new(shared: Arc<SharedClient>, patience: Patience, queue: Queue) -> Self {
        Self { shared, patience, queue }
    }
}

impl Transaction for OwnTransaction {
    fn check(&self, steps: &[Step]) -> Result<()> {
        self.queue.check(steps)
    }

    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            let tables = Arc::clone(self.queue.tables());
            let session = Session::open(&self.shared, &tables, self.patience);
            Box::pin(self.queue.add(session, step)).await
        })
    }

    fn commit(self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(async move {
            let session = Session::open(&self.shared, self.queue.tables(), self.patience);
            Box::pin(self.queue.send(session)).await
        })
    }

    fn roll_back(self: Box<Self>) -> Task<'static, ()> {
        // Nothing has been sent.
        Box::pin(async move { drop(self) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backends::dynamodb::config::{KnownNames, Place, Tables};
    use crate::contract::settings::Retry;

    #[tokio::test]
    async fn nothing_is_sent_for_nothing() {
        // There is no server.
        let place = Place { region: None, endpoint: None, keys: None };
        let shared = Arc::new(SharedClient::new(place, Duration::from_secs(1)));
        let retry = Retry { attempts: 3, base: Duration::ZERO, max: Duration::ZERO };
        let patience = Patience { retry, limit: Duration::from_secs(1) };
        let tables = Tables {
            payloads: String::from("orders"),
            states: String::from("sagas"),
            executions: String::from("runs"),
            outbox: "outbox".into(),
            inbox: "inbox".into(),
            known: KnownNames::default(),
        };
        let queue = Queue::new(Arc::new(tables), Arc::default());
        assert!(Box::new(OwnTransaction::new(shared, patience, queue)).commit().await.is_ok());
    }
}
