//! Groups of payload operations as requests.
//!
//! A lone put or get is a PutItem or GetItem. Several go as BatchWriteItem and BatchGetItem; what
//! DynamoDB leaves unprocessed fails as throttled, and the lane sends it again after a pause, while
//! the others of its batch are answered. Deletes and touches are conditional, which only single
//! requests can be; they run beside each other.

pub(super) mod item;
pub(super) mod queued;
pub(super) mod single;

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all};

use super::attribute::Item;
use super::batch::PutBatch;
use super::channel::{self, Channel};
use super::error::{self, Cause};
use super::expression::{self, HEAD};
use super::requests::BatchGet;
use super::session::Session;
use crate::contract::operation::Operation;
use crate::contract::payloads::{Read, Write};
use crate::contract::step::Reply;
use crate::error::{Error, Result};
use crate::sizes::Sizes;
use crate::time::Millis;
use item::{WHOLE, payload_bytes};
use single::reply_of;

/// Puts in a BatchWriteItem, at most.
pub(super) const PUTS: usize = 25;
/// Keys in a BatchGetItem, at most.
pub(super) const GETS: usize = 100;

/// A BatchGetItem asks for about as many payloads as have this many bytes: more of them in parallel
/// come sooner than one large answer.
const ANSWER_BYTES: u64 = 1 << 20;

/// An answer of this size is cut by DynamoDB's limit (16 MB), not by throttling: what it leaves out
/// is asked for at once.
const CUT_BYTES: usize = 8 << 20;

/// How many payloads to ask for in one request.
fn in_request(sizes: &Sizes) -> usize {
    usize::try_from(ANSWER_BYTES / sizes.average().max(1)).unwrap_or(GETS).clamp(1, GETS)
}

/// Some members of a group, and what came of them.
type Answers = Vec<(usize, Result<Reply>)>;

/// What is done at once with one id: successive puts, of which the last one counts, or one other write.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Puts(Vec<usize>),
    Other(usize),
}

impl Step {
    /// The member that is sent.
    fn sent(&self) -> usize {
        match self {
            Self::Puts(members) => members.last().copied().unwrap_or_default(),
            Self::Other(member) => *member,
        }
    }

    fn members(&self) -> &[usize] {
        match self {
            Self::Puts(members) => members,
            Self::Other(member) => std::slice::from_ref(member),
        }
    }
}

/// The steps of each id in their order.
fn steps(group: &[Write]) -> Vec<Vec<Step>> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(group.len());
    let mut chains: Vec<Vec<Step>> = Vec::with_capacity(group.len());
    for (index, write) in group.iter().enumerate() {
        let place = *places.entry(write.id()).or_insert_with(|| {
            chains.push(Vec::with_capacity(1));
            chains.len() - 1
        });
        match (write, chains[place].last_mut()) {
            (Write::Put { .. }, Some(Step::Puts(members))) => members.push(index),
            (Write::Put { .. }, _) => chains[place].push(Step::Puts(vec![index])),
            _ => chains[place].push(Step::Other(index)),
        }
    }
    chains
}

/// Runs a group of writes: the first step of every id, then the second, and so on.
pub(super) async fn write(on: &Session<'_>, group: &[Write]) -> Vec<Result<Reply>> {
    let mut chains = steps(group);
    let mut answers: Vec<Option<Result<Reply>>> = vec![None; group.len()];
    let longest = chains.iter().map(Vec::len).max().unwrap_or(0);
    for depth in 0..longest {
        let sent: Vec<usize> = chains.iter().filter_map(|chain| Some(chain.get(depth)?.sent())).collect();
        let mut results: HashMap<usize, Result<Reply>> = run_wave(on, group, &sent).await.into_iter().collect();
        for chain in &mut chains {
            let Some(step) = chain.get(depth) else { continue };
            let result = results.remove(&step.sent()).unwrap_or_else(|| Err(error::unexpected()));
            for member in step.members() {
                answers[*member] = Some(result.clone());
            }
            if let Err(error) = result
                && error.is_retryable()
            {
                // It may be tried again, so those behind it wait for it.
                for later in chain.drain(depth + 1..) {
                    for member in later.members() {
                        answers[*member] = Some(Err(error.clone().unsent()));
                    }
                }
            }
        }
    }
    answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(error::unexpected()))).collect()
}

