//! Operations on clients of the application: futures that are polled here, on the JavaScript
//! thread. A call either ends at once or leaves a request, which TypeScript carries to the client
//! before it comes back with the answer. A client that answers at once never leaves the call.

use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use napi::{Env, sys};
use napi_derive::napi;

use super::arguments::{self, Raw};
use super::conversations::{Conversation, Work};
use super::dynamic::{Reader, Writer};
use super::opaque::Opaque;
use super::store::NativeStore;
use super::values::{Answer, Failure, answer_value, failure_object};
use crate::contract::client::{Client, ClientError, Facts};
use crate::contract::dynamic::Dynamic;
use crate::contract::guest::UnitOfWork;
use crate::contract::operations::{Call, Upkeep};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::runtime;
use crate::store::plan::Given;

/// What a step of a conversation has come to, as `start` and `resume` answer it: the first of a list. One
/// that waits for its client is `[handle, method, ...arguments]`, one that is done without a value is
/// `undefined`.
#[derive(Clone, Copy)]
enum Outcome {
    /// `[-1, value]`
    Done = -1,
    /// `[-2, fields of the error]`
    Failed = -2,
}

/// Bits of `facts`.
const IN_TRANSACTION: u32 = 1;
const BUFFERED: u32 = 2;
const IS_SYNCHRONOUS: u32 = 4;
const ONE_SERVER: u32 = 8;

/// A transaction of the store's own on a client; none while an operation has it, and when it has ended.
pub(super) type Unit = Arc<Mutex<Option<Box<dyn UnitOfWork>>>>;

impl Opaque for Unit {
    const TAG: sys::napi_type_tag = sys::napi_type_tag { lower: 0x7361_6761_7374_6f72, upper: 0x756e_6974_776f_726b };
    const WHAT: &'static str = "a transaction";
}

/// A unit of work, away from where it is kept until it is dropped: operations may be given up.
struct Taken {
    home: Unit,
    unit: Option<Box<dyn UnitOfWork>>,
}

impl Taken {
    fn take(home: &Unit) -> Self {
        let unit = home.lock().unwrap_or_else(PoisonError::into_inner).take();
        Self { home: Arc::clone(home), unit }
    }

    fn get(&mut self) -> Result<&mut dyn UnitOfWork> {
        let ended = || Error::new(Kind::Closed, "the transaction has ended");
        self.unit.as_deref_mut().map(|unit| unit as &mut dyn UnitOfWork).ok_or_else(ended)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.unit.take();
    }
}

