//! Random records, each as a store would have it.

use bytes::Bytes;

use super::super::outbox_tests::{HOUR, event, one_of};
use crate::contract::executions::record::{Action, Entry, Execution, LastOperation, Logged, Status, StepStatus};
use crate::contract::moving::Moved;
use crate::contract::moving::record::{Body, Logbook, Message, Payload, Record, State};
use crate::contract::outbox::record::{Content, EventStatus, Stored};
use crate::contract::states::Saga;
use crate::time::Millis;

/// Some live so long.
pub(super) const SHORT_MS: u64 = 400;

/// So many ids there are.
const IDS: usize = 60;

/// Records of different keys, at most so many.
pub(super) fn some(kind: Moved, count: usize) -> Vec<Record> {
    let mut numbers: Vec<usize> = (0..IDS).collect();
    fastrand::shuffle(&mut numbers);
    numbers.into_iter().take(count).map(|number| record(kind, number, any_expiry())).collect()
}

/// So many records of different keys that live for hours.
pub(super) fn different(kind: Moved, count: usize) -> Vec<Record> {
    let mut records: Vec<Record> =
        (0..count).map(|number| record(kind, number, Some(Millis::now().plus(HOUR)))).collect();
    for (number, record) in records.iter_mut().enumerate() {
        // Each about something else.
        if let Record::State(state) = record {
            state.correlation_id = format!("c{number}").into();
        }
    }
    records
}

fn record(kind: Moved, number: usize, expires_at: Option<Millis>) -> Record {
    match kind {
        Moved::Payloads => payload(number, expires_at),
        Moved::States => state(number, expires_at),
        Moved::Executions => execution(number, expires_at),
        Moved::Outbox => stored(number, expires_at),
        Moved::Inbox => Record::Message(Message {
            consumer: one_of_names(number).into(),
            id: format!("m{number} 'ü'").into(),
            operation: format!("o{}", fastrand::u8(..)).into(),
            expires_at: expires_at.unwrap_or_else(|| Millis::now().plus(2 * HOUR)),
        }),
    }
}

fn any_expiry() -> Option<Millis> {
    let now = Millis::now();
    let hours = fastrand::u64(1..4);
    one_of(&[None, None, Some(now.plus(SHORT_MS)), Some(now.plus(hours * HOUR + fastrand::u64(..1_000)))])
}

fn past() -> Millis {
    Millis(fastrand::i64(1_000_000_000_000..1_700_000_000_000))
}

fn one_of_names(number: usize) -> &'static str {
    ["A", "B \"quoted\"", "Ü"][number % 3]
}

fn maybe<T: Clone>(value: T) -> Option<T> {
    one_of(&[None, Some(value)])
}

fn payload(number: usize, expires_at: Option<Millis>) -> Record {
    let data: Vec<u8> = (0..fastrand::usize(..300)).map(|_| fastrand::u8(..)).collect();
    Record::Payload(Payload { id: format!("p{number}/ü'\"").into(), body: Body::Whole(Bytes::from(data)), expires_at })
}

fn state(number: usize, expires_at: Option<Millis>) -> Record {
    let completed = fastrand::u8(..3) == 0;
    let due = maybe(past());
    let mut json = serde_json::json!({ "n": number, "text": "ü\n'", "metadata": {} });
    if let Some(due) = due {
        json["metadata"]["timeoutExpiresAt"] = due.to_iso().into();
    }
    let updated_at = past();
    let saga = Saga {
        name: one_of_names(number).into(),
        id: format!("s{number}").into(),
        version: fastrand::i64(0..4),
        completed,
        created_at: past(),
        updated_at,
        completed_at: completed.then(past),
        timeout_at: due.filter(|_| !completed),
        expires_at,
        state: json.to_string().into(),
    };
    let correlation_id = if fastrand::u8(..3) == 0 { fastrand::usize(..IDS) } else { number };
    Record::State(Box::new(State { saga, correlation_id: format!("c{correlation_id}").into() }))
}

