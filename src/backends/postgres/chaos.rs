//! temporary
use super::tests::*;
use std::time::{Duration, Instant};
use std::collections::BTreeMap;
use bytes::Bytes;
use crate::error::Result;
use crate::store::payloads::Reply;

fn sh(s: &str) { assert!(std::process::Command::new("bash").arg("-c").arg(s).status().unwrap().success()); }
fn tally(answers: &[Result<Reply>]) -> BTreeMap<String, usize> {
    let mut m = BTreeMap::new();
    for a in answers { *m.entry(match a { Ok(_) => "ok".into(), Err(e) => format!("{} {} {:?}", e.kind().code(), e.message(), e.causes()) }).or_default() += 1; }
    m
}

#[test]
#[ignore]
fn restart() {
    let table = "chaos_restart";
    admin("drop table if exists chaos_restart");
    let store = store(table);
    block_on(store.initialize()).unwrap();
    for round in 0..3 {
        let killer = std::thread::spawn(|| { std::thread::sleep(Duration::from_millis(60)); sh("kill -9 $(head -1 /tmp/pgh/data/postmaster.pid)"); });
        let since = Instant::now();
        let mut all = Vec::new();
        while since.elapsed() < Duration::from_millis(400) {
            let t = Instant::now();
            all.extend(later(|settle| for i in 0..64 { store.put(&format!("r{round}-{i}"), Bytes::from(vec![7; 2000]), None, settle()); }));
            if t.elapsed() > Duration::from_millis(300) { println!("a batch took {:?}", t.elapsed()); }
        }
        killer.join().unwrap();
        println!("== in flight while killed: {:#?}", tally(&all));
        let t = Instant::now();
        println!("down: {:?} after {:?}", tally(&later(|s| store.find("a", s()))), t.elapsed());
        println!("down health: {:?}", block_on(store.health()));
        sh("sleep 0.3; bash /tmp/pgh/start.sh");
        println!("back: {:?}", tally(&later(|s| { for i in 0..64 { store.put(&format!("r{i}"), Bytes::from_static(b"x"), None, s()); store.find(&format!("r{i}"), s()); store.delete(&format!("q{i}"), s()); } })));
        println!("pool {:?}", block_on(store.statistics()).unwrap().pool);
        // a clean restart while idle
        sh("su postgres -c '/usr/lib/postgresql/15/bin/pg_ctl -D /tmp/pgh/data -l /tmp/pgh/log -m fast -w restart' > /dev/null");
        std::thread::sleep(Duration::from_millis(600));
        println!("after idle restart: {:?}", tally(&later(|s| { store.delete("r1", s()); for i in 0..64 { store.put(&format!("r{i}"), Bytes::from_static(b"x"), None, s()); store.find(&format!("r{i}"), s());  } })));
    }
    block_on(store.close());
}

