//! The right operand of a product, rearranged so that tiles read it in order.

use bytemuck::Zeroable;

use super::{
    operand::Operand,
    simd::{Job, Simd, vectorised},
};

/// Columns of a panel with the instruction set in use: what one register tile covers.
pub(crate) fn panel_width() -> usize {
    struct Width<'a>(&'a mut usize);
    impl Job for Width<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            *self.0 = S::LANES * S::TILE.0;
        }
    }
    let mut width = 0;
    vectorised(Width(&mut width));
    width
}

/// Lines of a panel written together: they stay in the nearest cache while every row adds its number to each.
const LINES: usize = 32;

/// Writes up to `width` rows of `depth` operands as columns: `panel[k][row]`, zeros where there is no row.
pub(crate) fn transpose<'a, O: Operand>(
    panel: &mut [O::Unit],
    width: usize,
    depth: usize,
    rows: impl Iterator<Item = &'a [O]>,
) {
    let rows: Vec<&[O]> = rows.map(|row| &row[..depth]).collect();
    for (index, lines) in panel[..depth * width].chunks_mut(LINES * width).enumerate() {
        let from = index * LINES;
        // Four rows at a time fill a vector of each line.
        let fours = rows.chunks_exact(4);
        let rest = fours.remainder();
        for (column, four) in fours.enumerate() {
            let [a, b, c, d] = [0, 1, 2, 3].map(|row| &four[row][from..]);
            let operands = a.iter().zip(b).zip(c.iter().zip(d));
            for (line, ((a, b), (c, d))) in lines.chunks_exact_mut(width).zip(operands) {
                let four = [a.unit(), b.unit(), c.unit(), d.unit()];
                line[4 * column..4 * column + 4].copy_from_slice(&four);
            }
        }
        let first = rows.len() - rest.len();
        for (line, at) in lines.chunks_exact_mut(width).zip(from..) {
            for (to, row) in line[first..].iter_mut().zip(rest) {
                *to = row[at].unit();
            }
            line[rows.len()..].fill(Zeroable::zeroed());
        }
    }
}
