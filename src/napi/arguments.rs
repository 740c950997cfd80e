//! JavaScript values in: read strictly, with messages for the caller.

use std::ptr;

use bytes::Bytes;
use napi::bindgen_prelude::{FromNapiValue, ToNapiValue, TypeName, ValidateNapiValue};
use napi::sys;

use super::bridge::JsSide;
use crate::contract::operation::MAX_ID_BYTES;
use crate::error::{Error, Result};
use crate::time::Millis;

/// Buffers up to here are copied (the caller's may change at once); larger ones are read in
/// place: at 32 KiB that is 1.6 us of event-loop time in place of 20 us.
pub(super) const COPY_UP_TO: usize = 4 * 1024;

const DATA: &str = "data must be a Uint8Array (a Buffer is one): of a text Buffer.from(text), of an object Buffer.from(JSON.stringify(object))";

/// What is said where there is no Date.
pub(super) const DATE: &str = "expiresAt must be a Date, such as new Date(Date.now() + 3600_000) for an hour";

/// A value passed through as it is.
#[derive(Clone, Copy)]
pub struct Raw(pub(super) sys::napi_value);

impl TypeName for Raw {
    fn type_name() -> &'static str {
        "unknown"
    }

    fn value_type() -> napi::ValueType {
        napi::ValueType::Unknown
    }
}

impl ValidateNapiValue for Raw {}

impl FromNapiValue for Raw {
    unsafe fn from_napi_value(_env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        Ok(Self(value))
    }
}

impl ToNapiValue for Raw {
    unsafe fn to_napi_value(_env: sys::napi_env, value: Self) -> napi::Result<sys::napi_value> {
        Ok(value.0)
    }
}

/// Reads an id and hands it to `with`; most ids need no allocation on the way.
pub(super) fn with_id<T>(env: sys::napi_env, value: Raw, with: impl FnOnce(&str) -> T) -> Result<T> {
    // A little more than is allowed is enough to see that an id is too long.
    let mut short = [0_u8; MAX_ID_BYTES + 8];
    let text = beginning(env, value, &mut short).ok_or_else(|| Error::invalid("id must be a string"))?;
    if text.contains('\u{FFFD}') && !is_well_formed(env, value) {
        // Unpaired surrogates all become U+FFFD in UTF-8: two different ids would be one.
        return Err(Error::invalid("id must be well-formed Unicode (it has an unpaired surrogate)"));
    }
    if text.len() > MAX_ID_BYTES {
        return Err(Error::invalid(format!("id is longer than {MAX_ID_BYTES} bytes of UTF-8")));
    }
    Ok(with(text))
}

/// A string, as much of it as there is room for, with a NUL behind it; Node-API cuts at a whole character. None if it
/// is no string.
pub(super) fn beginning(env: sys::napi_env, value: Raw, room: &mut [u8]) -> Option<&str> {
    let mut length = 0;
    // SAFETY: there is as much room as is said.
    let status =
        unsafe { sys::napi_get_value_string_utf8(env, value.0, room.as_mut_ptr().cast(), room.len(), &raw mut length) };
    if status == sys::Status::napi_ok { std::str::from_utf8(&room[..length]).ok() } else { None }
}

/// Whether a string has no unpaired surrogates. Only asked of short strings with U+FFFD.
pub(super) fn is_well_formed(env: sys::napi_env, value: Raw) -> bool {
    let mut units = [0_u16; MAX_ID_BYTES + 8];
    let mut length = 0;
    // SAFETY: the buffer has the length that is passed.
    let status =
        unsafe { sys::napi_get_value_string_utf16(env, value.0, units.as_mut_ptr(), units.len(), &raw mut length) };
    status == sys::Status::napi_ok && char::decode_utf16(units[..length].iter().copied()).all(|unit| unit.is_ok())
}

/// The bytes of a `Uint8Array` (a `Buffer` is one), for the I/O threads.
pub(super) fn bytes(env: sys::napi_env, side: &JsSide, value: Raw) -> Result<Bytes> {
    read_bytes(env, side, value, true)
}

/// The same, for work that stays on this thread: the environment's end does not wait for it.
pub(super) fn bytes_for_this_thread(env: sys::napi_env, side: &JsSide, value: Raw) -> Result<Bytes> {
    read_bytes(env, side, value, false)
}

