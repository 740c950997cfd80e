//! The connection string, read as libpq reads it. What the driver would ignore or do in
//! another way than libpq is refused or translated here.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::error::{Error, Result};

/// Query parameters of a connection string.
const ACCEPTED: [&str; 18] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "gssencmode",
    "host",
    "hostaddr",
    "options",
    "password",
    "pgbouncer",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement_cache_capacity",
    "target_session_attrs",
    "user",
];

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Where a pool connects to, and how.
pub(super) struct Address {
    /// The driver's options.
    pub(super) options: PgConnectOptions,
    /// `connect_timeout`, where the URL has one.
    pub(super) connect_timeout: Option<Duration>,
    /// False with `statement_cache_capacity=0` and with `pgbouncer=true`: a pooler may run each transaction on
    /// another server connection, so nothing can be prepared for later.
    pub(super) prepared: bool,
    /// `pgbouncer=true`: a session does not outlive its transaction, so `LISTEN` would hear nothing.
    pub(super) pooled: bool,
}

/// Reads a connection string. No error shows any of it but the names of its parameters.
pub(super) fn parse(text: &str) -> Result<Address> {
    let invalid = || {
        Error::invalid(
            "the PostgreSQL connection string cannot be read; it is postgres://user:password@host:port/database?parameters",
        )
    };
    let (text, outside) = without_host(text);
    let mut url = Url::parse(&text).map_err(|_| invalid())?;
    if url.host_str().is_some_and(|host| host.contains(',')) {
        return Err(several_hosts());
    }
    let mut pairs = outside.ok_or_else(invalid)?;
    pairs.extend(url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())));
    let mut connect_timeout = None;
    let mut pooled = false;
    let mut capacity = None;
    let mut ssl_mode = None;
    let mut root = Root::Default;
    url.set_query(None);
    for (name, value) in pairs {
        match name.as_str() {
            "connect_timeout" => {
                let seconds: u64 = value.parse().map_err(|_| wrong(&name, "a number of seconds"))?;
                connect_timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
                continue;
            }
            "statement_cache_capacity" | "statement-cache-capacity" => {
                capacity = Some(
                    value
                        .parse::<u16>()
                        .map_err(|_| wrong("statement_cache_capacity", "a number of statements up to 65535"))?,
                );
                continue;
            }
            // The driver can do one thing only: what asks for another is refused.
            "channel_binding" | "gssencmode" if ["disable", "prefer"].contains(&&*value) => continue,
            "channel_binding" => {
                return Err(wrong(
                    &name,
                    "disable or prefer: the driver logs in without channel binding, so it cannot be required; \
                     sslmode=verify-full makes sure of the server by its certificate",
                ));
            }
            "pgbouncer" => {
                pooled = value.parse().map_err(|_| wrong(&name, "true or false"))?;
                continue;
            }
            "gssencmode" => return Err(wrong(&name, "disable or prefer (GSSAPI is not supported)")),
            "target_session_attrs" if value == "any" => continue,
            "target_session_attrs" => return Err(wrong(&name, "any")),
            "sslmode" => {
                let mode = value.to_ascii_lowercase();
                if !SSL_MODES.contains(&&*mode) {
                    return Err(wrong(&name, &SSL_MODES.join(", ")));
                }
                ssl_mode = Some(mode);
                continue;
            }
            "sslrootcert" if value == "system" => {
                root = Root::System;
                continue;
            }
            "sslrootcert" => root = Root::File,
            "port" if value.parse::<u16>().is_err() => return Err(wrong(&name, "a port number")),
            "host" | "hostaddr" if value.contains(',') => return Err(several_hosts()),
            "schema" => {
                return Err(Error::invalid(
                    "unknown parameter 'schema' in the connection string; give the option 'schema' instead",
                ));
            }
            known if ACCEPTED.contains(&known) || is_setting(known) => {}
            unknown => {
                let shown: String = unknown.chars().take(60).collect();
                return Err(Error::invalid(format!(
                    "unknown parameter '{shown}' in the connection string; accepted: {}",
                    ACCEPTED.join(", ")
                )));
            }
        }
        url.query_pairs_mut().append_pair(&name, &value);
    }
    // Errors of the driver may repeat parts of the URL: they are dropped.
    let options = PgConnectOptions::from_url(&url).map_err(|_| invalid())?;
    // Poolers refuse startup parameters that they do not know, and no float is ever read here.
    let mut options = options.disable_statement_logging().extra_float_digits(None);
    if let Some(mode) = effective_mode(ssl_mode.as_deref(), root)? {
        options = options.ssl_mode(mode);
    }
    // No server speaks TLS on a socket: libpq does not ask for it there, whatever sslmode says.
    if options.get_socket().is_some() || options.get_host().starts_with('/') {
        options = options.ssl_mode(PgSslMode::Disable);
    }
    let capacity = kept_statements(capacity, pooled)?;
    if let Some(capacity) = capacity {
        options = options.statement_cache_capacity(usize::from(capacity));
    }
    if options.get_application_name().is_none() {
        options = options.application_name("sagastore");
    }
    Ok(Address { options, connect_timeout, prepared: capacity != Some(0), pooled })
}

