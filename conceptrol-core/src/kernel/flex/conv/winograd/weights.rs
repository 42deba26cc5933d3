use std::{array::from_fn, ops::Range};

use super::scheme::{MOST, Scheme, Transform};
use crate::kernel::flex::{
    gemm::LHS_STRIDE,
    scalar::{Scalar, widen},
    simd::Simd,
};

/// Input channels transformed at once, at most.
pub(super) const CHANNELS: usize = 256;
/// Numbers of a kernel.
const TAPS: usize = 9;
/// Lanes of the widest vector.
const MOST_LANES: usize = 16;

/// How left operands of all frequencies lie: as many side by side in rows [`LHS_STRIDE`] long as fit, in blocks of so many rows.
#[derive(Debug)]
pub(super) struct Operands {
    /// Where the operand of each frequency begins.
    starts: [usize; MOST * MOST],
    /// Numbers of all operands.
    len: usize,
}

impl Operands {
    /// For `frequencies` products of `rows` output and `run` input channels.
    pub(super) fn new(frequencies: usize, rows: usize, run: usize) -> Self {
        let run = run.next_multiple_of(MOST_LANES); // whole vectors are written
        let (side_by_side, block) = (LHS_STRIDE / run, rows * LHS_STRIDE);
        Self {
            starts: from_fn(|frequency| {
                frequency / side_by_side * block + frequency % side_by_side * run
            }),
            len: frequencies.div_ceil(side_by_side) * block,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(super) fn start(&self, frequency: usize) -> usize {
        self.starts[frequency]
    }
}

/// Transforms the 3x3 weights of output channels `rows`, input channels `inputs`, into left operands.
///
/// # Safety
/// `operands` were made for at least as many rows and inputs and the frequencies of the scheme; `to` is as long as they say.
#[inline(always)]
pub(super) unsafe fn transform<S: Simd, E: Scalar, W: Scheme>(
    s: S,
    weight: &[E],
    c_in: usize,
    rows: Range<usize>,
    inputs: Range<usize>,
    operands: &Operands,
    to: &mut [f32],
) {
    // Whole vectors: what is beyond the inputs is never read.
    let mut numbers = [0.0f32; (CHANNELS + MOST_LANES) * TAPS];
    for (row, channel) in rows.enumerate() {
        let weight = &weight[channel * c_in * TAPS..][inputs.start * TAPS..inputs.end * TAPS];
        let weight = match E::as_f32(weight) {
            Some(weight) if inputs.len().is_multiple_of(S::LANES) => weight,
            _ => {
                widen(weight, &mut numbers);
                &numbers
            }
        };
        for at in (0..inputs.len()).step_by(S::LANES) {
            let taps = weight[at * TAPS..][..S::LANES * TAPS].as_ptr();
            // SAFETY: nine taps of `LANES` channels.
            let [[a, b, c, d], [e, f, g, h], [.., i]] = unsafe {
                [
                    s.columns(taps, TAPS),
                    s.columns(taps.add(4), TAPS),
                    s.columns(taps.add(5), TAPS),
                ]
            };
            let mut kernel = [[a; MOST]; MOST];
            kernel[0] = [a, b, c, a, a, a];
            kernel[1] = [d, e, f, a, a, a];
            kernel[2] = [g, h, i, a, a, a];
            W::Weight::square(s, &mut kernel);
            for y in 0..W::IN {
                for x in 0..W::IN {
                    let start = operands.start(y * W::IN + x);
                    // SAFETY: the caller's promise; rows of operands are whole vectors.
                    unsafe {
                        s.store(
                            to.as_mut_ptr().add(start + row * LHS_STRIDE + at),
                            kernel[y][x],
                        )
                    };
                }
            }
        }
    }
}
