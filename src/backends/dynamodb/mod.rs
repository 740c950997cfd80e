//! Being written.

use std::sync::Arc;

use crate::error::Result;
use crate::options::{OptionReader, Settings};
use crate::store::Driver;

/// Opens.
pub fn open(_url: &str, _settings: &Settings, _options: OptionReader) -> Result<Arc<dyn Driver>> {
    unreachable!()
}
