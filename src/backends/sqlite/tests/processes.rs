//! What needs processes of its own: this test binary, started again with one of the
//! `child_` tests below.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;

use super::{Answers, find, foreign, get_error, open_with, put, ready, temp, wait};
use crate::error::Kind;

const DATABASE: &str = "SAGASTORE_TEST_DATABASE";

fn child(name: &str, database: &Path, as_nobody: bool) -> Command {
    let binary = std::env::current_exe().unwrap();
    let mut command = if as_nobody {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
        command
    } else {
        Command::new(binary)
    };
    let name = format!("backends::sqlite::tests::processes::{name}");
    command.args(["--exact", &name, "--ignored", "--nocapture"]).env(DATABASE, database);
    command
}

/// File modes mean nothing to root: then the child must be nobody. `None` where it cannot be.
fn must_be_nobody() -> Option<bool> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0);
    if is_root && Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("SKIPPED: a test of file modes, as root and without setpriv");
        return None;
    }
    Some(is_root)
}

fn database() -> PathBuf {
    std::env::var_os(DATABASE).expect("run by the other tests only").into()
}

#[test]
fn answered_puts_survive_a_kill() {
    let directory = temp();
    drop(ready(&directory));
    let mut writer =
        child("child_writes", &directory.path().join("sagas.db"), false).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut answered: Vec<String> = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        answered.extend(line.strip_prefix("answered ").map(str::to_owned));
        if answered.len() == 3_000 {
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    assert!(answered.len() >= 3_000);
    let store = open_with(&directory.path().join("sagas.db"), "");
    for id in answered {
        let data = find(&store, &id).unwrap().unwrap_or_else(|| panic!("{id} is lost"));
        assert_eq!(data.len(), 1_024, "{id}");
    }
    wait(store.close());
    let check: String = foreign(&directory).pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[test]
#[ignore = "started by answered_puts_survive_a_kill"]
fn child_writes() {
    let store = open_with(&database(), "");
    for n in 0_u64.. {
        let answers = Answers::new();
        let ids: Vec<String> = (0..50).map(|k| format!("{n}-{k}")).collect();
        for id in &ids {
            store.put(id, Bytes::from(vec![1; 1_024]), None, answers.settle());
        }
        for _ in &ids {
            answers.next().unwrap();
        }
        for id in &ids {
            println!("answered {id}");
        }
    }
}

#[test]
fn eight_processes_initialize_at_once() {
    let directory = temp();
    let path = directory.path().join("sagas.db");
    let children: Vec<_> = (0..8).map(|_| child("child_initializes", &path, false).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = ready(&directory);
    assert_eq!(wait(store.statistics()).unwrap().usage.unwrap().payloads, 8 * 20);
    wait(store.close());
}

#[test]
#[ignore = "started by eight_processes_initialize_at_once"]
fn child_initializes() {
    let store = open_with(&database(), "");
    assert_eq!(wait(store.initialize()).unwrap(), Vec::<String>::new());
    for n in 0..20 {
        put(&store, &format!("{}-{n}", std::process::id()), b"x", None).unwrap();
    }
    wait(store.close());
}

/// The file may not be written; the directory may or may not.
#[test]
fn a_read_only_file_serves_gets() {
    let Some(as_nobody) = must_be_nobody() else { return };
    for journal in ["wal", "delete"] {
        for directory_mode in [0o777, 0o555] {
            let directory = temp();
            let store = ready(&directory);
            put(&store, "a", b"alpha", None).unwrap();
            wait(store.close());
            foreign(&directory).pragma_update(None, "journal_mode", journal).unwrap();
            let path = directory.path().join("sagas.db");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(directory_mode)).unwrap();
            let name =
                if journal == "wal" && directory_mode == 0o555 { "child_is_refused" } else { "child_reads_only" };
            let status = child(name, &path, as_nobody).status().unwrap();
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
            assert!(status.success(), "{journal}, directory {directory_mode:o}");
        }
    }
}

#[test]
fn a_file_without_permission_is_a_connection_error() {
    let Some(as_nobody) = must_be_nobody() else { return };
    let directory = temp();
    wait(ready(&directory).close());
    let path = directory.path().join("sagas.db");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    assert!(child("child_may_not_open", &path, as_nobody).status().unwrap().success());
}

#[test]
#[ignore = "started by a_read_only_file_serves_gets"]
fn child_reads_only() {
    let store = open_with(&database(), "");
    assert_eq!(find(&store, "a").unwrap().as_deref(), Some(b"alpha".as_slice()));
    for _ in 0..2 {
        let error = put(&store, "b", b"beta", None).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false), "{error:?}");
        assert!(error.message().contains("read-only"), "{error:?}");
    }
    let warnings = wait(store.initialize()).unwrap();
    assert!(warnings[0].contains("read-only"), "{warnings:?}");
    let health = wait(store.health());
    assert!(health.status == "degraded" && health.message.as_deref().unwrap().contains("read-only"), "{health:?}");
    assert!(find(&store, "a").unwrap().is_some());
    wait(store.close());
}

/// WAL needs a place for its shared index, or somebody who has one open.
#[test]
#[ignore = "started by a_read_only_file_serves_gets"]
fn child_is_refused() {
    let store = open_with(&database(), "");
    let error = get_error(&store, "a");
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false), "{error:?}");
    assert!(error.message().contains("directory is read-only"), "{error:?}");
    wait(store.close());
}

#[test]
#[ignore = "started by a_file_without_permission_is_a_connection_error"]
fn child_may_not_open() {
    let store = open_with(&database(), "");
    for error in [get_error(&store, "a"), wait(store.initialize()).unwrap_err()] {
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Connection, false), "{error:?}");
        assert!(error.message().contains("no permission"), "{error:?}");
    }
    wait(store.close());
}
