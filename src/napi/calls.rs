//! What calls of a store have in common: arguments are read, a promise is made, and what settles it is sent along.

use std::rc::Rc;
use std::sync::Arc;

use napi::{Env, sys};

use super::arguments::{self, Raw};
use super::bridge::{Calling, Deferred, JsSide};
use super::dynamic::Reader;
use super::values::Answer;
use crate::error::{Error, Result};
use crate::runtime;
use crate::store::Store;
use crate::store::dynamic::Dynamic;
use crate::store::lane::Settle;
use crate::store::payloads::MAX_ID_BYTES;
use crate::store::plan::{Call, Given};

/// A store and the JavaScript thread that calls it.
#[derive(Clone)]
pub struct Caller {
    pub(super) store: Arc<Store>,
    pub(super) side: Rc<JsSide>,
}

/// A promise whose operation has not started yet.
pub(super) struct Start<'a> {
    caller: &'a Caller,
    deferred: Option<Deferred>,
}

impl Start<'_> {
    pub(super) fn settle(&mut self) -> Settle {
        match self.deferred.take() {
            Some(deferred) => self.caller.settle(deferred),
            None => Box::new(|_| {}),
        }
    }
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

    /// Reads the id and runs `start`, which takes what settles the promise once its other
    /// arguments are read; an error before that rejects.
    pub(super) fn with_id(
        &self,
        operation: &'static str,
        env: Env,
        id: Raw,
        start: impl FnOnce(&str, &mut Start) -> Result<()>,
    ) -> napi::Result<Raw> {
        self.call(operation, |deferred| {
            let mut begun = Start { caller: self, deferred: Some(deferred) };
            let started =
                arguments::with_id(env.raw(), id, |id| start(id, &mut begun).map_err(|error| error.with_id(id)));
            if let (Err(error), Some(deferred)) = (started.and_then(std::convert::identity), begun.deferred) {
                self.refuse(deferred, error, operation);
            }
        })
    }

    /// What a call was given, for where there are no lanes; `stays` if the work is done on this thread.
    pub(super) fn given(&self, env: sys::napi_env, call: Call, [id, data, at]: [Raw; 3], stays: bool) -> Result<Given> {
        if call.is_on_states() {
            return self.state_given(env, id).map(Given::State);
        }
        if call == Call::PutMany {
            return self.entries(env, id, data, at, stays).map(Given::Payloads);
        }
        if call == Call::GetMany {
            let ids = arguments::elements(env, id)?;
            let ids = ids.into_iter().map(|id| arguments::with_id(env, id, str::to_owned));
            return ids.collect::<Result<_>>().map(Given::Ids);
        }
        let id = arguments::with_id(env, id, str::to_owned)?;
        let rest = || match call {
            Call::Put => Ok((Some(self.bytes(env, data, stays)?), arguments::date(env, at)?)),
            Call::Touch => Ok((None, arguments::date(env, at)?)),
            _ => Ok((None, None)),
        };
        let (data, at) = rest().map_err(|error: Error| error.with_id(&id))?;
        match (call, data, at) {
            (Call::Put, Some(data), at) => Ok(Given::Payload(id, data, at)),
            (Call::Touch, _, Some(at)) => Ok(Given::Expiry(id, at)),
            (Call::Touch, _, None) => Err(Error::invalid("expiresAt must be a Date").with_id(&id)),
            _ => Ok(Given::Id(id)),
        }
    }

    pub(super) fn state_given(&self, env: sys::napi_env, given: Raw) -> Result<Vec<Dynamic>> {
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

    pub(super) fn entries(
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
