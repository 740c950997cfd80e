//! Whether others write.

use super::*;

const SOON: Duration = Duration::from_secs(10);
const A_WHILE: Duration = Duration::from_millis(300);

/// Asks: the answer comes when the bell rings.
fn ask(store: &Store) -> mpsc::Receiver<()> {
    let (tell, told) = mpsc::channel();
    store.rung(move || tell.send(()).unwrap_or_default()).unwrap();
    told
}

/// Asks until nothing rings; whoever is asked then is still waiting.
fn ask_until_silent(store: &Store) -> mpsc::Receiver<()> {
    loop {
        let told = ask(store);
        if told.recv_timeout(A_WHILE).is_err() {
            return told;
        }
    }
}

#[test]
fn a_write_of_anybody_rings_also_one_between_two_questions() {
    let directory = temp();
    let store = ready(&directory);
    let other = ready(&directory);
    // What came before the first question is not known.
    ask(&store).recv_timeout(SOON).unwrap();
    let waiting = ask_until_silent(&store);
    put(&other, "one", b"1", None).unwrap();
    waiting.recv_timeout(SOON).unwrap();
    put(&store, "two", b"2", None).unwrap();
    ask(&store).recv_timeout(SOON).unwrap();
    let waiting = ask_until_silent(&store);
    foreign(&directory).execute_batch("create table beside (n integer)").unwrap();
    waiting.recv_timeout(SOON).unwrap();
}

#[test]
fn whoever_waits_hears_of_the_end() {
    let directory = temp();
    let store = ready(&directory);
    let waiting = ask_until_silent(&store);
    wait(store.close());
    waiting.recv_timeout(SOON).unwrap();
    assert!(store.rung(|| ()).is_err());
}

#[test]
fn private_memory_is_silent() {
    let store = Store::open(Some("sqlite"), r#"{"url": "sqlite::memory:"}"#).unwrap();
    assert!(ask(&store).recv_timeout(A_WHILE).is_err());
}
