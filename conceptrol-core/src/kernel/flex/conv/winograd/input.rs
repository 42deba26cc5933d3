use super::scheme::{self, FREQUENCIES, IN, OUT, both_axes};
use crate::kernel::flex::{
    conv::ConvShape,
    scalar::Scalar,
    simd::{Job, Simd},
};

/// Panels are at most this wide.
pub(super) const WIDEST: usize = 32;

/// A panel of tiles of some input channels, transformed: `[frequency][channel of all][nr]`.
pub(super) struct Panel<'a, E> {
    pub(super) shape: ConvShape,
    pub(super) x: &'a [E],
    /// Index of the first tile, over all images.
    pub(super) first: usize,
    /// Tiles of the panel; the rest up to `nr` are zeros.
    pub(super) tiles: usize,
    pub(super) nr: usize,
    pub(super) to: &'a mut [f32],
}

/// Where a tile lies.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) image: usize,
    /// Its first output row and column.
    pub(super) row: usize,
    pub(super) column: usize,
}

impl Place {
    /// The tile `index` of images cut into tiles, row by row.
    #[inline(always)]
    pub(super) fn new(shape: &ConvShape, index: usize) -> Self {
        let [rows, columns] = shape.output.map(|length| length.div_ceil(OUT));
        let (image, tile) = (index / (rows * columns), index % (rows * columns));
        Self {
            image,
            row: tile / columns * OUT,
            column: tile % columns * OUT,
        }
    }
}

impl<E: Scalar> Job for Panel<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Panel {
            shape,
            x,
            first,
            tiles,
            nr,
            to,
        } = self;
        let [height, image_width] = shape.input;
        let plane = height * image_width;
        let mut places = [Place {
            image: 0,
            row: 0,
            column: 0,
        }; WIDEST];
        for (tile, place) in places.iter_mut().enumerate().take(tiles) {
            *place = Place::new(&shape, first + tile);
        }
        let mut patches = [0.0f32; FREQUENCIES * WIDEST]; // [row][column][tile]
        for channel in 0..shape.c_in {
            for (tile, place) in places[..tiles].iter().enumerate() {
                let plane = &x[(place.image * shape.c_in + channel) * plane..][..plane];
                let (top, left) = (
                    place.row.wrapping_sub(shape.before[0]),
                    place.column.wrapping_sub(shape.before[1]),
                );
                for row in 0..IN {
                    let y = top.wrapping_add(row);
                    let line = if y < height {
                        &plane[y * image_width..][..image_width]
                    } else {
                        &[]
                    };
                    let to = &mut patches[row * IN * nr + tile..];
                    match line.get(left..left.wrapping_add(IN)) {
                        Some(line) => {
                            for (column, x) in line.iter().enumerate() {
                                to[column * nr] = x.widen();
                            }
                        }
                        None => {
                            for column in 0..IN {
                                let x = line.get(left.wrapping_add(column));
                                to[column * nr] = x.map_or(0.0, |x| x.widen());
                            }
                        }
                    }
                }
            }
            for at in (0..nr).step_by(S::LANES) {
                let load = |position: usize| {
                    // SAFETY: `nr <= WIDEST` is a whole number of vectors.
                    unsafe { s.load(patches[position * nr + at..][..S::LANES].as_ptr()) }
                };
                let store = |position: usize, x| {
                    let to = &mut to[(position * shape.c_in + channel) * nr + at..][..S::LANES];
                    // SAFETY: a slice of `LANES` numbers.
                    unsafe { s.store(to.as_mut_ptr(), x) };
                };
                both_axes(s, (IN, IN), |x| scheme::input(s, x), load, store);
            }
        }
    }
}
