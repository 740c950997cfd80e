//! The application's own statements in transactions of the store's.

use super::*;
use crate::contract::dynamic::Dynamic;
use crate::contract::operations::Call;
use crate::store::on_transaction::Open;
use crate::store::plan::Given;

const TEXT: fn(&str) -> Dynamic = Dynamic::text;
const INT: fn(i64) -> Dynamic = Dynamic::Int;

/// A store with its table, and a table of the application's beside it.
fn shop(directory: &TempDir) -> Store {
    let store = ready(directory);
    foreign(directory)
        .execute_batch(
            "create table orders (id integer primary key, customer text unique not null, total check (total >= 0))",
        )
        .unwrap();
    store
}

fn ask(transaction: &Open, sql: &str, values: impl Into<Vec<Dynamic>>) -> Result<Vec<Dynamic>> {
    let (sender, receiver) = mpsc::channel();
    transaction.query(sql.to_owned(), values.into(), Box::new(move |answer| sender.send(answer).unwrap()));
    receiver.recv().unwrap().map(|rows| rows.into_list().unwrap())
}

fn put_in(store: &Store, transaction: &Open, id: &str) -> Result<Reply> {
    one(|settle| {
        store.run_in(transaction, Call::Put, Given::Payload(id, Bytes::from_static(b"x"), None), settle);
    })
}

fn orders(directory: &TempDir) -> i64 {
    foreign(directory).query_row("select count(*) from orders", [], |row| row.get(0)).unwrap()
}

#[test]
fn rows_are_objects_and_share_the_fate_of_payloads() {
    let directory = temp();
    let store = shop(&directory);
    let transaction = wait(store.begin(None)).unwrap();
    put_in(&store, &transaction, "payload").unwrap();
    let insert = "insert into orders values (?, ?, ?) returning total, id as key, customer, 1 as key";
    let row = Dynamic::map([("total", Dynamic::Number(9.5)), ("key", INT(1)), ("customer", TEXT("Ann"))]);
    assert_eq!(ask(&transaction, insert, [INT(7), TEXT("Ann"), Dynamic::Number(9.5)]).unwrap(), [row]);
    assert_eq!(ask(&transaction, "update orders set total = 1", []).unwrap(), []);
    assert_eq!(ask(&transaction, "select * from orders where id < $1", [INT(0)]).unwrap(), []);
    for nothing in ["", " ; ", "-- nothing"] {
        assert_eq!(ask(&transaction, nothing, []).unwrap(), []);
    }
    assert_eq!(orders(&directory), 0);
    wait(transaction.commit()).unwrap();
    assert_eq!(orders(&directory), 1);
    assert!(find(&store, "payload").unwrap().is_some());

    let transaction = wait(store.begin(None)).unwrap();
    ask(&transaction, "delete from orders", []).unwrap();
    wait(transaction.roll_back());
    assert_eq!(orders(&directory), 1);
    assert_eq!(ask(&transaction, "select 1", []).unwrap_err().kind(), Kind::Closed);
    wait(store.close());
}

#[test]
fn values_come_back_as_they_were_given() {
    let directory = temp();
    let store = shop(&directory);
    let transaction = wait(store.begin(None)).unwrap();
    for (given, back) in [
        (Dynamic::Null, Dynamic::Null),
        (INT(9_007_199_254_740_993), INT(9_007_199_254_740_993)),
        (INT(i64::MIN), INT(i64::MIN)),
        (Dynamic::Number(0.1), Dynamic::Number(0.1)),
        (Dynamic::Number(f64::INFINITY), Dynamic::Number(f64::INFINITY)),
        (TEXT("ü\0"), TEXT("ü\0")),
        (Dynamic::Bytes(Bytes::from_static(b"\0\xff")), Dynamic::Bytes(Bytes::from_static(b"\0\xff"))),
        (Dynamic::Bytes(Bytes::new()), Dynamic::Bytes(Bytes::new())),
        (Dynamic::Bool(true), INT(1)),
        (Dynamic::Time(Millis(-1)), TEXT("1969-12-31T23:59:59.999Z")),
    ] {
        assert_eq!(ask(&transaction, "select ? as v", [given]).unwrap(), [Dynamic::map([("v", back)])]);
    }
    // A statement that is kept sees what has become of its table.
    for columns in [3, 4] {
        ask(&transaction, "insert into orders (customer) values (hex(randomblob(8)))", []).unwrap();
        let rows = ask(&transaction, "select * from orders limit 1", []).unwrap();
        assert!(matches!(&rows[..], [Dynamic::Map(properties)] if properties.len() == columns), "{rows:?}");
        ask(&transaction, &format!("alter table orders add column more{columns} text"), []).unwrap();
    }
    wait(transaction.roll_back());
    wait(store.close());
}

