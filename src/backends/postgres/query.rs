//! The application's own statements in a transaction of the store's.

use crate::error::{Error, Kind, Result};
use crate::store::dynamic::Dynamic;

use super::executor::Session;

impl Session {
    /// Runs a statement; answers rows as objects.
    pub(super) async fn query(&mut self, _sql: &str, _values: &[Dynamic]) -> Result<Dynamic> {
        Err(Error::new(Kind::Unsupported, "to be written"))
    }
}
