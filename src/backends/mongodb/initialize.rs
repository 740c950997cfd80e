//! The index on the expiry: a TTL index where the server has those, an ordinary one elsewhere.
//!
//! Several processes may do this at once: each looks, does one step, and looks again, until what
//! it sees is as it should be.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use super::answer::number;
use super::channel::{Carrier, Collection, Failure};
use super::error;
use crate::error::{Error, Kind, Result};

/// Steps before it gives up: others are undoing what it does.
const MAX_STEPS: usize = 20;
/// A pause after an error that passes.
const PAUSE: Duration = Duration::from_millis(50);
/// Indexes of a collection, in one answer: no server allows more than 64.
const MAX_INDEXES: i32 = 1_000;
/// The name that the server would give to it as well.
const NAME: &str = "expiresAt_1";
/// There is an index of this key, or of this name, with other options.
const CONFLICT: [i32; 2] = [85, 86];
/// There is none of this name.
const INDEX_NOT_FOUND: i32 = 27;

/// The index on the expiry, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// The collection does not exist.
    NoCollection,
    /// There is none.
    Missing,
    /// It helps `cleanup()`, and removes nothing by itself.
    Ordinary(String),
    /// It removes documents, but not when their time is over.
    Late(String),
    /// It knows some of the documents only.
    Partial(String),
    /// It removes a document when its time is over.
    Ttl,
}

impl Index {
    /// Finds it in the answer to `listIndexes`.
    fn of(reply: &Document) -> Result<Self> {
        let mut found = Self::Missing;
        for index in listed(reply)?.filter(|index| is_on_expiry(index)) {
            let name = index.get_str("name").unwrap_or(NAME).to_owned();
            let seen = if index.contains_key("partialFilterExpression") {
                Self::Partial(name)
            } else if !index.contains_key("expireAfterSeconds") {
                Self::Ordinary(name)
            } else if number(index, "expireAfterSeconds") == 0 {
                Self::Ttl
            } else {
                Self::Late(name)
            };
            // Servers allow several that differ in a filter or a collation: the best one counts.
            if found == Self::Missing || seen == Self::Ttl {
                found = seen;
            }
        }
        Ok(found)
    }
}

/// The indexes in an answer to `listIndexes`.
fn listed(reply: &Document) -> Result<impl Iterator<Item = &Document>> {
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    Ok(batch.map_err(error::malformed)?.iter().filter_map(Bson::as_document))
}

/// Another index than that on the expiry.
pub(super) struct NamedIndex {
    pub(super) name: &'static str,
    pub(super) key: Document,
    /// Which documents it has, where the server can leave others out.
    pub(super) partial: Option<Document>,
}

/// Whether the key is `expiresAt` alone; the direction does not matter.
fn is_on_expiry(index: &Document) -> bool {
    index.get_document("key").is_ok_and(|key| {
        let on_it = key.len() == 1 && key.contains_key("expiresAt");
        on_it && [1, -1].contains(&number(key, "expiresAt"))
    })
}

/// What `initialize` made of it.
pub(super) struct Made {
    /// Whether the server removes what has expired.
    pub(super) ttl: bool,
    /// Why the index is not as it should be, other than that the server has no TTL indexes.
    pub(super) refused: Option<Error>,
}

/// How a step went.
enum Step {
    Done,
    /// There is another index of the same key.
    Conflict,
    /// The server does not do this.
    Refused(Error),
}

