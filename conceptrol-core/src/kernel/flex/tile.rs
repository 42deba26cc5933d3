//! The register tile every matrix product here is made of.

use super::{operand::Unit, simd::Simd};

/// The longest inner dimension of one tile; longer products add tiles up.
pub(crate) const DEPTH: usize = 256;
/// Distance between the rows of a left operand: a constant, so that rows cost no registers, and not a multiple of 4 KB, so
/// that they do not compete for the same cache lines.
pub(crate) const LEFT_STRIDE: usize = DEPTH + 16;
/// Steps along the inner dimension without counting in between: counting takes turns that multiplying could use.
const UNROLL: usize = 4;

/// What a tile's sums start from.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    Zero,
    /// The numbers already in the output.
    Output,
    /// A number for each row.
    Rows(*const f32),
    /// A number for each column.
    Columns(*const f32),
}

/// The operands of one product `out = start + left * right`.
#[derive(Clone, Copy)]
pub(crate) struct Product<U = f32> {
    /// Inner dimension.
    pub(crate) depth: usize,
    /// Rows [`LEFT_STRIDE`] apart, `depth` long.
    pub(crate) left: *const U,
    /// `depth` rows, `right_stride` apart.
    pub(crate) right: *const U,
    pub(crate) right_stride: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    pub(crate) start: Start,
}

impl<U: Copy> Product<U> {
    /// The part of the product below row `row`.
    ///
    /// # Safety
    /// The operands hold such a row.
    #[inline(always)]
    pub(crate) unsafe fn at_row(self, row: usize) -> Self {
        // SAFETY: the caller stays inside the operands.
        unsafe {
            Self {
                left: self.left.add(row * LEFT_STRIDE),
                out: self.out.add(row * self.out_stride),
                start: match self.start {
                    Start::Rows(values) => Start::Rows(values.add(row)),
                    start => start,
                },
                ..self
            }
        }
    }

    /// The part of the product right of column `column`.
    #[inline(always)]
    pub(crate) fn at_column(self, column: usize) -> Self {
        Self {
            right: self.right.wrapping_add(column),
            out: self.out.wrapping_add(column),
            start: match self.start {
                Start::Columns(values) => Start::Columns(values.wrapping_add(column)),
                start => start,
            },
            ..self
        }
    }
}

/// One product with `ROWS` rows and `VECTORS` vectors of columns, all sums in registers.
///
/// # Safety
/// `left` holds `ROWS` rows, `right` rows of `VECTORS` vectors, `out` (and `start`) has room for the tile.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, U: Unit, const ROWS: usize, const VECTORS: usize>(
    s: S,
    p: Product<U>,
) {
    let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
    // SAFETY: all offsets lie in the operands promised by the caller.
    unsafe {
        match p.start {
            Start::Zero => {}
            Start::Output => {
                for (row, sums) in sums.iter_mut().enumerate() {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        *sum = s.load(p.out.add(row * p.out_stride + vector * S::LANES));
                    }
                }
            }
            Start::Rows(values) => {
                for (row, sums) in sums.iter_mut().enumerate() {
                    *sums = [s.splat(*values.add(row)); VECTORS];
                }
            }
            Start::Columns(values) => {
                for sums in &mut sums {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        *sum = s.load(values.add(vector * S::LANES));
                    }
                }
            }
        }
        let (mut left, mut right) = (p.left, p.right);
        for _ in 0..p.depth / UNROLL {
            for k in 0..UNROLL {
                accumulate(s, &mut sums, left.add(k), right.add(k * p.right_stride));
            }
            // After the last step they may point beyond their operands.
            left = left.wrapping_add(UNROLL);
            right = right.wrapping_add(UNROLL * p.right_stride);
        }
        for k in 0..p.depth % UNROLL {
            accumulate(s, &mut sums, left.add(k), right.add(k * p.right_stride));
        }
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                s.store(p.out.add(row * p.out_stride + vector * S::LANES), *sum);
            }
        }
    }
}

/// Adds the products of a column of the left operand with a row of the right one.
///
/// # Safety
/// `left` points to `ROWS` units [`LEFT_STRIDE`] apart, `right` to `VECTORS` vectors of them.
#[inline(always)]
unsafe fn accumulate<S: Simd, U: Unit, const ROWS: usize, const VECTORS: usize>(
    s: S,
    sums: &mut [[S::V; VECTORS]; ROWS],
    left: *const U,
    right: *const U,
) {
    let mut columns = [s.splat(0.0); VECTORS];
    // SAFETY: the caller's promise.
    unsafe {
        for (vector, column) in columns.iter_mut().enumerate() {
            *column = s.load(right.add(vector * S::LANES).cast());
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let x = s.splat(left.add(row * LEFT_STRIDE).cast::<f32>().read());
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = U::multiply_add(s, x, column, *sum);
            }
        }
    }
}
