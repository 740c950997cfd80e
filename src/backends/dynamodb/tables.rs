//! Requests about the table itself: its key, its status, its TTL.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, TableDescription, TimeToLiveSpecification,
};

use super::error::{self, Failure, classify};
use super::executions::item as executions;
use super::expression::{
    CLAIMED_AT, COMPLETED_AT, CONTEXT_BYTES, CORRELATION_ID, CREATED, CREATED_AT, DEAD_AT, DUE, DUE_AT, ENDED_AT,
    ENDS_AT, EVENT_TYPE, EXPIRES_AT, EXPIRES_AT_MS, ID, LISTED_IN, LOG_BYTES, NAME, PARKED_AT, PARKED_IN, PART,
    PARTITION_KEY, QUEUE, REST_IN, ROUTING_KEY, SAGA_ID, SENT_AT, SEQ, SHARD, STATUS, TAGS, TIMEOUT_AT, UPDATED,
    WORKER,
};
use super::outbox::item as outbox;
use super::requests::{Input, Request, take};
use super::states::item::{COMPLETED, LISTING, TIMEOUTS};
use crate::contract::dynamic::Dynamic;

/// What a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    Payloads,
    Sagas,
    Executions,
    Events,
    Messages,
}

/// An index: the names of the attributes of its key, and of those that it has beside them.
pub(super) struct Index {
    pub(super) name: &'static str,
    partition: &'static str,
    sort: &'static str,
    beside: &'static [&'static str],
}

static OF_SAGAS: [Index; 3] = [
    Index { name: LISTING, partition: LISTED_IN, sort: SAGA_ID, beside: &[EXPIRES_AT, EXPIRES_AT_MS] },
    Index { name: COMPLETED, partition: LISTED_IN, sort: ENDED_AT, beside: &[CORRELATION_ID] },
    Index { name: TIMEOUTS, partition: SHARD, sort: TIMEOUT_AT, beside: &[] },
];

/// Whatever changes an execution changes `updated`: what changes as often may be beside it.
static OF_EXECUTIONS: [Index; 5] = [
    Index {
        name: executions::BY_UPDATE,
        partition: LISTED_IN,
        sort: UPDATED,
        beside: &[NAME, TAGS, PARKED_AT, WORKER, LOG_BYTES, CONTEXT_BYTES, ENDS_AT],
    },
    Index {
        name: executions::BY_CREATION,
        partition: LISTED_IN,
        sort: CREATED,
        beside: &[NAME, TAGS, PARKED_AT, ENDS_AT],
    },
    Index {
        name: executions::PARKED,
        partition: PARKED_IN,
        sort: UPDATED,
        beside: &[NAME, STATUS, TAGS, PARKED_AT, ENDS_AT],
    },
    Index { name: executions::ENDED, partition: LISTED_IN, sort: COMPLETED_AT, beside: &[] },
    Index { name: executions::DUE, partition: SHARD, sort: DUE_AT, beside: &[] },
];

/// What changes with every claim is beside the first, whose key changes then as well.
static OF_EVENTS: [Index; 3] = [
    Index {
        name: outbox::QUEUED,
        partition: QUEUE,
        sort: DUE,
        beside: &[SEQ, STATUS, EVENT_TYPE, ROUTING_KEY, PARTITION_KEY, CREATED_AT, CLAIMED_AT, DUE_AT],
    },
    Index { name: outbox::RESTING, partition: REST_IN, sort: SEQ, beside: &[PARTITION_KEY, SENT_AT, DEAD_AT] },
    Index { name: outbox::OF_SAGA, partition: SAGA_ID, sort: SEQ, beside: &[] },
];

