//! What the servers say of themselves when a connection is made: who we are to them, and what
//! time it is there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fred::error::Error as FredError;
use fred::prelude::Value;
use fred::types::config::Server;
use futures_util::future::try_join_all;

use super::link::Link;
use crate::time::{Millis, Moment};

/// The name of our connections in `CLIENT LIST`.
const NAME: &str = "sagastore";
/// The server's clock is asked again after this.
const CLOCK_LASTS: Duration = Duration::from_secs(30);
/// Clocks that differ by no more than this are the same, beside the error of measurement.
const SAME_CLOCK_MS: i64 = 5;

/// The answers of all servers of a connection.
pub(super) struct Survey {
    sessions: Vec<Session>,
    reading: Option<Reading>,
}

/// Who a connection is to the server: no other connection ever has the same number and address.
struct Session {
    node: Option<Server>,
    id: String,
    address: String,
}

/// By how much a server's clock is ahead of ours, and how wrong that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    ahead: i64,
    error: i64,
}

impl Survey {
    /// Asks every server, in one round trip.
    pub(super) async fn take(link: &Link) -> Result<Self, FredError> {
        let answers = try_join_all(link.nodes().into_iter().map(|node| ask(link, node))).await?;
        let (sessions, readings): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        let reading = Reading::of_all(readings.into_iter().flatten());
        Ok(Self { sessions: sessions.into_iter().flatten().collect(), reading })
    }

    /// Ends the connections of an earlier survey, seen from a newer connection to the same
    /// servers. What they sent and the server has not read yet is forgotten, so that a write
    /// which has failed cannot come to life after a later one. May be forbidden (ACL); then it
    /// can, in the moment in which a paused server goes on.
    pub(super) async fn end_sessions(&self, link: &Link) {
        let known = link.nodes();
        for session in self.sessions.iter().filter(|session| known.contains(&session.node)) {
            let kill = ["CLIENT", "KILL", "ID", &session.id, "ADDR", &session.address];
            link.ask(session.node.as_ref(), &[&kill]).await;
        }
    }
}

async fn ask(link: &Link, node: Option<Server>) -> Result<(Option<Session>, Option<Reading>), FredError> {
    let commands: [&[&str]; 4] = [&["PING"], &["TIME"], &["CLIENT", "INFO"], &["CLIENT", "SETNAME", NAME]];
    let before = Millis::now();
    let mut answers = link.ask(node.as_ref(), &commands).await.into_iter();
    let after = Millis::now();
    answers.next().unwrap_or_else(|| Err(FredError::new_canceled()))?;
    // The others may be unknown to an old server, or forbidden.
    let reading = answers.next().and_then(Result::ok).and_then(|time| Reading::of(&time, before, after));
    let session = answers.next().and_then(Result::ok).and_then(|info| Session::of(&info, node));
    Ok((session, reading))
}

impl Session {
    fn of(info: &Value, node: Option<Server>) -> Option<Self> {
        let text = info.as_string()?;
        let field =
            |name: &str| text.split_ascii_whitespace().find_map(|pair| pair.strip_prefix(name)).map(str::to_owned);
        Some(Self { node, id: field("id=")?, address: field("addr=")? })
    }
}

impl Reading {
    /// With several servers the clock that is furthest ahead counts: the others keep a payload a
    /// little longer, which loses nothing.
    pub(super) fn of_all(readings: impl IntoIterator<Item = Self>) -> Option<Self> {
        readings.into_iter().max_by_key(|reading| reading.ahead)
    }

    /// From the reply to TIME: seconds and microseconds.
    pub(super) fn of(time: &Value, before: Millis, after: Millis) -> Option<Self> {
        let Value::Array(parts) = time else { return None };
        let number = |index: usize| parts.get(index)?.as_bytes_str()?.parse::<i64>().ok();
        let server = number(0)?.checked_mul(1_000)? + number(1)? / 1_000;
        let trip = (after.0 - before.0).max(0);
        Some(Self { ahead: server - (before.0 + trip / 2), error: trip / 2 + 1 })
    }
}

/// The servers' clock beside ours.
#[derive(Default)]
pub(super) struct Clock {
    state: Mutex<ClockState>,
}

#[derive(Default)]
struct ClockState {
    reading: Option<Reading>,
    /// None before the first time.
    read_at: Option<Moment>,
    /// When somebody was sent to read it again.
    due_since: Option<Instant>,
}

impl ClockState {
    /// By how much our own clock has been set since the servers' was read.
    fn jump(&self) -> i64 {
        self.read_at.map_or(0, |read_at| read_at.jump())
    }
}

