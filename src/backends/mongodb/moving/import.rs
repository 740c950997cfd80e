//! Records are stored: the steps of `mod.rs`.

use mongodb::bson::Document;

use super::super::answer::{Answer, unconfirmed};
use super::super::build::Build;
use super::super::channel::Channel;
use super::super::executions::log::remove_logs;
use super::super::outbox::document::INSERTING;
use super::super::statements::{COMMAND, have_inserted, remove_ids};
use super::super::states::saga::delete_if_over;
use super::item::Item;
use super::there::{Found, Verdict, look};
use crate::contract::moving::{Fate, Import, Moved};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Rounds of an import: others change what it has looked at.
const ROUNDS: usize = 8;
/// A command has no more bytes of documents than this, unless one document alone does: it ends at 16 MB.
const COMMAND_BYTES: usize = 12 * 1024 * 1024;

/// Stores records.
pub(super) async fn run(on: &impl Channel, import: &Import) -> Result<Reply> {
    let mut importing = Importing { on, import, fates: vec![None; import.records.len()], logs: Vec::new() };
    importing.run().await?;
    Ok(import.reply(importing.fates.into_iter().map(|fate| fate.unwrap_or(Fate::Skipped)).collect()))
}

fn busy(id: &str) -> Error {
    let message = "others change what has this id all the time";
    Error::new(Kind::Backend, message).with_id(id).retryable(true).unsent()
}

/// An import that is under way.
struct Importing<'a, C> {
    on: &'a C,
    import: &'a Import,
    fates: Vec<Option<Fate>>,
    /// Logs that are nobody's any more, each with its saga.
    logs: Vec<(String, String)>,
}

impl<'a, C: Channel> Importing<'a, C> {
    fn kind(&self) -> Moved {
        self.import.kind
    }

    async fn run(&mut self) -> Result<()> {
        let records = &self.import.records;
        let count = i64::try_from(records.len()).unwrap_or(1).max(1);
        let first = if self.kind() == Moved::Outbox { self.on.clock().numbers(count) } else { 0 };
        let mut items: Vec<Item<'a>> = Vec::with_capacity(records.len());
        for ((at, record), seq) in records.iter().enumerate().zip(first..) {
            match Item::new(self.on, at, record, seq) {
                Ok(item) => items.push(item),
                Err(error) => self.fates[at] = Some(Fate::Refused(error)),
            }
        }
        // A log that is stored in parts is not stored in vain.
        let (parts, whole): (Vec<Item<'a>>, Vec<Item<'a>>) = items.into_iter().partition(Item::is_in_parts);
        let mut open = self.insert(whole).await?;
        open.extend(parts);
        open.sort_unstable_by_key(|item| item.at);
        for _ in 0..ROUNDS {
            if open.is_empty() {
                break;
            }
            open = self.round(open).await?;
            open.sort_unstable_by_key(|item| item.at);
        }
        for mut item in open {
            let error = item.failed.take().unwrap_or_else(|| busy(&item.id));
            self.decide(item, Fate::Refused(error));
        }
        self.remove_logs().await
    }

