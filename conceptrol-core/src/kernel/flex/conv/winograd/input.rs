use std::marker::PhantomData;

use super::{
    layout::Layout,
    place::{Place, runs},
    scheme::{Line, MOST, Scheme, Transform},
};
use crate::kernel::flex::{
    conv::ConvShape,
    gemm::WIDEST,
    scalar::{Scalar, widen},
    shared::Shared,
    simd::{Job, Simd},
};

/// A panel of tiles of all input channels, transformed.
pub(super) struct Panel<'a, E, W> {
    pub(super) scheme: PhantomData<W>,
    pub(super) shape: ConvShape,
    pub(super) x: &'a [E],
    /// Index of the first tile, over all images.
    pub(super) first: usize,
    /// Tiles of the panel; what is beyond them up to `nr` is never used.
    pub(super) tiles: usize,
    pub(super) layout: Layout,
    /// Its strip, and which panel of it.
    pub(super) to: Shared<'a, f32>,
    pub(super) panel: usize,
}

/// Lanes of the widest vector.
const LANES: usize = 16;

/// A run of pixels that tiles of the panel meet: where it begins in the first channel of all images and among the patches.
#[derive(Clone, Copy, Default)]
struct Pixels {
    from: usize,
    to: usize,
    len: usize,
}

/// What the tiles of a panel meet, with zeros around the image: for each run of tiles side by side, `IN` rows.
struct Patches {
    /// Where each tile begins, and the distance between its rows.
    tiles: [usize; WIDEST],
    pitches: [usize; WIDEST],
    pixels: Vec<Pixels>,
}

impl Patches {
    fn of<W: Scheme>(shape: &ConvShape, places: &[Place]) -> Self {
        let mut patches = Self {
            tiles: [0; WIDEST],
            pitches: [0; WIDEST],
            pixels: Vec::with_capacity(WIDEST * MOST),
        };
        let [height, width] = shape.input;
        let mut start = 0;
        for run in runs(places) {
            let place = places[run.start];
            let pitch = run.len() * W::OUT + 2;
            for (index, tile) in run.enumerate() {
                patches.tiles[tile] = start + index * W::OUT;
                patches.pitches[tile] = pitch;
            }
            // In padded coordinates the run is at `place`.
            let left = shape.before[1].saturating_sub(place.column).min(pitch);
            let column = (place.column + left).saturating_sub(shape.before[1]);
            let len = (pitch - left).min(width.saturating_sub(column));
            for row in 0..W::IN {
                let y = (place.row + row).wrapping_sub(shape.before[0]);
                if y < height && len > 0 {
                    patches.pixels.push(Pixels {
                        from: place.image * shape.c_in * height * width + y * width + column,
                        to: start + row * pitch + left,
                        len,
                    });
                }
            }
            start += W::IN * pitch;
        }
        patches
    }

    /// A vector of tiles from tile `at` on.
    ///
    /// # Safety
    /// `numbers` holds the tiles.
    #[inline(always)]
    unsafe fn load<S: Simd, W: Scheme>(
        &self,
        s: S,
        numbers: &[f32],
        at: usize,
        square: &mut [Line<S::V>; MOST],
    ) {
        let mut tiles = [0; LANES];
        tiles[..S::LANES].copy_from_slice(&self.tiles[at..][..S::LANES]);
        let pitches = &self.pitches[at..][..S::LANES];
        for line in &mut square[..W::IN] {
            let numbers = numbers.as_ptr();
            // SAFETY: the caller's promise; rows have four or six numbers.
            unsafe {
                let [a, b, c, d] = s.columns_at(numbers, &tiles);
                let [.., e, f] = if W::IN == MOST {
                    s.columns_at(numbers.add(2), &tiles)
                } else {
                    [a; 4]
                };
                *line = [a, b, c, d, e, f];
            }
            for (tile, pitch) in tiles.iter_mut().zip(pitches) {
                *tile += pitch;
            }
        }
    }
}

impl<E: Scalar, W: Scheme> Job for Panel<'_, E, W> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, layout, .. } = self;
        let places = Place::several::<W>(&shape, self.first, self.tiles);
        let patches = Patches::of::<W>(&shape, &places[..self.tiles]);
        let plane = shape.input[0] * shape.input[1];
        let mut numbers = [0.0f32; MOST * MOST * WIDEST];
        let mut tiles = [[s.splat(0.0); MOST]; MOST];
        for channel in 0..shape.c_in {
            for pixels in &patches.pixels {
                let from = &self.x[pixels.from + channel * plane..][..pixels.len];
                widen(from, &mut numbers[pixels.to..][..pixels.len]);
            }
            let to = layout.at(channel, 0, self.panel);
            for at in (0..self.tiles).step_by(S::LANES) {
                // SAFETY: each tile has `IN` numbers in each of `IN` rows.
                unsafe { patches.load::<S, W>(s, &numbers, at, &mut tiles) };
                W::Input::square(s, &mut tiles);
                for y in 0..W::IN {
                    for x in 0..W::IN {
                        let to = to + (y * W::IN + x) * layout.frequency() + at;
                        // SAFETY: the panel belongs to this task; room for a vector.
                        unsafe { s.store(self.to.part(to, S::LANES).as_mut_ptr(), tiles[y][x]) };
                    }
                }
            }
        }
    }
}
