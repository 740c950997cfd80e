//! The application's own statements in transactions of the store's.

use super::*;
use crate::contract::capability::Isolation;
use crate::contract::dynamic::Dynamic;
use crate::contract::operations::Call;
use crate::store::on_transaction::Open;
use crate::store::plan::Given;

/// A store with its table, and a table of the application's beside it.
struct Shop {
    store: Store,
    table: String,
    orders: String,
}

impl Shop {
    /// Nothing where there is no server.
    fn open(parameters: &str) -> Option<Self> {
        let url = server()?;
        let (table, orders) = (fresh("query"), fresh("orders"));
        let separator = if url.contains('?') { '&' } else { '?' };
        let store = store_with(&format!("{url}{separator}{parameters}"), &table, r#", "poolSize": 2"#);
        block_on(store.initialize()).unwrap();
        admin(&format!(
            "create table {orders} (id bigint primary key, customer text not null, total numeric(10,2) check (total >= 0), unique (customer))"
        ));
        Some(Self { store, table, orders })
    }

    fn begin(&self) -> Open {
        block_on(self.store.begin(None)).unwrap()
    }

    fn count(&self) -> String {
        admin(&format!("select count(*)::text from {}", self.orders)).remove(0)
    }

    fn close(self) {
        block_on(self.store.close());
        admin(&format!("drop table {}, {}", self.table, self.orders));
    }
}

fn ask(transaction: &Open, sql: &str, values: impl Into<Vec<Dynamic>>) -> Result<Vec<Dynamic>> {
    let (sender, receiver) = mpsc::channel();
    transaction.query(sql.to_owned(), values.into(), Box::new(move |answer| sender.send(answer).unwrap()));
    receiver.recv().unwrap().map(|rows| rows.into_list().unwrap())
}

/// The only value of the only row.
fn value(transaction: &Open, sql: &str, values: impl Into<Vec<Dynamic>>) -> Dynamic {
    let rows = ask(transaction, sql, values).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let Ok([Dynamic::Map(properties)]) = <[Dynamic; 1]>::try_from(rows) else { panic!("{sql}: not one row") };
    assert_eq!(properties.len(), 1, "{sql}");
    properties.into_iter().next().unwrap().1
}

fn refused(transaction: &Open, sql: &str, values: impl Into<Vec<Dynamic>>, kind: Kind, text: &str) {
    let error = ask(transaction, sql, values).expect_err(sql);
    assert_eq!(error.kind(), kind, "{sql}: {error:?}");
    assert!(error.message().contains(text), "{sql}: {error:?}");
    assert_eq!((error.backend(), error.operation()), (Some("postgres"), Some("query")));
}

fn put_in(shop: &Shop, transaction: &Open, id: &str) -> Result<Reply> {
    one(|settle| {
        let given = Given::Payload(id, Bytes::from_static(b"x"), None);
        shop.store.run_in(transaction, Call::Put, given, settle);
    })
}

fn code(error: &Error) -> Option<String> {
    error.details().iter().find(|(name, _)| *name == "sqlState").map(|(_, value)| match value {
        crate::error::Detail::Text(code) => code.clone(),
        crate::error::Detail::Number(number) => number.to_string(),
    })
}

const TEXT: fn(&str) -> Dynamic = Dynamic::text;
const INT: fn(i64) -> Dynamic = Dynamic::Int;

#[test]
fn rows_are_objects_and_share_the_fate_of_payloads() {
    let Some(shop) = Shop::open("") else { return };
    let orders = &shop.orders;
    let transaction = shop.begin();
    put_in(&shop, &transaction, "payload").unwrap();
    let insert = format!("insert into {orders} values ($1, $2, $3) returning total, id as key, customer, 1 as key");
    let row = Dynamic::map([("total", TEXT("9.50")), ("key", INT(1)), ("customer", TEXT("Ann"))]);
    assert_eq!(ask(&transaction, &insert, [INT(7), TEXT("Ann"), Dynamic::Number(9.5)]).unwrap(), [row]);
    assert_eq!(ask(&transaction, &format!("update {orders} set total = 1"), []).unwrap(), []);
    assert_eq!(ask(&transaction, &format!("select * from {orders} where id < $1"), [INT(0)]).unwrap(), []);
    for nothing in ["", " ; ", "-- nothing"] {
        assert_eq!(ask(&transaction, nothing, []).unwrap(), []);
    }
    assert_eq!(shop.count(), "0");
    assert_eq!(find(&shop.store, "payload").unwrap(), None);
    block_on(transaction.commit()).unwrap();
    assert_eq!(shop.count(), "1");
    assert!(find(&shop.store, "payload").unwrap().is_some());

    let transaction = shop.begin();
    ask(&transaction, &format!("delete from {orders}"), []).unwrap();
    block_on(transaction.roll_back());
    assert_eq!(shop.count(), "1");
    refused(&transaction, "select 1", [], Kind::Closed, "ended");
    shop.close();
}

#[test]
fn each_type_crosses_as_what_people_know() {
    let Some(shop) = Shop::open("") else { return };
    let (mood, positive, names) = (fresh("mood"), fresh("positive"), fresh("names"));
    admin(&format!(
        "create type {mood} as enum ('sad', 'it''s ok'); create domain {positive} as numeric check (value > 0); create domain {names} as text[]"
    ));
    let transaction = shop.begin();
    let at = Dynamic::Time(Millis(1_784_555_238_120));
    let bytes = Dynamic::Bytes(Bytes::from_static(b"\0\xff"));
    let list = |values: &[Dynamic]| Dynamic::List(values.to_vec());
    let json = Dynamic::map([("b", list(&[Dynamic::Null, Dynamic::Number(0.5)])), ("a", TEXT("é\"\\"))]);
    // The type, what is given, what comes back, and how PostgreSQL writes it.
    for (of, given, back, text) in [
        ("bool", Dynamic::Bool(true), Dynamic::Bool(true), "true"),
        ("int2", INT(-2), INT(-2), "-2"),
        ("int4", TEXT("2147483647"), INT(2_147_483_647), "2147483647"),
        ("int8", INT(i64::MAX), TEXT("9223372036854775807"), "9223372036854775807"),
        ("oid", INT(4_294_967_295), INT(4_294_967_295), "4294967295"),
        ("float4", Dynamic::Number(0.1), Dynamic::Number(0.1), "0.1"),
        ("float8", Dynamic::Number(1e-7), Dynamic::Number(1e-7), "1e-07"),
        ("numeric", Dynamic::Number(-0.5), TEXT("-0.5"), "-0.5"),
        ("numeric", TEXT("NaN"), TEXT("NaN"), "NaN"),
        ("text", TEXT("ü"), TEXT("ü"), "ü"),
        ("text", INT(5), TEXT("5"), "5"),
        ("varchar", TEXT(""), TEXT(""), ""),
        ("bpchar", TEXT("ab "), TEXT("ab "), "ab"),
        ("name", TEXT("n"), TEXT("n"), "n"),
        ("\"char\"", TEXT("c"), TEXT("c"), "c"),
        ("bytea", bytes.clone(), bytes, "\\x00ff"),
        ("timestamptz", at.clone(), at.clone(), "2026-07-20 13:47:18.12+00"),
        ("timestamptz", TEXT("2026-07-20T15:47:18.12+02:00"), at.clone(), "2026-07-20 13:47:18.12+00"),
        ("timestamptz", TEXT("infinity"), TEXT("infinity"), "infinity"),
        ("timestamp", at.clone(), at.clone(), "2026-07-20 13:47:18.12"),
        ("timestamp", TEXT("2026-07-20 13:47:18.120499"), at.clone(), "2026-07-20 13:47:18.120499"),
        ("timestamp", TEXT("-infinity"), TEXT("-infinity"), "-infinity"),
        ("date", at.clone(), Dynamic::Time(Millis(1_784_505_600_000)), "2026-07-20"),
        ("date", TEXT("1969-12-31"), Dynamic::Time(Millis(-86_400_000)), "1969-12-31"),
        ("date", TEXT("-infinity"), TEXT("-infinity"), "-infinity"),
        ("time", TEXT("13:47:18.12"), TEXT("13:47:18.12"), "13:47:18.12"),
        ("json", json.clone(), json.clone(), r#"{"b":[null,0.5],"a":"é\"\\"}"#),
        ("json", TEXT("[1, 2]"), list(&[INT(1), INT(2)]), "[1, 2]"),
        (
            "jsonb",
            Dynamic::List(vec![json.clone()]),
            list(&[Dynamic::map([("a", TEXT("é\"\\")), ("b", json.get("b").unwrap().clone())])]),
            r#"[{"a": "é\"\\", "b": [null, 0.5]}]"#,
        ),
        (
            "jsonb",
            TEXT("12345678901234567890.5"),
            Dynamic::Number(12_345_678_901_234_567_000.0),
            "12345678901234567890.5",
        ),
        (
            "uuid",
            TEXT("A0EEBC999C0B4EF8BB6D6BB9BD380A11"),
            TEXT("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        (&*mood, TEXT("it's ok"), TEXT("it's ok"), "it's ok"),
        (&*positive, INT(3), TEXT("3"), "3"),
        ("int4[]", list(&[INT(1), Dynamic::Null]), list(&[INT(1), Dynamic::Null]), "{1,NULL}"),
        ("int4[]", list(&[]), list(&[]), "{}"),
        (
            "text[]",
            list(&[list(&[TEXT("a"), TEXT("b,")]), list(&[TEXT(""), TEXT("\"")])]),
            list(&[list(&[TEXT("a"), TEXT("b,")]), list(&[TEXT(""), TEXT("\"")])]),
            r#"{{a,"b,"},{"","\""}}"#,
        ),
        ("jsonb[]", list(&[list(&[INT(1)]), Dynamic::Null]), list(&[list(&[INT(1)]), Dynamic::Null]), "{[1],NULL}"),
        ("timestamptz[]", Dynamic::List(vec![at.clone()]), list(&[at]), r#"{"2026-07-20 13:47:18.12+00"}"#),
        (&*format!("{mood}[]"), list(&[TEXT("sad")]), list(&[TEXT("sad")]), "{sad}"),
        (&*format!("{positive}[]"), list(&[INT(3)]), list(&[TEXT("3")]), "{3}"),
        (&*names, list(&[TEXT("a")]), list(&[TEXT("a")]), "{a}"),
        ("int4", Dynamic::Null, Dynamic::Null, "NULL"),
    ] {
        // A cast of a parameter gives the parameter this type.
        assert_eq!(value(&transaction, &format!("select $1::{of} as v"), [given.clone()]), back, "{of}");
        let written = value(&transaction, &format!("select coalesce($1::{of}::text, 'NULL') as v"), [given]);
        assert_eq!(written, TEXT(text), "{of}");
    }
    assert_eq!(value(&transaction, "select '-2:3={{{1,2}},{{3,4}}}'::text as v", []), TEXT("-2:3={{{1,2}},{{3,4}}}"));
    assert_eq!(value(&transaction, "select '[-2:-1]={1,2}'::int[] as v", []), list(&[INT(1), INT(2)]));
    assert_eq!(value(&transaction, "select pg_sleep(0) as v", []), Dynamic::Null);
    assert_eq!(value(&transaction, "select '24:00'::time as v", []), TEXT("24:00:00"));
    if admin("select name::text from pg_available_extensions where name = 'citext'").is_empty() {
        eprintln!("SKIPPED, not tested: this server has no citext");
    } else {
        let schema = fresh("ext");
        ask(&transaction, &format!("create schema {schema}"), []).unwrap();
        ask(&transaction, "drop extension if exists citext", []).unwrap();
        ask(&transaction, &format!("create extension citext schema {schema}"), []).unwrap();
        assert_eq!(value(&transaction, &format!("select $1::{schema}.citext as v"), [TEXT("Ab")]), TEXT("Ab"));
    }
    block_on(transaction.roll_back());
    admin(&format!("drop type {mood}; drop domain {positive}; drop domain {names}"));
    shop.close();
}

#[test]
fn numerics_are_postgresqls_to_the_last_digit() {
    let Some(shop) = Shop::open("") else { return };
    let transaction = shop.begin();
    let digits = |most: usize| -> String { (0..fastrand::usize(0..most)).map(|_| fastrand::digit(10)).collect() };
    let texts: Vec<String> = (0..2_000)
        .map(|_| {
            let zeros = "0".repeat(fastrand::usize(0..9));
            let exponent = if fastrand::bool() { format!("e{}", fastrand::i8(..)) } else { String::new() };
            let sign = if fastrand::bool() { "-" } else { "" };
            format!("{sign}{}1{}.{zeros}{}{exponent}", digits(20), digits(30), digits(30))
        })
        .chain(["0", "0.000", "1e1000", "-1e-1000", "10000", "9999.9999", "0.00010000"].map(str::to_owned))
        .collect();
    let values = Dynamic::List(texts.iter().map(|text| TEXT(text)).collect());
    // Written by us and by PostgreSQL, and read back by us.
    let sql = "select n::text as ours, t::numeric::text as theirs, n as back, n = t::numeric as same from unnest($1::numeric[], $2::text[]) as x (n, t)";
    let rows = ask(&transaction, sql, [values.clone(), values]).unwrap();
    assert_eq!(rows.len(), texts.len());
    for (row, text) in rows.iter().zip(texts) {
        assert_eq!(row.get("ours"), row.get("theirs"), "{text}");
        assert_eq!(row.get("back"), row.get("theirs"), "{text}");
        assert_eq!(row.get("same"), Some(&Dynamic::Bool(true)), "{text}");
    }
    block_on(transaction.roll_back());
    shop.close();
}

#[test]
fn what_is_refused_before_it_is_sent_leaves_the_transaction_usable() {
    let Some(shop) = Shop::open("") else { return };
    let orders = &shop.orders;
    let transaction = shop.begin();
    ask(&transaction, &format!("insert into {orders} values (1, 'Ann', 1)"), []).unwrap();
    let by_id = format!("select * from {orders} where id = $1");
    for (sql, values, kind, text) in [
        (&*by_id, vec![], Kind::InvalidArgument, "1 parameters, and 0 values"),
        (&by_id, vec![INT(1), INT(2)], Kind::InvalidArgument, "2 values were given"),
        (&by_id, vec![TEXT("x")], Kind::InvalidArgument, "$1 (int8) is text that is no whole number"),
        (
            "select $2::int2, $1::text",
            vec![TEXT("x"), INT(40_000)],
            Kind::InvalidArgument,
            "$2 (int2) is a number out of range",
        ),
        ("select $1::inet::text", vec![TEXT("::1")], Kind::InvalidArgument, "$1::text::inet"),
        ("select $1::interval::text", vec![TEXT("1 day")], Kind::InvalidArgument, "$1::text::interval"),
        ("select $1::timestamptz", vec![TEXT("tomorrow")], Kind::InvalidArgument, "$1::text::timestamptz"),
        ("select 1 as one, '::1'::inet as address", vec![], Kind::Unsupported, "\"address\" is of type inet"),
        ("select array['1 day'::interval] as spans", vec![], Kind::Unsupported, "type interval[]"),
        ("select row(1, 2) as pair", vec![], Kind::Unsupported, "\"pair\"::text"),
        ("begin", vec![], Kind::InvalidArgument, "savepoint"),
        ("/* now */ COMMIT", vec![], Kind::InvalidArgument, "callback"),
        ("; rollback", vec![], Kind::InvalidArgument, "callback"),
        ("prepare transaction 'x'", vec![], Kind::InvalidArgument, "callback"),
        ("copy t from stdin", vec![], Kind::Unsupported, "copy"),
        ("select 1 \0; commit", vec![], Kind::InvalidArgument, "NUL"),
    ] {
        refused(&transaction, sql, values, kind, text);
        assert_eq!(value(&transaction, "select 1 as v", []), INT(1), "after {sql}");
    }
    if admin("select typname::text from pg_type where typname = 'int4multirange'").is_empty() {
        eprintln!("SKIPPED, not tested: this server has no multiranges (PostgreSQL 14)");
    } else {
        refused(&transaction, "select '{[1,2)}'::int4multirange as v", [], Kind::Unsupported, "cast it to text");
        assert_eq!(value(&transaction, "select '{[1,2)}'::int4multirange::text as v", []), TEXT("{[1,2)}"));
    }
    // Read only after it has run: told, and neither the connection nor the transaction is lost.
    refused(
        &transaction,
        "select 'infinity'::date as a, '200000000-01-01'::text as b, '294000-01-01'::date as c",
        [],
        Kind::Unsupported,
        "has run, but its answer cannot be read: column \"c\" (type date)",
    );
    refused(
        &transaction,
        "select n, '\"\\ud800\"'::json as j from generate_series(1, 1000) n",
        [],
        Kind::Unsupported,
        "surrogate",
    );
    assert_eq!(value(&transaction, "select 2 as v", []), INT(2));
    block_on(transaction.commit()).unwrap();
    assert_eq!(shop.count(), "1");
    shop.close();
}

#[test]
fn what_the_server_refuses_is_said_in_its_own_words() {
    let Some(shop) = Shop::open("") else { return };
    let orders = &shop.orders;
    admin(&format!("insert into {orders} values (1, 'Ann', 1)"));
    let unique = format!("{orders}_customer_key");
    let mut connections = std::collections::HashSet::new();
    for (sql, expected, text) in [
        (format!("insert into {orders} values (2, 'Ann', 1)"), "23505", &*unique),
        (format!("insert into {orders} values (2, 'Bob', -1)"), "23514", "_total_check"),
        (String::from("select * from no_such_table"), "42P01", "no_such_table"),
        (String::from("select * from no_such_schema.t"), "42P01", "no_such_schema"),
        (format!("insert into {orders} values (9, 'Cid', 1) on conflict (total) do nothing"), "42P10", "ON CONFLICT"),
        (format!("select nothing from {orders}"), "42703", "nothing"),
        (String::from("select 1; select 2"), "42601", "multiple commands"),
        (String::from("select 1; commit"), "42601", "multiple commands"),
        (String::from("execute nothing"), "26000", "\"nothing\" does not exist"),
        (String::from("selec 1"), "42601", "selec"),
    ] {
        let transaction = shop.begin();
        put_in(&shop, &transaction, "payload").unwrap();
        connections.insert(value(&transaction, "select pg_backend_pid() as v", []).as_int());
        let error = ask(&transaction, &sql, []).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false), "{sql}: {error:?}");
        assert_eq!(code(&error).as_deref(), Some(expected), "{sql}: {error:?}");
        assert!(error.message().contains(text) && !error.message().contains("initialize"), "{sql}: {error:?}");
        // As PostgreSQL defines it: nothing more runs, and nothing is committed.
        let after = ask(&transaction, "select 1", []).unwrap_err();
        assert_eq!(code(&after).as_deref(), Some("25P02"), "{after:?}");
        assert!(ask(&transaction, "", []).is_err());
        assert_eq!(code(&block_on(transaction.commit()).unwrap_err()).as_deref(), Some(expected));
        assert_eq!(find(&shop.store, "payload").unwrap(), None);
    }
    assert!(connections.len() <= 2, "an error has cost a connection: {connections:?}");
    shop.close();
}

#[test]
fn a_savepoint_is_a_way_back() {
    let Some(shop) = Shop::open("") else { return };
    let (orders, table) = (&shop.orders, &shop.table);
    let insert = format!("insert into {orders} values ($1, $2, 1)");
    let transaction = shop.begin();
    ask(&transaction, &insert, [INT(1), TEXT("Ann")]).unwrap();
    ask(&transaction, "savepoint outer_one", []).unwrap();
    ask(&transaction, &insert, [INT(2), TEXT("Bob")]).unwrap();
    ask(&transaction, "savepoint inner_one", []).unwrap();
    ask(&transaction, &insert, [INT(3), TEXT("Ann")]).unwrap_err();
    // A way back that does not exist is none.
    ask(&transaction, "rollback to nowhere", []).unwrap_err();
    assert!(ask(&transaction, "", []).is_err());
    ask(&transaction, "ROLLBACK /* just */ TO SAVEPOINT inner_one", []).unwrap();
    put_in(&shop, &transaction, "payload").unwrap();
    // An operation of the store's fails; the same statement succeeds after the way back.
    ask(&transaction, "savepoint renamed", []).unwrap();
    ask(&transaction, &format!("alter table {table} rename to {table}_away"), []).unwrap();
    let error = put_in(&shop, &transaction, "other").unwrap_err();
    assert!(error.message().contains("initialize()"), "{error:?}");
    ask(&transaction, "rollback transaction to renamed", []).unwrap();
    put_in(&shop, &transaction, "other").unwrap();
    ask(&transaction, "release savepoint outer_one", []).unwrap();
    block_on(transaction.commit()).unwrap();
    assert_eq!(shop.count(), "2");
    assert!(find(&shop.store, "payload").unwrap().is_some() && find(&shop.store, "other").unwrap().is_some());

    // What failed after the way back still fails the commit.
    let transaction = shop.begin();
    ask(&transaction, "savepoint a", []).unwrap();
    ask(&transaction, "select 1/0", []).unwrap_err();
    ask(&transaction, "rollback to a", []).unwrap();
    ask(&transaction, &insert, [INT(4), TEXT("Ann")]).unwrap_err();
    assert_eq!(code(&block_on(transaction.commit()).unwrap_err()).as_deref(), Some("23505"));
    assert_eq!(shop.count(), "2");
    shop.close();
}

#[test]
fn conflicts_of_transactions_can_be_tried_again() {
    let Some(shop) = Shop::open("") else { return };
    let orders = &shop.orders;
    admin(&format!("insert into {orders} values (1, 'Ann', 1), (2, 'Bob', 1)"));
    let update = format!("update {orders} set total = total + 1 where id = $1");
    let [first, second] = [(); 2].map(|()| block_on(shop.store.begin(Some(Isolation::RepeatableRead))).unwrap());
    for transaction in [&first, &second] {
        ask(transaction, &format!("select * from {orders}"), []).unwrap();
    }
    ask(&first, &update, [INT(1)]).unwrap();
    block_on(first.commit()).unwrap();
    let error = ask(&second, &update, [INT(1)]).unwrap_err();
    assert_eq!((code(&error).as_deref(), error.is_retryable()), (Some("40001"), true), "{error:?}");
    assert!(block_on(second.commit()).unwrap_err().is_retryable());

    let [first, second] = [(); 2].map(|()| shop.begin());
    ask(&first, &update, [INT(1)]).unwrap();
    ask(&second, &update, [INT(2)]).unwrap();
    let (sender, receiver) = mpsc::channel();
    let answered = move |answer| sender.send(answer).unwrap();
    first.query(update.clone(), vec![INT(2)], Box::new(answered));
    let answers = [ask(&second, &update, [INT(1)]).map(drop), receiver.recv().unwrap().map(drop)];
    let errors: Vec<&Error> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(errors.len() == 1 && errors[0].is_retryable(), "{answers:?}");
    assert_eq!(code(errors[0]).as_deref(), Some("40P01"));
    block_on(first.roll_back());
    block_on(second.roll_back());
    shop.close();
}

#[test]
fn large_answers_arrive_whole() {
    let Some(shop) = Shop::open("") else { return };
    let transaction = shop.begin();
    let large = Dynamic::Bytes(vec![7; 20_000_000].into());
    assert_eq!(value(&transaction, "select $1::bytea as v", [large.clone()]), large);
    let rows = ask(&transaction, "select n, repeat('x', 100) as t from generate_series(1, 200000) n", []).unwrap();
    assert_eq!(rows.len(), 200_000);
    assert_eq!(rows[199_999], Dynamic::map([("n", INT(200_000)), ("t", TEXT(&"x".repeat(100)))]));
    block_on(transaction.commit()).unwrap();
    shop.close();
}

#[test]
fn behind_a_pooler_nothing_is_prepared_and_types_follow_the_values() {
    let Some(shop) = Shop::open("statement_cache_capacity=0") else { return };
    let orders = &shop.orders;
    let transaction = shop.begin();
    put_in(&shop, &transaction, "payload").unwrap();
    let insert = format!("insert into {orders} values ($1, $2, $3) returning *");
    let row = Dynamic::map([("id", TEXT("1")), ("customer", TEXT("Ann")), ("total", TEXT("1.50"))]);
    assert_eq!(ask(&transaction, &insert, [INT(1), TEXT("Ann"), Dynamic::Number(1.5)]).unwrap(), [row]);
    let some = format!("select count(*)::int as v from {orders} where id = any($1) and customer is distinct from $2");
    assert_eq!(value(&transaction, &some, [Dynamic::List(vec![INT(1), INT(2)]), Dynamic::Null]), INT(1));
    let at = Dynamic::Time(Millis(1_784_555_238_120));
    let object = Dynamic::map([("a", Dynamic::List(vec![INT(1), TEXT("x")]))]);
    for given in [
        Dynamic::Bool(true),
        INT(i64::from(i32::MAX)),
        Dynamic::Number(0.5),
        TEXT("ü"),
        Dynamic::Bytes(Bytes::from_static(b"\0")),
        at.clone(),
        object.clone(),
        Dynamic::List(vec![TEXT("a"), Dynamic::Null]),
        Dynamic::List(vec![at]),
        Dynamic::List(vec![object]),
    ] {
        let back = if let Dynamic::Int(number) = &given { TEXT(&number.to_string()) } else { given.clone() };
        assert_eq!(value(&transaction, "select $1 as v", [given]), back);
    }
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    assert_eq!(value(&transaction, "select $1::uuid as v", [TEXT(uuid)]), TEXT(uuid));
    assert_eq!(value(&transaction, "select count(*)::int as v from pg_prepared_statements", []), INT(0));
    refused(&transaction, "select 1", [INT(1)], Kind::InvalidArgument, "no $1");
    // Shown only by the answer; the transaction goes on.
    refused(
        &transaction,
        "select n, '::1'::inet as a from generate_series(1, 9) n",
        [],
        Kind::Unsupported,
        "column \"a\" (type inet)",
    );
    assert_eq!(value(&transaction, "select 1 as v", []), INT(1));
    for (sql, values, kind, text) in [
        ("select $1::int + $2::int", vec![INT(1)], Kind::InvalidArgument, "another number of parameters"),
        (
            "select gen.x = $1 from (select gen_random_uuid() as x) gen",
            vec![TEXT(uuid)],
            Kind::Backend,
            "as in $1::uuid",
        ),
    ] {
        ask(&transaction, "savepoint a", []).unwrap();
        refused(&transaction, sql, values, kind, text);
        ask(&transaction, "rollback to a", []).unwrap();
    }
    block_on(transaction.commit()).unwrap();
    assert_eq!(shop.count(), "1");
    assert_eq!(block_on(shop.store.statistics()).unwrap().pool.unwrap().open, 1);
    shop.close();
}
