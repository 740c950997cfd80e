//! What a store tells of itself.

use std::time::{Duration, Instant};

use super::Store;
use super::meters::Latency;
use crate::contract::operations::Call;
use crate::contract::report::{Pool, Probe, Usage};
use crate::error::{Detail, Error, Kind, Result};
use crate::time::Millis;

/// The health probe gives up after this.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// What `health()` answers.
#[derive(Clone, Debug)]
pub struct Health {
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: &'static str,
    /// How long the probe took.
    pub latency: Duration,
    /// The server's version.
    pub server_version: Option<String>,
    /// Why it is not healthy.
    pub message: Option<String>,
    /// Facts beside it.
    pub details: Vec<(&'static str, Detail)>,
}

impl Health {
    pub(super) fn of(probed: Result<Probe>, latency: Duration) -> Self {
        match probed {
            Ok(probe) => Self {
                status: if probe.degraded.is_some() { "degraded" } else { "healthy" },
                latency,
                server_version: probe.server_version,
                message: probe.degraded,
                details: probe.details,
            },
            Err(error) => {
                let mut message = error.message().to_owned();
                for cause in error.causes() {
                    message = format!("{message}: {cause}");
                }
                let details = vec![("code", Detail::Text(error.kind().code().to_owned()))];
                Self { status: "unhealthy", latency, server_version: None, message: Some(message), details }
            }
        }
    }
}

/// What `statistics()` answers.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// What is stored.
    pub usage: Usage,
    /// The connections, where there are any.
    pub pool: Option<Pool>,
    /// Operations that wait to be sent.
    pub waiting: u64,
    /// Latencies by operation.
    pub operations: Vec<(&'static str, Latency)>,
}

impl Store {
    /// Whether the store can be used; never an error, at most five seconds.
    pub async fn health(&self) -> Health {
        let started = Instant::now();
        let limit = HEALTH_TIMEOUT.min(self.settings.operation_timeout);
        let probed = match self.check_open().and_then(|()| self.own()) {
            Ok(own) => match tokio::time::timeout(limit, own.driver.probe()).await {
                Ok(probed) => probed,
                Err(_) => Err(Error::new(Kind::Timeout, format!("no answer within {} ms", limit.as_millis()))),
            },
            Err(error) => Err(error),
        };
        Health::of(probed, started.elapsed())
    }

    /// Counts of what is stored and of what has been done.
    pub async fn statistics(&self) -> Result<Statistics> {
        let own = self.own().map_err(|error| error.at(self.backend.name(), "statistics"))?;
        let usage = self.supervised("statistics", own.driver.usage(Millis::now())).await?;
        Ok(Statistics { usage, pool: own.driver.pool(), waiting: own.waiting() as u64, operations: self.latencies() })
    }

    pub(super) fn latencies(&self) -> Vec<(&'static str, Latency)> {
        Call::ALL.iter().zip(&self.meters).filter_map(|(call, meter)| Some((call.name(), meter.latency()?))).collect()
    }
}