impl Contents {
    /// In the plural.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Payloads => "payloads",
            Self::Sagas => "sagas",
            Self::Executions => "executions",
            Self::Events => "events",
            Self::Messages => "messages of the inbox",
        }
    }

    /// The option that names the table.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Payloads => "tableName",
            Self::Sagas => "statesTableName",
            Self::Executions => "executionsTableName",
            Self::Events => "outboxTableName",
            Self::Messages => "inboxTableName",
        }
    }

    /// The table's indexes.
    pub(super) fn indexes(self) -> &'static [Index] {
        match self {
            Self::Payloads | Self::Messages => &[],
            Self::Sagas => &OF_SAGAS,
            Self::Executions => &OF_EXECUTIONS,
            Self::Events => &OF_EVENTS,
        }
    }

    /// The second attribute of the table's key, if it has one.
    pub(super) fn sort(self) -> Option<&'static str> {
        matches!(self, Self::Executions | Self::Events | Self::Messages).then_some(PART)
    }

    /// The attributes of all keys, and their types.
    fn attributes(self) -> Vec<(&'static str, ScalarAttributeType)> {
        let mut attributes = vec![(ID, ScalarAttributeType::S)];
        attributes.extend(self.sort().map(|name| (name, ScalarAttributeType::S)));
        for index in self.indexes() {
            for name in [index.partition, index.sort] {
                let kind = if [ENDED_AT, TIMEOUT_AT, COMPLETED_AT, DUE_AT, SEQ].contains(&name) {
                    ScalarAttributeType::N
                } else {
                    ScalarAttributeType::S
                };
                if attributes.iter().all(|(known, _)| *known != name) {
                    attributes.push((name, kind));
                }
            }
        }
        attributes
    }
}

/// An attribute of a table's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPart {
    pub(super) attribute: String,
    /// Such as `S`.
    pub(super) kind: String,
    /// `HASH` or `RANGE`.
    pub(super) role: String,
}

/// A table, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) key: Vec<KeyPart>,
    /// Such as `ACTIVE`.
    pub(super) status: Option<String>,
    /// The names of its indexes.
    pub(super) indexes: Vec<String>,
    /// How many items it had, some hours ago.
    pub(super) items: u64,
}

impl Description {
    fn of_sdk(table: &TableDescription) -> Self {
        let kind = |attribute: &str| {
            let definition = table.attribute_definitions().iter().find(|one| one.attribute_name() == attribute);
            definition.map_or("?", |definition| definition.attribute_type().as_str()).to_owned()
        };
        let part = |element: &KeySchemaElement| KeyPart {
            attribute: element.attribute_name().to_owned(),
            kind: kind(element.attribute_name()),
            role: element.key_type().as_str().to_owned(),
        };
        Self {
            key: table.key_schema().iter().map(part).collect(),
            status: table.table_status().map(|status| status.as_str().to_owned()),
            indexes: table.global_secondary_indexes().iter().filter_map(|index| index.index_name.clone()).collect(),
            items: table.item_count().and_then(|items| u64::try_from(items).ok()).unwrap_or_default(),
        }
    }

    fn of_client(table: &Dynamic) -> Self {
        let list = |name| if let Some(Dynamic::List(list)) = table.get(name) { list.as_slice() } else { &[] };
        let kind = |attribute: &str| {
            let definitions = list("AttributeDefinitions");
            let definition = definitions.iter().find(|one| text(one, "AttributeName").as_deref() == Some(attribute));
            definition.and_then(|one| text(one, "AttributeType")).unwrap_or_else(|| String::from("?"))
        };
        let part = |element: &Dynamic| {
            let attribute = text(element, "AttributeName")?;
            Some(KeyPart { kind: kind(&attribute), role: text(element, "KeyType").unwrap_or_default(), attribute })
        };
        Self {
            key: list("KeySchema").iter().filter_map(part).collect(),
            status: text(table, "TableStatus"),
            indexes: list("GlobalSecondaryIndexes").iter().filter_map(|index| text(index, "IndexName")).collect(),
            items: table.get("ItemCount").and_then(|items| u64::try_from(items.as_int()?).ok()).unwrap_or_default(),
        }
    }
}

fn text(of: &Dynamic, name: &str) -> Option<String> {
    of.get(name).and_then(Dynamic::as_text).map(str::to_owned)
}

/// What the table is like.
pub(super) struct Describe;

impl Request for Describe {
    const NAME: &'static str = "DescribeTable";
    type Answer = Description;

