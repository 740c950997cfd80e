//! Saga state on servers that are played here: clients die after any of their requests, and two of
//! them get in each other's way in every order.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use fred::prelude::Value;

use super::States;
use super::scripts::scripts;
use crate::backends::redis::channel::{Answers, Channel};
use crate::backends::redis::command::Request;
use crate::contract::operation::Work;
use crate::contract::states::{Saga, StateRead, StateStep, StateWrite};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// The keys of all servers. Scripts are known by their text; the real ones run in the suites.
#[derive(Default)]
struct Data {
    texts: HashMap<String, String>,
    sorted: HashMap<String, BTreeMap<String, i64>>,
}

fn string(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn text(found: Option<&String>) -> Value {
    found.map_or(Value::Null, |text| Value::from(text.as_str()))
}

impl Data {
    fn look(&self, key: &str, id: &str) -> Option<(String, bool)> {
        let Ok(state) = serde_json::from_str::<serde_json::Value>(self.texts.get(key)?) else {
            return Some((String::from("corrupt"), true));
        };
        let metadata = &state["metadata"];
        Some((metadata["version"].to_string(), metadata["sagaId"] == id))
    }

    fn script(&mut self, script: &str, key: &str, rest: &[String]) -> Value {
        let there = self.texts.get(key).cloned();
        let is = |expected: &String| there.as_ref() == Some(expected);
        match script {
            "claim" if there.is_none() => {
                self.texts.insert(key.into(), rest[0].clone());
                Value::Null
            }
            "claim" if is(&rest[0]) => Value::Null,
            "claim" | "confirm" => text(there.as_ref()),
            "move" | "remove if" if !is(&rest[0]) => Value::Integer(0),
            "move" => {
                self.texts.insert(key.into(), rest[1].clone());
                Value::Integer(1)
            }
            "remove if" => {
                self.texts.remove(key);
                Value::Integer(1)
            }
            _ => match self.look(key, &rest[0]) {
                None | Some((_, false)) => Value::from("absent"),
                Some(_) if script == "remove" => {
                    self.texts.remove(key);
                    Value::from("done")
                }
                Some((version, true)) if version != rest[2] => Value::from(version),
                Some(_) => {
                    self.texts.insert(key.into(), rest[3].clone());
                    Value::from("done")
                }
            },
        }
    }

    fn command(&mut self, words: &[String]) -> Value {
        let list = |found: Vec<String>| Value::Array(found.into_iter().map(Value::from).collect());
        let key = words[1].clone();
        match words[0].as_str() {
            "EVAL" => {
                let script = scripts().into_iter().find(|(_, text)| *text == words[1]).expect("a known script").0;
                self.script(script, &words[3].clone(), &words[4..])
            }
            "SET" if self.texts.contains_key(&key) => Value::Null,
            "SET" => {
                self.texts.insert(key, words[2].clone());
                Value::from("OK")
            }
            "GETRANGE" => {
                let found = self.texts.get(&key).map_or("", String::as_str);
                Value::from(found.chars().take(40).collect::<String>())
            }
            "PTTL" => Value::Integer(-1),
            "ZADD" if words[2] == "NX" => {
                let score = words[3].parse().unwrap();
                self.sorted.entry(key).or_default().entry(words[4].clone()).or_insert(score);
                Value::Integer(1)
            }
            "ZADD" => {
                self.sorted.entry(key).or_default().insert(words[3].clone(), words[2].parse().unwrap());
                Value::Integer(1)
            }
            "ZREM" => {
                self.sorted.entry(key).or_default().remove(&words[2]);
                Value::Integer(1)
            }
            "ZCARD" => Value::Integer(self.sorted.get(&key).map_or(0, BTreeMap::len).try_into().unwrap()),
            "ZRANGEBYLEX" => {
                let members = self.sorted.get(&key).into_iter().flat_map(BTreeMap::keys);
                let behind = words[2].strip_prefix('(').unwrap_or_default();
                list(members.filter(|member| member.as_str() > behind).cloned().collect())
            }
            "ZRANGEBYSCORE" => {
                let most = words[3].parse().unwrap_or(i64::MAX);
                let members = self.sorted.get(&key).into_iter().flatten().filter(|(_, score)| **score <= most);
                list(members.map(|(member, _)| member.clone()).collect())
            }
            other => panic!("{other}"),
        }
    }

    fn run(&mut self, request: Request) -> Value {
        match request {
            Request::Get { key } => text(self.texts.get(&string(&key))),
            Request::Words { words, .. } => self.command(&words.iter().map(string).collect::<Vec<_>>()),
            other => panic!("{other:?}"),
        }
    }
}

/// The servers, as one client sees them: each request waits until it is let through.
struct Played {
    data: Arc<Mutex<Data>>,
    /// Requests that may be run before the next one waits.
    passes: Mutex<usize>,
}

impl Channel for Played {
    fn one_server(&self) -> bool {
        false
    }

    /// One request after the other, as on several servers.
    async fn send(&self, requests: Vec<Request>) -> Result<Answers> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            poll_fn(|_| {
                let mut passes = self.passes.lock().unwrap();
                if *passes == 0 {
                    return Poll::Pending;
                }
                *passes -= 1;
                Poll::Ready(())
            })
            .await;
            answers.push(Ok(self.data.lock().unwrap().run(request)));
        }
        Ok(answers)
    }
}

