//! Products of a block of rows with a strip of columns, cut into register tiles.

use super::{
    operand::Unit,
    simd::Simd,
    tile::{Product, tile},
};

/// Adds up `rows` rows times `vectors` vectors of columns.
///
/// Each output is one sum in the order of the inner dimension, whatever the cut: results do not depend on it.
///
/// # Safety
/// The operands of `p` hold `rows` rows and `vectors * S::LANES` columns.
#[inline(always)]
pub(crate) unsafe fn product<S: Simd, U: Unit>(s: S, rows: usize, vectors: usize, p: Product<U>) {
    let mut done = 0;
    while done < vectors {
        let p = p.at_column(done * S::LANES);
        let left = vectors - done;
        // SAFETY: the strips partition the columns. The tile heights fill the registers: 32 with AVX-512, else 16.
        done += unsafe {
            if S::LANES == 16 {
                match left {
                    1 => strip::<S, U, 12, 1>(s, rows, p),
                    2 => strip::<S, U, 12, 2>(s, rows, p),
                    3 | 6 => strip::<S, U, 8, 3>(s, rows, p),
                    5 | 10 => strip::<S, U, 4, 5>(s, rows, p),
                    _ => strip::<S, U, 6, 4>(s, rows, p),
                }
            } else if S::TILE.0 == 2 && left >= 2 {
                strip::<S, U, 6, 2>(s, rows, p)
            } else {
                strip::<S, U, 4, 1>(s, rows, p)
            }
        };
    }
}

/// All rows of a strip `VECTORS` wide; gives back `VECTORS`.
#[inline(always)]
unsafe fn strip<S: Simd, U: Unit, const ROWS: usize, const VECTORS: usize>(
    s: S,
    rows: usize,
    p: Product<U>,
) -> usize {
    let mut row = 0;
    // SAFETY: the groups partition the rows.
    unsafe {
        while row + ROWS <= rows {
            tile::<S, U, ROWS, VECTORS>(s, p.at_row(row));
            row += ROWS;
        }
        while row + 2 <= rows {
            tile::<S, U, 2, VECTORS>(s, p.at_row(row));
            row += 2;
        }
        if row < rows {
            tile::<S, U, 1, VECTORS>(s, p.at_row(row));
        }
    }
    VECTORS
}
