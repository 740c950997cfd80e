//! Transactions that the application collects (`TransactItems`) and sends itself: changes are pushed to what it has.

use std::collections::HashSet;
use std::sync::Arc;

use super::changes::{Change, Planned};
use super::client::OnClient;
use super::clock::Clock;
use super::config::Tables;
use super::error::{self, of_client};
use super::load::Load;
use super::outbox::queued::LastPlaces;
use super::plan;
use super::session::{Patience, Session};
use super::shared::SharedClient;
use crate::contract::client::Client;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::ExecutionWrite;
use crate::contract::outbox::Insertion;
use crate::contract::states::{StateWrite, changed_twice};
use crate::contract::step::{Queued, Reply, Step, not_queueable};
use crate::error::{Error, Result};

/// What is in a transaction that the application collects.
#[derive(Debug, PartialEq)]
struct Collected {
    load: Load,
    /// Of its items in the table that was asked for: their ids, and the parts of these.
    keys: HashSet<(String, Option<String>)>,
}

impl Collected {
    /// Of what `collected` answers.
    fn read(found: Dynamic) -> Option<Self> {
        let (mut load, mut keys) = (Load::default(), HashSet::new());
        for item in found.into_list()? {
            load.bytes += item.get("bytes").and_then(Dynamic::as_int).and_then(|bytes| u64::try_from(bytes).ok())?;
            load.items += 1;
            let text = |name| item.get(name).and_then(Dynamic::as_text).map(str::to_owned);
            keys.extend(text("id").map(|id| (id, text("part"))));
        }
        Some(Self { load, keys })
    }

    /// Whether it has an operation on the item of a change.
    fn has(&self, change: &Change) -> bool {
        self.keys.contains(&key(change))
    }

    /// Adds a change, if there is room for it.
    fn add(&mut self, change: &Change) -> Result<()> {
        let id = change.id().unwrap_or_default();
        if self.has(change) {
            let text = "the transaction has an operation on this item already, and DynamoDB takes one for each";
            return Err(Error::invalid(text).with_id(id));
        }
        self.load = self.load.with(change, None)?;
        self.keys.insert(key(change));
        Ok(())
    }
}

fn key(change: &Change) -> (String, Option<String>) {
    (change.id().unwrap_or_default().to_owned(), change.part().map(str::to_owned))
}

/// A transaction of the application, and what is known of the tables.
pub(super) struct Collector<'a> {
    pub(super) client: &'a Client,
    pub(super) tables: &'a Arc<Tables>,
    pub(super) clock: &'a Clock,
    /// Connections of the store's own, if it has any: a collecting client answers nothing.
    pub(super) own: Option<&'a (Arc<SharedClient>, Patience)>,
}

