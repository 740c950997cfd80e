//! The table and its TTL: creates what is missing, checks what is there; and how they are.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveDescription, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::error::{self, Cause, Failure, classify};
use super::item::{EXPIRES_AT, ID};
use super::requests::Session;
use crate::error::{Detail, Error, Kind, Result};
use crate::store::Probe;

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

/// Makes the table usable within `limit`; answers warnings.
pub(super) async fn initialize(on: &Session<'_>, limit: Duration) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut waiting = Waiting { until: Instant::now() + limit, pause: PAUSES.0 };
    loop {
        match describe(on).await {
            Ok(table) => {
                check_key(&table, on.table)?;
                match table.table_status {
                    Some(TableStatus::Creating | TableStatus::Deleting) => {}
                    _ => break,
                }
            }
            Err(failure) if failure.cause == Cause::NoTable => create(on).await?,
            Err(failure) if failure.cause == Cause::Denied => {
                if on.exists().await? {
                    warnings.push(lacks("DescribeTable", on.table, "its key and status are not checked"));
                    break;
                }
                create(on).await?;
            }
            Err(failure) if failure.error.is_throttled() => {}
            Err(failure) => return Err(failure.error),
        }
        waiting.wait(on.table).await?;
    }
    warnings.extend(ensure_ttl(on, &mut waiting).await?);
    Ok(warnings)
}

/// Waits in growing pauses, for so long.
struct Waiting {
    until: Instant,
    pause: Duration,
}

