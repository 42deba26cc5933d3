use super::scheme::{self, IN, both_axes};
use crate::kernel::flex::{
    gemm::{KC, LHS_STRIDE},
    scalar::Scalar,
    simd::Simd,
};

/// Transforms the 3x3 weights of `rows` output channels from `first`, input channels `from..from + len`, into left operands
/// `[frequency][rows of a block][LHS_STRIDE]`, `block` rows a frequency.
#[inline(always)]
pub(super) fn transform<S: Simd, E: Scalar>(
    s: S,
    weight: &[E],
    c_in: usize,
    rows: std::ops::Range<usize>,
    (from, len): (usize, usize),
    block: usize,
    to: &mut [f32],
) {
    let mut taps = [0.0f32; 9 * KC]; // [tap][input channel]
    for (row, channel) in rows.enumerate() {
        let weight = &weight[(channel * c_in + from) * 9..][..len * 9];
        for (input, kernel) in weight.chunks_exact(9).enumerate() {
            for (tap, x) in kernel.iter().enumerate() {
                taps[tap * KC + input] = x.widen();
            }
        }
        // Whole vectors: what lies beyond `len` is never read.
        for at in (0..len).step_by(S::LANES) {
            // SAFETY: `KC` is a whole number of vectors.
            let load = |tap: usize| unsafe { s.load(taps[tap * KC + at..][..S::LANES].as_ptr()) };
            let store = |position: usize, x| {
                let to = &mut to[(position * block + row) * LHS_STRIDE + at..][..S::LANES];
                // SAFETY: a slice of `LANES` numbers.
                unsafe { s.store(to.as_mut_ptr(), x) };
            };
            both_axes(s, (3, IN), |x| scheme::weight(s, x), load, store);
        }
    }
}
