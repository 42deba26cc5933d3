use std::ops::Range;

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
#[derive(Clone, Copy, Debug)]
pub(super) struct Operands {
    rows: usize,
    run: usize,
    side_by_side: usize,
}

impl Operands {
    /// For `rows` output and `run` input channels.
    pub(super) fn new(rows: usize, run: usize) -> Self {
        let run = run.next_multiple_of(MOST_LANES); // whole vectors are written
        Self {
            rows,
            run,
            side_by_side: LHS_STRIDE / run,
        }
    }

    /// Numbers of so many frequencies.
    pub(super) fn len(&self, frequencies: usize) -> usize {
        frequencies.div_ceil(self.side_by_side) * self.rows * LHS_STRIDE
    }

    /// Where the operand of a frequency begins.
    #[inline(always)]
    pub(super) fn at(&self, frequency: usize) -> usize {
        let (block, place) = (frequency / self.side_by_side, frequency % self.side_by_side);
        block * self.rows * LHS_STRIDE + place * self.run
    }
}

/// Transforms the 3x3 weights of output channels `rows`, input channels `inputs`, into left operands.
#[inline(always)]
pub(super) fn transform<S: Simd, E: Scalar, W: Scheme>(
    s: S,
    weight: &[E],
    c_in: usize,
    rows: Range<usize>,
    inputs: Range<usize>,
    operands: Operands,
    to: &mut [f32],
) {
    // Whole vectors: what is beyond the inputs is never read.
    let mut numbers = [0.0f32; (CHANNELS + MOST_LANES) * TAPS];
    for (row, channel) in rows.enumerate() {
        let weight = &weight[channel * c_in * TAPS..][..c_in * TAPS];
        widen(
            &weight[inputs.start * TAPS..inputs.end * TAPS],
            &mut numbers,
        );
        for at in (0..inputs.len()).step_by(S::LANES) {
            let taps = numbers[at * TAPS..][..S::LANES * TAPS].as_ptr();
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
                    let operand = operands.at(y * W::IN + x);
                    let to = &mut to[operand + row * LHS_STRIDE + at..][..S::LANES];
                    // SAFETY: a slice of `LANES` numbers.
                    unsafe { s.store(to.as_mut_ptr(), kernel[y][x]) };
                }
            }
        }
    }
}
