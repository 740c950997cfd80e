//! Connection strings: which backend a URL names, and what of it must never be shown.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::{Error, Result};

/// The backends, by the name that errors and logs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The process's own memory.
    Memory,
    /// An SQLite file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// Redis: single, Sentinel or Cluster.
    Redis,
    /// MongoDB, and servers that speak its protocol.
    Mongodb,
    /// DynamoDB.
    Dynamodb,
}

impl Backend {
    /// Every backend.
    pub const ALL: [Self; 6] = [Self::Memory, Self::Sqlite, Self::Postgres, Self::Redis, Self::Mongodb, Self::Dynamodb];

    /// The name in errors and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Mongodb => "mongodb",
            Self::Dynamodb => "dynamodb",
        }
    }

    /// The URL schemes that choose it.
    pub const fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Memory => &["memory"],
            Self::Sqlite => &["sqlite"],
            Self::Postgres => &["postgres", "postgresql"],
            Self::Redis => &["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"],
            Self::Mongodb => &["mongodb", "mongodb+srv"],
            Self::Dynamodb => &["dynamodb"],
        }
    }

    /// The backend of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|backend| backend.name() == name)
    }

    /// The backend that a URL's scheme names.
    pub fn of_url(url: &str) -> Result<Self> {
        let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        let found = scheme
            .as_deref()
            .and_then(|scheme| Self::ALL.into_iter().find(|backend| backend.schemes().contains(&scheme)));
        found.ok_or_else(|| {
            let accepted: Vec<String> =
                Self::ALL.iter().flat_map(|backend| backend.schemes()).map(|scheme| format!("{scheme}:")).collect();
            let given = match scheme {
                // What stands before a colon is a scheme only if it looks like one and "//" follows;
                // anything else may be a password and is not repeated.
                Some(scheme) if url[scheme.len()..].starts_with("://") => format!("unknown scheme '{scheme}:'"),
                _ => String::from("the connection string has no scheme"),
            };
            Error::invalid(format!("{given}; accepted: {}", accepted.join(", ")))
        })
    }
}

/// Refuses what no driver reads as it is meant: without `//` a URL has no user, password or host, and an `@` behind
/// the host is a password whose `/`, `?` or `#` is not percent-encoded, so that the rest of it is taken for the path.
pub fn check(backend: Backend, url: &str) -> Result<()> {
    if matches!(backend, Backend::Memory | Backend::Sqlite) {
        return Ok(());
    }
    let Some((_, rest)) = url.split_once(':').filter(|(_, rest)| rest.starts_with("//")) else {
        let scheme = backend.schemes()[0];
        return Err(Error::invalid(format!("the connection string has no '//' behind its scheme ({scheme}://host)")));
    };
    let rest = &rest[2..];
    let tail = &rest[rest.find(['/', '?', '#']).unwrap_or(rest.len())..];
    let (tail, fragment) = tail.split_once('#').unwrap_or((tail, ""));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or(""));
    if path.contains('@') || fragment.contains('@') || names.any(|name| name.contains('@')) {
        return Err(Error::invalid(
            "the connection string has an '@' behind its host: a '/', '?' or '#' in a user name or password must be \
             percent-encoded ('%2F', '%3F', '%23'), and so must an '@' in a path ('%40')",
        ));
    }
    Ok(())
}

/// Names of query parameters whose values are secrets.
fn is_secret(parameter: &str) -> bool {
    let name = parameter.to_ascii_lowercase();
    // MongoDB's mechanism properties may hold a session token.
    ["password", "secret", "token", "accesskey", "mechanismproperties"].iter().any(|word| name.contains(word))
}

/// Stands for a list of hosts (`a:1,b:2`), and for none (`user@/database`): to a URL parser both are no host.
const HOSTS: &str = "several-hosts.invalid";

