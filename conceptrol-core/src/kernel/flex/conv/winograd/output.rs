use std::mem::MaybeUninit;

use super::{
    input::{Place, WIDEST},
    scheme::{self, IN, OUT, both_axes},
};
use crate::kernel::flex::{conv::ConvShape, scalar::Scalar, shared::Shared, simd::Simd};

/// Sums of one output channel over a panel of tiles, at each frequency `stride` apart.
pub(super) struct Sums<'a> {
    pub(super) sums: &'a [f32],
    pub(super) stride: usize,
    /// Where the tiles lie.
    pub(super) places: &'a [Place],
    pub(super) channel: usize,
    pub(super) bias: f32,
}

/// Transforms sums into pixels and writes those inside the image.
///
/// # Safety
/// The tiles of this channel belong to the caller.
#[inline(always)]
pub(super) unsafe fn transform<S: Simd, E: Scalar>(
    s: S,
    shape: &ConvShape,
    sums: Sums<'_>,
    out: Shared<'_, MaybeUninit<E>>,
) {
    let mut pixels = [0.0f32; OUT * OUT * WIDEST]; // [row][column][tile]
    let bias = s.splat(sums.bias);
    for at in (0..sums.places.len()).step_by(S::LANES) {
        let load = |position: usize| {
            // SAFETY: a slice of `LANES` numbers.
            unsafe { s.load(sums.sums[position * sums.stride + at..][..S::LANES].as_ptr()) }
        };
        let store = |position: usize, x| {
            let to = &mut pixels[position * WIDEST + at..][..S::LANES];
            // SAFETY: a slice of `LANES` numbers.
            unsafe { s.store(to.as_mut_ptr(), s.add(x, bias)) };
        };
        both_axes(s, (IN, OUT), |x| scheme::output(s, x), load, store);
    }
    let [height, width] = shape.output;
    for (tile, place) in sums.places.iter().enumerate() {
        let Place { image, row, column } = *place;
        let plane = (image * shape.c_out + sums.channel) * height * width;
        let columns = OUT.min(width - column);
        for y in 0..OUT.min(height - row) {
            // SAFETY: the caller's promise.
            let to = unsafe { out.part(plane + (row + y) * width + column, columns) };
            for (x, to) in to.iter_mut().enumerate() {
                to.write(E::narrow(pixels[(y * OUT + x) * WIDEST + tile]));
            }
        }
    }
}
