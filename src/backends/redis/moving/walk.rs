//! SCANs of all primaries, one after the other. Nothing is held open between two steps: the place is all there is.
//!
//! - What is there from the beginning to the end is found at least once. SCAN says so of one server; `topology.rs` says
//!   which slots have moved between servers, and those are scanned once more.
//! - A server that was started again, or that another one has taken the place of, has its keys in another order: its
//!   scan begins again.

use bytes::Bytes;
use fred::error::Error as FredError;
use serde::{Deserialize, Serialize};

use super::topology::{self, Primary, Slots};
use crate::backends::redis::channel::Servers;
use crate::backends::redis::command::Request;
use crate::backends::redis::error;
use crate::contract::moving::foreign_cursor;
use crate::error::{Error, Kind, Result};

/// Slots that nobody seems to have, of which a key is asked for, so that the client finds out who has them.
const POKED: usize = 8;

/// The first cursor of a SCAN, and the last.
const EDGE: &str = "0";

/// How far a walk has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// What the primaries said when the pass began.
    before: Vec<Primary>,
    /// The slots that are looked at; empty: all.
    slots: String,
    /// The place in the pass.
    visit: usize,
    /// The run of the server that is scanned, and SCAN's cursor there.
    run: String,
    cursor: String,
}

impl Place {
    fn new(before: Vec<Primary>, slots: String) -> Self {
        Self { before, slots, visit: 0, run: String::new(), cursor: String::from(EDGE) }
    }

    /// The next server.
    fn go_on(&mut self) {
        self.visit += 1;
        self.run.clear();
        self.cursor.replace_range(.., EDGE);
    }
}

/// Which keys are meant.
pub(super) struct Pattern {
    /// What they match.
    pub(super) keys: String,
    /// What they are, as TYPE says it.
    pub(super) of_type: &'static str,
    /// How many keys a step looks at.
    pub(super) count: u64,
}

/// A walk through the keys of all servers.
pub(super) struct Walk<'a, S: Servers> {
    on: &'a S,
    pattern: Pattern,
    servers: Vec<(Primary, Option<S::Name>)>,
    place: Place,
    visits: Vec<String>,
    only: Option<Slots>,
    /// Whether it is known that the server is the one that the cursor is of.
    is_same: bool,
}

impl<'a, S: Servers> Walk<'a, S> {
    /// Begins, or goes on where it has been.
    pub(super) async fn at(on: &'a S, pattern: Pattern, place: Option<Place>) -> Result<Self> {
        let servers = servers(on).await?;
        let place = match place {
            Some(place) => place,
            None => Place::new(primaries(&servers), String::new()),
        };
        place.cursor.parse::<u64>().map_err(|_| foreign_cursor())?;
        let mut walk = Self { on, pattern, servers, place, visits: Vec::new(), only: None, is_same: false };
        walk.plan();
        Ok(walk)
    }

    /// Where it is.
    pub(super) fn place(self) -> Place {
        self.place
    }

    fn plan(&mut self) {
        self.only = Some(Slots::read(&self.place.slots)).filter(|slots| !slots.is_empty());
        self.visits = topology::visits(&self.place.before, self.only.as_ref());
        self.is_same = false;
    }

    /// Looks at some keys; none at the end. A key may come twice.
    pub(super) async fn step(&mut self) -> Result<Option<Vec<Bytes>>> {
        loop {
            let Some(id) = self.visits.get(self.place.visit) else {
                if self.has_ended().await? {
                    return Ok(None);
                }
                continue;
            };
            let Some((_, name)) = self.servers.iter().find(|(primary, _)| primary.0 == *id) else {
                // What it had is elsewhere, which is seen at the end.
                self.place.go_on();
                self.is_same = false;
                continue;
            };
            if !self.is_same {
                let run = run_of(self.on, name.as_ref()).await?;
                if run != self.place.run {
                    self.place.run = run;
                    self.place.cursor.replace_range(.., EDGE);
                }
                self.is_same = true;
            }
            let (next, mut keys) = scan(self.on, name.as_ref(), &self.place.cursor, &self.pattern).await?;
            self.place.cursor = next;
            if self.place.cursor == EDGE {
                self.place.go_on();
                self.is_same = false;
            }
            if let Some(only) = &self.only {
                keys.retain(|key| only.have(key));
            }
            return Ok(Some(keys));
        }
    }

    /// Whether nothing has moved in the pass that is at its end. Otherwise the next one begins.
    async fn has_ended(&mut self) -> Result<bool> {
        self.servers = servers(self.on).await?;
        let now = primaries(&self.servers);
        let unsettled = topology::unsettled(&self.place.before, &now, self.only.as_ref());
        if unsettled.is_empty() {
            return Ok(true);
        }
        if !topology::without_owner(&now, &unsettled).is_empty() {
            let message = "hash slots of the Redis cluster are on the move, and nobody is known to have them";
            return Err(Error::new(Kind::Connection, message));
        }
        self.place = Place::new(now, unsettled.text());
        self.plan();
        Ok(false)
    }
}

