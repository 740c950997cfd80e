//! Memory of payloads on their way out. What JavaScript has let go of is used again: new memory has to be
//! cleared by the system page by page, which takes longer than copying the payload into it.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// In bytes; smaller payloads are in memory that the allocator keeps at hand.
pub(crate) const SMALLEST: usize = 16 << 10;
/// Larger ones are rare, and too large to be kept.
const LARGEST: usize = 8 << 20;
/// Memory that is used again is a little larger than what it is for, so that what follows can be read with it.
pub(crate) const MARGIN: usize = 256;
/// All that is kept, in bytes.
const KEPT: usize = 32 << 20;

/// Free memory, the one that was used last behind the others.
struct Pool {
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    memory: VecDeque<Vec<u8>>,
    bytes: usize,
}

static POOL: Pool = Pool { free: Mutex::new(Free { memory: VecDeque::new(), bytes: 0 }) };

/// A copy of `data` that nobody else sees.
pub(crate) fn copied(data: &[u8]) -> Bytes {
    if !(SMALLEST..=LARGEST).contains(&data.len()) {
        return Bytes::copy_from_slice(data);
    }
    let mut memory = memory(data.len());
    memory.extend_from_slice(data);
    memory.into()
}

/// Empty memory for so many bytes that are still to come.
pub(crate) fn memory(length: usize) -> Memory {
    if (SMALLEST..=LARGEST).contains(&length) {
        Memory::Lent(Lent(POOL.take(length)))
    } else {
        // What is claimed to be larger may never come.
        Memory::Own(Vec::with_capacity(length.min(LARGEST)))
    }
}

/// Memory to be filled.
pub(crate) enum Memory {
    Lent(Lent),
    Own(Vec<u8>),
}

impl Deref for Memory {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        match self {
            Self::Lent(lent) => &lent.0,
            Self::Own(own) => own,
        }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Lent(lent) => &mut lent.0,
            Self::Own(own) => own,
        }
    }
}

impl From<Memory> for Bytes {
    fn from(memory: Memory) -> Self {
        match memory {
            Memory::Lent(lent) => Self::from_owner(lent),
            Memory::Own(own) => own.into(),
        }
    }
}

/// Memory that goes back when it is dropped.
pub(crate) struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        POOL.give_back(std::mem::take(&mut self.0));
    }
}

impl Pool {
    /// Empty memory for so many bytes: at most twice as much.
    fn take(&self, length: usize) -> Vec<u8> {
        let size = length.next_power_of_two() + MARGIN;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let place = free.memory.iter().rposition(|memory| memory.capacity() == size);
        let known = place.and_then(|place| free.memory.remove(place));
        free.bytes -= known.as_ref().map_or(0, Vec::capacity);
        drop(free);
        known.unwrap_or_else(|| Vec::with_capacity(size))
    }

    /// Keeps the memory, in the place of what has been free for longest.
    fn give_back(&self, mut memory: Vec<u8>) {
        memory.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.bytes += memory.capacity();
        free.memory.push_back(memory);
        let mut excess = Vec::new();
        while free.bytes > KEPT
            && let Some(oldest) = free.memory.pop_front()
        {
            free.bytes -= oldest.capacity();
            excess.push(oldest);
        }
        drop(free);
        drop(excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool { free: Mutex::default() }
    }

    fn kept(pool: &Pool) -> (usize, usize) {
        let free = pool.free.lock().unwrap();
        (free.memory.len(), free.bytes)
    }

    #[test]
    fn a_copy_is_what_was_copied() {
        for length in [0, 1, SMALLEST - 1, SMALLEST, SMALLEST + 1, 100_000, LARGEST, LARGEST + 1] {
            let data: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
            let copy = copied(&data);
            assert!(*copy == *data && (length == 0 || copy.as_ptr() != data.as_ptr()), "{length}");
        }
    }

    #[test]
    fn memory_is_used_again_by_payloads_of_about_its_size() {
        let pool = pool();
        let memory = pool.take(40_000);
        let place = memory.as_ptr();
        assert_eq!((memory.capacity(), memory.len()), (65_536 + MARGIN, 0));
        pool.give_back(memory);
        let other = pool.take(30_000);
        assert!(other.as_ptr() != place && kept(&pool) == (1, 65_536 + MARGIN));
        let again = pool.take(65_536);
        assert!(again.as_ptr() == place && again.is_empty() && kept(&pool) == (0, 0));
    }

    #[test]
    fn what_is_kept_has_a_limit_and_the_oldest_goes() {
        let pool = pool();
        pool.give_back(Vec::with_capacity(SMALLEST));
        for _ in 0..KEPT / LARGEST {
            pool.give_back(Vec::with_capacity(LARGEST));
        }
        assert_eq!(kept(&pool), (KEPT / LARGEST, KEPT));
        assert!(pool.free.lock().unwrap().memory.iter().all(|memory| memory.capacity() == LARGEST));
    }
}
