//! Groups of payload operations, and over how many connections a group is spread.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::driver::Postgres;
use crate::contract::payloads::{Read, Write};
use crate::contract::step::Reply;
use crate::error::{Error, Result};
use crate::sizes::Sizes;
use crate::time::Millis;

/// From this size on, gets go one by one over several connections: the server spends longer
/// on each than a round trip takes.
const ALONE_FROM: u64 = 256 * 1024;

/// Below that, a statement asks for about as many payloads as have this many bytes.
const STATEMENT_BYTES: u64 = 1024 * 1024;

/// How many gets to put into one statement.
fn gets_in_statement(sizes: &Sizes, group: usize) -> usize {
    match sizes.average() {
        0 => group,
        average if average >= ALONE_FROM => 1,
        average => usize::try_from(STATEMENT_BYTES / average).unwrap_or(group).clamp(1, group.max(1)),
    }
}

/// Notes what a statement has brought.
fn note(sizes: &Sizes, results: &[Result<Reply>]) {
    let (mut count, mut bytes) = (0_u64, 0_u64);
    for result in results {
        if let Ok(Reply::Data(Some(data))) = result {
            count += 1;
            bytes += data.len() as u64;
        }
    }
    sizes.note(count, bytes);
}

impl Postgres {
    /// Runs a group of writes on one connection.
    pub(super) async fn write_group(&self, group: &[Write]) -> Vec<Result<Reply>> {
        // A delete whose answer is lost cannot be repeated: it does not start on a connection that may be dead.
        let careful = group.iter().any(|operation| matches!(operation, Write::Delete { .. }));
        let ready = async {
            let mut session = self.session(careful).await?;
            let sql = self.statements(&mut session).await?;
            Ok((session, sql))
        };
        match ready.await {
            Ok((mut session, sql)) => {
                let results = sql.write(&mut session, group, Millis::now()).await;
                self.look_again_if_changed(&session);
                results
            }
            Err(error) => all(group.len(), &error),
        }
    }

    /// Runs a group of reads, spread over connections if the payloads are large.
    pub(super) async fn read_group(&self, group: &[Read]) -> Vec<Result<Reply>> {
        let in_statement = gets_in_statement(&self.sizes, group.len());
        if in_statement >= group.len() {
            return self.read_part(group).await;
        }
        let parts: Vec<&[Read]> = group.chunks(in_statement).collect();
        let next = AtomicUsize::new(0);
        // Each part checks a connection out for itself, so that writes get their turn in between.
        let read_on = || async {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(part) = parts.get(at) else { return done };
                done.push((at, self.read_part(part).await));
            }
        };
        let readers = parts.len().min(self.pool_size);
        let mut under_way: FuturesUnordered<_> = (0..readers).map(|_| read_on()).collect();
        let mut answered: Vec<Vec<Result<Reply>>> = vec![Vec::new(); parts.len()];
        while let Some(done) = under_way.next().await {
            for (at, results) in done {
                answered[at] = results;
            }
        }
        answered.into_iter().flatten().collect()
    }

    async fn read_part(&self, part: &[Read]) -> Vec<Result<Reply>> {
        let ready = async {
            let mut session = self.session(false).await?;
            let sql = self.statements(&mut session).await?;
            Ok((session, sql))
        };
        match ready.await {
            Ok((mut session, sql)) => {
                let results = sql.read(&mut session, part, Millis::now()).await;
                self.look_again_if_changed(&session);
                drop(session);
                note(&self.sizes, &results);
                results
            }
            Err(error) => all(part.len(), &error),
        }
    }
}

fn all(count: usize, error: &Error) -> Vec<Result<Reply>> {
    (0..count).map(|_| Err(error.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn large_payloads_are_read_one_by_one() {
        let sizes = Sizes::default();
        let found = |size: usize| vec![Ok(Reply::Data(Some(Bytes::from(vec![0; size]))))];
        assert_eq!(gets_in_statement(&sizes, 100), 100);
        note(&sizes, &found(1_024));
        assert_eq!(gets_in_statement(&sizes, 100), 100);
        for _ in 0..60 {
            note(&sizes, &found(64 * 1_024));
        }
        assert!((16..=17).contains(&gets_in_statement(&sizes, 100)), "{}", gets_in_statement(&sizes, 100));
        for _ in 0..60 {
            note(&sizes, &found(300 * 1_024));
        }
        assert_eq!(gets_in_statement(&sizes, 100), 1);
        for _ in 0..90 {
            note(&sizes, &found(0));
        }
        assert_eq!(gets_in_statement(&sizes, 100), 100);
    }
}
