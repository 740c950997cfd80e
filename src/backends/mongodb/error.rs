//! What the driver and the servers report, in the store's terms. The driver's error stays the
//! cause; codes are those of the servers' `error_codes.yml`.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use mongodb::error::{
    Error as DriverError, ErrorKind, RETRYABLE_ERROR, RETRYABLE_WRITE_ERROR, SYSTEM_OVERLOADED_ERROR,
};

use crate::contract::client::{ClientError, is_socket_code};
use crate::error::{Detail, Error, Kind};

/// A transaction number where the server has none: not a member of a replica set, an old storage
/// engine, or a service that does not offer retryable writes.
const NO_TRANSACTION_NUMBERS: [i32; 2] = [20, 301];
/// A field, a command or an option that the server does not know, or has not implemented.
const UNKNOWN_TO_SERVER: [i32; 7] = [2, 9, 59, 72, 115, 238, 40_415];
/// The namespace does not exist.
pub(super) const NAMESPACE_NOT_FOUND: i32 = 26;
/// The user lacks a permission, or there is no user.
const UNAUTHORIZED: i32 = 13;
/// The detail with the server's code.
const SERVER_CODE: &str = "serverCode";
/// A newer transaction number of the same session has been there.
const TRANSACTION_TOO_OLD: i32 = 225;
/// `UpdateOne` found nothing and another process inserted the id meanwhile.
const DUPLICATE_KEY: i32 = 11_000;
/// Not a primary (any more): the command was refused.
const NOT_PRIMARY: [i32; 3] = [10_107, 13_435, 10_058];
/// The server is shutting down, starting, or changing its role.
const CHANGING: [i32; 5] = [11_600, 11_602, 13_436, 189, 91];
/// Trouble between servers, or one of their limits, that passes.
const PASSING: [i32; 10] = [6, 7, 43, 89, 134, 202, 384, 462, 9_001, 14_031];

/// The driver's error, without the server's whole answer in its text.
#[derive(Debug)]
struct Cause(DriverError);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.kind, f)
    }
}

impl StdError for Cause {}

/// What an answer with `ok: 1` may still complain about: a `writeErrors` or `writeConcernError` entry.
#[derive(Clone, Debug)]
struct Complaint {
    code: i32,
    message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error code {}: {}", self.code, self.message)
    }
}

impl StdError for Complaint {}

/// The server's code, where a command failed there.
pub(super) fn code_of(error: &DriverError) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

/// Whether the server knows no transaction numbers.
pub(super) fn has_no_transaction_numbers(error: &DriverError) -> bool {
    code_of(error).is_some_and(|code| NO_TRANSACTION_NUMBERS.contains(&code))
}

/// Whether the user lacks a permission.
pub(super) fn is_denied(error: &Error) -> bool {
    error.details().iter().any(|(name, value)| *name == SERVER_CODE && *value == Detail::Number(UNAUTHORIZED.into()))
}

/// Whether the session has moved on.
pub(super) fn is_too_old(error: &DriverError) -> bool {
    code_of(error) == Some(TRANSACTION_TOO_OLD)
}

/// Whether it is not known if the server has got the command, or still will.
pub(super) fn is_unanswered(error: &DriverError) -> bool {
    !was_never_sent(error) && !matches!(error.kind.as_ref(), ErrorKind::Command(_))
}

/// Whether a write with the same transaction number may be sent again at once.
pub(super) fn may_resend(error: &DriverError) -> bool {
    let broken = matches!(error.kind.as_ref(), ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. });
    broken
        || error.contains_label(RETRYABLE_WRITE_ERROR)
        || code_of(error).is_some_and(|code| NOT_PRIMARY.contains(&code) || CHANGING.contains(&code))
}

fn was_never_sent(error: &DriverError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Authentication { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::SessionsNotSupported
        | ErrorKind::InvalidArgument { .. }
        | ErrorKind::Shutdown => true,
        // The driver puts this label on what broke before a connection was ready.
        ErrorKind::Io(cause) => {
            cause.kind() == io::ErrorKind::ConnectionRefused || error.contains_label(SYSTEM_OVERLOADED_ERROR)
        }
        _ => false,
    }
}

/// Why no connection could be made. Nothing has been sent.
pub(super) fn connecting(error: DriverError) -> Error {
    command(error).unsent()
}

/// The DNS records of a `mongodb+srv` URL did not arrive.
pub(super) fn unresolved() -> Error {
    Error::new(Kind::Connection, "the DNS records of the mongodb+srv host did not arrive within connectTimeoutMs")
        .unsent()
}

