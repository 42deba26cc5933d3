use std::{mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use super::{
    input::{Panel, Place},
    output::{self, Sums},
    scheme::{FREQUENCIES, OUT},
    weights,
};
use crate::kernel::flex::{
    aligned::Aligned,
    conv::ConvShape,
    element::Number,
    panels::panel_width,
    product::product,
    shared::Shared,
    simd::{Job, Simd, vectorised},
    tile::{DEPTH, LEFT_STRIDE, Product, Start},
};

/// Output channels of a task; every tile height divides it.
const CHANNELS: usize = 24;
/// Panels of tiles of a task: how often a transformed weight is used.
const PANELS: usize = 8;
/// Panels transformed at once: bounds the memory.
const AT_ONCE: usize = 4 * PANELS;

/// A 3x3 convolution with stride 1 into `out`, a contiguous `[batch, c_out, height, width]`.
pub(crate) fn winograd<E: Number>(
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
    let width = panel_width();
    let tiles = shape.batch
        * shape
            .output
            .map(|length| length.div_ceil(OUT))
            .iter()
            .product::<usize>();
    let panels = tiles.div_ceil(width);
    let panel = FREQUENCIES * shape.c_in * width;
    let mut transformed = Aligned::zeros(panels.min(AT_ONCE) * panel);
    let out = Shared::new(out);
    let blocks = shape.c_out.div_ceil(CHANNELS);
    for start in (0..panels).step_by(AT_ONCE) {
        let count = AT_ONCE.min(panels - start);
        let transformed = &mut transformed[..count * panel];
        transformed
            .par_chunks_exact_mut(panel)
            .enumerate()
            .for_each(|(index, to)| {
                let first = (start + index) * width;
                let tiles = width.min(tiles - first);
                vectorised(Panel {
                    shape,
                    x,
                    first,
                    tiles,
                    width,
                    to,
                });
            });
        let strips = count.div_ceil(PANELS);
        let strip = count.div_ceil(strips);
        (0..strips * blocks)
            .into_par_iter()
            .for_each_init(Scratch::default, |scratch, task| {
                let (first, block) = (task / blocks * strip, task % blocks);
                vectorised(Block {
                    shape,
                    weight,
                    bias,
                    transformed: &transformed[first * panel..(first + strip).min(count) * panel],
                    first: (start + first) * width,
                    tiles,
                    channels: block * CHANNELS..((block + 1) * CHANNELS).min(shape.c_out),
                    width,
                    scratch,
                    out,
                });
            });
    }
}

#[derive(Default)]
struct Scratch {
    /// `[frequency][CHANNELS][LEFT_STRIDE]`
    left: Aligned,
    /// `[frequency][CHANNELS][panels * width]`
    sums: Aligned,
}

/// Some output channels over some panels of tiles.
struct Block<'a, E> {
    shape: ConvShape,
    weight: &'a [E],
    bias: Option<&'a [f32]>,
    /// `[panels][frequency][c_in][width]`
    transformed: &'a [f32],
    /// Index of the first tile.
    first: usize,
    /// Of all images.
    tiles: usize,
    channels: Range<usize>,
    width: usize,
    scratch: &'a mut Scratch,
    out: Shared<'a, MaybeUninit<E>>,
}

impl<E: Number> Job for Block<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (c_in, width, rows) = (self.shape.c_in, self.width, self.channels.len());
        let panel = FREQUENCIES * c_in * width;
        let stride = self.transformed.len() / panel * width;
        let Scratch { left, sums } = self.scratch;
        left.reserve(FREQUENCIES * CHANNELS * LEFT_STRIDE);
        sums.reserve(FREQUENCIES * CHANNELS * stride);
        let slice = c_in.div_ceil(c_in.div_ceil(DEPTH));
        for from in (0..c_in).step_by(slice) {
            let len = slice.min(c_in - from);
            weights::transform(
                s,
                self.weight,
                c_in,
                self.channels.clone(),
                (from, len),
                CHANNELS,
                left,
            );
            for (frequency, left) in left.chunks_exact(CHANNELS * LEFT_STRIDE).enumerate() {
                for (index, panel) in self.transformed.chunks_exact(panel).enumerate() {
                    let right = &panel[(frequency * c_in + from) * width..][..len * width];
                    let sums = &mut sums[frequency * CHANNELS * stride..][..CHANNELS * stride];
                    // SAFETY: `left` and `sums` hold `rows <= CHANNELS` rows, `right` `len` rows of `width`.
                    unsafe {
                        let p = Product {
                            depth: len,
                            left: left.as_ptr(),
                            right: right.as_ptr(),
                            right_stride: width,
                            out: sums.as_mut_ptr().add(index * width),
                            out_stride: stride,
                            start: if from == 0 {
                                Start::Zero
                            } else {
                                Start::Output
                            },
                        };
                        product(s, rows, S::TILE.0, p);
                    }
                }
            }
        }
        let last = self.tiles.min(self.first + stride);
        let places = (self.first..last).map(|tile| Place::new(&self.shape, tile));
        let places: Vec<Place> = places.collect();
        for (row, channel) in self.channels.enumerate() {
            for (panel, places) in places.chunks(width).enumerate() {
                let sums = Sums {
                    sums: &sums[row * stride + panel * width..],
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
