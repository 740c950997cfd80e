//! Rules that are looked at one by one, on any driver.

use super::*;

pub(super) fn limits_are_kept(tried: &Asked) {
    let terms = terms(false, 0, None);
    for part in 0..10 {
        let events = (0..1_000).map(|n| event(&format!("{:05}", part * 1_000 + n), None)).collect();
        tried.ask(&insertion(events, terms)).unwrap();
    }
    for n in 0..1_000 {
        let token = format!("t{n}");
        let given = ids(&tried.ask(&claim(&token, 1, HOUR, terms)));
        assert_eq!(given, [format!("{n:05}")]);
        if n % 2 == 0 {
            let held = Held { id: given[0].as_str().into(), token: token.as_str().into() };
            tried.ask(&settle(vec![held], Outcome::Sent, terms)).unwrap();
        }
    }
}

pub(super) fn the_inbox_is_the_same(open: impl Fn() -> Option<Asked>) {
    let Some(tried) = open() else { return };
    let memory = memory();
    let mut operations = Vec::new();
    for n in 0..300 {
        let (consumer, message) = (one_of(&["a", "b"]), one_of(&["1", "2", "3"]));
        let key = format!("{consumer}\0{message}").into();
        let entry = Entry { consumer: consumer.into(), message: message.into(), key };
        let operation: Box<str> =
            if fastrand::u8(..4) == 0 { one_of(&["o1", "o2"]).into() } else { format!("n{n}").into() };
        let write = match fastrand::u8(..8) {
            0 => InboxWrite::Forget { entry: entry.clone() },
            1 => InboxWrite::Cleanup { limit: 1_000 },
            _ => {
                // One operation has one time to live.
                let ttl_ms = if *operation == *"o1" {
                    1
                } else {
                    one_of(if *operation == *"o2" { &[HOUR] } else { &[1, HOUR] })
                };
                InboxWrite::Accept { entry: entry.clone(), ttl_ms, operation }
            }
        };
        pause();
        let (expected, found) = (memory.ask(&write), tried.ask(&write));
        operations.push(write);
        assert_same(&expected, &found, &operations);
        pause();
        let has = InboxRead::Has { entry };
        assert_same(&memory.ask(&has), &tried.ask(&has), &operations);
    }
}

/// Several workers at once on a few keys: no two of them have events of one key, and each key is sent in its order.
pub(super) fn workers_keep_the_order(tried: &Asked, events: usize) {
    const KEYS: usize = 4;
    let terms = Terms { max_retries: 1_000, max_deliveries: 1_000, ..terms(false, 0, None) };
    for part in (0..events).collect::<Vec<_>>().chunks(100) {
        let events = part.iter().map(|n| event(&format!("{n}"), Some(&format!("k{}", n % KEYS)))).collect();
        tried.ask(&insertion(events, terms)).unwrap();
    }
    let hands: Mutex<HashMap<String, usize>> = Mutex::default();
    let sent: Mutex<HashMap<String, Vec<usize>>> = Mutex::default();
    let number = |event: &Dynamic| text(event, ID).unwrap().parse::<usize>().unwrap();
    let work = |worker: usize| {
        for round in 0.. {
            let token = format!("{worker}-{round}");
            let given = listed(&tried.ask(&claim(&token, one_of(&[1, 3, 10]), HOUR, terms)).unwrap());
            if given.is_empty() && sent.lock().unwrap().values().map(Vec::len).sum::<usize>() == events {
                return;
            }
            let keys: HashSet<&str> = given.iter().filter_map(|event| text(event, KEY)).collect();
            for key in &keys {
                let other = hands.lock().unwrap().insert((*key).to_owned(), worker);
                assert_eq!(other, None, "two workers have {key}");
            }
            let mut held: Vec<Held> = Vec::new();
            let outcome = one_of(&[
                Outcome::Sent,
                Outcome::Sent,
                Outcome::Released,
                Outcome::Failed { error: "no".into(), retry_at: Some(Millis(1)), jitter: 1.0 },
            ]);
            for event in &given {
                let key = text(event, KEY).unwrap();
                if outcome == Outcome::Sent {
                    sent.lock().unwrap().entry(key.to_owned()).or_default().push(number(event));
                }
                held.push(Held { id: text(event, ID).unwrap().into(), token: token.as_str().into() });
            }
            for key in keys {
                hands.lock().unwrap().remove(key);
            }
            if !held.is_empty() {
                tried.ask(&settle(held, outcome, terms)).unwrap();
            }
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let work = &work;
            scope.spawn(move || work(worker));
        }
    });
    for (key, numbers) in sent.into_inner().unwrap() {
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
        assert_eq!(numbers.len(), events / KEYS);
    }
    assert_eq!(tried.all(), Vec::new());
}

/// What is parked, and a key whose first event is in somebody's hands, keep nobody else waiting.
pub(super) fn others_go_on(tried: &Asked) {
    let terms = Terms { max_retries: 0, ..terms(false, 0, None) };
    let many = |from: usize, count: usize, key: Option<&str>| {
        for part in (from..from + count).collect::<Vec<_>>().chunks(1_000) {
            let events = part.iter().map(|n| event(&format!("e{n}"), key)).collect();
            tried.ask(&insertion(events, terms)).unwrap();
        }
    };
    many(0, 3_000, Some("dead"));
    many(3_000, 3_000, Some("busy"));
    assert_eq!(ids(&tried.ask(&claim("a", 1, HOUR, terms))), ["e0"]);
    let failed = Outcome::Failed { error: "no".into(), retry_at: None, jitter: 1.0 };
    let held = vec![Held { id: "e0".into(), token: "a".into() }];
    tried.ask(&settle(held, failed, terms)).unwrap();
    assert_eq!(ids(&tried.ask(&claim("b", 1, HOUR, terms))), ["e3000"]);
    assert_eq!(ids(&tried.ask(&claim("c", 1, HOUR, terms))), Vec::<String>::new());
    many(6_000, 10, None);
    assert_eq!(ids(&tried.ask(&claim("d", 10, HOUR, terms))).len(), 10);
    // Both keys go on.
    assert_eq!(tried.ask(&OutboxWrite::Discard { ids: vec!["e0".into()] }).unwrap(), Reply::Count(1));
    assert_eq!(ids(&tried.ask(&claim("e", 2, HOUR, terms))), ["e1", "e2"]);
    let held = vec![Held { id: "e3000".into(), token: "b".into() }];
    tried.ask(&settle(held, Outcome::Sent, terms)).unwrap();
    assert_eq!(ids(&tried.ask(&claim("f", 2, HOUR, terms))), ["e3001", "e3002"]);
}
