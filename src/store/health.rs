//! What a store tells of itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Store;
use super::meters::Latency;
use crate::contract::driver::Driver;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::{ExecutionRead, Filter};
use crate::contract::operation::{Access, Operation, Work};
use crate::contract::operations::Call;
use crate::contract::outbox::OutboxRead;
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::settings::Settings;
use crate::contract::step::{Reply, Step};
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

/// Blocked keys that `health()` counts; more than that are so many.
const COUNTED_KEYS: u64 = 1_000;

/// What `health()` asks of the records: parked executions, and keys of the outbox that are held up.
pub(super) fn worries(settings: &Settings) -> [Step; 2] {
    let parked = ExecutionRead::Count { filter: Filter { parked: Some(true), ..Filter::default() } };
    let blocked = OutboxRead::BlockedKeys { limit: COUNTED_KEYS, terms: settings.outbox };
    [Step::Execution(Work::Read(parked)), Step::Outbox(Work::Read(blocked))]
}

/// What a probe tells, with the answers to [`worries`]. A store whose records cannot be counted tells nothing of them:
/// perhaps it has never kept any.
pub(super) fn with_worries(mut probe: Probe, [parked, blocked]: &[Result<Reply>; 2]) -> Probe {
    let parked = if let Ok(Reply::Count(count)) = parked { Some(*count) } else { None };
    let blocked = if let Ok(Reply::Value(Dynamic::List(keys))) = blocked { Some(keys.len() as u64) } else { None };
    let told = [
        (parked, "executionsParked", "executions are parked: see executions.parked() and executions.redrive()"),
        (
            blocked,
            "outboxBlockedKeys",
            "keys wait behind dead letters: see outbox.blockedKeys(), requeue() and discard()",
        ),
    ];
    for (count, detail, message) in told {
        let Some(count) = count else { continue };
        probe.details.push((detail, Detail::count(count)));
        if count > 0 {
            probe.complain([format!("{count} {message}")]);
        }
    }
    probe
}

/// What `statistics()` asks of the records.
pub(super) fn figures(settings: &Settings) -> [Step; 2] {
    let outbox = OutboxRead::Statistics { terms: settings.outbox };
    [Step::Execution(Work::Read(ExecutionRead::Statistics)), Step::Outbox(Work::Read(outbox))]
}

/// The counts that an answer to [`figures`] has, where there are any.
pub(super) fn counts_of(counted: Result<Reply>) -> Option<Dynamic> {
    if let Ok(Reply::Value(counts)) = counted { Some(counts) } else { None }
}

/// What `statistics()` answers.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// What is stored; none where nobody has counted.
    pub usage: Option<Usage>,
    /// Counts of executions; none where they cannot be counted.
    pub executions: Option<Dynamic>,
    /// Counts of the outbox; none where they cannot be counted.
    pub outbox: Option<Dynamic>,
    /// The connections, where there are any.
    pub pool: Option<Pool>,
    /// Operations that wait to be sent.
    pub waiting: u64,
    /// Latencies by operation.
    pub operations: Vec<(&'static str, Latency)>,
}

async fn probe(driver: &Arc<dyn Driver>, settings: &Settings) -> Result<Probe> {
    let probe = driver.probe().await?;
    let [parked, blocked] = worries(settings);
    Ok(with_worries(probe, &[ask(driver, parked).await, ask(driver, blocked).await]))
}

/// Asks a driver one question, beside the lanes.
async fn ask(driver: &Arc<dyn Driver>, step: Step) -> Result<Reply> {
    let unanswered = || Error::new(Kind::Backend, "a question was left unanswered");
    let runtime = driver.runtime_of(Access::Read)?;
    let driver = Arc::clone(driver);
    let asked = runtime.spawn(async move {
        match step {
            Step::Execution(Work::Read(read)) => driver.run(ExecutionRead::group(&[read])).await,
            Step::Outbox(Work::Read(read)) => driver.run(OutboxRead::group(&[read])).await,
            _ => Vec::new(),
        }
    });
    let answers = asked.await.map_err(|_| Error::new(Kind::Backend, "a question was dropped"))?;
    answers.into_iter().next().unwrap_or_else(|| Err(unanswered()))
}

impl Store {
    /// Whether the store can be used; never an error, at most five seconds.
    pub async fn health(&self) -> Health {
        let started = Instant::now();
        let limit = HEALTH_TIMEOUT.min(self.settings.operation_timeout);
        let probed = match self.check_open().and_then(|()| self.own()) {
            Ok(own) => match tokio::time::timeout(limit, probe(&own.driver, &self.settings)).await {
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
        let [executions, outbox] = figures(&self.settings);
        let executions = counts_of(ask(&own.driver, executions).await);
        let outbox = counts_of(ask(&own.driver, outbox).await);
        Ok(Statistics {
            usage: Some(usage),
            executions,
            outbox,
            pool: own.driver.pool(),
            waiting: own.waiting() as u64,
            operations: self.latencies(),
        })
    }

    /// What is known without asking anybody: connections, and what has been done.
    pub fn figures(&self) -> Result<Statistics> {
        self.check_open().map_err(|error| error.at(self.backend.name(), "statistics"))?;
        // A store on a client of the application has none.
        let own = self.own().ok();
        Ok(Statistics {
            usage: None,
            executions: None,
            outbox: None,
            pool: own.as_ref().and_then(|own| own.driver.pool()),
            waiting: own.map_or(0, |own| own.waiting() as u64),
            operations: self.latencies(),
        })
    }

    pub(super) fn latencies(&self) -> Vec<(&'static str, Latency)> {
        Call::ALL.iter().zip(&self.meters).filter_map(|(call, meter)| Some((call.name(), meter.latency()?))).collect()
    }
}
