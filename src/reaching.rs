//! What an error says of a server that could not be reached: where it was looked for, and why it was not found, in words.

use crate::error::{Error, Kind};

/// What operating systems and drivers say, and what it means.
const REASONS: [(&[&str], &str); 7] = [
    (&["ConnectionRefused", "onnection refused"], "connection refused, nothing listens there"),
    (
        &["lookup address", "Name or service not known", "nodename nor servname", "No such host", "dns error"],
        "the name of the host cannot be resolved",
    ),
    (&["HostUnreachable", "o route to host"], "no route to this host"),
    (&["NetworkUnreachable", "etwork is unreachable"], "the network cannot be reached"),
    (&["ConnectionReset", "reset by peer"], "the other side has hung up"),
    (&["UnexpectedEof", "unexpected end of file", "early eof"], "the other side has hung up"),
    (&["TimedOut", "timed out"], "no answer"),
];

/// Adds to a failure to connect where that was, and why, as far as the causes tell.
pub(crate) fn looked_for_at(error: Error, place: &str) -> Error {
    if !matches!(error.kind(), Kind::Connection | Kind::Timeout) {
        return error;
    }
    let more = match reason(&error.causes()) {
        Some(reason) => format!(" ({place}: {reason})"),
        None => format!(" ({place})"),
    };
    error.saying(&more)
}

/// The first reason that the causes name.
fn reason(causes: &[String]) -> Option<&'static str> {
    let names = |signs: &[&str]| causes.iter().any(|cause| signs.iter().any(|sign| cause.contains(sign)));
    REASONS.iter().find(|(signs, _)| names(signs)).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn it_says_where_and_why() {
        let refused = Error::new(Kind::Connection, "cannot connect")
            .with_source(io::Error::from(io::ErrorKind::ConnectionRefused));
        let told = looked_for_at(refused, "127.0.0.1:1");
        assert_eq!(told.message(), "cannot connect (127.0.0.1:1: connection refused, nothing listens there)");
        assert!(told.is_retryable());
        let unknown = looked_for_at(Error::new(Kind::Connection, "cannot connect"), "a:1, b:2");
        assert_eq!(unknown.message(), "cannot connect (a:1, b:2)");
        assert_eq!(looked_for_at(Error::closed(), "a:1").message(), "the store is closed");
    }
}
