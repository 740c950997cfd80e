//! Groups of writes, as commands: the puts of a group are one `update`, each with a whole
//! document; a `delete` or `touch`, whose answer counts, is a command of its own.

pub(super) mod fence;
pub(super) mod reads;
pub(super) mod single;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use mongodb::bson::{Bson, Document};

use super::commands::{Put, size_of_puts, size_of_single, write_puts, write_single};
use super::document::Writer;
use super::driver::Mongo;
use super::error;
use super::shared::Server;
use crate::contract::operation::Operation;
use crate::contract::payloads::Write;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use fence::has_retry_label;

/// Commands of a group under way at once, each on a connection.
const COMMANDS_AT_ONCE: usize = 4;

type Results = Vec<Result<Reply>>;

/// Writes of a group, by their places in it, that may be under way at once: all of other ids.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wave {
    /// Puts.
    puts: Vec<usize>,
    /// Puts that are not sent, because a later one of the wave replaces them, and which one.
    replaced: Vec<(usize, usize)>,
    /// Deletes and touches.
    singles: Vec<usize>,
}

/// Splits a group into waves that keep the order of each id.
fn plan(group: &[Write]) -> Vec<Wave> {
    let mut waves: Vec<Wave> = Vec::new();
    let mut last: HashMap<&str, (usize, Option<usize>)> = HashMap::with_capacity(group.len());
    for (at, write) in group.iter().enumerate() {
        let is_put = matches!(write, Write::Put { .. });
        let wave = match last.get(write.id()) {
            Some((wave, Some(slot))) if is_put => {
                let Wave { puts, replaced, .. } = &mut waves[*wave];
                replaced.push((puts[*slot], at));
                for (_, by) in replaced.iter_mut().filter(|(_, by)| *by == puts[*slot]) {
                    *by = at;
                }
                puts[*slot] = at;
                continue;
            }
            Some((wave, _)) => wave + 1,
            None => 0,
        };
        if wave == waves.len() {
            waves.push(Wave::default());
        }
        let Wave { puts, singles, .. } = &mut waves[wave];
        if is_put {
            last.insert(write.id(), (wave, Some(puts.len())));
            puts.push(at);
        } else {
            last.insert(write.id(), (wave, None));
            singles.push(at);
        }
    }
    waves
}

/// What goes into one command.
enum Unit<'a> {
    Puts(&'a [usize]),
    Single(usize),
}

/// What an answer to a write says.
struct Answer {
    /// Documents found.
    count: i64,
    /// Statements that failed, by their places.
    failed: HashMap<usize, Error>,
    /// The write concern was not fulfilled.
    unconfirmed: Option<Error>,
}

impl Answer {
    fn of(reply: &Document) -> Self {
        let labelled = has_retry_label(reply);
        let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        let failed = errors.iter().filter_map(Bson::as_document).map(|entry| {
            let place = usize::try_from(number(entry, "index")).unwrap_or(usize::MAX);
            (place, error::complaint(entry, labelled))
        });
        Self {
            count: number(reply, "n"),
            failed: failed.collect(),
            unconfirmed: reply.get_document("writeConcernError").ok().map(error::unconfirmed),
        }
    }

    /// What came of the statement at `place`.
    fn at(&self, place: usize) -> Result<()> {
        match self.failed.get(&place).or(self.unconfirmed.as_ref()) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

/// A number, whatever its type.
pub(super) fn number(document: &Document, name: &str) -> i64 {
    match document.get(name) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        #[allow(clippy::cast_possible_truncation)]
        Some(Bson::Double(number)) => *number as i64,
        _ => 0,
    }
}

impl Mongo {
    /// Runs a group of writes.
    pub(super) async fn write_group(&self, group: &[Write]) -> Results {
        let server = match self.shared.arc().server().await {
            Ok(server) => server,
            Err(error) => return vec![Err(error); group.len()],
        };
        if let Err(error) = self.fence(&server, group).await {
            return vec![Err(error); group.len()];
        }
        self.shared.arc().keep_time(&server).await;
        let mut results: Results = vec![Err(error::unexpected()); group.len()];
        let mut broken: Option<Error> = None;
        for wave in plan(group) {
            if let Some(error) = &broken {
                let unsent = error.clone().unsent();
                let replaced = wave.replaced.iter().map(|(at, _)| at);
                for at in wave.puts.iter().chain(&wave.singles).chain(replaced) {
                    results[*at] = Err(unsent.clone());
                }
                continue;
            }
            self.run_wave(&server, group, &wave, &mut results).await;
            let sent = wave.puts.iter().chain(&wave.singles);
            broken = sent.filter_map(|at| results[*at].as_ref().err()).find(|error| is_broken(error)).cloned();
        }
        results
    }

