//! Requests about the table itself: its key, its status, its TTL.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription,
    TimeToLiveSpecification,
};

use super::error::{self, Failure, classify};
use super::item::{EXPIRES_AT, ID};
use super::requests::{Input, Request, take};
use crate::store::dynamic::Dynamic;

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
        Self { key: list("KeySchema").iter().filter_map(part).collect(), status: text(table, "TableStatus") }
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

/// Makes the table, with the key of payloads.
pub(super) struct Create;

impl Request for Create {
    const NAME: &'static str = "CreateTable";
    type Answer = ();

    async fn send(self, client: &Client, table: &str) -> Result<(), Failure> {
        let attribute =
            AttributeDefinition::builder().attribute_name(ID).attribute_type(ScalarAttributeType::S).build();
        let key = KeySchemaElement::builder().attribute_name(ID).key_type(KeyType::Hash).build();
        let (Ok(attribute), Ok(key)) = (attribute, key) else { return Err(error::unexpected().into()) };
        let request = client
            .create_table()
            .table_name(table)
            .attribute_definitions(attribute)
            .key_schema(key)
            .billing_mode(BillingMode::PayPerRequest);
        request.send().await.map(drop).map_err(|error| classify(error, table))
    }

    fn input(self, table: &str) -> Dynamic {
        let attribute = Dynamic::map([("AttributeName", ID.into()), ("AttributeType", "S".into())]);
        let key = Dynamic::map([("AttributeName", ID.into()), ("KeyType", "HASH".into())]);
        Input::about(table)
            .with("AttributeDefinitions", Dynamic::List(vec![attribute]))
            .with("KeySchema", Dynamic::List(vec![key]))
            .with("BillingMode", "PAY_PER_REQUEST")
            .done()
    }

    fn answer(_output: Dynamic) -> Result<(), Failure> {
        Ok(())
    }
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
            .build();
        let definition = Dynamic::map([("AttributeName", "pk".into()), ("AttributeType", "N".into())]);
        let key = |name: &str, role: &str| Dynamic::map([("AttributeName", name.into()), ("KeyType", role.into())]);
        let client = Dynamic::map([
            ("AttributeDefinitions", Dynamic::List(vec![definition])),
            ("KeySchema", Dynamic::List(vec![key("pk", "HASH"), key("sk", "RANGE")])),
            ("TableStatus", "UPDATING".into()),
        ]);
        let found = Description::of_sdk(&sdk);
        assert_eq!(found, Description::of_client(&client));
        assert_eq!(found.status.as_deref(), Some("UPDATING"));
        assert_eq!((found.key[0].kind.as_str(), found.key[1].kind.as_str()), ("N", "?"));
    }
}
