use std::ops::Range;

use super::scheme::Scheme;
use crate::kernel::flex::{conv::ConvShape, gemm::WIDEST};

/// Where a tile lies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) image: usize,
    /// Its first output row and column.
    pub(super) row: usize,
    pub(super) column: usize,
}

impl Place {
    /// `count` tiles from `first` on, of images cut into tiles, row by row.
    pub(super) fn several<W: Scheme>(
        shape: &ConvShape,
        first: usize,
        count: usize,
    ) -> [Self; WIDEST] {
        let [rows, columns] = shape.output.map(|length| length.div_ceil(W::OUT));
        let mut places = [Self::default(); WIDEST];
        for (index, place) in (first..).zip(&mut places[..count]) {
            let (image, tile) = (index / (rows * columns), index % (rows * columns));
            *place = Self {
                image,
                row: tile / columns * W::OUT,
                column: tile % columns * W::OUT,
            };
        }
        places
    }
}

/// Cuts places into runs of tiles side by side in one image.
pub(super) fn runs(places: &[Place]) -> impl Iterator<Item = Range<usize>> {
    let same = |a: &Place, b: &Place| (a.image, a.row) == (b.image, b.row);
    let mut start = 0;
    places.chunk_by(same).map(move |run| {
        let run = start..start + run.len();
        start = run.end;
        run
    })
}
