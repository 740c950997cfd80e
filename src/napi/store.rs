//! The class that `ts/` wraps: one method per operation, each one call and one promise. Those that are called most
//! are functions in `direct.rs`.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::sync::Arc;

use napi::{Env, sys};
use napi_derive::napi;

use super::arguments::Raw;
use super::borrowed::reindex_given;
use super::bridge::{Calling, JsSide, OpenStore};
use super::calls::Caller;
use super::conversations::Conversations;
use super::direct;
use super::dynamic::Reader;
use super::values::{Answer, Failure, answer_value, failure_object};
use crate::contract::capability::{Expiry, Transactions};
use crate::contract::dynamic::Dynamic;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::store::Store;
use crate::url::Backend;

/// A store, as JavaScript holds it.
#[napi]
pub struct NativeStore {
    caller: Caller,
    pub(super) conversations: RefCell<Conversations>,
    /// Until it is closed, or nobody can reach it any more.
    open: Cell<Option<OpenStore>>,
}

impl Deref for NativeStore {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// What TypeScript does by itself needs these.
#[napi(object)]
pub struct NativeSettings {
    /// ms
    pub operation_timeout_ms: f64,
    /// Attempts in all.
    pub retry_attempts: u32,
    /// ms
    pub retry_base_ms: f64,
    /// ms
    pub retry_max_ms: f64,
}

/// What a backend can do.
#[napi(object)]
pub struct NativeCapabilities {
    /// `'interactive'`, `'buffered'` or `'none'`.
    pub transactions: String,
    /// Isolation levels that can be asked for.
    pub isolation: Vec<String>,
    /// `'server'` or `'cleanup'`.
    pub expiry: String,
    /// Bytes.
    pub max_payload_bytes: f64,
    /// Whether data survives the process.
    pub durable: bool,
    /// Whether several processes can share the data.
    pub shared: bool,
    /// Whether a read that follows a write sees it.
    pub consistent_reads: bool,
}

/// The name of the backend that a URL's scheme names; otherwise the fields of the error.
#[napi(ts_return_type = "string | object")]
#[allow(unreachable_pub, clippy::needless_pass_by_value)]
pub fn backend_of(env: Env, url: String) -> Raw {
    match Backend::of_url(&url) {
        Ok(backend) => text(env.raw(), backend.name()),
        Err(error) => Raw(failure_object(env.raw(), &Failure::new(error, str::to_owned))),
    }
}

fn text(env: sys::napi_env, text: &str) -> Raw {
    let mut value = std::ptr::null_mut();
    let length = isize::try_from(text.len()).unwrap_or_default();
    // SAFETY: within a call from JavaScript, with a valid out-parameter.
    unsafe { sys::napi_create_string_utf8(env, text.as_ptr().cast(), length, &raw mut value) };
    Raw(value)
}

/// The length of a lease.
fn duration(ms: f64) -> std::time::Duration {
    std::time::Duration::from_secs_f64((ms / 1_000.0).clamp(0.001, 1e9))
}

#[napi]
impl NativeStore {
    /// Opens a store from its options as JSON, without any I/O. A wrong option is not thrown but
    /// returned as the fields of its error.
    #[napi(
        ts_args_type = "backend: string | null, options: string, setImmediate: (callback: () => void) => unknown, isMainThread: boolean",
        ts_return_type = "NativeStore | object"
    )]
    #[allow(clippy::needless_pass_by_value)]
    pub fn open(
        env: Env,
        backend: Option<String>,
        options: String,
        set_immediate: Raw,
        is_main_thread: bool,
    ) -> napi::Result<napi::Either<NativeStore, Raw>> {
        let opened = Store::open(backend.as_deref(), &options);
        Self::opened(env, opened, backend.as_deref(), set_immediate, is_main_thread)
    }

    /// Opens a store that works on clients of the application, as `open` does.
    #[napi(
        ts_args_type = "backend: string, options: string, setImmediate: (callback: () => void) => unknown, isMainThread: boolean",
        ts_return_type = "NativeStore | object"
    )]
    #[allow(clippy::needless_pass_by_value)]
    pub fn open_on_clients(
        env: Env,
        backend: String,
        options: String,
        set_immediate: Raw,
        is_main_thread: bool,
    ) -> napi::Result<napi::Either<NativeStore, Raw>> {
        let opened = Store::open_on_clients(&backend, &options);
        Self::opened(env, opened, Some(&backend), set_immediate, is_main_thread)
    }

    fn opened(
        env: Env,
        opened: Result<Store>,
        backend: Option<&str>,
        set_immediate: Raw,
        is_main_thread: bool,
    ) -> napi::Result<napi::Either<Self, Raw>> {
        match opened {
            Ok(store) => {
                let side = JsSide::of(env.raw(), set_immediate.0, is_main_thread)?;
                let open = Cell::new(Some(side.open_store()?));
                let caller = Caller { store: Arc::new(store), side };
                Ok(napi::Either::A(Self { caller, conversations: RefCell::default(), open }))
            }
            Err(error) => {
                let error = match backend.and_then(Backend::named) {
                    Some(backend) => error.at(backend.name(), "open"),
                    None => error,
                };
                Ok(napi::Either::B(Raw(failure_object(env.raw(), &Failure::new(error, str::to_owned)))))
            }
        }
    }

    /// Times and repetitions, as they were given or by default.
    #[napi(getter)]
    #[allow(clippy::cast_precision_loss)]
    pub fn settings(&self) -> NativeSettings {
        let settings = self.store.settings();
        let millis = |duration: std::time::Duration| duration.as_millis() as f64;
        NativeSettings {
            operation_timeout_ms: millis(settings.operation_timeout),
            retry_attempts: settings.retry.attempts,
            retry_base_ms: millis(settings.retry.base),
            retry_max_ms: millis(settings.retry.max),
        }
    }

    /// The backend's name.
    #[napi(getter)]
    pub fn backend(&self) -> &'static str {
        self.store.backend().name()
    }

    /// The URL without its secrets.
    #[napi(getter)]
    pub fn url(&self) -> String {
        self.store.shown_url().to_owned()
    }

    /// What the backend can do.
    #[napi(getter)]
    pub fn capabilities(&self) -> NativeCapabilities {
        let capabilities = self.store.capabilities();
        let transactions = match capabilities.transactions {
            Transactions::Interactive => "interactive",
            Transactions::Buffered => "buffered",
            Transactions::None => "none",
        };
        let expiry = match capabilities.expiry {
            Expiry::Server => "server",
            Expiry::Cleanup => "cleanup",
        };
        #[allow(clippy::cast_precision_loss)]
        NativeCapabilities {
            transactions: transactions.to_owned(),
            isolation: capabilities.isolation.iter().map(|level| level.name().to_owned()).collect(),
            expiry: expiry.to_owned(),
            max_payload_bytes: capabilities.max_payload_bytes as f64,
            durable: capabilities.durable,
            shared: capabilities.shared,
            consistent_reads: capabilities.consistent_reads,
        }
    }

    /// The operations that are called most, as functions that do not need to look for their store.
    #[napi(
        ts_return_type = "{ put(id: string, data: Uint8Array, expiresAt?: Date): Promise<void>; get(id: string): Promise<Buffer>; getHere(id: string): Buffer | undefined; run(operation: number, first: unknown, data?: unknown, expiresAt?: unknown): Promise<unknown>; makesWay(): boolean }"
    )]
    pub fn operations(&self, env: Env) -> napi::Result<Raw> {
        direct::functions(env.raw(), self.caller.clone())
    }

    /// Whether `getHere` is worth a call.
    #[napi(getter)]
    pub fn answers_here(&self) -> bool {
        self.store.answers_here()
    }

    /// Removes expired payloads; answers how many.
    #[napi(ts_args_type = "limit: number", ts_return_type = "Promise<number>")]
    pub fn purge_expired(&self, limit: f64) -> napi::Result<Raw> {
        // The caller has checked that it is a whole number or Infinity.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let limit = limit as u64;
        self.background("purgeExpired", move |store| async move {
            store.purge_expired(limit).await.map(|count| Answer::Reply(Reply::Count(count)))
        })
    }

    /// A part of what has sagas found that other software has written: `[sagaName, cursor]`.
    #[napi(js_name = "reindex", ts_args_type = "given: unknown[]", ts_return_type = "Promise<object>")]
    pub fn reindex(&self, env: Env, given: Raw) -> napi::Result<Raw> {
        match Reader::new(env.raw(), &self.side).read(given).and_then(reindex_given) {
            Ok((name, cursor)) => self.background("states.reindex", |store| async move {
                store.reindex(name.as_deref(), cursor.as_deref()).await.map(Answer::from)
            }),
            Err(error) => self.call("states.reindex", |deferred| self.refuse(deferred, error, "states.reindex")),
        }
    }

    /// The statements that make the tables; otherwise the fields of the error.
    #[napi(ts_return_type = "string[] | object")]
    pub fn schema(&self, env: Env) -> Raw {
        match self.store.schema() {
            Ok(statements) => Raw(answer_value(env.raw(), Answer::Texts(statements))),
            Err(error) => Raw(failure_object(env.raw(), &Failure::new(error, str::to_owned))),
        }
    }

    /// Renews the lease of an execution from now on, beside this thread. The promise resolves to the reason when the
    /// lease is lost, to null when it is not to be renewed any more; it does not keep the process alive.
    #[napi(ts_args_type = "sagaId: string, token: string, leaseMs: number", ts_return_type = "Promise<string | null>")]
    #[allow(clippy::needless_pass_by_value)]
    pub fn keep(&self, saga_id: String, token: String, lease_ms: f64) -> napi::Result<Raw> {
        let (promise, deferred) = self.side.quiet_promise()?;
        let on_end = Box::new(move |why: Option<String>| {
            let why = why.map_or(Dynamic::Null, Dynamic::Text);
            deferred.settle(Answer::Reply(Reply::Value(why)));
        });
        let lease = duration(lease_ms);
        let _calling = Calling::into(&self.side);
        // A store that is closed, or has no connections of its own, drops the promise, which rejects it.
        if let Err(error) = self.store.keep_lease(&saga_id, &token, lease, on_end) {
            tracing::debug!(%error, "the lease is not renewed");
        }
        Ok(Raw(promise))
    }

    /// Renews the lease no more.
    #[napi]
    #[allow(clippy::needless_pass_by_value)]
    pub fn unkeep(&self, saga_id: String, token: String) {
        let _calling = Calling::into(&self.side);
        self.store.drop_lease(&saga_id, &token);
    }

    /// Renews the lease of events from now on, beside this thread: those of one claim, whose token it is. The promise
    /// resolves to the ids whose lease is lost, and the others go on to be renewed: call it again with them. It resolves
    /// to none when none is to be renewed any more; it does not keep the process alive.
    #[napi(ts_args_type = "token: string, ids: string[], leaseMs: number", ts_return_type = "Promise<string[]>")]
    #[allow(clippy::needless_pass_by_value)]
    pub fn keep_events(&self, token: String, ids: Vec<String>, lease_ms: f64) -> napi::Result<Raw> {
        let (promise, deferred) = self.side.quiet_promise()?;
        let on_lost = Box::new(move |lost: Vec<String>| deferred.settle(Answer::Texts(lost)));
        let _calling = Calling::into(&self.side);
        // A store that is closed, or has no connections of its own, drops the promise, which rejects it.
        if let Err(error) = self.store.keep_events(&token, ids, duration(lease_ms), on_lost) {
            tracing::debug!(%error, "the events are not renewed");
        }
        Ok(Raw(promise))
    }

    /// Renews the lease of these events no more.
    #[napi]
    #[allow(clippy::needless_pass_by_value)]
    pub fn unkeep_events(&self, token: String, ids: Vec<String>) {
        let _calling = Calling::into(&self.side);
        self.store.drop_events(&token, &ids);
    }

    /// Resolves when others may have inserted events since the last time it was asked, and when the store is closed. It
    /// does not keep the process alive.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn rung(&self) -> napi::Result<Raw> {
        let (promise, deferred) = self.side.quiet_promise()?;
        let _calling = Calling::into(&self.side);
        if let Err(error) = self.store.rung(move || deferred.settle(Answer::Reply(Reply::Done))) {
            tracing::debug!(%error, "nobody hears of events of others");
        }
        Ok(Raw(promise))
    }

    /// Creates what is missing; answers warnings.
    #[napi(ts_return_type = "Promise<string[]>")]
    pub fn initialize(&self) -> napi::Result<Raw> {
        self.background("initialize", |store| async move { store.initialize().await.map(Answer::Texts) })
    }

    /// Whether the store can be used.
    #[napi(ts_return_type = "Promise<object>")]
    pub fn health(&self) -> napi::Result<Raw> {
        self.background("health", |store| async move {
            let mut health = store.health().await;
            health.message = health.message.map(|message| store.redact(&message));
            Ok(Answer::Health(Box::new(health)))
        })
    }

    /// Counts and latencies.
    #[napi(ts_return_type = "Promise<object>")]
    pub fn statistics(&self) -> napi::Result<Raw> {
        self.background("statistics", |store| async move {
            store.statistics().await.map(|statistics| Answer::Statistics(Box::new(statistics)))
        })
    }

    /// Latencies and connections, without counting what is stored.
    #[napi(ts_return_type = "Promise<object>")]
    pub fn figures(&self) -> napi::Result<Raw> {
        self.background("statistics", |store| async move {
            store.figures().map(|figures| Answer::Statistics(Box::new(figures)))
        })
    }

    /// Answers what is under way, then lets go of the connections.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn close(&self) -> napi::Result<Raw> {
        let closed = self.background("close", |store| async move {
            store.close().await;
            Ok(Answer::Reply(Reply::Done))
        });
        // Its own promise, and all that are under way, count by themselves.
        drop(self.open.take());
        closed
    }
}