/// A command failed.
pub(super) fn command(error: DriverError) -> Error {
    let unsent = was_never_sent(&error);
    let text = error.kind.to_string();
    let untrusted = text.contains("certificate") || text.contains("InvalidCertificate");
    let broken = |message: &str| Error::new(Kind::Connection, message);
    let classified = match error.kind.as_ref() {
        ErrorKind::Command(failed) => {
            let label = error.contains_label(RETRYABLE_WRITE_ERROR) || error.contains_label(RETRYABLE_ERROR);
            of_code(failed.code, &failed.message, label)
        }
        ErrorKind::Authentication { .. } => refused_login(),
        ErrorKind::ServerSelection { .. } | ErrorKind::Io(_) if untrusted => {
            broken("the TLS connection to MongoDB cannot be made: its certificate is not trusted or not valid")
                .retryable(false)
        }
        ErrorKind::ServerSelection { .. } => broken("no MongoDB server could be reached within connectTimeoutMs"),
        ErrorKind::DnsResolve { .. } => broken("the DNS records of the mongodb+srv host cannot be read"),
        ErrorKind::Io(_) if unsent => broken("cannot connect to MongoDB"),
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => broken("the connection to MongoDB broke"),
        ErrorKind::InvalidTlsConfig { .. } => {
            Error::invalid("the TLS files that the connection string names cannot be used")
        }
        ErrorKind::IncompatibleServer { .. } => {
            Error::new(Kind::Unsupported, "this MongoDB server is too old for the driver (4.2 or later is needed)")
        }
        ErrorKind::SessionsNotSupported => {
            Error::new(Kind::Backend, "this MongoDB server has no sessions").retryable(true)
        }
        ErrorKind::Shutdown => Error::closed(),
        ErrorKind::InvalidResponse { .. } | ErrorKind::Bson(_) => {
            Error::new(Kind::Backend, "MongoDB's answer cannot be read")
        }
        _ => Error::new(Kind::Backend, "the MongoDB driver failed"),
    };
    let classified = if unsent { classified.unsent() } else { classified };
    classified.with_source(Cause(error))
}

fn refused_login() -> Error {
    Error::new(Kind::Connection, "authentication failed: MongoDB refused the user or password").retryable(false)
}

/// An entry of `writeErrors` of an answer.
pub(super) fn complaint(code: i32, message: String, labelled: bool) -> Error {
    of_code(code, &message, labelled).with_source(Complaint { code, message })
}

/// A `writeConcernError`: the write is done, and may yet be undone by a failover.
pub(super) fn unconfirmed(code: i32, message: String) -> Error {
    unconfirmed_by(code, &message).with_source(Complaint { code, message })
}

fn unconfirmed_by(code: i32, message: &str) -> Error {
    match code {
        64 | 79 | 100 => of_code(code, message, false),
        _ => Error::new(Kind::Backend, "the write is done, but not confirmed by enough servers").retryable(true),
    }
}

/// Kind, whether to try again, and whether anything was done, by the server's code.
fn of_code(code: i32, text: &str, labelled: bool) -> Error {
    let backend = |message: String| Error::new(Kind::Backend, message);
    let error = match code {
        DUPLICATE_KEY => {
            backend(String::from("another process inserted the same id at this moment")).retryable(true).unsent()
        }
        112 => backend(String::from("MongoDB could not order the write with another one")).retryable(true).unsent(),
        UNAUTHORIZED if text.contains("requires authentication") => {
            Error::new(Kind::Connection, "MongoDB requires a login, and the connection string has none")
                .retryable(false)
                .unsent()
        }
        UNAUTHORIZED => backend(format!("permission denied by MongoDB: {text}")),
        18 => refused_login().unsent(),
        50 | 262 => Error::new(Kind::Timeout, "MongoDB ended the command: its time was over"),
        64 => Error::new(Kind::Timeout, "the write was not acknowledged by enough servers in time (wTimeoutMS)"),
        79 | 100 => backend(format!("the servers cannot fulfil the write concern of the connection string: {text}")),
        TRANSACTION_TOO_OLD => backend(String::from("a newer write has taken the place of this one")).retryable(true),
        code if NO_TRANSACTION_NUMBERS.contains(&code) && text.contains("ransaction numbers") => {
            backend(format!("MongoDB refused a retryable write: {text}"))
        }
        code if NOT_PRIMARY.contains(&code) => {
            Error::new(Kind::Connection, "this MongoDB server is not the primary (a failover may be under way)")
                .unsent()
        }
        code if CHANGING.contains(&code) => {
            Error::new(Kind::Connection, "this MongoDB server is starting, shutting down or changing its role")
        }
        code if PASSING.contains(&code) => backend(format!("MongoDB cannot do this now: {text}")).retryable(true),
        _ => {
            backend(format!("MongoDB refused the command: {text}")).retryable(labelled || text.contains("SQLITE_BUSY"))
        }
    };
    error.with_detail(SERVER_CODE, Detail::Number(code.into()))
}

