//! From the I/O threads back to JavaScript: one bridge per environment (main thread or worker).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use napi::sys;

use super::turns::Turns;
use super::values::{Answer, settle_promise};
use super::wake::Wake;
use crate::runtime;
use crate::together;

/// Node runs a threadsafe function for as long as there is work, which starves timers and
/// sockets. After this long without a pause the rest waits for `setImmediate`.
const FAIRNESS_BUDGET: Duration = Duration::from_micros(500);

/// Two drains closer together than this are one stretch of draining.
const SAME_STRETCH: Duration = Duration::from_micros(100);

/// Promises settled between two looks at the clock.
const CHUNK: usize = 16;

/// Released buffers above this many bytes wake JavaScript by themselves; fewer wait for the
/// next answer, which usually follows at once.
const RELEASE_WAKES_AT: usize = 1 << 20;

/// How long the end of a worker thread waits for I/O that still reads its buffers.
const WORKER_EXIT_WAIT: Duration = Duration::from_secs(60);

/// The same at the end of the process, where the I/O threads can be stopped instead.
const PROCESS_EXIT_WAIT: Duration = Duration::from_millis(100);

/// A promise to settle, and what with.
struct Completion {
    deferred: sys::napi_deferred,
    answer: Answer,
    /// Whether the promise keeps the process alive until then.
    counts: bool,
}

// SAFETY: the deferred is an opaque pointer that only the JavaScript thread dereferences.
unsafe impl Send for Completion {}

/// A reference that keeps a JavaScript buffer alive.
struct BufferReference(sys::napi_ref);

// SAFETY: the reference is an opaque pointer that only the JavaScript thread dereferences.
unsafe impl Send for BufferReference {}

#[derive(Default)]
struct Outgoing {
    /// There while JavaScript may have to be woken: see [`JsSide::rest`].
    wake: Wake,
    /// Released buffers wake JavaScript however small they are: no answer may follow that would.
    wakes_for_all: bool,
    done: Vec<Completion>,
    released: Vec<BufferReference>,
    released_bytes: usize,
    /// Buffers of this environment that Rust still reads.
    borrowed: usize,
    /// A wake-up is under way: no other is needed until JavaScript has taken everything.
    woken: bool,
    /// The environment is gone; nothing may call into it.
    closed: bool,
}

/// The side of a bridge that I/O threads see.
pub(super) struct Bridge {
    outgoing: Mutex<Outgoing>,
    returned: Condvar,
}

impl Bridge {
    fn lock(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complete(self: &Arc<Self>, completion: Completion) {
        GATHERED.with_borrow_mut(|gathered| {
            if let Some((_, done)) = gathered.iter_mut().find(|(bridge, _)| Arc::ptr_eq(bridge, self)) {
                return done.push(completion);
            }
            let bridge = Arc::clone(self);
            if together::at_end(move || bridge.hand_over()) {
                gathered.push((Arc::clone(self), vec![completion]));
            } else {
                self.deliver(vec![completion]);
            }
        });
    }

    fn hand_over(self: &Arc<Self>) {
        let done = GATHERED.with_borrow_mut(|gathered| {
            let place = gathered.iter().position(|(bridge, _)| Arc::ptr_eq(bridge, self));
            place.map(|place| gathered.swap_remove(place).1)
        });
        if let Some(done) = done {
            self.deliver(done);
        }
    }

    fn deliver(&self, done: Vec<Completion>) {
        let mut outgoing = self.lock();
        // In a closed environment nobody waits for the promise any more.
        if !outgoing.closed {
            outgoing.done.extend(done);
            outgoing.wake_up();
        }
    }
}

impl Outgoing {
    /// Only by whoever brings an answer or a buffer, while the environment is not `closed`: then `wake` is there.
    fn wake_up(&mut self) {
        if !self.woken {
            self.woken = true;
            self.wake.call();
        }
    }
}

/// The bytes of a JavaScript buffer, read in place. The buffer stays alive until this is
/// dropped, also when the driver keeps it longer than the promise takes to settle.
pub(super) struct BorrowedBytes {
    data: *const u8,
    length: usize,
    reference: sys::napi_ref,
    bridge: Arc<Bridge>,
    /// Whether an I/O thread may be reading: the environment's end waits for those.
    is_for_io: bool,
}

// SAFETY: the memory stays where it is while the reference lives, and the environment's end
// waits for it; the caller must not change it before the promise settles (as with `fs.write`).
unsafe impl Send for BorrowedBytes {}
// SAFETY: as above; it is only read.
unsafe impl Sync for BorrowedBytes {}

impl AsRef<[u8]> for BorrowedBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: see above.
        unsafe { std::slice::from_raw_parts(self.data, self.length) }
    }
}

