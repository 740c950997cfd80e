//! Values out: answers and errors as JavaScript sees them.

use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::ptr;

use bytes::Bytes;
use napi::sys;

use super::dynamic::{self, Writer};
use super::opaque::Opaque;
use crate::contract::dynamic::Dynamic;
use crate::contract::states::Reindexed;
use crate::contract::step::Reply;
use crate::error::{Detail, Error, Kind};
use crate::store::on_transaction::Open;
use crate::store::{Health, Statistics};

/// Payloads from here on are handed over in place (an external buffer): at 32 KiB that is
/// 3 us of event-loop time in place of 8 us. Below it a copy is cheaper.
const EXTERNAL_FROM: usize = 8 * 1024;

/// V8 is asked to look whether there is memory to be collected once so many bytes have been handed over.
const LOOKED_AFTER_EVERY: usize = 4 << 20;

thread_local! {
    /// Bytes handed over to this thread's environments since then.
    static UNNOTICED: Cell<usize> = const { Cell::new(0) };
}

/// What a promise is settled with.
pub(super) enum Answer {
    /// An operation's answer.
    Reply(Reply),
    /// Warnings of `initialize`, statements of `schema`.
    Texts(Vec<String>),
    /// What `health` found.
    Health(Box<Health>),
    /// What `statistics` counted.
    Statistics(Box<Statistics>),
    /// Rows of the application's own statement.
    Dynamic(Box<Dynamic>),
    /// An open transaction.
    Transaction(Box<Open>),
    /// A rejection.
    Error(Box<Failure>),
}

impl From<Reindexed> for Answer {
    fn from(done: Reindexed) -> Self {
        let count = |count: u64| Dynamic::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let counts =
            [("found", done.found), ("added", done.added), ("removed", done.removed), ("unreadable", done.unreadable)];
        let mut properties: Vec<_> = counts.map(|(name, number)| (name.to_owned(), count(number))).into();
        properties.extend(done.cursor.map(|cursor| (String::from("cursor"), Dynamic::Text(cursor))));
        Self::Dynamic(Box::new(Dynamic::Map(properties)))
    }
}

/// An error whose texts are ready to be shown.
pub(super) struct Failure {
    error: Error,
    message: String,
    causes: Vec<String>,
}

impl Failure {
    /// Takes the secrets out of an error's texts with `redact`.
    pub(super) fn new(error: Error, redact: impl Fn(&str) -> String) -> Self {
        let message = redact(error.message());
        let causes = error.causes().iter().map(|cause| redact(cause)).collect();
        Self { error, message, causes }
    }
}

impl Answer {
    /// A rejection.
    pub(super) fn error(error: Error, redact: impl Fn(&str) -> String) -> Self {
        Self::Error(Box::new(Failure::new(error, redact)))
    }

    /// The answer to a promise that lost its operation.
    pub(super) fn abandoned() -> Self {
        let error = Error::new(Kind::Backend, "the operation was abandoned by an internal failure");
        Self::error(error, str::to_owned)
    }
}

/// Makes values in one environment, on its thread. A call that fails leaves a null pointer,
/// which the next call refuses: only at the end does it become `undefined`.
#[derive(Clone, Copy)]
struct Values(sys::napi_env);