#[test]
#[ignore]
fn stopped() {
    let table = "chaos_stop";
    admin("drop table if exists chaos_stop");
    let store = store_with(&std::env::var("POSTGRES_URL").unwrap(), table, r#", "operationTimeoutMs": 1500, "connectTimeoutMs": 800"#);
    block_on(store.initialize()).unwrap();
    later(|s| for i in 0..64 { store.put(&format!("r{i}"), Bytes::from_static(b"x"), None, s()); store.find(&format!("r{i}"), s()); });
    println!("pool {:?}", store_pool(&store));
    // only the store's backends hang
    sh("pgrep -P $(head -1 /tmp/pgh/data/postmaster.pid) -f 'postgres: app sagas' | xargs kill -STOP");
    let t = Instant::now();
    println!("hung backends: {:?} {:?}", tally(&later(|s| for i in 0..64 { store.put(&format!("r{i}"), Bytes::from_static(b"y"), None, s()); store.find(&format!("r{i}"), s()); })), t.elapsed());
    let t = Instant::now();
    println!("next: {:?} {:?}", tally(&later(|s| for i in 0..64 { store.put(&format!("s{i}"), Bytes::from_static(b"z"), None, s()); store.find(&format!("r{i}"), s()); })), t.elapsed());
    sh("pgrep -P $(head -1 /tmp/pgh/data/postmaster.pid) -f 'postgres: app sagas' | xargs kill -CONT");
    println!("then: {:?}", tally(&later(|s| for i in 0..64 { store.find(&format!("r{i}"), s()); })));
    // everything hangs, the postmaster too
    sh("kill -STOP $(pgrep -P $(head -1 /tmp/pgh/data/postmaster.pid)); kill -STOP $(head -1 /tmp/pgh/data/postmaster.pid)");
    for _ in 0..2 {
    let t = Instant::now();
    println!("all hung: {:?} {:?}", tally(&later(|s| for i in 0..64 { store.put(&format!("r{i}"), Bytes::from_static(b"y"), None, s()); store.find(&format!("r{i}"), s()); })), t.elapsed());
    }
    println!("health {:?}", block_on(store.health()));
    sh("kill -CONT $(head -1 /tmp/pgh/data/postmaster.pid); kill -CONT $(pgrep -P $(head -1 /tmp/pgh/data/postmaster.pid))");
    println!("then: {:?}", tally(&later(|s| for i in 0..64 { store.find(&format!("r{i}"), s()); store.put(&format!("r{i}"), Bytes::from_static(b"y"), None, s()); })));
    block_on(store.close());
    std::thread::sleep(Duration::from_millis(200));
    println!("left {:?}", admin("select count(*)::text from pg_stat_activity where application_name = 'sagastore'"));
}
fn store_pool(s: &crate::store::Store) -> String { format!("{:?}", block_on(s.statistics()).unwrap().pool) }

#[test]
#[ignore]
fn big() {
    let url = std::env::var("POSTGRES_URL").unwrap();
    admin("drop table if exists chaos_huge");
    let store = store_with(&url, "chaos_huge", "");
    block_on(store.initialize()).unwrap();
    let data: Vec<u8> = (0..(64 << 20)).map(|i| (i * 31 >> 3) as u8).collect();
    let t = Instant::now();
    put(&store, "huge", &data, None).unwrap();
    println!("put {:?}", t.elapsed());
    let t = Instant::now();
    assert!(find(&store, "huge").unwrap().unwrap() == data);
    println!("get {:?}", t.elapsed());
    let answers = later(|s| for i in 0..12 { store.put(&format!("h{i}"), Bytes::from(data[..20 << 20].to_vec()), None, s()); });
    println!("{:?}", tally(&answers));
    let t = Instant::now();
    let answers = later(|s| for i in 0..12 { store.find(&format!("h{i}"), s()); });
    println!("{:?} {:?}", tally(&answers), t.elapsed());
    block_on(store.close());
    admin("drop table chaos_huge");
}

#[test]
#[ignore]
fn pooler() {
    for url in std::env::var("POOLER_URLS").unwrap().split(' ') {
        println!("== {url}");
        let store = store_with(url, "chaos_pooler", "");
        println!("{:?}", block_on(store.initialize()));
        for _ in 0..3 {
        println!("{:?}", tally(&later(|s| for i in 0..200 { store.put(&format!("r{i}"), Bytes::from(vec![1; 3000]), None, s()); store.find(&format!("r{i}"), s()); store.delete(&format!("z{i}"), s()); })));
        println!("{:?}", tally(&later(|s| store.put("\u{1}", Bytes::from(vec![1; 3000]), None, s()))));
        }
        println!("{:?} {}", block_on(store.health()), store_pool(&store));
        println!("prepared {:?}", admin("select count(*)::text from pg_prepared_statements"));
        block_on(store.close());
    }
    admin("drop table if exists chaos_pooler");
}
#[test]
#[ignore]
fn tls() {
    admin("create table if not exists chaos_tls (id text primary key, data bytea not null, expires_at timestamptz)");
    for (host, q) in [("localhost", "sslmode=disable"), ("localhost", "sslmode=prefer"), ("localhost", "sslmode=require"), ("127.0.0.1", "sslmode=require&sslrootcert=/tmp/pgh/ca.pem"), ("127.0.0.1", "sslmode=verify-full&sslrootcert=/tmp/pgh/ca.pem"),
        ("localhost", "sslmode=verify-full&sslrootcert=/tmp/pgh/ca.pem"), ("localhost", "sslmode=verify-ca&sslrootcert=/tmp/pgh/other.pem"), ("localhost", "sslmode=verify-full"), ("localhost", "sslrootcert=system"), ("localhost", "sslmode=require&sslrootcert=/tmp/nofile.pem")] {
        let store = store_with(&format!("postgres://app:secret@{host}:54731/sagas?application_name=tlstest&{q}"), "chaos_tls", "");
        let r = put(&store, "a", &vec![1; 300_000], None).and_then(|()| find(&store, "a")).map(|d| d.unwrap().len());
        let on = admin("select ssl::text || ' ' || coalesce(version, '') from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'tlstest'");
        match r { Ok(n) => println!("{host} {q}: ok {n} {on:?}"), Err(e) => println!("{host} {q}: {e:?}") }
        block_on(store.close());
    }
}
