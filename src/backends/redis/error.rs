//! What fred and the server report, in the store's terms. The driver's error stays the cause.

use fred::error::{Error as FredError, ErrorKind};

use crate::error::{Error, Kind};

/// Replies that will be different after a while: the code, and what it means.
const PASSING: [(&str, Kind, &str); 11] = [
    ("OOM", Kind::Backend, "Redis is out of memory: maxmemory is reached and nothing may be evicted"),
    ("LOADING", Kind::Connection, "Redis is starting and still loading its data"),
    ("READONLY", Kind::Connection, "this Redis server is a read-only replica"),
    ("MASTERDOWN", Kind::Connection, "this Redis replica has lost its primary"),
    ("CLUSTERDOWN", Kind::Connection, "the Redis cluster is down or does not serve all hash slots"),
    ("TRYAGAIN", Kind::Backend, "the Redis cluster is moving this hash slot"),
    ("MOVED", Kind::Backend, "the Redis cluster redirected the command too often"),
    ("ASK", Kind::Backend, "the Redis cluster redirected the command too often"),
    ("BUSY", Kind::Backend, "Redis is busy running a script"),
    ("MISCONF", Kind::Backend, "Redis refuses writes because it cannot save its data to disk"),
    ("NOREPLICAS", Kind::Backend, "Redis refuses writes because too few replicas are connected"),
];

/// The code that a server's error reply begins with.
fn code(error: &FredError) -> &str {
    error.details().split(' ').next().unwrap_or("")
}

fn passing(error: &FredError) -> Option<Error> {
    let (name, kind, message) = PASSING.iter().find(|(name, ..)| *name == code(error))?;
    let passing = Error::new(*kind, *message).retryable(true);
    // The server refused the command, so repeating it cannot do the work twice. But after a
    // CLUSTERDOWN fred gives up the connection and tells it to everything else in flight, too.
    Some(if *name == "CLUSTERDOWN" { passing } else { passing.unsent() })
}

fn is_authentication(error: &FredError) -> bool {
    let details = error.details();
    *error.kind() == ErrorKind::Auth || details.starts_with("ERR invalid password") || code(error) == "WRONGPASS"
}

fn refused() -> Error {
    Error::new(Kind::Connection, "authentication failed: Redis refused the user or password").retryable(false)
}

/// Whether the server is one that this client should not be talking to any longer.
pub(super) fn is_misplaced(error: &FredError) -> bool {
    matches!(code(error), "READONLY" | "MASTERDOWN")
}

/// Why a connection could not be made. Nothing has been sent.
pub(super) fn connecting(error: FredError) -> Error {
    let classified = if is_authentication(&error) {
        refused()
    } else if code(&error) == "NOPERM" {
        Error::new(Kind::Connection, "authentication failed: the Redis user lacks permissions (NOPERM)")
            .retryable(false)
    } else if error.details().contains("InvalidCertificate") || *error.kind() == ErrorKind::Tls {
        Error::new(Kind::Connection, "the Redis server's TLS certificate is not trusted or not valid").retryable(false)
    } else if *error.kind() == ErrorKind::Config {
        Error::new(Kind::Connection, "this Redis server is of another kind than the URL says").retryable(false)
    } else if error.details().contains("DB index is out of range") {
        Error::invalid("this Redis server has no database of that number")
    } else if let Some(error) = passing(&error) {
        error
    } else if *error.kind() == ErrorKind::Timeout {
        Error::new(Kind::Connection, "Redis did not answer within connectTimeoutMs")
    } else {
        Error::new(Kind::Connection, "cannot connect to Redis")
    };
    classified.with_source(error).unsent()
}

/// Why a command failed. Unless the server answered, it may have been executed.
pub(super) fn command(error: FredError) -> Error {
    let classified = if let Some(error) = passing(&error) {
        error
    } else if is_authentication(&error) {
        refused()
    } else {
        match code(&error) {
            "WRONGTYPE" => {
                Error::new(Kind::CorruptData, "the Redis key of this id holds something other than a payload")
            }
            "NOPERM" => Error::new(Kind::Backend, "the Redis user may not run this command or use this key (NOPERM)"),
            _ => by_kind(&error),
        }
    };
    classified.with_source(error)
}

fn by_kind(error: &FredError) -> Error {
    match error.kind() {
        // "channel closed" is what is left of a command whose connection task has ended.
        ErrorKind::Unknown if error.details().contains("channel closed") => broken(),
        ErrorKind::Unknown if error.details().starts_with("Failed to send command to router") => broken(),
        ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Routing | ErrorKind::Tls => broken(),
        ErrorKind::Timeout => Error::new(Kind::Timeout, "Redis did not answer in time"),
        ErrorKind::Protocol | ErrorKind::Parse => {
            Error::new(Kind::Backend, "Redis sent something that is not its protocol")
        }
        _ => Error::new(Kind::Backend, "Redis refused the command"),
    }
}

/// The connection broke while a command was on its way.
fn broken() -> Error {
    Error::new(Kind::Connection, "the connection to Redis broke")
}

/// The server has stopped answering, so that nothing more is sent to it.
pub(super) fn silent() -> Error {
    Error::new(Kind::Connection, "Redis does not answer, and too much is waiting for it already").unsent()
}

/// A reply of a type that the command never has.
pub(super) fn unexpected() -> Error {
    Error::new(Kind::Backend, "Redis answered with a reply of an unexpected type")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &'static str) -> FredError {
        FredError::new(ErrorKind::Unknown, text)
    }

    #[test]
    fn replies_are_classified() {
        for (text, kind, retryable) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", Kind::Backend, true),
            ("LOADING Redis is loading the dataset in memory", Kind::Connection, true),
            ("READONLY You can't write against a read only replica.", Kind::Connection, true),
            ("CLUSTERDOWN Hash slot not served", Kind::Connection, true),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Kind::Backend, true),
            ("BUSY Redis is busy running a script.", Kind::Backend, true),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Kind::CorruptData, false),
            ("NOPERM this user has no permissions to run the 'set' command", Kind::Backend, false),
            ("ERR unknown command", Kind::Backend, false),
        ] {
            let error = command(server(text));
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{text}");
            assert!(error.causes()[0].contains(text), "{error:?}");
            assert_eq!(error.is_unsent(), retryable && !text.starts_with("CLUSTERDOWN"), "{text}");
        }
    }

    #[test]
    fn broken_connections_are_retryable_and_not_unsent() {
        for error in
            [FredError::new(ErrorKind::IO, "Connection closed."), FredError::new_canceled(), server("channel closed")]
        {
            let error = command(error);
            assert_eq!(error.kind(), Kind::Connection);
            assert!(error.is_retryable() && !error.is_unsent());
        }
    }

    #[test]
    fn what_a_connection_failed_of() {
        let error = connecting(FredError::new(ErrorKind::Auth, "WRONGPASS invalid username-password pair"));
        assert!(error.message().contains("authentication failed") && !error.is_retryable());
        let error = connecting(FredError::new(ErrorKind::IO, "Os { code: 111, kind: ConnectionRefused }"));
        assert!(error.kind() == Kind::Connection && error.is_retryable() && error.is_unsent());
        let error = connecting(FredError::new(ErrorKind::IO, "error: InvalidCertificate(UnknownIssuer)"));
        assert!(error.message().contains("certificate") && !error.is_retryable());
        let error = connecting(server("ERR DB index is out of range"));
        assert_eq!(error.kind(), Kind::InvalidArgument);
    }
}