#[napi]
impl NativeStore {
    /// Begins an operation on a client. `data` is the payload of a put, or the array of those of a
    /// putMany; `resume` is given the same.
    #[napi(
        ts_args_type = "operation: number, facts: number, id: unknown, data: unknown, expiresAt: unknown",
        ts_return_type = "[number, ...unknown[]] | undefined"
    )]
    pub fn start(&self, env: Env, operation: u32, facts: u32, id: Raw, data: Raw, expires_at: Raw) -> Raw {
        self.converse(env, None, operation, facts, [id, data, expires_at])
    }

    /// Opens a transaction that a client takes as a whole at its end; answers what `startIn` takes, or
    /// the fields of an error.
    #[napi(ts_return_type = "object")]
    pub fn open_unit(&self, env: Env) -> Raw {
        let opened = self.store.unit_of_work().map(|unit| Unit::new(Mutex::new(Some(unit))));
        Raw(match opened {
            Ok(unit) => unit.into_value(env.raw()),
            Err(error) => failure_object(env.raw(), &Failure::new(error, |text| self.store.redact(text))),
        })
    }

    /// The same as `start` in such a transaction: one operation at a time, and its commit behind all others.
    #[napi(
        ts_args_type = "unit: object, operation: number, facts: number, id: unknown, data: unknown, expiresAt: unknown",
        ts_return_type = "[number, ...unknown[]] | undefined"
    )]
    #[allow(clippy::too_many_arguments)]
    pub fn start_in(
        &self,
        env: Env,
        unit: Raw,
        operation: u32,
        facts: u32,
        id: Raw,
        data: Raw,
        expires_at: Raw,
    ) -> Raw {
        match Unit::of_value(env.raw(), unit) {
            Ok(unit) => self.converse(env, Some(&unit), operation, facts, [id, data, expires_at]),
            Err(error) => self.failed(env.raw(), error, operation),
        }
    }

    fn converse(
        &self,
        env: Env,
        unit: Option<&Unit>,
        operation: u32,
        facts: u32,
        [id, data, expires_at]: [Raw; 3],
    ) -> Raw {
        let is = |fact: u32| facts & fact != 0;
        let facts = Facts {
            in_transaction: is(IN_TRANSACTION),
            buffered: is(BUFFERED),
            is_synchronous: is(IS_SYNCHRONOUS),
            one_server: is(ONE_SERVER),
        };
        let client = Arc::new(Client::new(facts));
        match self.work(env.raw(), operation, &client, unit, [id, data, expires_at]) {
            Ok((work, payloads)) => {
                let conversation = Conversation { client, work, payloads };
                self.go_on(env.raw(), conversation, data, &[])
            }
            Err(error) => self.failed(env.raw(), error, operation),
        }
    }

    /// Goes on with the client's answer, or with what it threw (`describeClientError`).
    #[napi(
        ts_args_type = "handle: number, succeeded: boolean, answer: unknown, data: unknown",
        ts_return_type = "[number, ...unknown[]] | undefined"
    )]
    pub fn resume(&self, env: Env, handle: u32, succeeded: bool, answer: Raw, data: Raw) -> Raw {
        let Some(conversation) = self.conversations.borrow_mut().take(handle) else {
            let error = Error::new(Kind::Backend, "an answer came to an operation that has ended");
            return self.failed(env.raw(), error, u32::MAX);
        };
        let mut reader = Reader::new(env.raw(), &self.side);
        let read = reader.read(answer);
        conversation.client.answer(match (succeeded, read) {
            (true, Ok(answer)) => Ok(answer),
            (false, Ok(answer)) => Err(client_error(&answer)),
            (_, Err(error)) => {
                let message = format!("the client's answer cannot be read: {error}");
                Err(ClientError { name: String::from("TypeError"), message, ..ClientError::default() })
            }
        });
        let in_place = std::mem::take(&mut reader.in_place);
        self.go_on(env.raw(), conversation, data, &in_place)
    }

    /// Does what a request `meanwhile` waits for, on another thread.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn meanwhile(&self, handle: u32) -> napi::Result<Raw> {
        let conversations = self.conversations.borrow();
        let job =
            conversations.open.get(handle as usize).and_then(Option::as_ref).and_then(|one| one.client.take_job());
        self.background("meanwhile", |_| async move {
            // A task of its own: what panics leaves no answer, which is an error.
            if let Some(job) = job {
                drop(runtime::io()?.spawn(job).await);
            }
            Ok(Answer::Reply(Reply::Done))
        })
    }

    /// Gives an operation up, whose time is over.
    #[napi]
    pub fn abandon(&self, handle: u32) {
        let abandoned = self.conversations.borrow_mut().take(handle);
        drop(abandoned);
    }

    /// The fields of the error that what a client threw stands for.
    #[napi(ts_args_type = "described: object", ts_return_type = "object")]
    pub fn classify(&self, env: Env, described: Raw) -> Raw {
        let described = Reader::new(env.raw(), &self.side).read(described).unwrap_or(Dynamic::Null);
        let error = self.store.classify(client_error(&described));
        Raw(failure_object(env.raw(), &Failure::new(error, |text| self.store.redact(text))))
    }

    fn work(
        &self,
        env: sys::napi_env,
        operation: u32,
        client: &Arc<Client>,
        unit: Option<&Unit>,
        [id, data, at]: [Raw; 3],
    ) -> Result<(Work, Vec<Bytes>)> {
        let (store, on) = (Arc::clone(&self.store), Arc::clone(client));
        let failure = |store: &crate::store::Store, error| Answer::error(error, |text| store.redact(text));
        let mut payloads = Vec::new();
        let taken = unit.map(Taken::take);
        let work: Work = match Upkeep::numbered(operation) {
            Some(Upkeep::Initialize) => Box::pin(async move {
                store.initialize_on(&on).await.map_or_else(|error| failure(&store, error), Answer::Texts)
            }),
            Some(Upkeep::PurgeExpired) => {
                let limit = arguments::count(env, id)?;
                Box::pin(async move {
                    let removed = store.purge_expired_on(&on, limit).await;
                    removed.map_or_else(|error| failure(&store, error), |count| Answer::Reply(Reply::Count(count)))
                })
            }
            Some(Upkeep::Reindex) => {
                let (name, cursor) = reindex_given(Reader::new(env, &self.side).read(id)?)?;
                Box::pin(async move {
                    let done = store.reindex_on(&on, name.as_deref(), cursor.as_deref()).await;
                    done.map_or_else(|error| failure(&store, error), Answer::from)
                })
            }
            Some(Upkeep::Health) => Box::pin(async move { Answer::Health(Box::new(store.health_on(&on).await)) }),
            Some(Upkeep::Statistics) => Box::pin(async move {
                let counted = store.statistics_on(&on).await;
                counted.map_or_else(|error| failure(&store, error), |counted| Answer::Statistics(Box::new(counted)))
            }),
            Some(Upkeep::Commit) => Box::pin(async move {
                let mut taken = taken;
                let committed = match taken.as_mut().map(Taken::get) {
                    Some(Ok(unit)) => store.commit_on(&on, unit).await,
                    Some(Err(error)) => Err(error),
                    None => Err(Error::invalid("no such operation")),
                };
                if let Some(taken) = &mut taken {
                    taken.unit = None;
                }
                committed.map_or_else(|error| failure(&store, error), |()| Answer::Reply(Reply::Done))
            }),
            None => {
                let call = Call::numbered(operation).ok_or_else(|| Error::invalid("no such operation"))?;
                // What is compressed is read by another thread.
                let stays = !self.store.settings().compression.is_on();
                let plan = self.with_given(env, call, [id, data, at], stays, |given| {
                    match &given {
                        Given::Payload(_, data, _) => payloads.push(data.clone()),
                        Given::Payloads(entries) => payloads.extend(entries.iter().map(|(_, data, _)| data.clone())),
                        _ => {}
                    }
                    store.plan(call, given)
                })?;
                Box::pin(async move {
                    let mut taken = taken;
                    let ran = match taken.as_mut().map(Taken::get).transpose() {
                        Ok(unit) => store.run_on(&on, unit, plan).await,
                        Err(error) => Err(error.at(store.backend().name(), call.name())),
                    };
                    ran.map_or_else(|error| failure(&store, error), Answer::Reply)
                })
            }
        };
        Ok((work, payloads))
    }

    /// Polls the operation once: it ends, or asks its client for something.
    fn go_on(&self, env: sys::napi_env, mut conversation: Conversation, data: Raw, in_place: &[(Bytes, Raw)]) -> Raw {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            conversation.work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }));
        match polled {
            Ok(Poll::Ready(answer)) => {
                // Bytes that the client has just made are handed on as they are.
                let known = |bytes: &Bytes| same(in_place.iter().map(|(known, raw)| (known, *raw)), bytes);
                let handed_on = if let Answer::Reply(Reply::Data(Some(bytes))) = &answer { known(bytes) } else { None };
                match (handed_on, answer) {
                    (Some(raw), _) => outcome(env, Outcome::Done, raw.0),
                    (None, Answer::Reply(Reply::Done)) => undefined(env),
                    (None, Answer::Error(failure)) => outcome(env, Outcome::Failed, failure_object(env, &failure)),
                    (None, answer) => outcome(env, Outcome::Done, answer_value(env, answer)),
                }
            }
            Ok(Poll::Pending) => match conversation.client.take_ask() {
                Some(ask) => {
                    let given = Self::payloads_given(env, &conversation.payloads, data);
                    let known = |bytes: &Bytes| same(given.iter().map(|(known, raw)| (known, *raw)), bytes);
                    let writer = Writer::new(env, &known);
                    let method = writer.text(ask.method);
                    let arguments = ask.arguments.iter().map(|argument| writer.write(argument));
                    let mut asked: Vec<_> = [ptr::null_mut(), method].into_iter().chain(arguments).collect();
                    asked[0] = number(env, i64::from(self.conversations.borrow_mut().keep(conversation)));
                    Raw(writer.array(asked.into_iter()))
                }
                None => self.failed(
                    env,
                    Error::new(Kind::Backend, "an operation on a client waited for something else; please report this"),
                    u32::MAX,
                ),
            },
            Err(_) => {
                let error = Error::new(Kind::Backend, "the backend panicked; please report this");
                self.failed(env, error, u32::MAX)
            }
        }
    }

    /// The call's payloads beside the caller's own buffers.
    fn payloads_given(env: sys::napi_env, payloads: &[Bytes], data: Raw) -> Vec<(Bytes, Raw)> {
        match payloads {
            [] => Vec::new(),
            [only] if arguments::elements(env, data).is_err() => vec![(only.clone(), data)],
            several => {
                let buffers = arguments::elements(env, data).unwrap_or_default();
                several.iter().cloned().zip(buffers).collect()
            }
        }
    }

    fn failed(&self, env: sys::napi_env, error: Error, operation: u32) -> Raw {
        let name = Call::numbered(operation)
            .map(Call::name)
            .or_else(|| Upkeep::numbered(operation).map(Upkeep::name))
            .unwrap_or("operation");
        let error = error.at(self.store.backend().name(), name);
        let failure = Failure::new(error, |text| self.store.redact(text));
        outcome(env, Outcome::Failed, failure_object(env, &failure))
    }
}

