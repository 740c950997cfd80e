//! The tables and their TTL: creates what is missing, checks what is there; and how they are.

use std::time::{Duration, Instant};

use super::channel::{Channel, all, exists};
use super::error::{Cause, Failure};
use super::expression::EXPIRES_AT;
use super::rights::Rights;
use super::tables::{Contents, Create, Describe, DescribeTtl, Description, EnableTtl, TtlSetting};
use crate::contract::operation::RecordKind;
use crate::contract::report::Probe;
use crate::error::{Detail, Error, Kind, Result};

/// Pauses while a table is being made; the first one, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What TTL is set to.
#[derive(Debug, PartialEq, Eq)]
enum Ttl {
    Ours,
    Off,
    TurningOff,
    On(String),
    /// The credentials may not look.
    Unknown,
}

/// The tables, and what they are for: that of payloads first.
fn tables<C: Channel>(on: &C) -> [(C, Contents); 5] {
    [
        (on.to(RecordKind::Payloads), Contents::Payloads),
        (on.to(RecordKind::States), Contents::Sagas),
        (on.to(RecordKind::Executions), Contents::Executions),
        (on.to(RecordKind::Outbox), Contents::Events),
        (on.to(RecordKind::Inbox), Contents::Messages),
    ]
}

/// Makes all tables usable, within `limit` if there is one; answers warnings. Who may not make another
/// table than that of payloads can keep payloads all the same.
pub(super) async fn initialize<C: Channel>(on: &C, limit: Option<Duration>, rights: &Rights) -> Result<Vec<String>> {
    let tables = tables(on);
    let made = tables.iter().map(|(on, contents)| initialize_table(on, *contents, limit));
    let mut warnings = Vec::new();
    for made in all::<C, _>(made.collect()).await {
        warnings.extend(made?);
    }
    warnings.extend(rights.ask(&tables).await?);
    Ok(warnings)
}

async fn initialize_table(on: &impl Channel, contents: Contents, limit: Option<Duration>) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut waiting = Waiting { until: limit.map(|limit| Instant::now() + limit), pause: PAUSES.0 };
    loop {
        match on.send(Describe).await {
            Ok(table) => {
                check_key(&table, on.table(), contents)?;
                if !matches!(table.status.as_deref(), Some("CREATING" | "DELETING")) {
                    warnings.extend(lacks_indexes(&table, on.table(), contents));
                    break;
                }
            }
            Err(failure) if failure.cause == Cause::NoTable => match create(on, contents).await? {
                None => {}
                refused => return Ok(refused.into_iter().collect()),
            },
            Err(failure) if failure.cause == Cause::Denied => {
                if exists(on, contents).await? {
                    warnings.push(lacks("DescribeTable", on.table(), "its key and status are not checked"));
                    break;
                }
                if let Some(refused) = create(on, contents).await? {
                    return Ok(vec![refused]);
                }
            }
            Err(failure) if failure.error.is_throttled() => {}
            Err(failure) => return Err(failure.error),
        }
        waiting.wait(on).await?;
    }
    warnings.extend(ensure_ttl(on, contents, &mut waiting).await?);
    Ok(warnings)
}

/// Waits in growing pauses, for so long.
struct Waiting {
    until: Option<Instant>,
    pause: Duration,
}

