//! Groups of reads: one `find` for the small payloads of a group, one each for large ones.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use mongodb::bson::doc;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};
use tokio::sync::Semaphore;

use super::commands::{size_of_find, write_find};
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::document;
use crate::backends::mongodb::error;
use crate::backends::mongodb::own::Own;
use crate::contract::operation::Operation;
use crate::contract::payloads::Read;
use crate::contract::report::Usage;
use crate::contract::step::Reply;
use crate::error::{Error, Result};
use crate::sizes::Sizes;
use crate::time::Millis;

/// From this size on, payloads are asked for one by one, over several connections.
const ALONE_FROM: u64 = 256 * 1024;
/// Below that, a command asks for about as many payloads as have this many bytes.
const COMMAND_BYTES: u64 = 1024 * 1024;
/// Reading commands of a store under way at once, each on a connection.
const AT_ONCE: usize = 6;
/// From here on bytes are handed on in the buffer that they were received in, if they are most of
/// it. Otherwise a payload that the application keeps would keep those of others alive.
const SHARED_FROM: usize = 32 * 1024;

/// How many ids to put into one command.
fn ids_in_command(sizes: &Sizes, group: usize) -> usize {
    match sizes.average() {
        0 => group,
        average if average >= ALONE_FROM => 1,
        average => usize::try_from(COMMAND_BYTES / average).unwrap_or(group).clamp(1, group.max(1)),
    }
}

/// Payloads in an answer, where they are counted one by one: two of the largest fit.
const COUNT_AT_ONCE: u32 = 2;

/// What was found under the ids of a command.
type Payloads = HashMap<Box<str>, Result<Option<Bytes>>>;

/// One payload in the answer that brought it.
struct InAnswer {
    answer: RawBatch,
    start: usize,
    length: usize,
}

impl AsRef<[u8]> for InAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.answer.as_raw_document().as_bytes()[self.start..self.start + self.length]
    }
}

/// What a store remembers of its reads.
pub(crate) struct Reads {
    sizes: Sizes,
    permits: Semaphore,
}

impl Default for Reads {
    fn default() -> Self {
        Self { sizes: Sizes::default(), permits: Semaphore::new(AT_ONCE) }
    }
}

impl Reads {
    /// Runs a group.
    pub(crate) async fn read(&self, on: &Own, group: &[Read]) -> Vec<Result<Reply>> {
        on.keep_time().await;
        let (whole, named): (Vec<usize>, Vec<usize>) =
            (0..group.len()).partition(|at| matches!(group[*at], Read::Find { .. }));
        let mut under_way = FuturesUnordered::new();
        let most = on.server.ids_in_command();
        for part in whole.chunks(ids_in_command(&self.sizes, whole.len()).clamp(1, most)) {
            under_way.push(self.read_part(on, group, part, true));
        }
        for part in named.chunks(most) {
            under_way.push(self.read_part(on, group, part, false));
        }
        let mut results: Vec<Result<Reply>> = vec![Err(error::unexpected()); group.len()];
        while let Some((part, found)) = under_way.next().await {
            for at in part {
                results[*at] = answer(&group[*at], &found);
            }
        }
        drop(under_way);
        keep_apart(&mut results, group);
        results
    }

    async fn read_part<'a>(
        &self,
        on: &Own,
        group: &[Read],
        part: &'a [usize],
        whole: bool,
    ) -> (&'a [usize], Result<Payloads>) {
        let ids: Vec<&str> = part.iter().map(|at| group[*at].id()).collect();
        let found = match self.permits.acquire().await {
            Err(_) => Err(Error::closed()),
            Ok(_permit) if whole => self.find(on, &ids).await,
            Ok(_permit) => exist(on, &ids).await,
        };
        (part, found)
    }

    /// The payloads of ids, those whose time is over left out.
    async fn find(&self, on: &Own, ids: &[&str]) -> Result<Payloads> {
        let mut payloads = HashMap::with_capacity(ids.len());
        let mut answers = answers(on, ids, false).await?;
        while let Some(answer) = answers.next().await {
            self.take(answer.map_err(error::command)?, on.now(), &mut payloads)?;
        }
        Ok(payloads)
    }

    /// Takes the payloads out of an answer; the largest stays where it is.
    fn take(&self, answer: RawBatch, now: Millis, payloads: &mut Payloads) -> Result<()> {
        let whole = answer.as_raw_document().as_bytes();
        let mut most: Option<(Box<str>, usize, usize)> = None;
        let (mut count, mut bytes) = (0, 0);
        for entry in answer.doc_slices().map_err(error::command)? {
            let entry = entry.map_err(error::malformed)?;
            let found = document::read(entry.as_document().ok_or_else(error::unexpected)?, now)?;
            let data = match found.data {
                Err(wrong) => Err(error::corrupt(found.id, &wrong)),
                Ok(None) => Ok(None),
                Ok(Some(data)) => {
                    count += 1;
                    bytes += data.len() as u64;
                    if data.len() >= SHARED_FROM && data.len() > whole.len() / 2 {
                        let start = data.as_ptr() as usize - whole.as_ptr() as usize;
                        most = Some((found.id.into(), start, data.len()));
                        continue;
                    }
                    Ok(Some(Bytes::copy_from_slice(data)))
                }
            };
            payloads.insert(found.id.into(), data);
        }
        self.sizes.note(count, bytes);
        if let Some((id, start, length)) = most {
            payloads.insert(id, Ok(Some(Bytes::from_owner(InAnswer { answer, start, length }))));
        }
        Ok(())
    }
}

