//! The threads that do I/O. One thread with a current-thread tokio runtime serves every
//! network store of the process: on few cores that beat multi-thread runtimes in most
//! measured cells, and it leaves the application its cores.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle};
use tokio::sync::Semaphore;

use crate::error::{Error, Kind, Result};

/// A boxed future, as the methods of a trait object return it.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Every runtime started so far.
static RUNTIMES: Mutex<Vec<Handle>> = Mutex::new(Vec::new());

/// Held by what computes; taken for good by `freeze`.
static COMPUTING: RwLock<()> = RwLock::new(());

/// Stops all I/O threads for good, and what computes: for the end of the process, when memory that
/// they read is about to be freed.
pub fn freeze() {
    std::mem::forget(COMPUTING.write().unwrap_or_else(PoisonError::into_inner));
    for runtime in RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        // A current-thread runtime runs one task at a time: this one never gives its turn back.
        drop(runtime.spawn(async {
            loop {
                std::thread::park();
            }
        }));
    }
}

/// Starts a named thread that runs a current-thread runtime until `until` is ready.
pub fn start_thread<F>(name: &str, until: F) -> Result<Handle>
where
    F: Future<Output = ()> + Send + 'static,
{
    let failed = |source: io::Error| Error::new(Kind::Backend, "an I/O thread cannot be started").with_source(source);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let mut all = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
    // Those whose thread has ended hold nothing; there are few, so they are not sorted out.
    all.push(handle.clone());
    drop(all);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(until)).map_err(failed)?;
    Ok(handle)
}

/// The runtime of network I/O, started at its first use; it lives as long as the process.
pub fn io() -> Result<Handle> {
    static IO: OnceLock<Result<Handle>> = OnceLock::new();
    IO.get_or_init(|| start_thread("sagastore-io", std::future::pending())).clone()
}

/// Runs what keeps a processor busy beside the I/O threads, as many at once as there are processors.
pub async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    static SLOTS: OnceLock<Arc<Semaphore>> = OnceLock::new();
    let slots = SLOTS.get_or_init(|| Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))));
    let failed = || Error::new(Kind::Backend, "a computation panicked; please report this");
    let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| failed())?;
    let computed = io()?.spawn_blocking(move || {
        let _slot = slot;
        let _computing = COMPUTING.read().unwrap_or_else(PoisonError::into_inner);
        work()
    });
    computed.await.map_err(|error| failed().with_source(error))
}
