//! What stands around the statements of one change.

#[cfg(feature = "sqlite")]
use super::Executor;
#[cfg(feature = "sqlite")]
use crate::error::Result;

/// What stands around the statements of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// On SQLite a savepoint of their own: nobody else's statements come between them. On PostgreSQL nothing: each is a
    /// transaction, and may run again.
    Savepoint,
    /// A transaction that is given up where one of them fails.
    Transaction,
}

#[cfg(feature = "sqlite")]
impl Around {
    /// Begins a change of several statements on SQLite.
    pub(crate) async fn enter<E: Executor>(self, on: &mut E) -> Result<()> {
        if self == Self::Savepoint {
            on.run("savepoint sagastore_change", &[]).await?;
        }
        Ok(())
    }

    /// Ends it: one that has failed has changed nothing.
    pub(crate) async fn leave<E: Executor, T>(self, on: &mut E, done: Result<T>) -> Result<T> {
        if self == Self::Transaction {
            return done;
        }
        if done.is_err() {
            // It is gone with the transaction, where that has ended.
            drop(on.run("rollback to sagastore_change", &[]).await);
        }
        let released = on.run("release sagastore_change", &[]).await;
        match (done, released) {
            (Ok(_), Err(error)) => Err(error),
            (done, _) => done,
        }
    }
}