    async fn run_wave(&self, server: &Arc<Server>, group: &[Write], wave: &Wave, results: &mut Results) {
        let puts = wave.puts.chunks(server.puts_in_command()).map(Unit::Puts);
        let units: Vec<Unit<'_>> = puts.chain(wave.singles.iter().map(|at| Unit::Single(*at))).collect();
        let next = AtomicUsize::new(0);
        let runner = || async {
            let mut answered = Vec::new();
            while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                match unit {
                    Unit::Puts(places) => {
                        let stored = self.run_puts(server, group, places).await;
                        answered.extend(places.iter().copied().zip(stored));
                    }
                    Unit::Single(at) => answered.push((*at, self.run_single(server, &group[*at]).await)),
                }
            }
            answered
        };
        let runners = units.len().min(COMMANDS_AT_ONCE);
        for (at, result) in join_all((0..runners).map(|_| runner())).await.into_iter().flatten() {
            results[at] = result;
        }
        for (at, by) in &wave.replaced {
            // A put that failed for a reason of its own does not stand for those before it.
            results[*at] = match &results[*by] {
                Err(error) if !error.is_retryable() => Err(error.clone().retryable(true).unsent()),
                same => same.clone(),
            };
        }
    }

    async fn run_puts(&self, server: &Arc<Server>, group: &[Write], places: &[usize]) -> Results {
        let puts: Vec<Put<'_>> = places
            .iter()
            .filter_map(|at| match &group[*at] {
                Write::Put { id, data, expires_at } => Some((&**id, data, expires_at.map(|at| self.there(at)))),
                Write::Delete { .. } | Write::Touch { .. } => None,
            })
            .collect();
        if puts.is_empty() {
            return Vec::new();
        }
        let ids: Vec<&str> = puts.iter().map(|(id, ..)| *id).collect();
        let write = |command: &mut Writer| write_puts(command, &self.collection, &puts);
        match self.run_write(server, &ids, size_of_puts(&puts), write).await {
            Ok(reply) => {
                let answer = Answer::of(&reply);
                (0..puts.len()).map(|place| answer.at(place).map(|()| Reply::Done)).collect()
            }
            Err(error) => vec![Err(error); puts.len()],
        }
    }

    async fn run_single(&self, server: &Arc<Server>, write: &Write) -> Result<Reply> {
        let command = |command: &mut Writer| write_single(command, &self.collection, write, |at| self.there(at));
        let reply = self.run_write(server, &[write.id()], size_of_single(write), command).await?;
        answer_to_single(write, &reply)
    }
}

/// What an answer to a single write says.
pub(super) fn answer_to_single(write: &Write, reply: &Document) -> Result<Reply> {
    let answer = Answer::of(reply);
    answer.at(0)?;
    Ok(match write {
        Write::Put { .. } => Reply::Done,
        Write::Delete { .. } | Write::Touch { .. } => Reply::Flag(answer.count > 0),
    })
}

/// Whether what follows on the same way would fail as well.
fn is_broken(error: &Error) -> bool {
    matches!(error.kind(), Kind::Connection | Kind::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mongodb::bson::doc;

    fn put(id: &str) -> Write {
        Write::Put { id: id.into(), data: Bytes::new(), expires_at: None }
    }

    fn delete(id: &str) -> Write {
        Write::Delete { id: id.into() }
    }

    #[test]
    fn other_ids_go_together() {
        let waves = plan(&[put("a"), put("b"), delete("c")]);
        assert_eq!(waves, [Wave { puts: vec![0, 1], replaced: Vec::new(), singles: vec![2] }]);
    }

    #[test]
    fn the_last_of_several_puts_is_sent() {
        let waves = plan(&[put("a"), put("b"), put("a"), put("a")]);
        assert_eq!(waves, [Wave { puts: vec![3, 1], replaced: vec![(0, 3), (2, 3)], singles: Vec::new() }]);
    }

    #[test]
    fn the_order_of_an_id_is_kept() {
        let waves = plan(&[put("a"), delete("a"), put("a"), put("b"), put("a"), delete("a")]);
        assert_eq!(
            waves,
            [
                Wave { puts: vec![0, 3], ..Wave::default() },
                Wave { singles: vec![1], ..Wave::default() },
                Wave { puts: vec![4], replaced: vec![(2, 4)], ..Wave::default() },
                Wave { singles: vec![5], ..Wave::default() },
            ]
        );
    }

    #[test]
    fn answers_are_read_by_place() {
        let answer = Answer::of(&doc! {
            "n": 1.0,
            "writeErrors": [{ "index": 1, "code": 11_000, "errmsg": "E11000" }],
            "ok": 1.0,
        });
        assert!(answer.at(0).is_ok());
        assert!(answer.at(1).unwrap_err().is_retryable());
        assert_eq!(answer.count, 1);
        let unconfirmed = Answer::of(&doc! { "n": 2, "writeConcernError": { "code": 64, "errmsg": "timed out" } });
        assert_eq!(unconfirmed.at(0).unwrap_err().kind(), Kind::Timeout);
        assert!(!unconfirmed.at(0).unwrap_err().is_unsent());
    }
}
