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

/// Writes up to `width` rows of `depth` numbers as columns: `panel[k][row]`, zeros where there is no row.
pub(crate) fn transpose<'a, E: Number>(
    panel: &mut [f32],
    width: usize,
    depth: usize,
    rows: impl Iterator<Item = &'a [E]>,
) {
    // So many lines stay in the nearest cache while every row adds its column to them.
    const LINES: usize = 16;
    let rows: Vec<&[E]> = rows.map(|row| &row[..depth]).collect();
    for (index, lines) in panel[..depth * width].chunks_mut(LINES * width).enumerate() {
        for (column, row) in rows.iter().enumerate() {
            let to = lines[column..].iter_mut().step_by(width);
            for (to, from) in to.zip(&row[index * LINES..]) {
                *to = from.widen();
            }
        }
        for line in lines.chunks_exact_mut(width) {
            line[rows.len()..].fill(0.0);
        }
    }
}
