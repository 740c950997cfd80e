//! Groups of operations on saga state, spread over the connections of the pool.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::Postgres;
use crate::error::Result;
use crate::store::payloads::Reply;
use crate::store::states::{StateRead, StateWrite, chains};
use crate::time::Millis;

/// A group, one kind of it.
#[derive(Clone, Copy)]
enum Group<'a> {
    Writes(&'a [StateWrite]),
    Reads(&'a [StateRead]),
}

impl Postgres {
    /// Runs a group of changes; those of one saga on one connection, in their order.
    pub(super) async fn write_state_group(&self, group: &[StateWrite]) -> Vec<Result<Reply>> {
        self.spread(Group::Writes(group), group.len(), &chains(group)).await
    }

    /// Runs a group of questions.
    pub(super) async fn read_state_group(&self, group: &[StateRead]) -> Vec<Result<Reply>> {
        let parts: Vec<Vec<usize>> = (0..group.len()).map(|at| vec![at]).collect();
        self.spread(Group::Reads(group), group.len(), &parts).await
    }

    /// Runs parts of a group beside each other, on as many connections as there are.
    async fn spread(&self, group: Group<'_>, count: usize, parts: &[Vec<usize>]) -> Vec<Result<Reply>> {
        let next = AtomicUsize::new(0);
        let runner = || async {
            let mut done = Vec::new();
            while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.run_part(group, part, &mut done).await;
            }
            done
        };
        let runners = parts.len().min(self.pool_size);
        let mut results: Vec<Result<Reply>> = vec![Ok(Reply::Done); count];
        for (at, result) in join_all((0..runners).map(|_| runner())).await.into_iter().flatten() {
            results[at] = result;
        }
        results
    }

    async fn run_part(&self, group: Group<'_>, part: &[usize], done: &mut Vec<(usize, Result<Reply>)>) {
        // A change whose answer is lost cannot be repeated: it does not start on a connection that may be dead.
        let careful = matches!(group, Group::Writes(_));
        let mut session = match self.session_on(&self.states_quoted, careful).await {
            Ok(session) => session,
            Err(error) => return done.extend(part.iter().map(|at| (*at, Err(error.clone())))),
        };
        for at in part {
            let result = match group {
                Group::Writes(writes) => self.states.write(&mut session, &writes[*at], Millis::now()).await,
                Group::Reads(reads) => self.states.read(&mut session, &reads[*at], Millis::now()).await,
            };
            done.push((*at, result));
        }
    }
}
