//! Where the database is, as the URL says it.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};

const FORMS: &str = "accepted: sqlite:///absolute.db, sqlite:relative.db, sqlite::memory:";

/// A database file, or memory that ends with the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// Private memory.
    Memory,
    /// A file's absolute path.
    File(PathBuf),
}

impl Location {
    /// Reads the URL. A relative path is taken from the present working directory, now:
    /// a later `chdir` does not move the database. The file system is not looked at.
    pub(super) fn from_url(url: &str) -> Result<Self> {
        let rest = url.split_once(':').map_or("", |(_, rest)| rest);
        if rest == ":memory:" {
            return Ok(Self::Memory);
        }
        if rest.contains('?') {
            return Err(Error::invalid(
                "an sqlite: URL takes no query parameters; a '?' in the file's name is written %3F",
            ));
        }
        let path = match rest.strip_prefix("//") {
            Some(path) if path.starts_with('/') => path,
            // sqlite://orders.db: "orders.db" stands where a host stands.
            Some(_) => return Err(Error::invalid(format!("an sqlite: URL has no host; {FORMS}"))),
            None => rest,
        };
        let path = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| Error::invalid("the path of an sqlite: URL must be UTF-8 once decoded"))?;
        if path.contains('\0') {
            return Err(Error::invalid("the path of an sqlite: URL must not contain a NUL character"));
        }
        if path.is_empty() || path == "/" {
            return Err(Error::invalid(format!("the sqlite: URL names no file; {FORMS}")));
        }
        let absolute = std::path::absolute(without_slash_before_drive(&path))
            .map_err(|source| Error::invalid("the working directory cannot be told").with_source(source))?;
        Ok(Self::File(absolute))
    }

    /// The file, unless it is memory.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory => None,
            Self::File(path) => Some(path),
        }
    }

    /// The path as it is shown.
    pub(super) fn shown(&self) -> String {
        self.path().map_or_else(|| String::from(":memory:"), |path| path.display().to_string())
    }
}

/// `sqlite:///C:/orders.db` on Windows.
fn without_slash_before_drive(path: &str) -> &str {
    match path.strip_prefix('/') {
        Some(rest) if cfg!(windows) && rest.as_bytes().get(1) == Some(&b':') => rest,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_three_forms() {
        assert_eq!(Location::from_url("sqlite::memory:").unwrap(), Location::Memory);
        let absolute = Location::from_url("sqlite:///var/lib/my%20sagas%3F.db").unwrap();
        assert_eq!(absolute, Location::File(PathBuf::from("/var/lib/my sagas?.db")));
        assert_eq!(Location::from_url("SQLITE:/var/a.db").unwrap().shown(), "/var/a.db");
        let relative = Location::from_url("sqlite:data/orders.db").unwrap();
        assert_eq!(relative, Location::File(std::env::current_dir().unwrap().join("data/orders.db")));
    }

    #[test]
    fn what_is_not_accepted_is_said() {
        for (url, says) in [
            ("sqlite:", "names no file"),
            ("sqlite://", "has no host"),
            ("sqlite:///", "names no file"),
            ("sqlite://orders.db", "sqlite:///absolute.db"),
            ("sqlite://:memory:", "sqlite::memory:"),
            ("sqlite:orders.db?mode=ro", "no query parameters"),
            ("sqlite:a%00b", "NUL"),
            ("sqlite:a%FFb", "UTF-8"),
        ] {
            let error = Location::from_url(url).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{url}");
            assert!(error.message().contains(says), "{url}: {error}");
        }
    }
}
