//! Groups of writes, as commands: the puts of a group are one `update`, each with a whole
//! document; a `delete` or `touch`, whose answer counts, is a command of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::commands::Put;
use super::single;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::error;
use crate::backends::mongodb::own::Own;
use crate::contract::operation::Operation;
use crate::contract::payloads::Write;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};

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

/// Runs a group.
pub(crate) async fn write(on: &Own, group: &[Write]) -> Results {
    if let Err(error) = on.fence(group.iter().map(Operation::id)).await {
        return vec![Err(error); group.len()];
    }
    on.keep_time().await;
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
        run_wave(on, group, &wave, &mut results).await;
        let sent = wave.puts.iter().chain(&wave.singles);
        broken = sent.filter_map(|at| results[*at].as_ref().err()).find(|error| is_broken(error)).cloned();
    }
    results
}

async fn run_wave(on: &Own, group: &[Write], wave: &Wave, results: &mut Results) {
    let puts = wave.puts.chunks(on.server.puts_in_command()).map(Unit::Puts);
    let units: Vec<Unit<'_>> = puts.chain(wave.singles.iter().map(|at| Unit::Single(*at))).collect();
    let next = AtomicUsize::new(0);
    let runner = || async {
        let mut answered = Vec::new();
        while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
            match unit {
                Unit::Puts(places) => {
                    let stored = run_puts(on, group, places).await;
                    answered.extend(places.iter().copied().zip(stored));
                }
                Unit::Single(at) => answered.push((*at, single::write(on, &group[*at]).await)),
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

async fn run_puts(on: &Own, group: &[Write], places: &[usize]) -> Results {
    let puts: Vec<Put<'_>> = places
        .iter()
        .filter_map(|at| match &group[*at] {
            Write::Put { id, data, expires_at } => Some((&**id, data, expires_at.map(|at| on.clock().there(at)))),
            Write::Delete { .. } | Write::Touch { .. } => None,
        })
        .collect();
    if puts.is_empty() {
        return Vec::new();
    }
    single::put(on, &puts).await
}

/// Whether what follows on the same way would fail as well.
fn is_broken(error: &Error) -> bool {
    matches!(error.kind(), Kind::Connection | Kind::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

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
}