fn primaries<N>(servers: &[(Primary, Option<N>)]) -> Vec<Primary> {
    servers.iter().map(|(primary, _)| primary.clone()).collect()
}

/// All servers that hold data, and what they say of themselves.
async fn servers<S: Servers>(on: &S) -> Result<Vec<(Primary, Option<S::Name>)>> {
    let found = ask_all(on).await?;
    let missing = topology::missing(&primaries(&found));
    if missing.is_empty() {
        return Ok(found);
    }
    // The client may not have heard of others yet: it does when it is sent there.
    let exists = missing.keys(POKED).into_iter().map(|key| Request::Exists { key: Bytes::from(key) });
    drop(on.send(exists.collect()).await);
    ask_all(on).await
}

async fn ask_all<S: Servers>(on: &S) -> Result<Vec<(Primary, Option<S::Name>)>> {
    let nodes = on.nodes().await?;
    let mut found = Vec::with_capacity(nodes.len());
    // One after the other: a client of the application is asked one thing at a time.
    for node in nodes {
        found.push((said_of_itself(on, node.as_ref()).await?, node));
    }
    Ok(found)
}

async fn said_of_itself<S: Servers>(on: &S, node: Option<&S::Name>) -> Result<Primary> {
    // A single server is none of a cluster.
    let Some(name) = node else { return Ok(Primary::named(String::new())) };
    match on.ask(node, &["CLUSTER", "NODES"]).await {
        Ok(nodes) => {
            Ok(Primary::of(&nodes.as_string().unwrap_or_default()).unwrap_or_else(|| Primary::named(S::label(name))))
        }
        Err(error) if matches!(error.kind(), Kind::Connection | Kind::Timeout) => Err(error),
        // May be forbidden.
        Err(_) => Ok(Primary::named(S::label(name))),
    }
}

/// What tells a server from one that was started later; empty where that may not be asked.
async fn run_of<S: Servers>(on: &S, node: Option<&S::Name>) -> Result<String> {
    match on.ask(node, &["INFO", "server"]).await {
        Ok(info) => {
            let info = info.as_string().unwrap_or_default();
            Ok(info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().trim().to_owned())
        }
        Err(error) if matches!(error.kind(), Kind::Connection | Kind::Timeout) => Err(error),
        Err(_) => Ok(String::new()),
    }
}

async fn scan<S: Servers>(
    on: &S,
    node: Option<&S::Name>,
    cursor: &str,
    pattern: &Pattern,
) -> Result<(String, Vec<Bytes>)> {
    let count = pattern.count.to_string();
    let words = ["SCAN", cursor, "MATCH", &pattern.keys, "COUNT", &count, "TYPE", pattern.of_type];
    on.ask(node, &words).await?.convert().map_err(|_: FredError| error::unexpected())
}

/// About how many keys match, and whether that was counted: a sample of each server's keys, against how many it has.
pub(super) async fn estimate<S: Servers>(
    on: &S,
    pattern: &Pattern,
    steps: usize,
    is_meant: impl Fn(&str) -> bool + Send + Sync,
) -> Result<(u64, bool)> {
    let (mut count, mut is_exact) = (0, true);
    for node in on.nodes().await? {
        let all = on.ask(node.as_ref(), &["DBSIZE"]).await?.as_u64().ok_or_else(error::unexpected)?;
        let (mut found, mut cursor, mut looked) = (std::collections::HashSet::new(), String::from(EDGE), 0);
        for _ in 0..steps {
            let (next, keys) = scan(on, node.as_ref(), &cursor, pattern).await?;
            found.extend(keys.into_iter().filter(|key| std::str::from_utf8(key).is_ok_and(&is_meant)));
            looked += pattern.count;
            cursor = next;
            if cursor == EDGE {
                break;
            }
        }
        let found = found.len() as u64;
        if cursor == EDGE {
            count += found;
        } else {
            is_exact = false;
            count += u64::try_from(u128::from(found) * u128::from(all) / u128::from(looked.max(1))).unwrap_or(all);
        }
    }
    Ok((count, is_exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back() {
        let mut place = Place::new(vec![Primary::named("a".into())], String::from("0-5 9"));
        place.cursor = String::from("17");
        place.run = String::from("r");
        let text = serde_json::to_string(&place).unwrap();
        assert_eq!(serde_json::from_str::<Place>(&text).unwrap(), place);
        place.go_on();
        assert_eq!((place.visit, &*place.run, &*place.cursor), (1, "", EDGE));
    }
}