/// `user:password@/database`, with or without a port, is no URL to the parser: without its authority it is one. Beside
/// it stands what was there, as parameters; `None` if that cannot be read.
fn without_host(text: &str) -> (Cow<'_, str>, Option<Vec<(String, String)>>) {
    let unchanged = || (Cow::Borrowed(text), Some(Vec::new()));
    let Some((scheme, rest)) = text.split_once("://") else { return unchanged() };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (credentials, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let port = place.strip_prefix(':').unwrap_or_default();
    if authority.is_empty() || !(place.is_empty() || place.starts_with(':')) {
        return unchanged();
    }
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut outside = Vec::new();
    for (name, value) in [("user", user), ("password", password), ("port", port)] {
        let Ok(value) = percent_decode_str(value).decode_utf8() else { return (Cow::Borrowed(text), None) };
        if !value.is_empty() {
            outside.push((name.to_owned(), value.into_owned()));
        }
    }
    let slash = if tail.starts_with('/') { "" } else { "/" };
    (Cow::Owned(format!("{scheme}://{slash}{tail}")), Some(outside))
}

/// How many statements are kept, where it is said: none behind a pooler.
fn kept_statements(given: Option<u16>, pooled: bool) -> Result<Option<u16>> {
    match given {
        Some(1..) if pooled => Err(wrong("statement_cache_capacity", "0 with pgbouncer=true")),
        _ if pooled => Ok(Some(0)),
        given => Ok(given),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    Default,
    File,
    System,
}

/// As libpq has it: with a CA file `require` means `verify-ca`, with `system` only `verify-full` will do.
fn effective_mode(given: Option<&str>, root: Root) -> Result<Option<PgSslMode>> {
    let mode = match (given, root) {
        (None, Root::System) => PgSslMode::VerifyFull,
        (None, _) => return Ok(None),
        (Some(mode), Root::System) if mode != "verify-full" => {
            return Err(wrong("sslmode", "verify-full with sslrootcert=system"));
        }
        (Some("require"), Root::File) => PgSslMode::VerifyCa,
        (Some(mode), _) => mode.parse().map_err(|_| wrong("sslmode", &SSL_MODES.join(", ")))?,
    };
    Ok(Some(mode))
}

/// `options[name]=value`: a setting of the session.
fn is_setting(name: &str) -> bool {
    name.strip_prefix("options[").and_then(|rest| rest.strip_suffix(']')).is_some_and(|setting| !setting.is_empty())
}

fn several_hosts() -> Error {
    Error::invalid("a connection string with several hosts is not supported")
}

fn wrong(name: &str, wanted: &str) -> Error {
    Error::invalid(format!("parameter '{name}' of the connection string must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn refused(url: &str) -> String {
        let Err(error) = parse(url) else { panic!("{url} was accepted") };
        assert_eq!(error.kind(), Kind::InvalidArgument);
        assert!(!error.message().contains("hunter2") && error.causes().is_empty(), "{error:?}");
        error.message().to_owned()
    }

    #[test]
    fn reads_what_libpq_reads() {
        let address = parse(
            "postgresql://app:p%40ss@db.example:6432/orders?sslmode=require&connect_timeout=7&application_name=shop",
        )
        .unwrap();
        let options = &address.options;
        assert_eq!((options.get_host(), options.get_port()), ("db.example", 6432));
        assert_eq!((options.get_username(), options.get_database()), ("app", Some("orders")));
        assert_eq!(options.get_application_name(), Some("shop"));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Require));
        assert_eq!(address.connect_timeout, Some(Duration::from_secs(7)));
        assert!(address.prepared);
        let socket = parse("postgres:///orders?host=/var/run/postgresql&user=app&options[search_path]=sagas").unwrap();
        assert!(socket.options.get_socket().is_some());
        assert_eq!(socket.options.get_application_name(), Some("sagastore"));
    }

    #[test]
    fn a_pooler_turns_prepared_statements_off() {
        let of = |query: &str| {
            let address = parse(&format!("postgres://h/d?{query}")).unwrap();
            (address.prepared, address.pooled)
        };
        assert_eq!(of("statement_cache_capacity=0"), (false, false));
        assert_eq!(of("statement_cache_capacity=10"), (true, false));
        assert_eq!(of("pgbouncer=true"), (false, true));
        assert_eq!(of("pgbouncer=true&statement_cache_capacity=0"), (false, true));
        assert_eq!(of("pgbouncer=false&statement_cache_capacity=10"), (true, false));
        assert!(refused("postgres://h/d?pgbouncer=true&statement_cache_capacity=10").contains("pgbouncer=true"));
        assert!(refused("postgres://h/d?pgbouncer=yes").contains("true or false"));
    }

    #[test]
    fn a_user_without_a_host_is_read() {
        let address = parse("postgres://app:p%40s+s@/orders?host=/cloudsql/shop:eu:db").unwrap();
        let options = &address.options;
        assert_eq!(options.get_socket().map(|path| path.to_string_lossy()), Some("/cloudsql/shop:eu:db".into()));
        assert_eq!((options.get_username(), options.get_database()), ("app", Some("orders")));
        let url = options.to_url_lossy();
        assert_eq!(url.password(), Some("p%40s%2Bs"));
        let with_port = parse("postgres://app@:6432?host=db.example&dbname=orders").unwrap().options;
        assert_eq!((with_port.get_host(), with_port.get_port()), ("db.example", 6432));
        assert_eq!((with_port.get_username(), with_port.get_database()), ("app", Some("orders")));
        let given_twice = parse("postgres://app@/d?user=other&host=h").unwrap().options;
        assert_eq!(given_twice.get_username(), "other");
        assert!(refused("postgres://app:hunter2@:port/d").contains("port"));
    }

    #[test]
    fn a_socket_has_no_tls() {
        for url in [
            "postgres:///d?host=/run/postgresql&sslmode=require",
            "postgres://app:secret@/d?host=/cloudsql/x&sslmode=verify-full&sslrootcert=/ca.pem",
            "postgres://%2Frun%2Fpostgresql/d?sslmode=require",
        ] {
            assert!(matches!(parse(url).unwrap().options.get_ssl_mode(), PgSslMode::Disable), "{url}");
        }
        let on_a_host = parse("postgres://h/d?sslmode=require").unwrap().options;
        assert!(matches!(on_a_host.get_ssl_mode(), PgSslMode::Require));
        assert!(refused("postgres:///d?host=/run/postgresql&sslmode=always").contains("sslmode"));
    }

    #[test]
    fn verification_is_never_weaker_than_libpq() {
        let mode = |query: &str| parse(&format!("postgres://h/d?{query}")).unwrap().options.get_ssl_mode();
        assert!(matches!(mode("sslmode=require&sslrootcert=/ca.pem"), PgSslMode::VerifyCa));
        assert!(matches!(mode("sslmode=verify-full&sslrootcert=/ca.pem"), PgSslMode::VerifyFull));
        assert!(matches!(mode("sslrootcert=system"), PgSslMode::VerifyFull));
        assert!(refused("postgres://h/d?sslmode=require&sslrootcert=system").contains("verify-full"));
    }

    #[test]
    fn refuses_what_it_would_have_to_ignore_and_shows_no_secret() {
        assert!(refused("postgres://app:hunter2@h/d?sslmod=require").contains("unknown parameter 'sslmod'"));
        assert!(refused("postgres://app:hunter2@h/d?sslmod=require").contains("statement_cache_capacity"));
        assert!(refused("postgres://app:hunter2@h/d?schema=public").contains("option 'schema'"));
        assert!(refused("postgres://app:hunter2@h/d?sslmode=no-verify").contains("verify-full"));
        let bound = refused("postgres://app:hunter2@h/d?channel_binding=require");
        assert!(bound.contains("'channel_binding'") && bound.contains("sslmode=verify-full"), "{bound}");
        assert!(parse("postgres://h/d?channel_binding=prefer").is_ok());
        assert!(refused("postgres://app:hunter2@h/d?target_session_attrs=read-write").contains("any"));
        for url in [
            "postgres://app:hunter2@h:port/d",
            "postgres://app:hunter2@h1:1,h2:2/d",
            "postgres://app:hunter2@h1,h2/d",
            "postgres://app:hunter2@h/d?hostaddr=hunter2",
            "postgres://app:hunter2@h/d?port=x",
            "postgres://app:hunter2@h/d?connect_timeout=soon",
        ] {
            refused(url);
        }
    }
}
