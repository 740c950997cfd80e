//! Values of ours that JavaScript only holds, and gives back. When it holds one no longer, it is dropped.

use std::ffi::c_void;
use std::ptr;

use napi::sys;

use super::arguments::Raw;
use crate::error::{Error, Result};

/// What can be held. The tag marks it, so that no other's value is taken for one.
pub(super) trait Opaque: Clone + Sized {
    const TAG: sys::napi_type_tag;
    /// What it is, for messages.
    const WHAT: &'static str;

    /// As a value of JavaScript's.
    fn into_value(self, env: sys::napi_env) -> sys::napi_value {
        let mut made = ptr::null_mut();
        let owner = Box::into_raw(Box::new(self));
        // SAFETY: on the environment's thread; the finalizer takes the box back, once.
        unsafe {
            let finalizer = Some(release::<Self> as unsafe extern "C" fn(_, _, _));
            let status = sys::napi_create_external(env, owner.cast(), finalizer, ptr::null_mut(), &raw mut made);
            if status != sys::Status::napi_ok {
                drop(Box::from_raw(owner));
                return ptr::null_mut();
            }
            sys::napi_type_tag_object(env, made, &Self::TAG);
        }
        made
    }

    /// Of what JavaScript gives back.
    fn of_value(env: sys::napi_env, value: Raw) -> Result<Self> {
        let (mut ours, mut data) = (false, ptr::null_mut());
        // SAFETY: the tag says that the value is one of `into_value`'s; it is alive during the call.
        unsafe {
            let checked = sys::napi_check_object_type_tag(env, value.0, &Self::TAG, &raw mut ours);
            if checked != sys::Status::napi_ok || !ours {
                return Err(Error::invalid(format!("{} of this store is expected", Self::WHAT)));
            }
            sys::napi_get_value_external(env, value.0, &raw mut data);
            let gone = || Error::invalid(format!("{} is gone", Self::WHAT));
            data.cast::<Self>().as_ref().cloned().ok_or_else(gone)
        }
    }
}

unsafe extern "C" fn release<T>(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: `into_value` made it with `Box::into_raw` and hands it over once.
    drop(unsafe { Box::from_raw(data.cast::<T>()) });
}
