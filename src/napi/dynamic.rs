//! Values whose types are known only at run time, from JavaScript and to it.

use std::ffi::c_void;
use std::ptr;

use bytes::Bytes;
use napi::sys;

use super::arguments::{COPY_UP_TO, Raw, beginning};
use super::bridge::JsSide;
use crate::contract::dynamic::Dynamic;
use crate::error::{Error, Result};
use crate::time::Millis;

/// Deeper than this no answer of a database is; a cycle would have no end.
const MAX_DEPTH: usize = 100;

/// The largest whole number that every number below it is told apart from.
const MAX_SAFE: i64 = 9_007_199_254_740_991;

/// Bytes of UTF-8 that are read without asking for the length first.
const SHORT_TEXT: usize = 256;

/// Reads JavaScript values, within one call.
pub(super) struct Reader<'a> {
    env: sys::napi_env,
    side: &'a JsSide,
    is_for_io: bool,
    /// Whether an invalid Date is a number that is none: whoever is given it can say which one it is.
    pub(super) admits_invalid_dates: bool,
    /// Where bytes that are read in place came from, so that they can be handed back as they are.
    pub(super) in_place: Vec<(Bytes, Raw)>,
}

fn unreadable() -> Error {
    Error::invalid("a value cannot be read")
}

// SAFETY of every `unsafe` below: plain Node-API calls with valid out-parameters, on the thread
// of the environment, within a call from JavaScript.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<'a> Reader<'a> {
    pub(super) fn new(env: sys::napi_env, side: &'a JsSide) -> Self {
        Self { env, side, is_for_io: false, admits_invalid_dates: false, in_place: Vec::new() }
    }

    /// The value. What is neither data nor a plain object or array is refused.
    pub(super) fn read(&mut self, value: Raw) -> Result<Dynamic> {
        self.value(value, 0)
    }

    /// The same, for use on the I/O threads.
    pub(super) fn read_for_io(&mut self, value: Raw) -> Result<Dynamic> {
        self.is_for_io = true;
        self.value(value, 0)
    }

    fn value(&mut self, value: Raw, depth: usize) -> Result<Dynamic> {
        if depth > MAX_DEPTH {
            return Err(Error::invalid("a value is nested too deeply, or contains itself"));
        }
        let mut kind = 0;
        unsafe { sys::napi_typeof(self.env, value.0, &raw mut kind) };
        match kind {
            sys::ValueType::napi_undefined | sys::ValueType::napi_null => Ok(Dynamic::Null),
            sys::ValueType::napi_boolean => {
                let mut flag = false;
                unsafe { sys::napi_get_value_bool(self.env, value.0, &raw mut flag) };
                Ok(Dynamic::Bool(flag))
            }
            sys::ValueType::napi_number => {
                let mut number = 0.0;
                unsafe { sys::napi_get_value_double(self.env, value.0, &raw mut number) };
                #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
                if number.fract() == 0.0 && number.abs() <= MAX_SAFE as f64 {
                    return Ok(Dynamic::Int(number as i64));
                }
                Ok(Dynamic::Number(number))
            }
            sys::ValueType::napi_bigint => {
                let (mut number, mut lossless) = (0, false);
                unsafe { sys::napi_get_value_bigint_int64(self.env, value.0, &raw mut number, &raw mut lossless) };
                if lossless { Ok(Dynamic::Int(number)) } else { Err(Error::invalid("a bigint does not fit 64 bits")) }
            }
            sys::ValueType::napi_string => self.text(value).map(Dynamic::Text),
            sys::ValueType::napi_object => self.object(value, depth),
            _ => Err(Error::invalid("a value must be data: no function, no symbol")),
        }
    }

    pub(super) fn text(&self, value: Raw) -> Result<String> {
        // Most are names and ids: read at once, and into memory of just their size.
        let mut short = [0_u8; SHORT_TEXT];
        let text = beginning(self.env, value, &mut short).ok_or_else(unreadable)?;
        // One that is cut off has at least this length.
        if text.len() < SHORT_TEXT - 4 {
            return Ok(text.to_owned());
        }
        let mut length = 0;
        unsafe { sys::napi_get_value_string_utf8(self.env, value.0, ptr::null_mut(), 0, &raw mut length) };
        // One byte more, for the NUL.
        let mut text = vec![0_u8; length + 1];
        unsafe {
            sys::napi_get_value_string_utf8(self.env, value.0, text.as_mut_ptr().cast(), text.len(), &raw mut length)
        };
        text.truncate(length);
        String::from_utf8(text).map_err(|_| unreadable())
    }

    fn object(&mut self, value: Raw, depth: usize) -> Result<Dynamic> {
        let mut is = false;
        unsafe { sys::napi_is_array(self.env, value.0, &raw mut is) };
        if is {
            let elements = super::arguments::elements(self.env, value)?;
            return elements
                .into_iter()
                .map(|element| self.value(element, depth + 1))
                .collect::<Result<_>>()
                .map(Dynamic::List);
        }
        unsafe { sys::napi_is_typedarray(self.env, value.0, &raw mut is) };
        if is {
            return self.bytes(value).map(Dynamic::Bytes);
        }
        unsafe { sys::napi_is_date(self.env, value.0, &raw mut is) };
        if is {
            let mut millis = 0.0;
            unsafe { sys::napi_get_date_value(self.env, value.0, &raw mut millis) };
            if millis.is_nan() && self.admits_invalid_dates {
                return Ok(Dynamic::Number(millis));
            }
            if millis.is_nan() {
                return Err(Error::invalid("a Date is invalid"));
            }
            // JavaScript's Dates are whole milliseconds within ±8.64e15.
            #[allow(clippy::cast_possible_truncation)]
            return Ok(Dynamic::Time(Millis(millis as i64)));
        }
        let mut names = ptr::null_mut();
        if unsafe { sys::napi_get_property_names(self.env, value.0, &raw mut names) } != sys::Status::napi_ok {
            super::arguments::take_exception_back(self.env);
            return Err(unreadable());
        }
        let mut properties = Vec::new();
        for name in super::arguments::elements(self.env, Raw(names))? {
            let mut property = ptr::null_mut();
            if unsafe { sys::napi_get_property(self.env, value.0, name.0, &raw mut property) } != sys::Status::napi_ok {
                super::arguments::take_exception_back(self.env);
                return Err(unreadable());
            }
            let mut coerced = ptr::null_mut();
            unsafe { sys::napi_coerce_to_string(self.env, name.0, &raw mut coerced) };
            properties.push((self.text(Raw(coerced))?, self.value(Raw(property), depth + 1)?));
        }
        Ok(Dynamic::Map(properties))
    }

    fn bytes(&mut self, value: Raw) -> Result<Bytes> {
        if self.is_for_io {
            return super::arguments::bytes(self.env, self.side, value);
        }
        let bytes = super::arguments::bytes_for_this_thread(self.env, self.side, value)?;
        if bytes.len() > COPY_UP_TO {
            self.in_place.push((bytes.clone(), value));
        }
        Ok(bytes)
    }
}