impl Drop for BorrowedBytes {
    fn drop(&mut self) {
        let mut outgoing = self.bridge.lock();
        outgoing.borrowed -= usize::from(self.is_for_io);
        if outgoing.closed {
            self.bridge.returned.notify_all();
            return;
        }
        outgoing.released.push(BufferReference(self.reference));
        outgoing.released_bytes += self.length;
        if outgoing.wakes_for_all || outgoing.released_bytes > RELEASE_WAKES_AT {
            outgoing.wake_up();
        }
    }
}

/// A promise that is not settled yet. Dropped unsettled, it rejects: no promise hangs.
pub(super) struct Deferred {
    raw: sys::napi_deferred,
    bridge: Arc<Bridge>,
    counts: bool,
}

// SAFETY: see `Completion`.
unsafe impl Send for Deferred {}

impl Deferred {
    /// Settles the promise: within a call on its own thread at once, or in the event loop's next turn where it has
    /// not turned for long; through the bridge otherwise.
    pub(super) fn settle(mut self, answer: Answer) {
        self.settle_with(answer);
    }

    fn settle_with(&mut self, answer: Answer) {
        let raw = std::mem::replace(&mut self.raw, ptr::null_mut());
        if raw.is_null() {
            return;
        }
        let completion = Completion { deferred: raw, answer, counts: self.counts };
        let here = CALLING.with(|calling| calling.borrow().clone());
        match here.filter(|side| Arc::ptr_eq(&side.bridge, &self.bridge)) {
            Some(side) if side.makes_way() => side.resolve_later(completion),
            Some(side) => {
                side.resolve(completion);
                side.rest();
            }
            None => self.bridge.complete(completion),
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        self.settle_with(Answer::abandoned());
    }
}

/// The side of a bridge that the JavaScript thread sees.
pub(super) struct JsSide {
    env: sys::napi_env,
    bridge: Arc<Bridge>,
    is_main_thread: bool,
    /// The same as in `Outgoing`.
    wake: Cell<Wake>,
    /// Stores that are not closed.
    open: Cell<usize>,
    /// Promises that are not settled.
    pending: Cell<usize>,
    /// Buffers that are kept alive.
    references: Cell<usize>,
    /// Those of the promises that keep the process alive.
    in_flight: Cell<usize>,
    /// Taken from the outgoing, not settled yet.
    backlog: RefCell<VecDeque<Completion>>,
    set_immediate: sys::napi_ref,
    drain_function: Cell<sys::napi_ref>,
    immediate_is_due: Cell<bool>,
    stretch_began: Cell<Instant>,
    stretch_ended: Cell<Instant>,
    turn_function: Cell<sys::napi_ref>,
    turns: Turns,
}

thread_local! {
    /// Answers of this thread that are handed over together.
    static GATHERED: RefCell<Vec<(Arc<Bridge>, Vec<Completion>)>> = const { RefCell::new(Vec::new()) };
    /// The environments of this thread (usually one).
    static SIDES: RefCell<Vec<(sys::napi_env, Rc<JsSide>)>> = const { RefCell::new(Vec::new()) };
    /// The environment whose native call is running on this thread, if one is.
    static CALLING: RefCell<Option<Rc<JsSide>>> = const { RefCell::new(None) };
}

/// Marks that a native call runs, so that what settles within it settles directly.
pub(super) struct Calling;

impl Calling {
    pub(super) fn into(side: &Rc<JsSide>) -> Self {
        CALLING.with(|calling| *calling.borrow_mut() = Some(Rc::clone(side)));
        Self
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        CALLING.with(|calling| *calling.borrow_mut() = None);
    }
}

pub(super) fn check(status: sys::napi_status, what: &str) -> napi::Result<()> {
    if status == sys::Status::napi_ok {
        return Ok(());
    }
    Err(napi::Error::new(napi::Status::from(status), format!("{what} failed")))
}

impl JsSide {
    /// The bridge of this environment, made at the first use of it. `set_immediate` is the
    /// global function of that name.
    pub(super) fn of(
        env: sys::napi_env,
        set_immediate: sys::napi_value,
        is_main_thread: bool,
    ) -> napi::Result<Rc<Self>> {
        let known =
            SIDES.with(|sides| sides.borrow().iter().find(|(known, _)| *known == env).map(|(_, side)| Rc::clone(side)));
        match known {
            Some(side) => Ok(side),
            None => Self::make(env, set_immediate, is_main_thread),
        }
    }

