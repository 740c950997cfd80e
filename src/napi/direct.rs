//! The operations that are called most, as plain functions. A method of a class has to find out at each call
//! what its `this` is, and that nobody else has it: a tenth of what an operation takes of the event loop.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use napi::{Env, JsError, sys};

use super::arguments::{self, Raw};
use super::bridge::check;
use super::calls::Caller;
use super::values::optional_data;
use crate::contract::operations::Call;

/// An object with the functions `put`, `get`, `getHere`, `run` and `makesWay`.
pub(super) fn functions(env: sys::napi_env, caller: Caller) -> napi::Result<Raw> {
    let caller = Rc::new(caller);
    let mut object = ptr::null_mut();
    // SAFETY: plain Node-API calls within a call from JavaScript, with valid out-parameters.
    check(unsafe { sys::napi_create_object(env, &raw mut object) }, "napi_create_object")?;
    let all =
        [(c"put", put as Callback), (c"get", get), (c"getHere", get_here), (c"run", run), (c"makesWay", makes_way)];
    for (name, callback) in all {
        let owned = Rc::into_raw(Rc::clone(&caller)).cast_mut().cast::<c_void>();
        let mut function = ptr::null_mut();
        // SAFETY: as above. The function's data is its own count of the caller, given back when it is collected.
        unsafe {
            let length = isize::try_from(name.count_bytes()).unwrap_or_default();
            let made = sys::napi_create_function(env, name.as_ptr(), length, Some(callback), owned, &raw mut function);
            if made != sys::Status::napi_ok {
                drop(Rc::from_raw(owned.cast::<Caller>()));
            }
            check(made, "napi_create_function")?;
            let end = Some(on_collected as Finalizer);
            check(
                sys::napi_add_finalizer(env, function, owned, end, ptr::null_mut(), ptr::null_mut()),
                "napi_add_finalizer",
            )?;
            check(sys::napi_set_named_property(env, object, name.as_ptr(), function), "napi_set_named_property")?;
        }
    }
    Ok(Raw(object))
}

type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;
type Finalizer = unsafe extern "C" fn(sys::napi_env, *mut c_void, *mut c_void);

unsafe extern "C" fn on_collected(_env: sys::napi_env, caller: *mut c_void, _hint: *mut c_void) {
    // SAFETY: `functions` has counted it for this function.
    drop(unsafe { Rc::from_raw(caller.cast::<Caller>()) });
}

/// Runs a call with its arguments, `undefined` where there is none.
fn enter<const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    run: impl FnOnce(&Caller, Env, [Raw; N]) -> napi::Result<Raw>,
) -> sys::napi_value {
    let (mut arguments, mut count, mut caller) = ([ptr::null_mut(); N], N, ptr::null_mut());
    // SAFETY: called by Node-API with a valid `info`; there is room for as many arguments as `count` says.
    unsafe {
        sys::napi_get_cb_info(env, info, &raw mut count, arguments.as_mut_ptr(), ptr::null_mut(), &raw mut caller)
    };
    // SAFETY: the data of our functions is their caller, which lives as long as they do.
    let caller = unsafe { &*caller.cast::<Caller>() };
    let outcome = catch_unwind(AssertUnwindSafe(|| run(caller, Env::from_raw(env), arguments.map(Raw))));
    match outcome.unwrap_or_else(|_| Err(napi::Error::from_reason("panic in a native call"))) {
        Ok(value) => value.0,
        Err(error) => {
            // SAFETY: within a call from JavaScript.
            unsafe { JsError::from(error).throw_into(env) };
            ptr::null_mut()
        }
    }
}

/// Stores a payload: `(id, data, expiresAt?)`, a promise.
unsafe extern "C" fn put(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    enter(env, info, |this, env, [id, data, expires_at]| this.run(env, Call::Put, [id, data, expires_at]))
}

/// The payload: `(id)`, a promise; rejects with `NOT_FOUND`.
unsafe extern "C" fn get(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    enter(env, info, |this, env, [id]| this.run(env, Call::Get, [id; 3]))
}

/// The payload without a promise: `(id)`, if no thread but this one is needed for it; else `get` knows more.
unsafe extern "C" fn get_here(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    enter(env, info, |this, env, [id]| {
        // The way over another thread lets the event loop turn.
        if this.side.makes_way() {
            return Ok(Raw(optional_data(env.raw(), None)));
        }
        let found = arguments::with_id(env.raw(), id, |id| this.store.get_here(id)).ok().flatten();
        Ok(Raw(optional_data(env.raw(), found)))
    })
}

/// Any operation: `(operation, first, data?, expiresAt?)`, a promise. `first` is its id, or the list that the file of
/// its kind in `ts/kinds` makes of its arguments.
unsafe extern "C" fn run(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    enter(env, info, |this, env, [operation, first, data, expires_at]| {
        let mut number = u32::MAX;
        // SAFETY: within a call from JavaScript, with a valid out-parameter.
        unsafe { sys::napi_get_value_uint32(env.raw(), operation.0, &raw mut number) };
        match Call::numbered(number) {
            Some(call) => this.run(env, call, [first, data, expires_at]),
            None => this.no_such_operation(),
        }
    })
}

/// Whether an answer of TypeScript's own, which it could give at once, has to wait for the event loop's next turn.
unsafe extern "C" fn makes_way(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    enter(env, info, |this, env, []| Ok(Raw(boolean(env.raw(), this.side.makes_way()))))
}

fn boolean(env: sys::napi_env, flag: bool) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: within a call from JavaScript, with a valid out-parameter.
    unsafe { sys::napi_get_boolean(env, flag, &raw mut value) };
    value
}
