//! Conditions on documents of sagas, and reading them.

use mongodb::bson::Document;

use crate::backends::mongodb::answer::failed;
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::error;
use crate::backends::mongodb::objects::first_batch;
use crate::contract::dynamic::Dynamic;
use crate::contract::states::FoundState;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Fields that lists are made of.
pub(crate) const LISTED: [&str; 4] = ["sagaName", "sagaId", "correlationId", "state"];
/// The bytes that a command without a state needs.
pub(crate) const COMMAND: usize = 2_048;

/// The `_id` of a saga.
pub(crate) fn key(name: &str, id: &str) -> String {
    format!("{name}:{id}")
}

/// Conditions on texts.
pub(crate) fn write_filter(filter: &mut impl Build, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        filter.text(name, value);
    }
}

/// A condition that a saga whose time is over does not meet.
pub(crate) fn write_live(filter: &mut impl Build, now: Millis) {
    filter.begin("expiresAt").begin("$not").date("$lte", now).end().end();
}

/// Documents, as much of them as `fields` names.
pub(crate) async fn find<C: Channel>(
    on: &C,
    fields: &[&str],
    limit: u64,
    sort: Option<&str>,
    filter: impl FnOnce(&mut C::Command) + Send,
) -> Result<Vec<Dynamic>> {
    let answer = on.ask(COMMAND, |command| {
        command.text("find", on.collection()).begin("filter");
        filter(command);
        command.end().begin("projection");
        for field in fields {
            command.int(field, 1);
        }
        command.end();
        if let Some(field) = sort {
            command.begin("sort").int(field, 1).end();
        }
        // More than there can be: payloads are asked for in the same way, and say why.
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        command.int("limit", limit).int("batchSize", limit.saturating_add(1));
    });
    first_batch(answer.await?)
}

/// Removes a document that meets a condition; the server's answer.
pub(crate) async fn delete_one<C: Channel>(on: &C, filter: impl Fn(&mut C::Command) + Send + Sync) -> Result<Document> {
    let change = on.change(COMMAND, &[], |command| {
        command.text("delete", on.collection()).begin_array("deletes").begin("0").begin("q");
        filter(command);
        command.end().int("limit", 1).end().end();
    });
    let reply = change.await?;
    failed(&reply).map(|()| reply)
}

/// A text field.
pub(crate) fn text<'a>(document: &'a Dynamic, name: &str) -> Option<&'a str> {
    document.get(name).and_then(Dynamic::as_text)
}

/// What is found in a document that has the [`LISTED`] fields.
pub(crate) fn state(document: Dynamic) -> Result<FoundState> {
    let Dynamic::Map(properties) = document else { return Err(error::unexpected()) };
    let (mut name, mut id, mut correlation_id, mut state, mut place) = (None, None, None, None, None);
    for (field, value) in properties {
        match (&*field, value) {
            ("sagaName", Dynamic::Text(text)) => name = Some(text),
            ("sagaId", Dynamic::Text(text)) => id = Some(text),
            ("correlationId", Dynamic::Text(text)) => correlation_id = Some(text.into()),
            ("state", Dynamic::Text(text)) => state = Some(text),
            ("_id", Dynamic::Text(text)) => place = Some(text),
            _ => {}
        }
    }
    let state = match (name.is_some() && id.is_some(), state) {
        (true, Some(state)) => Ok(state),
        (false, _) => Err(String::from("a document of the collection of sagas has no sagaName or no sagaId")),
        (true, None) => Err(String::from("the document of this saga has no 'state' that is text")),
    };
    // Names have no colon.
    let known = place.as_deref().and_then(|place| place.split_once(':'));
    let (name, id) = (name.or(known.map(|(name, _)| name.to_owned())), id.or(known.map(|(_, id)| id.to_owned())));
    let (Some(name), Some(id)) = (name, id) else {
        return Err(Error::new(
            Kind::CorruptData,
            "a document of the collection of sagas has no sagaName or no sagaId",
        ));
    };
    Ok(FoundState { name: name.into(), id: id.into(), correlation_id, state })
}