impl Waiting {
    async fn wait(&mut self, table: &str) -> Result<()> {
        if Instant::now() + self.pause >= self.until {
            let text = format!("table {table} is still being created: call initialize() again");
            return Err(Error::new(Kind::Timeout, text));
        }
        // Several processes do this at once: apart from each other.
        tokio::time::sleep(self.pause.mul_f64(0.5 + fastrand::f64())).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

fn lacks(action: &str, table: &str, consequence: &str) -> String {
    format!("the credentials lack the permission dynamodb:{action} on table {table}: {consequence}")
}

async fn describe(on: &Session<'_>) -> Result<TableDescription, Failure> {
    let answer = on.client.describe_table().table_name(on.table).send().await;
    let answer = answer.map_err(|error| classify(error, on.table))?;
    answer.table.ok_or_else(|| error::unexpected().into())
}

fn check_key(table: &TableDescription, name: &str) -> Result<()> {
    let key: Vec<String> = table
        .key_schema()
        .iter()
        .map(|element| {
            let attribute = element.attribute_name();
            let definition = table.attribute_definitions().iter().find(|one| one.attribute_name() == attribute);
            let kind = definition.map_or("?", |definition| definition.attribute_type().as_str());
            format!("{attribute} ({kind}, {})", element.key_type().as_str())
        })
        .collect();
    if key == ["id (S, HASH)"] {
        return Ok(());
    }
    let text = format!(
        "table {name} exists with another key: {}; payloads need id (S, HASH) alone, so use another tableName",
        key.join(", ")
    );
    Err(Error::new(Kind::Backend, text))
}

/// Who comes second finds the table being created.
async fn create(on: &Session<'_>) -> Result<()> {
    let attribute = AttributeDefinition::builder().attribute_name(ID).attribute_type(ScalarAttributeType::S).build();
    let key = KeySchemaElement::builder().attribute_name(ID).key_type(KeyType::Hash).build();
    let (Ok(attribute), Ok(key)) = (attribute, key) else { return Err(error::unexpected()) };
    let request = on
        .client
        .create_table()
        .table_name(on.table)
        .attribute_definitions(attribute)
        .key_schema(key)
        .billing_mode(BillingMode::PayPerRequest);
    match request.send().await.map_err(|error| classify(error, on.table)) {
        Ok(_) => Ok(()),
        Err(failure) if failure.cause == Cause::InUse || failure.error.is_throttled() => Ok(()),
        Err(failure) if failure.cause == Cause::Denied => {
            let text = format!(
                "table {} does not exist, and these credentials may not create it (dynamodb:CreateTable)",
                on.table
            );
            Err(Error::new(Kind::Backend, text).with_source(failure.error))
        }
        // Too many tables are being created at this moment.
        Err(failure) if failure.error.is_retryable() && failure.error.kind() == Kind::Backend => Ok(()),
        Err(failure) => Err(failure.error),
    }
}

async fn ttl(on: &Session<'_>) -> Result<Ttl, Failure> {
    let answer = on.client.describe_time_to_live().table_name(on.table).send().await;
    match answer.map_err(|error| classify(error, on.table)) {
        Ok(answer) => Ok(answer.time_to_live_description.map_or(Ttl::Off, read_ttl)),
        Err(failure) if failure.cause == Cause::Denied => Ok(Ttl::Unknown),
        Err(failure) => Err(failure),
    }
}

fn read_ttl(description: TimeToLiveDescription) -> Ttl {
    match description.time_to_live_status {
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) => match description.attribute_name {
            Some(name) if name != EXPIRES_AT => Ttl::On(name),
            _ => Ttl::Ours,
        },
        Some(TimeToLiveStatus::Disabling) => Ttl::TurningOff,
        _ => Ttl::Off,
    }
}

/// What is wrong with the TTL of a table, in words.
fn complaint(ttl: &Ttl, table: &str) -> Option<String> {
    let what = match ttl {
        Ttl::Ours | Ttl::Unknown => return None,
        Ttl::Off => String::from("is off"),
        Ttl::TurningOff => String::from("is being switched off at this moment"),
        Ttl::On(attribute) => format!("is on attribute {attribute}, and a table has only one"),
    };
    Some(format!("TTL of table {table} {what}: expired payloads are not removed by DynamoDB, only by cleanup()"))
}

async fn ensure_ttl(on: &Session<'_>, waiting: &mut Waiting) -> Result<Option<String>> {
    loop {
        let found = match ttl(on).await {
            Ok(found) => found,
            Err(failure) if failure.error.is_throttled() => {
                waiting.wait(on.table).await?;
                continue;
            }
            Err(failure) => return optional(failure, on.table),
        };
        if !matches!(found, Ttl::Off | Ttl::Unknown) {
            return Ok(complaint(&found, on.table));
        }
        let Err(failure) = enable_ttl(on).await else { return Ok(None) };
        match failure.cause {
            Cause::Denied => {
                let consequence = "expired payloads are not removed by DynamoDB, only by cleanup()";
                return Ok(match found {
                    Ttl::Unknown => Some(lacks(
                        "UpdateTimeToLive and dynamodb:DescribeTimeToLive",
                        on.table,
                        "whether DynamoDB removes expired payloads is not known; cleanup() does",
                    )),
                    _ => Some(lacks("UpdateTimeToLive", on.table, consequence)),
                });
            }
            // Somebody else was quicker, or it has been changed a moment ago.
            Cause::Invalid => {
                return Ok(match ttl(on).await {
                    Ok(Ttl::Unknown) => {
                        Some(lacks("DescribeTimeToLive", on.table, "whether TTL is on expiresAt is not known"))
                    }
                    Ok(Ttl::Off) => {
                        Some(format!("TTL of table {} cannot be switched on now: {}", on.table, failure.message))
                    }
                    Ok(now) => complaint(&now, on.table),
                    Err(failure) => return optional(failure, on.table),
                });
            }
            _ if failure.cause == Cause::InUse || failure.error.is_throttled() => waiting.wait(on.table).await?,
            _ => return optional(failure, on.table),
        }
    }
}

async fn enable_ttl(on: &Session<'_>) -> Result<(), Failure> {
    let setting = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true).build();
    let setting = setting.map_err(|_| error::unexpected())?;
    let request = on.client.update_time_to_live().table_name(on.table).time_to_live_specification(setting);
    request.send().await.map(drop).map_err(|error| classify(error, on.table))
}

