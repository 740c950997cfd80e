//! Scripts that know many operations by their names.
//!
//! A script is sent by its digest (EVALSHA), and as a whole (EVAL) to a server that does not know it.

use bytes::Bytes;
use fred::prelude::Value;
use sha1::{Digest, Sha1};

use super::channel::{Answers, Channel};
use super::command::Request;
use super::error;
use crate::error::Result;

/// What a script begins with: arguments are words, read one after the other.
pub(crate) const WORD: &str = "local at = 0 local function word() at = at + 1 return ARGV[at] end\n";

/// The text of a script.
pub(crate) struct Source {
    text: Bytes,
    digest: Bytes,
}

impl Source {
    /// Of these parts.
    pub(crate) fn of(parts: &[&str]) -> Self {
        let text = Bytes::from(parts.concat());
        let digest: [u8; 20] = Sha1::digest(&*text).into();
        let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let digest = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect::<String>();
        Self { text, digest: Bytes::from(digest) }
    }
}

/// Makes the words of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Words(pub(crate) Vec<Bytes>);

impl Words {
    /// An operation.
    pub(crate) fn new(operation: &'static str) -> Self {
        Self(vec![Bytes::from(operation)])
    }

    /// An operation in a bucket, on one execution perhaps.
    pub(crate) fn of(operation: &'static str, base: String) -> Self {
        Self(vec![Bytes::from(operation), Bytes::from(base)])
    }

    /// A text.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.push(Bytes::copy_from_slice(text.as_bytes()));
        self
    }

    /// A number.
    pub(crate) fn number(self, number: i64) -> Self {
        self.text(&number.to_string())
    }

    /// Milliseconds.
    pub(crate) fn millis(self, millis: u64) -> Self {
        self.text(&millis.to_string())
    }

    /// Nothing is an empty word.
    pub(crate) fn optional(self, number: Option<i64>) -> Self {
        self.text(&number.map(|number| number.to_string()).unwrap_or_default())
    }

    /// Yes or no.
    pub(crate) fn flag(self, flag: bool) -> Self {
        self.text(if flag { "1" } else { "0" })
    }

    /// A list.
    pub(crate) fn list(mut self, words: impl IntoIterator<Item = Bytes>) -> Self {
        let at = self.0.len();
        self.0.push(Bytes::new());
        self.0.extend(words);
        self.0[at] = Bytes::from((self.0.len() - at - 1).to_string());
        self
    }

    /// A list of texts.
    pub(crate) fn texts<'a>(self, texts: impl IntoIterator<Item = &'a str>) -> Self {
        self.list(texts.into_iter().map(|text| Bytes::copy_from_slice(text.as_bytes())))
    }
}

/// An operation for a script.
pub(crate) struct Script {
    source: &'static Source,
    keys: Vec<Bytes>,
    words: Words,
}

impl Script {
    /// With at least one key, by which it finds its server.
    pub(crate) fn new(source: &'static Source, keys: Vec<Bytes>, words: Words) -> Self {
        Self { source, keys, words }
    }

    /// For a server that knows the script.
    fn by_digest(&self) -> Request {
        self.request("EVALSHA", &self.source.digest)
    }

    /// For one that does not.
    fn whole(&self) -> Request {
        self.request("EVAL", &self.source.text)
    }

    fn request(&self, command: &'static str, script: &Bytes) -> Request {
        let head = [Bytes::from(command), script.clone(), Bytes::from(self.keys.len().to_string())];
        let words = head.into_iter().chain(self.keys.iter().cloned()).chain(self.words.0.iter().cloned()).collect();
        Request::Words { key: self.keys.first().cloned().unwrap_or_default(), words }
    }
}

/// Has scripts run, in one round trip if the servers know them.
pub(crate) async fn ask(on: &impl Channel, scripts: Vec<Script>) -> Result<Answers> {
    let mut answers = on.send(scripts.iter().map(Script::by_digest).collect()).await?;
    let is_unknown = |answer: &Result<Value>| answer.as_ref().is_err_and(error::is_unknown_script);
    let unknown: Vec<usize> = (0..answers.len()).filter(|at| is_unknown(&answers[*at])).collect();
    if !unknown.is_empty() {
        let whole = unknown.iter().map(|at| scripts[*at].whole()).collect();
        for (at, answer) in unknown.into_iter().zip(on.send(whole).await?) {
            answers[at] = answer;
        }
    }
    Ok(answers)
}

/// A reply that is a list.
pub(crate) fn list_of(reply: Result<Value>) -> Result<Vec<Value>> {
    match reply? {
        Value::Array(elements) => Ok(elements),
        _ => Err(error::unexpected()),
    }
}

/// A reply that is a list of texts and numbers, as texts.
pub(crate) fn texts_of(reply: Result<Value>) -> Result<Vec<String>> {
    list_of(reply)?.into_iter().map(|element| element.as_string().ok_or_else(error::unexpected)).collect()
}

/// A reply that is a count.
pub(crate) fn count_of(reply: Result<Value>) -> Result<u64> {
    reply?.as_u64().ok_or_else(error::unexpected)
}
