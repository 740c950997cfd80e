//! The outbox and the inbox of SQL databases beside those in memory: random operations, which must answer the same and
//! leave the same behind; and claims of a few events at a time, each of which must be one that the rules allow.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use crate::contract::driver::Driver;
use crate::contract::dynamic::Dynamic;
use crate::contract::inbox::{Entry, InboxRead, InboxWrite};
use crate::contract::lease::random;
use crate::contract::operation::{Access, Operation};
use crate::contract::outbox::record::{Content, Event, EventStatus};
use crate::contract::outbox::{
    ClaimEvents, Decision, Held, Insertion, NewLease, OutboxRead, OutboxWrite, Outcome, Settlement, Terms,
};
use crate::contract::settings::Settings;
use crate::contract::step::Reply;
use crate::error::{Kind, Result};
use crate::options::OptionReader;
use crate::time::Millis;

mod gathered;
mod rules;

pub(super) const HOUR: u64 = 3_600_000;

/// A driver, asked on its own threads.
#[derive(Clone)]
pub(super) struct Asked(pub(super) Arc<dyn Driver>, #[allow(dead_code)] pub(super) Option<Arc<Leftover>>); // Kept until the end.

/// What a test leaves on a server.
pub(super) struct Leftover {
    driver: Arc<dyn Driver>,
    statement: String,
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let removed = async {
            let mut transaction = self.driver.begin(None).await?;
            transaction.query(&self.statement, &[]).await?;
            transaction.commit().await
        };
        if let Err(error) = crate::runtime::io().unwrap().block_on(removed) {
            eprintln!("{}: {error}", self.statement);
        }
    }
}

impl Asked {
    pub(super) fn ask<O: Operation + Clone>(&self, operation: &O) -> Result<Reply> {
        let (driver, group) = (Arc::clone(&self.0), vec![operation.clone()]);
        let thread = self.0.runtime_of(O::ACCESS).unwrap();
        let asked = thread.spawn(async move { driver.run(O::group(&group)).await.remove(0) });
        crate::runtime::io().unwrap().block_on(asked).unwrap()
    }

    /// All of them at once.
    fn ask_group<O: Operation + Clone>(&self, group: &[O]) -> Vec<Result<Reply>> {
        let (driver, group) = (Arc::clone(&self.0), group.to_vec());
        let thread = self.0.runtime_of(O::ACCESS).unwrap();
        let asked = thread.spawn(async move { driver.run(O::group(&group)).await });
        crate::runtime::io().unwrap().block_on(asked).unwrap()
    }

    fn upkeep<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Driver) -> crate::runtime::Task<'_, Result<T>> + Send + 'static,
    ) -> T {
        let driver = Arc::clone(&self.0);
        let thread = self.0.runtime_of(Access::Write).unwrap();
        let asked = thread.spawn(async move { work(&*driver).await });
        crate::runtime::io().unwrap().block_on(asked).unwrap().unwrap()
    }

    fn list(&self, operation: &impl Fn(Option<Box<str>>) -> OutboxRead) -> Vec<Dynamic> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let Reply::Value(page) = self.ask(&operation(after)).unwrap() else { panic!("no page") };
            all.extend(page.get("events").cloned().and_then(Dynamic::into_list).unwrap());
            match page.get("cursor") {
                Some(Dynamic::Text(cursor)) => after = Some(cursor.as_str().into()),
                _ => return all,
            }
        }
    }

    fn all(&self) -> Vec<Dynamic> {
        self.list(&|after| OutboxRead::List { saga_id: None, status: None, after, limit: 7 })
    }
}

pub(super) fn memory() -> Asked {
    Asked(super::memory::open("memory://", OptionReader::parse("{}").unwrap()).unwrap().driver, None)
}

pub(super) fn settings() -> Settings {
    Settings::read(&mut OptionReader::parse("{}").unwrap()).unwrap()
}

