//! What the suite cannot see of executions: tables that python-cqrs has made, and what a change that fails leaves behind.

use super::*;
use crate::contract::dynamic::Dynamic;
use crate::contract::operations::Call;
use crate::store::plan::Given;

fn call(store: &Store, call: Call, first: Option<&str>, fields: Vec<(&str, Dynamic)>) -> Result<Reply> {
    let fields = Dynamic::Map(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let given = first.map(Dynamic::text).into_iter().chain([fields]).collect();
    one(|settle| store.run(call, Given::List(given), settle))
}

fn value(reply: Result<Reply>) -> Dynamic {
    match reply.unwrap() {
        Reply::Value(value) => value,
        other => panic!("{other:?}"),
    }
}

fn entry(step: &str, status: &str) -> Dynamic {
    let text = Dynamic::text;
    Dynamic::List(vec![text(step), text("act"), text(status), text(step), Dynamic::Null, Dynamic::Null])
}

fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// As SQLAlchemy makes them of python-cqrs's models.
const PYTHON: &str = "create table saga_executions (id char(32) not null, name varchar(255) not null, status varchar(12) not null, \
    context json not null, version integer not null, created_at datetime default current_timestamp not null, \
    updated_at datetime default current_timestamp not null, recovery_attempts integer default '0' not null, primary key (id)); \
    create table saga_logs (id bigint not null, saga_id char(32) not null, step_name varchar(255) not null, \
    action varchar(50) not null, status varchar(11) not null, details text, \
    created_at datetime default current_timestamp not null, primary key (id), foreign key (saga_id) references saga_executions (id)); \
    insert into saga_executions values ('0c1d2e3f00004000800000000000000a', 'Order', 'RUNNING', '{\"a\": 1}', 3, \
    '2026-01-02 03:04:05.678901', '2026-01-02 03:04:06', 1); \
    insert into saga_logs values (7, '0c1d2e3f00004000800000000000000a', 'reserve', 'act', 'STARTED', null, '2026-01-02 03:04:05'), \
    (8, '0c1d2e3f00004000800000000000000a', 'reserve', 'act', 'COMPLETED', 'ü', '2026-01-02 03:04:06')";

#[test]
fn tables_of_python_cqrs_are_read_and_continued() {
    let directory = temp();
    let python = foreign(&directory);
    python.execute_batch(PYTHON).unwrap();
    let store = ready(&directory);
    let id = "0c1d2e3f-0000-4000-8000-00000000000a";
    let load = || value(call(&store, Call::ExecutionLoad, Some(id), vec![]));
    for (name, expected) in [
        ("sagaId", id.into()),
        ("status", "running".into()),
        ("version", Dynamic::Int(3)),
        ("entries", Dynamic::Int(2)),
        ("attempts", Dynamic::Int(1)),
        ("createdAt", Dynamic::Time(Millis::from_iso("2026-01-02T03:04:05.678Z").unwrap())),
        ("updatedAt", Dynamic::Time(Millis::from_iso("2026-01-02T03:04:06Z").unwrap())),
    ] {
        assert_eq!(load().get(name), Some(&expected), "{name}");
    }
    let fields = vec![
        ("entries", Dynamic::List(vec![entry("pay", "started"), entry("send", "skipped")])),
        ("status", "compensating".into()),
    ];
    assert_eq!(
        value(call(&store, Call::ExecutionCheckpoint, Some(id), fields)).get("firstSeq"),
        Some(&Dynamic::Int(3))
    );
    // A list whose cursor is a time of theirs, or of ours, comes to its end.
    let mut after = Dynamic::Null;
    for expected in [1, 0] {
        let fields = vec![("order", "updated".into()), ("limit", Dynamic::Int(1)), ("after", after)];
        let page = value(call(&store, Call::ExecutionList, None, fields)).into_list().unwrap();
        assert_eq!(page.len(), expected);
        let place = |found: &Dynamic| Dynamic::List(vec![found.get("updatedAt").unwrap().clone(), id.into()]);
        after = page.first().map_or(Dynamic::Null, place);
    }
    let claim = vec![
        ("workerId", "w".into()),
        ("leaseMs", Dynamic::Int(60_000)),
        ("limit", Dynamic::Int(10)),
        ("statuses", Dynamic::List(vec!["compensating".into()])),
        ("maxRecoveryAttempts", Dynamic::Int(5)),
        ("staleAfterMs", Dynamic::Int(0)),
    ];
    let claimed = value(call(&store, Call::ExecutionClaim, None, claim)).into_list().unwrap();
    assert_eq!(claimed.len(), 1);
    let token = claimed[0].get("token").unwrap().clone();
    value(call(&store, Call::ExecutionCompensated, Some(id), vec![("token", token), ("status", "compensated".into())]));
    assert_eq!(rows(&python, "select status || version from saga_executions"), ["COMPENSATED5"]);
    assert_eq!(
        rows(&python, "select seq || status || length(created_at) from saga_logs order by id"),
        ["1STARTED19", "2COMPLETED19", "3STARTED26", "4SKIPPED26"]
    );
    let refused = call(&store, Call::ExecutionLoad, Some("order-1"), vec![]).unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidArgument);
    assert_eq!(call(&store, Call::ExecutionDelete, Some(id), vec![]).unwrap(), Reply::Flag(true));
    assert_eq!(
        rows(&python, "select saga_id from saga_logs union select id from saga_executions"),
        Vec::<String>::new()
    );
    wait(store.close());
}

/// The second of its entries is refused by the table.
#[test]
fn a_change_that_fails_in_its_middle_has_changed_nothing() {
    let directory = temp();
    let store = ready(&directory);
    let made = vec![("name", "Order".into()), ("status", "running".into())];
    for id in ["a", "b"] {
        call(&store, Call::ExecutionCreate, Some(id), made.clone()).unwrap();
    }
    let other = foreign(&directory);
    other
        .execute_batch(
            "create trigger no_pay before insert on saga_logs when new.step_name = 'pay' begin select raise(fail, 'no'); end",
        )
        .unwrap();
    let answers = Answers::new();
    for (id, second) in [("a", "pay"), ("b", "send")] {
        let fields = Dynamic::map([
            ("context", "{}".into()),
            ("entries", Dynamic::List(vec![entry("reserve", "started"), entry(second, "started")])),
        ]);
        let given = Given::List(vec![id.into(), fields]);
        store.run(Call::ExecutionCheckpoint, given, answers.settle());
    }
    let (first, second) = (answers.next(), answers.next());
    assert!(first.is_err() != second.is_err(), "{first:?} {second:?}");
    assert_eq!(rows(&other, "select id || version || log_seq from saga_executions order by id"), ["a10", "b22"]);
    assert_eq!(rows(&other, "select saga_id || seq || step_name from saga_logs order by 1"), ["b1reserve", "b2send"]);
    wait(store.close());
}
