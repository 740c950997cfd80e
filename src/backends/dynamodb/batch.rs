//! Many items at once: puts in batches, and changes of several records in one transaction.
//!
//! - `BatchWriteItem` takes 25 items, each for itself. What the server leaves out is sent again after a pause, until it
//!   has acknowledged it.
//! - A transaction takes all of its changes or none. If some records are in the way of others, the others are sent again
//!   without them.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};

use super::attribute::Item;
use super::changes::Change;
use super::channel::{Channel, all};
use super::error::{self, Cause, Failure, classify, reasons};
use super::expression::key_of;
use super::requests::{Input, Put, Request, take};
use crate::contract::dynamic::Dynamic;
use crate::contract::moving::Fate;
use crate::error::{Kind, Result};

/// Items of a `BatchWriteItem`, at most.
const BATCH: usize = 25;
/// Requests beside each other.
pub(super) const AT_ONCE: usize = 32;
/// Attempts of a request that the server has no room for, or that others are in the way of.
const ATTEMPTS: u32 = 12;
/// Pauses before them: random ones up to the first, doubled each time up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));
/// Changes of a transaction, at most: smaller ones, beside each other, are sooner done than one large one.
const PACK_CHANGES: usize = 50;
/// Their bytes. DynamoDB's own limit is 4 MB.
const PACK_BYTES: u64 = 3 << 20;

/// Stores items of different keys, at most 25, whatever was there. Answers those that the server has left out.
pub(super) struct PutBatch(pub(super) Vec<Item>);

impl Request for PutBatch {
    const NAME: &'static str = "BatchWriteItem";
    type Answer = Vec<Item>;

    async fn send(self, client: &Client, table: &str) -> Result<Vec<Item>, Failure> {
        let mut writes = Vec::with_capacity(self.0.len());
        for item in self.0 {
            let put = PutRequest::builder().set_item(Some(item.into_sdk())).build();
            writes.push(WriteRequest::builder().put_request(put.map_err(|_| error::unexpected())?).build());
        }
        let sent = client.batch_write_item().request_items(table, writes).send().await;
        let answer = sent.map_err(|error| classify(error, table))?;
        let left = answer.unprocessed_items.unwrap_or_default().into_values().flatten();
        Ok(left.filter_map(|write| Item::of_sdk(write.put_request?.item)).collect())
    }

    fn input(self, table: &str) -> Dynamic {
        let put = |item: Item| Dynamic::map([("PutRequest", Dynamic::map([("Item", item.into_client())]))]);
        let writes = self.0.into_iter().map(put).collect();
        Input::default().with("RequestItems", Dynamic::Map(vec![(table.to_owned(), Dynamic::List(writes))])).done()
    }

    fn answer(mut output: Dynamic) -> Result<Vec<Item>, Failure> {
        let left = match take(&mut output, "UnprocessedItems") {
            Some(Dynamic::Map(tables)) => tables.into_iter().next().and_then(|(_, left)| left.into_list()),
            _ => None,
        };
        let item = |mut write: Dynamic| Item::of_client(take(&mut take(&mut write, "PutRequest")?, "Item")?);
        Ok(left.unwrap_or_default().into_iter().filter_map(item).collect())
    }
}