#[cfg(feature = "sqlite")]
pub(super) fn sqlite() -> Asked {
    let opened = super::sqlite::open("sqlite::memory:", &settings(), OptionReader::parse("{}").unwrap()).unwrap();
    let asked = Asked(opened.driver, None);
    assert_eq!(asked.upkeep(|driver| driver.initialize()), Vec::<String>::new());
    asked
}

/// Nothing where there is no server.
#[cfg(feature = "postgres")]
pub(super) fn postgres() -> Option<Asked> {
    let Ok(url) = std::env::var("POSTGRES_URL") else {
        eprintln!("SKIPPED, not tested: POSTGRES_URL is not set, so no PostgreSQL server is asked");
        return None;
    };
    let schema = format!("t_outbox_{:08x}", fastrand::u32(..));
    let options = format!(r#"{{"schema": "{schema}", "poolSize": 8}}"#);
    let driver = super::postgres::open(&url, &settings(), OptionReader::parse(&options).unwrap()).unwrap().driver;
    let statement = format!("drop schema {schema} cascade");
    let asked = Asked(Arc::clone(&driver), Some(Arc::new(Leftover { driver, statement })));
    assert_eq!(asked.upkeep(|driver| driver.initialize()), Vec::<String>::new());
    Some(asked)
}

pub(super) fn one_of<T: Clone>(of: &[T]) -> T {
    of[fastrand::usize(..of.len())].clone()
}

pub(super) fn terms(skips_dead: bool, retain_sent_ms: u64, retain_dead_ms: Option<u64>) -> Terms {
    Terms {
        max_retries: 2,
        max_deliveries: 3,
        backoff_ms: 1,
        skips_dead,
        retain_sent_ms,
        retain_dead_ms,
        notifies_in_transaction: false,
    }
}

pub(super) fn lease(token: &str, lease_ms: u64) -> NewLease {
    NewLease { token: token.into(), worker: "w".into(), lease_ms }
}

pub(super) fn event(id: &str, key: Option<&str>) -> Event {
    Event {
        id: id.into(),
        event_type: "T".into(),
        payload: Content::Json(r#"{"ü":1}"#.into()),
        saga_id: None,
        aggregate_type: None,
        aggregate_id: None,
        headers: None,
        routing_key: None,
        partition_key: key.map(Into::into),
        available_at: None,
        occurred_at: Millis(-8_640_000_000_000_000),
    }
}

fn insertion(events: Vec<Event>, terms: Terms) -> OutboxWrite {
    let insertion = Insertion { events, ignores_duplicates: false, lease: None, operation: random(), terms };
    OutboxWrite::Insert(Box::new(insertion))
}

fn claim(token: &str, limit: u64, lease_ms: u64, terms: Terms) -> OutboxWrite {
    OutboxWrite::Claim(Box::new(ClaimEvents {
        lease: lease(token, lease_ms),
        limit,
        types: None,
        routing_keys: None,
        older_than_ms: 0,
        terms,
    }))
}

fn settle(held: Vec<Held>, outcome: Outcome, terms: Terms) -> OutboxWrite {
    OutboxWrite::Settle(Box::new(Settlement { held, outcome, terms }))
}

/// What random operations are made of.
#[derive(Default)]
struct Past {
    events: usize,
    claims: Vec<Held>,
    insertions: Vec<Insertion>,
    tokens: usize,
}

impl Past {
    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("t{}", self.tokens)
    }

    fn any_id(&self) -> Box<str> {
        format!("e{}", fastrand::usize(..=self.events)).into()
    }

    fn any_ids(&self) -> Vec<Box<str>> {
        let ids: HashSet<Box<str>> = (0..fastrand::usize(1..6)).map(|_| self.any_id()).collect();
        ids.into_iter().collect()
    }

    fn any_event(&mut self) -> Event {
        self.events += 1;
        let now = Millis::now();
        let mut event = event(&format!("e{}", self.events), one_of(&[None, Some("a"), Some("b"), Some("c")]));
        event.event_type = one_of(&["T", "T", "U"]).into();
        event.payload =
            one_of(&[event.payload, Content::Bytes(Bytes::from_static(b"\0\xff")), Content::Bytes(Bytes::new())]);
        event.saga_id = one_of(&[None, Some("s".into())]);
        event.headers = one_of(&[None, Some("{}".into())]);
        event.routing_key = one_of(&[None, Some("r".into())]);
        let (past, future) = (Millis(now.0 - 1_000), now.plus(HOUR));
        event.available_at = one_of(&[None, None, None, Some(past), Some(future)]);
        event
    }

    fn any(&mut self, terms: Terms, limits: &[u64]) -> OutboxWrite {
        match fastrand::u8(..20) {
            0..6 => self.any_insertion(terms),
            6..12 => OutboxWrite::Claim(Box::new(ClaimEvents {
                lease: lease(&self.token(), one_of(&[1, HOUR])),
                limit: one_of(limits),
                types: one_of(&[None, None, None, Some(vec!["T".into()])]),
                routing_keys: one_of(&[None, None, None, Some(vec!["r".into(), "x".into()])]),
                older_than_ms: one_of(&[0, 0, 0, 1, HOUR]),
                terms,
            })),
            12..16 => {
                let mut held: Vec<Held> = Vec::new();
                for claim in self.claims.iter().rev().take(fastrand::usize(1..30)) {
                    if fastrand::u8(..4) > 0 && held.iter().all(|known| known.id != claim.id) {
                        held.push(claim.clone());
                    }
                }
                if held.is_empty() {
                    held.push(Held { id: self.any_id(), token: "none".into() });
                }
                let retry_at = one_of(&[None, Some(Millis(1_000)), Some(Millis::now().plus(HOUR))]);
                let outcome = one_of(&[
                    Outcome::Sent,
                    Outcome::Sent,
                    Outcome::Failed { error: "no 'ü'".into(), retry_at, jitter: 1.0 },
                    Outcome::Failed { error: "no".into(), retry_at, jitter: 1.0 },
                    Outcome::Released,
                    Outcome::Extended(HOUR),
                    Outcome::Extended(1),
                ]);
                settle(held, outcome, terms)
            }
            16 => {
                let decision = one_of(&[
                    Decision::Pending,
                    Decision::Sent,
                    Decision::Failed { error: "f".into(), jitter: 1.0 },
                    Decision::Dead { error: None },
                    Decision::Dead { error: Some("d".into()) },
                ]);
                OutboxWrite::Decide { id: self.any_id(), decision, terms }
            }
            17 => one_of(&[
                OutboxWrite::ReleaseStuck { older_than_ms: 0, limit: 1_000 },
                OutboxWrite::ReleaseStuck { older_than_ms: HOUR, limit: 1_000 },
                OutboxWrite::Archive { older_than_ms: 0, sent: true, dead: fastrand::bool(), limit: 1_000 },
            ]),
            18 => OutboxWrite::Requeue { ids: self.any_ids() },
            _ => OutboxWrite::Discard { ids: self.any_ids() },
        }
    }

    fn any_insertion(&mut self, terms: Terms) -> OutboxWrite {
        if fastrand::u8(..6) == 0
            && let Some(again) = self.insertions.last()
        {
            return OutboxWrite::Insert(Box::new(again.clone()));
        }
        let mut events: Vec<Event> = (0..fastrand::usize(1..9)).map(|_| self.any_event()).collect();
        if fastrand::u8(..4) == 0 {
            events[0].id = self.any_id();
            let mut seen = HashSet::new();
            events.retain(|event| seen.insert(event.id.clone()));
        }
        let token = self.token();
        let lease = (fastrand::u8(..3) == 0).then(|| lease(&token, one_of(&[1, HOUR])));
        let ignores_duplicates = fastrand::bool();
        let insertion = Insertion { events, ignores_duplicates, lease, operation: random(), terms };
        self.insertions.push(insertion.clone());
        OutboxWrite::Insert(Box::new(insertion))
    }

    fn note(&mut self, reply: &Reply) {
        for event in listed(reply) {
            if let (Dynamic::Text(id), Some(Dynamic::Text(token))) = (field(&event, ID), event_token(&event)) {
                self.claims.push(Held { id: id.as_str().into(), token: token.as_str().into() });
            }
        }
    }
}

const ID: usize = 0;
const KEY: usize = 8;
const STATUS: usize = 11;
const TOKEN: usize = 19;

fn field(event: &Dynamic, place: usize) -> &Dynamic {
    let Dynamic::List(fields) = event else { panic!("{event:?}") };
    &fields[place]
}

fn event_token(event: &Dynamic) -> Option<&Dynamic> {
    Some(field(event, TOKEN)).filter(|token| **token != Dynamic::Null)
}

fn text(event: &Dynamic, place: usize) -> Option<&str> {
    match field(event, place) {
        Dynamic::Text(text) => Some(text),
        _ => None,
    }
}

/// Events of an answer, where it is a list of them.
fn listed(reply: &Reply) -> Vec<Dynamic> {
    match reply {
        Reply::Value(Dynamic::List(events)) => {
            events.iter().filter(|event| matches!(event, Dynamic::List(_))).cloned().collect()
        }
        _ => Vec::new(),
    }
}

pub(super) fn ids(reply: &Result<Reply>) -> Vec<String> {
    listed(reply.as_ref().unwrap()).iter().map(|event| text(event, ID).unwrap().to_owned()).collect()
}

/// Whether both say the same; times may be a few seconds apart.
fn is_same(one: &Dynamic, other: &Dynamic) -> bool {
    match (one, other) {
        (Dynamic::Time(one), Dynamic::Time(other)) => (one.0 - other.0).abs() < 10_000,
        (Dynamic::List(one), Dynamic::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Dynamic::Map(one), Dynamic::Map(other)) => {
            one.iter().zip(other).all(|(one, other)| one.0 == "oldestReadyMs" || is_same(&one.1, &other.1))
        }
        (one, other) => one == other,
    }
}

pub(super) fn assert_same(expected: &Result<Reply>, found: &Result<Reply>, after: &impl std::fmt::Debug) {
    // Ids that are lost come in any order.
    let sorted = |reply: &Dynamic| match reply {
        Dynamic::List(texts) if texts.iter().all(|text| matches!(text, Dynamic::Text(_))) => {
            let mut texts = texts.clone();
            texts.sort_by_key(|text| format!("{text:?}"));
            Dynamic::List(texts)
        }
        reply => reply.clone(),
    };
    let same = match (expected, found) {
        (Ok(Reply::Value(one)), Ok(Reply::Value(other))) => is_same(&sorted(one), &sorted(other)),
        (Ok(one), Ok(other)) => one == other,
        (Err(one), Err(other)) => one.kind() == other.kind() && one.id() == other.id(),
        _ => false,
    };
    assert!(same, "{found:#?}\ninstead of\n{expected:#?}\nafter {after:?}");
}

/// Leases of a millisecond are over, and what was stored is older than a millisecond.
fn pause() {
    std::thread::sleep(Duration::from_millis(3));
}

fn compare(open: impl Fn() -> Option<Asked>, rounds: usize) {
    for _ in 0..rounds {
        let Some(tried) = open() else { return };
        let (memory, mut past) = (memory(), Past::default());
        let terms = terms(fastrand::bool(), one_of(&[0, 1, HOUR]), one_of(&[None, Some(1), Some(HOUR)]));
        let mut steps = Vec::new();
        for _ in 0..60 {
            let write = past.any(terms, &[1_000]);
            let expected = memory.ask(&write);
            let found = tried.ask(&write);
            // What is due again after a millisecond is due in both.
            pause();
            steps.push(write);
            assert_same(&expected, &found, &steps);
            if let Ok(reply) = &expected {
                past.note(reply);
            }
            assert_same(
                &Ok(Reply::Value(Dynamic::List(memory.all()))),
                &Ok(Reply::Value(Dynamic::List(tried.all()))),
                &steps,
            );
            for read in [
                OutboxRead::Get { id: past.any_id() },
                OutboxRead::Statistics { terms },
                OutboxRead::BlockedKeys { limit: 2, terms },
                OutboxRead::Count { status: one_of(EventStatus::ALL) },
                OutboxRead::Stuck { older_than_ms: 0, limit: 3 },
                OutboxRead::List {
                    saga_id: Some("s".into()),
                    status: one_of(&[None, Some(one_of(EventStatus::ALL))]),
                    after: None,
                    limit: 1_000,
                },
            ] {
                assert_same(&memory.ask(&read), &tried.ask(&read), &(&steps, &read));
            }
            if fastrand::u8(..10) == 0 {
                pause();
                let purge = |asked: &Asked| asked.upkeep(|driver| driver.purge_expired(Millis::now(), 1_000));
                assert_eq!(purge(&memory), purge(&tried), "{steps:?}");
            }
        }
    }
}

/// What a claim has given was free, at most so much, and nothing of its key stood before it.
fn check_claim(before: &[Dynamic], given: &[Dynamic], limit: u64, skips_dead: bool) {
    assert!(given.len() as u64 <= limit);
    let given_ids: HashSet<&str> = given.iter().filter_map(|event| text(event, ID)).collect();
    assert_eq!(given_ids.len(), given.len());
    let order: HashMap<&str, usize> =
        before.iter().enumerate().map(|(at, event)| (text(event, ID).unwrap(), at)).collect();
    let places: Vec<usize> = given.iter().map(|event| order[text(event, ID).unwrap()]).collect();
    assert!(places.is_sorted(), "{places:?}");
    for place in places {
        let Some(key) = text(&before[place], KEY) else { continue };
        for earlier in before[..place].iter().filter(|event| text(event, KEY) == Some(key)) {
            let status = text(earlier, STATUS).unwrap();
            let lets_pass = status == "sent" || (status == "dead_letter" && skips_dead);
            // One that has become a dead letter by this claim lets others pass, or not.
            assert!(
                lets_pass || given_ids.contains(text(earlier, ID).unwrap()) || skips_dead,
                "{earlier:?} stands before {:?}",
                before[place]
            );
        }
    }
}

fn claim_a_few(open: impl Fn() -> Option<Asked>, rounds: usize) {
    for _ in 0..rounds {
        let Some(tried) = open() else { return };
        let mut past = Past::default();
        for _ in 0..80 {
            // Stores of other options come and go.
            let terms = terms(fastrand::u8(..4) == 0, one_of(&[0, HOUR]), None);
            let write = past.any(terms, &[1, 2, 5]);
            pause();
            let before = tried.all();
            let reply = tried.ask(&write);
            if let (OutboxWrite::Claim(claim), Ok(reply)) = (&write, &reply) {
                check_claim(&before, &listed(reply), claim.limit, terms.skips_dead);
            }
            if let Ok(reply) = &reply {
                past.note(reply);
            }
        }
        // Nothing is left behind: whatever happened, everything is claimed and sent in the end.
        let terms = terms(false, 0, None);
        for round in 0.. {
            assert!(round < 500, "{:#?}", tried.all());
            tried.ask(&OutboxWrite::ReleaseStuck { older_than_ms: 0, limit: 1_000 }).unwrap();
            let all = tried.all();
            let unsent: Vec<&Dynamic> = all.iter().filter(|event| text(event, STATUS) != Some("sent")).collect();
            if unsent.is_empty() {
                break;
            }
            let ids: Vec<Box<str>> = unsent.iter().map(|event| text(event, ID).unwrap().into()).collect();
            for id in &ids {
                tried.ask(&OutboxWrite::Requeue { ids: vec![id.clone()] }).unwrap();
            }
            // What waits for its time.
            if round == 0 {
                for id in &ids {
                    tried.ask(&OutboxWrite::Decide { id: id.clone(), decision: Decision::Pending, terms }).unwrap();
                }
            }
            let limit = one_of(&[1, 3, 100]);
            let given = listed(&tried.ask(&claim("last", limit, HOUR, terms)).unwrap());
            assert!(!given.is_empty(), "nothing is given of {unsent:#?}");
            check_claim(&all, &given, limit, false);
            let held = given.iter().map(|event| Held { id: text(event, ID).unwrap().into(), token: "last".into() });
            assert_eq!(tried.ask(&settle(held.collect(), Outcome::Sent, terms)).unwrap(), Reply::ids([]));
        }
    }
}

#[cfg(feature = "postgres")]
mod on_postgres {
    use super::gathered::*;
    use super::rules::*;
    use super::*;

    #[test]
    fn groups_answer_as_their_changes_do_alone() {
        groups_are_as_their_changes(postgres, 12);
    }

    #[test]
    fn overlapping_batches_do_not_deadlock() {
        if let Some(tried) = postgres() {
            overlapping_batches_deadlock_nobody(&tried, 1_500, 25);
        }
    }

    /// As long as it takes to be sure.
    #[test]
    #[ignore = "takes a minute"]
    fn overlapping_batches_do_not_deadlock_in_a_minute() {
        if let Some(tried) = postgres() {
            overlapping_batches_deadlock_nobody(&tried, 20_000, 400);
        }
    }

    #[test]
    fn the_rules_are_those_of_memory() {
        compare(postgres, 12);
    }

    #[test]
    fn claims_of_a_few_are_right_and_nothing_is_left() {
        claim_a_few(postgres, 10);
    }

    #[test]
    fn a_claim_of_one_gives_one() {
        if let Some(tried) = postgres() {
            limits_are_kept(&tried);
        }
    }

    #[test]
    fn several_workers_keep_the_order_of_a_key() {
        if let Some(tried) = postgres() {
            workers_keep_the_order(&tried, 1_200);
        }
    }

    #[test]
    fn what_is_parked_keeps_nobody_waiting() {
        if let Some(tried) = postgres() {
            others_go_on(&tried);
        }
    }

    #[test]
    fn the_inbox_is_that_of_memory() {
        the_inbox_is_the_same(postgres);
    }
}

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use super::gathered::*;
    use super::rules::*;
    use super::*;

    #[test]
    fn groups_answer_as_their_changes_do_alone() {
        groups_are_as_their_changes(|| Some(sqlite()), 20);
    }

    #[test]
    fn overlapping_batches_do_not_deadlock() {
        overlapping_batches_deadlock_nobody(&sqlite(), 400, 10);
    }

    #[test]
    fn the_rules_are_those_of_memory() {
        compare(|| Some(sqlite()), 40);
    }

    #[test]
    fn claims_of_a_few_are_right_and_nothing_is_left() {
        claim_a_few(|| Some(sqlite()), 30);
    }

    #[test]
    fn a_claim_of_one_gives_one() {
        limits_are_kept(&sqlite());
    }

    #[test]
    fn several_workers_keep_the_order_of_a_key() {
        workers_keep_the_order(&sqlite(), 400);
    }

    #[test]
    fn what_is_parked_keeps_nobody_waiting() {
        others_go_on(&sqlite());
    }

    #[test]
    fn the_inbox_is_that_of_memory() {
        the_inbox_is_the_same(|| Some(sqlite()));
    }

    #[test]
    fn an_id_is_taken_also_by_what_was_sent() {
        let tried = sqlite();
        let terms = terms(false, HOUR, None);
        tried.ask(&insertion(vec![event("a", None)], terms)).unwrap();
        tried.ask(&OutboxWrite::Decide { id: "a".into(), decision: Decision::Sent, terms }).unwrap();
        let taken = tried.ask(&insertion(vec![event("b", None), event("a", None)], terms)).unwrap_err();
        assert_eq!((taken.kind(), taken.id()), (Kind::AlreadyExists, Some("a")));
        assert_eq!(tried.all().len(), 1);
    }
}
