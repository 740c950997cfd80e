//! What fred, clients of the application and the server report, in the store's terms. The error
//! as it was stays the cause.

use std::error::Error as StdError;
use std::fmt;

use fred::error::{Error as FredError, ErrorKind};

use crate::contract::client::{ClientError, is_socket_code};
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

/// The code that an error reply begins with. That a transaction was given up is told with the
/// reason: `EXECABORT Transaction discarded because of: OOM ...`. Before Redis 7 a command that was
/// refused inside a script comes as `ERR Error running script (...): @user_script: 1: -READONLY ...`.
fn code_of(reply: &str) -> &str {
    if reply.starts_with("ERR Error running script") {
        let inner = reply.split_once(": -").map_or("", |(_, inner)| inner);
        return inner.split(' ').next().filter(|code| !code.is_empty()).unwrap_or("ERR");
    }
    let reason = reply.strip_prefix("EXECABORT Transaction discarded because of: ");
    let reason = reason.filter(|reason| *reason != "previous errors.").unwrap_or(reply);
    reason.split(' ').next().unwrap_or("")
}

fn code(error: &FredError) -> &str {
    code_of(error.details())
}

fn passing(code: &str) -> Option<Error> {
    let (name, kind, message) = PASSING.iter().find(|(name, ..)| *name == code)?;
    let passing = Error::new(*kind, *message).retryable(true);
    // The server refused the command, so repeating it cannot do the work twice. But after a
    // CLUSTERDOWN fred gives up the connection and tells it to everything else in flight, too.
    Some(if *name == "CLUSTERDOWN" { passing } else { passing.unsent() })
}

/// What an error reply means, whoever has received it.
fn by_code(code: &str) -> Option<Error> {
    if let Some(error) = passing(code) {
        return Some(error);
    }
    Some(match code {
        "WRONGPASS" | "NOAUTH" => refused(),
        "WRONGTYPE" => Error::new(Kind::CorruptData, "the Redis key of this id holds something other than a payload"),
        "NOPERM" => Error::new(Kind::Backend, "the Redis user may not run this command or use this key (NOPERM)"),
        "CROSSSLOT" => Error::invalid(format!("the keys are in different hash slots of the Redis cluster: {TAG_HINT}")),
        "EXECABORT" => {
            Error::new(Kind::Backend, "Redis refused the transaction (EXECABORT); nothing of it has happened")
        }
        _ => return None,
    })
}

/// How keys get into one hash slot.
pub(super) const TAG_HINT: &str = "a transaction needs a hash tag that its keys share, such as '{order-1}' in their \
    ids or '{sagas}' in keyPrefix and statesKeyPrefix; executions go together whose ids share one";

fn is_authentication(error: &FredError) -> bool {
    let details = error.details();
    *error.kind() == ErrorKind::Auth || details.starts_with("ERR invalid password") || code(error) == "WRONGPASS"
}

/// A hint where a server with TLS was expected.
pub(super) const IS_IT_TLS: &str = ": does this server speak TLS? One without it is redis:, not rediss:";

