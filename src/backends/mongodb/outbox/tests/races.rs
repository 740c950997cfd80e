//! Several workers at once, and workers that are slow or die between two commands.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mongodb::bson::{Bson, DateTime, Document, doc};

use super::{claiming, failing, ids, inserting, read, settling, write};
use crate::backends::mongodb::peer::Reply as Answer;
use crate::backends::mongodb::peer::name;
use crate::backends::mongodb::played::Played;
use crate::backends::mongodb::tests::open;
use crate::contract::outbox::{OutboxRead, Outcome};
use crate::error::Kind;

/// What the workers see of the world.
#[derive(Default)]
struct World {
    in_hands: HashSet<String>,
    sent: HashSet<String>,
}

fn key_of(id: &str) -> Option<&str> {
    id.split_once('-').map(|(key, _)| key).filter(|key| *key != "free")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claims_of_several_workers_are_disjoint_and_keys_are_in_order() {
    const EVENTS: usize = 240;
    let peer = Played::default().start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    let all: Vec<String> = (0..EVENTS).map(|n| format!("{}-{n:03}", ["free", "a", "b", "c"][n % 4])).collect();
    for id in &all {
        write(&driver, &inserting(&[(id, key_of(id))])).await.unwrap();
    }
    let world: Arc<Mutex<World>> = Arc::default();
    let work = (0..4).map(|worker| {
        let (driver, world, all) = (Arc::clone(&driver), Arc::clone(&world), all.clone());
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(worker);
            for round in 0.. {
                let token = format!("{worker}-{round}");
                let claimed = ids(write(&driver, &claiming(&token, 7)).await);
                {
                    let mut world = world.lock().unwrap();
                    assert!(claimed.is_sorted_by_key(|id| all.iter().position(|known| known == id)));
                    for id in &claimed {
                        assert!(world.in_hands.insert(id.clone()), "{id} is given twice");
                        assert!(!world.sent.contains(id), "{id} is sent");
                        let key = key_of(id);
                        let before = all.iter().take_while(|other| *other != id);
                        for other in before.filter(|other| key.is_some() && key_of(other) == key) {
                            assert!(world.sent.contains(other) || claimed.contains(other), "{id} is before {other}");
                        }
                    }
                    if world.sent.len() == EVENTS {
                        return;
                    }
                }
                // The beginning is sent, the rest is handed back.
                let (done, back) = claimed.split_at(random.usize(..=claimed.len()));
                {
                    let mut world = world.lock().unwrap();
                    for id in &claimed {
                        world.in_hands.remove(id);
                    }
                    world.sent.extend(done.iter().cloned());
                }
                for (of, outcome) in [(done, Outcome::Sent), (back, Outcome::Released)] {
                    let of: Vec<&str> = of.iter().map(String::as_str).collect();
                    if !of.is_empty() {
                        let lost = ids(write(&driver, &settling(&of, &token, outcome)).await);
                        assert_eq!(lost, Vec::<String>::new());
                    }
                }
            }
        })
    });
    for worker in work.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    driver.close().await;
}

/// A statement of an update that gives this token.
fn gives(command: &Document, token: &str) -> Option<Document> {
    let statement = command.get_array("updates").ok()?.first()?.as_document()?;
    let given = statement.get_document("u").ok()?.get_document("$set").ok()?.get_str("token").ok()?;
    (given == token).then(|| statement.get_document("q").unwrap().clone())
}

#[tokio::test]
async fn who_loses_the_first_of_a_line_loses_the_line() {
    let played = Played::default();
    let other = played.clone();
    let peer = played
        .start(doc! {}, move |command| {
            // Another worker is quicker with the first one.
            if gives(command, "t").is_some() {
                let until = DateTime::from_millis(DateTime::now().timestamp_millis() + 60_000);
                other.set("saga_outbox", "a", doc! { "status": "claimed", "token": "quick", "dueAt": until });
            }
            None
        })
        .await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("a", Some("k")), ("b", Some("k")), ("free", None)])).await.unwrap();
    assert_eq!(ids(write(&driver, &claiming("t", 3)).await), ["free"]);
    let pending =
        played.documents("saga_outbox").into_iter().find(|event| event.get_str("_id").ok() == Some("b")).unwrap();
    assert_eq!((pending.get_str("status").ok(), pending.get_i64("deliveries").ok()), (Some("pending"), Some(0)));
    driver.close().await;
}

