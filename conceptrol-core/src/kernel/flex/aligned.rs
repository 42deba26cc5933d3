use std::ops::{Deref, DerefMut};

use bytemuck::{Zeroable, zeroed_vec};

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
