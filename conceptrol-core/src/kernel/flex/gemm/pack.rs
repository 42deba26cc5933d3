//! Packing: operands rearranged so that the micro-kernel reads them in order.

use bytemuck::Zeroable;

use super::packed::Stored;
use crate::kernel::flex::simd::{Job, Simd, vectorised};

/// Columns of a panel of the widest vectors: panels are at most this wide.
pub(crate) const WIDEST: usize = 32;

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

/// Lanes of the widest vector.
const MOST_LANES: usize = 16;
/// Elements of a row that are transposed while they are in the nearest cache.
const CHUNK: usize = 64;

/// Packs up to `nr` rows of `k` elements as the columns of a panel of a right operand: `panel[k][row]`, zeros where there is no row.
#[inline(always)]
pub(crate) fn pack_rhs<'a, S: Simd, T: Stored>(
    s: S,
    panel: &mut [T::Packed],
    nr: usize,
    k: usize,
    mut rows: impl Iterator<Item = &'a [T]>,
) {
    let panel = &mut panel[..k * nr];
    let mut chunk = [T::Packed::zeroed(); MOST_LANES * CHUNK];
    for column in (0..nr).step_by(S::LANES) {
        let mut group: [&[T]; MOST_LANES] = [&[]; MOST_LANES];
        for row in &mut group[..S::LANES] {
            *row = rows.next().unwrap_or_default();
        }
        for from in (0..k).step_by(CHUNK) {
            let len = CHUNK.min(k - from);
            for (row, to) in group[..S::LANES].iter().zip(chunk.chunks_exact_mut(CHUNK)) {
                match row.get(from..from + len) {
                    Some(row) => pack_lhs_row(row, to),
                    None => to.fill(Zeroable::zeroed()),
                }
            }
            let lines = panel[from * nr..][..len * nr].chunks_exact_mut(nr);
            let mut lines = lines.map(|line| &mut line[column..column + S::LANES]);
            for at in (0..len / 4 * 4).step_by(4) {
                // SAFETY: `LANES` rows of the chunk hold four elements from `at` on; their bits are those of an `f32`.
                let columns = unsafe { s.columns(chunk.as_ptr().add(at).cast(), CHUNK) };
                // Columns first: once they end, no line is taken.
                for (column, line) in columns.into_iter().zip(lines.by_ref()) {
                    // SAFETY: a line of `LANES` elements.
                    unsafe { s.store(line.as_mut_ptr().cast(), column) };
                }
            }
            for (line, at) in lines.zip(len / 4 * 4..) {
                for (to, row) in line.iter_mut().zip(chunk.chunks_exact(CHUNK)) {
                    *to = row[at];
                }
            }
        }
    }
}