#[tokio::test]
async fn a_slow_worker_hands_back_what_stands_behind_a_gap() {
    let played = Played::default();
    let other = played.clone();
    let peer = played
        .start(doc! {}, move |command| {
            // Its lease is over between the two updates, and the first one somebody else's.
            if gives(command, "t").is_some_and(|filter| filter.get("_id") != Some(&Bson::from("a"))) {
                let until = DateTime::from_millis(DateTime::now().timestamp_millis() + 60_000);
                other.set("saga_outbox", "a", doc! { "status": "claimed", "token": "quick", "dueAt": until });
            }
            None
        })
        .await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("a", Some("k")), ("b", Some("k")), ("c", Some("k"))])).await.unwrap();
    assert_eq!(ids(write(&driver, &claiming("t", 3)).await), Vec::<String>::new());
    for event in played.documents("saga_outbox") {
        let is_first = event.get_str("_id").ok() == Some("a");
        assert_eq!(event.get_str("status").ok(), Some(if is_first { "claimed" } else { "pending" }));
        assert_eq!(event.get_i64("deliveries").ok(), Some(i64::from(is_first)));
        assert_eq!(event.get_str("token").ok(), is_first.then_some("quick"));
    }
    driver.close().await;
}

#[tokio::test]
async fn a_crash_between_the_updates_of_a_claim_holds_the_line_until_the_lease_is_over() {
    let played = Played::default();
    let peer = played
        .start(doc! {}, |command| {
            let is_behind = gives(command, "t").is_some_and(|filter| filter.get("_id") != Some(&Bson::from("a")));
            is_behind.then_some(Answer::HangUp)
        })
        .await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("a", Some("k")), ("b", Some("k")), ("c", Some("k"))])).await.unwrap();
    let error = write(&driver, &claiming("t", 3)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (Kind::Connection, false));
    assert_eq!(ids(write(&driver, &claiming("u", 3)).await), Vec::<String>::new());
    played.set("saga_outbox", "a", doc! { "dueAt": DateTime::from_millis(5) });
    assert_eq!(ids(write(&driver, &claiming("v", 3)).await), ["a", "b", "c"]);
    driver.close().await;
}

#[tokio::test]
async fn where_a_failure_is_lost_those_behind_are_handed_back_already() {
    let played = Played::default();
    let peer = played
        .start(doc! {}, |command| {
            let is_failure = command.get_array("updates").is_ok_and(|updates| {
                let set = updates[0].as_document().unwrap().get_document("u").unwrap().get_document("$set");
                set.is_ok_and(|set| set.contains_key("lastError"))
            });
            is_failure.then_some(Answer::HangUp)
        })
        .await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("a", Some("k")), ("b", Some("k"))])).await.unwrap();
    assert_eq!(ids(write(&driver, &claiming("t", 3)).await), ["a", "b"]);
    assert_eq!(write(&driver, &failing(&["a"], "t")).await.unwrap_err().kind(), Kind::Connection);
    assert_eq!(ids(write(&driver, &settling(&["b"], "t", Outcome::Sent)).await), ["b"]);
    // The first one is still that worker's.
    assert_eq!(ids(write(&driver, &claiming("u", 3)).await), Vec::<String>::new());
    assert_eq!(ids(write(&driver, &settling(&["a"], "t", Outcome::Sent)).await), Vec::<String>::new());
    assert_eq!(ids(write(&driver, &claiming("v", 3)).await), ["b"]);
    driver.close().await;
}

#[tokio::test]
async fn a_slow_worker_is_told_what_it_has_lost() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("a", None), ("b", None), ("c", None)])).await.unwrap();
    assert_eq!(ids(write(&driver, &claiming("slow", 3)).await), ["a", "b", "c"]);
    for id in ["a", "b"] {
        played.set("saga_outbox", id, doc! { "dueAt": DateTime::from_millis(5) });
    }
    assert_eq!(ids(write(&driver, &claiming("quick", 3)).await), ["a", "b"]);
    write(&driver, &settling(&["b"], "quick", Outcome::Sent)).await.unwrap();
    for outcome in [Outcome::Extended(5), Outcome::Sent] {
        assert_eq!(ids(write(&driver, &settling(&["a", "b", "c"], "slow", outcome)).await), ["a", "b"]);
    }
    for outcome in [Outcome::Sent, Outcome::Released, Outcome::Extended(5)] {
        assert_eq!(ids(write(&driver, &settling(&["a"], "slow", outcome)).await), ["a"]);
    }
    assert_eq!(ids(write(&driver, &failing(&["a", "b"], "slow")).await), ["a", "b"]);
    let [left] = &played.documents("saga_outbox")[..] else { panic!() };
    assert_eq!((left.get_str("token").ok(), left.get_i64("retryCount").ok()), (Some("quick"), Some(0)));
    driver.close().await;
}

