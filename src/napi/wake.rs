//! What wakes a JavaScript thread: a threadsafe function, or none.

use std::ptr;

use napi::sys;

use super::bridge::check;

/// A threadsafe function of an environment. By default there is none.
#[derive(Clone, Copy)]
pub(super) struct Wake(sys::napi_threadsafe_function);

// SAFETY: a threadsafe function may be called from any thread until it is released.
unsafe impl Send for Wake {}

impl Default for Wake {
    fn default() -> Self {
        Self(ptr::null_mut())
    }
}

impl Wake {
    /// Makes one that does not keep the process alive; on the environment's own thread.
    pub(super) fn make(env: sys::napi_env, on_wake: sys::napi_threadsafe_function_call_js) -> napi::Result<Self> {
        let (mut name, mut made) = (ptr::null_mut(), ptr::null_mut());
        let text = "sagastore";
        // SAFETY: plain Node-API calls on the environment's own thread.
        unsafe {
            let length = isize::try_from(text.len()).unwrap_or_default();
            check(
                sys::napi_create_string_utf8(env, text.as_ptr().cast(), length, &raw mut name),
                "napi_create_string_utf8",
            )?;
            check(
                sys::napi_create_threadsafe_function(
                    env,
                    ptr::null_mut(),
                    ptr::null_mut(),
                    name,
                    0,
                    1,
                    ptr::null_mut(),
                    None,
                    env.cast(),
                    on_wake,
                    &raw mut made,
                ),
                "napi_create_threadsafe_function",
            )?;
        }
        let made = Self(made);
        made.keep_process_alive(env, false);
        Ok(made)
    }

    pub(super) fn is_there(self) -> bool {
        !self.0.is_null()
    }

    /// On any thread, while it is not released.
    pub(super) fn call(self) {
        debug_assert!(self.is_there(), "what wakes JavaScript has been released too early");
        // SAFETY: it is not released: the callers hold the lock under which it would be.
        unsafe {
            sys::napi_call_threadsafe_function(self.0, ptr::null_mut(), sys::ThreadsafeFunctionCallMode::nonblocking)
        };
    }

    /// On the environment's own thread, while it is not released.
    pub(super) fn keep_process_alive(self, env: sys::napi_env, keeps: bool) {
        if !self.is_there() {
            return;
        }
        // SAFETY: as the comment above says.
        unsafe {
            if keeps {
                sys::napi_ref_threadsafe_function(env, self.0);
            } else {
                sys::napi_unref_threadsafe_function(env, self.0);
            }
        }
    }

    /// Ends it. Nobody uses it after that. `at_once` drops the calls that are still to come.
    pub(super) fn release(self, at_once: bool) {
        if !self.is_there() {
            return;
        }
        let mode = if at_once {
            sys::ThreadsafeFunctionReleaseMode::abort
        } else {
            sys::ThreadsafeFunctionReleaseMode::release
        };
        // SAFETY: whoever made it has one hold of it, and gives that back once.
        unsafe { sys::napi_release_threadsafe_function(self.0, mode) };
    }
}
