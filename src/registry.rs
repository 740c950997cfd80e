//! Connections are shared: stores of the same key (URL and pool options) use one pool, in
//! every thread of the process, and the last one to let go closes it.

use std::any::Any;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Something shared under a key: how many hold it, and the thing.
struct Entry {
    holders: usize,
    shared: Arc<dyn Any + Send + Sync>,
}

static SHARED: LazyLock<Mutex<HashMap<String, Entry>>> = LazyLock::new(Mutex::default);

fn entries() -> MutexGuard<'static, HashMap<String, Entry>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A share in something that is kept once per key; dropping it lets go of it.
pub struct Lease<T> {
    key: Option<String>,
    released: AtomicBool,
    shared: Arc<T>,
}

impl<T: Send + Sync + 'static> Lease<T> {
    /// A share in what is kept under `key`; made by `make` if nobody holds it. The key must
    /// begin with the backend's name, so that each key has one type.
    pub fn take(key: String, make: impl FnOnce() -> T) -> Self {
        let mut entries = entries();
        if let Some(entry) = entries.get_mut(&key)
            && let Ok(shared) = Arc::clone(&entry.shared).downcast::<T>()
        {
            entry.holders += 1;
            return Self { key: Some(key), released: AtomicBool::new(false), shared };
        }
        let shared = Arc::new(make());
        entries.insert(key.clone(), Entry { holders: 1, shared: Arc::clone(&shared) as _ });
        Self { key: Some(key), released: AtomicBool::new(false), shared }
    }

    /// Not shared with anybody.
    pub fn private(value: T) -> Self {
        Self { key: None, released: AtomicBool::new(false), shared: Arc::new(value) }
    }
}

impl<T> Lease<T> {
    /// The thing itself, for work that outlives the borrow.
    pub fn arc(&self) -> &Arc<T> {
        &self.shared
    }

    /// Lets go, once. The thing, if this was the last share: whoever gets it closes it.
    pub fn release(&self) -> Option<Arc<T>> {
        if self.released.swap(true, Ordering::AcqRel) {
            return None;
        }
        let Some(key) = &self.key else { return Some(Arc::clone(&self.shared)) };
        let mut entries = entries();
        let entry = entries.get_mut(key)?;
        entry.holders -= 1;
        if entry.holders > 0 {
            return None;
        }
        entries.remove(key);
        Some(Arc::clone(&self.shared))
    }
}

impl<T> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_share_gets_the_thing() {
        let make = || 7_u32;
        let a = Lease::take(String::from("test:a"), make);
        let b: Lease<u32> = Lease::take(String::from("test:a"), || unreachable!("it is shared"));
        assert!(Arc::ptr_eq(a.arc(), b.arc()));
        assert!(a.release().is_none());
        assert_eq!(b.release().as_deref(), Some(&7));
        let c = Lease::take(String::from("test:a"), || 8_u32);
        assert_eq!(*c, 8);
        drop(c);
        assert_eq!(*Lease::take(String::from("test:a"), || 9_u32), 9);
    }

    #[test]
    fn private_things_are_not_shared() {
        assert!(Lease::private(1_u8).release().is_some());
    }
}
