//! Payloads on their way between the caller and the database: compressed, checked against what
//! may be stored, and back. Small ones are done in passing, others beside the I/O threads.

use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::codec::compression::Compression;
use crate::contract::client::Client;
use crate::contract::driver::Driver;
use crate::contract::operation::Operation;
use crate::contract::operation::{Group, Work};
use crate::contract::payloads::Write;
use crate::contract::settings::Settings;
use crate::contract::step::{Reply, Step};
use crate::error::{Error, Kind, Result};
use crate::runtime;
use crate::url::Backend;

/// Up to here it is done sooner than another thread has begun.
const IN_PASSING: usize = 16 * 1024;
/// What one thread does at a time, unless a single payload is more.
const PORTION: usize = 256 * 1024;

/// The largest record that a backend takes under an id, in bytes.
pub type Limit<'a> = &'a (dyn Fn(&str) -> u64 + Sync);

/// Where the work is done that is too long to do in passing.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// Beside the I/O thread that this runs on.
    Beside,
    /// Beside the JavaScript thread; on it for a client that must have been asked when the call returns.
    Client(&'a Client),
}

impl Place<'_> {
    async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        match self {
            Self::Beside => runtime::compute(work).await,
            Self::Client(client) if client.facts().is_synchronous => Ok(work()),
            Self::Client(client) => client.meanwhile(runtime::compute(work)).await,
        }
    }
}

/// What a store does to payloads.
#[derive(Clone, Copy, Debug)]
pub struct Transcoder {
    compression: Compression,
    max_payload_bytes: Option<u64>,
    backend: Backend,
}

impl Transcoder {
    /// As the store's options say.
    pub fn new(backend: Backend, settings: &Settings) -> Self {
        Self { compression: settings.compression, max_payload_bytes: settings.max_payload_bytes, backend }
    }

    /// Refuses what is too large, where that can be told before it is compressed.
    pub fn check(&self, id: &str, data: &[u8], limit: Limit<'_>) -> Result<()> {
        self.compression.stored_bytes(data).map_or(Ok(()), |stored| self.check_stored(id, stored, data.len(), limit))
    }

    fn check_stored(&self, id: &str, stored: u64, given: usize, limit: Limit<'_>) -> Result<()> {
        let limit = limit(id);
        let limit = self.max_payload_bytes.map_or(limit, |own| own.min(limit));
        if stored <= limit {
            return Ok(());
        }
        let compressed = if stored < given as u64 { format!(" compressed (of {given})") } else { String::new() };
        let message =
            format!("the payload has {stored} bytes{compressed}; the limit of {} is {limit}", self.backend.name());
        Err(Error::too_large(message, stored, limit))
    }

    /// Whether the write has to be worked on first.
    fn is_work(&self, write: &Write) -> bool {
        matches!(write, Write::Put { data, .. } if self.compression.work_to_encode(data) > 0)
    }

    /// Bytes to work through before a reply can be handed out; 0: it is handed out as it is.
    fn work_in(&self, reply: &Reply) -> usize {
        if let Reply::Data(Some(stored)) = reply { self.compression.work_to_decode(stored) } else { 0 }
    }

    /// Runs a step on the caller's thread, if that never waits for anything.
    pub fn run_here(&self, driver: &dyn Driver, step: &Step) -> Option<Result<Reply>> {
        let Step::Payload(Work::Write(write)) = step else {
            return match driver.run_here(step)? {
                Ok(reply) => self.decode_here(reply),
                Err(error) => Some(Err(error)),
            };
        };
        // Compressing may take long: writes of the same id that come later wait behind it in the lane.
        if self.compression.is_on() {
            return None;
        }
        if !self.is_work(write) {
            return driver.run_here(step);
        }
        match self.encode_here(write.clone(), &|id| driver.max_payload_bytes(id)) {
            Ok(encoded) => driver.run_here(&Step::Payload(Work::Write(encoded))),
            Err(error) => Some(Err(error)),
        }
    }

    /// A reply that was found on the caller's thread; none if it is too much work there.
    pub fn decode_here(&self, reply: Reply) -> Option<Result<Reply>> {
        match reply {
            reply if self.work_in(&reply) > IN_PASSING => None,
            Reply::Data(Some(stored)) => Some(self.compression.decode(stored).map(|data| Reply::Data(Some(data)))),
            other => Some(Ok(other)),
        }
    }

