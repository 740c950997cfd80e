//! Locks on database files that hold beside another SQLite library in the same process, such as
//! better-sqlite3's or node:sqlite's. `shim.c` has the calls that our SQLite is given in place of
//! the system's; `docs/design.md` has the scheme.
//!
//! Where the system has no such locks (an old kernel, a network file system) SQLite's own are
//! used, and a file that somebody else in the process has open is refused.
//!
//! Locks of Windows belong to handles: nothing to do there.

#[cfg(test)]
#[cfg(target_os = "linux")]
pub(super) mod tests;

use std::path::Path;

use crate::error::{Error, Kind, Result};

/// What a look at a file has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Its locks hold, whoever else has it open; or there is no file.
    Defended,
    /// They do not, but it is ours alone in this process.
    Alone,
    /// They do not, and somebody else has it open, or had since we opened it.
    Others,
}

/// Gives SQLite the calls, once. Before the first open of a database file.
pub(super) fn install() -> Result<()> {
    if calls::install() { Ok(()) } else { Err(Error::new(Kind::Backend, "the locks of SQLite files cannot be set up")) }
}

/// Whether the file, which is open, is to be looked at again before each use.
pub(super) fn needs_watching(path: &Path) -> bool {
    calls::look(path) != Found::Defended
}

/// The error, where somebody else's close may drop our locks, or has done so.
pub(super) fn refuse_where_unsafe(path: &Path) -> Result<()> {
    if calls::look(path) != Found::Others {
        return Ok(());
    }
    let message = format!(
        "another SQLite library (or other code) in this process has {} open, and this system has no file locks that two \
         of them in one process can share (they need Linux 3.15 and a local file system); make the store from the \
         handle that has it open, with {{ client: handle }} in place of the URL; what has been open meanwhile stays \
         refused until it is closed",
        path.display()
    );
    Err(Error::new(Kind::Unsupported, message))
}

#[cfg(unix)]
mod calls {
    use std::ffi::{CString, c_char, c_int};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::OnceLock;

    use rusqlite::ffi;

    use super::Found;

    /// A call of the system's, whatever its arguments: only handed on.
    type Call = ffi::sqlite3_syscall_ptr;

    // shim.c. The first three are called by SQLite alone, with the arguments that it gives.
    #[cfg_attr(test, allow(clashing_extern_declarations, reason = "a test calls one of them"))]
    unsafe extern "C" {
        fn sagastore_locks_open();
        fn sagastore_locks_close();
        fn sagastore_locks_fcntl();
        fn sagastore_locks_start(open: Call, close: Call, fcntl: Call) -> c_int;
        fn sagastore_locks_look(path: *const c_char) -> c_int;
    }

    pub(super) fn install() -> bool {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        *INSTALLED.get_or_init(give_calls)
    }

    fn give_calls() -> bool {
        // SAFETY: finds what SQLite has registered itself, for ever; none on another system.
        let vfs = unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) };
        // SAFETY: it is null or valid for as long as the process runs.
        let Some(of_vfs) = (unsafe { vfs.as_ref() }) else { return false };
        let (Some(get), Some(set)) = (of_vfs.xGetSystemCall, of_vfs.xSetSystemCall) else { return false };
        // SAFETY: the names are strings with a NUL, and the VFS is the one that they are asked of.
        let call = |name: &std::ffi::CStr| unsafe { get(vfs, name.as_ptr()) };
        // SAFETY: SQLite's own calls, whose types shim.c knows; `OnceLock` lets one thread in, once.
        if unsafe { sagastore_locks_start(call(c"open"), call(c"close"), call(c"fcntl")) } != 0 {
            return false;
        }
        let ours: [(&std::ffi::CStr, unsafe extern "C" fn()); 3] =
            [(c"open", sagastore_locks_open), (c"close", sagastore_locks_close), (c"fcntl", sagastore_locks_fcntl)];
        // SAFETY: they have the types of those that they replace, and are never unloaded. No file is open
        // yet: every open of one comes after `install`.
        ours.into_iter().all(|(name, call)| unsafe { set(vfs, name.as_ptr(), Some(call)) } == ffi::SQLITE_OK)
    }

    pub(super) fn look(path: &Path) -> Found {
        // A path with a NUL is none that could be opened.
        let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return Found::Defended };
        // SAFETY: a string with a NUL, which is read during the call.
        match unsafe { sagastore_locks_look(path.as_ptr()) } {
            0 => Found::Defended,
            1 => Found::Alone,
            _ => Found::Others,
        }
    }
}

#[cfg(not(unix))]
mod calls {
    use std::path::Path;

    use super::Found;

    pub(super) fn install() -> bool {
        true
    }

    pub(super) fn look(_path: &Path) -> Found {
        Found::Defended
    }
}
