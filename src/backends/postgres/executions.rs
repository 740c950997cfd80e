//! Groups of operations on executions: changes of different ones in one statement, everything else spread over the
//! connections of the pool.

use futures_util::future::join;

use super::driver::Postgres;
use super::executor::Session;
use super::spread::{self, Placed};
use crate::contract::executions::{Change, ExecutionRead, ExecutionWrite};
use crate::contract::operation::chains;
use crate::contract::step::Reply;
use crate::error::{Kind, Result};
use crate::sql::Around;
use crate::time::Millis;

/// A group, one kind of it.
#[derive(Clone, Copy)]
enum Group<'a> {
    Writes(&'a [ExecutionWrite]),
    Reads(&'a [ExecutionRead]),
}

impl Postgres {
    /// A connection for statements about executions. A change knows itself again: it may be repeated.
    async fn execution_session(&self, careful: bool) -> Result<Session> {
        self.session_on(&self.executions_quoted, careful).await
    }

    /// Runs a group of changes; those of one execution in their order.
    pub(super) async fn write_execution_group(&self, group: &[ExecutionWrite]) -> Vec<Result<Reply>> {
        let (alone, others): (Vec<_>, Vec<_>) =
            chains(group).into_iter().partition(|chain| matches!(**chain, [at] if change(&group[at]).is_some()));
        if alone.len() < 2 {
            let all = [alone, others].concat();
            return self.spread_executions(Group::Writes(group), group.len(), &all).await;
        }
        let together = self.change_together(group, alone.into_iter().flatten().collect());
        let others = self.spread_executions(Group::Writes(group), group.len(), &others);
        let (done, mut results) = join(together, others).await;
        for (at, result) in done {
            results[at] = result;
        }
        results
    }

    /// Changes of different executions. What one statement has not made has its say alone; all of it, if the server has
    /// refused the statement for one of them.
    async fn change_together(&self, group: &[ExecutionWrite], places: Vec<usize>) -> Vec<(usize, Result<Reply>)> {
        let changes: Vec<&Change> = places.iter().filter_map(|at| change(&group[*at])).collect();
        let outcome = async {
            let mut session = self.execution_session(false).await?;
            let sql = self.executions.sql(&mut session).await?;
            let done = sql.change_together(&mut session, &changes).await;
            self.executions.note(&done);
            done
        };
        let answers = match outcome.await {
            Ok(answers) => answers,
            // For one of them, or to end a deadlock.
            Err(error) if matches!(error.kind(), Kind::Backend | Kind::InvalidArgument) => vec![None; places.len()],
            Err(error) => return places.into_iter().map(|at| (at, Err(error.clone()))).collect(),
        };
        let (mut results, mut left) = (Vec::with_capacity(places.len()), Vec::new());
        for (at, answer) in places.into_iter().zip(answers) {
            match answer {
                Some(answer) => results.push((at, Ok(Reply::Value(answer.into_dynamic())))),
                None => left.push(vec![at]),
            }
        }
        let mut others = self.spread_executions(Group::Writes(group), group.len(), &left).await;
        results.extend(left.into_iter().flatten().map(|at| (at, std::mem::replace(&mut others[at], Ok(Reply::Done)))));
        results
    }

    /// Runs a group of questions.
    pub(super) async fn read_execution_group(&self, group: &[ExecutionRead]) -> Vec<Result<Reply>> {
        let parts: Vec<Vec<usize>> = (0..group.len()).map(|at| vec![at]).collect();
        self.spread_executions(Group::Reads(group), group.len(), &parts).await
    }

    /// Runs parts of a group beside each other, on as many connections as there are.
    async fn spread_executions(&self, group: Group<'_>, count: usize, parts: &[Vec<usize>]) -> Vec<Result<Reply>> {
        spread::spread(self.pool_size, count, parts, |part| self.run_execution_part(group, part)).await
    }

    async fn run_execution_part(&self, group: Group<'_>, part: &[usize]) -> Placed {
        // A claim whose answer is lost cannot be repeated: it does not start on a connection that may be dead.
        let careful = |write: &ExecutionWrite| matches!(write, ExecutionWrite::Claim(_));
        let careful = matches!(group, Group::Writes(writes) if part.iter().any(|at| careful(&writes[*at])));
        let mut session = match self.execution_session(careful).await {
            Ok(session) => session,
            Err(error) => return part.iter().map(|at| (*at, Err(error.clone()))).collect(),
        };
        let mut done = Vec::with_capacity(part.len());
        for at in part {
            let now = Millis::now();
            let result = match group {
                Group::Writes(writes) => {
                    self.executions.write(&mut session, &writes[*at], Around::Savepoint, now).await
                }
                Group::Reads(reads) => self.executions.read(&mut session, &reads[*at], now).await,
            };
            done.push((*at, result));
        }
        done
    }
}

fn change(write: &ExecutionWrite) -> Option<&Change> {
    match write {
        ExecutionWrite::Change(change) => Some(change),
        _ => None,
    }
}
