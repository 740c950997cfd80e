//! What the suite cannot see of executions: the rules in SQL against the rules as functions, rows and indexes that are
//! left over, statements that come between, and tables that python-cqrs has made.

use super::*;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::judge::{self, Known, Verdict};
use crate::contract::executions::record::{Action, Entry, Execution, Shows, Status, StepStatus};
use crate::contract::executions::{
    Attempts, Change, ClaimRuns, Creation, ExecutionRead, ExecutionStep, ExecutionWrite, Fence, LeaseChange, NewLease,
    Terms,
};
use crate::contract::operation::Work;
use crate::sql::Around;
use crate::sql::executions::Executions;
use crate::sql::executions::schema::Pair;

const TERMS: Terms = Terms { ttl_ms: Some(3_600_000), backoff_ms: 1_000, max_entries: 12, max_bytes: 10_000 };

/// Two tables of a test's own, and a pool.
struct Bench {
    pool: Arc<Pool>,
    executions: Executions,
    quoted: Arc<str>,
    tables: [String; 2],
}

impl Bench {
    /// Nothing where there is no server; with tables that exist already where statements are given that make them.
    fn open(made: impl FnOnce(&str, &str) -> String) -> Option<Self> {
        let url = server()?;
        let (t, log) = (fresh("runs"), fresh("log"));
        let sql = made(&t, &log);
        if !sql.is_empty() {
            admin(&sql);
        }
        let address = super::super::address::parse(&url).unwrap();
        let pool = Arc::new(Pool::new(address.options, 4, Duration::from_secs(5)));
        let pair = Pair { executions: Table::new(None, t.clone()), log: Table::new(None, log.clone()) };
        let quoted = pair.executions.quoted().into();
        let bench = Self { pool, executions: Executions::new(Dialect::Postgres, pair), quoted, tables: [t, log] };
        assert_eq!(bench.with(async |on| bench.executions.make_if_allowed(on).await).unwrap(), Vec::<String>::new());
        Some(bench)
    }

    fn ours() -> Option<Self> {
        Self::open(|_, _| String::new())
    }

    async fn session(&self) -> Session {
        let patience = Patience { wait: Duration::from_secs(5), trust: Duration::ZERO };
        Session::new(self.pool.checkout(patience).await.unwrap(), &self.quoted, true)
    }

    fn with<T>(&self, work: impl AsyncFnOnce(&mut Session) -> T) -> T {
        block_on(async { work(&mut self.session().await).await })
    }

    fn run(&self, step: &ExecutionStep) -> Result<Reply> {
        self.with(async |on| self.executions.run(on, step, Around::Savepoint, Millis::now()).await)
    }

    fn write(&self, write: ExecutionWrite) -> Result<Reply> {
        self.run(&Work::Write(write))
    }

    fn load(&self, id: &str) -> Dynamic {
        match self.run(&Work::Read(ExecutionRead::Load { id: id.into(), for_update: false })).unwrap() {
            Reply::Value(value) => value,
            other => panic!("{other:?}"),
        }
    }

    fn history(&self, id: &str) -> Vec<Dynamic> {
        let read =
            ExecutionRead::History { id: id.into(), after: None, limit: 100, max_bytes: 100_000, reverse: false };
        let Reply::Value(page) = self.run(&Work::Read(read)).unwrap() else { panic!("no page") };
        page.get("entries").cloned().and_then(Dynamic::into_list).unwrap()
    }

    fn count(&self, table: usize) -> String {
        admin(&format!("select count(*)::text from {}", self.tables[table])).remove(0)
    }

    fn close(self) {
        block_on(self.pool.close());
        admin(&format!("drop table {1}; drop table {0}", self.tables[0], self.tables[1]));
    }
}