/// Makes a string; a null pointer where it could not be made.
pub(super) fn string(env: sys::napi_env, text: &str) -> sys::napi_value {
    let mut value = ptr::null_mut();
    let length = isize::try_from(text.len()).unwrap_or_default();
    // Of ASCII V8 makes a string without decoding it.
    let make = if text.is_ascii() { sys::napi_create_string_latin1 } else { sys::napi_create_string_utf8 };
    // SAFETY: as above; the text has the length that is passed.
    unsafe { make(env, text.as_ptr().cast(), length, &raw mut value) };
    value
}

/// Makes JavaScript values. Bytes that the caller has as a JavaScript value already are that value.
pub(super) struct Writer<'a> {
    env: sys::napi_env,
    known: &'a dyn Fn(&Bytes) -> Option<Raw>,
}

// SAFETY of every `unsafe` below: as above.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<'a> Writer<'a> {
    pub(super) fn new(env: sys::napi_env, known: &'a dyn Fn(&Bytes) -> Option<Raw>) -> Self {
        Self { env, known }
    }

    /// The value; null pointers where one could not be made, which the next call refuses.
    pub(super) fn write(&self, value: &Dynamic) -> sys::napi_value {
        let mut made = ptr::null_mut();
        unsafe {
            match value {
                Dynamic::Null => sys::napi_get_null(self.env, &raw mut made),
                Dynamic::Bool(flag) => sys::napi_get_boolean(self.env, *flag, &raw mut made),
                #[allow(clippy::cast_precision_loss)]
                Dynamic::Int(number) if (-MAX_SAFE..=MAX_SAFE).contains(number) => {
                    sys::napi_create_double(self.env, *number as f64, &raw mut made)
                }
                Dynamic::Int(number) => sys::napi_create_bigint_int64(self.env, *number, &raw mut made),
                Dynamic::Number(number) => sys::napi_create_double(self.env, *number, &raw mut made),
                Dynamic::Text(text) => return self.text(text),
                Dynamic::Bytes(bytes) => {
                    if let Some(known) = (self.known)(bytes) {
                        return known.0;
                    }
                    let mut data: *mut c_void = ptr::null_mut();
                    let source = bytes.as_ptr().cast();
                    sys::napi_create_buffer_copy(self.env, bytes.len(), source, &raw mut data, &raw mut made)
                }
                #[allow(clippy::cast_precision_loss)]
                Dynamic::Time(at) => sys::napi_create_date(self.env, at.0 as f64, &raw mut made),
                Dynamic::List(elements) => return self.array(elements.iter().map(|element| self.write(element))),
                Dynamic::Map(properties) => {
                    sys::napi_create_object(self.env, &raw mut made);
                    for (name, value) in properties {
                        sys::napi_set_property(self.env, made, self.text(name), self.write(value));
                    }
                    return made;
                }
            }
        };
        made
    }

    pub(super) fn text(&self, text: &str) -> sys::napi_value {
        string(self.env, text)
    }

    pub(super) fn array(&self, elements: impl ExactSizeIterator<Item = sys::napi_value>) -> sys::napi_value {
        let mut array = ptr::null_mut();
        unsafe { sys::napi_create_array_with_length(self.env, elements.len(), &raw mut array) };
        for (index, element) in (0..).zip(elements) {
            unsafe { sys::napi_set_element(self.env, array, index, element) };
        }
        array
    }
}