fn logged(seq: i64) -> Logged {
    let entry = Entry {
        step: one_of(&["reserve", "pay ü"]).into(),
        action: one_of(&[Action::Act, Action::Compensate]),
        status: one_of(StepStatus::ALL),
        step_id: maybe(format!("i{seq}").into()),
        details: maybe("some 'text'".into()),
        body: maybe(r#"{"b":[1, 2]}"#.into()),
    };
    Logged { seq, entry, at: past() }
}

fn execution(number: usize, expires_at: Option<Millis>) -> Record {
    let status = one_of(Status::ALL);
    let log: Vec<Logged> = (1..=fastrand::i64(0..5)).map(logged).collect();
    let is_parked = !status.is_terminal() && fastrand::u8(..5) == 0;
    let is_leased = !status.is_terminal() && !is_parked && fastrand::bool();
    let due = one_of(&[Millis::now().plus(HOUR), past()]);
    let updated_at = past();
    let version = fastrand::i64(1..4);
    let execution = Execution {
        id: format!("x{number}").into(),
        name: one_of_names(number).into(),
        status,
        sub_status: maybe("waiting".into()),
        // (SQLite's figures count characters.)
        context: maybe(r#"{"z": 1, "a":"u"}"#.into()),
        metadata: maybe(r#"{"m" :null}"#.into()),
        tags: one_of(&[vec![], vec!["ü".into()], vec!["t".into(), "ü".into()]]),
        version,
        seq: log.last().map_or(0, |logged| logged.seq),
        log_bytes: log.iter().map(|logged| logged.entry.bytes()).sum(),
        token: if is_leased { Some(format!("t{number}").into()) } else { maybe("".into()) },
        worker: is_leased.then(|| "w".into()),
        due_at: (!status.is_terminal() && !is_parked).then_some(due),
        attempts: fastrand::i64(0..3),
        last_error: maybe("it 'failed'".into()),
        last_operation: maybe(LastOperation { id: "op".into(), version, first_seq: maybe(1) }),
        // No two at one time: lists have one order.
        created_at: Millis(1_600_000_000_000).plus(number as u64 * 1_000 + fastrand::u64(..1_000)),
        updated_at,
        completed_at: status.is_terminal().then_some(updated_at),
        parked_at: is_parked.then(past),
        expires_at: expires_at.filter(|_| status.is_terminal()),
    };
    Record::Execution(Box::new(Logbook { execution, log }))
}

fn stored(number: usize, expires_at: Option<Millis>) -> Record {
    let mut event = event(&format!("e{number}"), one_of(&[None, None, Some("a"), Some("b"), Some("ü")]));
    event.payload =
        one_of(&[event.payload, Content::Bytes(Bytes::from_static(b"\0\xff")), Content::Bytes(Bytes::new())]);
    event.saga_id = maybe("s".into());
    event.aggregate_type = maybe("order".into());
    event.aggregate_id = maybe("7".into());
    event.headers = maybe(r#"{"h":"ü"}"#.into());
    event.routing_key = maybe("r".into());
    event.available_at = maybe(past());
    let mut stored = Stored::pending(event, 0, format!("o{}", fastrand::u8(..)).into(), past());
    stored.retry_count = fastrand::i64(0..2);
    stored.deliveries = fastrand::i64(0..3);
    stored.last_error = maybe("no 'ü'".into());
    stored.status = one_of(&[
        EventStatus::Pending,
        EventStatus::Pending,
        EventStatus::Claimed,
        EventStatus::Sent,
        EventStatus::DeadLetter,
    ]);
    match stored.status {
        EventStatus::Pending => stored.due_at = one_of(&[None, None, Some(past()), Some(Millis::now().plus(HOUR))]),
        EventStatus::Claimed => {
            stored.deliveries += 1;
            stored.claimed_at = Some(past());
            stored.worker = Some("w".into());
            stored.token = Some(format!("t{number}").into());
            stored.lease_until = Some(one_of(&[Millis::now().plus(HOUR), past()]));
        }
        EventStatus::Sent => {
            stored.sent_at = Some(past());
            stored.expires_at = Some(expires_at.unwrap_or_else(|| Millis::now().plus(HOUR)));
        }
        EventStatus::DeadLetter => {
            stored.dead_at = Some(past());
            stored.expires_at = expires_at;
        }
    }
    Record::Event(Box::new(stored))
}