/// Runs writes of different ids beside each other.
async fn run_wave(on: &Session<'_>, group: &[Write], members: &[usize]) -> Answers {
    let (puts, others): (Vec<usize>, Vec<usize>) =
        members.iter().partition(|member| matches!(group[**member], Write::Put { .. }));
    let mut work: Vec<BoxFuture<'_, Answers>> = Vec::with_capacity(others.len() + 1);
    let in_request = if on.shared.singly.puts() { 1 } else { PUTS };
    for batch in puts.chunks(in_request) {
        work.push(put_some(on, group, batch.to_vec()).boxed());
    }
    for member in others {
        work.push(async move { vec![(member, single::write(on, &group[member]).await)] }.boxed());
    }
    join_all(work).await.into_iter().flatten().collect()
}

async fn put_some(on: &Session<'_>, group: &[Write], members: Vec<usize>) -> Answers {
    if let [member] = *members {
        return vec![(member, single::write(on, &group[member]).await)];
    }
    let clock = &on.shared.clock;
    let item = |member: &usize| match &group[*member] {
        Write::Put { id, data, expires_at } => Some(item::encode(id, data, expires_at.map(|at| clock.stored(at)))),
        _ => None,
    };
    let items = members.iter().filter_map(item).collect();
    match on.send(PutBatch(items)).await {
        Ok(unprocessed) => members
            .into_iter()
            .map(|member| {
                let left = unprocessed.iter().any(|item| expression::id_of(item) == Some(group[member].id()));
                (member, if left { Err(error::throttled()) } else { Ok(Reply::Done) })
            })
            .collect(),
        // One bad member spoils a batch, and batches may be forbidden: one by one, each for itself.
        Err(failure) if matches!(failure.cause, Cause::Invalid | Cause::Denied) => {
            let singles = members.iter().map(|member| single::write(on, &group[*member]));
            let answers: Answers = members.iter().copied().zip(join_all(singles).await).collect();
            if failure.cause == Cause::Denied && answers.iter().any(|(_, answer)| answer.is_ok()) {
                on.shared.singly.remember_puts();
            }
            answers
        }
        Err(failure) => members.into_iter().map(|member| (member, Err(failure.error.clone()))).collect(),
    }
}

/// Runs a group of reads.
pub(super) async fn read(on: &Session<'_>, group: &[Read], sizes: &Sizes) -> Vec<Result<Reply>> {
    let mut finds: HashMap<&str, Vec<usize>> = HashMap::with_capacity(group.len());
    let mut heads: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, read) in group.iter().enumerate() {
        match read {
            Read::Find { id } => finds.entry(id).or_default().push(index),
            Read::Has { id } => heads.entry(id).or_default().push(index),
        }
    }
    let (finds, heads): (Vec<_>, Vec<_>) = (finds.into_iter().collect(), heads.into_iter().collect());
    let singly = on.shared.singly.gets();
    let (in_find, in_head) = if singly { (1, 1) } else { (in_request(sizes), GETS) };
    let mut work: Vec<BoxFuture<'_, Answers>> = Vec::new();
    for part in finds.chunks(in_find) {
        work.push(read_some(on, WHOLE, part, Some(sizes)).boxed());
    }
    for part in heads.chunks(in_head) {
        work.push(read_some(on, HEAD, part, None).boxed());
    }
    let mut answers: Vec<Option<Result<Reply>>> = vec![None; group.len()];
    for (index, answer) in join_all(work).await.into_iter().flatten() {
        answers[index] = Some(answer);
    }
    answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(error::unexpected()))).collect()
}

/// An id, and the members of the group that ask for it.
type Wanted<'a> = (&'a str, Vec<usize>);

async fn read_one(on: &Session<'_>, projection: &'static str, wanted: &Wanted<'_>, sizes: Option<&Sizes>) -> Answers {
    let (id, members) = wanted;
    match channel::get(on, id, projection).await {
        Ok(item) => {
            if let (Some(sizes), Some(item)) = (sizes, &item) {
                sizes.note(1, payload_bytes(item) as u64);
            }
            answer(item, members, sizes.is_some(), on.shared.clock.now())
        }
        Err(failure) => fail(members, &failure.error),
    }
}

