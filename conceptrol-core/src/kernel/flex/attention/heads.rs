use burn::tensor::bf16;

use crate::kernel::flex::{
    element::Number,
    pairs::{Pair, pairs},
};

/// Rows of a `[batch, heads, len, dim]` tensor of any strides whose last axis is contiguous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads<'a, O> {
    pub(crate) data: &'a [O],
    pub(crate) offset: usize,
    /// Of batch, heads and rows.
    pub(crate) strides: [usize; 3],
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    pub(crate) len: usize,
    pub(crate) dim: usize,
}

impl<'a, O> Heads<'a, O> {
    /// A row of head `index`, counted over all batch rows.
    #[inline(always)]
    pub(crate) fn row(&self, index: usize, row: usize) -> &'a [O] {
        let [b, h, r] = self.strides;
        let (batch, head) = (index / self.heads, index % self.heads);
        let start = self.offset + batch * b + head * h + row * r;
        &self.data[start..start + self.dim]
    }
}

impl<'a, E: Number> Heads<'a, E> {
    /// The same as pairs, if the processor multiplies those and all rows are whole pairs.
    pub(crate) fn pairs(&self) -> Option<Heads<'a, Pair>> {
        let whole = [self.dim, self.offset]
            .iter()
            .chain(&self.strides)
            .all(|length| length.is_multiple_of(2));
        let numbers = &self.data[..self.data.len() / 2 * 2];
        let pairs = whole.then(|| pairs(numbers, self.dim)).flatten()?;
        let strides = self.strides.map(|stride| stride / 2);
        Some(self.with(pairs, self.offset / 2, strides, self.dim / 2))
    }

    /// The same, if the numbers are bf16.
    pub(crate) fn as_bf16(&self) -> Option<Heads<'a, bf16>> {
        let numbers = E::as_bf16(self.data)?;
        Some(self.with(numbers, self.offset, self.strides, self.dim))
    }

    fn with<O>(
        &self,
        data: &'a [O],
        offset: usize,
        strides: [usize; 3],
        dim: usize,
    ) -> Heads<'a, O> {
        Heads {
            data,
            offset,
            strides,
            batch: self.batch,
            heads: self.heads,
            len: self.len,
            dim,
        }
    }
}
