//! `initialize`, health, counts, and the removal of what has expired.

use futures_util::stream::StreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::Mongo;
use super::document::raw;
use super::error;
use super::executor::Server;
use super::initialize::Index;
use super::payloads::number;
use crate::error::{Detail, Result};
use crate::store::Probe;
use crate::store::statistics::Usage;
use crate::time::Millis;

/// Payloads in an answer, where they are counted one by one: two of the largest fit.
const COUNT_AT_ONCE: u32 = 2;

fn date(at: Millis) -> Bson {
    Bson::DateTime(DateTime::from_millis(at.0))
}

impl Mongo {
    /// Makes the index; one warning says what this server lacks.
    pub(super) async fn initialize_collection(&self) -> Result<Vec<String>> {
        let server = self.executor.shared().server().await?;
        let made = self.make_index(&server).await?;
        self.learn(server.has_transactions(), made.ttl);
        let mut missing: Vec<String> = Vec::new();
        if let Some(error) = made.refused {
            missing.push(format!(
                "the TTL index on expiresAt of collection {} cannot be made or repaired ({}): the server does not \
                 remove expired payloads on time, call cleanup() regularly",
                self.collection,
                [vec![error.message().to_owned()], error.causes()].concat().join(": ")
            ));
        } else if !made.ttl {
            missing.push(String::from(
                "this server has no TTL indexes: it does not remove expired payloads (they are never returned), call \
                 cleanup() regularly",
            ));
        }
        if !server.has_transactions() {
            missing.push(String::from("this server has no transactions, because it is not part of a replica set"));
        }
        Ok(if missing.is_empty() { Vec::new() } else { vec![missing.join("; ")] })
    }

    /// Asks for version, index and clock.
    pub(super) async fn probe_server(&self) -> Result<Probe> {
        let server = self.executor.shared().server().await?;
        let build = server.run(raw(&doc! { "buildInfo": 1 })?).await.map_err(error::command)?;
        let index = self.look(&server).await?;
        let degraded = match &index {
            Index::NoCollection => Some(format!("collection {} does not exist: call initialize()", self.collection)),
            Index::Missing | Index::Partial(_) => {
                Some(format!("collection {} has no index on expiresAt: call initialize()", self.collection))
            }
            Index::Late(_) => Some(format!(
                "the TTL index of collection {} removes payloads later than it should: call initialize()",
                self.collection
            )),
            Index::Ordinary(_) | Index::Ttl => None,
        };
        let expiry = if index == Index::Ttl { "server" } else { "cleanup" };
        let mut details = vec![
            ("collection", Detail::Text(format!("{}.{}", self.executor.address().database, self.collection))),
            ("deployment", Detail::Text(server.deployment.name().to_owned())),
            ("expiry", Detail::Text(expiry.to_owned())),
        ];
        if let Some(ahead) = self.executor.clock().ahead() {
            details.push(("clockOffsetMs", Detail::Number(ahead)));
        }
        let emulated = build.get_str("ferretdbVersion");
        let version = build.get_str("version").ok().map(|version| match emulated {
            Ok(ferret) => format!("{version} (FerretDB {ferret})"),
            Err(_) => version.to_owned(),
        });
        Ok(Probe { server_version: version, degraded, details })
    }

    /// Removes a batch of what has expired, found by the index.
    pub(super) async fn purge(&self, now: Millis, limit: u64) -> Result<u64> {
        let server = self.executor.shared().server().await?;
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let over = || doc! { "$lte": date(self.there(now)) };
        let find = doc! {
            "find": &self.collection,
            "filter": { "expiresAt": over() },
            "projection": { "_id": 1 },
            "limit": limit,
            "batchSize": limit,
            "maxTimeMS": self.max_time,
        };
        let mut ids = Vec::new();
        let mut found = server.database().run_raw_cursor_command(raw(&find)?).await.map_err(error::command)?;
        while let Some(document) = found.next().await {
            ids.extend(document.map_err(error::command)?.remove("_id"));
        }
        if ids.is_empty() {
            return Ok(0);
        }
        // One that has got another expiry meanwhile stays.
        let delete = doc! {
            "delete": &self.collection,
            "deletes": [{ "q": { "_id": { "$in": ids }, "expiresAt": over() }, "limit": 0 }],
            "writeConcern": self.executor.address().write_concern.clone(),
            "maxTimeMS": self.max_time,
        };
        let reply = server.run(raw(&delete)?).await.map_err(error::command)?;
        let failed = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()).and_then(Bson::as_document);
        if let Some(failed) = failed {
            return Err(error::complaint(failed, false));
        }
        if let Ok(unconfirmed) = reply.get_document("writeConcernError") {
            return Err(error::unconfirmed(unconfirmed));
        }
        Ok(u64::try_from(number(&reply, "n")).unwrap_or(0))
    }

    /// Counts what is stored: the server reads the whole collection.
    pub(super) async fn count(&self, now: Millis) -> Result<Usage> {
        let server = self.executor.shared().server().await?;
        let is = |field: &str, kind: &str| doc! { "$eq": [{ "$type": field }, kind] };
        let size = doc! { "$cond": [is("$data", "binData"), { "$binarySize": "$data" }, 0] };
        // A missing date is less than any other in an aggregation.
        let over = doc! { "$and": [is("$expiresAt", "date"), { "$lte": ["$expiresAt", date(self.there(now))] }] };
        let group = doc! {
            "_id": Bson::Null,
            "payloads": { "$sum": 1 },
            "bytes": { "$sum": size },
            "expired": { "$sum": { "$cond": [over, 1, 0] } },
        };
        let aggregate = doc! {
            "aggregate": &self.collection,
            "pipeline": [{ "$group": group }],
            "cursor": {},
            "maxTimeMS": self.max_time,
        };
        match server.run(raw(&aggregate)?).await {
            Ok(reply) => usage(&reply),
            Err(failure) if error::code_of(&failure).is_some() => {
                let classified = error::command(failure);
                if classified.is_retryable() || error::is_denied(&classified) {
                    return Err(classified);
                }
                // A server without $binarySize.
                self.count_one_by_one(&server, now).await
            }
            Err(failure) => Err(error::command(failure)),
        }
    }

    /// The same where the server cannot count bytes: they are read, all of them.
    async fn count_one_by_one(&self, server: &Server, now: Millis) -> Result<Usage> {
        let find =
            doc! { "find": &self.collection, "projection": { "data": 1, "expiresAt": 1 }, "batchSize": COUNT_AT_ONCE };
        let now = self.there(now);
        let mut usage = Usage::default();
        let command = server.database().run_raw_cursor_command(raw(&find)?).batch_size(COUNT_AT_ONCE);
        let mut answers = command.batch().await.map_err(error::command)?;
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(error::command)?;
            for entry in answer.doc_slices().map_err(error::command)? {
                let entry = entry.map_err(error::malformed)?;
                let Some(document) = entry.as_document() else { continue };
                usage.payloads += 1;
                usage.bytes += document.get_binary("data").map_or(0, |data| data.bytes.len() as u64);
                let over = document.get_datetime("expiresAt").is_ok_and(|at| at.timestamp_millis() <= now.0);
                usage.expired += u64::from(over);
            }
        }
        Ok(usage)
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
