//! Groups of operations on saga state over the store's own connections.

use futures_util::stream::{self, StreamExt};

use super::single;
use crate::backends::mongodb::error;
use crate::backends::mongodb::own::Own;
use crate::contract::operation::{Operation, chains, chains_with_turns};
use crate::contract::states::{StateRead, StateWrite};
use crate::contract::step::Reply;
use crate::error::Result;

/// Commands of a group under way at once, each on a connection.
const AT_ONCE: usize = 8;

/// Runs changes; those of one saga in their order.
pub(crate) async fn write(on: &Own, group: &[StateWrite]) -> Vec<Result<Reply>> {
    in_chains(on, group, |write| single::write(on, write)).await
}

/// Runs changes, those of one subject in their order.
pub(crate) async fn in_chains<'a, O, F>(on: &Own, group: &'a [O], write: impl Fn(&'a O) -> F) -> Vec<Result<Reply>>
where
    O: Operation,
    F: Future<Output = Result<Reply>>,
{
    let write = &write;
    let run = |chain: Vec<usize>| async move {
        let mut done = Vec::with_capacity(chain.len());
        for at in chain {
            done.push((at, write(&group[at]).await));
        }
        done
    };
    on.keep_time().await;
    answers(group.len(), chains_with_turns(group).into_iter().map(run)).await
}

/// The places of changes that nothing else of the group must wait for, and that are meant.
pub(crate) fn alone<O: Operation>(group: &[O], is_meant: impl Fn(&O) -> bool) -> Vec<usize> {
    let chains = chains(group).into_iter().filter(|chain| chain.len() == 1);
    chains.filter_map(|chain| chain.first().copied()).filter(|at| is_meant(&group[*at])).collect()
}

/// Answers questions.
pub(crate) async fn read(on: &Own, group: &[StateRead]) -> Vec<Result<Reply>> {
    let run = |at: usize| async move { [(at, single::read(on, &group[at]).await)] };
    on.keep_time().await;
    answers(group.len(), (0..group.len()).map(run)).await
}

/// Does all of this; what it comes to, by the places in the group.
pub(crate) async fn answers<A>(count: usize, work: impl Iterator<Item = impl Future<Output = A>>) -> Vec<Result<Reply>>
where
    A: IntoIterator<Item = (usize, Result<Reply>)>,
{
    let mut results: Vec<Result<Reply>> = vec![Err(error::unexpected()); count];
    let mut under_way = stream::iter(work).buffer_unordered(AT_ONCE);
    while let Some(done) = under_way.next().await {
        for (at, result) in done {
            results[at] = result;
        }
    }
    drop(under_way);
    results
}