impl Collector<'_> {
    /// Pushes what a step changes: all of it, or nothing.
    pub(super) async fn add(&self, step: &Step) -> Result<Reply> {
        match step.queued() {
            Queued::Blind(write) => {
                let change = plan::copy_of(write, self.tables, self.clock)?;
                self.collected(&change.table).await?.add(&change)?;
                self.push(change).await?;
            }
            Queued::Conditional(write) => {
                let planned = self.plan(write).await?;
                self.push_all(planned, step.id()).await?;
            }
            Queued::Execution(write) => {
                let (planned, reply) = self.plan_execution(write).await?;
                self.push_all(planned, step.id()).await?;
                return Ok(reply);
            }
            Queued::Outbox(insertion) => {
                let planned = self.plan_insertion(insertion).await?;
                self.push_once(planned, step.subject()).await?;
                return Ok(Reply::Value(Dynamic::List(Vec::new())));
            }
            Queued::Inbox(write) => {
                let (planned, reply) = plan::message(write, self.tables, self.clock)?;
                self.push_once(planned, step.subject()).await?;
                return Ok(reply);
            }
            Queued::No => return Err(not_queueable(step)),
        }
        Ok(Reply::Done)
    }

    async fn push_all(&self, planned: Vec<Planned>, id: &str) -> Result<()> {
        let Some(first) = planned.first() else { return Ok(()) };
        let mut collected = self.collected(&first.change.table).await?;
        for Planned { change, .. } in &planned {
            if collected.has(change) {
                return Err(changed_twice(id));
            }
            collected.add(change).map_err(|error| error.with_id(id))?;
        }
        for Planned { change, .. } in planned {
            self.push(change).await?;
        }
        Ok(())
    }

    /// The changes of a step with conditions. What is stored is read on the store's own connections, in the
    /// background. A step that needs no look is collected before the call returns.
    async fn plan(&self, write: &StateWrite) -> Result<Vec<Planned>> {
        match self.own {
            Some((shared, patience)) if plan::needs_a_look(write) => {
                let (shared, patience) = (Arc::clone(shared), *patience);
                let (tables, write) = (Arc::clone(self.tables), write.clone());
                let planning = async move {
                    let session = Session::open(&shared, &tables, patience).await?;
                    plan::conditional(&session, &write).await
                };
                self.client.meanwhile(planning).await
            }
            _ => {
                let on = OnClient::new(self.client, self.tables, self.clock);
                plan::conditional(&on, write).await
            }
        }
    }

    /// The same of an execution, which always needs a look.
    async fn plan_execution(&self, write: &ExecutionWrite) -> Result<(Vec<Planned>, Reply)> {
        let Some((shared, patience)) = self.own else {
            let on = OnClient::new(self.client, self.tables, self.clock);
            return plan::execution(&on, write).await;
        };
        let (shared, patience) = (Arc::clone(shared), *patience);
        let (tables, write) = (Arc::clone(self.tables), write.clone());
        let planning = async move {
            let session = Session::open(&shared, &tables, patience).await?;
            plan::execution(&session, &write).await
        };
        self.client.meanwhile(planning).await
    }

    /// The same of an insertion. Without connections of the store's own, nobody looks where its keys end: there, the
    /// clocks alone say which of two events of a key comes first.
    async fn plan_insertion(&self, insertion: &Insertion) -> Result<Vec<Planned>> {
        match self.own {
            Some((shared, patience)) if plan::insertion_needs_a_look(insertion) => {
                let (shared, patience) = (Arc::clone(shared), *patience);
                let (tables, keys) = (Arc::clone(self.tables), plan::keys_of(insertion));
                let looking = async move {
                    let session = Session::open(&shared, &tables, patience).await?;
                    plan::last_places(&session, &keys).await
                };
                let last = self.client.meanwhile(looking).await?;
                plan::insertion_behind(insertion, &last, self.tables, self.clock)
            }
            _ => plan::insertion_behind(insertion, &LastPlaces::new(), self.tables, self.clock),
        }
    }

    async fn push_once(&self, planned: Vec<Planned>, id: &str) -> Result<()> {
        let Some(first) = planned.first() else { return Ok(()) };
        let mut collected = self.collected(&first.change.table).await?;
        for new in &planned {
            if collected.has(&new.change) {
                return Err(plan::twice(new, id));
            }
            collected.add(&new.change).map_err(|error| error.with_id(id))?;
        }
        for Planned { change, .. } in planned {
            self.push(change).await?;
        }
        Ok(())
    }

    /// Whether all of the steps of a call have room, before the first of them is pushed.
    pub(super) async fn check(&self, steps: &[Step]) -> Result<()> {
        let mut collected = self.collected(&self.tables.payloads).await?;
        for step in steps {
            let Queued::Blind(write) = step.queued() else { return Err(not_queueable(step)) };
            collected.add(&plan::change_of(write, self.tables, self.clock)?)?;
        }
        Ok(())
    }

    async fn push(&self, change: Change) -> Result<()> {
        self.ask("push", vec![change.input()]).await.map(drop)
    }

    /// What the application's transaction has in it, with the ids of its items in a table.
    async fn collected(&self, table: &str) -> Result<Collected> {
        let collected = self.ask("collected", vec![Dynamic::text(table)]).await?;
        Collected::read(collected).ok_or_else(error::unexpected)
    }

    async fn ask(&self, method: &'static str, arguments: Vec<Dynamic>) -> Result<Dynamic> {
        let answer = self.client.ask(method, arguments).await;
        answer.map_err(|failure| of_client(failure, &self.tables.payloads).error)
    }
}