fn entry(step_id: Option<&str>, status: StepStatus) -> Entry {
    Entry {
        step: "pay".into(),
        action: Action::Act,
        status,
        step_id: step_id.map(Into::into),
        details: Some("ü".into()),
        body: Some(r#"{"result":"\u0000"}"#.into()),
    }
}

fn creation(id: &str) -> Creation {
    Creation {
        id: id.into(),
        name: "Order".into(),
        status: Status::Running,
        sub_status: None,
        context: Some(r#"{"a":1}"#.into()),
        metadata: None,
        tags: vec!["eu".into()],
        entries: Vec::new(),
        due_at: None,
        lease: None,
        operation: "made".into(),
        at: Millis::now(),
        terms: TERMS,
    }
}

fn change(id: &str, operation: &str) -> Change {
    Change {
        id: id.into(),
        expected: None,
        fence: Fence::Force,
        operation: operation.into(),
        counts: true,
        context: None,
        status: None,
        sub_status: None,
        metadata: None,
        tags: None,
        entries: Vec::new(),
        due_at: None,
        last_error: None,
        lease: LeaseChange::Keep,
        attempts: Attempts::Keep,
        at: Millis::now(),
        terms: TERMS,
    }
}

fn one_of<T: Clone>(of: &[T]) -> T {
    of[fastrand::usize(..of.len())].clone()
}

fn any_change(id: &str, number: usize, version: i64) -> Change {
    use StepStatus::{Completed, Failed, Started};
    let ids = ["a", "b", "c"];
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..fastrand::usize(..3) {
        let id = fastrand::bool().then(|| one_of(&ids));
        let entry = entry(id, one_of(&[Started, Completed, Failed]));
        if entry.step_id.is_none() || entries.iter().all(|known| known.key() != entry.key()) {
            entries.push(entry);
        }
    }
    let at = Millis(Millis::now().0 - 20_000 + i64::from(fastrand::u32(..40_000)));
    let due = Some(Millis(1_900_000_000_000 + i64::from(fastrand::u32(..1_000))));
    Change {
        expected: one_of(&[None, Some(version), Some(version - 1)]),
        fence: one_of(&[Fence::Force, Fence::NeverLeased, Fence::Token("t".into())]),
        operation: format!("o{}", number - usize::from(fastrand::u8(..8) == 0)).into(),
        counts: fastrand::bool(),
        context: one_of(&[None, Some(format!(r#"{{"n":{number}}}"#).into())]),
        status: one_of(&[
            None,
            None,
            Some(Status::Pending),
            Some(Status::Running),
            Some(Status::Compensating),
            Some(Status::Completed),
            Some(Status::Failed),
        ]),
        sub_status: one_of(&[None, Some(None), Some(Some("sub".into()))]),
        metadata: one_of(&[None, Some(None), Some(Some("{}".into()))]),
        tags: one_of(&[None, Some(vec!["eu".into(), "b".into()]), Some(Vec::new())]),
        entries,
        due_at: one_of(&[None, None, Some(None), Some(due)]),
        last_error: one_of(&[None, Some(None), Some(Some("broken".into()))]),
        lease: one_of(&[
            LeaseChange::Keep,
            LeaseChange::Renew(30_000),
            LeaseChange::End { due_at: None, counted: true },
            LeaseChange::End { due_at: None, counted: false },
            LeaseChange::End { due_at: due, counted: true },
        ]),
        attempts: one_of(&[Attempts::Keep, Attempts::Increment, Attempts::Set(3)]),
        at,
        ..change(id, "")
    }
}

/// What the rules make of it, and what they answer.
fn expected(stored: &mut Execution, log: &mut Vec<Entry>, change: &Change) -> Result<Reply> {
    let place = |entry: &Entry| {
        let seq = log.iter().position(|known| entry.step_id.is_some() && known.key() == entry.key())?;
        Some(i64::try_from(seq).unwrap() + 1)
    };
    let places = change.entries.iter().enumerate().filter_map(|(at, entry)| Some((at, place(entry)?)));
    let known = Known { places: places.collect() };
    let answer = match judge::judge(stored, change, &known)? {
        Verdict::Repeated(answer) => answer,
        Verdict::Change(answer) => {
            log.extend(known.fresh(&change.entries).cloned());
            judge::apply(stored, change, &answer, Millis::now());
            answer
        }
    };
    Ok(Reply::Value(answer.into_dynamic()))
}

fn assert_same(found: &Dynamic, expected: Execution, change: &Change) {
    let expected = expected.into_dynamic(Shows::Context);
    let (Dynamic::Map(found), Dynamic::Map(expected)) = (found, &expected) else { panic!("{found:?}") };
    for ((name, found), (_, expected)) in found.iter().zip(expected) {
        let is_same = match (found, expected) {
            // The clocks of the server and of this process.
            (Dynamic::Time(found), Dynamic::Time(expected)) => (found.0 - expected.0).abs() < 5_000,
            _ => found == expected,
        };
        assert!(is_same, "{name}: {found:?} instead of {expected:?} after {change:?}");
    }
}

/// Runs random changes, and what the rules say beside them.
#[test]
fn the_rules_in_sql_are_the_rules() {
    let Some(bench) = Bench::ours() else { return };
    for round in 0..25 {
        let id = format!("s{round}");
        let mut creation = creation(&id);
        creation.status = one_of(&[Status::Pending, Status::Running]);
        creation.lease = fastrand::bool().then(|| NewLease { token: "t".into(), worker: "w".into(), lease_ms: 60_000 });
        let (mut stored, _) = judge::created(&creation, Millis::now()).unwrap();
        let mut log = Vec::new();
        bench.write(ExecutionWrite::Create(Box::new(creation))).unwrap();
        for number in 1..40 {
            let change = any_change(&id, number, stored.version);
            let expected = expected(&mut stored, &mut log, &change);
            let found = bench.write(ExecutionWrite::Change(Box::new(change.clone())));
            match (&expected, &found) {
                (Ok(expected), Ok(found)) => assert_eq!(expected, found, "{change:?} of {stored:?}"),
                (Err(expected), Err(found)) => assert_eq!(expected.kind(), found.kind(), "{found:?} {change:?}"),
                _ => panic!("{found:?} instead of {expected:?} after {change:?} of {stored:?}"),
            }
            assert_same(&bench.load(&id), stored.clone(), &change);
        }
        assert_eq!(bench.history(&id).len(), log.len());
    }
    bench.close();
}

/// A change commits while a delete waits for its row.
#[test]
fn a_delete_leaves_nothing_of_a_change_that_came_between() {
    let Some(bench) = Bench::ours() else { return };
    bench.write(ExecutionWrite::Create(Box::new(creation("s")))).unwrap();
    let mut changing = change("s", "o");
    changing.entries = vec![entry(Some("a"), StepStatus::Started), entry(None, StepStatus::Completed)];
    let changing = ExecutionWrite::Change(Box::new(changing));
    block_on(async {
        let (mut first, mut second) = (bench.session().await, bench.session().await);
        first.begin(crate::contract::capability::Isolation::ReadCommitted).await.unwrap();
        let now = Millis::now();
        bench.executions.write(&mut first, &changing, Around::Transaction, now).await.unwrap();
        let delete = ExecutionWrite::Delete { id: "s".into() };
        let deleting = bench.executions.write(&mut second, &delete, Around::Savepoint, now);
        let committing = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            first.commit().await.unwrap();
        };
        let (deleted, ()) = tokio::join!(deleting, committing);
        assert_eq!(deleted.unwrap(), Reply::Flag(true));
    });
    assert_eq!([bench.count(0), bench.count(1)], ["0", "0"]);
    bench.close();
}

/// The same entry comes twice at once: who is second finds it there.
#[test]
fn an_entry_with_an_id_that_came_between_is_stored_once() {
    let Some(bench) = Bench::ours() else { return };
    bench.write(ExecutionWrite::Create(Box::new(creation("s")))).unwrap();
    let write = |operation: &str| {
        let mut change = change("s", operation);
        change.entries = vec![entry(Some("a"), StepStatus::Started), entry(Some(operation), StepStatus::Started)];
        ExecutionWrite::Change(Box::new(change))
    };
    let (one, other) = (write("one"), write("other"));
    block_on(async {
        let (mut first, mut second) = (bench.session().await, bench.session().await);
        first.begin(crate::contract::capability::Isolation::ReadCommitted).await.unwrap();
        let now = Millis::now();
        bench.executions.write(&mut first, &one, Around::Transaction, now).await.unwrap();
        let changing = bench.executions.write(&mut second, &other, Around::Savepoint, now);
        let committing = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            first.commit().await.unwrap();
        };
        let (changed, ()) = tokio::join!(changing, committing);
        let Reply::Value(answer) = changed.unwrap() else { panic!("no answer") };
        assert_eq!(answer.get("firstSeq"), Some(&Dynamic::Int(1)));
        assert_eq!(answer.get("entries"), Some(&Dynamic::Int(3)));
    });
    assert_eq!(bench.history("s").len(), 3);
    bench.close();
}

/// As SQLAlchemy makes them of python-cqrs's models; times without zone, as older ones have them.
fn python(t: &str, log: &str) -> String {
    format!(
        "create type {t}_status as enum ('PENDING', 'RUNNING', 'COMPENSATING', 'COMPLETED', 'FAILED'); \
         create type {t}_step as enum ('STARTED', 'COMPLETED', 'FAILED', 'COMPENSATED'); \
         create table {t} (id uuid primary key, name varchar(255) not null, status {t}_status not null, context json not null, \
         version integer not null, created_at timestamp not null default now(), updated_at timestamptz not null default now(), \
         recovery_attempts integer not null default 0); \
         create table {log} (id bigint generated by default as identity primary key, saga_id uuid not null references {t} (id), \
         step_name varchar(255) not null, action varchar(50) not null, status {t}_step not null, details text, \
         created_at timestamptz not null default now()); \
         insert into {t} values ('0c1d2e3f-0000-4000-8000-00000000000a', 'Order', 'RUNNING', '{{\"a\": 1}}', 3, \
         '2026-01-02 03:04:05.678', '2026-01-02 03:04:06.789123+00', 1), \
         ('0c1d2e3f-0000-4000-8000-00000000000b', 'Order', 'COMPLETED', '{{}}', 5, now(), now(), 0); \
         insert into {log} (saga_id, step_name, action, status, details) select id, step, 'act', word::{t}_step, null from {t}, \
         (values (1, 'reserve', 'STARTED'), (2, 'reserve', 'COMPLETED')) as s(n, step, word) order by n"
    )
}

#[test]
fn tables_of_python_cqrs_are_read_and_continued() {
    let Some(bench) = Bench::open(python) else { return };
    let id = "0c1d2e3f-0000-4000-8000-00000000000a";
    let found = bench.load(id);
    for (name, value) in [
        ("sagaId", id.into()),
        ("status", "running".into()),
        ("version", Dynamic::Int(3)),
        ("entries", Dynamic::Int(2)),
        ("attempts", Dynamic::Int(1)),
        ("context", r#"{"a": 1}"#.into()),
        ("createdAt", Dynamic::Time(Millis::from_iso("2026-01-02T03:04:05.678Z").unwrap())),
        ("updatedAt", Dynamic::Time(Millis::from_iso("2026-01-02T03:04:06.789Z").unwrap())),
    ] {
        assert_eq!(found.get(name), Some(&value), "{name}");
    }
    // Their software has written on meanwhile.
    let [t, log] = &bench.tables;
    admin(&format!("insert into {log} (saga_id, step_name, action, status) values ('{id}', 'pay', 'act', 'STARTED')"));
    assert_eq!(bench.with(async |on| bench.executions.make_if_allowed(on).await).unwrap(), Vec::<String>::new());
    assert_eq!(bench.load(id).get("entries"), Some(&Dynamic::Int(3)));
    // It is under way, and nobody has it.
    let claim = ClaimRuns {
        lease: NewLease { token: "t".into(), worker: "w".into(), lease_ms: 60_000 },
        limit: 10,
        names: Some(vec!["Order".into()]),
        statuses: vec![Status::Running, Status::Compensating],
        max_attempts: 5,
        stale_after_ms: 0,
        terms: TERMS,
    };
    let Reply::Value(claimed) = bench.write(ExecutionWrite::Claim(Box::new(claim))).unwrap() else { panic!("no list") };
    assert_eq!(claimed.into_list().unwrap().len(), 1);
    let mut changing = change(&id.to_uppercase(), "o");
    changing.status = Some(Status::Compensated);
    changing.entries = vec![entry(Some("s"), StepStatus::Compensated), entry(None, StepStatus::Skipped)];
    bench.write(ExecutionWrite::Change(Box::new(changing))).unwrap();
    let rows = admin(&format!("select status::text || context::text || version from {t} where id = '{id}'"));
    assert_eq!(rows, [r#"COMPENSATED{"a": 1}4"#]);
    let rows = admin(&format!("select seq || status::text from {log} where saga_id = '{id}' order by seq"));
    assert_eq!(rows, ["1STARTED", "2COMPLETED", "3STARTED", "4COMPENSATED", "5SKIPPED"]);
    assert_eq!(bench.history(id).len(), 5);
    // A new one without a context, and an id that the column does not take.
    let made = "0c1d2e3f-0000-4000-8000-00000000000c";
    let mut creation = creation(made);
    (creation.context, creation.entries) = (None, vec![entry(None, StepStatus::Started)]);
    bench.write(ExecutionWrite::Create(Box::new(creation.clone()))).unwrap();
    assert_eq!(bench.load(made).get("context"), Some(&Dynamic::Null));
    creation.id = "order-1".into();
    let refused = bench.write(ExecutionWrite::Create(Box::new(creation))).unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidArgument);
    for id in [id, made] {
        assert_eq!(bench.write(ExecutionWrite::Delete { id: id.into() }).unwrap(), Reply::Flag(true));
    }
    let cleanup =
        ExecutionWrite::Cleanup { before: Millis::now().plus(60_000), statuses: Status::TERMINAL.to_vec(), limit: 10 };
    assert_eq!(bench.write(cleanup).unwrap(), Reply::Count(1));
    assert_eq!([bench.count(0), bench.count(1)], ["0", "0"]);
    let t = bench.tables[0].clone();
    bench.close();
    admin(&format!("drop type {t}_status; drop type {t}_step"));
}

/// Checkpoints leave the indexes alone, and claims find what is due by one.
#[test]
fn indexes_are_used_and_left_alone() {
    let Some(bench) = Bench::ours() else { return };
    let t = &bench.tables[0];
    let found = admin(&format!("select indexdef from pg_indexes where tablename = '{t}' order by 1"));
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found.iter().all(|index| !index.contains("updated_at")), "{found:?}");
    bench.write(ExecutionWrite::Create(Box::new(creation("s")))).unwrap();
    for number in 0..20 {
        let mut change = change("s", &format!("o{number}"));
        change.terms.max_entries = 1_000;
        change.entries = vec![entry(None, StepStatus::Completed)];
        bench.write(ExecutionWrite::Change(Box::new(change))).unwrap();
    }
    let hot = || {
        let sql = "select n_tup_hot_upd::text || ' of ' || n_tup_upd from pg_stat_user_tables where relname";
        admin(&format!("{sql} = '{t}'")).remove(0)
    };
    // A session tells what it has done at the end of a later statement.
    let until = Instant::now() + Duration::from_secs(15);
    while hot() != "20 of 20" && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(600));
        bench.load("s");
    }
    assert_eq!(hot(), "20 of 20");
    bench.close();
}
