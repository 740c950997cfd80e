//! Sagas that software without our lists has written, such as `@saga-bus/store-redis`:
//!
//! 1. The keys of every primary are scanned. Each state that is found is put into the lists in which it belongs.
//! 2. The lists are scanned. Each saga that is not stored any more is taken out.
//!
//! Only lists and indexes are written. Each step can be done again, so who is interrupted begins again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fred::error::Error as FredError;
use fred::prelude::Value;

use super::States;
use super::keys::{Keys, LISTS, all_names, names};
use super::lists::AT_ONCE;
use super::scripts::{self as ask, known_of, number_of, text_of};
use crate::backends::redis::channel::{Channel, SCAN_COUNT, Servers, escaped};
use crate::backends::redis::{channel, error};
use crate::contract::states::Reindexed;
use crate::error::{Error, Kind, Result};

/// A call goes on with its steps until then, and leaves the others to the next one.
const LASTS: Duration = Duration::from_millis(500);
/// SCANs on each server with which `initialize` looks for such sagas, and how many of them it looks at.
const LOOKED_AT: (usize, usize) = (10, 50);

/// How far it has come.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// In the keys of a server; none: of the first one.
    Keys { server: Option<String>, cursor: String },
    /// In a list of the sagas of a name.
    List { name: String, list: usize, cursor: String },
}

impl Place {
    fn read(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self::Keys { server: None, cursor: String::from("0") }) };
        let mut words = text.splitn(4, ' ');
        let mut next = || words.next();
        let place = match (next(), next(), next(), next()) {
            (Some("keys"), Some(_), Some(cursor), Some(server)) => {
                Some(Self::Keys { server: Some(server.to_owned()), cursor: cursor.to_owned() })
            }
            (Some("list"), Some(list), Some(cursor), Some(name)) => {
                let list = list.parse().ok().filter(|list| *list < LISTS.len());
                list.map(|list| Self::List { name: name.to_owned(), list, cursor: cursor.to_owned() })
            }
            _ => None,
        };
        place.ok_or_else(|| Error::invalid("the cursor is not one of reindex"))
    }

    fn text(&self) -> String {
        match self {
            Self::Keys { server, cursor } => format!("keys 0 {cursor} {}", server.as_deref().unwrap_or_default()),
            Self::List { name, list, cursor } => format!("list {list} {cursor} {name}"),
        }
    }
}

/// What keys there are of the sagas of each name.
#[derive(Default)]
struct Found {
    /// Correlation ids of states.
    states: BTreeMap<String, BTreeSet<String>>,
    /// All names, those of lists as well.
    names: BTreeSet<String>,
}

impl Found {
    fn note(&mut self, prefix: &str, name: Option<&str>, key: &[u8]) {
        let key = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(prefix)?.strip_prefix("saga:"));
        let Some((found, rest)) = key.and_then(|key| key.split_once(':')) else { return };
        if name.is_some_and(|name| name != found) {
            return;
        }
        match rest.strip_prefix("idx:") {
            None => drop(self.states.entry(found.to_owned()).or_default().insert(rest.to_owned())),
            Some(index) if LISTS.contains(&index) => {}
            Some(_) => return,
        }
        self.names.insert(found.to_owned());
    }
}

/// Does as much as a call may take; the cursor of what was done before comes from its answer.
pub(crate) async fn run<S: Servers>(
    on: &S,
    prefix: &str,
    name: Option<&str>,
    cursor: Option<&str>,
) -> Result<Reindexed> {
    let (states, began) = (States { on, prefix }, Instant::now());
    let (mut place, mut done) = (Place::read(cursor)?, Reindexed::default());
    loop {
        let next = match place {
            Place::Keys { server, cursor } => in_keys(&states, name, server, &cursor, &mut done).await?,
            Place::List { name: of, list, cursor } => in_list(&states, name, of, list, &cursor, &mut done).await?,
        };
        match next {
            Some(next) if began.elapsed() < LASTS => place = next,
            next => {
                done.cursor = next.map(|place| place.text());
                return Ok(done);
            }
        }
    }
}

