//! Against the system calls that another SQLite in this process would make: its locks are the
//! process's, and its close is a close of some other descriptor of the file.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::super::connection::{self, Durability};
use super::super::location::Location;
use super::Found;

/// Bytes that SQLite locks: its file format says which.
const SHARED: (i64, i64) = (0x4000_0002, 510);
const WAL_WRITE: (i64, i64) = (120, 1);
const WHOLE: (i64, i64) = (0, 0);

fn database(directory: &TempDir) -> PathBuf {
    directory.path().join("sagas.db")
}

fn shared_memory(path: &Path) -> PathBuf {
    path.with_extension("db-shm")
}

fn open(path: &Path) -> Connection {
    connection::open(&Location::File(path.to_owned()), Durability::Normal, None, true).unwrap()
}

fn open_with_table(path: &Path) -> Connection {
    let connection = open(path);
    connection.execute_batch("create table if not exists t (n)").unwrap();
    connection
}

/// What another library does: a descriptor of its own, and locks of the process.
fn others(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

fn lock_of(kind: i32, (start, length): (i64, i64)) -> libc::flock {
    // SAFETY: plain integers, for which 0 is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(kind).unwrap();
    lock.l_whence = i16::try_from(libc::SEEK_SET).unwrap();
    (lock.l_start, lock.l_len) = (start, length);
    lock
}

fn lock(file: &File, kind: i32, range: (i64, i64)) -> io::Result<()> {
    let lock = lock_of(kind, range);
    // SAFETY: an open descriptor and a whole structure.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The kind of lock that anybody has on the range.
fn held(file: &File, range: (i64, i64)) -> i32 {
    let mut lock = lock_of(libc::F_WRLCK, range);
    // SAFETY: as above. A description that has no lock itself is told of every other.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) }, 0);
    i32::from(lock.l_type)
}

/// The descriptors of the file that the process has open.
fn descriptors(path: &Path) -> Vec<RawFd> {
    let wanted = fs::metadata(path).unwrap();
    let numbers = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name());
    let is_it = |number: &String| {
        fs::metadata(format!("/proc/self/fd/{number}"))
            .is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()))
    };
    numbers.filter_map(|number| number.into_string().ok()).filter(is_it).map(|number| number.parse().unwrap()).collect()
}

#[test]
fn two_libraries_see_each_others_locks() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(&directory);
    let ours = open_with_table(&path);
    let theirs = others(&shared_memory(&path));
    ours.execute_batch("begin immediate").unwrap();
    assert!(lock(&theirs, libc::F_WRLCK, WAL_WRITE).is_err());
    ours.execute_batch("commit").unwrap();
    lock(&theirs, libc::F_WRLCK, WAL_WRITE).unwrap();
    assert!(super::super::error::is_busy(&ours.execute_batch("begin immediate").unwrap_err()));
    lock(&theirs, libc::F_UNLCK, WAL_WRITE).unwrap();
    ours.execute_batch("begin immediate; rollback").unwrap();
}

#[test]
fn the_close_of_another_descriptor_drops_no_lock_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(&directory);
    let ours = open_with_table(&path);
    ours.execute_batch("begin immediate").unwrap();
    for file in [path.clone(), shared_memory(&path)] {
        drop(others(&file));
    }
    assert!(lock(&others(&shared_memory(&path)), libc::F_WRLCK, WAL_WRITE).is_err());
    assert!(lock(&others(&path), libc::F_WRLCK, SHARED).is_err(), "a connection in WAL mode");
}

#[test]
fn our_close_drops_no_lock_of_others_and_descriptors_go_when_it_can_drop_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(&directory);
    drop(open_with_table(&path));
    assert!(descriptors(&path).is_empty());

    let theirs = others(&path);
    lock(&theirs, libc::F_RDLCK, SHARED).unwrap();
    let watcher = others(&path);
    drop(open_with_table(&path));
    let kept = descriptors(&path);
    assert!(kept.len() > 2, "they are kept: {kept:?}");
    assert_eq!(held(&watcher, SHARED), libc::F_RDLCK);
    assert_eq!(held(&watcher, (0, 0x4000_0000)), libc::F_UNLCK, "of ours none is left");
    for _ in 0..5 {
        drop(open_with_table(&path));
    }
    assert_eq!(descriptors(&path).len(), kept.len(), "they are used again");
    assert_eq!(held(&watcher, SHARED), libc::F_RDLCK);

    drop((theirs, watcher));
    drop(open_with_table(&path));
    assert!(descriptors(&path).is_empty());
}