/// fred's error, in words where it holds Rust's debug output of another one.
#[derive(Debug)]
struct Cause(FredError);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = self.0.details();
        let quoted = [" message: \"", " error: \""].iter().find_map(|key| {
            let (_, rest) = details.split_once(key)?;
            rest.split_once('"').map(|(text, _)| text)
        });
        match quoted {
            Some(text) if *self.0.kind() == ErrorKind::IO => f.write_str(text),
            _ => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl StdError for Cause {}

/// The server has no password at all, and was told one.
fn has_no_password(error: &FredError) -> bool {
    let details = error.details();
    details.contains("without any password configured") || details.contains("but no password is set")
}

fn refused() -> Error {
    Error::new(Kind::Connection, "authentication failed: Redis refused the user or password").retryable(false)
}

/// Whether the server does not know a script by its digest.
pub(super) fn is_unknown_script(error: &Error) -> bool {
    error.causes().iter().any(|cause| cause.contains("NOSCRIPT"))
}

/// Whether the user may not do this, or not with these keys.
pub(super) fn is_forbidden(error: &Error) -> bool {
    error.message().contains("(NOPERM)")
}

/// Whether the server is one that this client should not be talking to any longer.
pub(super) fn is_misplaced(error: &FredError) -> bool {
    matches!(code(error), "READONLY" | "MASTERDOWN")
}

/// The same of an error that has been classified.
pub(super) fn says_misplaced(error: &Error) -> bool {
    error.source().and_then(|source| source.downcast_ref::<Cause>()).is_some_and(|Cause(error)| is_misplaced(error))
}

/// Why a connection could not be made. Nothing has been sent.
pub(super) fn connecting(error: FredError) -> Error {
    let classified = if has_no_password(&error) {
        let message = "authentication failed: the URL has a password, and this Redis server has none: leave it out";
        Error::new(Kind::Connection, message).retryable(false)
    } else if is_authentication(&error) {
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
    } else if let Some(error) = passing(code(&error)) {
        error
    } else if *error.kind() == ErrorKind::Timeout {
        Error::new(Kind::Connection, "Redis did not answer within connectTimeoutMs")
    } else {
        Error::new(Kind::Connection, "cannot connect to Redis")
    };
    classified.with_source(Cause(error)).unsent()
}

/// Why a command failed. Unless the server answered, it may have been transacted.
pub(super) fn command(error: FredError) -> Error {
    let classified = if let Some(error) = by_code(code(&error)) {
        error
    } else if is_authentication(&error) {
        refused()
    } else {
        by_kind(&error)
    };
    classified.with_source(Cause(error))
}

/// Replies to EXEC itself, as opposed to one of the commands: nothing has happened.
const WHOLE: [&str; 4] = ["EXECABORT", "CROSSSLOT", "NOAUTH", "WRONGPASS"];

/// Why a transaction failed.
pub(super) fn transacted(error: FredError) -> Error {
    let code = code(&error);
    let is_reply = matches!(
        error.kind(),
        ErrorKind::Unknown | ErrorKind::InvalidArgument | ErrorKind::InvalidCommand | ErrorKind::Auth
    ) && code.len() > 2
        && code.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_whole = WHOLE.contains(&code) || passing(code).is_some();
    if is_reply && !is_whole { partly(&command(error)) } else { command(error) }
}

/// One command of a transaction has failed.
pub(super) fn partly(error: &Error) -> Error {
    let message = format!(
        "a command of the transaction failed ({}); Redis runs the others all the same, so part of it may have happened",
        error.message()
    );
    Error::new(error.kind(), message).retryable(false).with_source(error.clone())
}

/// So many commands of a client's transaction have failed, and others not.
pub(super) fn some_failed(failed: usize, count: usize, first: &ClientError) -> Error {
    let message =
        format!("{failed} of the {count} commands in the transaction failed, the first with: {}", first.message);
    partly(&of_code(first)).with_source(ClientError { message, ..first.clone() })
}

/// EXEC has answered nothing.
pub(super) fn conflict() -> Error {
    let message = "Redis did not carry the transaction out: a watched key has changed; nothing of it has happened";
    Error::new(Kind::Backend, message).retryable(true).unsent()
}

/// What a client of the application has thrown, or was answered.
pub(super) fn of_client(error: ClientError) -> Error {
    let classified = match error.name.as_str() {
        "WatchError" => conflict(),
        _ => of_code(&error),
    };
    classified.with_source(error)
}

fn of_code(error: &ClientError) -> Error {
    let code = error
        .code
        .as_deref()
        .map(|code| if ["EXECABORT", "ERR"].contains(&code) { code_of(&error.message) } else { code });
    if let Some(known) = code.and_then(by_code) {
        return known;
    }
    let not_sent = error.message.contains("enableOfflineQueue options is false");
    match error.name.as_str() {
        _ if not_sent || error.name == "ClientOfflineError" => {
            Error::new(Kind::Connection, "the Redis client is not connected").unsent()
        }
        // ioredis: "Command aborted due to connection close"; node-redis: given up by a signal.
        "AbortError" => {
            if error.message.contains("connection") {
                broken()
            } else {
                declined()
            }
        }
        // Those of ioredis, then those of node-redis.
        "MaxRetriesPerRequestError"
        | "ClusterAllFailedError"
        | "RootNodesUnavailableError"
        | "ReconnectStrategyError"
        | "SocketTimeoutError" => broken(),
        name if name.ends_with("TimeoutError") || error.message == "Command timed out" => {
            Error::new(Kind::Timeout, "Redis did not answer within the client's own time limit")
        }
        _ if code.is_some_and(is_socket_code) => broken(),
        _ => declined(),
    }
}

fn declined() -> Error {
    Error::new(Kind::Backend, "Redis, or the client, refused the command")
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

/// What everything fails with that is under way on a connection when it ends.
pub(super) fn ended() -> FredError {
    FredError::new(ErrorKind::IO, "the connection has ended")
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
            (
                "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write.",
                Kind::Connection,
                true,
            ),
            ("ERR Error running script (call to f_1): @user_script:3: user_script:3: oops", Kind::Backend, false),
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
        let unset = "ERR AUTH <password> called without any password configured for the default user. Are you sure?";
        let error = connecting(server(unset));
        assert!(!error.is_retryable() && error.message().contains("leave it out"), "{error:?}");
        let text = r#"Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"#;
        assert_eq!(connecting(FredError::new(ErrorKind::IO, text)).causes(), ["Connection refused"]);
        let error = connecting(FredError::new(ErrorKind::IO, "Os { code: 111, kind: ConnectionRefused }"));
        assert!(error.kind() == Kind::Connection && error.is_retryable() && error.is_unsent());
        let error = connecting(FredError::new(ErrorKind::IO, "error: InvalidCertificate(UnknownIssuer)"));
        assert!(error.message().contains("certificate") && !error.is_retryable());
        let error = connecting(server("ERR DB index is out of range"));
        assert_eq!(error.kind(), Kind::InvalidArgument);
    }

    fn client(name: &str, message: &str, code: Option<&str>) -> ClientError {
        ClientError {
            name: name.to_owned(),
            message: message.to_owned(),
            code: code.map(str::to_owned),
            labels: Vec::new(),
        }
    }

    #[test]
    fn clients_errors_mean_what_the_drivers_mean() {
        for (text, code) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
            ("READONLY You can't write against a read only replica.", "READONLY"),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE"),
            ("NOPERM this user has no permissions", "NOPERM"),
            ("CROSSSLOT Keys in request don't hash to the same slot", "CROSSSLOT"),
            ("ERR Error running script (call to f_1): @user_script: 1: -READONLY You can't write.", "ERR"),
            ("EXECABORT Transaction discarded because of previous errors.", "EXECABORT"),
            ("EXECABORT Transaction discarded because of: OOM command not allowed", "EXECABORT"),
        ] {
            let (ours, theirs) = (command(server(text)), of_client(client("ReplyError", text, Some(code))));
            assert_eq!(ours.message(), theirs.message(), "{text}");
            assert_eq!(
                (ours.kind(), ours.is_retryable(), ours.is_unsent()),
                (theirs.kind(), theirs.is_retryable(), theirs.is_unsent()),
                "{text}"
            );
        }
    }

    #[test]
    fn clients_have_errors_of_their_own() {
        for (name, message, code, kind, unsent) in [
            ("Error", "Connection is closed.", Some("CONNECTION_CLOSED"), Kind::Connection, false),
            ("Error", "connect ECONNREFUSED 127.0.0.1:1", Some("ECONNREFUSED"), Kind::Connection, false),
            ("MaxRetriesPerRequestError", "Reached the max retries per request limit", None, Kind::Connection, false),
            ("Error", "Stream isn't writeable and enableOfflineQueue options is false", None, Kind::Connection, true),
            ("ClientOfflineError", "The client is offline", Some("CONNECTION_CLOSED"), Kind::Connection, true),
            ("Error", "Command timed out", None, Kind::Timeout, false),
            ("Error", "something else", None, Kind::Backend, false),
        ] {
            let error = of_client(client(name, message, code));
            assert_eq!((error.kind(), error.is_unsent()), (kind, unsent), "{message}");
        }
    }

    #[test]
    fn transactions_fail_as_a_whole_or_in_part() {
        let error = of_client(client("WatchError", "", None));
        assert!(error.is_retryable() && error.message().contains("watched key"), "{error:?}");
        let error = some_failed(1, 2, &client("ReplyError", "wrong kind of value", Some("WRONGTYPE")));
        assert!(!error.is_retryable() && error.message().contains("may have happened"), "{error:?}");
        assert_eq!(error.kind(), Kind::CorruptData);
        for text in ["EXECABORT Transaction discarded because of previous errors.", "CLUSTERDOWN Hash slot not served"]
        {
            assert!(!transacted(server(text)).message().contains("may have"), "{text}");
        }
        for text in ["WRONGTYPE Operation against", "ERR value is not an integer", "NOPERM this user"] {
            assert!(transacted(server(text)).message().contains("may have happened"), "{text}");
        }
        let broken = transacted(FredError::new(ErrorKind::IO, "Connection closed."));
        assert_eq!(broken.kind(), Kind::Connection);
        let aborted = transacted(server("EXECABORT Transaction discarded because of: OOM command not allowed"));
        assert!(aborted.is_retryable() && aborted.is_unsent() && aborted.message().contains("memory"), "{aborted:?}");
    }
}
