//! Changes that come at the same time: in one group, or of several workers.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Groups of changes answer as these changes do one after the other, and leave the same behind.
pub(super) fn groups_are_as_their_changes(open: impl Fn() -> Option<Asked>, rounds: usize) {
    for _ in 0..rounds {
        let Some(tried) = open() else { return };
        let memory = memory();
        let terms = terms(fastrand::bool(), one_of(&[0, HOUR]), None);
        let mut claims: Vec<Held> = Vec::new();
        let mut events = 0;
        for round in 0..12 {
            let any_event = |new: &mut usize| {
                let id = if fastrand::u8(..5) == 0 { fastrand::usize(..=*new) } else { *new + 1 };
                *new = (*new).max(id);
                event(&format!("e{id}"), one_of(&[None, Some("a"), Some("b")]))
            };
            let mut insertions = Vec::new();
            for _ in 0..fastrand::usize(1..12) {
                let mut seen = HashSet::new();
                let mut some: Vec<Event> = (0..fastrand::usize(1..4)).map(|_| any_event(&mut events)).collect();
                some.retain(|event| seen.insert(event.id.clone()));
                let (ignores_duplicates, lease) = (fastrand::u8(..4) == 0, None);
                let insertion = Insertion { events: some, ignores_duplicates, lease, operation: random(), terms };
                insertions.push(OutboxWrite::Insert(Box::new(insertion)));
            }
            if fastrand::bool() {
                // One that is sent again knows itself.
                insertions.push(one_of(&insertions));
            }
            same(&memory, &tried, &insertions);
            let token = format!("t{round}");
            let taking = claim(&token, 1_000, HOUR, terms);
            let given = memory.ask(&taking);
            assert_same(&given, &tried.ask(&taking), &taking);
            claims.extend(ids(&given).into_iter().map(|id| Held { id: id.into(), token: token.as_str().into() }));
            fastrand::shuffle(&mut claims);
            let mut settlements = Vec::new();
            for _ in 0..fastrand::usize(1..10) {
                let mut held: Vec<Held> = Vec::new();
                for claim in claims.iter().take(fastrand::usize(1..5)) {
                    // What has become of one claim goes one after the other: of one token each.
                    if held.first().is_none_or(|first| first.token == claim.token) {
                        held.push(claim.clone());
                    }
                }
                if held.is_empty() {
                    held.push(Held { id: "e1".into(), token: "none".into() });
                }
                let outcome = one_of(&[
                    Outcome::Sent,
                    Outcome::Sent,
                    Outcome::Sent,
                    Outcome::Released,
                    Outcome::Failed { error: "no".into(), retry_at: Some(Millis(1)), jitter: 1.0 },
                ]);
                settlements.push(settle(held, outcome, terms));
                let one = usize::from(!claims.is_empty());
                claims.rotate_left(one);
            }
            same(&memory, &tried, &settlements);
        }
    }
}

fn same(memory: &Asked, tried: &Asked, group: &[OutboxWrite]) {
    let expected: Vec<Result<Reply>> = group.iter().map(|write| memory.ask(write)).collect();
    for (expected, found) in expected.iter().zip(&tried.ask_group(group)) {
        assert_same(expected, found, &group);
    }
    let all = |asked: &Asked| Ok(Reply::Value(Dynamic::List(asked.all())));
    assert_same(&all(memory), &all(tried), &group);
}

/// Workers acknowledge and fail batches that overlap, in any order, beside `archive`: no deadlock reaches any of them, and
/// each event is counted once.
pub(super) fn overlapping_batches_deadlock_nobody(tried: &Asked, events: usize, rounds: usize) {
    let terms = Terms { max_retries: 2, max_deliveries: 1_000, ..terms(false, HOUR, Some(HOUR)) };
    for part in (0..events).collect::<Vec<_>>().chunks(500) {
        let keys: Vec<String> = part.iter().map(|n| format!("k{}", n % 50)).collect();
        let events = part.iter().zip(&keys).map(|(n, key)| event(&format!("{n}"), (n % 3 == 0).then_some(key)));
        tried.ask(&insertion(events.collect(), terms)).unwrap();
    }
    let (held, [acked, archived]) = (Mutex::new(Vec::<Held>::new()), [const { AtomicUsize::new(0) }; 2]);
    let is_over = AtomicUsize::new(0);
    let take_some = || {
        let held = held.lock().unwrap();
        let mut some: Vec<Held> = Vec::new();
        for _ in 0..fastrand::usize(20..60).min(held.len()) {
            let one = one_of(&held);
            if some.iter().all(|known| known.id != one.id) {
                some.push(one);
            }
        }
        some
    };
    let work = |worker: usize| {
        for round in 0..rounds {
            let token = format!("{worker}-{round}");
            let given = ids(&tried.ask(&claim(&token, 30, HOUR, terms)));
            let given = given.into_iter().map(|id| Held { id: id.into(), token: token.as_str().into() });
            held.lock().unwrap().extend(given);
            let some = take_some();
            if some.is_empty() {
                continue;
            }
            let failed = Outcome::Failed { error: "no".into(), retry_at: Some(Millis(1)), jitter: 1.0 };
            let outcome = one_of(&[Outcome::Sent, Outcome::Sent, failed]);
            let Reply::Value(lost) = tried.ask(&settle(some.clone(), outcome.clone(), terms)).unwrap() else {
                panic!("no ids");
            };
            if outcome == Outcome::Sent {
                acked.fetch_add(some.len() - lost.into_list().unwrap().len(), Ordering::Relaxed);
            }
            held.lock().unwrap().retain(|known| !some.iter().any(|done| done.id == known.id));
        }
    };
    let archive = || {
        while is_over.load(Ordering::Relaxed) < 8 {
            let archive = OutboxWrite::Archive { older_than_ms: 0, sent: true, dead: true, limit: 40 };
            let Reply::Count(count) = tried.ask(&archive).unwrap() else { panic!("no count") };
            archived.fetch_add(usize::try_from(count).unwrap(), Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (work, is_over) = (&work, &is_over);
            scope.spawn(move || {
                work(worker);
                is_over.fetch_add(1, Ordering::Relaxed);
            });
        }
        scope.spawn(archive);
    });
    let left = tried.all();
    let sent_left = left.iter().filter(|event| text(event, STATUS) == Some("sent")).count();
    assert!(acked.load(Ordering::Relaxed) > 0 && sent_left <= acked.load(Ordering::Relaxed));
    assert_eq!(left.len() + archived.load(Ordering::Relaxed), events);
}