#[test]
fn a_database_that_is_not_in_wal_mode_keeps_its_descriptors_until_it_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(&directory);
    let ours = open_with_table(&path);
    ours.execute_batch("pragma journal_mode = delete").unwrap();
    drop(ours);
    let kept = descriptors(&path);
    assert!(!kept.is_empty());
    assert_eq!(held(&others(&path), WHOLE), libc::F_UNLCK);
    let link = path.with_extension("link");
    fs::hard_link(&path, &link).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(descriptors(&link), kept);

    // The name is another file's now, which gets an entry of its own.
    let new = open_with_table(&path);
    let count: u32 = new.query_row("select count(*) from t", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 0);
    let watcher = File::open(&link).unwrap();
    fs::remove_file(&link).unwrap();
    drop(new);
    let old = format!("/proc/self/fd/{}", watcher.as_raw_fd());
    assert_eq!(descriptors(Path::new(&old)), [watcher.as_raw_fd()]);
}

#[test]
fn a_database_may_have_the_name_of_a_journal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("orders-wal");
    let ours = open_with_table(&path);
    ours.execute_batch("begin immediate").unwrap();
    drop(others(&path));
    assert!(lock(&others(&path), libc::F_WRLCK, SHARED).is_err());
}

unsafe extern "C" {
    fn sagastore_locks_fcntl(fd: RawFd, command: i32, ...) -> i32;
    fn sagastore_locks_judge_by(other: unsafe extern "C" fn(*const std::ffi::c_char) -> i32);
}

#[test]
fn a_forked_process_has_no_locks_and_keeps_none_alive() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(&directory);
    let (ours, second) = (open_with_table(&path), open(&path));
    let before = descriptors(&path);
    assert_eq!(before.len(), 3, "two connections, and the lock's");
    // SAFETY: the child makes system calls only, through functions that do nothing else there.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: asks of a number whether it is open.
        let is_open = |fd: &RawFd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0;
        let left: Vec<RawFd> = before.iter().copied().filter(is_open).collect();
        let mut lock = lock_of(libc::F_RDLCK, SHARED);
        // SAFETY: an open descriptor and a whole structure.
        let is_refused = |fd: &RawFd| unsafe { sagastore_locks_fcntl(*fd, libc::F_SETLK, &raw mut lock) } == -1;
        let is_right = left.iter().all(is_refused) && left.len() == 2;
        // SAFETY: ends the child here, without what the test binary would do at its end.
        unsafe { libc::_exit(i32::from(!is_right)) };
    }
    let mut status = 0;
    // SAFETY: our own child, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert!(lock(&others(&path), libc::F_WRLCK, SHARED).is_err(), "the parent's lock stays");
    ours.execute_batch("insert into t values (1)").unwrap();
    drop((ours, second));
}

/// Files in a directory of this name count as ones that nothing defends.
const UNDEFENDED: &str = "undefended";

unsafe extern "C" fn judges(path: *const std::ffi::c_char) -> i32 {
    // SAFETY: shim.c gives the path that it was given.
    let path = unsafe { std::ffi::CStr::from_ptr(path) };
    i32::from(path.to_bytes().windows(UNDEFENDED.len()).any(|part| part == UNDEFENDED.as_bytes()))
}

/// A directory whose files are not defended, as on a network file system.
pub(in crate::backends::sqlite) fn undefended() -> TempDir {
    assert!(super::calls::install());
    // SAFETY: a function that lives as long as the process.
    unsafe { sagastore_locks_judge_by(judges) };
    tempfile::Builder::new().prefix(UNDEFENDED).tempdir().unwrap()
}

#[test]
fn what_nothing_defends_is_watched() {
    let directory = undefended();
    let path = database(&directory);
    assert_eq!(super::calls::look(&path), Found::Defended, "there is no file");
    let ours = open_with_table(&path);
    assert_eq!(super::calls::look(&path), Found::Alone);
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a string with a NUL. Such a descriptor drops nothing when it is closed.
    let looking = unsafe { libc::open(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    assert_eq!(super::calls::look(&path), Found::Alone);
    // SAFETY: opened above.
    unsafe { libc::close(looking) };
    let theirs = OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC).open(&path).unwrap();
    assert_eq!(super::calls::look(&path), Found::Others);
    drop(theirs);
    assert_eq!(super::calls::look(&path), Found::Others, "its close has dropped ours");
    drop(ours);
    assert!(descriptors(&path).is_empty());
    let ours = open_with_table(&path);
    assert_eq!(super::calls::look(&path), Found::Alone, "opened anew");
    drop(ours);
    let _theirs = others(&path);
    let refused = connection::open(&Location::File(path.clone()), Durability::Full, None, true).unwrap_err();
    let error = refused.into_error();
    assert_eq!(error.kind(), crate::error::Kind::Unsupported);
    assert!(error.message().contains("{ client: handle }"), "{error}");
}
