//! A lease that is given out, and words that nobody else has.

use super::arguments::Fields;
use crate::error::{Error, Kind, Result};

/// A lease that is given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLease {
    /// Random.
    pub token: Box<str>,
    /// The worker.
    pub worker: Box<str>,
    /// Milliseconds.
    pub lease_ms: u64,
}

impl NewLease {
    /// Takes `workerId` and `leaseMs`; makes the token.
    pub fn read(fields: &mut Fields) -> Result<Self> {
        Ok(Self { token: token()?, worker: fields.worker()?, lease_ms: fields.lease()? })
    }
}

/// A word that nobody else has.
pub fn random() -> Box<str> {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)).into()
}

/// A token that nobody can guess, nor make twice.
fn token() -> Result<Box<str>> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(Kind::Backend, format!("the system has no random numbers: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)).into())
}