    /// A write that is done on the caller's thread.
    fn encode_here(&self, write: Write, limit: Limit<'_>) -> Result<Write> {
        let stored = self.compression.encode(&payload_of(&write));
        self.with_payload(write, stored, limit)
    }

    fn with_payload(&self, write: Write, stored: Result<Bytes>, limit: Limit<'_>) -> Result<Write> {
        match write {
            Write::Put { id, data, expires_at } => {
                let stored = stored?;
                self.check_stored(&id, stored.len() as u64, data.len(), limit)?;
                Ok(Write::Put { id, data: stored, expires_at })
            }
            other => Ok(other),
        }
    }

    /// Runs a group; one result for each, in their order.
    pub async fn run(&self, driver: &dyn Driver, group: Group<'_>) -> Vec<Result<Reply>> {
        match group {
            Group::Payloads(Work::Write(writes)) => self.write(driver, writes).await,
            Group::Payloads(Work::Read(_)) => {
                let mut results = driver.run(group).await;
                self.decode(&mut results, Place::Beside).await;
                results
            }
            Group::States(_) | Group::Executions(_) | Group::Outbox(_) | Group::Inbox(_) | Group::Moving(_) => {
                driver.run(group).await
            }
        }
    }

    async fn write(&self, driver: &dyn Driver, group: &[Write]) -> Vec<Result<Reply>> {
        if !group.iter().any(|write| self.is_work(write)) {
            return driver.run(Write::group(group)).await;
        }
        let encoded = match self.encode(group.to_vec(), &|id| driver.max_payload_bytes(id), Place::Beside).await {
            Ok(encoded) => encoded,
            Err(error) => return group.iter().map(|_| Err(error.clone())).collect(),
        };
        let accepted: Vec<Write> = encoded.iter().filter_map(|write| write.as_ref().ok().cloned()).collect();
        let mut replies =
            if accepted.is_empty() { Vec::new() } else { driver.run(Write::group(&accepted)).await }.into_iter();
        let missing = || Err(Error::new(Kind::Backend, "the backend left a write unanswered"));
        encoded.into_iter().map(|write| write.and_then(|_| replies.next().unwrap_or_else(missing))).collect()
    }

    /// The steps of one call as they are stored; an error means that none of them is.
    pub async fn encode_steps(&self, steps: Vec<Step>, limit: Limit<'_>, place: Place<'_>) -> Result<Vec<Step>> {
        if !steps.iter().any(|step| matches!(step, Step::Payload(Work::Write(write)) if self.is_work(write))) {
            return Ok(steps);
        }
        let writes = steps.iter().filter_map(|step| match step {
            Step::Payload(Work::Write(write)) => Some(write.clone()),
            _ => None,
        });
        let mut encoded = self.encode(writes.collect(), limit, place).await?.into_iter();
        let encode = |step| match step {
            Step::Payload(Work::Write(write)) => match encoded.next() {
                Some(encoded) => {
                    encoded.map(|write| Step::Payload(Work::Write(write))).map_err(|error| error.with_id(write.id()))
                }
                None => Ok(Step::Payload(Work::Write(write))),
            },
            other => Ok(other),
        };
        steps.into_iter().map(encode).collect()
    }

    /// The replies to the steps of one call as they are handed out.
    pub async fn decode_replies(&self, steps: &[Step], replies: Vec<Reply>, place: Place<'_>) -> Result<Vec<Reply>> {
        if !replies.iter().any(|reply| self.work_in(reply) > 0) {
            return Ok(replies);
        }
        let mut results: Vec<_> = replies.into_iter().map(Ok).collect();
        self.decode(&mut results, place).await;
        results
            .into_iter()
            .zip(steps)
            .map(|(result, step)| result.map_err(|error: Error| error.with_id(step.subject())))
            .collect()
    }

    async fn encode(&self, writes: Vec<Write>, limit: Limit<'_>, place: Place<'_>) -> Result<Vec<Result<Write>>> {
        let compression = self.compression;
        let given: Vec<Bytes> = writes.iter().map(payload_of).collect();
        // Switched off, only a header is put in front of what looks like ours.
        let work = |data: &Bytes| if compression.is_on() { compression.work_to_encode(data) } else { 0 };
        let stored = in_portions(given, work, move |data| compression.encode(&data), place).await?;
        Ok(writes.into_iter().zip(stored).map(|(write, stored)| self.with_payload(write, stored, limit)).collect())
    }