async fn in_keys<S: Servers>(
    states: &States<'_, S>,
    name: Option<&str>,
    server: Option<String>,
    cursor: &str,
    done: &mut Reindexed,
) -> Result<Option<Place>> {
    let mut servers: Vec<(String, Option<S::Name>)> = states
        .on
        .nodes()
        .await?
        .into_iter()
        .map(|node| (node.as_ref().map_or_else(String::new, S::label), node))
        .collect();
    servers.sort_by(|a, b| a.0.cmp(&b.0));
    // If the cluster has other servers by now, it begins again.
    let at = server.as_ref().map_or(Some(0), |server| servers.iter().position(|(label, _)| label == server));
    let (at, cursor) = at.map_or((0, "0"), |at| (at, cursor));
    let Some((label, node)) = servers.get(at) else { return Err(error::unexpected()) };
    let (next, found) = scan(states, name, node.as_ref(), cursor).await?;
    for name in &found.names {
        let (timed, all) = (names(states.prefix), all_names(states.prefix));
        for reply in states.some([ask::remember(&timed, name), ask::add(&all, 0, name)]).await? {
            reply?;
        }
    }
    for (name, correlation_ids) in &found.states {
        let correlation_ids: Vec<&str> = correlation_ids.iter().map(String::as_str).collect();
        for some in correlation_ids.chunks(AT_ONCE) {
            bring_in(states, states.keys(name), some, done).await?;
        }
    }
    let keys = |label: &str, cursor: String| Some(Place::Keys { server: Some(label.to_owned()), cursor });
    if next != "0" {
        return Ok(keys(label, next));
    }
    match servers.get(at + 1) {
        Some((label, _)) => Ok(keys(label, next)),
        None => first_list(states, name, None).await,
    }
}

async fn scan<S: Servers>(
    states: &States<'_, S>,
    name: Option<&str>,
    node: Option<&S::Name>,
    cursor: &str,
) -> Result<(String, Found)> {
    let pattern = format!("{}saga:{}:*", escaped(states.prefix), name.map_or_else(|| String::from("*"), escaped));
    let (next, keys) = channel::scan(states.on, node, cursor, &pattern).await?;
    let mut found = Found::default();
    for key in keys {
        found.note(states.prefix, name, &key);
    }
    Ok((next, found))
}

/// Puts the sagas of these correlation ids into their lists.
async fn bring_in<C: Channel>(
    states: &States<'_, C>,
    keys: Keys<'_>,
    correlation_ids: &[&str],
    done: &mut Reindexed,
) -> Result<()> {
    let stored = correlation_ids.iter().map(|correlation_id| ask::get(keys.state(correlation_id))).collect();
    let mut sagas = Vec::with_capacity(correlation_ids.len());
    for (correlation_id, reply) in correlation_ids.iter().zip(states.on.send(stored).await?) {
        match known_of(reply) {
            Ok(Some(known)) => sagas.push((known.saga_id, *correlation_id)),
            Ok(None) => {}
            Err(error) if error.kind() == Kind::CorruptData => done.unreadable += 1,
            Err(error) => return Err(error),
        }
    }
    let ids: Vec<&str> = sagas.iter().map(|(id, _)| id.as_str()).collect();
    for ((id, correlation_id), index) in sagas.iter().zip(states.correlation_ids(keys, &ids).await?) {
        if index.as_deref() != Some(correlation_id) {
            lead_to(states, keys, id, correlation_id).await?;
        }
    }
    done.found += ids.len() as u64;
    done.added += states.sync_all(keys, &ids, None).await?.misplaced;
    Ok(())
}

/// Has the index of a saga lead to its state, unless it leads to another one of the same saga.
async fn lead_to<C: Channel>(states: &States<'_, C>, keys: Keys<'_>, id: &str, correlation_id: &str) -> Result<()> {
    if let Some(other) = text_of(states.one(ask::claim(keys.id(id), correlation_id)).await?)? {
        if states.is_at(keys, &other, id).await? {
            return Ok(());
        }
        states.one(ask::move_to(keys.id(id), &other, correlation_id)).await??;
    }
    let left = number_of(states.one(ask::time_left(&keys.state(correlation_id))).await?)?;
    states.one(ask::confirm(keys.id(id), correlation_id, Some(left).filter(|left| *left > 0))).await??;
    Ok(())
}

/// The first list of the first name behind `after`.
async fn first_list<C: Channel>(
    states: &States<'_, C>,
    name: Option<&str>,
    after: Option<&str>,
) -> Result<Option<Place>> {
    let next =
        states.names(name).await?.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after)).min();
    Ok(next.map(|name| Place::List { name, list: 0, cursor: String::from("0") }))
}

async fn in_list<C: Channel>(
    states: &States<'_, C>,
    only: Option<&str>,
    name: String,
    list: usize,
    cursor: &str,
    done: &mut Reindexed,
) -> Result<Option<Place>> {
    let keys = states.keys(&name);
    if list == 0 && cursor == "0" {
        states.settle_marks(keys).await?;
    }
    let key = LISTS.get(list).map(|list| keys.list(list)).ok_or_else(error::unexpected)?;
    let page = states.one(ask::scan_list(&key, cursor, SCAN_COUNT)).await??;
    // Each member with its score.
    let (next, pairs) = page.convert::<(String, Vec<Value>)>().map_err(|_: FredError| error::unexpected())?;
    let ids: Vec<String> = pairs.iter().step_by(2).filter_map(Value::as_string).collect();
    let gone = not_stored(states, keys, &ids).await?;
    done.removed += states.sync_all(keys, &gone, None).await?.gone;
    if next != "0" {
        return Ok(Some(Place::List { name, list, cursor: next }));
    }
    if list + 1 < LISTS.len() {
        return Ok(Some(Place::List { name, list: list + 1, cursor: next }));
    }
    first_list(states, only, Some(&name)).await
}

