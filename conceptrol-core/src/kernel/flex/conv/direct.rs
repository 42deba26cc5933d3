use std::{mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use super::ConvShape;
use crate::kernel::flex::{
    aligned::Aligned,
    element::{Number, narrow, widen},
    panels::panel_width,
    product::product,
    shared::Shared,
    simd::{Job, Simd, vectorised},
    tile::{DEPTH, LEFT_STRIDE, Product, Start},
};

/// Output channels whose weights are in the cache at once. Every tile height divides it.
const CHANNELS: usize = 96;
/// Panels of output pixels of a task.
const PANELS: usize = 8;

/// `weight * x + bias` into `out`, a contiguous `[batch, c_out, height, width]`.
pub(crate) fn direct<E: Number>(
    shape: ConvShape,
    x: &[E],
    weight: &[E],
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<E>],
) {
    let shape = shape.flattened();
    let width = panel_width();
    let panels = shape.pixels().div_ceil(width);
    let blocks = panels.div_ceil(PANELS).max(1);
    let block = panels.div_ceil(blocks);
    // Small images alone would not keep the threads busy: cut the output channels too.
    let cuts = if shape.batch * blocks >= 16 {
        1
    } else {
        shape.c_out.div_ceil(CHANNELS)
    };
    let cut = shape.c_out.div_ceil(cuts).next_multiple_of(12);
    let zeros = vec![0.0; shape.c_out];
    let bias = bias.unwrap_or(&zeros);
    let image = shape.c_in * shape.input[0] * shape.input[1];
    let out = Shared::new(out);
    (0..shape.batch * blocks * cuts)
        .into_par_iter()
        .for_each_init(Scratch::default, |scratch, task| {
            let (image_index, rest) = (task / (blocks * cuts), task % (blocks * cuts));
            let (first, channel) = (rest / cuts * block, rest % cuts * cut);
            let channels = channel.min(shape.c_out)..(channel + cut).min(shape.c_out);
            vectorised(Block {
                shape,
                image_index,
                x: &x[image_index * image..][..image],
                weight,
                bias,
                pixels: (first * width).min(shape.pixels())
                    ..((first + block) * width).min(shape.pixels()),
                channels,
                width,
                scratch,
                out,
            });
        });
}

#[derive(Default)]
struct Scratch {
    /// A slice of the inner dimension of all panels: `[panels][depth][width]`.
    right: Aligned,
    left: Vec<f32>,
    /// `[channels][panels * width]`
    sums: Aligned,
}

/// Some pixels of some channels of one image.
struct Block<'a, E> {
    shape: ConvShape,
    image_index: usize,
    x: &'a [E],
    weight: &'a [E],
    bias: &'a [f32],
    pixels: Range<usize>,
    channels: Range<usize>,
    width: usize,
    scratch: &'a mut Scratch,
    out: Shared<'a, MaybeUninit<E>>,
}

