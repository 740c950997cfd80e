//! A store's operations on payloads, over its own connections.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::gather::Gather;
use super::lane::Settle;
use super::payloads::{Read, Reply, Write, check_id};
use super::plan::Call;
use super::transaction::is_answer;
use super::transcode::Transcoder;
use super::{Own, Store};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

impl Store {
    /// Stores a payload.
    pub fn put(&self, id: &str, data: Bytes, expires_at: Option<Millis>, settle: Settle) {
        match self.checked_put(id, data, expires_at) {
            Ok(write) => self.write(Call::Put, write, settle),
            Err(error) => self.refuse(Call::Put, error.with_id(id), settle),
        }
    }

    /// Stores several payloads; done when all are stored, an error when one is not (the others
    /// may be). Nothing is sent if one of them is refused.
    pub fn put_many(&self, entries: Vec<(String, Bytes, Option<Millis>)>, settle: Settle) {
        let mut writes = Vec::with_capacity(entries.len());
        for (id, data, expires_at) in entries {
            match self.checked_put(&id, data, expires_at) {
                Ok(write) => writes.push(write),
                Err(error) => return self.refuse(Call::PutMany, error.with_id(&id), settle),
            }
        }
        let gather = Gather::new(writes.len(), self.metered(Call::PutMany, settle), |_| Reply::Done);
        for (index, write) in writes.into_iter().enumerate() {
            self.write(Call::PutMany, write, Gather::slot(&gather, index));
        }
    }

