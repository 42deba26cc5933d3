//! Packing: operands rearranged so that the micro-kernel reads them in order.

use bytemuck::Zeroable;

use super::packed::Stored;
use crate::kernel::flex::simd::{Job, Simd, vectorised};

/// Columns of a panel with the instruction set in use: what one register tile covers.
pub(crate) fn nr() -> usize {
    struct Width<'a>(&'a mut usize);
    impl Job for Width<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            *self.0 = S::LANES * S::NR_VECTORS;
        }
    }
    let mut width = 0;
    vectorised(Width(&mut width));
    width
}

/// Packs a row of a left operand into the beginning of `to`.
#[inline(always)]
pub(crate) fn pack_lhs_row<T: Stored>(from: &[T], to: &mut [T::Packed]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.packed();
    }
}

/// Lines of a panel written together: they stay in the nearest cache while every row adds its number to each.
const LINES: usize = 32;

/// Packs up to `nr` rows of `k` elements as the columns of a panel of a right operand: `panel[k][row]`, zeros where there is no row.
#[inline(always)]
pub(crate) fn pack_rhs<'a, T: Stored>(
    panel: &mut [T::Packed],
    nr: usize,
    k: usize,
    rows: impl Iterator<Item = &'a [T]>,
) {
    let rows: Vec<&[T]> = rows.map(|row| &row[..k]).collect();
    for (index, lines) in panel[..k * nr].chunks_mut(LINES * nr).enumerate() {
        let from = index * LINES;
        // Four rows at a time fill a vector of each line.
        let fours = rows.chunks_exact(4);
        let rest = fours.remainder();
        for (column, four) in fours.enumerate() {
            let [a, b, c, d] = [0, 1, 2, 3].map(|row| &four[row][from..]);
            let elements = a.iter().zip(b).zip(c.iter().zip(d));
            for (line, ((a, b), (c, d))) in lines.chunks_exact_mut(nr).zip(elements) {
                let four = [a.packed(), b.packed(), c.packed(), d.packed()];
                line[4 * column..4 * column + 4].copy_from_slice(&four);
            }
        }
        let first = rows.len() - rest.len();
        for (line, at) in lines.chunks_exact_mut(nr).zip(from..) {
            for (to, row) in line[first..].iter_mut().zip(rest) {
                *to = row[at].packed();
            }
            line[rows.len()..].fill(Zeroable::zeroed());
        }
    }
}
