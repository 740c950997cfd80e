//! The same operations in memory and on a played server: the same answers.

use std::sync::Arc;

use fastrand::Rng;
use mongodb::bson::doc;

use super::{HOUR, claim_of, given, insertion, read, terms, write};
use crate::backends::memory;
use crate::backends::mongodb::played::Played;
use crate::backends::mongodb::tests::open;
use crate::contract::driver::Driver;
use crate::contract::dynamic::Dynamic;
use crate::contract::outbox::record::EventStatus;
use crate::contract::outbox::{
    ClaimEvents, Decision, Held, Insertion, NewLease, OutboxRead, OutboxWrite, Outcome, Settlement, Terms,
};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::options::OptionReader;
use crate::time::Millis;

/// What two backends must say alike: texts and numbers, and whether there is a time.
fn shown(reply: Result<Reply>) -> String {
    fn of(value: &Dynamic) -> String {
        match value {
            Dynamic::Time(at) if at.0 == 1_000 => String::from("the time given"),
            Dynamic::Time(_) => String::from("a time"),
            Dynamic::List(elements) => {
                let mut elements: Vec<String> = elements.iter().map(of).collect();
                // Ids that are lost have no order.
                if elements.iter().all(|element| element.starts_with("Text(\"e")) {
                    elements.sort_unstable();
                }
                format!("[{}]", elements.join(" "))
            }
            Dynamic::Map(fields) => {
                let field = |(name, value): &(String, Dynamic)| match &**name {
                    "cursor" | "oldestReadyMs" => format!("{name}:{}", *value != Dynamic::Null),
                    _ => format!("{name}:{}", of(value)),
                };
                fields.iter().map(field).collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}"),
        }
    }
    match reply {
        Ok(Reply::Value(value)) => of(&value),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("{:?} {:?}", error.kind(), error.id()),
    }
}

struct Model {
    random: Rng,
    terms: Terms,
    inserted: usize,
    tokens: Vec<String>,
}

impl Model {
    fn id(&mut self) -> Box<str> {
        format!("e{}", self.random.usize(..=self.inserted.min(40))).into()
    }

