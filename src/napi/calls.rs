//! What calls of a store have in common: arguments are read, a promise is made, and what settles it is sent along.

use std::rc::Rc;
use std::sync::Arc;

use napi::{Env, sys};

use super::arguments::{self, Raw};
use super::bridge::{Calling, Deferred, JsSide};
use super::dynamic::Reader;
use super::values::Answer;
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::MAX_ID_BYTES;
use crate::contract::operations::{Call, Takes};
use crate::error::{Error, Result};
use crate::runtime;
use crate::store::Store;
use crate::store::lane::Settle;
use crate::store::plan::Given;

/// A store and the JavaScript thread that calls it.
#[derive(Clone)]
pub struct Caller {
    pub(super) store: Arc<Store>,
    pub(super) side: Rc<JsSide>,
}

impl Caller {
    /// Makes the promise and runs `start` with what settles it.
    pub(super) fn call(&self, operation: &'static str, start: impl FnOnce(Deferred)) -> napi::Result<Raw> {
        let (promise, deferred) = self.side.promise()?;
        let _calling = Calling::into(&self.side);
        // A panic drops the deferred, which rejects the promise.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| start(deferred))).is_err() {
            tracing::error!(operation, "panic in a native call");
        }
        Ok(Raw(promise))
    }

    /// Runs an operation over connections of the store's own.
    pub(super) fn run(&self, env: Env, call: Call, given: [Raw; 3]) -> napi::Result<Raw> {
        self.call(call.name(), |deferred| {
            let mut deferred = Some(deferred);
            let started = self.with_given(env.raw(), call, given, false, |given| {
                if let Some(deferred) = deferred.take() {
                    self.store.run(call, given, self.settle(deferred));
                }
                Ok(())
            });
            if let (Err(error), Some(deferred)) = (started, deferred) {
                self.refuse(deferred, error, call.name());
            }
        })
    }

    /// Refuses an operation by a number that no operation has.
    pub(super) fn no_such_operation(&self) -> napi::Result<Raw> {
        self.call("operation", |deferred| self.refuse(deferred, Error::invalid("no such operation"), "operation"))
    }

    /// Reads what an operation was given and hands it to `with`; `stays` if the work is done on this thread. Most ids
    /// need no allocation on the way.
    pub(super) fn with_given<T>(
        &self,
        env: sys::napi_env,
        call: Call,
        [first, data, at]: [Raw; 3],
        stays: bool,
        with: impl FnOnce(Given<'_>) -> Result<T>,
    ) -> Result<T> {
        match call.takes() {
            Takes::List => with(Given::List(self.list(env, first)?)),
            Takes::Payloads => with(Given::Payloads(self.entries(env, first, data, at, stays)?)),
            Takes::Ids => {
                let ids = arguments::elements(env, first)?;
                let ids = ids.into_iter().map(|id| arguments::with_id(env, id, str::to_owned));
                with(Given::Ids(ids.collect::<Result<_>>()?))
            }
            Takes::Id => arguments::with_id(env, first, |id| with(Given::Id(id)))?,
            Takes::Payload => arguments::with_id(env, first, |id| {
                let rest = || Ok((self.bytes(env, data, stays)?, arguments::date(env, at)?));
                let (data, at) = rest().map_err(|error: Error| error.with_id(id))?;
                with(Given::Payload(id, data, at))
            })?,
            Takes::Expiry => arguments::with_id(env, first, |id| {
                let at = arguments::date(env, at)
                    .and_then(|at| at.ok_or_else(|| Error::invalid(arguments::DATE)))
                    .map_err(|error| error.with_id(id))?;
                with(Given::Expiry(id, at))
            })?,
        }
    }

    fn list(&self, env: sys::napi_env, given: Raw) -> Result<Vec<Dynamic>> {
        let mut reader = Reader::new(env, &self.side);
        reader.admits_invalid_dates = true;
        let Dynamic::List(read) = reader.read(given)? else {
            return Err(Error::invalid("an array is expected"));
        };
        // Names and ids: JSON has no unpaired surrogates.
        let is_doubtful = |value: &Dynamic| {
            value.as_text().is_some_and(|text| text.len() <= MAX_ID_BYTES && text.contains('\u{FFFD}'))
        };
        if read.iter().any(is_doubtful) {
            let values = arguments::elements(env, given)?;
            let doubtful = read.iter().zip(values).filter(|(value, _)| is_doubtful(value));
            if doubtful.into_iter().any(|(_, value)| !arguments::is_well_formed(env, value)) {
                return Err(Error::invalid(
                    "names and ids must be well-formed Unicode (one has an unpaired surrogate)",
                ));
            }
        }
        Ok(read)
    }

    fn bytes(&self, env: sys::napi_env, data: Raw, stays: bool) -> Result<bytes::Bytes> {
        if stays {
            arguments::bytes_for_this_thread(env, &self.side, data)
        } else {
            arguments::bytes(env, &self.side, data)
        }
    }

    fn entries(
        &self,
        env: sys::napi_env,
        ids: Raw,
        data: Raw,
        expires_at: Raw,
        stays: bool,
    ) -> Result<Vec<(String, bytes::Bytes, Option<crate::time::Millis>)>> {
        let (ids, data, times) =
            (arguments::elements(env, ids)?, arguments::elements(env, data)?, arguments::elements(env, expires_at)?);
        let mut entries = Vec::with_capacity(ids.len());
        for ((id, data), at) in ids.into_iter().zip(data).zip(times) {
            let id = arguments::with_id(env, id, str::to_owned)?;
            let data = self.bytes(env, data, stays).map_err(|error| error.with_id(&id))?;
            let at = arguments::date(env, at).map_err(|error| error.with_id(&id))?;
            entries.push((id, data, at));
        }
        Ok(entries)
    }

    pub(super) fn settle(&self, deferred: Deferred) -> Settle {
        let store = Arc::clone(&self.store);
        Box::new(move |result| {
            deferred.settle(match result {
                Ok(reply) => Answer::Reply(reply),
                Err(error) => Answer::error(error, |text| store.redact(text)),
            });
        })
    }

    pub(super) fn refuse(&self, deferred: Deferred, error: Error, operation: &'static str) {
        self.settle(deferred)(Err(error.at(self.store.backend().name(), operation)));
    }

    /// Runs something longer on the common I/O thread.
    pub(super) fn background<F>(
        &self,
        operation: &'static str,
        work: impl FnOnce(Arc<Store>) -> F + Send + 'static,
    ) -> napi::Result<Raw>
    where
        F: Future<Output = Result<Answer>> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        self.call(operation, |deferred| match runtime::io() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    let answer = work(Arc::clone(&store)).await;
                    deferred.settle(answer.unwrap_or_else(|error| {
                        let error = error.at(store.backend().name(), operation);
                        Answer::error(error, |text| store.redact(text))
                    }));
                });
            }
            Err(error) => self.refuse(deferred, error, operation),
        })
    }
}
