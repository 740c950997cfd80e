//! Groups of operations on saga state: updates in one statement, lookups in a few, everything else
//! spread over the connections of the pool.

use std::collections::HashSet;

use futures_util::future::{join, join_all};

use super::driver::Postgres;
use super::spread::{self, Placed};
use crate::contract::operation::chains;
use crate::contract::states::{StateRead, StateWrite};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::sql::states::batches;
use crate::time::Millis;

/// Lookups in one statement: states may be large, and an answer is in memory as a whole.
const LOOKUPS: usize = 32;

/// The place of a lookup in its group; the name and the id that are looked up.
type Lookup<'a> = (usize, (&'a str, &'a str));

/// A group, one kind of it.
#[derive(Clone, Copy)]
enum Group<'a> {
    Writes(&'a [StateWrite]),
    Reads(&'a [StateRead]),
}

impl Postgres {
    /// Runs a group of changes; those of one saga in their order.
    pub(super) async fn write_state_group(&self, group: &[StateWrite]) -> Vec<Result<Reply>> {
        let (alone, others): (Vec<_>, Vec<_>) = chains(group)
            .into_iter()
            .partition(|chain| matches!(**chain, [at] if matches!(group[at], StateWrite::Update { .. })));
        if alone.len() < 2 {
            let all = [alone, others].concat();
            return self.spread(Group::Writes(group), group.len(), &all).await;
        }
        let together = self.update_together(group, alone.into_iter().flatten().collect());
        let others = self.spread(Group::Writes(group), group.len(), &others);
        let (done, mut results) = join(together, others).await;
        for (at, result) in done {
            results[at] = result;
        }
        results
    }

    /// Updates of different sagas. What one statement has not updated has its say alone; all of it,
    /// if the server has refused the statement for one of them.
    async fn update_together(&self, group: &[StateWrite], places: Vec<usize>) -> Vec<(usize, Result<Reply>)> {
        let all_failed = |error: &Error| places.iter().map(|at| (*at, Err(error.clone()))).collect();
        let mut session = match self.session_on(&self.states_quoted, true).await {
            Ok(session) => session,
            Err(error) => return all_failed(&error),
        };
        let expected = |at: &usize| match &group[*at] {
            StateWrite::Update { saga, expected } => Some((&**saga, *expected)),
            _ => None,
        };
        let updates: Vec<_> = places.iter().filter_map(expected).collect();
        let outcome = batches::update(&mut session, &self.update_states, &updates, Millis::now()).await;
        drop(session);
        let met = match outcome {
            Ok(met) => met,
            // The server has refused it as a whole: for one of them, or to end a deadlock.
            Err(error) if error.kind() == Kind::Backend => HashSet::new(),
            Err(error) => return all_failed(&error),
        };
        let is_updated = |at: &usize| {
            expected(at).is_some_and(|(saga, _)| met.contains(&(saga.name.to_string(), saga.id.to_string())))
        };
        let (done, left): (Vec<usize>, Vec<usize>) = places.into_iter().partition(is_updated);
        let mut results: Vec<_> = done.into_iter().map(|at| (at, Ok(Reply::Done))).collect();
        results.extend(self.one_by_one(Group::Writes(group), group.len(), left).await);
        results
    }

    /// Runs a group of questions.
    pub(super) async fn read_state_group(&self, group: &[StateRead]) -> Vec<Result<Reply>> {
        let mut keys: [Vec<Lookup<'_>>; 2] = Default::default();
        let mut others = Vec::new();
        for (at, read) in group.iter().enumerate() {
            match read {
                StateRead::ById { name, id } => keys[0].push((at, (name, id))),
                StateRead::ByCorrelation { name, correlation_id } => keys[1].push((at, (name, correlation_id))),
                _ => others.push(vec![at]),
            }
        }
        let mut lookups = Vec::new();
        for (statement, keys) in self.look_up_states.iter().zip(&keys) {
            for part in keys.chunks(LOOKUPS) {
                match part {
                    [(at, _)] => others.push(vec![*at]),
                    part => lookups.push(self.look_up(group, statement, part)),
                }
            }
        }
        let others = self.spread(Group::Reads(group), group.len(), &others);
        let (found, mut results) = join(join_all(lookups), others).await;
        for (at, result) in found.into_iter().flatten() {
            results[at] = result;
        }
        results
    }

    /// Looks several sagas up in one statement; one by one, if the server refuses it.
    async fn look_up(&self, group: &[StateRead], statement: &str, part: &[Lookup<'_>]) -> Vec<(usize, Result<Reply>)> {
        let keys: Vec<_> = part.iter().map(|(_, key)| *key).collect();
        let found = match self.session_on(&self.states_quoted, false).await {
            Ok(mut session) => batches::look_up(&mut session, statement, &keys, Millis::now()).await,
            Err(error) => Err(error),
        };
        let places = part.iter().map(|(at, _)| *at);
        match found {
            Ok(states) => places.zip(states.into_iter().map(|state| Ok(Reply::State(state)))).collect(),
            Err(error) if error.kind() == Kind::Backend => {
                self.one_by_one(Group::Reads(group), group.len(), places.collect()).await
            }
            Err(error) => places.map(|at| (at, Err(error.clone()))).collect(),
        }
    }

    /// Runs some members of a group, each in a statement of its own.
    async fn one_by_one(&self, group: Group<'_>, count: usize, places: Vec<usize>) -> Vec<(usize, Result<Reply>)> {
        let parts: Vec<Vec<usize>> = places.iter().map(|at| vec![*at]).collect();
        let mut results = self.spread(group, count, &parts).await;
        places.into_iter().map(|at| (at, std::mem::replace(&mut results[at], Ok(Reply::Done)))).collect()
    }

    /// Runs parts of a group beside each other, on as many connections as there are.
    async fn spread(&self, group: Group<'_>, count: usize, parts: &[Vec<usize>]) -> Vec<Result<Reply>> {
        spread::spread(self.pool_size, count, parts, |part| self.run_part(group, part)).await
    }

    async fn run_part(&self, group: Group<'_>, part: &[usize]) -> Placed {
        // A change whose answer is lost cannot be repeated: it does not start on a connection that may be dead.
        let careful = matches!(group, Group::Writes(_));
        let mut session = match self.session_on(&self.states_quoted, careful).await {
            Ok(session) => session,
            Err(error) => return part.iter().map(|at| (*at, Err(error.clone()))).collect(),
        };
        let mut done = Vec::with_capacity(part.len());
        for at in part {
            let result = match group {
                Group::Writes(writes) => self.states.write(&mut session, &writes[*at], Millis::now()).await,
                Group::Reads(reads) => self.states.read(&mut session, &reads[*at], Millis::now()).await,
            };
            done.push((*at, result));
        }
        done
    }
}