    fn ids(&mut self) -> Vec<Box<str>> {
        let mut ids: Vec<Box<str>> = (0..self.random.usize(1..6)).map(|_| self.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn lease(&mut self) -> NewLease {
        self.tokens.push(format!("t{}", self.tokens.len()));
        let lease_ms = if self.random.u8(..4) == 0 { 0 } else { HOUR };
        NewLease { token: self.tokens.last().unwrap().as_str().into(), worker: "w".into(), lease_ms }
    }

    fn insertion(&mut self) -> Insertion {
        let count = self.random.usize(1..4);
        let mut ids: Vec<Box<str>> = Vec::new();
        for _ in 0..count {
            self.inserted += 1;
            ids.push(if self.random.u8(..12) == 0 { self.id() } else { format!("e{}", self.inserted).into() });
        }
        ids.dedup();
        let mut events = Vec::new();
        for id in ids {
            let key = [None, Some("a"), Some("b"), Some("c")][self.random.usize(..4)];
            let mut event = given(&id, key);
            event.event_type = if self.random.u8(..4) == 0 { "Other".into() } else { event.event_type };
            event.saga_id = self.random.bool().then(|| "saga".into());
            event.available_at = (self.random.u8(..10) == 0).then(|| Millis::now().plus(HOUR));
            events.push(event);
        }
        let lease = (self.random.u8(..5) == 0).then(|| self.lease());
        let ignores_duplicates = self.random.bool();
        Insertion { ignores_duplicates, lease, terms: self.terms, ..insertion(events) }
    }

    fn settlement(&mut self) -> Settlement {
        let ids = self.ids();
        let recent = self.tokens.len().saturating_sub(3);
        let token = self.tokens.get(self.random.usize(recent..=self.tokens.len())).map_or("none", String::as_str);
        let held = ids.into_iter().map(|id| Held { id, token: token.into() }).collect();
        let retry_at = [None, Some(Millis(5)), Some(Millis::now().plus(HOUR))][self.random.usize(..3)];
        let outcome = match self.random.u8(..6) {
            0..3 => Outcome::Sent,
            3 => Outcome::Failed { error: "no".into(), retry_at, jitter: 1.0 },
            4 => Outcome::Released,
            _ => Outcome::Extended(if self.random.bool() { HOUR } else { 0 }),
        };
        Settlement { held, outcome, terms: self.terms }
    }

    fn next(&mut self) -> OutboxWrite {
        match self.random.u8(..20) {
            0..6 => OutboxWrite::Insert(Box::new(self.insertion())),
            6..10 => {
                let lease = self.lease();
                let types = (self.random.u8(..5) == 0).then(|| vec!["Other".into()]);
                let limit = self.random.u64(1..8);
                let terms = self.terms;
                OutboxWrite::Claim(Box::new(ClaimEvents { lease, types, terms, ..claim_of("", limit) }))
            }
            10..15 => OutboxWrite::Settle(Box::new(self.settlement())),
            15 | 16 => {
                let error = Some("by hand".into());
                let decision = match self.random.u8(..4) {
                    0 => Decision::Pending,
                    1 => Decision::Sent,
                    2 => Decision::Failed { error: "no".into(), jitter: 1.0 },
                    _ => Decision::Dead { error },
                };
                OutboxWrite::Decide { id: self.id(), decision, terms: self.terms }
            }
            17 => OutboxWrite::Requeue { ids: self.ids() },
            18 if self.random.bool() => OutboxWrite::Discard { ids: self.ids() },
            18 => OutboxWrite::ReleaseStuck { older_than_ms: 0, limit: self.random.u64(1..4) },
            _ => {
                let (sent, dead) = (self.random.bool(), self.random.u8(..8) == 0);
                OutboxWrite::Archive { older_than_ms: 0, sent, dead, limit: self.random.u64(1..4) }
            }
        }
    }

    fn questions(&mut self) -> Vec<OutboxRead> {
        let (limit, terms) = (self.random.u64(1..9), self.terms);
        let status = EventStatus::ALL[self.random.usize(..EventStatus::ALL.len())];
        vec![
            OutboxRead::List { saga_id: None, status: None, after: None, limit: 1_000 },
            OutboxRead::List { saga_id: Some("saga".into()), status: Some(status), after: None, limit },
            OutboxRead::Get { id: self.id() },
            OutboxRead::Stuck { older_than_ms: 0, limit },
            OutboxRead::Count { status },
            OutboxRead::BlockedKeys { limit, terms },
            OutboxRead::Statistics { terms },
        ]
    }
}

async fn compare(seed: u64) {
    let peer = Played::default().start(doc! {}, |_| None).await;
    let mongo: Arc<dyn Driver> = open(&peer.url());
    let memory = memory::open("memory://", OptionReader::parse("{}").unwrap()).unwrap().driver;
    let mut random = Rng::with_seed(seed);
    let retain_sent_ms = if random.bool() { HOUR } else { 0 };
    // (How much of what was claimed too often one claim buries is the backend's to choose.)
    let terms = Terms { skips_dead: random.bool(), retain_sent_ms, max_deliveries: 1_000, ..terms() };
    let mut model = Model { random, terms, inserted: 0, tokens: Vec::new() };
    for step in 0..100 {
        let next = model.next();
        let (expected, answer) = (shown(write(&memory, &next).await), shown(write(&mongo, &next).await));
        assert_eq!(answer, expected, "seed {seed}, step {step}: {next:?}");
        for question in model.questions() {
            let (expected, answer) = (shown(read(&memory, &question).await), shown(read(&mongo, &question).await));
            assert_eq!(answer, expected, "seed {seed}, step {step}: {next:?}, then {question:?}");
        }
    }
    mongo.close().await;
}

#[tokio::test]
async fn whatever_happens_the_answers_are_those_of_memory() {
    for seed in 0..6 {
        compare(seed).await;
    }
}
