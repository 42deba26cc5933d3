use std::{
    ops::{Deref, DerefMut},
    sync::Mutex,
};

use bytemuck::{Pod, Zeroable, cast_slice_mut, zeroed_vec};

use super::pages::prefer_huge;

/// Bytes of a cache line, and of the widest vector: loads that straddle two lines cost two.
const LINE: usize = 64;

/// Numbers that begin at a cache line.
#[derive(Debug)]
pub(crate) struct Aligned<T = f32> {
    numbers: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Zeroable> Aligned<T> {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let numbers: Vec<T> = zeroed_vec(len + LINE / size_of::<T>() - 1);
        prefer_huge(&numbers);
        // A hint that fails costs speed only.
        let start = numbers.as_ptr().align_offset(LINE);
        let start = start.min(numbers.len() - len);
        Self {
            numbers,
            start,
            len,
        }
    }

    /// At least `len` numbers from now on; their values are lost if there were fewer.
    pub(crate) fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeros(len);
        }
    }
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            start: 0,
            len: 0,
        }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.numbers[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.start..self.start + self.len]
    }
}

/// Bytes of a lent buffer that are kept for the next call, at most.
const KEPT: usize = 32 << 20;

/// Lends `len` elements of 32 bits, whatever is in them, to packed operands that all threads share. One buffer is kept: to have the system
/// fetch and clear its pages in every call would take longer than to pack.
pub(crate) fn with_buffer<T: Pod, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    static BUFFER: Mutex<Option<Aligned<u32>>> = Mutex::new(None);
    let kept = BUFFER.try_lock().ok().and_then(|mut kept| kept.take());
    let mut buffer = kept.unwrap_or_default();
    buffer.reserve(len);
    let result = work(cast_slice_mut(&mut buffer[..len]));
    if size_of_val(&*buffer) <= KEPT
        && let Ok(mut kept) = BUFFER.try_lock()
    {
        *kept = Some(buffer);
    }
    result
}
