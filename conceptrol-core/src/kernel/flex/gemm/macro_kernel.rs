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
            } else if S::NR_VECTORS == 2 {
                match left {
                    1 => strip::<S, P, 12, 1>(s, rows, gemm),
                    _ => strip::<S, P, 6, 2>(s, rows, gemm),
                }
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
    let (mut row, mut ahead) = (0, gemm.ahead);
    // SAFETY: the groups partition the rows.
    unsafe {
        while row + ROWS <= rows {
            let ahead = ahead.of_tile(gemm.k, gemm.rhs);
            micro_kernel::<S, P, ROWS, VECTORS>(s, gemm.at_row(row), ahead);
            row += ROWS;
        }
        while row + 2 <= rows {
            micro_kernel::<S, P, 2, VECTORS>(s, gemm.at_row(row), gemm.rhs);
            row += 2;
        }
        if row < rows {
            micro_kernel::<S, P, 1, VECTORS>(s, gemm.at_row(row), gemm.rhs);
        }
    }
    VECTORS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::flex::{
        aligned::Aligned,
        gemm::{Ahead, Init, LHS_STRIDE, pack_rhs},
        simd::{Job, on_every_instruction_set},
    };

    /// Integers and halves whose products add up exactly.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 37 + seed * 101) % 29) as f32 / 2.0 - 7.0)
            .collect()
    }

    /// A weight of `columns` rows, packed and multiplied.
    struct Product {
        rows: usize,
        columns: usize,
        k: usize,
    }

    impl Job for Product {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self { rows, columns, k } = self;
            let nr = S::LANES * S::NR_VECTORS;
            let weight = numbers(columns * k, 1);
            let mut panel = Aligned::zeros(k * nr);
            panel.fill(f32::NAN); // all of it is written
            pack_rhs(s, &mut panel, nr, k, weight.chunks_exact(k));
            for (at, got) in panel.iter().enumerate() {
                let (line, column) = (at / nr, at % nr);
                let expected = weight.get(column * k + line).filter(|_| column < columns);
                assert_eq!(*got, *expected.unwrap_or(&0.0), "{line} of column {column}");
            }

            let mut lhs = numbers(rows * LHS_STRIDE, 2);
            let mut out = Aligned::zeros(rows * nr);
            let gemm = Gemm {
                k,
                lhs: lhs.as_ptr(),
                rhs: panel.as_ptr(),
                rhs_stride: nr,
                out: out.as_mut_ptr(),
                out_stride: nr,
                init: Init::Zero,
                ahead: Ahead::NOTHING,
            };
            // SAFETY: `rows` rows, a panel of `nr` columns.
            unsafe { macro_kernel(s, rows, S::NR_VECTORS, gemm) };
            for (at, got) in out.iter().enumerate() {
                let (row, column) = (at / nr, at % nr);
                let terms = (0..k).map(|k| lhs[row * LHS_STRIDE + k] * panel[k * nr + column]);
                assert_eq!(*got, terms.sum::<f32>(), "row {row}, column {column}");
            }

            // Sums that are rounded: each row has the same bits alone.
            lhs.iter_mut().for_each(|x| *x = x.sin());
            let gemm = Gemm {
                lhs: lhs.as_ptr(),
                ..gemm
            };
            // SAFETY: as above.
            unsafe { macro_kernel(s, rows, S::NR_VECTORS, gemm) };
            let mut alone = Aligned::zeros(nr);
            for (row, together) in out.chunks_exact(nr).enumerate() {
                // SAFETY: `row` is one of the rows; room for one row.
                unsafe {
                    let gemm = Gemm {
                        out: alone.as_mut_ptr(),
                        ..gemm.at_row(row)
                    };
                    macro_kernel(s, 1, S::NR_VECTORS, gemm);
                }
                assert_eq!(together, &*alone, "row {row} of {rows}");
            }
        }
    }

    #[test]
    fn packed_products_are_exact_with_all_vectors() {
        for (rows, columns, k) in [
            (1, 1, 1),
            (2, 7, 3),
            (5, 8, 64),
            (13, 17, 66),
            (24, 32, 131),
            (37, 31, 256),
        ] {
            on_every_instruction_set(|| Product {
                rows,
                columns: columns.min(8),
                k,
            });
            on_every_instruction_set(|| Product { rows, columns, k });
        }
    }
}