impl Waiting {
    async fn wait(&mut self, on: &impl Channel) -> Result<()> {
        if self.until.is_some_and(|until| Instant::now() + self.pause >= until) {
            let text = format!("table {} is still being created: call initialize() again", on.table());
            return Err(Error::new(Kind::Timeout, text));
        }
        // Several processes do this at once: apart from each other.
        on.pause(self.pause.mul_f64(0.5 + fastrand::f64())).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

fn lacks(action: &str, table: &str, consequence: &str) -> String {
    format!("the credentials lack the permission dynamodb:{action} on table {table}: {consequence}")
}

fn check_key(table: &Description, name: &str, contents: Contents) -> Result<()> {
    let shown = table.key.iter().map(|part| format!("{} ({}, {})", part.attribute, part.kind, part.role));
    let key: Vec<String> = shown.collect();
    let (is_it, needed) = match contents.sort() {
        None => (key == ["id (S, HASH)"], String::from("id (S, HASH) alone")),
        Some(sort) => {
            let needed = [String::from("id (S, HASH)"), format!("{sort} (S, RANGE)")];
            (key == needed, needed.join(", "))
        }
    };
    if is_it {
        return Ok(());
    }
    let text = format!(
        "table {name} exists with another key: {}; {} need {needed}, so use another {}",
        key.join(", "),
        contents.name(),
        contents.option()
    );
    Err(Error::new(Kind::Backend, text))
}

fn lacks_indexes(table: &Description, name: &str, contents: Contents) -> Option<String> {
    let missing = contents.indexes().iter().map(|index| index.name);
    let missing: Vec<&str> = missing.filter(|index| table.indexes.iter().all(|known| known != index)).collect();
    (!missing.is_empty()).then(|| {
        let missing = missing.join(", ");
        let things = contents.name();
        let consequence = if contents == Contents::Events { "claimed, listed and counted" } else { "listed and counted" };
        format!("table {name} lacks the indexes {missing}: {things} cannot be {consequence}, let initialize() make the table")
    })
}

/// Who comes second finds the table being created. A warning if another table than that of payloads may not be made.
async fn create(on: &impl Channel, contents: Contents) -> Result<Option<String>> {
    match on.send(Create(contents)).await {
        Ok(()) => Ok(None),
        Err(failure) if failure.cause == Cause::InUse || failure.error.is_throttled() => Ok(None),
        Err(failure) if failure.cause == Cause::Denied => {
            let text = format!(
                "table {} does not exist, and these credentials may not create it (dynamodb:CreateTable)",
                on.table()
            );
            match contents {
                Contents::Payloads => Err(Error::new(Kind::Backend, text).with_source(failure.error)),
                Contents::Sagas => Ok(Some(format!("{text}: store.states cannot be used"))),
                Contents::Executions => Ok(Some(format!("{text}: store.executions cannot be used"))),
                Contents::Events => Ok(Some(format!("{text}: store.outbox cannot be used"))),
                Contents::Messages => Ok(Some(format!("{text}: store.inbox cannot be used"))),
            }
        }
        // Too many tables are being created at this moment.
        Err(failure) if failure.error.is_retryable() && failure.error.kind() == Kind::Backend => Ok(None),
        Err(failure) => Err(failure.error),
    }
}

async fn ttl(on: &impl Channel) -> Result<Ttl, Failure> {
    match on.send(DescribeTtl).await {
        Ok(setting) => Ok(read_ttl(setting)),
        Err(failure) if failure.cause == Cause::Denied => Ok(Ttl::Unknown),
        Err(failure) => Err(failure),
    }
}

fn read_ttl(setting: TtlSetting) -> Ttl {
    match setting.status.as_deref() {
        Some("ENABLED" | "ENABLING") => match setting.attribute {
            Some(name) if name != EXPIRES_AT => Ttl::On(name),
            _ => Ttl::Ours,
        },
        Some("DISABLING") => Ttl::TurningOff,
        _ => Ttl::Off,
    }
}

/// What is wrong with the TTL of a table, in words.
fn complaint(ttl: &Ttl, table: &str, contents: Contents) -> Option<String> {
    let what = match ttl {
        Ttl::Ours | Ttl::Unknown => return None,
        Ttl::Off => String::from("is off"),
        Ttl::TurningOff => String::from("is being switched off at this moment"),
        Ttl::On(attribute) => format!("is on attribute {attribute}, and a table has only one"),
    };
    let things = contents.name();
    Some(format!("TTL of table {table} {what}: expired {things} are not removed by DynamoDB, only by cleanup()"))
}

async fn ensure_ttl(on: &impl Channel, contents: Contents, waiting: &mut Waiting) -> Result<Option<String>> {
    let things = contents.name();
    loop {
        let found = match ttl(on).await {
            Ok(found) => found,
            Err(failure) if failure.error.is_throttled() => {
                waiting.wait(on).await?;
                continue;
            }
            Err(failure) => return optional(failure, on.table(), contents),
        };
        if !matches!(found, Ttl::Off | Ttl::Unknown) {
            return Ok(complaint(&found, on.table(), contents));
        }
        let Err(failure) = on.send(EnableTtl).await else { return Ok(None) };
        match failure.cause {
            Cause::Denied => {
                let consequence = format!("expired {things} are not removed by DynamoDB, only by cleanup()");
                return Ok(match found {
                    Ttl::Unknown => Some(lacks(
                        "UpdateTimeToLive and dynamodb:DescribeTimeToLive",
                        on.table(),
                        &format!("whether DynamoDB removes expired {things} is not known; cleanup() does"),
                    )),
                    _ => Some(lacks("UpdateTimeToLive", on.table(), &consequence)),
                });
            }
            // Somebody else was quicker, or it has been changed a moment ago.
            Cause::Invalid => {
                return Ok(match ttl(on).await {
                    Ok(Ttl::Unknown) => {
                        Some(lacks("DescribeTimeToLive", on.table(), "whether TTL is on expiresAt is not known"))
                    }
                    Ok(Ttl::Off) => {
                        Some(format!("TTL of table {} cannot be switched on now: {}", on.table(), failure.message))
                    }
                    Ok(now) => complaint(&now, on.table(), contents),
                    Err(failure) => return optional(failure, on.table(), contents),
                });
            }
            _ if failure.cause == Cause::InUse || failure.error.is_throttled() => waiting.wait(on).await?,
            _ => return optional(failure, on.table(), contents),
        }
    }
}

/// A service that answers but does not have TTL is a warning; anything else is an error.
fn optional(failure: Failure, table: &str, contents: Contents) -> Result<Option<String>> {
    let Failure { error, message, .. } = failure;
    if error.is_retryable() || error.kind() != Kind::Backend {
        return Err(error);
    }
    let things = contents.name();
    Ok(Some(format!("TTL of table {table} cannot be set ({error} {message}): only cleanup() removes expired {things}")))
}

/// Looks at the tables. That another one than that of payloads is missing is no fault: perhaps nobody uses it.
pub(super) async fn probe<C: Channel>(on: &C, rights: &Rights) -> Result<Probe> {
    let mut probe = Probe::default();
    if let Some(ahead) = on.clock().ahead() {
        probe.details.push(("clockOffsetMs", Detail::Number(ahead)));
    }
    let tables = tables(on);
    let lacking = rights.lacking(&tables).await?;
    let [payloads, others @ ..] = &tables;
    let others = all::<C, _>(others.iter().map(|(on, contents)| wrong_with(on, *contents)).collect());
    let payloads = probe_payloads(&payloads.0, &mut probe).await?;
    let mut wrong: Vec<String> = payloads.into_iter().collect();
    for other in others.await {
        wrong.extend(other?);
    }
    wrong.extend(lacking);
    probe.complain(wrong);
    Ok(probe)
}

/// What is wrong with the table of payloads, if it is there and if it is not.
async fn probe_payloads(on: &impl Channel, probe: &mut Probe) -> Result<Option<String>> {
    let contents = Contents::Payloads;
    match on.send(Describe).await {
        Ok(table) => {
            probe.details.extend(table.status.clone().map(|status| ("tableStatus", Detail::Text(status))));
            if let Some(wrong) = wrong_in(&table, on.table(), contents) {
                return Ok(Some(wrong));
            }
        }
        Err(failure) if failure.cause == Cause::NoTable => return Ok(Some(failure.error.message().to_owned())),
        Err(failure) if failure.cause == Cause::Denied => {
            if !exists(on, contents).await? {
                return Ok(Some(format!("table {} does not exist: call initialize()", on.table())));
            }
        }
        Err(failure) => return Err(failure.error),
    }
    // A service without TTL, or that may not be asked, is as good as it gets.
    Ok(ttl(on).await.ok().and_then(|found| complaint(&found, on.table(), contents)))
}

/// What is wrong with another table, where it is there and may be looked at.
async fn wrong_with(on: &impl Channel, contents: Contents) -> Result<Option<String>> {
    match on.send(Describe).await {
        Ok(table) => Ok(wrong_in(&table, on.table(), contents)),
        Err(failure) if matches!(failure.cause, Cause::NoTable | Cause::Denied) => Ok(None),
        Err(failure) => Err(failure.error),
    }
}

fn wrong_in(table: &Description, name: &str, contents: Contents) -> Option<String> {
    if let Err(error) = check_key(table, name, contents) {
        return Some(error.message().to_owned());
    }
    match table.status.as_deref() {
        None | Some("ACTIVE" | "UPDATING") => lacks_indexes(table, name, contents),
        Some(status) => Some(format!("table {name} is {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::dynamodb::tables::KeyPart;

    fn table(keys: &[(&str, &str, &str)]) -> Description {
        let part = |(attribute, kind, role): &(&str, &str, &str)| KeyPart {
            attribute: String::from(*attribute),
            kind: String::from(*kind),
            role: String::from(*role),
        };
        Description { key: keys.iter().map(part).collect(), ..Description::default() }
    }

    #[test]
    fn another_key_is_named() {
        let id = ("id", "S", "HASH");
        assert!(check_key(&table(&[id]), "t", Contents::Payloads).is_ok());
        assert!(check_key(&table(&[id, ("part", "S", "RANGE")]), "t", Contents::Executions).is_ok());
        for (keys, shown) in [
            (vec![("pk", "S", "HASH")], "pk (S, HASH)"),
            (vec![("id", "N", "HASH")], "id (N, HASH)"),
            (vec![id, ("at", "N", "RANGE")], "id (S, HASH), at (N, RANGE)"),
        ] {
            assert!(check_key(&table(&keys), "orders", Contents::Executions).is_err());
            let error = check_key(&table(&keys), "orders", Contents::Payloads).unwrap_err();
            assert!(error.message().contains("orders") && error.message().contains(shown), "{error}");
        }
    }

    #[test]
    fn missing_indexes_are_named() {
        let mut found = table(&[]);
        assert_eq!(lacks_indexes(&found, "t", Contents::Payloads), None);
        found.indexes = vec![String::from("listing"), String::from("others")];
        assert!(
            lacks_indexes(&found, "t", Contents::Sagas).unwrap().contains("lacks the indexes completed, timeouts:")
        );
        found.indexes.extend([String::from("timeouts"), String::from("completed")]);
        assert_eq!(lacks_indexes(&found, "t", Contents::Sagas), None);
    }

    #[test]
    fn ttl_is_read() {
        let read = |status: &str, name: &str| {
            read_ttl(TtlSetting { status: Some(String::from(status)), attribute: Some(String::from(name)) })
        };
        assert_eq!(read("ENABLED", EXPIRES_AT), Ttl::Ours);
        assert_eq!(read("ENABLING", EXPIRES_AT), Ttl::Ours);
        assert_eq!(read("ENABLED", "ttl"), Ttl::On(String::from("ttl")));
        assert_eq!(read("DISABLING", EXPIRES_AT), Ttl::TurningOff);
        assert_eq!(read("DISABLED", EXPIRES_AT), Ttl::Off);
        assert_eq!(read_ttl(TtlSetting::default()), Ttl::Off);
        assert!(complaint(&Ttl::On(String::from("ttl")), "t", Contents::Payloads).unwrap().contains("attribute ttl"));
        assert_eq!(complaint(&Ttl::Ours, "t", Contents::Sagas), None);
    }
}
