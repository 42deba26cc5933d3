use std::mem::MaybeUninit;

use super::{
    place::{Place, runs},
    scheme::{MOST, MOST_OUT, Scheme, Transform},
};
use crate::kernel::flex::{
    conv::ConvShape,
    gemm::WIDEST,
    scalar::{Scalar, narrow},
    shared::Shared,
    simd::Simd,
};

/// Sums of one output channel over a panel of tiles, frequencies `stride` apart.
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
pub(super) unsafe fn transform<S: Simd, E: Scalar, W: Scheme>(
    s: S,
    shape: &ConvShape,
    sums: Sums<'_>,
    out: Shared<'_, MaybeUninit<E>>,
) {
    let mut rows = [[0.0f32; MOST_OUT * WIDEST]; MOST_OUT]; // [row][tile][column]
    let bias = s.splat(sums.bias);
    for at in (0..sums.places.len()).step_by(S::LANES) {
        let mut square = [[bias; MOST]; MOST];
        for y in 0..W::IN {
            for x in 0..W::IN {
                let sums = &sums.sums[(y * W::IN + x) * sums.stride + at..][..S::LANES];
                // SAFETY: a slice of `LANES` numbers.
                square[y][x] = unsafe { s.load(sums.as_ptr()) };
            }
        }
        W::Output::square(s, &mut square);
        for (row, [a, b, c, d, ..]) in rows.iter_mut().zip(square).take(W::OUT) {
            let pixels = [
                s.add(a, bias),
                s.add(b, bias),
                s.add(c, bias),
                s.add(d, bias),
            ];
            let to = &mut row[at * W::OUT..][..S::LANES * W::OUT];
            if W::OUT == 4 {
                // SAFETY: room for four vectors.
                unsafe { s.store_rows(to.as_mut_ptr(), pixels) };
                continue;
            }
            for (column, x) in pixels.into_iter().enumerate().take(W::OUT) {
                let mut lanes = [0.0f32; WIDEST];
                // SAFETY: room for a vector.
                unsafe { s.store(lanes.as_mut_ptr(), x) };
                for (to, x) in to.chunks_exact_mut(W::OUT).zip(lanes) {
                    to[column] = x;
                }
            }
        }
    }
    let [height, width] = shape.output;
    for run in runs(sums.places) {
        let Place { image, row, column } = sums.places[run.start];
        let plane = (image * shape.c_out + sums.channel) * height * width;
        let columns = (run.len() * W::OUT).min(width - column);
        for (y, pixels) in (row..height).zip(&rows[..W::OUT]) {
            // SAFETY: the caller's promise.
            let to = unsafe { out.part(plane + y * width + column, columns) };
            narrow(&pixels[run.start * W::OUT..][..columns], to);
        }
    }
}