impl Clock {
    pub(super) fn new(survey: &Survey) -> Self {
        Self {
            state: Mutex::new(ClockState { reading: survey.reading, read_at: Some(Moment::now()), due_since: None }),
        }
    }

    fn state(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a newer survey found.
    pub(super) fn update(&self, survey: &Survey) {
        self.note(survey.reading);
    }

    /// Takes over a newer reading, if there is one.
    pub(super) fn note(&self, reading: Option<Reading>) {
        let mut state = self.state();
        // Where the servers do not answer this time, the difference has changed with our clock.
        let jump = state.jump();
        let known = state.reading.map(|known| Reading { ahead: known.ahead.saturating_sub(jump), ..known });
        state.reading = reading.or(known);
        state.read_at = Some(Moment::now());
        state.due_since = None;
    }

    /// By how many milliseconds the servers are ahead of us, if they told the time.
    pub(super) fn ahead(&self) -> Option<i64> {
        self.state().reading.map(|reading| reading.ahead)
    }

    /// What to add to our time to have the servers': 0 unless the clocks differ noticeably.
    pub(super) fn shift(&self) -> i64 {
        match self.state().reading {
            Some(Reading { ahead, error }) if ahead.abs() > error + SAME_CLOCK_MS => ahead,
            _ => 0,
        }
    }

    /// The same, unless the servers have not told the time, or not since our clock was set.
    pub(super) fn known_shift(&self) -> Option<i64> {
        if self.has_jumped() {
            return None;
        }
        self.ahead().map(|_| self.shift())
    }

    /// Whether our clock has been set since: the difference is another one, and must be read before it is used.
    pub(super) fn has_jumped(&self) -> bool {
        self.state().jump() != 0
    }

    /// Whether it is time to ask: for everybody until there is an answer, and then for one caller
    /// only, each time that the last answer is old.
    pub(super) fn is_due(&self) -> bool {
        let mut state = self.state();
        let Some(read_at) = state.read_at else { return true };
        let due = read_at.age() >= CLOCK_LASTS && state.due_since.is_none_or(|since| since.elapsed() >= CLOCK_LASTS);
        if due {
            state.due_since = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(reading: Option<Reading>) -> Clock {
        Clock::new(&Survey { sessions: Vec::new(), reading })
    }

    #[test]
    fn time_is_read() {
        let time = Value::Array(vec![Value::from("1700000000"), Value::from("250000")]);
        let reading = Reading::of(&time, Millis(1_700_000_000_000), Millis(1_700_000_000_100)).unwrap();
        assert_eq!(reading, Reading { ahead: 200, error: 51 });
        assert_eq!(Reading::of(&Value::Null, Millis(0), Millis(0)), None);
        // As clients hand it over that were asked for bytes.
        let part = |text: &'static str| Value::Bytes(bytes::Bytes::from_static(text.as_bytes()));
        let time = Value::Array(vec![part("1700000000"), part("250000")]);
        assert_eq!(Reading::of(&time, Millis(1_700_000_000_000), Millis(1_700_000_000_100)), Some(reading));
    }

    #[test]
    fn small_differences_are_none() {
        assert_eq!(clock(None).shift(), 0);
        assert_eq!(clock(Some(Reading { ahead: 50, error: 51 })).shift(), 0);
        assert_eq!(clock(Some(Reading { ahead: -60_000, error: 1 })).shift(), -60_000);
        assert_eq!(clock(Some(Reading { ahead: 600_000, error: 1 })).shift(), 600_000);
    }

    #[test]
    fn the_first_answer_is_waited_for() {
        let clock = Clock::default();
        assert!(clock.is_due() && clock.is_due());
        assert_eq!(clock.known_shift(), None);
        clock.note(None);
        assert!(!clock.is_due());
        assert_eq!((clock.known_shift(), clock.shift()), (None, 0));
        clock.note(Some(Reading { ahead: 60_000, error: 1 }));
        assert_eq!(clock.known_shift(), Some(60_000));
        clock.note(None);
        assert_eq!(clock.known_shift(), Some(60_000));
    }

    #[test]
    fn a_session_is_number_and_address() {
        let info = Value::from("id=7 addr=10.0.0.1:50000 laddr=10.0.0.2:6379 fd=8 name=");
        let session = Session::of(&info, None).unwrap();
        assert_eq!((session.id.as_str(), session.address.as_str()), ("7", "10.0.0.1:50000"));
    }
}