#[test]
fn what_is_refused_leaves_the_transaction_usable() {
    let directory = temp();
    let store = shop(&directory);
    let transaction = wait(store.begin(None)).unwrap();
    put_in(&store, &transaction, "payload").unwrap();
    ask(&transaction, "insert into orders values (1, 'Ann', 1)", []).unwrap();
    let by_id = "select * from orders where id = ?";
    for (sql, values, kind, text) in [
        (by_id, vec![], Kind::InvalidArgument, "has 1 parameters, and 0 values"),
        (by_id, vec![INT(1), INT(2)], Kind::InvalidArgument, "has 1 parameters, and 2 values"),
        ("select ?, ?", vec![INT(1), Dynamic::List(vec![])], Kind::InvalidArgument, "$2 is an array"),
        (by_id, vec![Dynamic::map([])], Kind::InvalidArgument, "$1 is an object"),
        (by_id, vec![Dynamic::Number(f64::NAN)], Kind::InvalidArgument, "$1 is NaN"),
        (by_id, vec![Dynamic::Time(Millis(8_640_000_000_000_000))], Kind::InvalidArgument, "$1 is a Date"),
        ("delete from orders; select 1", vec![], Kind::InvalidArgument, "one statement at a time"),
        ("delete from orders; commit", vec![], Kind::InvalidArgument, "one statement at a time"),
        ("begin", vec![], Kind::InvalidArgument, "savepoint"),
        ("/* now */ COMMIT", vec![], Kind::InvalidArgument, "callback"),
        (";end", vec![], Kind::InvalidArgument, "callback"),
        ("\u{feff}rollback", vec![], Kind::InvalidArgument, "callback"),
        ("/* /* */ rollback", vec![], Kind::InvalidArgument, "callback"),
        ("select 1 \0; commit", vec![], Kind::InvalidArgument, "NUL"),
        ("select * from nowhere", vec![], Kind::Backend, "no such table: nowhere"),
        ("select missing from orders", vec![], Kind::Backend, "no such column: missing"),
        ("insert into orders (missing) values (1)", vec![], Kind::Backend, "no column named missing"),
        ("insert into orders values (2, 'Ann', 1)", vec![], Kind::Backend, "UNIQUE constraint failed: orders.customer"),
        (
            "insert into orders values (2, null, 1)",
            vec![],
            Kind::Backend,
            "NOT NULL constraint failed: orders.customer",
        ),
        ("insert into orders values (2, 'Bob', -1)", vec![], Kind::Backend, "CHECK constraint failed"),
        (
            "insert into orders values (1, 'Bob', 1) on conflict (total) do nothing",
            vec![],
            Kind::Backend,
            "ON CONFLICT",
        ),
        ("selec 1", vec![], Kind::Backend, "syntax error"),
        ("select zeroblob(2000000000)", vec![], Kind::Backend, "too big"),
    ] {
        let error = ask(&transaction, sql, values).expect_err(sql);
        assert_eq!((error.kind(), error.is_retryable()), (kind, false), "{sql}: {error:?}");
        assert!(error.message().contains(text) && !error.message().contains("payload"), "{sql}: {error:?}");
        assert_eq!((error.backend(), error.operation()), (Some("sqlite"), Some("query")));
        assert_eq!(ask(&transaction, "select count(*) as n from orders", []).unwrap(), [Dynamic::map([("n", INT(1))])]);
    }
    wait(transaction.commit()).unwrap();
    assert_eq!(orders(&directory), 1);
    assert!(find(&store, "payload").unwrap().is_some());
    wait(store.close());
}

#[test]
fn a_savepoint_is_a_way_back() {
    let directory = temp();
    let store = shop(&directory);
    let transaction = wait(store.begin(None)).unwrap();
    ask(&transaction, "insert into orders values (1, 'Ann', 1)", []).unwrap();
    ask(&transaction, "savepoint a", []).unwrap();
    ask(&transaction, "insert into orders values (2, 'Bob', 1)", []).unwrap();
    put_in(&store, &transaction, "undone").unwrap();
    ask(&transaction, "ROLLBACK TRANSACTION /* just */ TO SAVEPOINT a", []).unwrap();
    put_in(&store, &transaction, "kept").unwrap();
    ask(&transaction, "release a", []).unwrap();
    wait(transaction.commit()).unwrap();
    assert_eq!(orders(&directory), 1);
    assert!(find(&store, "kept").unwrap().is_some() && find(&store, "undone").unwrap().is_none());
    wait(store.close());
}

#[test]
fn a_statement_that_ends_the_transaction_ends_it_for_all() {
    let directory = temp();
    let store = shop(&directory);
    let transaction = wait(store.begin(None)).unwrap();
    put_in(&store, &transaction, "payload").unwrap();
    ask(&transaction, "insert into orders values (1, 'Ann', 1)", []).unwrap();
    let error = ask(&transaction, "insert or rollback into orders values (1, 'Bob', 1)", []).unwrap_err();
    assert!(error.message().contains("UNIQUE constraint failed: orders.id"), "{error:?}");
    for after in [
        put_in(&store, &transaction, "other").map(drop),
        ask(&transaction, "select 1", []).map(drop),
        wait(transaction.commit()),
    ] {
        assert_eq!(after.unwrap_err().message(), error.message());
    }
    assert_eq!((orders(&directory), find(&store, "payload").unwrap()), (0, None));
    put(&store, "after", b"x", None).unwrap();
    wait(store.close());
}
