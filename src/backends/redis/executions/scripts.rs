//! What is asked of the server: one script, which knows all operations by their names, and reads of indexes.

use std::sync::LazyLock;

use bytes::Bytes;
use fred::prelude::Value;

use super::keys::{self, Bucket};
use crate::backends::redis::command::Request;
use crate::backends::redis::commit_script::Condition;
use crate::backends::redis::error;
pub(crate) use crate::backends::redis::script::{Script, Words, ask, count_of, list_of, texts_of};
use crate::backends::redis::script::{Source, WORD};
use crate::error::Result;
use crate::time::Millis;

/// What all scripts know.
pub(crate) const COMMON: &str = include_str!("common.lua");
/// Changes of one execution.
pub(crate) const CHANGES: &str = include_str!("changes.lua");
const SEVERAL: &str = include_str!("several.lua");
/// A change that is only asked about is judged, and not made.
const MAIN: &str = "local only_asked, op = word() == '1', word()\n\
    local reply, change = OPS[op]()\n\
    if change and not only_asked then change() end\n\
    return reply";

static SCRIPT: LazyLock<Source> = LazyLock::new(|| Source::of(&[WORD, COMMON, CHANGES, SEVERAL, MAIN]));

/// An operation for the script, with at least one key, by which it finds its server.
pub(crate) fn script(keys: Vec<Bytes>, words: &Words, only_asked: bool) -> Script {
    let asked = Bytes::from(if only_asked { "1" } else { "0" });
    let words = [asked].into_iter().chain(words.0.iter().cloned()).collect();
    Script::new(&SCRIPT, keys, Words(words))
}

/// What a transaction's end knows of executions: a change must come to what it was answered, and is made then.
pub(crate) static EXECUTION: Condition = Condition { name: "execution", text: &[COMMON, CHANGES, JUDGED] };
const JUDGED: &str = "local function execution(key) local expected, op = word(), word() \
    local reply, change = OPS[op]() \
    if table.concat(reply, ' ', 1, math.min(#reply, 5)) ~= expected then return false end \
    later[#later + 1] = change return true end ";

impl Words {
    /// Entries of a log.
    pub(crate) fn entries(mut self, entries: &[crate::contract::executions::record::Entry], at: Millis) -> Self {
        self.0.push(Bytes::from(entries.len().to_string()));
        for entry in entries {
            let key = entry.key_text().unwrap_or_default();
            self.0.extend([Bytes::from(key), Bytes::from(entry.bytes().to_string()), keys::line_of(entry, at)]);
        }
        self
    }
}

/// The server's time.
pub(crate) fn time(key: Bytes) -> Request {
    let words = ["EVAL", "return redis.call('TIME')", "1"].map(Bytes::from);
    Request::Words { words: words.into_iter().chain([key.clone()]).collect(), key }
}

/// The same, as it is answered.
pub(crate) fn time_of(reply: Result<Value>) -> Result<Millis> {
    let parts = texts_of(reply)?;
    let part = |at: usize| parts.get(at).and_then(|part| part.parse::<i64>().ok()).ok_or_else(error::unexpected);
    Ok(Millis(part(0)? * 1_000 + part(1)? / 1_000))
}

/// Members of an index from a score on, with their scores; the least score first, or the last one.
pub(crate) fn range(key: &Bytes, from: Option<i64>, descending: bool, limit: usize) -> Request {
    let from = from.map(|from| Bytes::from(from.to_string()));
    let [name, begin, end] =
        if descending { ["ZREVRANGEBYSCORE", "+inf", "-inf"] } else { ["ZRANGEBYSCORE", "-inf", "+inf"] };
    let head = [Bytes::from(name), key.clone(), from.unwrap_or_else(|| Bytes::from(begin))];
    let rest = [end, "WITHSCORES", "LIMIT", "0"].map(Bytes::from);
    let words = head.into_iter().chain(rest).chain([Bytes::from(limit.to_string())]).collect();
    Request::Words { key: key.clone(), words }
}

/// Fields of a record.
pub(crate) fn fields(prefix: &str, bucket: Bucket, id: &str, names: &[&'static str]) -> Request {
    let key = bucket.key(prefix, &["saga:", id]);
    let head = [Bytes::from("HMGET"), key.clone()];
    let words = head.into_iter().chain(names.iter().copied().map(Bytes::from)).collect();
    Request::Words { key, words }
}
