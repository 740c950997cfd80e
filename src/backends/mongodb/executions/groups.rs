//! Groups of operations on executions over the store's own connections.

use super::single;
use crate::backends::mongodb::own::Own;
use crate::backends::mongodb::states::groups::{answers, in_chains};
use crate::contract::executions::{ExecutionRead, ExecutionWrite};
use crate::contract::operation::Operation;
use crate::contract::step::Reply;
use crate::error::{Error, Result};

/// Runs changes; those of one execution in their order, and behind earlier ones whose fate is not known.
pub(crate) async fn write(on: &Own, group: &[ExecutionWrite]) -> Vec<Result<Reply>> {
    if let Err(error) = on.fence(group.iter().map(Operation::id)).await {
        return group.iter().map(|_| Err(Error::clone(&error))).collect();
    }
    in_chains(on, group, |write| single::write(on, write)).await
}

/// Answers questions.
pub(crate) async fn read(on: &Own, group: &[ExecutionRead]) -> Vec<Result<Reply>> {
    let run = |at: usize| async move { [(at, single::read(on, &group[at]).await)] };
    on.keep_time().await;
    answers(group.len(), (0..group.len()).map(run)).await
}
