use std::{mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use crate::cancel::Cancel;

use super::{
    input::{Panel, Place},
    output::{self, Sums},
    scheme::{FREQUENCIES, OUT},
    weights,
};
use crate::kernel::flex::{
    aligned::Aligned,
    conv::ConvShape,
    gemm::{Gemm, Init, KC, LHS_STRIDE, macro_kernel, nr},
    scalar::Scalar,
    shared::Shared,
    simd::{Job, Simd, vectorised},
};

/// Output channels of a task; every tile height divides it.
const CHANNELS: usize = 24;
/// Panels of tiles of a task: how often a transformed weight is used.
const PANELS: usize = 8;
/// Panels transformed at once: bounds the memory.
const AT_ONCE: usize = 4 * PANELS;

/// A 3x3 convolution with stride 1 into `out`, a contiguous `[batch, c_out, height, width]`.
pub(crate) fn winograd<E: Scalar>(
    shape: ConvShape,
    x: &[E],
    weight: &[E],
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<E>],
) {
    debug_assert_eq!(
        (shape.kernel, shape.stride),
        ([3, 3], 1),
        "a 3x3 convolution with stride 1"
    );
    let nr = nr();
    let tiles = shape.batch
        * shape
            .output
            .map(|length| length.div_ceil(OUT))
            .iter()
            .product::<usize>();
    let panels = tiles.div_ceil(nr);
    let panel = FREQUENCIES * shape.c_in * nr;
    let mut transformed = Aligned::zeros(panels.min(AT_ONCE) * panel);
    let out = Shared::new(out);
    let cancel = Cancel::current();
    let blocks = shape.c_out.div_ceil(CHANNELS);
    for start in (0..panels).step_by(AT_ONCE) {
        let count = AT_ONCE.min(panels - start);
        let transformed = &mut transformed[..count * panel];
        transformed
            .par_chunks_exact_mut(panel)
            .enumerate()
            .for_each(|(index, to)| {
                let first = (start + index) * nr;
                let tiles = nr.min(tiles - first);
                vectorised(Panel {
                    shape,
                    x,
                    first,
                    tiles,
                    nr,
                    to,
                });
            });
        let strips = count.div_ceil(PANELS);
        let strip = count.div_ceil(strips);
        (0..strips * blocks)
            .into_par_iter()
            .for_each_init(Scratch::default, |scratch, task| {
                if cancel.is_cancelled() {
                    return;
                }
                let (first, block) = (task / blocks * strip, task % blocks);
                vectorised(Block {
                    shape,
                    weight,
                    bias,
                    transformed: &transformed[first * panel..(first + strip).min(count) * panel],
                    first: (start + first) * nr,
                    tiles,
                    channels: block * CHANNELS..((block + 1) * CHANNELS).min(shape.c_out),
                    nr,
                    scratch,
                    out,
                });
            });
    }
}

#[derive(Default)]
struct Scratch {
    /// `[frequency][CHANNELS][LHS_STRIDE]`
    lhs: Aligned,
    /// `[frequency][CHANNELS][panels * nr]`
    sums: Aligned,
}

/// Some output channels over some panels of tiles.
struct Block<'a, E> {
    shape: ConvShape,
    weight: &'a [E],
    bias: Option<&'a [f32]>,
    /// `[panels][frequency][c_in][nr]`
    transformed: &'a [f32],
    /// Index of the first tile.
    first: usize,
    /// Of all images.
    tiles: usize,
    channels: Range<usize>,
    nr: usize,
    scratch: &'a mut Scratch,
    out: Shared<'a, MaybeUninit<E>>,
}

impl<E: Scalar> Job for Block<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (c_in, nr, rows) = (self.shape.c_in, self.nr, self.channels.len());
        let panel = FREQUENCIES * c_in * nr;
        let stride = self.transformed.len() / panel * nr;
        let Scratch { lhs, sums } = self.scratch;
        lhs.reserve(FREQUENCIES * CHANNELS * LHS_STRIDE);
        sums.reserve(FREQUENCIES * CHANNELS * stride);
        let slice = c_in.div_ceil(c_in.div_ceil(KC));
        for from in (0..c_in).step_by(slice) {
            let len = slice.min(c_in - from);
            weights::transform(
                s,
                self.weight,
                c_in,
                self.channels.clone(),
                (from, len),
                CHANNELS,
                lhs,
            );
            for (frequency, lhs) in lhs.chunks_exact(CHANNELS * LHS_STRIDE).enumerate() {
                for (index, panel) in self.transformed.chunks_exact(panel).enumerate() {
                    let rhs = &panel[(frequency * c_in + from) * nr..][..len * nr];
                    let sums = &mut sums[frequency * CHANNELS * stride..][..CHANNELS * stride];
                    // SAFETY: `lhs` and `sums` hold `rows <= CHANNELS` rows, `rhs` `len` rows of `nr`.
                    unsafe {
                        let gemm = Gemm {
                            k: len,
                            lhs: lhs.as_ptr(),
                            rhs: rhs.as_ptr(),
                            rhs_stride: nr,
                            out: sums.as_mut_ptr().add(index * nr),
                            out_stride: stride,
                            init: if from == 0 { Init::Zero } else { Init::Out },
                        };
                        macro_kernel(s, rows, S::NR_VECTORS, gemm);
                    }
                }
            }
        }
        let last = self.tiles.min(self.first + stride);
        let places = (self.first..last).map(|tile| Place::new(&self.shape, tile));
        let places: Vec<Place> = places.collect();
        for (row, channel) in self.channels.enumerate() {
            for (panel, places) in places.chunks(nr).enumerate() {
                let sums = Sums {
                    sums: &sums[row * stride + panel * nr..],
                    stride: CHANNELS * stride,
                    places,
                    channel,
                    bias: self.bias.map_or(0.0, |bias| bias[channel]),
                };
                // SAFETY: these tiles of this channel belong to this task.
                unsafe { output::transform(s, &self.shape, sums, self.out) };
            }
        }
    }
}