/// The URL, and its hosts where there are several of them, or none: [`HOSTS`] is in their place.
fn parse(url: &str) -> Option<(Url, Option<&str>)> {
    // Without `//` all of it is a path to the parser: a file's, or a password and anything else.
    let backend = Backend::of_url(url).ok();
    if backend.is_none_or(|backend| check(backend, url).is_err()) {
        return None;
    }
    if let Ok(parsed) = Url::parse(url) {
        return Some((parsed, None));
    }
    let (scheme, rest) = url.split_once("://")?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    if !hosts.contains(',') && !hosts.is_empty() && !hosts.starts_with(':') {
        return None;
    }
    let parsed = Url::parse(&format!("{scheme}://{user}{HOSTS}{tail}")).ok()?;
    Some((parsed, Some(hosts)))
}

/// The name of a query parameter that nobody knows, for messages: empty, if it may be something else (a part of a
/// password with an unescaped `?`). No name of a parameter has a digit.
pub fn shown_parameter(name: &str) -> String {
    let is_name =
        (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphabetic() || b"_-.".contains(&b));
    if is_name { format!(" '{name}'") } else { String::new() }
}

/// The URL without its secrets, for `inspect` and messages.
pub fn sanitized(url: &str) -> String {
    let Some((mut parsed, hosts)) = parse(url) else {
        return url.split_once(':').map_or_else(String::new, |(scheme, _)| format!("{scheme}:***"));
    };
    if parsed.password().is_some() && parsed.set_password(Some("***")).is_err() {
        return format!("{}:***", parsed.scheme());
    }
    if parsed.query().is_some_and(|query| query.split('&').any(|pair| is_secret(pair.split('=').next().unwrap_or(""))))
    {
        let pairs: Vec<String> = parsed
            .query_pairs()
            .map(|(name, value)| if is_secret(&name) { format!("{name}=***") } else { format!("{name}={value}") })
            .collect();
        parsed.set_query(Some(&pairs.join("&")));
    }
    hosts.map_or_else(|| parsed.to_string(), |hosts| parsed.as_str().replacen(HOSTS, hosts, 1))
}

/// The secrets in a URL, as written and as decoded: what errors must not contain.
pub fn secrets(url: &str) -> Vec<String> {
    let Some((parsed, _)) = parse(url) else { return Vec::new() };
    let mut found: Vec<String> = Vec::new();
    if let Some(password) = parsed.password() {
        found.push(password.to_owned());
        found.push(percent_decode_str(password).decode_utf8_lossy().into_owned());
    }
    found.extend(parsed.query_pairs().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.into_owned()));
    found.retain(|secret| !secret.is_empty());
    found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    found.dedup();
    found
}

/// A secret this long is hidden wherever it stands; a shorter one only where it stands alone,
/// because "p" is in every other word.
const UNMISTAKABLE: usize = 6;

