//! `initialize`, health, counts, and the removal of what has expired.

use mongodb::bson::{Bson, DateTime, Document, doc};

use super::answer::{complaint, first_write_error, number, unconfirmed};
use super::build::Terms;
use super::capabilities::Lacks;
use super::channel::{Carrier, Channel, Collection, Failure};
use super::collections::Names;
use super::error;
use super::hello::{Hello, version};
use super::initialize::{Index, Made, NamedIndex};
use super::{executions, inbox, outbox, rights, states};
use crate::contract::operation::RecordKind;
use crate::contract::report::{Probe, Usage};
use crate::error::{Detail, Error, Result};
use crate::time::Millis;

fn date(at: Millis) -> Bson {
    Bson::DateTime(DateTime::from_millis(at.0))
}

/// The collections of a store.
pub(super) struct Kinds<'a, C> {
    pub(super) payloads: Collection<'a, C>,
    pub(super) states: Collection<'a, C>,
    pub(super) executions: Collection<'a, C>,
    pub(super) log: Collection<'a, C>,
    pub(super) outbox: Collection<'a, C>,
    pub(super) inbox: Collection<'a, C>,
}

/// The collections of the other kinds, and the indexes that each needs beside that on the expiry.
fn indexes_of(names: &Names) -> [(&str, Vec<&'static str>); 4] {
    let names_of = |indexes: Vec<NamedIndex>| indexes.into_iter().map(|index| index.name).collect();
    [
        (names.of(RecordKind::States), states::indexes::names()),
        (names.of(RecordKind::Executions), names_of(executions::indexes::of_executions())),
        (names.log(), names_of(executions::indexes::of_logs())),
        (names.of(RecordKind::Outbox), names_of(outbox::indexes::of_events())),
    ]
}

/// Makes the indexes of all kinds. Answers warnings.
pub(super) async fn initialize<C: Carrier>(kinds: Kinds<'_, C>, hello: Hello, lacks: &Lacks) -> Result<Vec<String>> {
    let Kinds { payloads, states, executions, log, outbox, inbox } = kinds;
    let made = payloads.make_index().await?;
    lacks.learn(hello.has_transactions(), made.ttl);
    let refused = states::indexes::make(&states).await?;
    let slow = executions::indexes::make(&executions, &log).await?;
    let slow_events = outbox::indexes::make(&outbox).await?;
    inbox.make_index().await?;
    let atomic = hello.changes_atomically(states.on).await;
    let sagas = Sagas { collection: states.terms.collection, refused, atomic };
    let mut warnings = warnings(made, hello, payloads.terms.collection, &sagas);
    for (collection, refused, what) in [(executions, slow, "executions"), (outbox, slow_events, "events")] {
        if let Some(error) = refused {
            warnings.push(format!(
                "the indexes of collection {} cannot be made ({}): {what} are found slowly",
                collection.terms.collection,
                [vec![error.message().to_owned()], error.causes()].concat().join(": ")
            ));
        }
    }
    Ok(warnings)
}

/// Removes a batch of what has expired, of each kind of records.
pub(super) async fn purge<C: Carrier>(collections: &[Collection<'_, C>], now: Millis, limit: u64) -> Result<u64> {
    let mut removed = 0;
    for collection in collections {
        let left = limit.saturating_sub(removed);
        if left == 0 {
            break;
        }
        removed += collection.purge(now, left).await?;
    }
    Ok(removed)
}

/// The same, of the kinds that are not removed by their expiry alone.
pub(super) async fn purge_others(on: &impl Channel, now: Millis, limit: u64) -> Result<u64> {
    let mut removed = executions::lists::purge(&on.to(RecordKind::Executions), now, limit).await?;
    removed += outbox::upkeep::purge(&on.to(RecordKind::Outbox), now, limit.saturating_sub(removed)).await?;
    if removed < limit {
        removed += inbox::purge(&on.to(RecordKind::Inbox), now, limit - removed).await?;
    }
    Ok(removed)
}

/// What was made for sagas.
struct Sagas<'a> {
    collection: &'a str,
    /// Why the indexes could not be made.
    refused: Option<Error>,
    /// Whether an update that has found its document changes that very one.
    atomic: bool,
}

/// One warning says what a server lacks.
fn warnings(made: Made, hello: Hello, collection: &str, sagas: &Sagas<'_>) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    if let Some(error) = made.refused {
        missing.push(format!(
            "the TTL index on expiresAt of collection {collection} cannot be made or repaired ({}): the server does \
             not remove expired payloads on time, call cleanup() regularly",
            [vec![error.message().to_owned()], error.causes()].concat().join(": ")
        ));
    } else if !made.ttl {
        missing.push(String::from(
            "this server has no TTL indexes: it does not remove expired payloads (they are never returned), call \
             cleanup() regularly",
        ));
    }
    if !hello.has_transactions() {
        missing.push(String::from("this server has no transactions, because it is not part of a replica set"));
    }
    if let Some(error) = &sagas.refused {
        missing.push(format!(
            "the indexes of collection {} cannot be made ({}): without them the ids of sagas are not unique, do not \
             keep any there",
            sagas.collection,
            [vec![error.message().to_owned()], error.causes()].concat().join(": ")
        ));
    }
    if !sagas.atomic {
        missing.push(String::from(
            "this server (FerretDB 1) does not change a document atomically: of two processes that update the same \
             version of a saga both may succeed, and claimTimedOut may give one saga to both; executions and \
             events cannot be claimed",
        ));
    }
    if missing.is_empty() { Vec::new() } else { vec![missing.join("; ")] }
}

