use crate::kernel::flex::{
    gemm::LHS_STRIDE,
    simd::{Simd, exp2},
};

/// A score no other is below: its power of two is zero.
pub(crate) const NOTHING: f32 = -1e30;

/// The running softmax of one query row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    /// Largest score so far, in units of `1 / log2(e)`.
    pub(crate) max: f32,
    /// Sum of `2^(score - max)` so far.
    pub(crate) sum: f32,
}

impl Running {
    pub(crate) const START: Self = Self {
        max: f32::NEG_INFINITY,
        sum: 0.0,
    };

    /// Replaces scores, each still to be multiplied by a positive `scale` and `offset` to be added, by weights relative to the new
    /// maximum; gives back the factor that earlier weights must take.
    ///
    /// # Safety
    /// `scores` points to `vectors * S::LANES` numbers.
    #[inline(always)]
    pub(crate) unsafe fn update<S: Simd>(
        &mut self,
        s: S,
        scores: *mut f32,
        vectors: usize,
        scale: f32,
        offset: f32,
    ) -> f32 {
        // SAFETY: `vector` stays below `vectors`.
        unsafe {
            let at = |vector: usize| scores.add(vector * S::LANES);
            // Four vectors at a time do not wait for each other.
            let whole = vectors / 4 * 4;
            let mut largest = [s.splat(f32::NEG_INFINITY); 4];
            for vector in (0..whole).step_by(4) {
                for (next, largest) in largest.iter_mut().enumerate() {
                    *largest = s.max(*largest, s.load(at(vector + next)));
                }
            }
            for vector in whole..vectors {
                largest[0] = s.max(largest[0], s.load(at(vector)));
            }
            let [a, b, c, d] = largest;
            let largest = s.largest(s.max(s.max(a, b), s.max(c, d)));
            let max = self.max.max(largest * scale + offset);
            let factor = if max == self.max {
                1.0
            } else if self.sum == 0.0 {
                0.0 // nothing to take it
            } else {
                (self.max - max).exp2()
            };
            let (scale, shift) = (s.splat(scale), s.splat(offset - max));
            let mut sums = [s.splat(0.0); 4];
            for vector in (0..whole).step_by(4) {
                for (next, sum) in sums.iter_mut().enumerate() {
                    let at = at(vector + next);
                    let weight = exp2(s, s.mul_add(s.load(at), scale, shift));
                    s.store(at, weight);
                    *sum = s.add(*sum, weight);
                }
            }
            for vector in whole..vectors {
                let weight = exp2(s, s.mul_add(s.load(at(vector)), scale, shift));
                s.store(at(vector), weight);
                sums[0] = s.add(sums[0], weight);
            }
            let [a, b, c, d] = sums;
            self.sum = self.sum * factor + s.sum(s.add(s.add(a, b), s.add(c, d)));
            self.max = max;
            factor
        }
    }
}

/// Multiplies a row by a factor.
///
/// # Safety
/// `row` points to `vectors * S::LANES` numbers.
#[inline(always)]
pub(crate) unsafe fn scale<S: Simd>(s: S, row: *mut f32, vectors: usize, factor: f32) {
    let factor = s.splat(factor);
    for vector in 0..vectors {
        // SAFETY: `vector` stays below `vectors`.
        unsafe {
            let at = row.add(vector * S::LANES);
            s.store(at, s.mul(s.load(at), factor));
        }
    }
}

/// Blocks the columns `from..to` of a row of scores.
#[inline(always)]
pub(crate) fn block_columns(scores: &mut [f32], rows: usize, from: usize, to: usize) {
    for row in 0..rows {
        scores[row * LHS_STRIDE + from..row * LHS_STRIDE + to].fill(NOTHING);
    }
}
