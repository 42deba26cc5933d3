use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The system's allocator, counting bytes: exact where resident memory depends on what the allocator keeps.
///
/// To be installed as the `#[global_allocator]` of a benchmark.
#[derive(Debug)]
pub struct Counting {
    now: AtomicUsize,
    highest: AtomicUsize,
}

impl Counting {
    /// Nothing allocated yet.
    #[expect(clippy::new_without_default, reason = "a static needs a const")]
    pub const fn new() -> Self {
        Self {
            now: AtomicUsize::new(0),
            highest: AtomicUsize::new(0),
        }
    }

    /// The most bytes `work` had allocated at once, above those allocated before, and its result.
    pub fn peak_of<T>(&self, work: impl FnOnce() -> T) -> (usize, T) {
        let before = self.now.load(Relaxed);
        self.highest.store(before, Relaxed);
        let result = work();
        (self.highest.load(Relaxed) - before, result)
    }

    fn grow(&self, bytes: usize) {
        let now = self.now.fetch_add(bytes, Relaxed) + bytes;
        self.highest.fetch_max(now, Relaxed);
    }
}

// SAFETY: all requests go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.grow(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.grow(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.now.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}
