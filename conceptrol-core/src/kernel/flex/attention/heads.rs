use burn::tensor::bf16;

use crate::kernel::flex::{
    gemm::bf16_dot::{Bf16x2, as_bf16x2},
    scalar::Scalar,
};

/// Rows of a `[batch, heads, len, dim]` tensor of any strides whose last axis is contiguous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) offset: usize,
    /// Of batch, heads and rows.
    pub(crate) strides: [usize; 3],
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    pub(crate) len: usize,
    pub(crate) dim: usize,
}

impl<'a, T> Heads<'a, T> {
    /// A row of head `index`, counted over all batch rows.
    #[inline(always)]
    pub(crate) fn row(&self, index: usize, row: usize) -> &'a [T] {
        let [b, h, r] = self.strides;
        let (batch, head) = (index / self.heads, index % self.heads);
        let start = self.offset + batch * b + head * h + row * r;
        &self.data[start..start + self.dim]
    }
}

impl<'a, E: Scalar> Heads<'a, E> {
    /// The same as pairs, if the processor has their dot product and all rows are whole pairs.
    pub(crate) fn as_bf16x2(&self) -> Option<Heads<'a, Bf16x2>> {
        let whole = [self.dim, self.offset]
            .iter()
            .chain(&self.strides)
            .all(|length| length.is_multiple_of(2));
        let numbers = &self.data[..self.data.len() / 2 * 2];
        let pairs = whole.then(|| as_bf16x2(numbers, self.dim)).flatten()?;
        let strides = self.strides.map(|stride| stride / 2);
        Some(self.with(pairs, self.offset / 2, strides, self.dim / 2))
    }

    /// The same, if the numbers are bf16.
    pub(crate) fn as_bf16(&self) -> Option<Heads<'a, bf16>> {
        let numbers = E::as_bf16(self.data)?;
        Some(self.with(numbers, self.offset, self.strides, self.dim))
    }

    fn with<T>(
        &self,
        data: &'a [T],
        offset: usize,
        strides: [usize; 3],
        dim: usize,
    ) -> Heads<'a, T> {
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
