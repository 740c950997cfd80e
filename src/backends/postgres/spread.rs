//! Parts of a group beside each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use crate::contract::step::Reply;
use crate::error::Result;

/// The results of some members of a group, by their places.
pub(super) type Placed = Vec<(usize, Result<Reply>)>;

/// Runs parts of a group of `count` members beside each other, on at most so many connections; one result for each
/// member, in their order.
pub(super) async fn spread<'p, F: Future<Output = Placed> + Send>(
    connections: usize,
    count: usize,
    parts: &'p [Vec<usize>],
    run: impl Fn(&'p [usize]) -> F,
) -> Vec<Result<Reply>> {
    let next = AtomicUsize::new(0);
    let runner = || async {
        let mut done = Vec::new();
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.extend(run(part).await);
        }
        done
    };
    let mut results: Vec<Result<Reply>> = vec![Ok(Reply::Done); count];
    for (at, result) in join_all((0..parts.len().min(connections)).map(|_| runner())).await.into_iter().flatten() {
        results[at] = result;
    }
    results
}
