//! The same imports in memory and on a server: the same fates, and the same is there.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use mongodb::bson::doc;

use super::{
    HOUR, KINDS, all, ask, at, drop_collections, event, execution, message, of_event, of_execution, pages, payload,
    real, scanning, state,
};
use crate::backends::memory;
use crate::backends::mongodb::moving::write_group;
use crate::backends::mongodb::own::Own;
use crate::backends::mongodb::played::Played;
use crate::contract::driver::Driver;
use crate::contract::dynamic::Dynamic;
use crate::contract::moving::record::{Key, Logbook, Record};
use crate::contract::moving::{Conflict, Import, Moved, MovingRead, MovingWrite};
use crate::contract::operation::{Group, Work};
use crate::contract::outbox::record::{Content, EventStatus, Stored};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::options::OptionReader;
use crate::time::Millis;

struct Model {
    random: Rng,
    now: Millis,
    /// Entries of a large log.
    large: i64,
}

impl Model {
    fn expiry(&mut self) -> Option<Millis> {
        let later = [HOUR, 2 * HOUR, 3 * HOUR][self.random.usize(..3)];
        match self.random.u8(..4) {
            0 => None,
            1 => Some(self.now.minus(later)),
            _ => Some(self.now.plus(later)),
        }
    }

    fn text(&mut self, of: &str, below: u8) -> String {
        format!("{of}{}", self.random.u8(..below))
    }

    fn record(&mut self, kind: Moved, is_alone: bool) -> Record {
        match kind {
            Moved::Payloads => {
                let data: Vec<u8> = (0..self.random.usize(..40)).map(|_| self.random.u8(..)).collect();
                payload(&self.text("p:", 12), &data, self.expiry())
            }
            Moved::States => self.state(is_alone),
            Moved::Executions => self.execution(),
            Moved::Outbox => self.event(),
            Moved::Inbox => {
                let (consumer, id) = (self.text("k:", 2), self.text("m:", 6));
                message(&consumer, &id, self.expiry().unwrap_or(self.now.plus(7)))
            }
        }
    }

    /// Several at once do not meet in their correlation ids: what comes of that depends on their order.
    fn state(&mut self, is_alone: bool) -> Record {
        let (id, version) = (self.text("s", 6), self.random.i64(0..3));
        let correlation_id = if is_alone { self.text("c", 4) } else { format!("{id}:{}", self.random.u8(..2)) };
        let mut record = state(&id, &correlation_id, version);
        if let Record::State(state) = &mut record {
            state.saga.name = ["Order", "Refund"][self.random.usize(..2)].into();
            state.saga.updated_at = Millis(self.random.i64(2_000..2_003));
            state.saga.expires_at = self.expiry();
            state.saga.completed = self.random.bool();
            state.saga.completed_at = state.saga.completed.then_some(Millis(4_000));
        }
        record
    }

    fn execution(&mut self) -> Record {
        let entries = if self.random.u8(..4) == 0 { self.large } else { self.random.i64(0..4) };
        let mut logbook: Logbook = execution(&self.text("x", 5), self.random.i64(1..4), entries);
        logbook.execution.expires_at = self.expiry();
        logbook.execution.updated_at = Millis(self.random.i64(2_000..2_003));
        if self.random.bool() {
            logbook.execution.tags = Vec::new();
            logbook.execution.last_operation = None;
            logbook.execution.token = Some("".into());
            logbook.execution.parked_at = Some(Millis(3));
        }
        of_execution(logbook)
    }

    fn event(&mut self) -> Record {
        let key = [None, Some("a"), Some("b")][self.random.usize(..3)];
        let mut stored = event(&self.text("e:", 12), key);
        if self.random.bool() {
            stored.event.payload = Content::Bytes(Bytes::from_static(b"\0\xff"));
        }
        let status = EventStatus::ALL[self.random.usize(..4)];
        let at = |status_is: bool, at: i64| status_is.then_some(Millis(at));
        let is = |other: EventStatus| status == other;
        of_event(Stored {
            status,
            claimed_at: at(is(EventStatus::Claimed), 3_000),
            lease_until: is(EventStatus::Claimed).then(|| self.now.plus(HOUR)),
            token: is(EventStatus::Claimed).then(|| "t".into()),
            worker: is(EventStatus::Claimed).then(|| "w".into()),
            sent_at: at(is(EventStatus::Sent), 4_000),
            dead_at: at(is(EventStatus::DeadLetter), 5_000),
            due_at: (is(EventStatus::Pending) && self.random.bool()).then(|| self.now.plus(5)),
            expires_at: if is(EventStatus::Sent) || is(EventStatus::DeadLetter) { self.expiry() } else { None },
            retry_count: self.random.i64(0..3),
            deliveries: self.random.i64(0..3),
            last_error: self.random.bool().then(|| "no".into()),
            ..stored
        })
    }

