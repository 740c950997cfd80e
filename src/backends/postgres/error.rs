//! The driver's errors, classified: by SQLSTATE where the server has spoken, else by what broke.

use std::io;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::error::{Detail, Error, Kind};
use crate::store::borrowed::{ClientError, is_socket_code};

/// What a failed statement means for the connection and for what follows it.
pub(super) struct Failure {
    /// The error.
    pub(super) error: Error,
    /// The connection must not be used again.
    pub(super) broken: bool,
    /// The same statement would fail with any values: a missing table, a missing privilege.
    pub(super) hopeless: bool,
    /// The table is not there, or not as it was when it was looked at.
    pub(super) table_changed: bool,
}

/// A statement has failed. `table` is its quoted name.
pub(super) fn of_statement(error: sqlx::Error, table: &str) -> Failure {
    failure(error, Some(table))
}

/// A statement of the application's has failed. What the server says about tables and prepared
/// statements is about the application's.
pub(super) fn of_query(error: sqlx::Error) -> Failure {
    let Some(database) = of_server(&error) else {
        if matches!(error, sqlx::Error::ColumnDecode { .. }) {
            // The driver looks types up that it does not know, and stumbles over multiranges.
            let message = "a type in the statement is not known to the driver: cast it to text and from text";
            return Failure {
                error: Error::new(Kind::Unsupported, message).with_source(error).unsent(),
                broken: false,
                hopeless: false,
                table_changed: false,
            };
        }
        return failure(error, None);
    };
    let (code, text) = (database.code(), database.message());
    let is_count = code == "08P01" && text.starts_with("bind message supplies");
    let is_own = ["26000", "42P05"].contains(&code) && !text.contains("\"sqlx_s_");
    if !is_count && !is_own {
        return failure(error, None);
    }
    let refused = if is_count {
        Error::invalid(format!("the statement has another number of parameters: {text}"))
    } else {
        Error::new(Kind::Backend, format!("PostgreSQL refused the statement: {text}"))
    };
    let refused = refused.with_detail("sqlState", Detail::Text(code.to_owned())).unsent();
    Failure { error: refused.with_source(error), broken: false, hopeless: false, table_changed: false }
}

fn failure(error: sqlx::Error, table: Option<&str>) -> Failure {
    let Some(database) = of_server(&error) else {
        let (message, kind) = match &error {
            sqlx::Error::Encode(_) => ("a value cannot be sent to PostgreSQL", Kind::Backend),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                ("an answer of PostgreSQL cannot be read", Kind::CorruptData)
            }
            _ => ("the connection to PostgreSQL broke", Kind::Connection),
        };
        return Failure {
            error: Error::new(kind, message).with_source(error),
            broken: true,
            hopeless: false,
            table_changed: false,
        };
    };
    let code = database.code().to_owned();
    let text = database.message();
    let fatal = matches!(database.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    let (kind, retryable, message) = meaning(&code, text, table);
    // The server has told that the statement did nothing. Only a broken connection leaves it open.
    let undone = !code.starts_with("08") && code != "40003";
    let stale = code == "0A000" && text.contains("cached plan");
    let failure =
        Error::new(kind, message).retryable(retryable || stale).with_detail("sqlState", Detail::Text(code.clone()));
    let failure = failure.with_source(error);
    Failure {
        error: if undone { failure.unsent() } else { failure },
        broken: fatal
            || stale
            || ["08", "57P"].iter().any(|class| code.starts_with(class))
            || ["26000", "42P05"].contains(&&*code),
        hopeless: !retryable && (code.starts_with("42") || code.starts_with("3F")),
        table_changed: ["42P01", "42703", "42804", "3F000"].contains(&&*code),
    }
}

/// A connection could not be made: nothing has been sent.
pub(super) fn of_connecting(error: sqlx::Error) -> Error {
    let Some(database) = of_server(&error) else {
        let (message, retryable) = match &error {
            // rustls wraps what it finds wrong with a certificate in an I/O error of this kind.
            sqlx::Error::Io(cause) if cause.kind() == io::ErrorKind::InvalidData => {
                ("the TLS connection to PostgreSQL cannot be made", false)
            }
            sqlx::Error::Io(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
                ("PostgreSQL refuses connections: it is not running, or not at this address", true)
            }
            sqlx::Error::Io(cause) if cause.kind() == io::ErrorKind::NotFound => {
                ("PostgreSQL's socket, or a certificate file, does not exist", true)
            }
            sqlx::Error::Io(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
                ("PostgreSQL's socket, or a certificate file, may not be opened", false)
            }
            sqlx::Error::Tls(_) => ("the TLS connection to PostgreSQL cannot be made", false),
            sqlx::Error::Configuration(_) => ("the connection string does not fit the server", false),
            _ => ("PostgreSQL cannot be reached", true),
        };
        return Error::new(Kind::Connection, message).retryable(retryable).unsent().with_source(error);
    };
    let (code, text) = (database.code().to_owned(), database.message());
    let (message, retryable) = match &*code {
        "28P01" | "28000" => {
            (String::from("PostgreSQL refuses the login (user, password, or its access rules)"), false)
        }
        "3D000" => (String::from("the database does not exist"), false),
        "53300" => (String::from("PostgreSQL has no connection left (too many clients)"), true),
        "57P03" => (String::from("PostgreSQL is starting up or shutting down"), true),
        other => {
            let passing = ["08", "53", "57", "58", "40", "XX"].iter().any(|class| other.starts_with(class));
            (format!("PostgreSQL refuses the connection: {text}"), passing)
        }
    };
    let failure = Error::new(Kind::Connection, message).retryable(retryable).unsent();
    failure.with_detail("sqlState", Detail::Text(code)).with_source(error)
}

