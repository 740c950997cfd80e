//! Commands on one key, as fred's and as words for a client of the application.

use bytes::Bytes;
use fred::error::Error as FredError;
use fred::interfaces::KeysInterface;
use fred::prelude::{Expiration, Value};
use fred::types::{ClusterHash, CustomCommand};
use fred::util::redis_keyslot;

use crate::contract::dynamic::Dynamic;
use crate::error::Result;

/// The replies to a group of requests, one for each, in order.
pub(super) type Replies = Vec<Result<Value, FredError>>;

/// What EXEC answers: the replies to the commands, or nothing at all.
pub(super) type Transacted = Result<Value>;

/// When a key ceases to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// At a time of the server's clock, in milliseconds (PXAT).
    At(i64),
    /// After so many milliseconds (PX).
    In(i64),
}

/// A word of a command.
pub(super) enum Word<'a> {
    Text(&'static str),
    Bytes(&'a Bytes),
    Number(i64),
}

/// A command on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// `SET key data [PXAT at | PX in]`
    Set { key: Bytes, data: Bytes, until: Option<Until> },
    /// `UNLINK key`
    Unlink { key: Bytes },
    /// `PEXPIREAT key at`
    ExpireAt { key: Bytes, at: i64 },
    /// `PEXPIRE key millis`
    ExpireIn { key: Bytes, millis: i64 },
    /// `GET key`
    Get { key: Bytes },
    /// `EXISTS key`
    Exists { key: Bytes },
    /// `STRLEN key`
    Length { key: Bytes },
    /// Any command on one key: its name, and all that follows.
    Words { key: Bytes, words: Vec<Bytes> },
}

impl Request {
    /// The key.
    pub(super) fn key(&self) -> &Bytes {
        match self {
            Self::Set { key, .. }
            | Self::Unlink { key }
            | Self::Get { key }
            | Self::Exists { key }
            | Self::Length { key }
            | Self::Words { key, .. }
            | Self::ExpireAt { key, .. }
            | Self::ExpireIn { key, .. } => key,
        }
    }

    /// Its size, roughly.
    pub(super) fn bytes(&self) -> usize {
        let data = match self {
            Self::Set { data, .. } => data.len(),
            Self::Words { words, .. } => words.iter().map(Bytes::len).sum(),
            _ => 0,
        };
        self.key().len() + data
    }

    /// Puts the command into a pipeline or transaction; nothing is sent yet, and nothing waits.
    pub(super) async fn queue(self, on: &(impl KeysInterface + Sync)) -> Result<Value, FredError> {
        match self {
            Self::Set { key, data, until } => {
                let expiration = until.map(|until| match until {
                    Until::At(at) => Expiration::PXAT(at),
                    Until::In(millis) => Expiration::PX(millis),
                });
                on.set(key, Value::Bytes(data), expiration, None, false).await
            }
            Self::Unlink { key } => on.unlink(key).await,
            Self::ExpireAt { key, at } => on.pexpire_at(key, at, None).await,
            Self::ExpireIn { key, millis } => on.pexpire(key, millis, None).await,
            Self::Get { key } => on.get(key).await,
            Self::Exists { key } => on.exists(key).await,
            Self::Length { key } => on.strlen(key).await,
            Self::Words { key, words } => {
                let mut words = words.into_iter();
                let name = String::from_utf8_lossy(&words.next().unwrap_or_default()).into_owned();
                // In words of several keys fred would look for the first behind the name, where a script stands.
                let command = CustomCommand::new(name, ClusterHash::Custom(redis_keyslot(&key)), false);
                on.custom(command, words.map(Value::Bytes).collect::<Vec<_>>()).await
            }
        }
    }

