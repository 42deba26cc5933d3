use std::{marker::PhantomData, mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use crate::cancel::Cancel;

use super::{
    four::Four,
    input::Panel,
    layout::{APART, Layout},
    output::{self, Sums},
    place::Place,
    scheme::Scheme,
    two::Two,
    weights::{self, Operands},
};
use crate::kernel::flex::{
    aligned::{Aligned, with_buffer},
    conv::ConvShape,
    gemm::{Ahead, Gemm, Init, macro_kernel, nr},
    scalar::Scalar,
    shared::Shared,
    simd::{Job, Simd, vectorised},
};

/// Output channels of a task; every tile height divides it.
const CHANNELS: usize = 24;
/// Strips of panels transformed at once, or one for each thread if these are more: bounds the memory.
const STRIPS: usize = 2;
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
    if shape.suits_large_tiles() {
        by_scheme::<Four, E>(shape, x, weight, bias, out);
    } else {
        by_scheme::<Two, E>(shape, x, weight, bias, out);
    }
}

fn by_scheme<W: Scheme, E: Scalar>(
    shape: ConvShape,
    x: &[E],
    weight: &[E],
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<E>],
) {
    let nr = nr();
    let tiles = shape.batch
        * shape
            .output
            .map(|length| length.div_ceil(W::OUT))
            .iter()
            .product::<usize>();
    let panels = tiles.div_ceil(nr);
    let strips = panels.div_ceil(W::PANELS);
    let layout = Layout::of::<W>(shape.c_in, panels.div_ceil(strips.max(1)), nr);
    let at_once = STRIPS.max(rayon::current_num_threads());
    let out = Shared::new(out);
    let cancel = Cancel::current();
    let blocks = shape.c_out.div_ceil(CHANNELS);
    with_buffer(strips.min(at_once) * layout.strip(), |transformed| {
        for start in (0..panels).step_by(at_once * layout.panels) {
            let panels = (at_once * layout.panels).min(panels - start);
            let to = Shared::new(transformed);
            (0..panels).into_par_iter().for_each(|index| {
                let first = (start + index) * nr;
                let (strip, panel) = (index / layout.panels, index % layout.panels);
                vectorised(Panel {
                    scheme: PhantomData::<W>,
                    shape,
                    x,
                    first,
                    tiles: nr.min(tiles - first),
                    layout,
                    to: to.from(strip * layout.strip()),
                    panel,
                });
            });
            let transformed = &*transformed;
            let strips = panels.div_ceil(layout.panels);
            (0..strips * blocks).into_par_iter().for_each_init(
                Scratch::default,
                |scratch, task| {
                    if cancel.is_cancelled() {
                        return;
                    }
                    let (strip, block) = (task / blocks, task % blocks);
                    let first = (start + strip * layout.panels) * nr;
                    vectorised(Block {
                        scheme: PhantomData::<W>,
                        shape,
                        weight,
                        bias,
                        transformed: &transformed[strip * layout.strip()..][..layout.strip()],
                        layout,
                        tiles: first..tiles.min(first + layout.panels * nr),
                        channels: block * CHANNELS..((block + 1) * CHANNELS).min(shape.c_out),
                        scratch,
                        out,
                    });
                },
            );
        }
    });
}

#[derive(Default)]
struct Scratch {
    /// As [`Operands`] lie.
    lhs: Aligned,
    /// `[frequency][CHANNELS][panels * nr]`
    sums: Aligned,
}

/// Some output channels over a strip of panels of tiles.
struct Block<'a, E, W> {
    scheme: PhantomData<W>,
    shape: ConvShape,
    weight: &'a [E],
    bias: Option<&'a [f32]>,
    transformed: &'a [f32],
    layout: Layout,
    /// Of all images.
    tiles: Range<usize>,
    channels: Range<usize>,
    scratch: &'a mut Scratch,
    out: Shared<'a, MaybeUninit<E>>,
}

impl<E: Scalar, W: Scheme> Job for Block<'_, E, W> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, layout, .. } = self;
        let (nr, rows) = (layout.nr, self.channels.len());
        let row = layout.panels * nr;
        let stride = CHANNELS * row + APART;
        let Scratch { lhs, sums } = self.scratch;
        let operands = Operands::new(W::FREQUENCIES, CHANNELS, layout.run);
        lhs.reserve(operands.len());
        sums.reserve(W::FREQUENCIES * stride);
        for from in (0..shape.c_in).step_by(layout.run) {
            let len = layout.run.min(shape.c_in - from);
            let (channels, inputs) = (self.channels.clone(), from..from + len);
            // SAFETY: the operands are those of this task, and there is room for them.
            unsafe {
                weights::transform::<S, E, W>(
                    s,
                    self.weight,
                    shape.c_in,
                    channels,
                    inputs,
                    &operands,
                    lhs,
                );
            }
            for frequency in 0..W::FREQUENCIES {
                let lhs = &lhs[operands.start(frequency)..];
                for (panel, first) in self.tiles.clone().step_by(nr).enumerate() {
                    let tiles = nr.min(self.tiles.end - first);
                    let rhs = &self.transformed[layout.at(from, frequency, panel)..][..len * nr];
                    let sums = &mut sums[frequency * stride + panel * nr..];
                    // SAFETY: `lhs` and `sums` hold `rows <= CHANNELS` rows, `rhs` `len` rows of `nr`.
                    unsafe {
                        let gemm = Gemm {
                            k: len,
                            lhs: lhs.as_ptr(),
                            rhs: rhs.as_ptr(),
                            rhs_stride: nr,
                            out: sums.as_mut_ptr(),
                            out_stride: row,
                            init: if from == 0 { Init::Zero } else { Init::Later },
                            ahead: Ahead::NOTHING,
                        };
                        macro_kernel(s, rows, tiles.div_ceil(S::LANES), gemm);
                    }
                }
            }
        }
        for (panel, first) in self.tiles.clone().step_by(nr).enumerate() {
            let tiles = nr.min(self.tiles.end - first);
            let places = Place::several::<W>(&shape, first, tiles);
            for (index, channel) in self.channels.clone().enumerate() {
                let sums = Sums {
                    sums: &sums[index * row + panel * nr..],
                    stride,
                    places: &places[..tiles],
                    channel,
                    bias: self.bias.map_or(0.0, |bias| bias[channel]),
                };
                // SAFETY: these tiles of this channel belong to this task.
                unsafe { output::transform::<S, E, W>(s, &shape, sums, self.out) };
            }
        }
    }
}
