//! Sagas. The state is the truth, so states are what is looked for; when one has ended is known by its list.

use bytes::Bytes;
use fred::prelude::Value;
use serde::Deserialize;

use super::bringing;
use super::plain::{Plain, read};
use super::scan::Scanned;
use super::{Found, fate, unreadable};
use crate::backends::redis::channel::{Channel, Servers, escaped};
use crate::backends::redis::command::Request;
use crate::backends::redis::states::States;
use crate::backends::redis::states::keys::{Keys, corrupt};
use crate::backends::redis::states::scripts::{self as ask, state_of, text_of};
use crate::contract::moving::record::{Key, Record, State};
use crate::contract::moving::{Fate, Import};
use crate::contract::states::Saga;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

#[derive(Deserialize)]
struct Document {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    saga_id: Box<str>,
    version: f64,
    #[serde(default)]
    is_completed: bool,
    created_at: Option<String>,
    updated_at: Option<String>,
    timeout_expires_at: Option<String>,
}

/// The saga whose state this is. Software that is not ours may have left dates out.
pub(super) fn saga_of(name: &str, state: String, expires_at: Option<Millis>) -> Result<Saga> {
    let Document { metadata } = serde_json::from_str(&state).map_err(|source| corrupt().with_source(source))?;
    let time = |text: &Option<String>| text.as_deref().and_then(Millis::from_iso);
    let updated_at = time(&metadata.updated_at).or_else(|| time(&metadata.created_at)).unwrap_or(Millis(0));
    let completed = metadata.is_completed;
    #[allow(clippy::cast_possible_truncation)]
    Ok(Saga {
        name: name.into(),
        id: metadata.saga_id,
        version: metadata.version as i64,
        completed,
        created_at: time(&metadata.created_at).unwrap_or(updated_at),
        updated_at,
        completed_at: completed.then_some(updated_at),
        timeout_at: time(&metadata.timeout_expires_at).filter(|_| !completed),
        expires_at,
        state: state.into(),
    })
}

/// A saga's state as it was found: under its name and its correlation id.
struct At<'k> {
    name: &'k str,
    correlation_id: &'k str,
}

/// The sagas under a prefix.
pub(super) struct Sagas<'a, S> {
    pub(super) on: &'a S,
    pub(super) prefix: &'a str,
}

/// The name and the correlation id of a state's key.
fn place<'k>(prefix: &str, key: &'k str) -> Option<At<'k>> {
    let (name, correlation_id) = key.strip_prefix(prefix)?.strip_prefix("saga:")?.split_once(':')?;
    (!correlation_id.starts_with("idx:")).then_some(At { name, correlation_id })
}

impl<S: Servers> Sagas<'_, S> {
    fn keys<'k>(&'k self, name: &'k str) -> Keys<'k> {
        Keys { prefix: self.prefix, name }
    }

    /// The states that stand at these places.
    async fn states(&self, places: &[At<'_>]) -> Result<Vec<Result<Option<State>>>> {
        let keys = places.iter().map(|at| self.keys(at.name).state(at.correlation_id));
        let found = read(self.on, keys, "GET").await?;
        let state = |(at, found): (&At<'_>, Result<Option<Plain>>)| {
            let Some(Plain { value, expires_at }) = found? else { return Ok(None) };
            let state = state_of(Ok(value))?.ok_or_else(corrupt)?;
            let saga = saga_of(at.name, state, expires_at)?;
            Ok(Some(State { saga, correlation_id: at.correlation_id.into() }))
        };
        let mut states: Vec<Result<Option<State>>> = places.iter().zip(found).map(state).collect();
        self.read_ends(&mut states).await?;
        Ok(states)
    }

    /// When those have ended that have: what their list says, if it does.
    async fn read_ends(&self, states: &mut [Result<Option<State>>]) -> Result<()> {
        let found = states.iter_mut().filter_map(|state| state.as_mut().ok()?.as_mut());
        let mut ended: Vec<&mut Saga> = found.map(|state| &mut state.saga).filter(|saga| saga.completed).collect();
        let scores = ended.iter().map(|saga| ask::score(&self.keys(&saga.name).list("ended"), &saga.id)).collect();
        for (saga, score) in ended.iter_mut().zip(self.on.send(scores).await?) {
            if let Some(score) = text_of(score)?.and_then(|score| score.parse::<f64>().ok()) {
                #[allow(clippy::cast_possible_truncation)]
                let at = Millis(score as i64);
                saga.completed_at = Some(at);
            }
        }
        Ok(())
    }

    pub(super) async fn fetch(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let indexes = keys.iter().map(|key| ask::get(self.keys(&key.name).id(&key.id))).collect();
        let indexes: Vec<Option<String>> =
            self.on.send(indexes).await?.into_iter().map(text_of).collect::<Result<_>>()?;
        let known = keys.iter().zip(&indexes).filter_map(|(key, index)| Some((key, index.as_deref()?)));
        let places: Vec<At<'_>> =
            known.clone().map(|(key, correlation_id)| At { name: &key.name, correlation_id }).collect();
        let mut states = self.states(&places).await?.into_iter();
        let record = |(key, index): (&Key, &Option<String>)| {
            let Some(state) = index.as_ref().and_then(|_| states.next()) else { return Ok(None) };
            let state = state.map_err(|error| error.with_id(&key.id))?;
            Ok(state.filter(|state| state.saga.id == key.id).map(|state| Record::State(Box::new(state))))
        };
        keys.iter().zip(&indexes).map(record).collect()
    }

    pub(super) async fn import(&self, import: &Import) -> Result<Vec<Fate>> {
        self.on.keep_time().await?;
        let stored = bringing::bring(self.on, self.prefix, import, self.on.clock().shift()).await;
        import.records.iter().zip(stored).map(|(record, stored)| fate(stored, record)).collect()
    }
}

