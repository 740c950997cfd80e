//! What a backend offers within a transaction of the store's.

use super::dynamic::Dynamic;
use super::step::{Reply, Step};
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;

/// An open transaction of a backend. Dropped, it is rolled back.
pub trait Transaction: Send {
    /// What speaks against the steps of one call before the first of them runs (`putMany`: all are
    /// collected, or none).
    fn check(&self, _steps: &[Step]) -> Result<()> {
        Ok(())
    }

    /// Runs one step. What it changes is seen by its own reads, and by nobody else before the commit.
    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>>;

    /// Runs a statement of the application's; answers rows as objects.
    fn query<'a>(&'a mut self, _sql: &'a str, _values: &'a [Dynamic]) -> Task<'a, Result<Dynamic>> {
        Box::pin(async { Err(Error::new(Kind::Unsupported, "query is for SQL: PostgreSQL and SQLite")) })
    }

    /// Makes everything last, or nothing: an error means that nothing has happened, but for
    /// `CONNECTION` and `TIMEOUT`, where it is not known.
    fn commit(self: Box<Self>) -> Task<'static, Result<()>>;

    /// Undoes everything.
    fn roll_back(self: Box<Self>) -> Task<'static, ()>;
}
