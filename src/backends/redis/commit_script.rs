//! The script at the end of a transaction: it does everything that it is given, if all conditions hold. Nothing can
//! come between the look and the work.

use bytes::Bytes;

use super::command::Request;
use super::error;
use crate::error::Result;

/// Reads its words one after the other: conditions, then commands with their words. Answers the number of the first
/// condition that does not hold, or 0. What each kind knows of conditions stands between the two parts.
const BEGINNING: &str = "local at = 0 local function word() at = at + 1 return ARGV[at] end local later = {} ";
const CONDITIONS: &str = "for n = 1, tonumber(word()) do local kind, key, holds = word(), word() \
    if kind == 'value' then holds = (redis.call('GET', key) or '') == word() \
    elseif kind == 'free' then holds = redis.call('EXISTS', key) == 0 ";
const COMMANDS: &str = "end if not holds then return n end end \
    for n = 1, #later do later[n]() end \
    while at < #ARGV do local words = {} for n = 1, tonumber(word()) do words[n] = word() end \
    redis.call(unpack(words)) end return 0";

/// A condition that a kind of records knows of.
pub(super) struct Condition {
    /// The name of a Lua function. It takes a key, takes what else it needs with `word()`, and answers whether the
    /// condition holds. It may leave a function in `later`, which is called once all conditions hold.
    pub(super) name: &'static str,
    /// The text of the function, and of those that it needs.
    pub(super) text: &'static [&'static str],
}

/// What a transaction does at its end, and under which conditions.
#[derive(Default)]
pub(super) struct CommitScript {
    /// Of the conditions.
    keys: Vec<Bytes>,
    known: Vec<&'static Condition>,
    conditions: usize,
    words: Vec<Bytes>,
    requests: Vec<Request>,
}

impl CommitScript {
    /// The key must hold this text; if that is empty, nothing.
    pub(super) fn require_value(&mut self, key: &Bytes, value: &str) {
        self.add("value", key, [Bytes::copy_from_slice(value.as_bytes())]);
    }

    /// Nothing must be there.
    pub(super) fn require_free(&mut self, key: &Bytes) {
        self.add("free", key, []);
    }

    /// What a kind knows of the key must hold.
    pub(super) fn require(
        &mut self,
        condition: &'static Condition,
        key: &Bytes,
        words: impl IntoIterator<Item = Bytes>,
    ) {
        if !self.known.iter().any(|known| known.name == condition.name) {
            self.known.push(condition);
            // Scripts of the same kinds are the same text, which the server keeps.
            self.known.sort_unstable_by_key(|known| known.name);
        }
        self.add(condition.name, key, words);
    }

    fn add(&mut self, name: &'static str, key: &Bytes, words: impl IntoIterator<Item = Bytes>) {
        self.conditions += 1;
        self.keys.push(key.clone());
        self.words.extend([Bytes::from_static(name.as_bytes()), key.clone()]);
        self.words.extend(words);
    }

    /// Keys that conditions touch beside their own.
    pub(super) fn touch(&mut self, keys: impl IntoIterator<Item = Bytes>) {
        self.keys.extend(keys);
    }

    /// How many conditions there are.
    pub(super) fn conditions(&self) -> usize {
        self.conditions
    }

    /// What is done if everything holds.
    pub(super) fn then(&mut self, requests: impl IntoIterator<Item = Request>) {
        self.requests.extend(requests);
    }

    /// The commands alone, where nothing has to hold.
    pub(super) fn requests(self) -> Vec<Request> {
        self.requests
    }

    /// The script. Its reply is the number of the first condition that does not hold, or 0.
    pub(super) fn request(mut self) -> Result<Request> {
        self.keys.extend(self.requests.iter().map(|request| request.key().clone()));
        let key = self.keys.first().cloned().ok_or_else(error::unexpected)?;
        let count = |count: usize| Bytes::from(count.to_string());
        let mut words = vec![Bytes::from_static(b"EVAL"), text(&self.known), count(self.keys.len())];
        words.extend(self.keys);
        words.push(count(self.conditions));
        words.extend(self.words);
        for request in self.requests {
            let command = request.plain();
            words.push(count(command.len()));
            words.extend(command);
        }
        Ok(Request::Words { key, words })
    }
}

fn text(known: &[&Condition]) -> Bytes {
    let mut text = String::with_capacity(2_048);
    text.push_str(BEGINNING);
    for part in known.iter().flat_map(|condition| condition.text) {
        text.push_str(part);
    }
    text.push_str(CONDITIONS);
    for Condition { name, .. } in known {
        for part in ["elseif kind == '", name, "' then holds = ", name, "(key) "] {
            text.push_str(part);
        }
    }
    text.push_str(COMMANDS);
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    static A: Condition = Condition { name: "a", text: &["local function a(key) return true end "] };
    static B: Condition = Condition { name: "b", text: &["local function b(key) return word() == '' end "] };

    fn words(script: CommitScript) -> Vec<String> {
        let request = script.request().unwrap().plain();
        request.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    #[test]
    fn keys_conditions_and_commands_follow_each_other() {
        let (key, other) = (Bytes::from_static(b"k"), Bytes::from_static(b"o"));
        let mut script = CommitScript::default();
        script.require_value(&key, "v");
        script.require_free(&other);
        script.require(&B, &key, [Bytes::from_static(b"w")]);
        script.then([Request::Unlink { key }]);
        assert_eq!(script.conditions(), 3);
        let words = words(script);
        assert_eq!(words[2..7], ["4", "k", "o", "k", "k"]);
        assert_eq!(words[7..], ["3", "value", "k", "v", "free", "o", "b", "k", "w", "2", "UNLINK", "k"]);
        assert!(words[1].contains("local function b(key)") && words[1].contains("kind == 'b' then holds = b(key)"));
    }

    #[test]
    fn the_same_kinds_make_the_same_text() {
        let script = |conditions: &[&'static Condition]| {
            let mut script = CommitScript::default();
            for condition in conditions {
                script.require(condition, &Bytes::from_static(b"k"), []);
            }
            words(script)[1].clone()
        };
        assert_eq!(script(&[&A, &B]), script(&[&B, &A, &B]));
        assert_ne!(script(&[&A]), script(&[&B]));
    }
}
