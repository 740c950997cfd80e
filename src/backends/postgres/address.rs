//! The connection string, read as libpq reads it. What the driver would ignore or do in
//! another way than libpq is refused or translated here.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::error::{Error, Result};

/// Query parameters of a connection string.
const ACCEPTED: [&str; 17] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "gssencmode",
    "host",
    "hostaddr",
    "options",
    "password",
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
    /// False with `statement_cache_capacity=0`: a pooler may run each transaction on another
    /// server connection, so nothing can be prepared for later.
    pub(super) prepared: bool,
}

/// Reads a connection string. No error shows any of it but the names of its parameters.
pub(super) fn parse(text: &str) -> Result<Address> {
    let invalid = || {
        Error::invalid(
            "the PostgreSQL connection string cannot be read; it is postgres://user:password@host:port/database?parameters",
        )
    };
    let mut url = Url::parse(text).map_err(|_| invalid())?;
    if url.host_str().is_some_and(|host| host.contains(',')) {
        return Err(several_hosts());
    }
    let pairs: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let mut connect_timeout = None;
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
            "channel_binding" => return Err(wrong(&name, "disable or prefer (it cannot be required)")),
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
    if let Some(capacity) = capacity {
        options = options.statement_cache_capacity(usize::from(capacity));
    }
    if options.get_application_name().is_none() {
        options = options.application_name("sagastore");
    }
    Ok(Address { options, connect_timeout, prepared: capacity != Some(0) })
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
        assert!(!parse("postgres://h/d?statement_cache_capacity=0").unwrap().prepared);
        assert!(parse("postgres://h/d?statement_cache_capacity=10").unwrap().prepared);
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
        assert!(refused("postgres://app:hunter2@h/d?channel_binding=require").contains("channel_binding"));
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
