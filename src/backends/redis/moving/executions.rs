//! Executions with their logs. Records are found by SCAN, not in the indexes: what changes its status meanwhile moves
//! from one index to another one, and could be missed.

use std::sync::LazyLock;

use bytes::Bytes;
use fred::prelude::Value;

use super::scan::Scanned;
use super::{Found, fate, told, unreadable};
use crate::backends::redis::channel::{Servers, escaped};
use crate::backends::redis::command::Request;
use crate::backends::redis::error;
use crate::backends::redis::executions::Executions;
use crate::backends::redis::executions::keys::{
    self, Bucket, SHOWN, corrupt, execution_of, fields_of, given, line_of, logged_of,
};
use crate::backends::redis::executions::scripts::{CHANGES, COMMON};
use crate::backends::redis::script::{Script, Source, WORD, Words, ask, list_of};
use crate::contract::executions::record::Logged;
use crate::contract::executions::{ExecutionRead, Filter};
use crate::contract::moving::record::{Key, Logbook, Record};
use crate::contract::moving::{Conflict, Count, Fate, Import};
use crate::contract::operation::Work;
use crate::contract::step::Reply;
use crate::error::{Error, Result};

const BRING: &str = include_str!("executions.lua");
static BRINGS: LazyLock<Source> = LazyLock::new(|| Source::of(&[WORD, COMMON, CHANGES, BRING]));

/// The fields of a record and all entries of its log.
const READ: &str = "local key, log = KEYS[1], KEYS[2] \
    return {redis.call('HMGET', key, unpack(ARGV)), redis.call('LRANGE', log, 0, -1)}";
static READS: LazyLock<Source> = LazyLock::new(|| Source::of(&[READ]));

/// Bytes of imported logs that are sent at once.
const BYTES_TOGETHER: usize = 8 << 20;

/// The executions under a prefix.
pub(super) struct Runs<'a, S> {
    pub(super) on: &'a S,
    pub(super) prefix: &'a str,
}

fn logbook_of(id: &str, values: Vec<Value>, log: Vec<Value>) -> Result<Option<Logbook>> {
    let Some(execution) = execution_of(id, values)? else { return Ok(None) };
    let entry = |(seq, line): (i64, Value)| logged_of(id, seq, &line.into_bytes().ok_or_else(|| corrupt(id))?);
    let log: Vec<Logged> = (1..).zip(log).map(entry).collect::<Result<_>>()?;
    if i64::try_from(log.len()) != Ok(execution.seq) {
        return Err(corrupt(id));
    }
    Ok(Some(Logbook { execution, log }))
}

/// What a conflict is called in the scripts.
pub(super) fn policy(conflict: Conflict) -> &'static str {
    match conflict {
        Conflict::Skip => "skip",
        Conflict::Overwrite => "overwrite",
        Conflict::Refuse => "refuse",
        Conflict::Newer => "newer",
    }
}