/// Replaces secrets in a text that goes to the caller.
pub fn redact(text: &str, secrets: &[String]) -> String {
    let mut shown = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let mut from = 0;
        while let Some(at) = shown[from..].find(secret.as_str()).map(|at| from + at) {
            let end = at + secret.len();
            let within_a_word =
                shown[..at].ends_with(char::is_alphanumeric) || shown[end..].starts_with(char::is_alphanumeric);
            if within_a_word && secret.len() < UNMISTAKABLE {
                from = end;
            } else {
                shown.replace_range(at..end, "***");
                from = at + 3;
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_scheme_chooses_the_backend() {
        for (url, backend) in [
            ("memory://", Backend::Memory),
            ("memory://orders", Backend::Memory),
            ("sqlite:///var/orders.db", Backend::Sqlite),
            ("sqlite::memory:", Backend::Sqlite),
            ("sqlite:orders.db", Backend::Sqlite),
            ("postgresql://localhost/orders", Backend::Postgres),
            ("rediss-cluster://localhost:7000", Backend::Redis),
            ("mongodb+srv://cluster.example.com/orders", Backend::Mongodb),
        ] {
            assert_eq!(Backend::of_url(url).unwrap(), backend, "{url}");
        }
    }

    #[test]
    fn an_unknown_scheme_names_the_accepted_ones_and_no_password() {
        let error = Backend::of_url("mysql://root:hunter2@db/orders").unwrap_err();
        assert!(error.message().contains("unknown scheme 'mysql:'"), "{error}");
        assert!(error.message().contains("postgresql:"), "{error}");
        for url in ["hunter2:6379", "hunter2", "", ":hunter2@host"] {
            let error = Backend::of_url(url).unwrap_err();
            assert!(!error.message().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_and_never_shown() {
        for url in [
            "postgres:u:hunter2@h:1/db",
            "postgres:/u:hunter2@h:1/db",
            "postgresql:hunter2@h",
            "redis:u:hunter2@h:6379",
            "rediss-cluster:/u:hunter2@h:6379",
            "mongodb:u:hunter2@h/db",
            "dynamodb:hunter2@eu-west-1/t",
            "postgres://u:12/hunter2@h/db",
            "redis://u:12?hunter2@h",
            "mongodb://u:12#hunter2@h",
            "postgres://u:p@x/hunter2@h/db",
        ] {
            let backend = Backend::of_url(url).unwrap();
            let error = check(backend, url).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::InvalidArgument, "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{url}");
            assert!(!sanitized(url).contains("hunter2"), "{}", sanitized(url));
        }
        for url in [
            "memory:x",
            "sqlite:a@b.db",
            "sqlite::memory:",
            "postgresql:///db?host=/run/postgresql&user=a@b",
            "postgres://u:p%2F@h/d%40",
            "mongodb://u:p@a,b/?replicaSet=r",
            "dynamodb://?endpoint=http://127.0.0.1:1",
        ] {
            check(Backend::of_url(url).unwrap(), url).unwrap();
        }
    }

    #[test]
    fn secrets_are_hidden() {
        let url = "redis-sentinel://app:p%40ss@h:26379/1?sentinelServiceName=m&sentinelPassword=s3cret";
        let shown = sanitized(url);
        assert!(!shown.contains("p%40ss") && !shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("sentinelServiceName=m"), "{shown}");
        let hidden = secrets(url);
        for secret in ["p%40ss", "p@ss", "s3cret"] {
            assert!(hidden.iter().any(|hidden| hidden == secret), "{secret}");
        }
        assert_eq!(sanitized("postgres://app@h/db"), "postgres://app@h/db");
        let url = "mongodb://app:p%40ss@a:1,b:2,[::1]:3/db?authMechanismProperties=AWS_SESSION_TOKEN:abc&w=1";
        assert_eq!(sanitized(url), "mongodb://app:***@a:1,b:2,[::1]:3/db?authMechanismProperties=***&w=1");
        assert_eq!(secrets(url), ["AWS_SESSION_TOKEN:abc", "p%40ss", "p@ss"]);
        let url = "postgres://app:p%40ss@/db?host=/cloudsql/shop:eu:db";
        assert_eq!(sanitized(url), "postgres://app:***@/db?host=/cloudsql/shop:eu:db");
        assert_eq!(secrets(url), ["p%40ss", "p@ss"]);
        assert_eq!(sanitized("postgres://app:secret@:6432/db"), "postgres://app:***@:6432/db");
    }

    #[test]
    fn short_secrets_do_not_garble_words() {
        let secrets = [String::from("p")];
        assert_eq!(redact("failed to look up: postgres://u:p@h", &secrets), "failed to look up: postgres://u:***@h");
        assert_eq!(redact("xhunter2y", &[String::from("hunter2")]), "x***y");
    }

    proptest! {
        #[test]
        fn no_password_survives(password in "[a-zA-Z0-9]{6,20}") {
            let url = format!("postgres://app:{password}@localhost/orders");
            prop_assert!(!sanitized(&url).contains(&password));
            prop_assert_eq!(secrets(&url), vec![password]);
        }
    }
}