impl<S: Servers> Scanned for Sagas<'_, S> {
    const TYPE: &'static str = "string";

    fn pattern(&self) -> String {
        format!("{}saga:*", escaped(self.prefix))
    }

    fn is_record(&self, key: &str) -> bool {
        place(self.prefix, key).is_some()
    }

    fn shown<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(self.prefix).and_then(|key| key.strip_prefix("saga:")).unwrap_or(key)
    }

    fn size(&self, key: &str) -> Option<Request> {
        Some(Request::Length { key: Bytes::copy_from_slice(key.as_bytes()) })
    }

    async fn read(&self, keys: &[String]) -> Result<Vec<Option<Found>>> {
        let places: Vec<At<'_>> = keys.iter().filter_map(|key| place(self.prefix, key)).collect();
        let record = |found: Result<Option<State>>| match found {
            Ok(found) => Ok(found.map(|state| Ok(Record::State(Box::new(state))))),
            Err::<_, Error>(error) => unreadable(error).map(Some),
        };
        self.states(&places).await?.into_iter().map(record).collect()
    }
}

/// A saga that is there, or a state that cannot be read.
pub(super) fn looked_at(name: &str, reply: Result<Value>) -> Result<Option<std::result::Result<Saga, ()>>> {
    let saga = state_of(reply).and_then(|state| state.map(|state| saga_of(name, state, None)).transpose());
    match saga {
        Err(error) if error.kind() == Kind::CorruptData => Ok(Some(Err(()))),
        saga => Ok(saga?.map(Ok)),
    }
}

/// The same, under a correlation id.
pub(super) async fn look_at(
    states: &States<'_, impl Channel>,
    keys: Keys<'_>,
    correlation_id: &str,
) -> Result<Option<std::result::Result<Saga, ()>>> {
    looked_at(keys.name, states.one(ask::get(keys.state(correlation_id))).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_states_are_told_apart() {
        let place = |key: &'static str| place("p:", key).map(|at| (at.name, at.correlation_id));
        assert_eq!(place("p:saga:Order:c:1"), Some(("Order", "c:1")));
        for other in ["p:saga:Order:idx:id:s-1", "p:saga:Order:idx:lease:s-1", "p:names", "q:saga:Order:c"] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    #[test]
    fn a_state_tells_what_a_saga_is() {
        let state = r#"{"metadata":{"version":3,"sagaId":"s","isCompleted":false,
            "createdAt":"1970-01-01T00:00:00.001Z","updatedAt":"1970-01-01T00:00:00.002Z","timeoutExpiresAt":null}}"#;
        let saga = saga_of("Order", state.to_owned(), Some(Millis(9))).unwrap();
        assert_eq!((&*saga.id, saga.version, saga.completed, saga.expires_at), ("s", 3, false, Some(Millis(9))));
        assert_eq!((saga.created_at, saga.updated_at, saga.timeout_at), (Millis(1), Millis(2), None));
        let ended = saga_of("Order", state.replace("false", "true"), None).unwrap();
        assert_eq!((ended.completed, ended.completed_at), (true, Some(Millis(2))));
        assert_eq!(saga_of("Order", String::from("{}"), None).unwrap_err().kind(), Kind::CorruptData);
    }
}