/// The server's code, where a client of the application says that a command failed there.
pub(super) fn code_of_client(error: &ClientError) -> Option<i32> {
    error.code.as_deref()?.parse().ok()
}

/// A client of the application failed. Its library names its errors by what they are about.
pub(super) fn of_client(error: ClientError) -> Error {
    let broken = |message: &str| Error::new(Kind::Connection, message);
    let has_label = |label: &str| error.labels.iter().any(|has| has == label);
    let refused = error.message.contains("ECONNREFUSED") || error.code.as_deref() == Some("ECONNREFUSED");
    let code = code_of_client(&error);
    let classified = match (code, error.name.as_str()) {
        (Some(code), "MongoWriteConcernError") => unconfirmed_by(code, &error.message),
        (Some(code), _) => {
            of_code(code, &error.message, has_label(RETRYABLE_WRITE_ERROR) || has_label(RETRYABLE_ERROR))
        }
        (None, "MongoServerSelectionError") if error.message.contains("certificate") => {
            broken("the TLS connection to MongoDB cannot be made: its certificate is not trusted or not valid")
                .retryable(false)
                .unsent()
        }
        (None, "MongoServerSelectionError") => broken("the client could not reach a MongoDB server in time").unsent(),
        (None, "MongoPoolClearedError" | "MongoWaitQueueTimeoutError") => {
            broken("the client has no connection to MongoDB to spare").unsent()
        }
        (
            None,
            "MongoNotConnectedError" | "MongoClientClosedError" | "MongoPoolClosedError" | "MongoServerClosedError",
        ) => broken("the client is closed").retryable(false).unsent(),
        // A first connection that fails ends in this as well, and the next operation tries anew.
        (None, "MongoTopologyClosedError") => broken("the client has no connection to a MongoDB server").unsent(),
        (None, "MongoExpiredSessionError") => Error::new(Kind::Closed, "the session has ended").unsent(),
        (None, "MongoOperationTimeoutError") => Error::new(Kind::Timeout, "the client's timeoutMS was over"),
        (None, "MongoCompatibilityError") => Error::new(Kind::Unsupported, error.message.clone()).unsent(),
        // The driver puts this label on what broke before a connection was ready.
        (None, name) if name.starts_with("MongoNetwork") && (refused || has_label(SYSTEM_OVERLOADED_ERROR)) => {
            broken("the client cannot connect to MongoDB").unsent()
        }
        (None, name) if name.starts_with("MongoNetwork") || name == "MongoPoolClearedOnNetworkError" => {
            broken("the connection to MongoDB broke")
        }
        _ if error.code.as_deref().is_some_and(is_socket_code) => broken("the connection to MongoDB broke"),
        _ => Error::new(Kind::Backend, "the MongoDB client failed"),
    };
    classified.with_source(error)
}

/// Whether a server says that it has no transactions. Those that only speak the protocol do not know
/// the fields and commands.
pub(super) fn lacks_transactions(code: i32, text: &str) -> bool {
    let is_about_them = ["ransaction", "autocommit", "txnNumber"].iter().any(|word| text.contains(word));
    match code {
        code if NO_TRANSACTION_NUMBERS.contains(&code) => text.contains("ransaction numbers"),
        code => UNKNOWN_TO_SERVER.contains(&code) && is_about_them,
    }
}

/// An answer that is no BSON.
pub(super) fn malformed(source: impl StdError + Send + Sync + 'static) -> Error {
    Error::new(Kind::Backend, "MongoDB's answer cannot be read").with_source(source)
}

/// An answer without what belongs in it.
pub(super) fn unexpected() -> Error {
    Error::new(Kind::Backend, "MongoDB's answer is not the one that the command has")
}

