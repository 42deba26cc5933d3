//! The register tile every matrix product here is made of.

use super::packed::Packed;
use crate::kernel::flex::simd::Simd;

/// The longest inner dimension of one product of `f32`; longer ones add up.
pub(crate) const KC: usize = 256;
/// Distance between the rows of a left operand: a constant, so that rows cost no registers, and not a multiple of 4 KB, so
/// that they do not compete for the same cache lines.
pub(crate) const LHS_STRIDE: usize = KC + 16;
/// Steps along the inner dimension without counting in between: counting takes turns that multiplying could use.
const UNROLL: usize = 4;

/// What the sums of a product start from.
#[derive(Clone, Copy)]
pub(crate) enum Init {
    Zero,
    /// The numbers already in the output.
    Out,
    /// Zero, and the numbers already in the output are added at the end: sums of parts are more accurate than one long sum.
    Later,
    /// A number for each row.
    RowBias(*const f32),
    /// A number for each column.
    ColumnBias(*const f32),
}

/// The operands of one product `out = init + lhs * rhs`.
#[derive(Clone, Copy)]
pub(crate) struct Gemm<P = f32> {
    /// Inner dimension.
    pub(crate) k: usize,
    /// Rows [`LHS_STRIDE`] apart, `k` long.
    pub(crate) lhs: *const P,
    /// `k` rows, `rhs_stride` apart.
    pub(crate) rhs: *const P,
    pub(crate) rhs_stride: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    pub(crate) init: Init,
    pub(crate) ahead: Ahead<P>,
}

/// What is read after a product: it is brought nearer while the product is computed, a line of the cache for every [`UNROLL`] steps along the
/// inner dimension. No result depends on it.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<P>(Option<(*const P, usize)>);

/// Elements in a line of the cache.
const LINE: usize = 16;

impl<P> Ahead<P> {
    pub(crate) const NOTHING: Self = Self(None);

    pub(crate) fn of(elements: &[P]) -> Self {
        Self(Some((elements.as_ptr(), elements.len())))
    }

    /// What one register tile asks for, and what is left; of nothing, `near`, which is in the cache.
    #[inline(always)]
    pub(super) fn of_tile(&mut self, k: usize, near: *const P) -> *const P {
        let most = k / UNROLL * LINE;
        match self.0.filter(|(_, left)| *left >= most) {
            Some((from, left)) => {
                self.0 = Some((from.wrapping_add(most), left - most));
                from
            }
            None => near,
        }
    }
}

/// Asks for the line at `at`, any address, without waiting.
#[inline(always)]
fn prefetch<P>(at: *const P) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has the instruction, which reads nothing a program could see.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

impl<P: Copy> Gemm<P> {
    /// The part of the product below row `row`.
    ///
    /// # Safety
    /// The operands hold such a row.
    #[inline(always)]
    pub(crate) unsafe fn at_row(self, row: usize) -> Self {
        // SAFETY: the caller stays inside the operands.
        unsafe {
            Self {
                lhs: self.lhs.add(row * LHS_STRIDE),
                out: self.out.add(row * self.out_stride),
                init: match self.init {
                    Init::RowBias(values) => Init::RowBias(values.add(row)),
                    init => init,
                },
                ..self
            }
        }
    }

    /// The part of the product right of column `column`.
    #[inline(always)]
    pub(crate) fn at_column(self, column: usize) -> Self {
        Self {
            rhs: self.rhs.wrapping_add(column),
            out: self.out.wrapping_add(column),
            init: match self.init {
                Init::ColumnBias(values) => Init::ColumnBias(values.wrapping_add(column)),
                init => init,
            },
            ..self
        }
    }
}

/// One product with `ROWS` rows and `VECTORS` vectors of columns, all sums in registers.
///
/// # Safety
/// `lhs` holds `ROWS` rows, `rhs` rows of `VECTORS` vectors, `out` (and `init`) has room for the tile.
#[inline(always)]
pub(crate) unsafe fn micro_kernel<S: Simd, P: Packed, const ROWS: usize, const VECTORS: usize>(
    s: S,
    gemm: Gemm<P>,
    mut ahead: *const P,
) {
    let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
    // SAFETY: all offsets lie in the operands promised by the caller.
    unsafe {
        match gemm.init {
            Init::Zero | Init::Later => {}
            Init::Out => {
                for (row, sums) in sums.iter_mut().enumerate() {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        *sum = s.load(gemm.out.add(row * gemm.out_stride + vector * S::LANES));
                    }
                }
            }
            Init::RowBias(values) => {
                for (row, sums) in sums.iter_mut().enumerate() {
                    *sums = [s.splat(*values.add(row)); VECTORS];
                }
            }
            Init::ColumnBias(values) => {
                for sums in &mut sums {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        *sum = s.load(values.add(vector * S::LANES));
                    }
                }
            }
        }
        let (mut lhs, mut rhs) = (gemm.lhs, gemm.rhs);
        for _ in 0..gemm.k / UNROLL {
            for k in 0..UNROLL {
                rank_one_update(s, &mut sums, lhs.add(k), rhs.add(k * gemm.rhs_stride));
            }
            prefetch(ahead);
            ahead = ahead.wrapping_add(LINE);
            // After the last step they may point beyond their operands.
            lhs = lhs.wrapping_add(UNROLL);
            rhs = rhs.wrapping_add(UNROLL * gemm.rhs_stride);
        }
        for k in 0..gemm.k % UNROLL {
            rank_one_update(s, &mut sums, lhs.add(k), rhs.add(k * gemm.rhs_stride));
        }
        if matches!(gemm.init, Init::Later) {
            for (row, sums) in sums.iter_mut().enumerate() {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    let out = gemm.out.add(row * gemm.out_stride + vector * S::LANES);
                    *sum = s.add(s.load(out), *sum);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                s.store(
                    gemm.out.add(row * gemm.out_stride + vector * S::LANES),
                    *sum,
                );
            }
        }
    }
}

/// Adds the products of a column of the left operand with a row of the right one.
///
/// # Safety
/// `lhs` points to `ROWS` elements [`LHS_STRIDE`] apart, `rhs` to `VECTORS` vectors of them.
#[inline(always)]
unsafe fn rank_one_update<S: Simd, P: Packed, const ROWS: usize, const VECTORS: usize>(
    s: S,
    sums: &mut [[S::V; VECTORS]; ROWS],
    lhs: *const P,
    rhs: *const P,
) {
    let mut columns = [s.splat(0.0); VECTORS];
    // SAFETY: the caller's promise.
    unsafe {
        for (vector, column) in columns.iter_mut().enumerate() {
            *column = s.load(rhs.add(vector * S::LANES).cast());
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let x = s.splat(lhs.add(row * LHS_STRIDE).cast::<f32>().read());
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = P::fma(s, x, column, *sum);
            }
        }
    }
}