/// The table is not there.
pub(super) fn missing_table(table: &str) -> Error {
    Error::new(Kind::Backend, absent(table)).unsent()
}

fn absent(table: &str) -> String {
    format!("table {table} does not exist: call initialize() first")
}

/// A client of the application threw. `table` is the quoted name.
pub(super) fn of_client(error: ClientError, table: &str) -> Error {
    let code = error.code.clone().unwrap_or_default();
    if code.len() == 5 && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) && !code.starts_with('E') {
        let (kind, retryable, message) = meaning(&code, &error.message, Some(table));
        let failure =
            Error::new(kind, message).retryable(retryable).with_detail("sqlState", Detail::Text(code.clone()));
        let failure = failure.with_source(error);
        return if !code.starts_with("08") && code != "40003" { failure.unsent() } else { failure };
    }
    if is_socket_code(&code) {
        return Error::new(Kind::Connection, "the client's connection to PostgreSQL broke").with_source(error);
    }
    Error::new(Kind::Backend, format!("the client failed: {}", error.message)).with_source(error)
}

fn of_server(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

/// Kind, whether to try again, and message of an error that the server reported.
/// `table` is the store's own, if the statement was about it.
fn meaning(code: &str, text: &str, table: Option<&str>) -> (Kind, bool, String) {
    if let Some(table) = table {
        match code {
            "42P01" | "3F000" => return (Kind::Backend, false, absent(table)),
            "42P10" => {
                let message = format!("table {table} has no primary key or unique index on (id) alone");
                return (Kind::Backend, false, message);
            }
            _ => {}
        }
    }
    match code {
        "42501" => (Kind::Backend, false, format!("permission denied by PostgreSQL: {text}")),
        "25006" => (Kind::Backend, true, String::from("PostgreSQL is read-only (a standby, or a failover under way)")),
        "40001" => (Kind::Backend, true, String::from("PostgreSQL could not serialize the write with another one")),
        "40P01" => (Kind::Backend, true, String::from("PostgreSQL broke a deadlock by cancelling the statement")),
        "55P03" => (Kind::Backend, true, format!("a lock was not available: {text}")),
        "57014" => (Kind::Timeout, true, format!("PostgreSQL cancelled the statement: {text}")),
        "26000" | "42P05" => (
            Kind::Backend,
            false,
            format!("{text}: behind a transaction pooler add statement_cache_capacity=0 to the connection string"),
        ),
        "XX001" | "XX002" => (Kind::CorruptData, false, format!("PostgreSQL found damaged data: {text}")),
        _ if code.starts_with("08") || code.starts_with("57P") => {
            (Kind::Connection, true, format!("PostgreSQL ended the connection: {text}"))
        }
        _ if code.starts_with("53") => (Kind::Backend, true, format!("PostgreSQL is out of resources: {text}")),
        _ if code.starts_with("40") => (Kind::Backend, true, format!("PostgreSQL rolled the statement back: {text}")),
        _ => (Kind::Backend, false, format!("PostgreSQL refused the statement: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_meaning() {
        for (code, kind, retryable) in [
            ("08006", Kind::Connection, true),
            ("57P01", Kind::Connection, true),
            ("53100", Kind::Backend, true),
            ("40001", Kind::Backend, true),
            ("40P01", Kind::Backend, true),
            ("25006", Kind::Backend, true),
            ("42501", Kind::Backend, false),
            ("42P01", Kind::Backend, false),
            ("57014", Kind::Timeout, true),
            ("22021", Kind::Backend, false),
            ("23502", Kind::Backend, false),
            ("XX001", Kind::CorruptData, false),
        ] {
            let (found, again, message) = meaning(code, "text", Some("\"saga_store\""));
            assert_eq!((found, again), (kind, retryable), "{code}: {message}");
        }
        assert!(meaning("42P01", "", Some("\"t\"")).2.contains("initialize()"));
        assert!(meaning("42P01", "relation \"orders\" does not exist", None).2.contains("orders"));
    }

    #[test]
    fn what_broke_on_the_way_breaks_the_connection() {
        let failure = of_statement(sqlx::Error::Io(io::ErrorKind::ConnectionReset.into()), "\"t\"");
        assert!(failure.broken && !failure.error.is_unsent());
        assert_eq!(failure.error.kind(), Kind::Connection);
        let refused = of_connecting(sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into()));
        assert!(refused.is_unsent() && refused.is_retryable());
        assert!(!of_connecting(sqlx::Error::Tls("no".into())).is_retryable());
    }
}
