use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector: loads that straddle two lines cost two.
const LINE: usize = 64;

/// Numbers that begin at a cache line.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    numbers: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let numbers = vec![0.0; len + LINE / size_of::<f32>() - 1];
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

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.start..self.start + self.len]
    }
}