    /// Looks, decides, and writes. Those that are still open.
    async fn round(&mut self, items: Vec<Item<'a>>) -> Result<Vec<Item<'a>>> {
        let mut there = look(self.on, self.kind(), &items).await?;
        let (mut fresh, mut replacing, mut left, mut blocked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let now = Millis::now();
        for mut item in items {
            match there.judge(&item, self.import.conflict, now) {
                Verdict::Insert => fresh.push(item),
                Verdict::Replace(found) => {
                    item.old_log = found.text("log").map(str::to_owned);
                    if let Some(seq) = found.seq() {
                        item.keep_place(seq);
                    }
                    replacing.push((item, found));
                }
                Verdict::Decided(fate) => self.decide(item, fate),
                Verdict::InTheWay(id) => {
                    delete_if_over(self.on, &id).await?;
                    left.push(item);
                }
                Verdict::Abandoned => {
                    let is_hidden = |filter: &mut C::Command| {
                        filter.text("status", INSERTING);
                    };
                    remove_ids(self.on, &[&*item.id], is_hidden).await?;
                    left.push(item);
                }
                Verdict::Blocked(error) => blocked.push((item, error)),
            }
        }
        // What is in their way may be what is replaced.
        let may_change = !replacing.is_empty();
        for (mut item, error) in blocked {
            if may_change || error.is_retryable() {
                item.failed = Some(error);
                left.push(item);
            } else {
                self.decide(item, Fate::Refused(error));
            }
        }
        for item in fresh.iter_mut().chain(replacing.iter_mut().map(|(item, _)| item)) {
            item.store_log(self.on).await?;
        }
        left.extend(self.insert(fresh).await?);
        left.extend(self.replace(replacing).await?);
        Ok(left)
    }

    /// Inserts documents, each for itself. Those that are still open: a unique index has refused them, or they may be
    /// tried again.
    async fn insert(&mut self, items: Vec<Item<'a>>) -> Result<Vec<Item<'a>>> {
        let mut left = Vec::new();
        let mut waiting = items.into_iter().peekable();
        while let Some(chunk) = next_chunk(&mut waiting, usize::MAX, |item| item.size) {
            let on = self.on;
            let items: Vec<&Item<'_>> = chunk.iter().collect();
            let reply = self.send(&items, |command| {
                command.text("insert", on.collection()).begin_array("documents");
                for (place, item) in chunk.iter().enumerate() {
                    command.begin(&place.to_string());
                    item.write(on, command);
                    command.end();
                }
                command.end().flag("ordered", false);
            });
            let reply = reply.await?;
            let results = have_inserted(&reply, chunk.len());
            for (item, inserted) in chunk.into_iter().zip(results) {
                match inserted {
                    Ok(true) => self.decide(item, Fate::Stored),
                    Ok(false) => left.push(item),
                    Err(error) => left.extend(self.fail(item, error)),
                }
            }
        }
        Ok(left)
    }

    /// Replaces documents that are as they were read. Those that are still open.
    async fn replace(&mut self, items: Vec<(Item<'a>, Found)>) -> Result<Vec<Item<'a>>> {
        let most = if self.on.is_atomic() { usize::MAX } else { 1 };
        let mut left = Vec::new();
        let mut waiting = items.into_iter().peekable();
        while let Some(chunk) = next_chunk(&mut waiting, most, |(item, _)| item.size + COMMAND / 4) {
            let (on, kind) = (self.on, self.kind());
            let items: Vec<&Item<'_>> = chunk.iter().map(|(item, _)| item).collect();
            let reply = self.send(&items, |command| {
                command.text("update", on.collection()).begin_array("updates");
                for (place, (item, found)) in chunk.iter().enumerate() {
                    command.begin(&place.to_string()).begin("q").text("_id", &item.id);
                    found.write_unchanged(kind, command);
                    command.end().begin("u");
                    item.write(on, command);
                    command.end().end();
                }
                command.end().flag("ordered", false);
            });
            let answer = Answer::of(&reply.await?);
            let results: Vec<Result<()>> = (0..chunk.len()).map(|place| answer.at(place)).collect();
            let sent = results.iter().filter(|result| result.is_ok()).count();
            let (are_all, is_one) = (usize::try_from(answer.count).is_ok_and(|count| count == sent), sent == 1);
            for ((mut item, _), result) in chunk.into_iter().zip(results) {
                match result {
                    Ok(()) if are_all => self.decide(item, Fate::Stored),
                    Ok(()) => {
                        item.was_sent |= !is_one;
                        left.push(item);
                    }
                    Err(error) => left.extend(self.fail(item, error)),
                }
            }
        }
        Ok(left)
    }

    async fn send(&self, items: &[&Item<'a>], write: impl Fn(&mut C::Command) + Send + Sync) -> Result<Document> {
        let ids: Vec<&str> = items.iter().map(|item| &*item.id).collect();
        // The kinds whose writes of unknown fate are fenced off.
        let replaces = if matches!(self.kind(), Moved::Payloads | Moved::Executions) { &ids[..] } else { &[] };
        let size = COMMAND + items.iter().map(|item| item.size).sum::<usize>();
        let reply = self.on.change(size, replaces, write).await?;
        unconfirmed(&reply).map_or(Ok(reply), Err)
    }

    /// It was refused: for ever, or for now.
    fn fail(&mut self, mut item: Item<'a>, error: Error) -> Option<Item<'a>> {
        if error.is_retryable() {
            item.failed = Some(error);
            return Some(item);
        }
        let error = error.with_id(item.record.id());
        self.decide(item, Fate::Refused(error));
        None
    }

    /// That is its fate. Of two logs one is nobody's.
    fn decide(&mut self, item: Item<'a>, fate: Fate) {
        let is_stored = matches!(fate, Fate::Stored);
        let log = item.log().filter(|_| item.has_stored_log()).map(str::to_owned);
        let nobodys = if is_stored { item.old_log } else { log };
        self.logs.extend(nobodys.map(|log| (item.id, log)));
        self.fates[item.at] = Some(fate);
    }

    async fn remove_logs(&self) -> Result<()> {
        if self.kind() != Moved::Executions || self.logs.is_empty() {
            return Ok(());
        }
        let logs: Vec<(&str, &str)> = self.logs.iter().map(|(id, log)| (&**id, &**log)).collect();
        remove_logs(self.on, &logs).await
    }
}

/// As many as fit a command; none: that was all.
fn next_chunk<T>(
    items: &mut std::iter::Peekable<impl Iterator<Item = T>>,
    most: usize,
    size: impl Fn(&T) -> usize,
) -> Option<Vec<T>> {
    let mut chunk = vec![items.next()?];
    let mut bytes = size(&chunk[0]);
    while chunk.len() < most
        && let Some(item) = items.next_if(|item| bytes + size(item) <= COMMAND_BYTES)
    {
        bytes += size(&item);
        chunk.push(item);
    }
    Some(chunk)
}
