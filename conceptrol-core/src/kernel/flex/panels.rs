//! The right operand of a product, rearranged so that tiles read it in order.

use super::{
    element::Number,
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
const LINES: usize = 64;

/// Writes up to `width` rows of `depth` numbers as columns: `panel[k][row]`, zeros where there is no row.
pub(crate) fn transpose<'a, E: Number>(
    panel: &mut [f32],
    width: usize,
    depth: usize,
    rows: impl Iterator<Item = &'a [E]> + Clone,
) {
    for (chunk, lines) in panel[..depth * width].chunks_mut(LINES * width).enumerate() {
        let mut filled = 0;
        for row in rows.clone() {
            for (line, from) in lines.chunks_exact_mut(width).zip(&row[chunk * LINES..]) {
                line[filled] = from.widen();
            }
            filled += 1;
        }
        for line in lines.chunks_exact_mut(width) {
            line[filled..].fill(0.0);
        }
    }
}