    /// The command in words, the key behind the name.
    pub(super) fn spelled(&self) -> Vec<Word<'_>> {
        use Word::{Bytes, Number, Text};
        let named = |name| vec![Text(name), Bytes(self.key())];
        match self {
            Self::Words { words, .. } => words.iter().map(Bytes).collect(),
            Self::Set { key, data, until } => match until {
                Some(Until::At(at)) => vec![Text("SET"), Bytes(key), Bytes(data), Text("PXAT"), Number(*at)],
                Some(Until::In(millis)) => vec![Text("SET"), Bytes(key), Bytes(data), Text("PX"), Number(*millis)],
                None => vec![Text("SET"), Bytes(key), Bytes(data)],
            },
            Self::Unlink { .. } => named("UNLINK"),
            Self::ExpireAt { key, at } => vec![Text("PEXPIREAT"), Bytes(key), Number(*at)],
            Self::ExpireIn { key, millis } => vec![Text("PEXPIRE"), Bytes(key), Number(*millis)],
            Self::Get { .. } => named("GET"),
            Self::Exists { .. } => named("EXISTS"),
            Self::Length { .. } => named("STRLEN"),
        }
    }

    /// The same in memory of its own.
    pub(super) fn plain(self) -> Vec<Bytes> {
        if let Self::Words { words, .. } = self {
            return words;
        }
        let own = |word: Word| match word {
            Word::Text(text) => Bytes::from_static(text.as_bytes()),
            Word::Number(number) => number.to_string().into(),
            Word::Bytes(bytes) => bytes.clone(),
        };
        self.spelled().into_iter().map(own).collect()
    }

    /// The same for a client of the application: text, and bytes where data is stored.
    pub(super) fn words(self) -> Dynamic {
        Dynamic::List(self.into_words())
    }

    /// The same, word by word.
    pub(super) fn into_words(self) -> Vec<Dynamic> {
        // The data of a SET is handed over as it is.
        let data = if matches!(self, Self::Set { .. }) { Some(2) } else { None };
        let words = self.plain().into_iter().enumerate();
        words.map(|(at, text)| if Some(at) == data { Dynamic::Bytes(text) } else { word(&text) }).collect()
    }
}

/// Text is cheaper on the other side, and almost every key is.
fn word(word: &Bytes) -> Dynamic {
    match std::str::from_utf8(word) {
        Ok(text) => Dynamic::text(text),
        Err(_) => Dynamic::Bytes(word.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_words() {
        let key = || Bytes::from_static(b"p:a");
        let words = |request: Request| match request.words() {
            Dynamic::List(words) => words,
            other => panic!("{other:?}"),
        };
        let text = |words: &[&str]| words.iter().map(|word| Dynamic::text(word)).collect::<Vec<_>>();
        let data = Bytes::from_static(&[0, 255]);
        let set = |until| words(Request::Set { key: key(), data: data.clone(), until });
        let start = vec![Dynamic::text("SET"), Dynamic::text("p:a"), Dynamic::Bytes(data.clone())];
        assert_eq!(set(None), start);
        assert_eq!(set(Some(Until::At(7))), [start.clone(), text(&["PXAT", "7"])].concat());
        assert_eq!(set(Some(Until::In(5))), [start, text(&["PX", "5"])].concat());
        assert_eq!(words(Request::Unlink { key: key() }), text(&["UNLINK", "p:a"]));
        assert_eq!(words(Request::ExpireAt { key: key(), at: 9 }), text(&["PEXPIREAT", "p:a", "9"]));
        assert_eq!(words(Request::ExpireIn { key: key(), millis: 3 }), text(&["PEXPIRE", "p:a", "3"]));
        assert_eq!(words(Request::Get { key: key() }), text(&["GET", "p:a"]));
        assert_eq!(words(Request::Exists { key: key() }), text(&["EXISTS", "p:a"]));
        let binary = Bytes::from_static(&[0xff]);
        assert_eq!(words(Request::Length { key: binary.clone() }), [Dynamic::text("STRLEN"), Dynamic::Bytes(binary)]);
    }
}