#[tokio::test]
async fn what_was_claimed_too_often_is_a_dead_letter_and_holds_up_its_key() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("a", Some("k")), ("b", Some("k")), ("x", None), ("y", None)])).await.unwrap();
    for id in ["a", "x"] {
        played.set("saga_outbox", id, doc! { "deliveries": super::terms().max_deliveries });
    }
    assert_eq!(ids(write(&driver, &claiming("t", 9)).await), ["y"]);
    let dead: Vec<Document> = played.documents("saga_outbox");
    let dead = dead.iter().filter(|event| event.get_str("status").ok() == Some("dead_letter"));
    let errors: Vec<&str> = dead.map(|event| event.get_str("lastError").unwrap()).collect();
    assert_eq!(errors, [crate::contract::outbox::NEVER_ANSWERED; 2]);
    driver.close().await;
}

#[tokio::test]
async fn blocked_keys_do_not_hide_what_stands_behind_them() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    for key in ["a", "b", "c"] {
        let of_key: Vec<String> = (0..200).map(|n| format!("{key}-{n:03}")).collect();
        let events: Vec<(&str, Option<&str>)> = of_key.iter().map(|id| (id.as_str(), Some(key))).collect();
        write(&driver, &inserting(&events)).await.unwrap();
        played.set("saga_outbox", &of_key[0], doc! { "dueAt": DateTime::MAX });
    }
    write(&driver, &inserting(&[("good", None)])).await.unwrap();
    assert_eq!(ids(write(&driver, &claiming("t", 2)).await), ["good"]);
    driver.close().await;
}

#[tokio::test]
async fn what_had_to_wait_is_not_behind_all_that_is_new() {
    let played = Played::default();
    let peer = played.start(doc! {}, |_| None).await;
    let driver = open(&peer.url());
    write(&driver, &inserting(&[("first", None)])).await.unwrap();
    assert_eq!(ids(write(&driver, &claiming("t", 1)).await), ["first"]);
    let many: Vec<String> = (0..100).map(|n| format!("e{n:03}")).collect();
    let events: Vec<(&str, Option<&str>)> = many.iter().map(|id| (id.as_str(), None)).collect();
    write(&driver, &inserting(&events)).await.unwrap();
    played.set("saga_outbox", "first", doc! { "dueAt": DateTime::from_millis(5) });
    assert_eq!(ids(write(&driver, &claiming("u", 2)).await), ["first", "e000"]);
    driver.close().await;
}

#[tokio::test]
async fn without_transactions_several_events_are_hidden_until_all_are_there() {
    let standalone = doc! { "setName": Bson::Null, "hosts": Bson::Null, "me": Bson::Null };
    let crashes = Arc::new(AtomicUsize::new(1));
    let left = Arc::clone(&crashes);
    let played = Played::default();
    let script = move |command: &Document| {
        let crash = name(command) == "update"
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        crash.then_some(Answer::HangUp)
    };
    let peer = played.start(standalone, script).await;
    let driver = open(&peer.url());
    assert_eq!(write(&driver, &inserting(&[("a", None), ("b", None)])).await.unwrap_err().kind(), Kind::Connection);
    let all = || OutboxRead::List { saga_id: None, status: None, after: None, limit: 9 };
    let Ok(crate::contract::step::Reply::Value(page)) = read(&driver, &all()).await else { panic!() };
    assert_eq!(page.get("events").cloned().unwrap().into_list().unwrap(), []);
    assert_eq!(ids(write(&driver, &claiming("t", 9)).await), Vec::<String>::new());
    // Somebody may be at it still; after a minute nobody is.
    let again = inserting(&[("b", None), ("c", None)]);
    assert_eq!(write(&driver, &again).await.unwrap_err().kind(), Kind::AlreadyExists);
    assert_eq!(played.documents("saga_outbox").len(), 2);
    for id in ["a", "b"] {
        played.set("saga_outbox", id, doc! { "createdAt": DateTime::from_millis(5) });
    }
    write(&driver, &again).await.unwrap();
    assert_eq!(ids(write(&driver, &claiming("t", 9)).await), ["b", "c"]);
    let of: HashMap<String, String> = played
        .documents("saga_outbox")
        .iter()
        .map(|event| (event.get_str("_id").unwrap().to_owned(), event.get_str("status").unwrap().to_owned()))
        .collect();
    assert_eq!(of["a"], "inserting");
    assert_eq!(driver.purge_expired(crate::time::Millis::now(), 10).await.unwrap(), 1);
    driver.close().await;
}