/// Asks for ids. Answers are read as they were received: a payload is copied once, or not at all.
async fn answers(on: &Own, ids: &[&str], names_only: bool) -> Result<RawBatchCursor> {
    on.answers(size_of_find(ids), |command| write_find(command, on.collection(), ids, names_only)).await
}

/// The ids that there are.
async fn exist(on: &Own, ids: &[&str]) -> Result<Payloads> {
    let mut payloads = HashMap::with_capacity(ids.len());
    let mut answers = answers(on, ids, true).await?;
    while let Some(answer) = answers.next().await {
        let (answer, now) = (answer.map_err(error::command)?, on.now());
        for entry in answer.doc_slices().map_err(error::command)? {
            let entry = entry.map_err(error::malformed)?;
            let found = document::read(entry.as_document().ok_or_else(error::unexpected)?, now)?;
            if !found.over {
                payloads.insert(found.id.into(), Ok(Some(Bytes::new())));
            }
        }
    }
    Ok(payloads)
}

/// Counts where the server cannot count bytes: they are read, all of them.
pub(crate) async fn count_one_by_one(on: &Own, now: Millis) -> Result<Usage> {
    let find =
        doc! { "find": on.collection(), "projection": { "data": 1, "expiresAt": 1 }, "batchSize": COUNT_AT_ONCE };
    let now = on.clock().there(now);
    let mut usage = Usage::default();
    let command = on.server.database().run_raw_cursor_command(document::raw(&find)?).batch_size(COUNT_AT_ONCE);
    let mut answers = command.batch().await.map_err(error::command)?;
    while let Some(answer) = answers.next().await {
        let answer = answer.map_err(error::command)?;
        for entry in answer.doc_slices().map_err(error::command)? {
            let entry = entry.map_err(error::malformed)?;
            let Some(document) = entry.as_document() else { continue };
            usage.payloads += 1;
            usage.bytes += document.get_binary("data").map_or(0, |data| data.bytes.len() as u64);
            let over = document.get_datetime("expiresAt").is_ok_and(|at| at.timestamp_millis() <= now.0);
            usage.expired += u64::from(over);
        }
    }
    Ok(usage)
}

fn answer(read: &Read, found: &Result<Payloads>) -> Result<Reply> {
    let payload = found.as_ref().map_err(Error::clone)?.get(read.id());
    match read {
        Read::Has { .. } => Ok(Reply::Flag(payload.is_some())),
        Read::Find { .. } => match payload {
            None => Ok(Reply::Data(None)),
            Some(Ok(data)) => Ok(Reply::Data(data.clone())),
            Some(Err(error)) => Err(error.clone()),
        },
    }
}

/// Answers of one id share no memory: the callers may write to it.
fn keep_apart(results: &mut [Result<Reply>], group: &[Read]) {
    let mut seen = HashSet::with_capacity(group.len());
    for (result, read) in results.iter_mut().zip(group) {
        if let Ok(Reply::Data(Some(data))) = result
            && !seen.insert(read.id())
        {
            *data = Bytes::copy_from_slice(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_payloads_are_read_one_by_one() {
        let sizes = Sizes::default();
        assert_eq!(ids_in_command(&sizes, 100), 100);
        sizes.note(1, 1_024);
        assert_eq!(ids_in_command(&sizes, 100), 100);
        for _ in 0..60 {
            sizes.note(4, 4 * 300 * 1_024);
        }
        assert_eq!(ids_in_command(&sizes, 100), 1);
        for _ in 0..90 {
            sizes.note(1, 0);
        }
        sizes.note(0, 0);
        assert_eq!(ids_in_command(&sizes, 100), 100);
    }

    #[test]
    fn answers_of_one_id_share_no_memory() {
        let read = || Read::Find { id: "a".into() };
        let data = Bytes::from(vec![1, 2, 3]);
        let mut results = vec![Ok(Reply::Data(Some(data.clone()))), Ok(Reply::Data(Some(data)))];
        keep_apart(&mut results, &[read(), read()]);
        let [Ok(Reply::Data(Some(one))), Ok(Reply::Data(Some(two)))] = &results[..] else { panic!("{results:?}") };
        assert_eq!(one, two);
        assert_ne!(one.as_ptr(), two.as_ptr());
    }
}
