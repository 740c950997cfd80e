//! Memory of the addon. What one thread allocates another frees, for every operation: with glibc's
//! allocator they wait for each other's locks, and with musl's everybody does. Large memory is rare, and
//! the system has it back sooner from its own allocator.

use std::alloc::{GlobalAlloc, Layout, System};

use mimalloc::MiMalloc;

/// In bytes; from here on it is the system's allocator.
const LARGE: usize = 16 << 10;

struct BySize;

#[global_allocator]
static ALLOCATOR: BySize = BySize;

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE
}

// SAFETY: memory goes back to the allocator that it is from, which its layout tells; both are sound.
unsafe impl GlobalAlloc for BySize {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { if is_large(layout) { System.alloc(layout) } else { MiMalloc.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { if is_large(layout) { System.alloc_zeroed(layout) } else { MiMalloc.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { if is_large(layout) { System.dealloc(memory, layout) } else { MiMalloc.dealloc(memory, layout) } }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises; `size` is not 0 and does not overflow with the alignment.
        unsafe {
            let new = Layout::from_size_align_unchecked(size, layout.align());
            match (is_large(layout), is_large(new)) {
                (true, true) => System.realloc(memory, layout, size),
                (false, false) => MiMalloc.realloc(memory, layout, size),
                _ => {
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        memory.copy_to_nonoverlapping(moved, layout.size().min(size));
                        self.dealloc(memory, layout);
                    }
                    moved
                }
            }
        }
    }
}
