//! What the statements look like, and how SQLite runs them.

use std::future::ready;

use bytes::Bytes;

use super::*;
use crate::contract::executions::record::{Execution, Status};
use crate::contract::moving::record::{Logbook, Message, Payload, State};
use crate::contract::outbox::record::{Event, EventStatus, Stored};
use crate::contract::states::Saga;
use crate::sql::executions::ExecutionSql;
use crate::sql::executions::form::Form;
use crate::sql::executions::schema::Pair;
use crate::sql::schema::TimeColumn;
use crate::sql::states::schema::all_statements;
use crate::sql::{Answer, Table, Value};

/// Notes statements; nothing is found.
#[derive(Default)]
struct Noted(Vec<String>);

impl Executor for Noted {
    fn run(&mut self, sql: &str, _values: &[Value<'_>]) -> impl Future<Output = Result<Answer>> + Send {
        self.0.push(sql.to_owned());
        ready(Ok(Answer::default()))
    }
}

struct Tables {
    payloads: PayloadSql,
    states: StateSql,
    executions: ExecutionSql,
    outbox: Outbox,
    inbox: Inbox,
    /// What makes them.
    schema: Vec<String>,
}

fn tables(dialect: Dialect) -> Tables {
    let table = |name: &str| Table::new(None, name.to_owned());
    let pair = Pair { executions: table("e"), log: table("log") };
    let (outbox, inbox) = (Outbox::new(dialect, table("o")), Inbox::new(dialect, table("i")));
    let mut schema = all_statements(dialect, &table("p"), &table("s"));
    schema.extend(pair.statements(dialect).into_iter().chain(outbox.statements()).chain(inbox.statements()));
    let time = if dialect == Dialect::Sqlite { TimeColumn::Text } else { TimeColumn::WithoutTimeZone };
    Tables {
        payloads: PayloadSql::new(dialect, &table("p"), time),
        states: StateSql::new(dialect, &table("s")),
        executions: ExecutionSql::new(Form::ours(dialect), &pair),
        outbox,
        inbox,
        schema,
    }
}

/// Two records of each kind.
fn records() -> [Vec<Record>; 5] {
    let payload = |id: &str| Payload { id: id.into(), body: Body::Whole(Bytes::new()), expires_at: None };
    let saga = |id: &str| Saga {
        name: "A".into(),
        id: id.into(),
        version: 1,
        completed: false,
        created_at: Millis(0),
        updated_at: Millis(0),
        completed_at: None,
        timeout_at: None,
        expires_at: None,
        state: "{}".into(),
    };
    let execution = |id: &str| Execution {
        id: id.into(),
        name: "A".into(),
        status: Status::Running,
        sub_status: None,
        context: None,
        metadata: None,
        tags: Vec::new(),
        version: 1,
        seq: 0,
        log_bytes: 0,
        token: None,
        worker: None,
        due_at: None,
        attempts: 0,
        last_error: None,
        last_operation: None,
        created_at: Millis(0),
        updated_at: Millis(0),
        completed_at: None,
        parked_at: None,
        expires_at: None,
    };
    let event = |id: &str, status: EventStatus| {
        let event = Event {
            id: id.into(),
            event_type: "T".into(),
            payload: Content::Json("1".into()),
            saga_id: None,
            aggregate_type: None,
            aggregate_id: None,
            headers: None,
            routing_key: None,
            partition_key: Some("k".into()),
            available_at: None,
            occurred_at: Millis(0),
        };
        let until = Some(Millis(i64::MAX));
        Stored { status, sent_at: until, expires_at: until, ..Stored::pending(event, 0, "o".into(), Millis(0)) }
    };
    let message =
        |id: &str| Message { consumer: "c".into(), id: id.into(), operation: "o".into(), expires_at: Millis(1) };
    [
        ["a", "b"].map(|id| Record::Payload(payload(id))).into(),
        ["a", "b"].map(|id| Record::State(Box::new(State { saga: saga(id), correlation_id: id.into() }))).into(),
        ["a", "b"].map(|id| Record::Execution(Box::new(Logbook { execution: execution(id), log: Vec::new() }))).into(),
        vec![
            Record::Event(Box::new(event("a", EventStatus::Pending))),
            Record::Event(Box::new(event("b", EventStatus::Sent))),
        ],
        ["a", "b"].map(|id| Record::Message(message(id))).into(),
    ]
}

/// Statements of the first page, and all others.
fn all(tables: &Tables) -> [Vec<String>; 2] {
    let (mut first, mut others) = (Noted::default(), Noted::default());
    let run = async {
        let [one, two] = [vec![String::from("7")], vec![String::from("a"), String::from("b")]];
        let keys = [Key { name: "A".into(), id: "b".into() }];
        for after in [false, true] {
            let on = if after { &mut others } else { &mut first };
            let [one, two] = [&one, &two].map(|place| after.then_some(place.as_slice()));
            payloads::list(&tables.payloads, on, one, 5).await?;
            states::list(&tables.states, on, two, 5).await?;
            executions::list(&tables.executions, on, one, 5).await?;
            outbox::list(&tables.outbox, on, one, 5).await?;
            inbox::list(&tables.inbox, on, two, 5).await?;
        }
        let on = &mut others;
        payloads::look_up(&tables.payloads, on, &keys, false).await?;
        payloads::look_up(&tables.payloads, on, &keys, true).await?;
        states::look_up(&tables.states, on, &keys).await?;
        executions::look_up(&tables.executions, on, &keys).await?;
        outbox::look_up(&tables.outbox, on, &keys).await?;
        inbox::look_up(&tables.inbox, on, &keys).await?;
        let [of_payloads, of_states, of_executions, of_outbox, of_inbox] = records();
        let now = Millis(0);
        for conflict in [Conflict::Skip, Conflict::Overwrite, Conflict::Refuse, Conflict::Newer] {
            payloads::store(&tables.payloads, on, &of_payloads, conflict, now).await?;
            states::store(&tables.states, on, &of_states, conflict, now).await?;
            // Nobody answers that it is stored.
            drop(states::store(&tables.states, on, &of_states[..1], conflict, now).await);
            drop(executions::store(&tables.executions, on, &of_executions, conflict, now).await);
            drop(outbox::store(&tables.outbox, on, &of_outbox, conflict, now).await);
            drop(outbox::store(&tables.outbox, on, &of_outbox[..1], conflict, now).await);
            inbox::store(&tables.inbox, on, &of_inbox, conflict, now).await?;
        }
        Ok::<(), Error>(())
    };
    futures_util::FutureExt::now_or_never(run).unwrap().unwrap();
    [first.0, others.0]
}

#[test]
fn placeholders_stand_once_each_and_in_order() {
    for dialect in [Dialect::Postgres, Dialect::Sqlite] {
        for statement in all(&tables(dialect)).concat() {
            let numbers: Vec<usize> = statement
                .split('$')
                .skip(1)
                .map(|part| part.chars().take_while(char::is_ascii_digit).collect::<String>())
                .filter(|digits| !digits.is_empty())
                .map(|digits| digits.parse().unwrap())
                .collect();
            assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{statement}");
            assert!(!statement.contains("now()"), "{statement}");
        }
    }
}

#[test]
fn sqlite_finds_everything_by_an_index() {
    let tables = tables(Dialect::Sqlite);
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    for statement in &tables.schema {
        connection.execute_batch(statement).unwrap();
    }
    let steps = |statement: &str| -> Vec<String> {
        let mut plan = connection.prepare(&format!("explain query plan {statement}")).unwrap();
        let mut steps = plan.raw_query();
        let mut details = Vec::new();
        while let Some(step) = steps.next().unwrap() {
            details.push(step.get("detail").unwrap());
        }
        details
    };
    let [first, others] = all(&tables);
    for statement in &first {
        let steps = steps(statement);
        // Those of both tables of the outbox are sorted together.
        let sorts = steps.iter().filter(|step| step.contains("TEMP B-TREE")).count();
        assert!(sorts == 0 || statement.contains("union all"), "{steps:#?}: {statement}");
    }
    assert!(others.len() > 40);
    for statement in &others {
        for step in steps(statement) {
            let is_of_all = ["x", "l", "p", "s", "e", "log", "o", "o_kept", "i"]
                .iter()
                .any(|table| step == format!("SCAN {table}") || step.starts_with(&format!("SCAN {table} ")));
            assert!(!is_of_all, "{step}: {statement}");
        }
    }
}