impl<E: Number> Job for Block<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (shape, width, channels) = (self.shape, self.width, self.channels.len());
        let panels = self.pixels.len().div_ceil(width);
        if panels == 0 || channels == 0 {
            return;
        }
        let stride = panels * width;
        let depth = shape.depth();
        let slice = depth.div_ceil(depth.div_ceil(DEPTH));
        let Scratch { right, left, sums } = self.scratch;
        right.reserve(panels * slice * width);
        left.resize(CHANNELS * LEFT_STRIDE, 0.0);
        sums.reserve(channels * stride);
        for from in (0..depth).step_by(slice) {
            let len = slice.min(depth - from);
            gather(
                shape,
                self.x,
                from..from + len,
                &self.pixels,
                (slice, width),
                right,
            );
            for group in (0..channels).step_by(CHANNELS) {
                let rows = CHANNELS.min(channels - group);
                let first = self.channels.start + group;
                for (row, left) in left.chunks_exact_mut(LEFT_STRIDE).take(rows).enumerate() {
                    widen(&self.weight[(first + row) * depth + from..][..len], left);
                }
                for (panel, right) in right.chunks_exact(slice * width).take(panels).enumerate() {
                    let bias = &self.bias[first..first + rows];
                    // SAFETY: `left` holds `rows <= CHANNELS` rows, `right` `len` rows of `width`, `sums` the rows of all
                    // channels, `stride` apart.
                    unsafe {
                        let p = Product {
                            depth: len,
                            left: left.as_ptr(),
                            right: right.as_ptr(),
                            right_stride: width,
                            out: sums.as_mut_ptr().add(group * stride + panel * width),
                            out_stride: stride,
                            start: if from == 0 {
                                Start::Rows(bias.as_ptr())
                            } else {
                                Start::Output
                            },
                        };
                        product(s, rows, S::TILE.0, p);
                    }
                }
            }
        }
        for (sums, channel) in sums.chunks_exact(stride).zip(self.channels) {
            let at =
                (self.image_index * shape.c_out + channel) * shape.pixels() + self.pixels.start;
            // SAFETY: these pixels of this channel belong to this task.
            narrow(&sums[..self.pixels.len()], unsafe {
                self.out.part(at, self.pixels.len())
            });
        }
    }
}

/// The numbers that weights `taps` (of `[c_in, kernel height, kernel width]`) meet at output pixels `pixels`, as panels
/// `[pixels / width][slice][width]`.
///
/// A tap at a time over all panels: a plane of the image is far from the next, and is read in runs as long as there are.
#[inline(always)]
fn gather<E: Number>(
    shape: ConvShape,
    x: &[E],
    taps: Range<usize>,
    pixels: &Range<usize>,
    (slice, width): (usize, usize),
    panels: &mut [f32],
) {
    let ([height, image_width], [_, out_width]) = (shape.input, shape.output);
    let kernel = shape.kernel[0] * shape.kernel[1];
    for (line, tap) in taps.enumerate() {
        let (channel, offset) = (tap / kernel, tap % kernel);
        let (ky, kx) = (offset / shape.kernel[1], offset % shape.kernel[1]);
        let plane = &x[channel * height * image_width..][..height * image_width];
        let mut pixel = pixels.start;
        // Runs of pixels in one output row and one panel.
        while pixel < pixels.end {
            let (row, column) = (pixel / out_width, pixel % out_width);
            let (panel, lane) = (
                (pixel - pixels.start) / width,
                (pixel - pixels.start) % width,
            );
            let run = (out_width - column)
                .min(width - lane)
                .min(pixels.end - pixel);
            let to = &mut panels[(panel * slice + line) * width + lane..][..run];
            let y = (row * shape.stride + ky).wrapping_sub(shape.before[0]);
            if y < height {
                let from = &plane[y * image_width..][..image_width];
                gather_run(from, to, column, kx, shape.stride, shape.before[1]);
            } else {
                to.fill(0.0);
            }
            pixel += run;
        }
        let lane = (pixels.end - pixels.start) % width;
        if lane > 0 {
            let panel = (pixels.end - pixels.start) / width;
            panels[(panel * slice + line) * width..][lane..width].fill(0.0);
        }
    }
}

/// `to[i] = from[(column + i) * stride + kx - before]`, zero outside.
#[inline(always)]
fn gather_run<E: Number>(
    from: &[E],
    to: &mut [f32],
    column: usize,
    kx: usize,
    stride: usize,
    before: usize,
) {
    if stride == 1 {
        let start = column + kx; // in padded coordinates
        let zeros = before.saturating_sub(start).min(to.len());
        let (outside, to) = to.split_at_mut(zeros);
        outside.fill(0.0);
        let from = from
            .get((start + zeros).wrapping_sub(before)..)
            .unwrap_or_default();
        let inside = from.len().min(to.len());
        widen(&from[..inside], to);
        to[inside..].fill(0.0);
    } else {
        for (i, to) in to.iter_mut().enumerate() {
            let at = ((column + i) * stride + kx).wrapping_sub(before);
            *to = from.get(at).map_or(0.0, |x| x.widen());
        }
    }
}