    async fn send(self, client: &Client, table: &str) -> Result<Description, Failure> {
        let answer = client.describe_table().table_name(table).send().await;
        let answer = answer.map_err(|error| classify(error, table))?;
        Ok(Description::of_sdk(&answer.table.ok_or_else(error::unexpected)?))
    }

    fn input(self, table: &str) -> Dynamic {
        Input::about(table).done()
    }

    fn answer(mut output: Dynamic) -> Result<Description, Failure> {
        Ok(Description::of_client(&take(&mut output, "Table").ok_or_else(error::unexpected)?))
    }
}

/// Makes the table.
pub(super) struct Create(pub(super) Contents);

impl Request for Create {
    const NAME: &'static str = "CreateTable";
    type Answer = ();

    async fn send(self, client: &Client, table: &str) -> Result<(), Failure> {
        let mut request = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in self.0.attributes() {
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
            request = request.attribute_definitions(attribute.map_err(unbuilt)?);
        }
        request = request.key_schema(sdk_key(ID, KeyType::Hash)?);
        if let Some(sort) = self.0.sort() {
            request = request.key_schema(sdk_key(sort, KeyType::Range)?);
        }
        for index in self.0.indexes() {
            request = request.global_secondary_indexes(sdk_index(index)?);
        }
        request.send().await.map(drop).map_err(|error| classify(error, table))
    }

    fn input(self, table: &str) -> Dynamic {
        let attribute = |(name, kind): (&str, ScalarAttributeType)| {
            Dynamic::map([("AttributeName", name.into()), ("AttributeType", kind.as_str().into())])
        };
        let attributes = self.0.attributes().into_iter().map(attribute).collect();
        let mut key = vec![client_key(ID, "HASH")];
        key.extend(self.0.sort().map(|sort| client_key(sort, "RANGE")));
        let input = Input::about(table)
            .with("AttributeDefinitions", Dynamic::List(attributes))
            .with("KeySchema", Dynamic::List(key))
            .with("BillingMode", "PAY_PER_REQUEST");
        let indexes: Vec<_> = self.0.indexes().iter().map(client_index).collect();
        if indexes.is_empty() { input } else { input.with("GlobalSecondaryIndexes", Dynamic::List(indexes)) }.done()
    }

    fn answer(_output: Dynamic) -> Result<(), Failure> {
        Ok(())
    }
}

fn unbuilt<E>(_error: E) -> Failure {
    error::unexpected().into()
}

fn sdk_key(name: &str, role: KeyType) -> Result<KeySchemaElement, Failure> {
    KeySchemaElement::builder().attribute_name(name).key_type(role).build().map_err(unbuilt)
}

fn sdk_index(index: &Index) -> Result<GlobalSecondaryIndex, Failure> {
    let (projection, beside) = if index.beside.is_empty() {
        (ProjectionType::KeysOnly, None)
    } else {
        (ProjectionType::Include, Some(index.beside.iter().map(|name| String::from(*name)).collect()))
    };
    GlobalSecondaryIndex::builder()
        .index_name(index.name)
        .key_schema(sdk_key(index.partition, KeyType::Hash)?)
        .key_schema(sdk_key(index.sort, KeyType::Range)?)
        .projection(Projection::builder().projection_type(projection).set_non_key_attributes(beside).build())
        .build()
        .map_err(unbuilt)
}

fn client_key(name: &str, role: &str) -> Dynamic {
    Dynamic::map([("AttributeName", name.into()), ("KeyType", role.into())])
}

fn client_index(index: &Index) -> Dynamic {
    let beside = || Dynamic::List(index.beside.iter().map(|name| Dynamic::text(name)).collect());
    let projection = if index.beside.is_empty() {
        Dynamic::map([("ProjectionType", "KEYS_ONLY".into())])
    } else {
        Dynamic::map([("ProjectionType", "INCLUDE".into()), ("NonKeyAttributes", beside())])
    };
    let key = Dynamic::List(vec![client_key(index.partition, "HASH"), client_key(index.sort, "RANGE")]);
    Dynamic::map([("IndexName", index.name.into()), ("KeySchema", key), ("Projection", projection)])
}

