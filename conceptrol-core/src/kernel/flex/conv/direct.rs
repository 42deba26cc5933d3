use std::{mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use crate::cancel::Cancel;

use super::{ConvShape, planes::Planes};
use crate::kernel::flex::{
    aligned::Aligned,
    gemm::{Ahead, Gemm, Init, LHS_STRIDE, Packed, Stored, nr, pack_lhs_row},
    scalar::narrow,
    shared::Shared,
    simd::{Job, Simd, vectorised},
};

/// Output channels whose weights are in the cache at once. Every tile height divides it.
const CHANNELS: usize = 96;
/// Panels of output pixels of a task.
const PANELS: usize = 8;
/// Tasks of a thread, at least.
const TASKS: usize = 4;

/// `weight * x + bias` into `out`, a contiguous `[batch, c_out, height, width]`.
pub(crate) fn direct<T: Stored>(
    shape: ConvShape,
    x: &[T::Scalar],
    weight: &[T],
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<T::Scalar>],
) {
    let shape = shape.flattened();
    let nr = nr();
    let pixels = shape.output[0] * shape.pitch();
    let panels = pixels.div_ceil(nr);
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
    let cancel = Cancel::current();
    (0..shape.batch * blocks * cuts)
        .into_par_iter()
        .for_each_init(Scratch::<T>::default, |scratch, task| {
            if cancel.is_cancelled() {
                return;
            }
            let (image_index, rest) = (task / (blocks * cuts), task % (blocks * cuts));
            let (first, channel) = (rest / cuts * block, rest % cuts * cut);
            let channels = channel.min(shape.c_out)..(channel + cut).min(shape.c_out);
            vectorised(Block {
                shape,
                image_index,
                x: &x[image_index * image..][..image],
                weight,
                bias,
                pixels: (first * nr).min(pixels)..((first + block) * nr).min(pixels),
                channels,
                nr,
                scratch,
                out,
            });
        });
}

struct Scratch<T: Stored> {
    planes: Vec<T::Scalar>,
    /// A slice of the inner dimension of all panels: `[panels][k][nr]`.
    rhs: Aligned<T::Packed>,
    /// `[CHANNELS][LHS_STRIDE]`
    lhs: Aligned<T::Packed>,
    /// `[channels][panels * nr]`
    sums: Aligned,
}

impl<T: Stored> Default for Scratch<T> {
    fn default() -> Self {
        Self {
            planes: Vec::new(),
            rhs: Aligned::default(),
            lhs: Aligned::default(),
            sums: Aligned::default(),
        }
    }
}

/// Some pixels of some channels of one image.
struct Block<'a, T: Stored> {
    shape: ConvShape,
    image_index: usize,
    x: &'a [T::Scalar],
    weight: &'a [T],
    bias: &'a [f32],
    /// Rows [`pitch`](ConvShape::pitch) apart.
    pixels: Range<usize>,
    channels: Range<usize>,
    nr: usize,
    scratch: &'a mut Scratch<T>,
    out: Shared<'a, MaybeUninit<T::Scalar>>,
}

impl<T: Stored> Job for Block<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (shape, nr, channels) = (self.shape, self.nr, self.channels.len());
        let panels = self.pixels.len().div_ceil(nr);
        if panels == 0 || channels == 0 {
            return;
        }
        let stride = panels * nr;
        let depth = shape.depth() / T::SCALARS;
        let slice = depth.div_ceil(depth.div_ceil(T::Packed::KC));
        let Scratch {
            planes,
            rhs,
            lhs,
            sums,
        } = self.scratch;
        let mut kernel = <T::Packed as Packed>::Kernel::default();
        let mut planes = Planes::new(shape, self.pixels.start, stride, planes);
        rhs.reserve(panels * slice * nr);
        lhs.reserve(CHANNELS * LHS_STRIDE);
        sums.reserve(channels * stride);
        for from in (0..depth).step_by(slice) {
            let len = slice.min(depth - from);
            planes.fill(self.x, from * T::SCALARS..(from + len) * T::SCALARS);
            for line in 0..len {
                let tap = (from + line) * T::SCALARS;
                let (first, last) = (planes.run(tap), planes.run(tap + T::SCALARS - 1));
                let runs = first.chunks_exact(nr).zip(last.chunks_exact(nr));
                let panels = rhs.chunks_exact_mut(slice * nr).take(panels);
                for (panel, (first, last)) in panels.zip(runs) {
                    T::interleave(first, last, &mut panel[line * nr..][..nr]);
                }
            }
            for group in (0..channels).step_by(CHANNELS) {
                let rows = CHANNELS.min(channels - group);
                let first = self.channels.start + group;
                for (row, lhs) in lhs.chunks_exact_mut(LHS_STRIDE).take(rows).enumerate() {
                    pack_lhs_row(&self.weight[(first + row) * depth + from..][..len], lhs);
                }
                for (panel, rhs) in rhs.chunks_exact(slice * nr).take(panels).enumerate() {
                    let bias = &self.bias[first..first + rows];
                    // SAFETY: `lhs` holds `rows <= CHANNELS` rows, `rhs` `len` rows of `nr`, `sums` the rows of all channels,
                    // `stride` apart.
                    unsafe {
                        let gemm = Gemm {
                            k: len,
                            lhs: lhs.as_ptr(),
                            rhs: rhs.as_ptr(),
                            rhs_stride: nr,
                            out: sums.as_mut_ptr().add(group * stride + panel * nr),
                            out_stride: stride,
                            init: if from == 0 {
                                Init::RowBias(bias.as_ptr())
                            } else {
                                Init::Out
                            },
                            ahead: Ahead::NOTHING,
                        };
                        T::Packed::macro_kernel(&mut kernel, s, rows, S::NR_VECTORS, gemm);
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
