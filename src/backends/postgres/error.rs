//! The driver's errors, classified: by SQLSTATE where the server has spoken, else by what broke.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::contract::client::{ClientError, is_socket_code};
use crate::error::{Detail, Error, Kind};

/// What `ts/clients/values.ts` throws of a client that gives back other values than it was given.
const CHANGES_VALUES: &str = "CLIENT_CHANGES_VALUES";

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

/// The driver's error; of the server's the message alone, without the line of its source that has told it.
#[derive(Debug)]
pub(super) struct Cause(pub(super) sqlx::Error);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match of_server(&self.0) {
            Some(database) => f.write_str(database.message()),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        if of_server(&self.0).is_some() { None } else { self.0.source() }
    }
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
                error: Error::new(Kind::Unsupported, message).with_source(Cause(error)).unsent(),
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
    Failure { error: refused.with_source(Cause(error)), broken: false, hopeless: false, table_changed: false }
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
            error: Error::new(kind, message).with_source(Cause(error)),
            broken: true,
            hopeless: false,
            table_changed: false,
        };
    };
    let code = database.code().to_owned();
    let text = database.message();
    let fatal = matches!(database.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    let meaning = Meaning::of(&code);
    let stale = code == "0A000" && text.contains("cached plan");
    let failure = meaning.error(&code, text, table).retryable(meaning.retryable || stale);
    Failure {
        error: failure.with_source(Cause(error)),
        broken: fatal || stale || meaning.ends_session,
        hopeless: !meaning.retryable && (code.starts_with("42") || code.starts_with("3F")),
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
        return Error::new(Kind::Connection, message).retryable(retryable).unsent().with_source(Cause(error));
    };
    let (code, text) = (database.code().to_owned(), database.message());
    let meaning = Meaning::of(&code);
    let failure = if meaning.kind == Kind::Connection {
        meaning.error(&code, text, None)
    } else {
        // Poolers have XX000 for what they cannot do at the moment.
        let passing = meaning.retryable || code.starts_with("XX");
        Error::new(Kind::Connection, format!("PostgreSQL refuses the connection: {text}"))
            .retryable(passing)
            .with_detail("sqlState", Detail::Text(code))
    };
    failure.unsent().with_source(Cause(error))
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
    if is_sql_state(&code) {
        return Meaning::of(&code).error(&code, &error.message, Some(table)).with_source(error);
    }
    if code == CHANGES_VALUES {
        return Error::invalid(error.message.clone()).unsent().with_source(error);
    }
    if is_socket_code(&code) {
        return Error::new(Kind::Connection, "the client's connection to PostgreSQL broke").with_source(error);
    }
    Error::new(Kind::Backend, format!("the client failed: {}", error.message)).with_source(error)
}

/// As opposed to codes of Node.js (`EPIPE`) and of Prisma (`P2010`).
fn is_sql_state(code: &str) -> bool {
    code.len() == 5
        && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        && !code.starts_with('E')
        && (!code.starts_with('P') || code.starts_with("P0"))
}