    fn import(&mut self) -> Import {
        let kind = KINDS[self.random.usize(..5)];
        let conflict = [Conflict::Skip, Conflict::Overwrite, Conflict::Refuse, Conflict::Newer][self.random.usize(..4)];
        let count = [1, 1, 3, 8][self.random.usize(..4)];
        let (mut seen, mut records) = (HashSet::new(), Vec::new());
        for _ in 0..count {
            let record = self.record(kind, count == 1);
            if seen.insert(record.key()) {
                records.push(Ok(record));
            }
        }
        Import::new(kind, conflict, records)
    }
}

async fn in_memory(memory: &Arc<dyn Driver>, read: MovingRead) -> Dynamic {
    let Reply::Value(answer) = memory.run(Group::Moving(Work::Read(&[read]))).await.remove(0).unwrap() else {
        panic!()
    };
    answer
}

/// Whatever order its pages have, but for events.
fn sorted(kind: Moved, mut records: Vec<Dynamic>) -> Vec<Dynamic> {
    if kind != Moved::Outbox {
        records.sort_by_cached_key(|record| format!("{record:?}"));
    }
    records
}

async fn compare(own: &Own, seed: u64, steps: usize) -> Result<()> {
    let memory = memory::open("memory://", OptionReader::parse("{}").unwrap()).unwrap().driver;
    let mut model = Model { random: Rng::with_seed(seed), now: Millis::now(), large: 150 };
    for step in 0..steps {
        let import = model.import();
        let said = format!("seed {seed}, step {step}: {:?} {:?}", import.conflict, import.records);
        let kind = import.kind;
        let write = [MovingWrite::Import(Box::new(import))];
        let expected = memory.run(Group::Moving(Work::Write(&write))).await.remove(0)?;
        assert_eq!(write_group(own, &write).await.remove(0)?, expected, "{said}");
        let known = in_memory(&memory, scanning(kind, None, 1_000)).await;
        let known = known.get("records").cloned().and_then(Dynamic::into_list).unwrap();
        let stored = all(own, kind, model.random.u64(1..6)).await;
        assert_eq!(sorted(kind, stored), sorted(kind, known), "{said}");
        let mut keys: Vec<Key> = (0..3).map(|_| model.record(kind, true).key()).collect();
        keys.push(keys[0].clone());
        let fetch = || MovingRead::Fetch { kind, keys: keys.clone() };
        assert_eq!(ask(own, fetch()).await?, in_memory(&memory, fetch()).await, "{said}");
        let counted = ask(own, MovingRead::Count { kind }).await?;
        let known = in_memory(&memory, MovingRead::Count { kind }).await;
        assert_eq!(counted.get("count"), known.get("count"), "{said}");
    }
    let sizes = |after| MovingRead::Scan { kind: Moved::Payloads, after, limit: 5, max_bytes: 400, only_sizes: true };
    let measured = pages(own, sizes).await.into_iter().flat_map(|(records, _)| records).collect();
    let known = in_memory(
        &memory,
        MovingRead::Scan { kind: Moved::Payloads, after: None, limit: 100, max_bytes: 1 << 20, only_sizes: true },
    );
    let known = known.await.get("records").cloned().and_then(Dynamic::into_list).unwrap();
    assert_eq!(sorted(Moved::Payloads, measured), sorted(Moved::Payloads, known));
    Ok(())
}

#[tokio::test]
async fn whatever_is_imported_the_same_is_there_as_in_memory() {
    for seed in 0..8 {
        let peer = Played::default().start(doc! {}, |_| None).await;
        let own = at(&peer.url()).await;
        compare(&own, seed, 60).await.unwrap();
    }
}

#[tokio::test]
async fn the_same_on_a_real_server() {
    let Some(own) = real().await else { return };
    compare(&own, 1, 60).await.unwrap();
    drop_collections(&own).await;
}
