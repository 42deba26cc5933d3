//! Products of a block of rows with a panel of columns, cut into register tiles.

use super::{
    micro_kernel::{Gemm, micro_kernel},
    packed::Packed,
};
use crate::kernel::flex::simd::Simd;

/// Computes `rows` rows times `vectors` vectors of columns.
///
/// Each output is one sum in the order of the inner dimension, whatever the cut: results do not depend on it.
///
/// # Safety
/// The operands of `gemm` hold `rows` rows and `vectors * S::LANES` columns.
#[inline(always)]
pub(crate) unsafe fn macro_kernel<S: Simd, P: Packed>(
    s: S,
    rows: usize,
    vectors: usize,
    gemm: Gemm<P>,
) {
    let mut done = 0;
    while done < vectors {
        let gemm = gemm.at_column(done * S::LANES);
        let left = vectors - done;
        // SAFETY: the strips partition the columns. The tile heights fill the registers: 32 with AVX-512, else 16.
        done += unsafe {
            if S::LANES == 16 {
                match left {
                    1 => strip::<S, P, 12, 1>(s, rows, gemm),
                    2 => strip::<S, P, 12, 2>(s, rows, gemm),
                    3 | 6 => strip::<S, P, 8, 3>(s, rows, gemm),
                    5 | 10 => strip::<S, P, 4, 5>(s, rows, gemm),
                    _ => strip::<S, P, 6, 4>(s, rows, gemm),
                }
            } else if S::NR_VECTORS == 2 && left >= 2 {
                strip::<S, P, 6, 2>(s, rows, gemm)
            } else {
                strip::<S, P, 4, 1>(s, rows, gemm)
            }
        };
    }
}

/// All rows of a strip `VECTORS` wide; gives back `VECTORS`.
#[inline(always)]
unsafe fn strip<S: Simd, P: Packed, const ROWS: usize, const VECTORS: usize>(
    s: S,
    rows: usize,
    gemm: Gemm<P>,
) -> usize {
    let mut row = 0;
    // SAFETY: the groups partition the rows.
    unsafe {
        while row + ROWS <= rows {
            micro_kernel::<S, P, ROWS, VECTORS>(s, gemm.at_row(row));
            row += ROWS;
        }
        while row + 2 <= rows {
            micro_kernel::<S, P, 2, VECTORS>(s, gemm.at_row(row));
            row += 2;
        }
        if row < rows {
            micro_kernel::<S, P, 1, VECTORS>(s, gemm.at_row(row));
        }
    }
    VECTORS
}
