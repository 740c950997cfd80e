//! Whether the path still leads to the file that was opened. Who removes or replaces a database that is open leaves
//! its connections with a file that nobody will ever find again: what they write is lost.
//!
//! Only `stat` is used: to open and close the file would drop the process's locks on it (POSIX). Between SQLite's own
//! open and the first look there is a moment in which a replacement goes unnoticed. A file that comes back is the same.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::location::Location;
use crate::error::{Error, Kind, Result};

/// Reads look again after this: a `stat` takes 1 us, an eighth of what a small get on the caller's thread does.
const READS_LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    device: u64,
    inode: u64,
}

impl Place {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).ok().map(|found| Self { device: found.dev(), inode: found.ino() })
    }

    /// Windows does not let go of a file that SQLite has open.
    #[cfg(not(unix))]
    fn of(_path: &Path) -> Option<Self> {
        Some(Self { device: 0, inode: 0 })
    }
}

/// The file of a database's connections.
pub(super) struct Presence {
    paths: Option<Paths>,
    /// What the first connection found; none before that.
    opened: Mutex<Option<Place>>,
    /// Its WAL, which stays where it is when the file alone is replaced.
    wal: Mutex<Option<Place>>,
    began: Instant,
    /// When it was looked at last, in microseconds since `began`.
    looked_at: AtomicU64,
}

struct Paths {
    file: PathBuf,
    wal: PathBuf,
    shm: PathBuf,
}

impl Presence {
    /// Of a database that is not open yet.
    pub(super) fn new(location: &Location) -> Self {
        let paths = location.path().map(|file| {
            let beside = |suffix: &str| {
                let mut name = file.as_os_str().to_owned();
                name.push(suffix);
                PathBuf::from(name)
            };
            Paths { file: file.to_owned(), wal: beside("-wal"), shm: beside("-shm") }
        });
        Self {
            paths,
            opened: Mutex::default(),
            wal: Mutex::default(),
            began: Instant::now(),
            looked_at: AtomicU64::new(0),
        }
    }

    fn opened(&self) -> MutexGuard<'_, Option<Place>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wal(&self) -> MutexGuard<'_, Option<Place>> {
        self.wal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection has found the file, now or before.
    pub(super) fn is_known(&self) -> bool {
        self.opened().is_some()
    }

    /// A connection has been opened. An error if it is not on the file of the others: it must be closed.
    pub(super) fn note(&self) -> Result<()> {
        let Some(paths) = &self.paths else { return Ok(()) };
        let found = Place::of(&paths.file).ok_or_else(moved)?;
        if *self.opened().get_or_insert(found) != found {
            return Err(moved());
        }
        *self.wal() = Place::of(&paths.wal);
        Ok(())
    }

    /// `CONNECTION` if the path leads elsewhere, or nowhere.
    pub(super) fn check(&self) -> Result<()> {
        let Some(paths) = &self.paths else { return Ok(()) };
        let Some(opened) = *self.opened() else { return Ok(()) };
        if Place::of(&paths.file) != Some(opened) {
            return Err(moved());
        }
        self.looked_at.store(self.micros(), Ordering::Relaxed);
        Ok(())
    }

    /// The same of a reader, which looks only now and then.
    pub(super) fn check_lately(&self) -> Result<()> {
        let since = self.micros().saturating_sub(self.looked_at.load(Ordering::Relaxed));
        if u128::from(since) < READS_LOOK_EVERY.as_micros() { Ok(()) } else { self.check() }
    }

    /// The same of a writer, whose commits stand in the WAL until they are written back. `wal` is the one in which its
    /// connection has written before: nobody removes it while that is open.
    pub(super) fn check_written(&self, wal: &mut Option<Place>) -> Result<()> {
        self.check()?;
        let Some(paths) = &self.paths else { return Ok(()) };
        let found = Place::of(&paths.wal);
        match *wal {
            Some(known) if found != Some(known) => Err(moved()),
            _ => {
                *wal = found;
                Ok(())
            }
        }
    }

    /// All connections have been closed: the next one may find another file. SQLite would take the WAL of the old one
    /// for that one's, and write its pages into it.
    pub(super) fn forget(&self) {
        let (opened, wal) = (self.opened().take(), self.wal().take());
        let Some(paths) = self.paths.as_ref().filter(|paths| Place::of(&paths.file) != opened) else { return };
        if wal.is_some() && Place::of(&paths.wal) == wal {
            for left in [&paths.wal, &paths.shm] {
                if let Err(error) = std::fs::remove_file(left) {
                    tracing::debug!(%error, "sqlite: nothing left of a file that has moved");
                }
            }
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn moved() -> Error {
    let message = "the database file, or its WAL, was removed or replaced while it was open; what was written then is \
                   in the old one. initialize() opens what is there now";
    Error::new(Kind::Connection, message).retryable(false)
}
