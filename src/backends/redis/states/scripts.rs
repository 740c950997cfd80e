//! What is asked of a single key: commands, and scripts where it has to be looked at first.

use bytes::Bytes;
use fred::prelude::Value;

use super::keys::{HEAD_BYTES, Known, corrupt};
use crate::backends::redis::command::{Request, Until};
use crate::backends::redis::commit_script::{CommitScript, Condition};
use crate::backends::redis::error;
use crate::error::Result;

/// Takes the index of a saga id for a correlation id, unless another one has it: that is answered.
const CLAIM: &str = "local v = redis.call('GET', KEYS[1]) \
    if v and v ~= ARGV[1] then return v end \
    if not v then redis.call('SET', KEYS[1], ARGV[1]) end return false";

/// Changes the index of a saga id from one correlation id to another.
const MOVE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
    redis.call('SET', KEYS[1], ARGV[2]) return 1";

/// Gives the index of a saga id its time to live, if it is ours; answers what stands there.
const CONFIRM: &str = "local v = redis.call('GET', KEYS[1]) \
    if v == ARGV[1] then if ARGV[2] == '' then redis.call('PERSIST', KEYS[1]) \
    else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end end return v";

/// Removes a key that holds this.
const REMOVE_IF: &str =
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end redis.call('DEL', KEYS[1]) return 1";

/// Leases a saga that has timed out, unless it is leased for this very timeout.
const LEASE: &str = "local v = redis.call('GET', KEYS[1]) \
    if v and string.sub(v, 1, #ARGV[1]) == ARGV[1] then return 0 end \
    redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3]) return 1";

/// Looks at a state as far as needed. States of ours begin with version and id; those of others are
/// read as a whole.
const LOOK: &str = "local v = redis.call('GET', KEYS[1]) if not v then return 'absent' end \
    local version, at = string.match(v, '^{\"metadata\":{\"version\":(%d+),\"sagaId\":()') \
    if not at or string.sub(v, at, at + #ARGV[2] - 1) ~= ARGV[2] then \
    local ok, state = pcall(cjson.decode, v) \
    if not ok or type(state) ~= 'table' or type(state.metadata) ~= 'table' or type(state.metadata.version) ~= 'number' \
    then return 'corrupt' end \
    if state.metadata.sagaId ~= ARGV[1] then return 'absent' end \
    version = string.format('%.0f', state.metadata.version) end ";

/// Replaces a state of the expected version; answers the version that it found.
const CHANGE: &str = "if version ~= ARGV[3] then return version end \
    if ARGV[5] == '' then redis.call('SET', KEYS[1], ARGV[4]) \
    else redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5]) end return 'done'";

/// What stands before [`LOOK`] and behind it where several states are looked at.
const LOOK_AT: (&str, &str) = ("local function look(KEYS, ARGV) ", "return version end ");

/// Removes the state of a saga, also one that cannot be read: the index of the saga leads to it.
const REMOVE: &str =
    "if look(KEYS, ARGV) == 'absent' then return 'absent' end redis.call('DEL', KEYS[1]) return 'done'";

/// What a transaction's end knows of states: the state of a saga must have a version, or be "there", readable or not,
/// or be "gone".
static STATE: Condition = Condition { name: "state", text: &[LOOK_AT.0, LOOK, LOOK_AT.1, HOLDS] };
const HOLDS: &str = "local function state(key) local id, json, wanted = word(), word(), word() \
    local found = look({key}, {id, json}) local gone = found == 'absent' or found == 'corrupt' \
    if wanted == 'gone' then return gone elseif wanted == 'there' then return found ~= 'absent' end \
    return found == wanted end ";

