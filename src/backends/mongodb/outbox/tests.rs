//! Against a server that is played: the same as in memory, whatever happens; several workers; crashes between two
//! commands. Against the server of MONGODB_URL: what FerretDB 1 has of it, and what it has not.

mod model;
mod races;
mod wire;

use std::sync::Arc;

use crate::contract::driver::Driver;
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::{Group, Work};
use crate::contract::outbox::record::{Content, Event, Stored};
use crate::contract::outbox::{
    ClaimEvents, Held, Insertion, NewLease, OutboxRead, OutboxWrite, Outcome, Settlement, Terms,
};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

const HOUR: u64 = 3_600_000;

pub(crate) const fn terms() -> Terms {
    Terms {
        max_retries: 2,
        max_deliveries: 3,
        backoff_ms: HOUR,
        skips_dead: false,
        retain_sent_ms: 0,
        retain_dead_ms: None,
        notifies_in_transaction: false,
    }
}

pub(super) fn lease_of(token: &str) -> NewLease {
    NewLease { token: token.into(), worker: "w".into(), lease_ms: 60_000 }
}

pub(crate) fn claim_of(token: &str, limit: u64) -> ClaimEvents {
    let lease = lease_of(token);
    ClaimEvents { lease, limit, types: None, routing_keys: None, older_than_ms: 0, terms: terms() }
}

pub(super) fn given(id: &str, key: Option<&str>) -> Event {
    Event {
        id: id.into(),
        event_type: "OrderPlaced".into(),
        payload: Content::Json(r#"{"n":1}"#.into()),
        saga_id: None,
        aggregate_type: None,
        aggregate_id: None,
        headers: None,
        routing_key: None,
        partition_key: key.map(Into::into),
        available_at: None,
        occurred_at: Millis(1_000),
    }
}

/// An event that is pending.
pub(super) fn event(id: &str, seq: i64, key: Option<&str>) -> Stored {
    Stored::pending(given(id, key), seq, "o".into(), Millis(1_000))
}

fn insertion(events: Vec<Event>) -> Insertion {
    let operation = crate::contract::lease::random();
    Insertion { events, ignores_duplicates: false, lease: None, operation, terms: terms() }
}

fn inserting(events: &[(&str, Option<&str>)]) -> OutboxWrite {
    OutboxWrite::Insert(Box::new(insertion(events.iter().map(|(id, key)| given(id, *key)).collect())))
}

fn claiming(token: &str, limit: u64) -> OutboxWrite {
    OutboxWrite::Claim(Box::new(claim_of(token, limit)))
}

fn settling(ids: &[&str], token: &str, outcome: Outcome) -> OutboxWrite {
    let held = ids.iter().map(|id| Held { id: (*id).into(), token: token.into() }).collect();
    OutboxWrite::Settle(Box::new(Settlement { held, outcome, terms: terms() }))
}

fn failing(ids: &[&str], token: &str) -> OutboxWrite {
    settling(ids, token, Outcome::Failed { error: "no".into(), retry_at: None, jitter: 1.0 })
}

async fn write(driver: &Arc<dyn Driver>, write: &OutboxWrite) -> Result<Reply> {
    driver.run(Group::Outbox(Work::Write(std::slice::from_ref(write)))).await.pop().unwrap()
}

async fn read(driver: &Arc<dyn Driver>, read: &OutboxRead) -> Result<Reply> {
    driver.run(Group::Outbox(Work::Read(std::slice::from_ref(read)))).await.pop().unwrap()
}

/// The ids of events, or a list of ids.
fn ids(reply: Result<Reply>) -> Vec<String> {
    let Reply::Value(Dynamic::List(listed)) = reply.unwrap() else { panic!() };
    let id = |element: Dynamic| match element {
        Dynamic::List(fields) => fields[0].as_text().unwrap().to_owned(),
        text => text.as_text().unwrap().to_owned(),
    };
    listed.into_iter().map(id).collect()
}