/// The JavaScript value of the same bytes: the same memory, not only the same content.
fn same<'a>(known: impl Iterator<Item = (&'a Bytes, Raw)>, bytes: &Bytes) -> Option<Raw> {
    if bytes.is_empty() {
        return None;
    }
    let mut known = known;
    known.find(|(known, _)| ptr::eq(known.as_ptr(), bytes.as_ptr()) && known.len() == bytes.len()).map(|(_, raw)| raw)
}

/// The saga's name, and the cursor.
pub(super) fn reindex_given(given: Dynamic) -> Result<(Option<String>, Option<String>)> {
    let mut given = given.into_list().unwrap_or_default().into_iter();
    let mut text = |what: &str| match given.next() {
        None | Some(Dynamic::Null) => Ok(None),
        Some(Dynamic::Text(text)) => Ok(Some(text)),
        Some(_) => Err(Error::invalid(format!("{what} must be a string"))),
    };
    Ok((text("sagaName")?, text("cursor")?))
}

fn number(env: sys::napi_env, number: i64) -> sys::napi_value {
    let mut made = ptr::null_mut();
    // SAFETY: on the environment's thread, within a call from JavaScript.
    unsafe { sys::napi_create_int64(env, number, &raw mut made) };
    made
}

fn undefined(env: sys::napi_env) -> Raw {
    let mut made = ptr::null_mut();
    // SAFETY: as above.
    unsafe { sys::napi_get_undefined(env, &raw mut made) };
    Raw(made)
}

fn outcome(env: sys::napi_env, outcome: Outcome, value: sys::napi_value) -> Raw {
    let none = |_: &Bytes| None;
    Raw(Writer::new(env, &none).array([number(env, outcome as i64), value].into_iter()))
}

fn client_error(described: &Dynamic) -> ClientError {
    let text = |name: &str| described.get(name).and_then(Dynamic::as_text).map(str::to_owned);
    let labels = match described.get("labels") {
        Some(Dynamic::List(labels)) => labels.iter().filter_map(Dynamic::as_text).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    ClientError {
        name: text("name").unwrap_or_default(),
        message: text("message").unwrap_or_default(),
        code: text("code"),
        labels,
    }
}
