//! What the user of the connection may do, as `connectionStatus` tells it.

use mongodb::bson::{Bson, Document, doc};

use super::channel::{Carrier, Failure};
use super::collections::Names;
use crate::contract::operation::RecordKind;
use crate::error::{Kind, Result};

/// What a store does with a collection.
const ACTIONS: [&str; 4] = ["find", "insert", "update", "remove"];

/// Which actions the user lacks, collection by collection, in words. Where it cannot be told there is nothing.
pub(super) async fn lacking(on: &impl Carrier, database: &str, names: &Names) -> Result<Vec<String>> {
    let asked = on.run(doc! { "connectionStatus": 1, "showPrivileges": true }).await.map_err(Failure::into_error);
    match asked {
        Ok(status) => Ok(told(&status, database, &collections(names))),
        Err(error) if error.is_retryable() || matches!(error.kind(), Kind::Connection | Kind::Timeout) => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

fn collections(names: &Names) -> [&str; 6] {
    let of = |kind| names.of(kind);
    [
        of(RecordKind::Payloads),
        of(RecordKind::States),
        of(RecordKind::Executions),
        names.log(),
        of(RecordKind::Outbox),
        of(RecordKind::Inbox),
    ]
}

fn told(status: &Document, database: &str, collections: &[&str]) -> Vec<String> {
    let Ok(auth) = status.get_document("authInfo") else { return Vec::new() };
    let list = |name| auth.get_array(name).map(Vec::as_slice).unwrap_or_default();
    let (users, privileges) = (list("authenticatedUsers"), list("authenticatedUserPrivileges"));
    // Who has not logged in may do everything, or is refused everything.
    if users.is_empty() || privileges.is_empty() {
        return Vec::new();
    }
    let lacks = |collection: &&str| {
        let has = |action: &&str| privileges.iter().any(|privilege| grants(privilege, database, collection, action));
        let missing: Vec<&str> = ACTIONS.into_iter().filter(|action| !has(action)).collect();
        let missing = missing.join(", ");
        let text = || format!("this user lacks the actions {missing} on collection {collection}");
        (!missing.is_empty()).then(text)
    };
    collections.iter().filter_map(lacks).collect()
}

fn grants(privilege: &Bson, database: &str, collection: &str, action: &str) -> bool {
    let Some(privilege) = privilege.as_document() else { return false };
    let Ok(resource) = privilege.get_document("resource") else { return false };
    // An empty name is all of them.
    let is = |name: &str, wanted: &str| resource.get_str(name).is_ok_and(|given| given.is_empty() || given == wanted);
    let covers =
        resource.get_bool("anyResource").unwrap_or(false) || (is("db", database) && is("collection", collection));
    let mut actions = privilege.get_array("actions").map(Vec::as_slice).unwrap_or_default().iter();
    covers && actions.any(|given| given.as_str().is_some_and(|given| given == action || given == "anyAction"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(privileges: Vec<Bson>) -> Document {
        let users = vec![Bson::Document(doc! { "user": "app", "db": "admin" })];
        doc! { "authInfo": { "authenticatedUsers": users, "authenticatedUserPrivileges": privileges }, "ok": 1 }
    }

    fn privilege(resource: Document, actions: &[&str]) -> Bson {
        Bson::Document(doc! { "resource": resource, "actions": actions.to_vec() })
    }

    #[test]
    fn what_is_missing_is_named_with_its_collection() {
        let all = ["find", "insert", "update", "remove"];
        let of = |privileges| told(&status(privileges), "sagas", &["payloads", "events"]);
        for everything in [
            privilege(doc! { "db": "sagas", "collection": "" }, &all),
            privilege(doc! { "db": "", "collection": "" }, &all),
            privilege(doc! { "anyResource": true }, &["anyAction"]),
        ] {
            assert!(of(vec![everything]).is_empty());
        }
        let reads = privilege(doc! { "db": "sagas", "collection": "" }, &["find"]);
        let writes = privilege(doc! { "db": "sagas", "collection": "events" }, &["insert", "update"]);
        let elsewhere = privilege(doc! { "db": "others", "collection": "" }, &all);
        let cluster = privilege(doc! { "cluster": true }, &all);
        assert_eq!(
            of(vec![reads, writes, elsewhere, cluster]),
            [
                "this user lacks the actions insert, update, remove on collection payloads",
                "this user lacks the actions remove on collection events"
            ]
        );
    }

    #[test]
    fn who_has_not_logged_in_is_told_nothing() {
        let nobody = doc! { "authInfo": { "authenticatedUsers": [], "authenticatedUserPrivileges": [] }, "ok": 1 };
        for status in [nobody, doc! { "ok": 1 }, status(Vec::new())] {
            assert!(told(&status, "sagas", &["payloads"]).is_empty());
        }
    }
}
