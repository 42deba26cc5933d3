//! Output buffers that tasks fill together.

use std::{marker::PhantomData, mem::MaybeUninit};

use super::pages::prefer_huge;

/// A mutable slice handed to tasks that write disjoint parts of it.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: access goes through `part`, whose callers promise disjoint parts.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// What is left of it from `from` on.
    ///
    /// # Panics
    /// If it ends before.
    pub(crate) fn from(self, from: usize) -> Self {
        assert!(from <= self.len, "element {from} of {}", self.len);
        Self {
            start: self.start.wrapping_add(from),
            len: self.len - from,
            ..self
        }
    }

    /// `len` elements from `from` on.
    ///
    /// # Safety
    /// No other part alive overlaps this one.
    ///
    /// # Panics
    /// If the part ends beyond the slice.
    #[inline(always)]
    pub(crate) unsafe fn part(&self, from: usize, len: usize) -> &'a mut [T] {
        assert!(
            from <= self.len && len <= self.len - from,
            "part of {len} at {from} of {}",
            self.len
        );
        // SAFETY: in bounds by the assertion, unaliased by the caller's promise, alive for 'a.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}

/// A buffer of `len` elements for tasks to fill, without zeroing it first.
pub(crate) fn unfilled<T>(len: usize) -> Vec<MaybeUninit<T>> {
    let buffer = Box::new_uninit_slice(len).into_vec();
    prefer_huge(&buffer);
    buffer
}

/// The buffer, once every element is written.
///
/// # Safety
/// Every element is written.
pub(crate) unsafe fn filled<T>(buffer: Vec<MaybeUninit<T>>) -> Vec<T> {
    let mut buffer = std::mem::ManuallyDrop::new(buffer);
    // SAFETY: `MaybeUninit<T>` has the layout of `T`, the elements are written, and `buffer` is not dropped.
    unsafe { Vec::from_raw_parts(buffer.as_mut_ptr().cast(), buffer.len(), buffer.capacity()) }
}
