use bytemuck::Pod;

use super::{
    macro_kernel::macro_kernel,
    micro_kernel::{Gemm, KC},
};
use crate::kernel::flex::{
    scalar::{Scalar, widen},
    simd::Simd,
};

/// What a matrix is stored as along the inner dimension: single numbers, or [pairs of bf16](super::bf16_dot::Bf16x2).
pub(crate) trait Stored: Pod + Send + Sync {
    type Scalar: Scalar;
    /// How many of them along the inner dimension: one or two.
    const SCALARS: usize;
    /// What it becomes in a packed operand.
    type Packed: Packed;

    fn packed(self) -> Self::Packed;

    /// Packs numbers that lie in two rows: the first and the last of each element.
    fn interleave(first: &[Self::Scalar], last: &[Self::Scalar], to: &mut [Self::Packed]);
}

/// An element of packed operands: 32 bits.
pub(crate) trait Packed: Pod + Send + Sync {
    /// What multiplies them, for as long as a thread does.
    type Kernel: Default;
    /// The longest inner dimension of one product: what keeps a panel in the nearest cache.
    const KC: usize;
    /// Panels of a task of a linear layer, at most: how often its rows are used once they are packed. Their sums must stay in the cache, the more so the
    /// faster a product is.
    const PANELS: usize;

    /// Rows of the left operand that fill every register tile: blocks are multiples of it.
    fn mr() -> usize;

    /// `a * b + c` for vectors of the bits of packed elements.
    fn fma<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V;

    /// The left operand of `rows` rows of `f32`, [`LHS_STRIDE`](super::LHS_STRIDE) apart, `k` elements each.
    ///
    /// They are put into `room` where they are not packed as they are.
    fn lhs_of_f32<'a>(
        numbers: &'a [f32],
        rows: usize,
        k: usize,
        room: &'a mut [Self],
    ) -> &'a [Self];

    /// Computes `rows` rows times `vectors` vectors of columns.
    ///
    /// Each output is one sum in the order of the inner dimension, whatever the cut: results do not depend on it.
    ///
    /// # Safety
    /// The operands of `gemm` hold `rows` rows, `vectors * S::LANES` columns and an inner dimension of at least one.
    unsafe fn macro_kernel<S: Simd>(
        kernel: &mut Self::Kernel,
        s: S,
        rows: usize,
        vectors: usize,
        gemm: Gemm<Self>,
    );
}

impl<E: Scalar> Stored for E {
    type Scalar = E;
    const SCALARS: usize = 1;
    type Packed = f32;

    #[inline(always)]
    fn packed(self) -> f32 {
        self.widen()
    }
    #[inline(always)]
    fn interleave(numbers: &[E], _: &[E], to: &mut [f32]) {
        widen(numbers, to);
    }
}

impl Packed for f32 {
    type Kernel = ();
    const KC: usize = KC;
    const PANELS: usize = 24;

    #[inline(always)]
    fn mr() -> usize {
        24
    }
    #[inline(always)]
    fn fma<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
        s.mul_add(a, b, c)
    }
    #[inline(always)]
    fn lhs_of_f32<'a>(numbers: &'a [Self], _: usize, _: usize, _: &'a mut [Self]) -> &'a [Self] {
        numbers
    }
    #[inline(always)]
    unsafe fn macro_kernel<S: Simd>(
        _: &mut (),
        s: S,
        rows: usize,
        vectors: usize,
        gemm: Gemm<Self>,
    ) {
        // SAFETY: the caller's promise.
        unsafe { macro_kernel(s, rows, vectors, gemm) }
    }
}