// SAFETY of every `unsafe` below: plain Node-API calls with valid out-parameters, on the
// thread of the environment, inside a handle scope.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Values {
    fn undefined(self) -> sys::napi_value {
        let mut value = ptr::null_mut();
        unsafe { sys::napi_get_undefined(self.0, &raw mut value) };
        value
    }

    fn null(self) -> sys::napi_value {
        let mut value = ptr::null_mut();
        unsafe { sys::napi_get_null(self.0, &raw mut value) };
        value
    }

    fn boolean(self, flag: bool) -> sys::napi_value {
        let mut value = ptr::null_mut();
        unsafe { sys::napi_get_boolean(self.0, flag, &raw mut value) };
        value
    }

    fn number(self, number: f64) -> sys::napi_value {
        let mut value = ptr::null_mut();
        unsafe { sys::napi_create_double(self.0, number, &raw mut value) };
        value
    }

    #[allow(clippy::cast_precision_loss)]
    fn count(self, count: u64) -> sys::napi_value {
        self.number(count as f64)
    }

    fn text(self, text: &str) -> sys::napi_value {
        dynamic::string(self.0, text)
    }

    /// A text, or null.
    fn optional(self, text: Option<&str>) -> sys::napi_value {
        text.map_or_else(|| self.null(), |text| self.text(text))
    }

    fn array(self, elements: impl ExactSizeIterator<Item = sys::napi_value>) -> sys::napi_value {
        let mut array = ptr::null_mut();
        unsafe { sys::napi_create_array_with_length(self.0, elements.len(), &raw mut array) };
        for (index, element) in (0..).zip(elements) {
            unsafe { sys::napi_set_element(self.0, array, index, element) };
        }
        array
    }

    fn object(self, properties: &[(&str, sys::napi_value)]) -> sys::napi_value {
        let mut object = ptr::null_mut();
        unsafe { sys::napi_create_object(self.0, &raw mut object) };
        // A property without a value is left out.
        for (name, value) in properties.iter().filter(|(_, value)| !value.is_null()) {
            if let Ok(name) = CString::new(*name) {
                unsafe { sys::napi_set_named_property(self.0, object, name.as_ptr(), *value) };
            }
        }
        object
    }

    fn detail(self, detail: &Detail) -> sys::napi_value {
        match detail {
            #[allow(clippy::cast_precision_loss)]
            Detail::Number(number) => self.number(*number as f64),
            Detail::Text(text) => self.text(text),
        }
    }

    fn details(self, details: &[(&'static str, Detail)]) -> sys::napi_value {
        let properties: Vec<_> = details.iter().map(|(name, detail)| (*name, self.detail(detail))).collect();
        self.object(&properties)
    }

    /// A `Buffer`: the bytes themselves where the runtime allows it (Electron does not), else a copy.
    fn buffer(self, bytes: Bytes) -> sys::napi_value {
        let mut value = ptr::null_mut();
        if bytes.len() >= EXTERNAL_FROM {
            let length = bytes.len();
            let owner = Box::into_raw(Box::new(bytes));
            // The contract of `Reply::Data`: nobody else sees these bytes, so JavaScript may write to them.
            let status = unsafe {
                let data = (*owner).as_ptr().cast_mut().cast::<c_void>();
                sys::napi_create_external_buffer(self.0, length, data, Some(drop_bytes), owner.cast(), &raw mut value)
            };
            if status == sys::Status::napi_ok {
                self.have_memory_looked_after(length);
                return value;
            }
            let bytes = unsafe { Box::from_raw(owner) };
            return self.copied_buffer(&bytes);
        }
        self.copied_buffer(&bytes)
    }

    /// V8 notices handed-over memory only by full collections, one for every 64 MiB. It looks after the Buffers that
    /// it makes itself by collecting young objects, a tenth of the work, and counts what it was handed among them: so
    /// it is given a reason to look. (`Heap::AllocateExternalBackingStore`: from 32 MiB on it collects.)
    fn have_memory_looked_after(self, handed_over: usize) {
        let unnoticed = UNNOTICED.get() + handed_over;
        if unnoticed < LOOKED_AFTER_EVERY {
            return UNNOTICED.set(unnoticed);
        }
        UNNOTICED.set(0);
        let (mut value, mut data) = (ptr::null_mut(), ptr::null_mut());
        unsafe { sys::napi_create_arraybuffer(self.0, 1, &raw mut data, &raw mut value) };
    }

    fn copied_buffer(self, bytes: &[u8]) -> sys::napi_value {
        let (mut value, mut data) = (ptr::null_mut(), ptr::null_mut());
        unsafe {
            sys::napi_create_buffer_copy(self.0, bytes.len(), bytes.as_ptr().cast(), &raw mut data, &raw mut value)
        };
        value
    }

    fn data(self, data: Option<Bytes>) -> sys::napi_value {
        data.map_or_else(|| self.null(), |bytes| self.buffer(bytes))
    }

    fn reply(self, reply: Reply) -> sys::napi_value {
        match reply {
            Reply::Done => self.undefined(),
            Reply::Flag(flag) => self.boolean(flag),
            Reply::Data(data) => self.data(data),
            Reply::Many(many) => self.array(many.into_iter().map(|data| self.data(data))),
            Reply::Count(count) => self.count(count),
            Reply::State(found) => found.map_or_else(
                || self.null(),
                |found| {
                    self.array([self.text(&found.state), self.optional(found.correlation_id.as_deref())].into_iter())
                },
            ),
            Reply::Value(value) => Writer::new(self.0, &|_| None).write(&value),
            // Flat: an object for each would cost more than what is in it.
            Reply::States(states) => {
                let state = |state: &Result<String, String>| match state {
                    Ok(state) => self.text(state),
                    Err(problem) => self.object(&[("problem", self.text(problem))]),
                };
                let values = states.iter().flat_map(|found| {
                    let correlation_id = self.optional(found.correlation_id.as_deref());
                    [self.text(&found.name), self.text(&found.id), correlation_id, state(&found.state)]
                });
                self.array(values.collect::<Vec<_>>().into_iter())
            }
        }
    }

    fn health(self, health: &Health) -> sys::napi_value {
        let optional = |text: &Option<String>| text.as_deref().map_or(ptr::null_mut(), |text| self.text(text));
        self.object(&[
            ("status", self.text(health.status)),
            ("latencyMs", self.number(health.latency.as_secs_f64() * 1000.0)),
            ("serverVersion", optional(&health.server_version)),
            ("message", optional(&health.message)),
            ("details", self.details(&health.details)),
        ])
    }

    fn statistics(self, statistics: &Statistics) -> sys::napi_value {
        let payloads = match &statistics.usage {
            None => self.null(),
            Some(usage) => self.object(&[
                ("count", self.count(usage.payloads)),
                ("bytes", self.count(usage.bytes)),
                ("expired", self.count(usage.expired)),
            ]),
        };
        let pool = match &statistics.pool {
            None => self.null(),
            Some(pool) => self.object(&[
                ("open", self.count(pool.open)),
                ("idle", self.count(pool.idle)),
                ("inUse", self.count(pool.open.saturating_sub(pool.idle))),
                ("waiting", self.count(statistics.waiting)),
            ]),
        };
        let operations: Vec<_> = statistics
            .operations
            .iter()
            .map(|(name, latency)| {
                let recent = &latency.recent;
                let recent = self.object(&[
                    ("count", self.count(recent.count)),
                    ("errors", self.count(recent.errors)),
                    ("p50Ms", self.number(recent.p50_ms)),
                    ("p95Ms", self.number(recent.p95_ms)),
                    ("p99Ms", self.number(recent.p99_ms)),
                    ("maxMs", self.number(recent.max_ms)),
                ]);
                let latency = self.object(&[
                    ("count", self.count(latency.all.count)),
                    ("errors", self.count(latency.all.errors)),
                    ("p50Ms", self.number(latency.all.p50_ms)),
                    ("p95Ms", self.number(latency.all.p95_ms)),
                    ("p99Ms", self.number(latency.all.p99_ms)),
                    ("maxMs", self.number(latency.all.max_ms)),
                    ("recent", recent),
                ]);
                (*name, latency)
            })
            .collect();
        let counts = |counts: &Option<Dynamic>| match counts {
            None => self.null(),
            Some(counts) => Writer::new(self.0, &|_| None).write(counts),
        };
        let (executions, outbox) = (counts(&statistics.executions), counts(&statistics.outbox));
        self.object(&[
            ("payloads", payloads),
            ("executions", executions),
            ("outbox", outbox),
            ("pool", pool),
            ("operations", self.object(&operations)),
        ])
    }

    /// The fields of an error; `ts/errors.ts` makes the error object of them, so that its
    /// class, and a stack that reaches the caller's `await`, come from JavaScript.
    fn failure(self, failure: &Failure) -> sys::napi_value {
        let error = &failure.error;
        let optional = |text: Option<&str>| text.map_or(ptr::null_mut(), |text| self.text(text));
        self.object(&[
            ("code", self.text(error.kind().code())),
            ("message", self.text(&failure.message)),
            ("backend", optional(error.backend())),
            ("operation", optional(error.operation())),
            ("id", optional(error.id())),
            ("retryable", self.boolean(error.is_retryable())),
            ("causes", self.array(failure.causes.iter().map(|cause| self.text(cause)))),
            ("details", self.details(error.details())),
        ])
    }
}

unsafe extern "C" fn drop_bytes(_env: sys::napi_env, _data: *mut c_void, owner: *mut c_void) {
    // SAFETY: `buffer` made it with `Box::into_raw` and hands it over once.
    drop(unsafe { Box::from_raw(owner.cast::<Bytes>()) });
}

/// The fields of an error, as an object.
pub(super) fn failure_object(env: sys::napi_env, failure: &Failure) -> sys::napi_value {
    Values(env).failure(failure)
}

/// A payload, or `undefined`.
pub(super) fn optional_data(env: sys::napi_env, data: Option<Bytes>) -> sys::napi_value {
    let values = Values(env);
    data.map_or_else(|| values.undefined(), |bytes| values.buffer(bytes))
}

/// The value of an answer that is no rejection.
pub(super) fn answer_value(env: sys::napi_env, answer: Answer) -> sys::napi_value {
    let values = Values(env);
    match answer {
        Answer::Reply(reply) => values.reply(reply),
        Answer::Texts(texts) => values.array(texts.iter().map(|text| values.text(text))),
        Answer::Health(health) => values.health(&health),
        Answer::Statistics(statistics) => values.statistics(&statistics),
        Answer::Dynamic(value) => Writer::new(env, &|_| None).write(&value),
        Answer::Transaction(open) => open.into_value(env),
        Answer::Error(failure) => values.failure(&failure),
    }
}

/// Resolves or rejects.
pub(super) fn settle_promise(env: sys::napi_env, deferred: sys::napi_deferred, answer: Answer) {
    let values = Values(env);
    let settled = match answer {
        Answer::Error(failure) => Err(values.failure(&failure)),
        other => Ok(answer_value(env, other)),
    };
    // SAFETY: on the environment's thread; the deferred is settled once.
    unsafe {
        match settled {
            // A value that could not be made (out of memory) must not become a success.
            Ok(value) if value.is_null() => {
                let failure = Failure::new(
                    Error::new(Kind::Backend, "the answer does not fit into a JavaScript value"),
                    str::to_owned,
                );
                sys::napi_reject_deferred(env, deferred, values.failure(&failure))
            }
            Ok(value) => sys::napi_resolve_deferred(env, deferred, value),
            Err(value) => sys::napi_reject_deferred(env, deferred, value),
        }
    };
}