impl<C: Carrier> Collection<'_, C> {
    /// Asks for version, indexes and clock.
    pub(super) async fn probe(&self, database: &str, hello: Hello, names: &Names) -> Result<Probe> {
        let collection = self.terms.collection;
        let build = self.on.run(doc! { "buildInfo": 1 }).await.map_err(Failure::into_error)?;
        let index = self.look().await?;
        let mut degraded = Vec::new();
        degraded.extend(match &index {
            Index::NoCollection => Some(format!("collection {collection} does not exist: call initialize()")),
            Index::Missing | Index::Partial(_) => {
                Some(format!("collection {collection} has no index on expiresAt: call initialize()"))
            }
            Index::Late(_) => Some(format!(
                "the TTL index of collection {collection} removes payloads later than it should: call initialize()"
            )),
            Index::Ordinary(_) | Index::Ttl => None,
        });
        for (collection, needed) in indexes_of(names) {
            let terms = Terms { collection, ..self.terms };
            let lacks = Collection { on: self.on, terms, clock: self.clock }.lacks(&needed).await?;
            if !lacks.is_empty() {
                let lacks = lacks.join(", ");
                degraded.push(format!("collection {collection} lacks the indexes {lacks}: call initialize()"));
            }
        }
        degraded.extend(rights::lacking(self.on, database, names).await?);
        let degraded = (!degraded.is_empty()).then(|| degraded.join("; "));
        let expiry = if index == Index::Ttl { "server" } else { "cleanup" };
        let mut details = vec![
            ("collection", Detail::Text(format!("{database}.{collection}"))),
            ("deployment", Detail::Text(hello.deployment.name().to_owned())),
            ("expiry", Detail::Text(expiry.to_owned())),
        ];
        if let Some(ahead) = self.clock.ahead() {
            details.push(("clockOffsetMs", Detail::Number(ahead)));
        }
        Ok(Probe { server_version: version(&build), degraded, details })
    }

    /// Removes a batch of what has expired, found by the index.
    async fn purge(&self, now: Millis, limit: u64) -> Result<u64> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let over = || doc! { "$lte": date(self.clock.there(now)) };
        // A document with another kind of id is none of ours.
        let mut find = doc! {
            "find": self.terms.collection,
            "filter": { "expiresAt": over(), "_id": { "$type": "string" } },
            "projection": { "_id": 1 },
            "limit": limit,
            "batchSize": limit.saturating_add(1),
        };
        self.bound(&mut find);
        let found = self.on.run(find).await.map_err(Failure::into_error)?;
        let batch = found.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let ids = batch.map_err(error::malformed)?.iter().filter_map(|found| found.as_document()?.get("_id"));
        let ids: Vec<Bson> = ids.cloned().collect();
        if ids.is_empty() {
            return Ok(0);
        }
        // One that has got another expiry meanwhile stays.
        let mut delete = doc! {
            "delete": self.terms.collection,
            "deletes": [{ "q": { "_id": { "$in": ids }, "expiresAt": over() }, "limit": 0 }],
        };
        if let Some(concern) = self.terms.write_concern {
            delete.insert("writeConcern", Document::try_from(concern).map_err(error::malformed)?);
        }
        self.bound(&mut delete);
        let reply = self.on.run(delete).await.map_err(Failure::into_error)?;
        if let Some(failed) = first_write_error(&reply) {
            return Err(complaint(failed, false));
        }
        if let Some(unconfirmed) = unconfirmed(&reply) {
            return Err(unconfirmed);
        }
        Ok(u64::try_from(number(&reply, "n")).unwrap_or(0))
    }

    fn bound(&self, command: &mut Document) {
        if let Some(limit) = self.terms.max_time {
            command.insert("maxTimeMS", limit);
        }
    }

    /// Counts what is stored: the server reads the whole collection. `None`: it cannot count bytes.
    pub(super) async fn count(&self, now: Millis) -> Result<Option<Usage>> {
        let is = |field: &str, kind: &str| doc! { "$eq": [{ "$type": field }, kind] };
        let size = doc! { "$cond": [is("$data", "binData"), { "$binarySize": "$data" }, 0] };
        // A missing date is less than any other in an aggregation.
        let over = doc! { "$and": [is("$expiresAt", "date"), { "$lte": ["$expiresAt", date(self.clock.there(now))] }] };
        let group = doc! {
            "_id": Bson::Null,
            "payloads": { "$sum": 1 },
            "bytes": { "$sum": size },
            "expired": { "$sum": { "$cond": [over, 1, 0] } },
        };
        let mut aggregate =
            doc! { "aggregate": self.terms.collection, "pipeline": [{ "$group": group }], "cursor": {} };
        self.bound(&mut aggregate);
        match self.on.run(aggregate).await {
            Ok(reply) => usage(&reply).map(Some),
            Err(failure) if failure.code().is_some() => match failure.into_error() {
                refused if refused.is_retryable() || error::is_denied(&refused) => Err(refused),
                // A server without $binarySize.
                _ => Ok(None),
            },
            Err(failure) => Err(failure.into_error()),
        }
    }
}

fn usage(reply: &Document) -> Result<Usage> {
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let Some(group) = batch.map_err(error::malformed)?.first().and_then(Bson::as_document) else {
        return Ok(Usage::default());
    };
    let count = |name| u64::try_from(number(group, name)).unwrap_or(0);
    Ok(Usage { payloads: count("payloads"), bytes: count("bytes"), expired: count("expired") })
}