/// A document that is none of ours.
pub(super) fn corrupt(id: &str, wrong: &str) -> Error {
    Error::new(Kind::CorruptData, format!("the document is not a payload: {wrong}")).with_id(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_meaning() {
        for (code, text, kind, retryable, unsent) in [
            (11_000, "E11000 duplicate key", Kind::Backend, true, true),
            (112, "WriteConflict", Kind::Backend, true, true),
            (10_107, "not primary", Kind::Connection, true, true),
            (11_602, "interrupted", Kind::Connection, true, false),
            (91, "shutting down", Kind::Connection, true, false),
            (50, "operation exceeded time limit", Kind::Timeout, true, false),
            (64, "waiting for replication timed out", Kind::Timeout, true, false),
            (79, "unknown write concern", Kind::Backend, false, false),
            (13, "not authorized on sagas", Kind::Backend, false, false),
            (13, "command find requires authentication", Kind::Connection, false, true),
            (18, "Authentication failed.", Kind::Connection, false, true),
            (14_031, "disk is full", Kind::Backend, true, false),
            (121, "Document failed validation", Kind::Backend, false, false),
            (1, "database is locked (SQLITE_BUSY)", Kind::Backend, true, false),
        ] {
            let error = complaint(code, text.to_owned(), false);
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{code} {text}");
            assert_eq!(error.is_unsent(), unsent, "{code} {text}");
            assert!(error.causes()[0].contains(text), "{error:?}");
        }
        assert!(complaint(4_711, String::from("new"), true).is_retryable());
    }

    #[test]
    fn errors_of_clients_have_the_same_meaning() {
        let thrown = |name: &str, code: Option<&str>, message: &str| ClientError {
            name: name.to_owned(),
            code: code.map(str::to_owned),
            message: message.to_owned(),
            labels: Vec::new(),
        };
        for (name, code, message, kind, retryable, unsent) in [
            ("MongoServerError", Some("11000"), "E11000", Kind::Backend, true, true),
            ("MongoServerError", Some("10107"), "not primary", Kind::Connection, true, true),
            ("MongoServerError", Some("13"), "not authorized on sagas", Kind::Backend, false, false),
            ("MongoServerError", Some("50"), "operation exceeded time limit", Kind::Timeout, true, false),
            ("MongoWriteConcernError", Some("64"), "waiting for replication timed out", Kind::Timeout, true, false),
            ("MongoWriteConcernError", Some("91"), "shutting down", Kind::Backend, true, false),
            ("MongoServerSelectionError", None, "connect ECONNREFUSED", Kind::Connection, true, true),
            ("MongoServerSelectionError", None, "self-signed certificate", Kind::Connection, false, true),
            ("MongoNetworkError", None, "connection 1 to h:27017 closed", Kind::Connection, true, false),
            ("MongoNetworkError", Some("ECONNREFUSED"), "connect ECONNREFUSED", Kind::Connection, true, true),
            ("MongoNetworkTimeoutError", None, "timed out", Kind::Connection, true, false),
            ("MongoNotConnectedError", None, "Client must be connected", Kind::Connection, false, true),
            ("MongoTopologyClosedError", None, "Topology is closed", Kind::Connection, true, true),
            ("MongoExpiredSessionError", None, "expired", Kind::Closed, false, true),
            ("MongoCompatibilityError", None, "no sessions", Kind::Unsupported, false, true),
            ("Error", Some("ECONNRESET"), "read ECONNRESET", Kind::Connection, true, false),
            ("TypeError", None, "x is not a function", Kind::Backend, false, false),
        ] {
            let error = of_client(thrown(name, code, message));
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{name} {message}");
            assert_eq!(error.is_unsent(), unsent, "{name} {message}");
            assert!(error.causes()[0].contains(message), "{error:?}");
        }
    }

    #[test]
    fn servers_without_transactions_are_known_by_what_they_refuse() {
        for (code, text, lacks) in [
            (9, "update: unknown field \"startTransaction\"", true),
            (9, "insert: unknown field \"autocommit\"", true),
            (9, "unknown operator: $foo", false),
            (59, "no such command: 'commitTransaction'", true),
            (20, "Transaction numbers are only allowed on a replica set member or mongos", true),
            (20, "illegal operation", false),
            (112, "WriteConflict: this transaction has to be run again", false),
        ] {
            assert_eq!(lacks_transactions(code, text), lacks, "{code} {text}");
        }
    }

    #[test]
    fn what_broke_on_the_way() {
        let refused = DriverError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(!is_unanswered(&refused));
        let error = command(refused);
        assert!(error.kind() == Kind::Connection && error.is_unsent() && error.is_retryable());
        let reset = DriverError::from(io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(is_unanswered(&reset) && may_resend(&reset));
        let error = command(reset);
        assert!(error.kind() == Kind::Connection && !error.is_unsent() && error.is_retryable());
        assert!(!error.causes()[0].contains("labels"), "{error:?}");
    }
}