    fn make(env: sys::napi_env, set_immediate: sys::napi_value, is_main_thread: bool) -> napi::Result<Rc<Self>> {
        let mut reference = ptr::null_mut();
        // SAFETY: a plain Node-API call on the environment's own thread; the reference lives until the environment ends.
        let status = unsafe { sys::napi_create_reference(env, set_immediate, 1, &raw mut reference) };
        check(status, "napi_create_reference")?;
        let now = Instant::now();
        let side = Rc::new(Self {
            env,
            bridge: Arc::new(Bridge { outgoing: Mutex::default(), returned: Condvar::new() }),
            is_main_thread,
            wake: Cell::default(),
            open: Cell::new(0),
            pending: Cell::new(0),
            references: Cell::new(0),
            in_flight: Cell::new(0),
            backlog: RefCell::default(),
            set_immediate: reference,
            drain_function: Cell::new(ptr::null_mut()),
            immediate_is_due: Cell::new(false),
            stretch_began: Cell::new(now),
            stretch_ended: Cell::new(now),
            turn_function: Cell::new(ptr::null_mut()),
            turns: Turns::default(),
        });
        side.drain_function.set(function(env, on_immediate)?);
        side.turn_function.set(function(env, on_turn)?);
        side.hear_of_end()?;
        SIDES.with(|sides| sides.borrow_mut().push((env, Rc::clone(&side))));
        Ok(side)
    }

    /// Has `end` called when the environment ends.
    fn hear_of_end(&self) -> napi::Result<()> {
        // SAFETY: the hook's argument is the environment, which is alive when it runs.
        let status = unsafe { sys::napi_add_env_cleanup_hook(self.env, Some(on_environment_end), self.env.cast()) };
        check(status, "napi_add_env_cleanup_hook")
    }

    /// Counts a store that is open, until what is returned is dropped.
    pub(super) fn open_store(self: &Rc<Self>) -> napi::Result<OpenStore> {
        self.make_wakeable()?;
        self.open.set(self.open.get() + 1);
        self.bridge.lock().wakes_for_all = false;
        Ok(OpenStore(Rc::clone(self)))
    }

    /// Before anything is given away that may come back from another thread.
    fn make_wakeable(&self) -> napi::Result<()> {
        if self.wake.get().is_there() {
            return Ok(());
        }
        let wake = Wake::make(self.env, Some(on_wake))?;
        self.bridge.lock().wake = wake;
        self.wake.set(wake);
        // Hooks run from the last to the first: `end` must come before Node.js ends the new function by itself.
        // SAFETY: on the environment's own thread.
        unsafe { sys::napi_remove_env_cleanup_hook(self.env, Some(on_environment_end), self.env.cast()) };
        self.hear_of_end()
    }

    /// Lets go of what wakes this thread as soon as nobody can need it: tools that look for open handles (as jest does)
    /// would report it after the last `close`.
    ///
    /// No answer is lost. Other threads wake this one with an answer or a buffer, and each of these was counted here,
    /// on this thread, before it was given away (`make_promise`, `borrow`). It is counted until it has been settled or
    /// deleted here. At nought, nothing is left outside that could come back. A call after the last `close` counts
    /// anew, and makes a new function before it gives anything away.
    fn rest(&self) {
        if self.open.get() + self.pending.get() + self.references.get() > 0 || !self.wake.get().is_there() {
            return;
        }
        let mut outgoing = self.bridge.lock();
        outgoing.wake = Wake::default();
        // A wake-up that is still under way will find nothing.
        outgoing.woken = false;
        self.wake.take().release(false);
    }

    /// A new promise and what settles it.
    pub(super) fn promise(&self) -> napi::Result<(sys::napi_value, Deferred)> {
        let made = self.make_promise(true)?;
        if self.in_flight.replace(self.in_flight.get() + 1) == 0 {
            self.wake.get().keep_process_alive(self.env, true);
        }
        Ok(made)
    }