/// Those of which there is no state where their index leads.
async fn not_stored<'b, C: Channel>(states: &States<'_, C>, keys: Keys<'_>, ids: &'b [String]) -> Result<Vec<&'b str>> {
    let indexes = states.correlation_ids(keys, ids).await?;
    let there = indexes.iter().flatten().map(|correlation_id| ask::exists(&keys.state(correlation_id))).collect();
    let mut there = states.on.send(there).await?.into_iter();
    let mut gone = Vec::new();
    for (id, index) in ids.iter().zip(indexes) {
        let is_there = index.is_some() && number_of(there.next().unwrap_or_else(|| Err(error::unexpected())))? != 0;
        if !is_there {
            gone.push(id.as_str());
        }
    }
    Ok(gone)
}

/// A warning, if there are sagas in the first keys that are in no list. Whoever may not look is not warned.
pub(crate) async fn warning<S: Servers>(on: &S, prefix: &str) -> Result<Option<String>> {
    match first_unlisted(&States { on, prefix }).await {
        Ok(Some(name)) => Ok(Some(format!(
            "there are sagas '{name}' that other software has written and that no list has: findByName, countByName and \
             findTimedOut do not see them before states.reindex() has been called"
        ))),
        Err(error) if matches!(error.kind(), Kind::Connection | Kind::Timeout) => Err(error),
        Ok(None) | Err(_) => Ok(None),
    }
}

async fn first_unlisted<S: Servers>(states: &States<'_, S>) -> Result<Option<String>> {
    let (pages, most) = LOOKED_AT;
    for node in states.on.nodes().await? {
        let (mut cursor, mut looked) = (String::from("0"), 0);
        for _ in 0..pages {
            let (next, found) = scan(states, None, node.as_ref(), &cursor).await?;
            for (name, correlation_ids) in found.states {
                let some: Vec<String> = correlation_ids.into_iter().take(most - looked).collect();
                looked += some.len();
                if is_unlisted(states, states.keys(&name), &some).await? {
                    return Ok(Some(name));
                }
            }
            cursor = next;
            if cursor == "0" || looked >= most {
                break;
            }
        }
    }
    Ok(None)
}

async fn is_unlisted<C: Channel>(states: &States<'_, C>, keys: Keys<'_>, correlation_ids: &[String]) -> Result<bool> {
    // Of a change that is under way the lists are behind.
    if number_of(states.one(ask::size(&keys.unsettled())).await?)? != 0 {
        return Ok(false);
    }
    let stored = correlation_ids.iter().map(|correlation_id| ask::get(keys.state(correlation_id))).collect();
    let known = states.on.send(stored).await?.into_iter().filter_map(|reply| known_of(reply).ok().flatten());
    let scores = known.map(|known| {
        let list = if known.completed { "completed" } else { "open" };
        ask::score(&keys.list(list), &known.saga_id)
    });
    for reply in states.on.send(scores.collect()).await? {
        if matches!(reply?, Value::Null) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again() {
        for place in [
            Place::Keys { server: Some(String::new()), cursor: String::from("17") },
            Place::Keys { server: Some(String::from("10.0.0.1:6379")), cursor: String::from("0") },
            Place::List { name: String::from("my saga"), list: 4, cursor: String::from("3") },
        ] {
            assert_eq!(Place::read(Some(&place.text())).unwrap(), place);
        }
        for text in ["", "keys", "list 9 0 x", "list 0 0", "other 0 0 x"] {
            assert_eq!(Place::read(Some(text)).unwrap_err().kind(), Kind::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn keys_are_told_apart() {
        let mut found = Found::default();
        for key in ["p:saga:A:c-1", "p:saga:A:idx:id:s-1", "p:saga:B:idx:open", "p:saga:A:c:2", "p:names", "q:saga:A:c"]
        {
            found.note("p:", None, key.as_bytes());
        }
        assert_eq!(found.states["A"].iter().map(String::as_str).collect::<Vec<_>>(), ["c-1", "c:2"]);
        assert_eq!(found.names.iter().map(String::as_str).collect::<Vec<_>>(), ["A", "B"]);
    }
}
