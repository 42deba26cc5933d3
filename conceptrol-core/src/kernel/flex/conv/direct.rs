use std::{mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use super::{ConvShape, planes::Planes};
use crate::kernel::flex::{
    aligned::Aligned,
    element::narrow,
    operand::{Operand, Unit, load},
    panels::panel_width,
    shared::Shared,
    simd::{Job, Simd, vectorised},
    tile::{LEFT_STRIDE, Product, Start},
};

/// Output channels whose weights are in the cache at once. Every tile height divides it.
const CHANNELS: usize = 96;
/// Panels of output pixels of a task.
const PANELS: usize = 8;
/// Tasks of a thread, at least.
const TASKS: usize = 4;

/// `weight * x + bias` into `out`, a contiguous `[batch, c_out, height, width]`.
pub(crate) fn direct<O: Operand>(
    shape: ConvShape,
    x: &[O::Number],
    weight: &[O],
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<O::Number>],
) {
    let shape = shape.flattened();
    let width = panel_width();
    let pixels = shape.output[0] * shape.pitch();
    let panels = pixels.div_ceil(width);
    let blocks = panels.div_ceil(PANELS).max(1);
    let block = panels.div_ceil(blocks);
    // Small images alone would not keep the threads busy: cut the output channels too.
    let cuts = (TASKS * rayon::current_num_threads())
        .div_ceil(shape.batch * blocks)
        .min(shape.c_out.div_ceil(CHANNELS));
    let cut = shape.c_out.div_ceil(cuts).next_multiple_of(12);
    let zeros = vec![0.0; shape.c_out];
    let bias = bias.unwrap_or(&zeros);
    let image = shape.c_in * shape.input[0] * shape.input[1];
    let out = Shared::new(out);
    (0..shape.batch * blocks * cuts)
        .into_par_iter()
        .for_each_init(Scratch::<O>::default, |scratch, task| {
            let (image_index, rest) = (task / (blocks * cuts), task % (blocks * cuts));
            let (first, channel) = (rest / cuts * block, rest % cuts * cut);
            let channels = channel.min(shape.c_out)..(channel + cut).min(shape.c_out);
            vectorised(Block {
                shape,
                image_index,
                x: &x[image_index * image..][..image],
                weight,
                bias,
                pixels: (first * width).min(pixels)..((first + block) * width).min(pixels),
                channels,
                width,
                scratch,
                out,
            });
        });
}

struct Scratch<O: Operand> {
    planes: Vec<O::Number>,
    /// A slice of the inner dimension of all panels: `[panels][depth][width]`.
    right: Aligned<O::Unit>,
    left: Aligned<O::Unit>,
    /// `[channels][panels * width]`
    sums: Aligned,
}

impl<O: Operand> Default for Scratch<O> {
    fn default() -> Self {
        Self {
            planes: Vec::new(),
            right: Aligned::default(),
            left: Aligned::default(),
            sums: Aligned::default(),
        }
    }
}

/// Some pixels of some channels of one image.
struct Block<'a, O: Operand> {
    shape: ConvShape,
    image_index: usize,
    x: &'a [O::Number],
    weight: &'a [O],
    bias: &'a [f32],
    /// Rows [`pitch`](ConvShape::pitch) apart.
    pixels: Range<usize>,
    channels: Range<usize>,
    width: usize,
    scratch: &'a mut Scratch<O>,
    out: Shared<'a, MaybeUninit<O::Number>>,
}

impl<O: Operand> Job for Block<'_, O> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (shape, width, channels) = (self.shape, self.width, self.channels.len());
        let panels = self.pixels.len().div_ceil(width);
        if panels == 0 || channels == 0 {
            return;
        }
        let stride = panels * width;
        let depth = shape.depth() / O::NUMBERS;
        let slice = depth.div_ceil(depth.div_ceil(O::Unit::DEPTH));
        let Scratch {
            planes,
            right,
            left,
            sums,
        } = self.scratch;
        let mut multiplier = <O::Unit as Unit>::Multiplier::default();
        let mut planes = Planes::new(shape, self.pixels.start, stride, planes);
        right.reserve(panels * slice * width);
        left.reserve(CHANNELS * LEFT_STRIDE);
        sums.reserve(channels * stride);
        for from in (0..depth).step_by(slice) {
            let len = slice.min(depth - from);
            planes.fill(self.x, from * O::NUMBERS..(from + len) * O::NUMBERS);
            for line in 0..len {
                let tap = (from + line) * O::NUMBERS;
                let (first, last) = (planes.run(tap), planes.run(tap + O::NUMBERS - 1));
                let runs = first.chunks_exact(width).zip(last.chunks_exact(width));
                let panels = right.chunks_exact_mut(slice * width).take(panels);
                for (panel, (first, last)) in panels.zip(runs) {
                    O::interleave(first, last, &mut panel[line * width..][..width]);
                }
            }
            for group in (0..channels).step_by(CHANNELS) {
                let rows = CHANNELS.min(channels - group);
                let first = self.channels.start + group;
                for (row, left) in left.chunks_exact_mut(LEFT_STRIDE).take(rows).enumerate() {
                    load(&self.weight[(first + row) * depth + from..][..len], left);
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
                        O::Unit::product(&mut multiplier, s, rows, S::TILE.0, p);
                    }
                }
            }
        }
        let [_, row] = shape.output;
        for (sums, channel) in sums.chunks_exact(stride).zip(self.channels) {
            let image = (self.image_index * shape.c_out + channel) * shape.pixels();
            let mut pixel = self.pixels.start;
            while pixel < self.pixels.end {
                let (y, x) = (pixel / shape.pitch(), pixel % shape.pitch());
                let next = self.pixels.end.min((y + 1) * shape.pitch());
                // What the kernel reaches beyond a row is nobody's output.
                if x < row {
                    let run = (next - pixel).min(row - x);
                    // SAFETY: these pixels of this channel belong to this task.
                    let to = unsafe { self.out.part(image + y * row + x, run) };
                    narrow(&sums[pixel - self.pixels.start..][..run], to);
                }
                pixel = next;
            }
        }
    }
}