/// Waits before another attempt.
async fn rest(on: &impl Channel, attempt: u32) {
    let longest = PAUSES.0.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(PAUSES.1);
    on.pause(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
}

/// Sends a request, again as long as the server has no room for it or a transaction is in its way.
pub(super) async fn patiently<C: Channel, R: Request>(
    on: &C,
    request: impl Fn() -> R + Send,
) -> Result<R::Answer, Failure> {
    let mut attempt = 1;
    loop {
        match on.send(request()).await {
            Err(failure)
                if attempt < ATTEMPTS && (failure.error.is_throttled() || failure.cause == Cause::Conflict) =>
            {
                rest(on, attempt).await;
                attempt += 1;
            }
            sent => return sent,
        }
    }
}

/// Whether a failure is one of a record alone: others may be stored.
fn is_alone(failure: &Failure) -> bool {
    match failure.cause {
        Cause::Condition | Cause::Canceled | Cause::Conflict | Cause::Invalid => true,
        Cause::NoTable | Cause::InUse | Cause::Denied | Cause::Clock => false,
        Cause::Other => match failure.error.kind() {
            // Nothing of it has happened.
            Kind::Backend => failure.error.is_retryable() && failure.error.is_unsent(),
            Kind::Connection | Kind::Timeout | Kind::Closed => false,
            _ => true,
        },
    }
}

/// What becomes of a record, of whether it was stored. An error is one of the whole import.
pub(super) fn fate_of(stored: Result<bool, Failure>) -> Result<Fate> {
    match stored {
        Err(failure) if !is_alone(&failure) => Err(failure.into()),
        stored => Ok(Fate::from(stored.map_err(crate::error::Error::from))),
    }
}

/// Stores items of different keys, whatever was there. Each is stored when the server has acknowledged it.
pub(super) async fn put_all<C: Channel>(on: &C, items: &[Item]) -> Result<Vec<Fate>> {
    let mut fates = Vec::with_capacity(items.len());
    for some in items.chunks(BATCH * AT_ONCE) {
        let batches = some.chunks(BATCH).map(|batch| put_some(on, batch));
        for put in all::<C, _>(batches.collect()).await {
            fates.extend(put?);
        }
    }
    Ok(fates)
}

async fn put_one<C: Channel>(on: &C, item: &Item) -> Result<Fate> {
    fate_of(patiently(on, || Put(item.clone())).await.map(|()| true))
}

async fn put_some<C: Channel>(on: &C, items: &[Item]) -> Result<Vec<Fate>> {
    let mut fates: Vec<Option<Fate>> = vec![None; items.len()];
    let mut left: Vec<usize> = (0..items.len()).collect();
    let mut attempt = 0;
    while !left.is_empty() {
        let sent = match *left {
            [one] if items.len() == 1 => {
                fates[one] = Some(put_one(on, &items[one]).await?);
                break;
            }
            _ => on.send(PutBatch(left.iter().map(|place| items[*place].clone()).collect())).await,
        };
        match sent {
            Ok(unprocessed) => {
                let keys: Vec<Item> = unprocessed.iter().map(key_of).collect();
                let (again, stored): (Vec<_>, Vec<_>) =
                    left.into_iter().partition(|place| keys.contains(&key_of(&items[*place])));
                for place in &stored {
                    fates[*place] = Some(Fate::Stored);
                }
                left = again;
                attempt = if stored.is_empty() { attempt + 1 } else { 1 };
            }
            Err(failure) if failure.error.is_throttled() => attempt += 1,
            // One bad item spoils a batch, and batches may be forbidden: one by one, each for itself.
            Err(failure) if matches!(failure.cause, Cause::Invalid | Cause::Denied) => {
                let singles = left.iter().map(|place| put_one(on, &items[*place]));
                for (place, put) in left.iter().zip(all::<C, _>(singles.collect()).await) {
                    fates[*place] = Some(put?);
                }
                break;
            }
            Err(failure) => return Err(failure.into()),
        }
        if !left.is_empty() {
            if attempt == ATTEMPTS {
                break;
            }
            rest(on, attempt).await;
        }
    }
    Ok(fates.into_iter().map(|fate| fate.unwrap_or_else(|| Fate::Refused(error::throttled()))).collect())
}

/// The changes that store one record.
pub(super) struct Unit {
    /// Which one it is in the import.
    pub(super) member: usize,
    pub(super) changes: Vec<Change>,
}

/// Units in their order, as many together as one transaction takes.
pub(super) fn packs(units: Vec<Unit>) -> Vec<Vec<Unit>> {
    let (mut packs, mut count, mut bytes) = (Vec::<Vec<Unit>>::new(), 0, 0);
    for unit in units {
        let size: u64 = unit.changes.iter().map(Change::size).sum();
        let fits = count + unit.changes.len() <= PACK_CHANGES && bytes + size <= PACK_BYTES;
        if packs.is_empty() || !fits {
            packs.push(Vec::new());
            (count, bytes) = (0, 0);
        }
        count += unit.changes.len();
        bytes += size;
        if let Some(pack) = packs.last_mut() {
            pack.push(unit);
        }
    }
    packs
}

/// Stores the records of a pack. Answers those that are not stored, because something is in their way: each is to be
/// looked at by itself.
pub(super) async fn store_together(on: &impl Channel, mut pack: Vec<Unit>) -> Result<Vec<usize>> {
    let (mut others, mut attempt) = (Vec::new(), 1);
    while !pack.is_empty() {
        let failure = match on.transact(pack.iter().flat_map(|unit| unit.changes.clone()).collect()).await {
            Ok(()) => break,
            Err(failure) if is_alone(&failure) => failure,
            Err(failure) => return Err(failure.into()),
        };
        let (refused, left) = split(pack, &failure);
        if refused.is_empty() && !(failure.error.is_retryable() && attempt < ATTEMPTS) {
            others.extend(left.iter().map(|unit| unit.member));
            break;
        }
        if refused.is_empty() {
            rest(on, attempt).await;
            attempt += 1;
        }
        others.extend(refused.iter().map(|unit| unit.member));
        pack = left;
    }
    others.sort_unstable();
    Ok(others)
}

/// Those that a transaction was refused for, and the others.
fn split(pack: Vec<Unit>, failure: &Failure) -> (Vec<Unit>, Vec<Unit>) {
    let passes = |reason: &&str| {
        ["None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"].contains(reason)
    };
    let canceled = failure.cause == Cause::Canceled;
    let reasons = if canceled { reasons(&failure.message) } else { Vec::new() };
    let mut reasons = reasons.iter();
    // One for each change.
    pack.into_iter()
        .partition(|unit| reasons.by_ref().take(unit.changes.len()).filter(|reason| !passes(reason)).count() > 0)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::backends::dynamodb::client::OnClient;
    use crate::backends::dynamodb::clock::Clock;
    use crate::backends::dynamodb::config::{KnownNames, Tables};
    use crate::backends::dynamodb::expression;
    use crate::contract::client::{Client, ClientError, Facts};

    fn unit(member: usize, changes: usize) -> Unit {
        let change = |n| Change::delete("sagas", expression::key(&format!("{member}-{n}")));
        Unit { member, changes: (0..changes).map(change).collect() }
    }

    fn failure(code: &str, message: &str) -> Failure {
        let message = message.to_owned();
        error::of_client(ClientError { code: Some(code.into()), message, ..ClientError::default() }, "sagas")
    }

    /// Puts 25 items on a server that leaves out so many of each batch. What was put how often, the fates, and the pauses.
    fn put_with(left_out: &[usize]) -> (Vec<String>, Vec<Fate>, usize) {
        let named = |name: &str| name.to_owned();
        let [payloads, states, executions, outbox, inbox] = ["orders", "s", "x", "o", "i"].map(named);
        let tables = Tables { payloads, states, executions, outbox, inbox, known: KnownNames::default() };
        let (client, clock) = (Client::new(Facts::default()), Clock::default());
        clock.settle();
        let on = OnClient::new(&client, &tables, &clock);
        let items: Vec<Item> = (0..25).map(|n| expression::key(&format!("p-{n}"))).collect();
        let mut work = std::pin::pin!(put_all(&on, &items));
        let (mut stored, mut rounds, mut pauses) = (Vec::new(), left_out.iter().copied(), 0);
        loop {
            if let Poll::Ready(fates) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return (stored, fates.unwrap(), pauses);
            }
            let ask = client.take_ask().expect("it waits for its client");
            if ask.method == "pause" {
                pauses += 1;
                client.answer(Ok(Dynamic::Null));
                continue;
            }
            assert_eq!(ask.arguments[0].as_text(), Some("BatchWriteItem"));
            let writes = ask.arguments[1].get("RequestItems").and_then(|tables| tables.get("orders")).cloned();
            let mut writes = writes.and_then(Dynamic::into_list).unwrap();
            let left = writes.split_off(writes.len().saturating_sub(rounds.next().unwrap_or_default()));
            let id = |write: &Dynamic| {
                let item = write.get("PutRequest").and_then(|put| put.get("Item")).cloned();
                expression::id_of(&Item::of_client(item.unwrap()).unwrap()).unwrap().to_owned()
            };
            stored.extend(writes.iter().map(id));
            let output = Dynamic::map([("UnprocessedItems", Dynamic::map([("orders", Dynamic::List(left))]))]);
            client.answer(Ok(Dynamic::map([("output", output)])));
        }
    }

    #[test]
    fn what_the_server_leaves_out_is_sent_until_it_has_it() {
        let all: std::collections::HashSet<String> = (0..25).map(|n| format!("p-{n}")).collect();
        for left_out in [&[][..], &[10, 10], &[25, 25, 1], &[24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11]] {
            let (stored, fates, pauses) = put_with(left_out);
            assert_eq!((stored.len(), stored.into_iter().collect()), (25, all.clone()), "{left_out:?}");
            assert!(fates.len() == 25 && fates.iter().all(|fate| matches!(fate, Fate::Stored)), "{left_out:?}");
            assert_eq!(pauses, left_out.len());
        }
        // What it never takes is refused, and nothing else.
        let (stored, fates, _) = put_with(&[10; 100]);
        let is_stored = fates.iter().map(|fate| matches!(fate, Fate::Stored));
        assert_eq!((stored.len(), is_stored.filter(|stored| *stored).count()), (15, 15));
        let Fate::Refused(error) = &fates[24] else { panic!("{:?}", fates[24]) };
        assert!(error.kind() == Kind::Backend && error.is_retryable());
    }

    #[test]
    fn what_is_left_out_is_read_from_the_answer() {
        let items = vec![expression::key("a"), expression::part_key("b", "c")];
        let input = PutBatch(items.clone()).input("orders");
        let Some(Dynamic::List(writes)) = input.get("RequestItems").and_then(|tables| tables.get("orders")).cloned()
        else {
            panic!("{input:?}")
        };
        assert_eq!(writes.len(), 2);
        let left = Dynamic::map([("orders", Dynamic::List(writes))]);
        assert_eq!(PutBatch::answer(Dynamic::map([("UnprocessedItems", left)])).ok(), Some(items));
        assert_eq!(PutBatch::answer(Dynamic::map([])).ok(), Some(Vec::new()));
    }

    #[test]
    fn a_transaction_has_whole_records() {
        let members = |packs: Vec<Vec<Unit>>| -> Vec<Vec<usize>> {
            packs.iter().map(|pack| pack.iter().map(|unit| unit.member).collect()).collect()
        };
        let two: Vec<Unit> = (0..30).map(|n| unit(n, 2)).collect();
        let packed = members(packs(two));
        assert_eq!(packed.iter().map(Vec::len).collect::<Vec<_>>(), [25, 5]);
        assert_eq!(packed.concat(), (0..30).collect::<Vec<_>>());
        assert_eq!(members(packs(vec![unit(0, 60), unit(1, 1)])), [[0], [1]]);
        assert!(packs(Vec::new()).is_empty());
    }

    #[test]
    fn only_what_is_in_the_way_is_taken_out() {
        let pack = || vec![unit(0, 2), unit(1, 1), unit(2, 2)];
        let split_of = |code: &str, message: &str| {
            let members = |units: Vec<Unit>| units.iter().map(|unit| unit.member).collect::<Vec<_>>();
            let (refused, left) = split(pack(), &failure(code, message));
            (members(refused), members(left))
        };
        let canceled = "TransactionCanceledException";
        let reasons = "reasons [None, ConditionalCheckFailed, None, TransactionConflict, None]";
        assert_eq!(split_of(canceled, reasons), (vec![0], vec![1, 2]));
        let reasons = "reasons [ConditionalCheckFailed, None, None, None, ConditionalCheckFailed]";
        assert_eq!(split_of(canceled, reasons), (vec![0, 2], vec![1]));
        assert_eq!(split_of(canceled, "reasons [None, None, ValidationError, None, None]"), (vec![1], vec![0, 2]));
        assert_eq!(split_of(canceled, "no reasons"), (vec![], vec![0, 1, 2]));
        assert_eq!(split_of("ValidationException", "[odd, odd]"), (vec![], vec![0, 1, 2]));
    }

    #[test]
    fn a_failure_of_one_record_is_no_failure_of_others() {
        for code in ["ConditionalCheckFailedException", "ValidationException", "TransactionConflictException"] {
            assert!(matches!(fate_of(Err(failure(code, ""))), Ok(Fate::Refused(_))), "{code}");
        }
        for code in ["ResourceNotFoundException", "AccessDeniedException", "InternalServerError", "ECONNRESET"] {
            assert!(fate_of(Err(failure(code, ""))).is_err(), "{code}");
        }
        assert!(matches!(fate_of(Ok(true)), Ok(Fate::Stored)));
        assert!(matches!(fate_of(Ok(false)), Ok(Fate::Skipped)));
        assert!(matches!(fate_of(Err(error::throttled().into())), Ok(Fate::Refused(_))));
    }
}