fn servers(data: &Arc<Mutex<Data>>, passes: usize) -> Played {
    Played { data: Arc::clone(data), passes: Mutex::new(passes) }
}

fn poll<T>(work: &mut Pin<Box<dyn Future<Output = T> + '_>>) -> Poll<T> {
    work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs an operation, of which the client dies after so many requests.
fn run_until(data: &Arc<Mutex<Data>>, step: &StateStep, passes: usize) -> Option<Result<Reply>> {
    let servers = servers(data, passes);
    let states = States { on: &servers, prefix: "p:" };
    let mut work: Pin<Box<dyn Future<Output = _>>> = Box::pin(states.run(step));
    match poll(&mut work) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn run(data: &Arc<Mutex<Data>>, step: &StateStep) -> Result<Reply> {
    run_until(data, step, usize::MAX).unwrap()
}

fn saga(id: &str, version: i64, completed: bool) -> Saga {
    let state = format!(r#"{{"metadata":{{"version":{version},"sagaId":"{id}","isCompleted":{completed}}}}}"#);
    Saga {
        name: "N".into(),
        id: id.into(),
        version,
        completed,
        created_at: Millis(0),
        updated_at: Millis(0),
        completed_at: completed.then(Millis::now),
        timeout_at: None,
        expires_at: None,
        state: state.into(),
    }
}

fn insert(id: &str, correlation_id: &str) -> StateStep {
    Work::Write(StateWrite::Insert { saga: Box::new(saga(id, 1, false)), correlation_id: correlation_id.into() })
}

fn update(id: &str, expected: i64, completed: bool) -> StateStep {
    Work::Write(StateWrite::Update { saga: Box::new(saga(id, expected + 1, completed)), expected })
}

fn delete(id: &str) -> StateStep {
    Work::Write(StateWrite::Delete { name: "N".into(), id: id.into() })
}

fn by_id(data: &Arc<Mutex<Data>>, id: &str) -> Option<String> {
    match run(data, &Work::Read(StateRead::ById { name: "N".into(), id: id.into() })).unwrap() {
        Reply::State(found) => found.map(|found| found.state),
        other => panic!("{other:?}"),
    }
}

fn by_correlation(data: &Arc<Mutex<Data>>, correlation_id: &str) -> Option<String> {
    let read = StateRead::ByCorrelation { name: "N".into(), correlation_id: correlation_id.into() };
    match run(data, &Work::Read(read)).unwrap() {
        Reply::State(found) => found.map(|found| found.state),
        other => panic!("{other:?}"),
    }
}

fn listed(data: &Arc<Mutex<Data>>, completed: Option<bool>) -> Vec<String> {
    let read = StateRead::List { name: "N".into(), completed, after: None, limit: 100 };
    let found = match run(data, &Work::Read(read)).unwrap() {
        Reply::States(found) => found.into_iter().map(|found| found.id.to_string()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let count = run(data, &Work::Read(StateRead::Count { name: "N".into(), completed })).unwrap();
    assert_eq!(count, Reply::Count(found.len() as u64));
    found
}

/// Everything that can be asked tells the same of the saga `a` under `c`.
fn check(data: &Arc<Mutex<Data>>, what: &str) -> Option<String> {
    let found = by_id(data, "a");
    assert_eq!(found, by_correlation(data, "c"), "{what}");
    let all = listed(data, None);
    assert_eq!(all.len(), usize::from(found.is_some()), "{what}");
    let (open, ended) = (listed(data, Some(false)), listed(data, Some(true)));
    assert_eq!(open.len() + ended.len(), all.len(), "{what}");
    let is_completed = found.as_ref().is_some_and(|state| state.contains(r#""isCompleted":true"#));
    assert_eq!(ended.len(), usize::from(is_completed), "{what}");
    found
}

/// It can be removed by its saga id, and inserted under any other id.
fn check_is_free(data: &Arc<Mutex<Data>>, what: &str) {
    run(data, &delete("a")).unwrap();
    assert_eq!(check(data, what), None, "{what}");
    run(data, &insert("a", "d")).unwrap();
    run(data, &insert("b", "c")).unwrap();
    assert!(by_id(data, "a").is_some() && by_correlation(data, "c").is_some(), "{what}");
    assert_eq!(listed(data, None), ["a", "b"], "{what}");
}

#[test]
fn a_client_that_dies_leaves_nothing_in_the_way() {
    type Scene = (&'static str, Vec<StateStep>, StateStep);
    let scenes: [Scene; 6] = [
        ("insert", vec![], insert("a", "c")),
        ("insert where an index was left", vec![insert("a", "x"), delete("a")], insert("a", "c")),
        ("update", vec![insert("a", "c")], update("a", 1, false)),
        ("end", vec![insert("a", "c")], update("a", 1, true)),
        ("open again", vec![insert("a", "c"), update("a", 1, true)], update("a", 2, false)),
        ("delete", vec![insert("a", "c")], delete("a")),
    ];
    for (name, before, step) in scenes {
        let mut passes = 0;
        loop {
            let what = format!("{name}, dead after {passes} requests");
            let prepare = || {
                let data = Arc::new(Mutex::new(Data::default()));
                for step in &before {
                    run(&data, step).unwrap();
                }
                let done = run_until(&data, &step, passes);
                (data, done)
            };
            let (data, done) = prepare();
            check(&data, &what);
            check_is_free(&data, &what);
            // The message is delivered again, and whoever handles it does the same once more.
            let (data, _) = prepare();
            let again = run(&data, &step);
            let kind = again.as_ref().err().map(Error::kind);
            assert!(matches!(kind, None | Some(Kind::AlreadyExists | Kind::ConcurrencyConflict)), "{what}: {again:?}");
            let found = check(&data, &what);
            assert_eq!(found.is_none(), name == "delete", "{what}");
            check_is_free(&data, &what);
            if done.is_some() {
                break;
            }
            passes += 1;
        }
        assert!(passes > 4, "{name} takes {passes} requests");
    }
}

/// Runs two operations, a request at a time, in an order that `turns` gives; the rest one after the other.
fn interleave(data: &Arc<Mutex<Data>>, steps: [&StateStep; 2], turns: u32) -> [Result<Reply>; 2] {
    let on = [servers(data, 0), servers(data, 0)];
    let states = [0, 1].map(|at: usize| States { on: &on[at], prefix: "p:" });
    let mut works: Vec<Pin<Box<dyn Future<Output = _>>>> =
        [0, 1].map(|at: usize| Box::pin(states[at].run(steps[at])) as Pin<Box<dyn Future<Output = _>>>).into();
    let mut results = [None, None];
    let mut turn = 0;
    while results.iter().any(Option::is_none) {
        let wanted = if turn < 32 { (turns >> turn & 1) as usize } else { turn % 2 };
        let at = if results[wanted].is_none() { wanted } else { 1 - wanted };
        *on[at].passes.lock().unwrap() = 1;
        if let Poll::Ready(done) = poll(&mut works[at]) {
            results[at] = Some(done);
        }
        turn += 1;
        assert!(turn < 10_000, "they wait for each other");
    }
    results.map(Option::unwrap)
}

#[test]
fn of_two_clients_in_each_others_way_one_wins() {
    let won = |result: &Result<Reply>| result.is_ok();
    let lost = |result: &Result<Reply>, kind: Kind| result.as_ref().is_err_and(|error| error.kind() == kind);
    for _ in 0..1_500 {
        let turns = fastrand::u32(..);
        let data = || Arc::new(Mutex::new(Data::default()));
        let what = format!("turns {turns:#034b}");

        // The same correlation id.
        let (at, steps) = (data(), [insert("a", "c"), insert("b", "c")]);
        let [one, two] = interleave(&at, [&steps[0], &steps[1]], turns);
        assert!(won(&one) != won(&two), "{what}: {one:?} {two:?}");
        assert!(lost(&one, Kind::AlreadyExists) || lost(&two, Kind::AlreadyExists), "{what}: {one:?} {two:?}");
        let (winner, loser) = if won(&one) { ("a", "b") } else { ("b", "a") };
        assert!(by_id(&at, winner).is_some() && by_id(&at, loser).is_none(), "{what}");
        assert_eq!(listed(&at, None), [winner], "{what}");
        run(&at, &insert(loser, "e")).unwrap();

        // The same saga id. Neither may win twice; an abandoned index is taken over on the way.
        let (at, steps) = (data(), [insert("a", "c"), insert("a", "d")]);
        if turns & 1 == 1 {
            at.lock().unwrap().texts.insert(String::from("p:saga:N:idx:id:a"), String::from("left behind"));
        }
        let [one, two] = interleave(&at, [&steps[0], &steps[1]], turns);
        assert!(!(won(&one) && won(&two)), "{what}");
        assert!(won(&one) || won(&two), "{what}: {one:?} {two:?}");
        assert_eq!(by_correlation(&at, "c").is_some(), won(&one), "{what}");
        assert_eq!(by_correlation(&at, "d").is_some(), won(&two), "{what}");
        assert!(by_id(&at, "a").is_some(), "{what}");
        assert_eq!(listed(&at, None), ["a"], "{what}");

        // Updates that expect the same version.
        let (at, steps) = (data(), [update("a", 1, true), update("a", 1, false)]);
        run(&at, &insert("a", "c")).unwrap();
        let [one, two] = interleave(&at, [&steps[0], &steps[1]], turns);
        assert!(won(&one) != won(&two), "{what}: {one:?} {two:?}");
        assert!(lost(&one, Kind::ConcurrencyConflict) || lost(&two, Kind::ConcurrencyConflict), "{what}");
        check(&at, &what);

        // An update and the next one: lists are those of what is stored in the end.
        let (at, steps) = (data(), [update("a", 1, true), update("a", 2, false)]);
        run(&at, &insert("a", "c")).unwrap();
        drop(interleave(&at, [&steps[0], &steps[1]], turns));
        check(&at, &what);

        // A delete, and an insert of the same ids.
        let (at, steps) = (data(), [delete("a"), insert("a", "c")]);
        run(&at, &insert("a", "c")).unwrap();
        drop(interleave(&at, [&steps[0], &steps[1]], turns));
        check(&at, &what);
        check_is_free(&at, &what);
    }
}

/// The time at which the saga `a` has ended, as its list says.
fn ended(data: &Arc<Mutex<Data>>) -> Option<i64> {
    data.lock().unwrap().sorted.get("p:saga:N:idx:ended").and_then(|list| list.get("a").copied())
}

#[test]
fn a_saga_ends_once_whoever_notes_it() {
    let now = Millis::now().0;
    // The client that ends it dies after any of its requests, and somebody else looks for sagas. (Its state says that
    // it was changed at no time.)
    for passes in 0..16 {
        let data = Arc::new(Mutex::new(Data::default()));
        run(&data, &insert("a", "c")).unwrap();
        run_until(&data, &update("a", 1, true), passes);
        let completed = listed(&data, Some(true)).len() == 1;
        assert_eq!(ended(&data).is_some_and(|at| at >= now), completed, "dead after {passes} requests");
        assert_eq!(ended(&data).is_none(), !completed, "dead after {passes} requests");
    }
    let data = Arc::new(Mutex::new(Data::default()));
    let mut old = saga("a", 1, true);
    old.completed_at = Some(Millis(5));
    let insert = StateWrite::Insert { saga: Box::new(old), correlation_id: "c".into() };
    run(&data, &Work::Write(insert)).unwrap();
    assert_eq!(ended(&data), Some(5));
    run(&data, &update("a", 1, true)).unwrap();
    assert_eq!(ended(&data), Some(5), "it had ended before");
    run(&data, &update("a", 2, false)).unwrap();
    assert_eq!(ended(&data), None);
    run(&data, &update("a", 3, true)).unwrap();
    assert!(ended(&data).is_some_and(|at| at >= now));
}

#[test]
fn what_cannot_be_read_is_deleted_by_both_ids_with_its_index() {
    let by_correlation = StateWrite::DeleteByCorrelation { name: "N".into(), correlation_id: "c".into() };
    for step in [delete("a"), Work::Write(by_correlation)] {
        for broken in ["{broken", r#"{"metadata":{"version":1,"sagaId":"a", and no more"#] {
            let data = Arc::new(Mutex::new(Data::default()));
            run(&data, &insert("a", "c")).unwrap();
            run(&data, &insert("b", "d")).unwrap();
            data.lock().unwrap().texts.insert(String::from("p:saga:N:c"), broken.to_owned());
            assert_eq!(run(&data, &step).unwrap(), Reply::Done, "{broken}");
            let texts = std::mem::take(&mut data.lock().unwrap().texts);
            let mut left: Vec<&str> = texts.keys().map(String::as_str).collect();
            left.sort_unstable();
            assert_eq!(left, ["p:saga:N:d", "p:saga:N:idx:id:b"], "{broken}");
            let lists = &data.lock().unwrap().sorted;
            assert!(lists.values().all(|list| !list.contains_key("a")), "{broken}");
        }
    }
}
