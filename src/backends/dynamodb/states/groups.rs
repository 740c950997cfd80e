//! Groups of operations on saga state over the store's own connections.

use futures_util::future::join_all;

use super::saga::States;
use crate::backends::dynamodb::error;
use crate::backends::dynamodb::session::Session;
use crate::contract::operation::chains;
use crate::contract::states::{StateRead, StateWrite};
use crate::contract::step::Reply;
use crate::error::Result;

/// Runs changes; those of one saga in their order, the others beside each other.
pub(crate) async fn write(on: &Session<'_>, group: &[StateWrite]) -> Vec<Result<Reply>> {
    let run = |chain: Vec<usize>| async move {
        let mut done = Vec::with_capacity(chain.len());
        for member in chain {
            done.push((member, States { on }.write(&group[member]).await));
        }
        done
    };
    let mut answers: Vec<Result<Reply>> = vec![Err(error::unexpected()); group.len()];
    for (member, answer) in join_all(chains(group).into_iter().map(run)).await.into_iter().flatten() {
        answers[member] = answer;
    }
    answers
}

/// Answers questions, beside each other.
pub(crate) async fn read(on: &Session<'_>, group: &[StateRead]) -> Vec<Result<Reply>> {
    join_all(group.iter().map(|read| async move { States { on }.read(read).await })).await
}