    /// Whether it is worth asking [`Store::get_here`].
    pub fn answers_here(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.driver.answers_here())
    }

    /// The payload, for a caller that waits for nothing else, if it can be had on this thread, sooner than
    /// from another one. Where it cannot, or is none, or may not be read: [`Store::get`] has the answer.
    pub fn get_here(&self, id: &str) -> Option<Bytes> {
        let started = Instant::now();
        self.check_open().and_then(|()| check_id(id)).ok()?;
        let stored = self.own.as_ref()?.driver.find_here(id)?;
        let Ok(Reply::Data(Some(data))) = self.transcoder().decode_here(Reply::Data(Some(stored)))? else {
            return None;
        };
        self.meters[Call::Get as usize].record(started.elapsed(), true);
        Some(data)
    }

    /// The payload; `NOT_FOUND` if there is none.
    pub fn get(&self, id: &str, settle: Settle) {
        let (backend, owned) = (self.backend.name(), Box::<str>::from(id));
        let settle: Settle = Box::new(move |result| {
            settle(match result {
                Ok(Reply::Data(None)) => Err(Error::new(Kind::NotFound, "not found: no payload has this id")
                    .at(backend, "get")
                    .with_id(&owned)),
                other => other,
            });
        });
        self.read(Call::Get, id, |id| Read::Find { id }, settle);
    }

    /// The payload, or none.
    pub fn find(&self, id: &str, settle: Settle) {
        self.read(Call::Find, id, |id| Read::Find { id }, settle);
    }

    /// Whether there is one.
    pub fn has(&self, id: &str, settle: Settle) {
        self.read(Call::Has, id, |id| Read::Has { id }, settle);
    }

    /// The payloads of several ids.
    pub fn get_many(&self, ids: Vec<String>, settle: Settle) {
        for id in &ids {
            if let Err(error) = self.checked_id(id) {
                return self.refuse(Call::GetMany, error.with_id(id), settle);
            }
        }
        let gather = Gather::new(ids.len(), self.metered(Call::GetMany, settle), |replies| {
            Reply::Many(
                replies.into_iter().map(|reply| if let Reply::Data(data) = reply { data } else { None }).collect(),
            )
        });
        for (index, id) in ids.into_iter().enumerate() {
            self.read(Call::GetMany, &id, |id| Read::Find { id }, Gather::slot(&gather, index));
        }
    }

    /// Removes a payload.
    pub fn delete(&self, id: &str, settle: Settle) {
        match self.checked_id(id) {
            Ok(id) => self.write(Call::Delete, Write::Delete { id }, settle),
            Err(error) => self.refuse(Call::Delete, error.with_id(id), settle),
        }
    }

    /// Sets another expiry.
    pub fn touch(&self, id: &str, expires_at: Millis, settle: Settle) {
        let checked = self.checked_id(id).and_then(|id| Ok((id, self.kept_until(expires_at)?)));
        match checked {
            Ok((id, expires_at)) => self.write(Call::Touch, Write::Touch { id, expires_at }, settle),
            Err(error) => self.refuse(Call::Touch, error.with_id(id), settle),
        }
    }

    pub(super) fn checked_id(&self, id: &str) -> Result<Box<str>> {
        self.check_open()?;
        check_id(id)?;
        Ok(id.into())
    }

    pub(super) fn checked_put(&self, id: &str, data: Bytes, expires_at: Option<Millis>) -> Result<Write> {
        let id = self.checked_id(id)?;
        self.transcoder().check(&id, &data, &|id| self.max_payload_bytes(id))?;
        let expires_at = expires_at.map(|at| self.kept_until(at)).transpose()?;
        Ok(Write::Put { id, data, expires_at })
    }

    /// A payload that is already past its expiry belongs to a saga that timed out and still has
    /// to compensate: it is kept for a while, never silently dropped.
    pub(super) fn kept_until(&self, expires_at: Millis) -> Result<Millis> {
        let now = Millis::now();
        if expires_at > now {
            return Ok(expires_at);
        }
        if expires_at.is_seconds() {
            let given = expires_at.iso().unwrap_or_else(|| String::from("a time long ago"));
            return Err(Error::invalid(format!(
                "expiresAt is {given}, before 2001: a Date takes milliseconds, not seconds (new Date(seconds * 1000))"
            )));
        }
        if self.settings.late_retention.is_zero() {
            return Err(Error::new(Kind::AlreadyExpired, "expiresAt has passed and lateRetentionMs is 0"));
        }
        Ok(now.plus(u64::try_from(self.settings.late_retention.as_millis()).unwrap_or(u64::MAX)))
    }

    fn write(&self, call: Call, operation: Write, settle: Settle) {
        let own = match self.own() {
            Ok(own) => own,
            Err(error) => return self.refuse(call, error, settle),
        };
        let started = Instant::now();
        let transcoder = self.transcoder();
        // Compressing may take long: writes of the same id that come later wait behind it in the lane.
        let now = if transcoder.is_on() { None } else { self.write_now(own, &transcoder, &operation) };
        match now {
            Some(result) => self.answer(call, started, result, settle),
            None => own.writes.submit(call.name(), operation, self.meter(call), settle),
        }
    }

    fn write_now(&self, own: &Own, transcoder: &Transcoder, operation: &Write) -> Option<Result<Reply>> {
        if !transcoder.is_work(operation) {
            return own.driver.write_now(operation);
        }
        match transcoder.encode_here(operation.clone(), &|id| self.max_payload_bytes(id)) {
            Ok(encoded) => own.driver.write_now(&encoded),
            Err(error) => Some(Err(error)),
        }
    }

    fn read(&self, call: Call, id: &str, operation: impl FnOnce(Box<str>) -> Read, settle: Settle) {
        let started = Instant::now();
        match self.own().and_then(|own| Ok((own, operation(self.checked_id(id)?)))) {
            Err(error) => self.refuse(call, error.with_id(id), settle),
            Ok((own, operation)) => {
                let decoded = own.driver.read_now(&operation).and_then(|found| match found {
                    Ok(reply) => self.transcoder().decode_here(reply),
                    Err(error) => Some(Err(error)),
                });
                match decoded.map(|result| result.map_err(|error| error.with_id(id))) {
                    Some(result) => self.answer(call, started, result, settle),
                    None => own.reads.submit(call.name(), operation, self.meter(call), settle),
                }
            }
        }
    }

    /// Answers what was done on the caller's thread.
    pub(super) fn answer(&self, call: Call, started: Instant, result: Result<Reply>, settle: Settle) {
        if let Some(meter) = self.meter(call) {
            meter.record(started.elapsed(), is_answer(&result));
        }
        settle(result.map_err(|error| error.at(self.backend.name(), call.name())));
    }

    fn metered(&self, call: Call, settle: Settle) -> Settle {
        let (meter, started) = (Arc::clone(&self.meters[call as usize]), Instant::now());
        Box::new(move |result| {
            meter.record(started.elapsed(), result.is_ok());
            settle(result);
        })
    }
}