fn read_bytes(env: sys::napi_env, side: &JsSide, value: Raw, is_for_io: bool) -> Result<Bytes> {
    const UINT8_ARRAY: sys::napi_typedarray_type = sys::TypedarrayType::uint8_array;
    let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
    let (mut buffer, mut offset) = (ptr::null_mut(), 0);
    // SAFETY: all out-parameters are valid; the call fails if the value is no typed array.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env,
            value.0,
            &raw mut kind,
            &raw mut length,
            &raw mut data,
            &raw mut buffer,
            &raw mut offset,
        )
    };
    if status != sys::Status::napi_ok || kind != UINT8_ARRAY {
        return Err(Error::invalid(DATA));
    }
    if length == 0 || data.is_null() {
        return if is_within_its_memory(env, value) {
            Ok(Bytes::new())
        } else {
            Err(Error::invalid("data is detached: its memory was transferred, or is smaller than before"))
        };
    }
    if length <= COPY_UP_TO {
        // SAFETY: the array's memory is valid during this call.
        return Ok(Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) }));
    }
    let borrowed =
        side.borrow(value.0, data.cast(), length, is_for_io).map_err(|error| Error::invalid(error.reason.clone()))?;
    Ok(Bytes::from_owner(borrowed))
}

/// Whether an array that says it is empty has not lost its memory. Node-API does not tell arrays whose memory has
/// shrunk from empty ones; JavaScript's own methods throw.
fn is_within_its_memory(env: sys::napi_env, array: Raw) -> bool {
    let (mut at, mut first) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: within a call from JavaScript, with valid out-parameters.
    unsafe {
        let got = sys::napi_get_named_property(env, array.0, c"at".as_ptr(), &raw mut at);
        if got == sys::Status::napi_ok
            && sys::napi_call_function(env, array.0, at, 0, ptr::null(), &raw mut first) == sys::Status::napi_ok
        {
            return true;
        }
    }
    take_exception_back(env);
    false
}

/// A `Date` as Unix milliseconds; `undefined` and `null` are none.
pub(super) fn date(env: sys::napi_env, value: Raw) -> Result<Option<Millis>> {
    let (mut kind, mut is_date, mut millis) = (0, false, 0.0);
    // SAFETY: all out-parameters are valid.
    unsafe {
        sys::napi_typeof(env, value.0, &raw mut kind);
        if kind == sys::ValueType::napi_undefined || kind == sys::ValueType::napi_null {
            return Ok(None);
        }
        sys::napi_is_date(env, value.0, &raw mut is_date);
        if !is_date {
            return Err(Error::invalid(DATE));
        }
        sys::napi_get_date_value(env, value.0, &raw mut millis);
    }
    if millis.is_nan() {
        return Err(Error::invalid("expiresAt is an invalid Date"));
    }
    // JavaScript's Dates are whole milliseconds within ±8.64e15.
    #[allow(clippy::cast_possible_truncation)]
    Ok(Some(Millis(millis as i64)))
}

/// A whole number, or `Infinity` for as many as there are.
pub(super) fn count(env: sys::napi_env, value: Raw) -> Result<u64> {
    let mut number = 0.0;
    // SAFETY: the call fails if the value is no number.
    if unsafe { sys::napi_get_value_double(env, value.0, &raw mut number) } != sys::Status::napi_ok {
        return Err(Error::invalid("a number is expected"));
    }
    // Saturates; the caller has checked that it is a whole number or Infinity.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(number as u64)
}

/// What reading a value has thrown (a getter, a proxy) becomes an error of the operation; left alone it would be thrown
/// when the call returns, beside its promise.
pub(super) fn take_exception_back(env: sys::napi_env) {
    let mut exception = ptr::null_mut();
    // SAFETY: within a call from JavaScript, with a valid out-parameter.
    unsafe { sys::napi_get_and_clear_last_exception(env, &raw mut exception) };
}

/// The elements of an array.
pub(super) fn elements(env: sys::napi_env, value: Raw) -> Result<Vec<Raw>> {
    let mut length = 0;
    // SAFETY: the call fails if the value is no array.
    if unsafe { sys::napi_get_array_length(env, value.0, &raw mut length) } != sys::Status::napi_ok {
        return Err(Error::invalid("an array is expected"));
    }
    let mut elements = Vec::with_capacity(length as usize);
    for index in 0..length {
        let mut element = ptr::null_mut();
        // SAFETY: the value is an array.
        if unsafe { sys::napi_get_element(env, value.0, index, &raw mut element) } != sys::Status::napi_ok {
            take_exception_back(env);
            return Err(Error::invalid(format!("element {index} cannot be read")));
        }
        elements.push(Raw(element));
    }
    Ok(elements)
}