    /// The same; the process may end before it is settled.
    pub(super) fn quiet_promise(&self) -> napi::Result<(sys::napi_value, Deferred)> {
        self.make_promise(false)
    }

    fn make_promise(&self, counts: bool) -> napi::Result<(sys::napi_value, Deferred)> {
        self.make_wakeable()?;
        let (mut raw, mut promise) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: on the environment's own thread, within a call from JavaScript.
        check(unsafe { sys::napi_create_promise(self.env, &raw mut raw, &raw mut promise) }, "napi_create_promise")?;
        self.pending.set(self.pending.get() + 1);
        Ok((promise, Deferred { raw, bridge: Arc::clone(&self.bridge), counts }))
    }

    /// Reads a buffer in place; it is kept alive until the bytes are dropped. What is not for the
    /// I/O threads must stay on this one.
    pub(super) fn borrow(
        &self,
        buffer: sys::napi_value,
        data: *const u8,
        length: usize,
        is_for_io: bool,
    ) -> napi::Result<BorrowedBytes> {
        self.make_wakeable()?;
        let mut reference = ptr::null_mut();
        // SAFETY: on the environment's own thread, `buffer` is a live handle.
        check(unsafe { sys::napi_create_reference(self.env, buffer, 1, &raw mut reference) }, "napi_create_reference")?;
        self.references.set(self.references.get() + 1);
        self.bridge.lock().borrowed += usize::from(is_for_io);
        Ok(BorrowedBytes { data, length, reference, bridge: Arc::clone(&self.bridge), is_for_io })
    }

    fn resolve(&self, completion: Completion) {
        settle_promise(self.env, completion.deferred, completion.answer);
        self.pending.set(self.pending.get().saturating_sub(1));
        if !completion.counts {
            return;
        }
        let left = self.in_flight.get().saturating_sub(1);
        self.in_flight.set(left);
        if left == 0 {
            self.wake.get().keep_process_alive(self.env, false);
        }
    }

    /// Whether an answer that could be given here and now has to wait for the event loop's next turn.
    pub(super) fn makes_way(&self) -> bool {
        self.turns.makes_way(|| self.immediately(self.turn_function.get()))
    }

    fn resolve_later(&self, completion: Completion) {
        self.backlog.borrow_mut().push_back(completion);
        if !self.immediate_is_due.get() {
            self.schedule_immediate();
        }
    }

    /// A wake-up from the threadsafe function.
    fn on_wake(&self) {
        if self.immediate_is_due.get() {
            return;
        }
        if self.turns.is_overdue() {
            return self.schedule_immediate();
        }
        let now = Instant::now();
        if now.duration_since(self.stretch_ended.get()) > SAME_STRETCH {
            self.stretch_began.set(now);
        }
        if now.duration_since(self.stretch_began.get()) > FAIRNESS_BUDGET {
            self.schedule_immediate();
        } else {
            self.drain();
        }
    }

    fn on_immediate(&self) {
        self.immediate_is_due.set(false);
        self.stretch_began.set(Instant::now());
        self.drain();
    }

    /// Settles what there is, until the stretch's time is used up.
    fn drain(&self) {
        let deadline = self.stretch_began.get() + FAIRNESS_BUDGET;
        self.take_outbox();
        loop {
            let mut scope = ptr::null_mut();
            // SAFETY: on the environment's own thread; the scope is closed below.
            unsafe { sys::napi_open_handle_scope(self.env, &raw mut scope) };
            let mut emptied = false;
            for _ in 0..CHUNK {
                // Not borrowed while settling: that may run a finalizer, which may call back.
                let Some(next) = self.backlog.borrow_mut().pop_front() else {
                    emptied = true;
                    break;
                };
                self.resolve(next);
            }
            // SAFETY: opened above.
            unsafe { sys::napi_close_handle_scope(self.env, scope) };
            let now = Instant::now();
            self.stretch_ended.set(now);
            if emptied {
                return self.rest();
            }
            if now >= deadline {
                return self.schedule_immediate();
            }
        }
    }

    fn take_outbox(&self) {
        let mut outgoing = self.bridge.lock();
        outgoing.woken = false;
        let done = std::mem::take(&mut outgoing.done);
        let released = std::mem::take(&mut outgoing.released);
        outgoing.released_bytes = 0;
        drop(outgoing);
        self.references.set(self.references.get().saturating_sub(released.len()));
        for reference in released {
            // SAFETY: made by `borrow` in this environment, deleted once.
            unsafe { sys::napi_delete_reference(self.env, reference.0) };
        }
        self.backlog.borrow_mut().extend(done);
    }