/// The TTL setting of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TtlSetting {
    /// Such as `ENABLED`.
    pub(super) status: Option<String>,
    pub(super) attribute: Option<String>,
}

/// What the table's TTL is set to.
pub(super) struct DescribeTtl;

impl Request for DescribeTtl {
    const NAME: &'static str = "DescribeTimeToLive";
    type Answer = TtlSetting;

    async fn send(self, client: &Client, table: &str) -> Result<TtlSetting, Failure> {
        let answer = client.describe_time_to_live().table_name(table).send().await;
        let description = answer.map_err(|error| classify(error, table))?.time_to_live_description;
        Ok(description.map_or_else(TtlSetting::default, |found| TtlSetting {
            status: found.time_to_live_status.map(|status| status.as_str().to_owned()),
            attribute: found.attribute_name,
        }))
    }

    fn input(self, table: &str) -> Dynamic {
        Input::about(table).done()
    }

    fn answer(mut output: Dynamic) -> Result<TtlSetting, Failure> {
        Ok(take(&mut output, "TimeToLiveDescription").map_or_else(TtlSetting::default, |found| TtlSetting {
            status: text(&found, "TimeToLiveStatus"),
            attribute: text(&found, "AttributeName"),
        }))
    }
}

/// Switches the table's TTL on, on `expiresAt`.
pub(super) struct EnableTtl;

impl Request for EnableTtl {
    const NAME: &'static str = "UpdateTimeToLive";
    type Answer = ();

    async fn send(self, client: &Client, table: &str) -> Result<(), Failure> {
        let setting = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true).build();
        let setting = setting.map_err(|_| error::unexpected())?;
        let request = client.update_time_to_live().table_name(table).time_to_live_specification(setting);
        request.send().await.map(drop).map_err(|error| classify(error, table))
    }

    fn input(self, table: &str) -> Dynamic {
        let setting = Dynamic::map([("AttributeName", EXPIRES_AT.into()), ("Enabled", Dynamic::Bool(true))]);
        Input::about(table).with("TimeToLiveSpecification", setting).done()
    }

    fn answer(_output: Dynamic) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::GlobalSecondaryIndexDescription;

    use super::*;

    #[test]
    fn both_forms_of_a_description_say_the_same() {
        let sdk = TableDescription::builder()
            .attribute_definitions(
                AttributeDefinition::builder()
                    .attribute_name("pk")
                    .attribute_type(ScalarAttributeType::N)
                    .build()
                    .unwrap(),
            )
            .key_schema(KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().unwrap())
            .key_schema(KeySchemaElement::builder().attribute_name("sk").key_type(KeyType::Range).build().unwrap())
            .table_status("UPDATING".into())
            .item_count(7)
            .global_secondary_indexes(GlobalSecondaryIndexDescription::builder().index_name("listing").build())
            .build();
        let definition = Dynamic::map([("AttributeName", "pk".into()), ("AttributeType", "N".into())]);
        let key = |name: &str, role: &str| Dynamic::map([("AttributeName", name.into()), ("KeyType", role.into())]);
        let client = Dynamic::map([
            ("AttributeDefinitions", Dynamic::List(vec![definition])),
            ("KeySchema", Dynamic::List(vec![key("pk", "HASH"), key("sk", "RANGE")])),
            ("TableStatus", "UPDATING".into()),
            ("ItemCount", Dynamic::Int(7)),
            ("GlobalSecondaryIndexes", Dynamic::List(vec![Dynamic::map([("IndexName", "listing".into())])])),
        ]);
        let found = Description::of_sdk(&sdk);
        assert_eq!(found, Description::of_client(&client));
        assert_eq!(
            (found.status.as_deref(), found.indexes.as_slice()),
            (Some("UPDATING"), &[String::from("listing")][..])
        );
        assert_eq!((found.key[0].kind.as_str(), found.key[1].kind.as_str()), ("N", "?"));
    }
}