impl<S: Servers> Runs<'_, S> {
    fn id<'k>(&self, key: &'k str) -> Option<&'k str> {
        let (number, id) = key.strip_prefix(self.prefix)?.strip_prefix("{b")?.split_once("}:saga:")?;
        let is_its = Bucket::of(id).base("") == format!("{{b{number}}}:");
        is_its.then_some(id)
    }

    async fn logbooks(&self, ids: &[&str]) -> Result<Vec<Result<Option<Logbook>>>> {
        let script = |id: &&str| {
            let bucket = Bucket::of(id);
            let keys = ["saga:", "log:"].map(|part| bucket.key(self.prefix, &[part, id]));
            Script::new(&READS, keys.into(), Words(SHOWN.map(Bytes::from).into()))
        };
        let logbook = |(id, reply): (&&str, Result<Value>)| {
            let [values, log] = <[Value; 2]>::try_from(list_of(reply)?).map_err(|_| error::unexpected())?;
            logbook_of(id, list_of(Ok(values))?, list_of(Ok(log))?)
        };
        let replies = ask(self.on, ids.iter().map(script).collect()).await?;
        Ok(ids.iter().zip(replies).map(logbook).collect())
    }

    pub(super) async fn fetch(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let ids: Vec<&str> = keys.iter().map(|key| &*key.id).collect();
        let found = self.logbooks(&ids).await?.into_iter();
        found.map(|found| Ok(found?.map(|logbook| Record::Execution(Box::new(logbook))))).collect()
    }

    pub(super) async fn count(&self) -> Result<Count> {
        let executions = Executions { on: self.on, prefix: self.prefix };
        let filter = Filter::default();
        match executions.run(&Work::Read(ExecutionRead::Count { filter })).await? {
            Reply::Count(records) => Ok(Count { records, approximate: false }),
            _ => Err(error::unexpected()),
        }
    }

    fn script(&self, logbook: &Logbook, conflict: Conflict) -> Script {
        let Logbook { execution, log } = logbook;
        let (id, bucket) = (&*execution.id, Bucket::of(&execution.id));
        let keys = if self.on.one_server() {
            vec![bucket.key(self.prefix, &["leased"])]
        } else {
            keys::touched(bucket, self.prefix, &[id])
        };
        let (mut fields, others) = fields_of(execution);
        let number = |at: &crate::time::Millis| at.0.to_string();
        fields.extend(given([
            ("dueAt", execution.due_at.as_ref().map(number)),
            ("parkedAt", execution.parked_at.as_ref().map(number)),
        ]));
        let words = Words::of("bring", bucket.base(self.prefix)).text(id).text(policy(conflict));
        let mut words = words.list(fields).list(others).text(&log.len().to_string());
        for Logged { entry, at, .. } in log {
            let key = entry.key_text().unwrap_or_default();
            words.0.extend([Bytes::from(key), Bytes::from(entry.bytes().to_string()), line_of(entry, *at)]);
        }
        Script::new(&BRINGS, keys, words)
    }

    pub(super) async fn import(&self, import: &Import) -> Result<Vec<Fate>> {
        let mut fates = Vec::with_capacity(import.records.len());
        let mut rest = &import.records[..];
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |record: &&Record| {
                bytes += record.bytes();
                bytes <= BYTES_TOGETHER
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (some, others) = rest.split_at(count);
            let scripts = some.iter().map(|record| match record {
                Record::Execution(logbook) => Ok(self.script(logbook, import.conflict)),
                _ => Err(error::unexpected()),
            });
            let replies = ask(self.on, scripts.collect::<Result<_>>()?).await?;
            for (record, reply) in some.iter().zip(replies) {
                fates.push(fate(stored(reply, record), record)?);
            }
            rest = others;
        }
        Ok(fates)
    }
}

fn stored(reply: Result<Value>, record: &Record) -> Result<bool> {
    match reply?.as_string().unwrap_or_default().as_str() {
        "corrupt" => Err(corrupt(record.id())),
        word => told(word, record),
    }
}

impl<S: Servers> Scanned for Runs<'_, S> {
    const TYPE: &'static str = "hash";

    fn pattern(&self) -> String {
        format!("{}{{b*}}:saga:*", escaped(self.prefix))
    }

    fn is_record(&self, key: &str) -> bool {
        self.id(key).is_some()
    }

    fn shown<'k>(&self, key: &'k str) -> &'k str {
        self.id(key).unwrap_or(key)
    }

    fn size(&self, key: &str) -> Option<Request> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        Some(Request::Words { words: vec![Bytes::from("HGET"), key.clone(), Bytes::from("size")], key })
    }

    async fn read(&self, keys: &[String]) -> Result<Vec<Option<Found>>> {
        let ids: Vec<&str> = keys.iter().map(|key| self.shown(key)).collect();
        let found = self.logbooks(&ids).await?.into_iter();
        let record = |found: Result<Option<Logbook>>| match found {
            Ok(found) => Ok(found.map(|logbook| Ok(Record::Execution(Box::new(logbook))))),
            Err::<_, Error>(error) => unreadable(error).map(Some),
        };
        found.map(record).collect()
    }
}
