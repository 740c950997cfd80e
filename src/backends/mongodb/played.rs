//! A server for tests that keeps documents: as much of one as the outbox, the inbox and moving records need, on the
//! scripted one. Each command happens at once; a transaction that is aborted is undone, as long as it is the only one.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use mongodb::bson::{Bson, Document, doc};

use super::peer::{Peer, Reply, name};

type Collections = HashMap<String, BTreeMap<String, Document>>;

/// The documents.
#[derive(Clone, Default)]
pub(super) struct Played {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    collections: Collections,
    /// What there was when the transaction began.
    before: Option<Collections>,
}

impl Played {
    /// A server that takes itself for a replica set. `first` may answer in its place, or let it pass.
    pub(super) async fn start(
        &self,
        hello: Document,
        first: impl Fn(&Document) -> Option<Reply> + Send + Sync + 'static,
    ) -> Peer {
        let played = self.clone();
        Peer::start(hello, move |command| first(command).unwrap_or_else(|| Reply::Say(played.answer(command)))).await
    }

    /// What a collection has.
    pub(super) fn documents(&self, collection: &str) -> Vec<Document> {
        let state = self.state.lock().unwrap();
        state.collections.get(collection).into_iter().flat_map(|documents| documents.values().cloned()).collect()
    }

    /// Changes a document by hand.
    pub(super) fn set(&self, collection: &str, id: &str, fields: Document) {
        let mut state = self.state.lock().unwrap();
        state.collections.get_mut(collection).unwrap().get_mut(id).unwrap().extend(fields);
    }

    fn answer(&self, command: &Document) -> Document {
        let mut state = self.state.lock().unwrap();
        if command.get_bool("startTransaction").ok() == Some(true) {
            state.before = Some(state.collections.clone());
        }
        match name(command) {
            "abortTransaction" => {
                if let Some(before) = state.before.take() {
                    state.collections = before;
                }
                doc! { "ok": 1 }
            }
            "insert" | "update" | "delete" | "find" | "aggregate" | "count" => {
                let collection = command.get_str(name(command)).unwrap().to_owned();
                let documents = state.collections.entry(collection).or_default();
                match name(command) {
                    "insert" => insert(documents, command),
                    "update" => update(documents, command),
                    "delete" => delete(documents, command),
                    "find" => find(documents, command),
                    "count" => doc! { "n": i32::try_from(documents.len()).unwrap(), "ok": 1 },
                    _ => aggregate(documents, command),
                }
            }
            _ => doc! { "ok": 1 },
        }
    }
}

fn list<'a>(command: &'a Document, name: &str) -> impl Iterator<Item = &'a Document> {
    command.get_array(name).unwrap().iter().map(|element| element.as_document().unwrap())
}

fn insert(documents: &mut BTreeMap<String, Document>, command: &Document) -> Document {
    let is_ordered = command.get_bool("ordered").ok() != Some(false);
    let (mut errors, mut count) = (Vec::new(), 0);
    for (index, document) in (0_i32..).zip(list(command, "documents")) {
        let id = document.get_str("_id").unwrap();
        if documents.contains_key(id) || has_other_of_correlation(documents, document) {
            errors.push(Bson::from(doc! { "index": index, "code": 11_000, "errmsg": "E11000" }));
            if is_ordered {
                break;
            }
        } else {
            documents.insert(id.to_owned(), document.clone());
            count += 1;
        }
    }
    let mut reply = doc! { "n": count, "ok": 1 };
    if !errors.is_empty() {
        reply.insert("writeErrors", errors);
    }
    reply
}

/// Whether the unique index on the correlation ids of sagas refuses a document.
fn has_other_of_correlation(documents: &BTreeMap<String, Document>, document: &Document) -> bool {
    document.contains_key("correlationId")
        && documents.values().any(|other| {
            let is_same = |name: &str| other.get(name) == document.get(name);
            is_same("sagaName") && is_same("correlationId") && !is_same("_id")
        })
}

fn update(documents: &mut BTreeMap<String, Document>, command: &Document) -> Document {
    let (mut count, mut errors, mut upserted) = (0, Vec::new(), Vec::new());
    for (index, statement) in (0_i32..).zip(list(command, "updates")) {
        let filter = statement.get_document("q").unwrap();
        let change = statement.get_document("u").unwrap();
        let most = if statement.get_bool("multi").ok() == Some(true) { usize::MAX } else { 1 };
        let id = || filter.get_str("_id").unwrap().to_owned();
        if change.contains_key("_id") {
            let is_met = documents.get(&id()).is_some_and(|document| meets(document, filter));
            if is_met && has_other_of_correlation(documents, change) {
                errors.push(Bson::from(doc! { "index": index, "code": 11_000, "errmsg": "E11000" }));
            } else if is_met {
                documents.insert(id(), change.clone());
                count += 1;
            }
            continue;
        }
        if let Ok(fields) = change.get_document("$setOnInsert") {
            count += 1;
            if let Entry::Vacant(place) = documents.entry(id()) {
                place.insert(doc! { "_id": id() }.into_iter().chain(fields.clone()).collect());
                upserted.push(Bson::from(doc! { "index": index, "_id": id() }));
            }
            continue;
        }
        for document in documents.values_mut().filter(|document| meets(document, filter)).take(most) {
            count += 1;
            for (operator, fields) in change {
                for (field, value) in fields.as_document().unwrap() {
                    match operator.as_str() {
                        "$set" => drop(document.insert(field, value.clone())),
                        "$unset" => drop(document.remove(field)),
                        "$inc" => {
                            let sum = document.get_i64(field).unwrap() + value.as_i64().unwrap();
                            document.insert(field, sum);
                        }
                        other => panic!("{other}"),
                    }
                }
            }
        }
    }
    let mut reply = doc! { "n": count, "nModified": count, "ok": 1 };
    for (name, list) in [("writeErrors", errors), ("upserted", upserted)] {
        if !list.is_empty() {
            reply.insert(name, list);
        }
    }
    reply
}