    async fn decode(&self, results: &mut [Result<Reply>], place: Place<'_>) {
        let compression = self.compression;
        let is_work = |result: &Result<Reply>| result.as_ref().is_ok_and(|reply| self.work_in(reply) > 0);
        let results: Vec<_> = results.iter_mut().filter(|result| is_work(result)).collect();
        if results.is_empty() {
            return;
        }
        // On a client's thread an answer's bytes are JavaScript's, and stay there.
        let bytes = |stored: &Bytes| {
            if matches!(place, Place::Beside) { stored.clone() } else { Bytes::copy_from_slice(stored) }
        };
        let stored = |result: &&mut Result<Reply>| {
            if let Ok(Reply::Data(Some(stored))) = &**result { bytes(stored) } else { Bytes::new() }
        };
        let stored: Vec<Bytes> = results.iter().map(stored).collect();
        let work = |stored: &Bytes| compression.work_to_decode(stored);
        match in_portions(stored, work, move |stored| compression.decode(stored), place).await {
            Ok(decoded) => {
                for (result, data) in results.into_iter().zip(decoded) {
                    *result = data.map(|data| Reply::Data(Some(data)));
                }
            }
            Err(error) => {
                for result in results {
                    *result = Err(error.clone());
                }
            }
        }
    }
}

/// The bytes of a put; none of others.
fn payload_of(write: &Write) -> Bytes {
    if let Write::Put { data, .. } = write { data.clone() } else { Bytes::new() }
}

/// Works on each of `inputs`, in passing or in portions of a thread's size.
async fn in_portions(
    inputs: Vec<Bytes>,
    work: impl Fn(&Bytes) -> usize,
    run: impl Fn(Bytes) -> Result<Bytes> + Copy + Send + 'static,
    place: Place<'_>,
) -> Result<Vec<Result<Bytes>>> {
    let mut portions: Vec<Vec<Bytes>> = Vec::new();
    let (mut all, mut size) = (0_usize, 0_usize);
    for input in inputs {
        let more = work(&input);
        all = all.saturating_add(more);
        if portions.is_empty() || size.saturating_add(more) > PORTION {
            portions.push(Vec::new());
            size = 0;
        }
        size = size.saturating_add(more);
        if let Some(portion) = portions.last_mut() {
            portion.push(input);
        }
    }
    if all <= IN_PASSING {
        return Ok(portions.into_iter().flatten().map(run).collect());
    }
    let portions = match place {
        Place::Beside => portions,
        // One after the other is all that a client can wait for.
        Place::Client(_) => vec![portions.into_iter().flatten().collect()],
    };
    let run = |portion: Vec<Bytes>| place.run(move || portion.into_iter().map(run).collect::<Vec<_>>());
    Ok(try_join_all(portions.into_iter().map(run)).await?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn portions_lose_nothing_and_keep_the_order(sizes in prop::collection::vec(0_usize..600_000, 0..12)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let inputs: Vec<Bytes> = (0_u8..).zip(&sizes).map(|(number, _)| Bytes::from(vec![number])).collect();
            let work = |input: &Bytes| sizes[usize::from(input[0])];
            let worked = runtime.block_on(in_portions(inputs.clone(), work, Ok, Place::Beside)).unwrap();
            let worked: Vec<Bytes> = worked.into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(worked, inputs);
        }
    }

    #[test]
    fn a_group_is_answered_in_its_order_where_some_are_refused() {
        let options = r#"{"url": "memory://", "compression": "zstd", "maxPayloadBytes": 2000}"#;
        let store = super::super::Store::open(None, options).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let driver = &*store.own().unwrap().driver;
        let noise = |bytes: usize| Bytes::from((0..bytes).map(|_| fastrand::u8(..)).collect::<Vec<_>>());
        let put = |id: &str, data: Bytes| Write::Put { id: id.into(), data, expires_at: None };
        let group = [
            put("zeros", Bytes::from(vec![0; 100_000])),
            put("noise", noise(2_001)),
            put("small", Bytes::from_static(b"small")),
            Write::Delete { id: "zeros".into() },
            put("more noise", noise(300_000)),
        ];
        let results = runtime.block_on(store.transcoder().write(driver, &group));
        let shown: Vec<_> = results.into_iter().map(|result| result.map_err(|error| error.kind())).collect();
        let too_large = || Err(Kind::PayloadTooLarge);
        assert_eq!(shown, [Ok(Reply::Done), too_large(), Ok(Reply::Done), Ok(Reply::Flag(true)), too_large()]);
    }
}