/// Reads different ids. With `sizes` they are wanted as a whole.
async fn read_some(
    on: &Session<'_>,
    projection: &'static str,
    wanted: &[Wanted<'_>],
    sizes: Option<&Sizes>,
) -> Answers {
    if let [one] = wanted {
        return read_one(on, projection, one, sizes).await;
    }
    let mut left: Vec<&Wanted<'_>> = wanted.iter().collect();
    let mut answers = Answers::new();
    while !left.is_empty() {
        let ids: Vec<&str> = left.iter().map(|(id, _)| *id).collect();
        let found = match on.send(BatchGet { ids: &ids, part: None, projection }).await {
            Ok(found) => found,
            // Batches may be forbidden, and DynamoDB may not like a key: one by one, each for itself.
            Err(failure) if matches!(failure.cause, Cause::Invalid | Cause::Denied) => {
                let singles = left.iter().map(|one| read_one(on, projection, one, sizes));
                let singles: Answers = join_all(singles).await.into_iter().flatten().collect();
                if failure.cause == Cause::Denied && singles.iter().any(|(_, answer)| answer.is_ok()) {
                    on.shared.singly.remember_gets();
                }
                answers.extend(singles);
                return answers;
            }
            Err(failure) => {
                answers.extend(left.iter().flat_map(|(_, members)| fail(members, &failure.error)));
                return answers;
            }
        };
        let bytes: usize = found.items.iter().map(payload_bytes).sum();
        if let Some(sizes) = sizes {
            sizes.note(found.items.len() as u64, bytes as u64);
        }
        let mut items: HashMap<String, Item> =
            found.items.into_iter().filter_map(|item| Some((expression::id_of(&item)?.to_owned(), item))).collect();
        let now = on.shared.clock.now();
        let (again, done): (Vec<_>, Vec<_>) = left.into_iter().partition(|(id, _)| found.unprocessed.contains(*id));
        for (id, members) in done {
            answers.extend(answer(items.remove(*id), members, sizes.is_some(), now));
        }
        if bytes < CUT_BYTES {
            answers.extend(again.iter().flat_map(|(_, members)| fail(members, &error::throttled())));
            return answers;
        }
        left = again;
    }
    answers
}

fn fail(members: &[usize], error: &Error) -> Answers {
    members.iter().map(|member| (*member, Err(error.clone()))).collect()
}

/// What those who ask for an item are told; each gets bytes of its own.
fn answer(item: Option<Item>, members: &[usize], whole: bool, now: Millis) -> Answers {
    let result = reply_of(item, whole, now);
    let Some((first, others)) = members.split_first() else { return Answers::new() };
    let mut answers: Answers = others
        .iter()
        .map(|member| {
            let copy = match &result {
                Ok(Reply::Data(Some(data))) => Ok(Reply::Data(Some(Bytes::copy_from_slice(data)))),
                other => other.clone(),
            };
            (*member, copy)
        })
        .collect();
    answers.push((*first, result));
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(id: &str) -> Write {
        Write::Put { id: id.into(), data: Bytes::new(), expires_at: None }
    }

    fn delete(id: &str) -> Write {
        Write::Delete { id: id.into() }
    }

    #[test]
    fn the_order_of_an_id_is_kept() {
        let group = [put("a"), put("b"), put("a"), delete("a"), put("b"), put("a"), put("a"), delete("c")];
        let chains = steps(&group);
        assert_eq!(
            chains,
            [
                vec![Step::Puts(vec![0, 2]), Step::Other(3), Step::Puts(vec![5, 6])],
                vec![Step::Puts(vec![1, 4])],
                vec![Step::Other(7)],
            ]
        );
        assert_eq!(chains[0][0].sent(), 2);
    }

    #[test]
    fn large_payloads_are_asked_for_in_small_requests() {
        let sizes = Sizes::default();
        assert_eq!(in_request(&sizes), GETS);
        sizes.note(3, 3 * 1_024);
        assert_eq!(in_request(&sizes), GETS);
        for _ in 0..100 {
            sizes.note(1, 256 * 1_024);
        }
        assert_eq!(in_request(&sizes), 4);
        sizes.note(0, 0);
        assert_eq!(in_request(&sizes), 4);
        for _ in 0..200 {
            sizes.note(1, 0);
        }
        assert_eq!(in_request(&sizes), GETS);
    }

    #[test]
    fn everybody_gets_bytes_of_their_own() {
        let item = item::encode("a", &Bytes::from_static(b"data"), None);
        let answers = answer(Some(item), &[4, 7], true, Millis(0));
        let data: Vec<*const u8> = answers
            .iter()
            .map(|(_, answer)| match answer {
                Ok(Reply::Data(Some(data))) if data == "data" => data.as_ptr(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(data.len(), 2);
        assert_ne!(data[0], data[1]);
    }
}