fn delete(documents: &mut BTreeMap<String, Document>, command: &Document) -> Document {
    let mut count = 0;
    for statement in list(command, "deletes") {
        let filter = statement.get_document("q").unwrap();
        let most = if statement.get_i32("limit").ok() == Some(0) { usize::MAX } else { 1 };
        let met = documents.iter().filter(|(_, document)| meets(document, filter)).take(most);
        let ids: Vec<String> = met.map(|(id, _)| id.clone()).collect();
        for id in ids {
            documents.remove(&id);
            count += 1;
        }
    }
    doc! { "n": count, "ok": 1 }
}

fn batch(found: Vec<Document>) -> Document {
    doc! { "cursor": { "id": 0_i64, "ns": "sagas.x", "firstBatch": found }, "ok": 1 }
}

fn find(documents: &BTreeMap<String, Document>, command: &Document) -> Document {
    let filter = command.get_document("filter").unwrap();
    let mut found: Vec<Document> = documents.values().filter(|document| meets(document, filter)).cloned().collect();
    if let Ok(by) = command.get_document("sort") {
        let fields: Vec<&String> = by.keys().collect();
        found.sort_by(|a, b| {
            let by_field = fields.iter().map(|field| order(a.get(field), b.get(field)));
            by_field.fold(Ordering::Equal, Ordering::then)
        });
    }
    let skipped = usize::try_from(command.get_i64("skip").unwrap_or(0)).unwrap();
    found.drain(..skipped.min(found.len()));
    found.truncate(usize::try_from(command.get_i32("limit").unwrap()).unwrap());
    let fields = command.get_document("projection").unwrap();
    if !fields.is_empty() {
        for document in &mut found {
            let is_asked_for = |(field, _): &(String, Bson)| field == "_id" || fields.contains_key(field);
            *document = std::mem::take(document).into_iter().filter(is_asked_for).collect();
            // Of the expressions that there are, the size of bytes.
            if fields.get_document("data").is_ok()
                && let Ok(size) = document.get_binary_generic("data").map(Vec::len)
            {
                document.insert("data", i32::try_from(size).unwrap());
            }
        }
    }
    batch(found)
}

fn aggregate(documents: &BTreeMap<String, Document>, command: &Document) -> Document {
    let mut found: Vec<Document> = documents.values().cloned().collect();
    for stage in list(command, "pipeline") {
        let (operator, value) = stage.iter().next().unwrap();
        match operator.as_str() {
            "$match" => found.retain(|document| meets(document, value.as_document().unwrap())),
            "$count" if found.is_empty() => {}
            "$count" => found = vec![doc! { value.as_str().unwrap(): i64::try_from(found.len()).unwrap() }],
            "$group" => {
                let field = value.as_document().unwrap().get_str("_id").unwrap().trim_start_matches('$').to_owned();
                let keys: std::collections::BTreeSet<&str> =
                    found.iter().map(|document| document.get_str(&field).unwrap()).collect();
                found = keys.into_iter().map(|key| doc! { "_id": key }).collect();
            }
            "$sort" => found.sort_by(|a, b| order(a.get("_id"), b.get("_id"))),
            "$limit" => found.truncate(usize::try_from(value.as_i64().unwrap()).unwrap()),
            other => panic!("{other}"),
        }
    }
    batch(found)
}

fn order(a: Option<&Bson>, b: Option<&Bson>) -> Ordering {
    match (a, b) {
        (Some(Bson::Int64(a)), Some(Bson::Int64(b))) => a.cmp(b),
        (Some(Bson::DateTime(a)), Some(Bson::DateTime(b))) => a.cmp(b),
        (Some(Bson::String(a)), Some(Bson::String(b))) => a.cmp(b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

fn meets(document: &Document, filter: &Document) -> bool {
    filter.iter().all(|(field, condition)| match (field.as_str(), condition) {
        ("$or", Bson::Array(ways)) => ways.iter().any(|way| meets(document, way.as_document().unwrap())),
        (_, Bson::Document(condition)) => {
            condition.iter().all(|(operator, value)| compares(document.get(field), operator, value))
        }
        (_, value) => document.get(field) == Some(value),
    })
}

fn compares(there: Option<&Bson>, operator: &str, value: &Bson) -> bool {
    let among = || there.is_some_and(|there| value.as_array().unwrap().contains(there));
    match operator {
        "$exists" => there.is_some() == value.as_bool().unwrap(),
        "$ne" => there != Some(value),
        "$eq" => there == Some(value),
        "$in" => among(),
        "$nin" => !among(),
        "$not" => value.as_document().unwrap().iter().all(|(operator, value)| !compares(there, operator, value)),
        // All ids are texts, and all numbers are numbers.
        "$type" => false,
        _ if there.is_none_or(|there| there.element_type() != value.element_type()) => false,
        "$lt" => order(there, Some(value)).is_lt(),
        "$lte" => order(there, Some(value)).is_le(),
        "$gt" => order(there, Some(value)).is_gt(),
        "$gte" => order(there, Some(value)).is_ge(),
        other => panic!("{other}"),
    }
}