fn of_server(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

/// What an SQLSTATE means, whoever has carried the statement.
struct Meaning {
    kind: Kind,
    retryable: bool,
    /// The session is over, or of no use: the next attempt gets another one.
    ends_session: bool,
    /// What the server says follows where it ends with a colon.
    message: &'static str,
}

/// What of [`Meaning`] a row says, after the code, or the class for the codes that have no row.
type Row = (&'static str, Kind, bool, bool, &'static str);

const MEANINGS: [Row; 31] = [
    ("08", Kind::Connection, true, true, "PostgreSQL ended the connection:"),
    ("0A", Kind::Unsupported, false, false, "PostgreSQL cannot do this:"),
    // What was opened on a server that is read-only stays so after the server has become writable.
    ("25006", Kind::Connection, true, true, "PostgreSQL is read-only (a standby, or a failover under way)"),
    ("25P02", Kind::Backend, false, false, "a statement of the transaction has failed before:"),
    ("25P03", Kind::Connection, true, true, "PostgreSQL ended the connection:"),
    ("25P04", Kind::Connection, true, true, "PostgreSQL ended the connection:"),
    ("26000", Kind::Backend, false, true, PREPARED),
    ("28", Kind::Connection, false, true, "PostgreSQL refuses the login (user, password, or its access rules)"),
    ("3D000", Kind::Connection, false, true, "the database does not exist"),
    ("40", Kind::Backend, true, false, "PostgreSQL rolled the statement back:"),
    ("40001", Kind::Backend, true, false, "PostgreSQL could not serialize the write with another one"),
    // It may have happened, or not.
    ("40003", Kind::Connection, true, true, "PostgreSQL does not know whether the statement was completed:"),
    ("40P01", Kind::Backend, true, false, "PostgreSQL broke a deadlock by cancelling the statement"),
    ("42501", Kind::Backend, false, false, "permission denied by PostgreSQL:"),
    ("42P05", Kind::Backend, false, true, PREPARED),
    ("53", Kind::Backend, true, false, "PostgreSQL is out of resources:"),
    ("53300", Kind::Connection, true, false, "PostgreSQL has no connection left (too many clients)"),
    ("55006", Kind::Backend, true, false, "PostgreSQL has the object in use:"),
    ("55P03", Kind::Backend, true, false, "a lock was not available:"),
    ("57", Kind::Backend, true, false, "PostgreSQL's operator intervened:"),
    ("57014", Kind::Timeout, true, false, "PostgreSQL cancelled the statement:"),
    ("57P01", Kind::Connection, true, true, "PostgreSQL ended the connection:"),
    ("57P02", Kind::Connection, true, true, "PostgreSQL ended the connection:"),
    ("57P03", Kind::Connection, true, true, "PostgreSQL is starting up or shutting down"),
    ("57P04", Kind::Connection, false, true, "the database has been dropped"),
    ("57P05", Kind::Connection, true, true, "PostgreSQL ended the connection:"),
    ("58", Kind::Backend, true, false, "PostgreSQL's system failed:"),
    ("58P01", Kind::CorruptData, false, false, "PostgreSQL misses a file:"),
    ("72", Kind::Backend, true, false, "PostgreSQL no longer has what the transaction saw:"),
    ("XX001", Kind::CorruptData, false, false, "PostgreSQL found damaged data:"),
    ("XX002", Kind::CorruptData, false, false, "PostgreSQL found damaged data:"),
];

const PREPARED: &str =
    "a prepared statement is lost: behind a transaction pooler add pgbouncer=true to the connection string:";

/// Of anything else: it would be refused again.
const REFUSED: Row = ("", Kind::Backend, false, false, "PostgreSQL refused the statement:");

impl Meaning {
    fn of(code: &str) -> Self {
        let row = |key: Option<&str>| MEANINGS.iter().find(|row| Some(row.0) == key);
        let &(_, kind, retryable, ends_session, message) =
            row(Some(code)).or_else(|| row(code.get(..2))).unwrap_or(&REFUSED);
        Self { kind, retryable, ends_session, message }
    }

    /// The error. `table` is the store's own, if the statement was about it.
    fn error(&self, code: &str, text: &str, table: Option<&str>) -> Error {
        let message = match (code, table) {
            ("42P01" | "3F000", Some(table)) => absent(table),
            ("42P10", Some(table)) => {
                format!(
                    "table {table} lacks a primary key or unique index that it should have: initialize() says which"
                )
            }
            ("42703" | "42804" | "42883", Some(table)) => {
                format!("table {table} is another one than it should ({text}): initialize() says what is wrong")
            }
            _ if self.message.ends_with(':') => format!("{} {text}", self.message),
            _ => self.message.to_owned(),
        };
        let error = Error::new(self.kind, message)
            .retryable(self.retryable)
            .with_detail("sqlState", Detail::Text(code.to_owned()));
        // The server has told that the statement did nothing. Only a broken connection leaves it open.
        if code.starts_with("08") || code == "40003" { error } else { error.unsent() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every class of the appendix of PostgreSQL's documentation, and each code that has an answer of its own.
    #[test]
    fn codes_have_their_meaning() {
        use Kind::{Backend, Connection, CorruptData, Timeout, Unsupported};
        for (codes, kind, retryable, ends_session) in [
            ("08000 08001 08003 08004 08006 08007 08P01", Connection, true, true),
            ("25006 25P03 25P04", Connection, true, true),
            ("57P01 57P02 57P03 57P05 40003", Connection, true, true),
            ("53300", Connection, true, false),
            ("28000 28P01 3D000 57P04", Connection, false, true),
            ("57014", Timeout, true, false),
            (
                "40000 40001 40002 40P01 53000 53100 53200 53400 55006 55P03 57000 58000 58030 72000",
                Backend,
                true,
                false,
            ),
            ("26000 42P05", Backend, false, true),
            ("0A000", Unsupported, false, false),
            ("58P01 XX001 XX002", CorruptData, false, false),
            (
                "03000 09000 0B000 0F000 0L000 0P000 0Z000 10608 20000 21000 22001 22021 22P05 23502 23505",
                Backend,
                false,
                false,
            ),
            (
                "24000 25000 25001 25P01 25P02 27000 2B000 2D000 2F000 34000 38000 39000 3B000 3F000",
                Backend,
                false,
                false,
            ),
            (
                "42501 42601 42703 42804 42P01 42P10 44000 54000 54001 55000 55P02 F0000 HV000 P0001 XX000",
                Backend,
                false,
                false,
            ),
        ] {
            for code in codes.split(' ') {
                let meaning = Meaning::of(code);
                let found = (meaning.kind, meaning.retryable, meaning.ends_session);
                assert_eq!(found, (kind, retryable, ends_session), "{code}: {}", meaning.message);
                let error = meaning.error(code, "text", Some("\"saga_store\""));
                assert_eq!(error.is_unsent(), !["08", "40003"].iter().any(|open| code.starts_with(open)), "{code}");
            }
        }
        let error = |code, text, table| Meaning::of(code).error(code, text, table).message().to_owned();
        assert!(error("42P01", "", Some("\"t\"")).contains("initialize()"));
        assert!(error("42P01", "relation \"orders\" does not exist", None).contains("orders"));
        assert!(error("25006", "cannot execute INSERT", None).starts_with("PostgreSQL is read-only"));
    }

    #[test]
    fn clients_errors_mean_what_the_servers_do() {
        let client = |code: &str| ClientError {
            code: Some(code.to_owned()),
            message: String::from("text"),
            ..ClientError::default()
        };
        for (code, ..) in MEANINGS.iter().filter(|row| row.0.len() == 5) {
            let (ours, theirs) = (Meaning::of(code).error(code, "text", Some("t")), of_client(client(code), "t"));
            assert_eq!(ours.message(), theirs.message(), "{code}");
            assert_eq!(
                (ours.kind(), ours.is_retryable(), ours.is_unsent()),
                (theirs.kind(), theirs.is_retryable(), theirs.is_unsent()),
                "{code}"
            );
        }
        // Prisma's own codes are no SQLSTATEs: nobody knows whether the statement has run.
        assert!(!of_client(client("P2010"), "t").is_unsent());
        assert_eq!(of_client(client("ECONNRESET"), "t").kind(), Kind::Connection);
        assert_eq!(of_client(client(CHANGES_VALUES), "t").kind(), Kind::InvalidArgument);
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
