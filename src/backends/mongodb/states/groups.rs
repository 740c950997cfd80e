//! Groups of operations on saga state over the store's own connections, and the indexes of sagas.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use mongodb::bson::{Document, doc};

use super::States;
use crate::backends::mongodb::channel::{Carrier, Collection, Failure};
use crate::backends::mongodb::commands::Terms;
use crate::backends::mongodb::document::Writer;
use crate::backends::mongodb::hello::Hello;
use crate::backends::mongodb::objects::of_document;
use crate::backends::mongodb::payloads::single::Sender;
use crate::backends::mongodb::shared::Server;
use crate::backends::mongodb::{Mongo, error};
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::Work;
use crate::contract::operation::chains;
use crate::contract::states::{StateRead, StateStep, StateWrite};
use crate::contract::step::Reply;
use crate::error::{Error, Result};

/// Commands of a group under way at once, each on a connection.
const AT_ONCE: usize = 8;

/// Carries the commands of one operation.
struct Own {
    mongo: Arc<Mongo>,
    server: Arc<Server>,
    writes: bool,
}

impl Sender for Own {
    type Command = Writer;

    fn command(&self, size: usize) -> Writer {
        Writer::with_capacity(size)
    }

    async fn send(&mut self, command: Writer) -> Result<Dynamic> {
        let answer = if self.writes && command.is_write() {
            self.mongo.run_state_write(&self.server, command).await?
        } else {
            self.server.run_raw(command.finish()?).await.map_err(error::command)?
        };
        Ok(of_document(answer))
    }
}

impl Mongo {
    /// How commands about sagas are ended.
    pub(crate) fn state_terms(&self) -> Terms<'_> {
        Terms { collection: &self.states_collection, ..self.terms() }
    }

    /// Runs a group of changes; those of one saga in their order.
    pub(crate) async fn write_state_group(&self, group: &[StateWrite]) -> Vec<Result<Reply>> {
        let steps = group.iter().cloned().map(Work::Write).collect();
        self.run_state_steps(steps, chains(group), true).await
    }

    /// Runs a group of questions.
    pub(crate) async fn read_state_group(&self, group: &[StateRead]) -> Vec<Result<Reply>> {
        let chains = (0..group.len()).map(|at| vec![at]).collect();
        let steps = group.iter().cloned().map(Work::Read).collect();
        self.run_state_steps(steps, chains, false).await
    }

    async fn run_state_steps(
        &self,
        steps: Vec<StateStep>,
        chains: Vec<Vec<usize>>,
        writes: bool,
    ) -> Vec<Result<Reply>> {
        let ready = async {
            let server = self.shared.arc().server().await?;
            let mongo = self.this.upgrade().ok_or_else(Error::closed)?;
            Ok((server, mongo))
        };
        let (server, mongo) = match ready.await {
            Ok(ready) => ready,
            Err(error) => return vec![Err(error); steps.len()],
        };
        self.shared.arc().keep_time(&server).await;
        let mut results: Vec<Result<Reply>> = vec![Err(error::unexpected()); steps.len()];
        let run = |chain: Vec<usize>| {
            let mut on = Own { mongo: Arc::clone(&mongo), server: Arc::clone(&server), writes };
            let steps = &steps;
            async move {
                let mut done = Vec::with_capacity(chain.len());
                for at in chain {
                    let (terms, clock) = (self.state_terms(), self.shared.clock());
                    let mut states = States { on: &mut on, terms, clock, in_transaction: false };
                    done.push((at, states.run(&steps[at]).await));
                }
                done
            }
        };
        let mut under_way = stream::iter(chains.into_iter().map(run)).buffer_unordered(AT_ONCE);
        while let Some(done) = under_way.next().await {
            for (at, result) in done {
                results[at] = result;
            }
        }
        drop(under_way);
        results
    }
}

impl<C: Carrier> Collection<'_, C> {
    /// Whether an update that has found its document changes that very one. FerretDB 1 finds it and
    /// changes it in two steps.
    pub(crate) async fn is_atomic(&self, hello: Hello) -> bool {
        if hello.has_transactions() {
            return true;
        }
        // Who may not ask talks to another server.
        let build = self.on.run(doc! { "buildInfo": 1 }).await;
        build.map_or(true, |build| !build.get_str("ferretdbVersion").is_ok_and(|version| version.starts_with("v1")))
    }

    /// Makes the indexes of sagas. Safe from many processes at once: a server makes an index once.
    /// Answers why the server refuses to, if it does: payloads can be kept all the same.
    pub(crate) async fn make_state_indexes(&self) -> Result<Option<Error>> {
        self.make_index().await?;
        let index = |name: &str, key: Document| doc! { "key": key, "name": name };
        let mut unique = index("correlation", doc! { "sagaName": 1, "correlationId": 1 });
        unique.insert("unique", true);
        for index in [
            unique,
            index("listing", doc! { "sagaName": 1, "sagaId": 1 }),
            index("listing_completed", doc! { "sagaName": 1, "isCompleted": 1, "sagaId": 1 }),
            // (The one named `completed` is that of older versions: of `updatedAt`, which changes each time.)
            index("ended", doc! { "sagaName": 1, "isCompleted": 1, "completedAt": 1 }),
            index("timeouts", doc! { "timeoutAt": 1 }),
        ] {
            let mut command = doc! { "createIndexes": self.terms.collection, "indexes": [index] };
            if self.terms.write_concern.is_some() {
                command.insert("writeConcern", doc! { "w": "majority" });
            }
            match self.on.run(command).await {
                Err(failure) if failure.code().is_some() => {
                    let error = failure.into_error();
                    return if error.is_retryable() { Err(error) } else { Ok(Some(error)) };
                }
                made => drop(made.map_err(Failure::into_error)?),
            }
        }
        Ok(None)
    }
}