/// A service that answers but does not have TTL is a warning; anything else is an error.
fn optional(failure: Failure, table: &str) -> Result<Option<String>> {
    let Failure { error, message, .. } = failure;
    if error.is_retryable() || error.kind() != Kind::Backend {
        return Err(error);
    }
    Ok(Some(format!("TTL of table {table} cannot be set ({error} {message}): only cleanup() removes expired payloads")))
}

/// Looks at the table.
pub(super) async fn probe(on: &Session<'_>) -> Result<Probe> {
    let mut probe = Probe::default();
    if let Some(ahead) = on.executor.clock.ahead() {
        probe.details.push(("clockOffsetMs", Detail::Number(ahead)));
    }
    match describe(on).await {
        Ok(table) => {
            if let Some(status) = &table.table_status {
                probe.details.push(("tableStatus", Detail::Text(status.as_str().to_owned())));
                if !matches!(status, TableStatus::Active | TableStatus::Updating) {
                    probe.degraded = Some(format!("table {} is {}", on.table, status.as_str()));
                }
            }
        }
        Err(failure) if failure.cause == Cause::NoTable => probe.degraded = Some(failure.error.message().to_owned()),
        Err(failure) if failure.cause == Cause::Denied => {
            if !on.exists().await? {
                probe.degraded = Some(format!("table {} does not exist: call initialize()", on.table));
            }
        }
        Err(failure) => return Err(failure.error),
    }
    // A service without TTL, or that may not be asked, is as good as it gets.
    if probe.degraded.is_none()
        && let Ok(found) = ttl(on).await
    {
        probe.degraded = complaint(&found, on.table);
    }
    Ok(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(keys: &[(&str, ScalarAttributeType, KeyType)]) -> TableDescription {
        let mut table = TableDescription::builder();
        for (name, attribute, key) in keys {
            table = table
                .attribute_definitions(
                    AttributeDefinition::builder()
                        .attribute_name(*name)
                        .attribute_type(attribute.clone())
                        .build()
                        .unwrap(),
                )
                .key_schema(KeySchemaElement::builder().attribute_name(*name).key_type(key.clone()).build().unwrap());
        }
        table.build()
    }

    #[test]
    fn another_key_is_named() {
        let id = (ID, ScalarAttributeType::S, KeyType::Hash);
        assert!(check_key(&table(std::slice::from_ref(&id)), "t").is_ok());
        for (keys, shown) in [
            (vec![("pk", ScalarAttributeType::S, KeyType::Hash)], "pk (S, HASH)"),
            (vec![(ID, ScalarAttributeType::N, KeyType::Hash)], "id (N, HASH)"),
            (vec![id, ("at", ScalarAttributeType::N, KeyType::Range)], "id (S, HASH), at (N, RANGE)"),
        ] {
            let error = check_key(&table(&keys), "orders").unwrap_err();
            assert!(error.message().contains("orders") && error.message().contains(shown), "{error}");
        }
    }

    #[test]
    fn ttl_is_read() {
        let read = |status: TimeToLiveStatus, name: &str| {
            read_ttl(TimeToLiveDescription::builder().time_to_live_status(status).attribute_name(name).build())
        };
        assert_eq!(read(TimeToLiveStatus::Enabled, EXPIRES_AT), Ttl::Ours);
        assert_eq!(read(TimeToLiveStatus::Enabling, EXPIRES_AT), Ttl::Ours);
        assert_eq!(read(TimeToLiveStatus::Enabled, "ttl"), Ttl::On(String::from("ttl")));
        assert_eq!(read(TimeToLiveStatus::Disabling, EXPIRES_AT), Ttl::TurningOff);
        assert_eq!(read(TimeToLiveStatus::Disabled, EXPIRES_AT), Ttl::Off);
        assert!(complaint(&Ttl::On(String::from("ttl")), "t").unwrap().contains("attribute ttl"));
        assert_eq!(complaint(&Ttl::Ours, "t"), None);
    }
}