impl<C: Carrier> Collection<'_, C> {
    /// Looks at the index.
    pub(super) async fn look(&self) -> Result<Index> {
        self.list_indexes().await?.map_or(Ok(Index::NoCollection), |reply| Index::of(&reply))
    }

    /// Makes the index as it should be.
    pub(super) async fn make_index(&self) -> Result<Made> {
        let made = |ttl, refused| Ok(Made { ttl, refused });
        // The server takes `expireAfterSeconds`, as far as is known; what has been tried before.
        let (mut has_ttl, mut changed, mut created) = (true, false, false);
        let mut last: Option<Error> = None;
        for _ in 0..MAX_STEPS {
            let index = self.look().await?;
            let step = match &index {
                Index::Ttl => return made(true, None),
                Index::NoCollection | Index::Missing => self.create(has_ttl).await?,
                _ if !has_ttl => return made(false, None),
                Index::Ordinary(name) | Index::Late(name) if !changed => {
                    changed = true;
                    self.change(name).await?;
                    continue;
                }
                // It has taken the option without a word, and not kept it.
                Index::Ordinary(_) if created => return made(false, None),
                Index::Ordinary(_) => self.create(true).await?,
                Index::Late(_) | Index::Partial(_) => Step::Conflict,
            };
            match (step, index) {
                (Step::Done, _) => created = true,
                (Step::Conflict, Index::Ordinary(name) | Index::Late(name) | Index::Partial(name)) => {
                    if let Step::Refused(error) = self.drop_index(&name).await? {
                        return made(false, Some(error));
                    }
                }
                // Another process was quicker.
                (Step::Conflict, _) => self.on.pause(PAUSE).await,
                (Step::Refused(error), _) if error.is_retryable() => {
                    last = Some(error);
                    self.on.pause(PAUSE).await;
                }
                (Step::Refused(error), _) if error::is_denied(&error) || !has_ttl => return made(false, Some(error)),
                (Step::Refused(_), _) => has_ttl = false,
            }
        }
        made(false, Some(last.unwrap_or_else(error::unexpected)))
    }

    /// Makes other indexes than that on the expiry. Answers why the server refuses one, if it does.
    pub(super) async fn make_named(&self, indexes: Vec<NamedIndex>) -> Result<Option<Error>> {
        for NamedIndex { name, key, partial } in indexes {
            let mut index = doc! { "key": key, "name": name };
            let is_partial = partial.is_some();
            if let Some(partial) = partial {
                index.insert("partialFilterExpression", partial);
            }
            let mut refused = self.create_index(&index).await?;
            if refused.is_some() && is_partial {
                // FerretDB 1 has none.
                index.remove("partialFilterExpression");
                refused = self.create_index(&index).await?;
            }
            if refused.is_some() {
                return Ok(refused);
            }
        }
        Ok(None)
    }

    /// Which of these indexes the collection lacks; none if there is no such collection.
    pub(super) async fn lacks(&self, names: &[&'static str]) -> Result<Vec<&'static str>> {
        let Some(reply) = self.list_indexes().await? else { return Ok(Vec::new()) };
        let found: Vec<&str> = listed(&reply)?.filter_map(|index| index.get_str("name").ok()).collect();
        Ok(names.iter().copied().filter(|name| !found.contains(name)).collect())
    }

    /// None: the collection does not exist.
    async fn list_indexes(&self) -> Result<Option<Document>> {
        let cursor = doc! { "batchSize": MAX_INDEXES };
        match self.on.run(doc! { "listIndexes": self.terms.collection, "cursor": cursor }).await {
            Ok(reply) => Ok(Some(reply)),
            Err(failure) if failure.code() == Some(error::NAMESPACE_NOT_FOUND) => Ok(None),
            Err(failure) => Err(failure.into_error()),
        }
    }

    /// Makes an index. Answers why the server refuses to, if it does.
    pub(super) async fn create_index(&self, index: &Document) -> Result<Option<Error>> {
        let mut command = doc! { "createIndexes": self.terms.collection, "indexes": [index.clone()] };
        if self.terms.write_concern.is_some() {
            command.insert("writeConcern", doc! { "w": "majority" });
        }
        match self.on.run(command).await {
            Err(failure) if failure.code().is_some() => {
                let error = failure.into_error();
                if error.is_retryable() { Err(error) } else { Ok(Some(error)) }
            }
            made => made.map(|_| None).map_err(Failure::into_error),
        }
    }

    async fn create(&self, ttl: bool) -> Result<Step> {
        let mut index = doc! { "key": { "expiresAt": 1 }, "name": NAME };
        if ttl {
            index.insert("expireAfterSeconds", 0);
        }
        self.step(doc! { "createIndexes": self.terms.collection, "indexes": [index] }).await
    }

    async fn change(&self, name: &str) -> Result<Step> {
        let index = doc! { "name": name, "expireAfterSeconds": 0 };
        self.step(doc! { "collMod": self.terms.collection, "index": index }).await
    }

    async fn drop_index(&self, name: &str) -> Result<Step> {
        self.step(doc! { "dropIndexes": self.terms.collection, "index": name }).await
    }

    /// Runs a command on the index. An error is one that ends it all.
    async fn step(&self, mut command: Document) -> Result<Step> {
        command.insert("writeConcern", doc! { "w": "majority" });
        let Err(failure) = self.on.run(command).await else { return Ok(Step::Done) };
        match failure.code() {
            Some(code) if CONFLICT.contains(&code) => Ok(Step::Conflict),
            // Another process has dropped it.
            Some(INDEX_NOT_FOUND) => Ok(Step::Done),
            Some(_) => match failure.into_error() {
                error if matches!(error.kind(), Kind::Connection | Kind::Timeout) => Err(error),
                error => Ok(Step::Refused(error)),
            },
            None => Err(failure.into_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_found() {
        let id = doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" };
        let on_expiry = |more: Document| {
            let mut index = doc! { "key": { "expiresAt": 1 }, "name": "mine" };
            index.extend(more);
            index
        };
        let mine = || String::from("mine");
        for (index, expected) in [
            (doc! { "key": { "other": 1 }, "name": "o", "expireAfterSeconds": 0 }, Index::Missing),
            (doc! { "key": { "expiresAt": 1, "other": 1 }, "name": "o" }, Index::Missing),
            (doc! { "key": { "expiresAt": "hashed" }, "name": "o" }, Index::Missing),
            (on_expiry(doc! {}), Index::Ordinary(mine())),
            (on_expiry(doc! { "expireAfterSeconds": 3_600 }), Index::Late(mine())),
            (on_expiry(doc! { "expireAfterSeconds": 0_i64 }), Index::Ttl),
            (on_expiry(doc! { "expireAfterSeconds": 0.0 }), Index::Ttl),
            (on_expiry(doc! { "expireAfterSeconds": 0, "partialFilterExpression": {} }), Index::Partial(mine())),
            (doc! { "key": { "expiresAt": -1.0 }, "name": "d", "expireAfterSeconds": 0 }, Index::Ttl),
        ] {
            let reply = doc! { "cursor": { "id": 0_i64, "firstBatch": [id.clone(), index.clone()] }, "ok": 1 };
            assert_eq!(Index::of(&reply).unwrap(), expected, "{index}");
        }
        assert!(Index::of(&doc! { "ok": 1 }).is_err());
    }
}