/// The scripts by name, for servers that are played.
#[cfg(test)]
pub(crate) fn scripts() -> [(&'static str, String); 6] {
    [
        ("claim", CLAIM.to_owned()),
        ("move", MOVE.to_owned()),
        ("confirm", CONFIRM.to_owned()),
        ("remove if", REMOVE_IF.to_owned()),
        ("change", [LOOK, CHANGE].concat()),
        ("remove", [LOOK_AT.0, LOOK, LOOK_AT.1, REMOVE].concat()),
    ]
}

/// See [`STATE`].
pub(crate) fn require_state(script: &mut CommitScript, key: &Bytes, saga_id: &str, wanted: &str) {
    script.require(&STATE, key, [text(saga_id), json(saga_id), text(wanted)]);
}

fn words(key: Bytes, words: Vec<Bytes>) -> Request {
    Request::Words { key, words }
}

fn command(name: &'static str, key: &Bytes, rest: Vec<Bytes>) -> Request {
    words(key.clone(), [vec![Bytes::from_static(name.as_bytes()), key.clone()], rest].concat())
}

fn script(text: impl Into<Bytes>, key: Bytes, rest: Vec<Bytes>) -> Request {
    let head = vec![Bytes::from_static(b"EVAL"), text.into(), Bytes::from_static(b"1"), key.clone()];
    words(key, [head, rest].concat())
}

fn number(number: i64) -> Bytes {
    Bytes::from(number.to_string())
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A time to live in milliseconds; none is for ever.
fn ttl(left: Option<i64>) -> Bytes {
    left.map_or(Bytes::new(), number)
}

/// A saga id as it stands in JSON.
fn json(saga_id: &str) -> Bytes {
    Bytes::from(serde_json::Value::from(saga_id).to_string())
}

pub(crate) fn get(key: Bytes) -> Request {
    Request::Get { key }
}

/// The beginning of a state.
pub(crate) fn head(key: &Bytes) -> Request {
    command("GETRANGE", key, vec![number(0), Bytes::from(HEAD_BYTES.to_string())])
}

/// See [`CLAIM`].
pub(crate) fn claim(id_key: Bytes, correlation_id: &str) -> Request {
    script(CLAIM, id_key, vec![text(correlation_id)])
}

/// See [`MOVE`]; 1 if it was changed.
pub(crate) fn move_to(id_key: Bytes, from: &str, to: &str) -> Request {
    script(MOVE, id_key, vec![text(from), text(to)])
}

/// See [`CONFIRM`].
pub(crate) fn confirm(id_key: Bytes, correlation_id: &str, left: Option<i64>) -> Request {
    script(CONFIRM, id_key, vec![text(correlation_id), ttl(left)])
}

/// See [`REMOVE_IF`]; 1 if it was removed.
pub(crate) fn remove_if(key: Bytes, value: &str) -> Request {
    script(REMOVE_IF, key, vec![text(value)])
}

/// See [`LEASE`]; 1 if it was leased.
pub(crate) fn lease(key: Bytes, due: i64, worker: &str, lease_ms: u64) -> Request {
    script(LEASE, key, vec![Bytes::from(format!("{due}:")), text(worker), Bytes::from(lease_ms.to_string())])
}

/// Stores a state where there is none; null if there is one.
pub(crate) fn store(key: &Bytes, state: &str, left: Option<i64>) -> Request {
    let mut rest = vec![text(state), Bytes::from_static(b"NX")];
    rest.extend(left.map(|left| [Bytes::from_static(b"PX"), number(left)]).into_iter().flatten());
    command("SET", key, rest)
}

/// Stores whatever was there.
pub(crate) fn set(key: &Bytes, value: &str, left: Option<i64>) -> Request {
    Request::Set { key: key.clone(), data: text(value), until: left.map(Until::In) }
}

/// Stores where there is nothing.
pub(crate) fn set_if_absent(key: &Bytes, value: &str) -> Request {
    command("SET", key, vec![text(value), Bytes::from_static(b"NX")])
}

/// See [`CHANGE`].
pub(crate) fn change(key: Bytes, saga_id: &str, expected: i64, state: &str, left: Option<i64>) -> Request {
    let rest = vec![text(saga_id), json(saga_id), number(expected), text(state), ttl(left)];
    script([LOOK, CHANGE].concat(), key, rest)
}

/// See [`REMOVE`].
pub(crate) fn remove(key: Bytes, saga_id: &str) -> Request {
    script([LOOK_AT.0, LOOK, LOOK_AT.1, REMOVE].concat(), key, vec![text(saga_id), json(saga_id)])
}

/// What a script found that looked at a state.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// It has done its work.
    Done,
    /// There is no state of this saga.
    Absent,
    /// It has this version.
    Version(i64),
}

impl Looked {
    /// Reads the reply of [`change`] or [`remove`].
    pub(crate) fn of(reply: Result<Value>) -> Result<Self> {
        let reply = reply?.as_string().ok_or_else(error::unexpected)?;
        match reply.as_str() {
            "done" => Ok(Self::Done),
            "absent" => Ok(Self::Absent),
            "corrupt" => Err(corrupt()),
            version => version.parse().map(Self::Version).map_err(|_| error::unexpected()),
        }
    }
}

/// Puts a member into an index.
pub(crate) fn add(key: &Bytes, score: i64, member: &str) -> Request {
    command("ZADD", key, vec![number(score), text(member)])
}

/// Puts a member into an index, unless it is there.
pub(crate) fn add_if_absent(key: &Bytes, score: i64, member: &str) -> Request {
    command("ZADD", key, vec![text("NX"), number(score), text(member)])
}

/// Takes a member out of an index.
pub(crate) fn drop_from(key: &Bytes, member: &str) -> Request {
    command("ZREM", key, vec![text(member)])
}

/// A page of an index in no order: members with their scores.
pub(crate) fn scan_list(key: &Bytes, cursor: &str, count: &str) -> Request {
    command("ZSCAN", key, vec![text(cursor), text("COUNT"), text(count)])
}

/// The score of a member; null if it is not there.
pub(crate) fn score(key: &Bytes, member: &str) -> Request {
    command("ZSCORE", key, vec![text(member)])
}

/// Whether there is a key.
pub(crate) fn exists(key: &Bytes) -> Request {
    command("EXISTS", key, Vec::new())
}

/// How many members an index has.
pub(crate) fn size(key: &Bytes) -> Request {
    command("ZCARD", key, Vec::new())
}

/// Members behind `after`, in the order of their bytes, of an index whose scores are all the same.
pub(crate) fn behind(key: &Bytes, after: Option<&str>, limit: u64) -> Request {
    let from = after.map_or_else(|| text("-"), |after| Bytes::from(format!("({after}")));
    command("ZRANGEBYLEX", key, vec![from, text("+"), text("LIMIT"), number(0), Bytes::from(limit.to_string())])
}

/// Members with a score of up to `most`, from `skip` on.
pub(crate) fn up_to(key: &Bytes, most: &str, skip: u64, limit: u64) -> Request {
    let limit = [text("LIMIT"), Bytes::from(skip.to_string()), Bytes::from(limit.to_string())];
    command("ZRANGEBYSCORE", key, [vec![text("-inf"), text(most)], limit.to_vec()].concat())
}

/// Members with a score from `least` to `most`, each with its score.
pub(crate) fn scored(key: &Bytes, least: &str, most: i64, limit: usize) -> Request {
    let limit = [text("WITHSCORES"), text("LIMIT"), number(0), Bytes::from(limit.to_string())];
    command("ZRANGEBYSCORE", key, [vec![text(least), number(most)], limit.to_vec()].concat())
}

/// Milliseconds that a key is kept; negative if it is kept for ever, or not there.
pub(crate) fn time_left(key: &Bytes) -> Request {
    command("PTTL", key, Vec::new())
}

/// Remembers a name.
pub(crate) fn remember(key: &Bytes, name: &str) -> Request {
    command("SADD", key, vec![text(name)])
}

/// All names.
pub(crate) fn remembered(key: &Bytes) -> Request {
    command("SMEMBERS", key, Vec::new())
}

/// A reply that is text, or nothing.
pub(crate) fn text_of(reply: Result<Value>) -> Result<Option<String>> {
    match reply? {
        Value::Null => Ok(None),
        other => other.as_string().map(Some).ok_or_else(error::unexpected),
    }
}

/// A reply that is a state, or nothing.
pub(crate) fn state_of(reply: Result<Value>) -> Result<Option<String>> {
    match reply? {
        Value::Null => Ok(None),
        // No UTF-8.
        other => other.as_string().map(Some).ok_or_else(corrupt),
    }
}

/// A reply that is a state, or nothing: what it tells.
pub(crate) fn known_of(reply: Result<Value>) -> Result<Option<Known>> {
    state_of(reply)?.map(|state| Known::of(state.as_bytes())).transpose()
}

/// A reply that is a list of texts.
pub(crate) fn texts_of(reply: Result<Value>) -> Result<Vec<String>> {
    let elements = match reply? {
        Value::Array(elements) => elements,
        Value::Null => Vec::new(),
        _ => return Err(error::unexpected()),
    };
    elements.into_iter().map(|element| element.as_string().ok_or_else(error::unexpected)).collect()
}

/// A reply that is a list of members and scores: one after the other, or (RESP3) in pairs.
pub(crate) fn scored_of(reply: Result<Value>) -> Result<Vec<(i64, String)>> {
    let Value::Array(elements) = reply? else { return Err(error::unexpected()) };
    let flat = elements.into_iter().flat_map(|element| match element {
        Value::Array(pair) => pair,
        other => vec![other],
    });
    let mut texts = flat.map(|element| element.as_string().ok_or_else(error::unexpected));
    let mut found = Vec::new();
    while let Some(member) = texts.next() {
        let score: f64 = texts.next().ok_or_else(error::unexpected)??.parse().map_err(|_| error::unexpected())?;
        #[allow(clippy::cast_possible_truncation)]
        found.push((score as i64, member?));
    }
    Ok(found)
}

/// A reply that is a number.
pub(crate) fn number_of(reply: Result<Value>) -> Result<i64> {
    reply?.as_i64().ok_or_else(error::unexpected)
}