    fn schedule_immediate(&self) {
        if self.immediately(self.drain_function.get()) {
            self.immediate_is_due.set(true);
        } else {
            // JavaScript cannot run (the environment is ending); the next wake-up tries again.
            self.bridge.lock().woken = false;
        }
    }

    /// Has `setImmediate` call a function of ours.
    fn immediately(&self, function: sys::napi_ref) -> bool {
        let (mut global, mut set_immediate, mut callback, mut handle) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: on the environment's own thread, with live references.
        let status = unsafe {
            sys::napi_get_global(self.env, &raw mut global);
            sys::napi_get_reference_value(self.env, self.set_immediate, &raw mut set_immediate);
            sys::napi_get_reference_value(self.env, function, &raw mut callback);
            sys::napi_call_function(self.env, global, set_immediate, 1, &raw const callback, &raw mut handle)
        };
        status == sys::Status::napi_ok
    }

    fn end(&self) {
        let mut outgoing = self.bridge.lock();
        outgoing.closed = true;
        outgoing.done.clear();
        outgoing.wake = Wake::default();
        // Nobody calls it after `closed` is set under this lock.
        self.wake.take().release(true);
        // The buffers' memory goes with the environment: I/O that reads it must end before.
        let limit = if self.is_main_thread { PROCESS_EXIT_WAIT } else { WORKER_EXIT_WAIT };
        let waited = self.bridge.returned.wait_timeout_while(outgoing, limit, |outgoing| outgoing.borrowed > 0);
        let still_borrowed = waited.map(|(outgoing, _)| outgoing.borrowed).unwrap_or_default();
        if still_borrowed > 0 && self.is_main_thread {
            runtime::freeze();
        }
    }
}

/// A store that is open: what wakes its thread is kept for it.
pub(super) struct OpenStore(Rc<JsSide>);

impl Drop for OpenStore {
    fn drop(&mut self) {
        let side = &self.0;
        side.open.set(side.open.get().saturating_sub(1));
        if side.open.get() > 0 {
            return;
        }
        let mut outgoing = side.bridge.lock();
        outgoing.wakes_for_all = true;
        if !outgoing.released.is_empty() && !outgoing.closed {
            outgoing.wake_up();
        }
        drop(outgoing);
        side.rest();
    }
}

/// A function of ours, kept for as long as the environment lives.
fn function(env: sys::napi_env, callback: Callback) -> napi::Result<sys::napi_ref> {
    let (mut function, mut reference) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: plain Node-API calls on the environment's own thread.
    unsafe {
        check(
            sys::napi_create_function(env, ptr::null(), 0, Some(callback), ptr::null_mut(), &raw mut function),
            "napi_create_function",
        )?;
        check(sys::napi_create_reference(env, function, 1, &raw mut reference), "napi_create_reference")?;
    }
    Ok(reference)
}

type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

fn side_of(env: sys::napi_env) -> Option<Rc<JsSide>> {
    SIDES.with(|sides| sides.borrow().iter().find(|(known, _)| *known == env).map(|(_, side)| Rc::clone(side)))
}

unsafe extern "C" fn on_wake(
    env: sys::napi_env,
    _callback: sys::napi_value,
    _context: *mut c_void,
    _data: *mut c_void,
) {
    // Without an environment the function is being torn down.
    if !env.is_null()
        && let Some(side) = side_of(env)
    {
        side.on_wake();
    }
}

unsafe extern "C" fn on_immediate(env: sys::napi_env, _info: sys::napi_callback_info) -> sys::napi_value {
    if let Some(side) = side_of(env) {
        side.on_immediate();
    }
    ptr::null_mut()
}

unsafe extern "C" fn on_turn(env: sys::napi_env, _info: sys::napi_callback_info) -> sys::napi_value {
    if let Some(side) = side_of(env) {
        side.turns.turned();
    }
    ptr::null_mut()
}

unsafe extern "C" fn on_environment_end(data: *mut c_void) {
    let env: sys::napi_env = data.cast();
    let side = SIDES.with(|sides| {
        let mut sides = sides.borrow_mut();
        let at = sides.iter().position(|(known, _)| *known == env)?;
        Some(sides.swap_remove(at).1)
    });
    if let Some(side) = side {
        side.end();
    }
}
