use crate::kernel::flex::{
    simd::{Simd, exp2},
    tile::LEFT_STRIDE,
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

    /// Replaces scores, to which `offset` is still to be added, by weights relative to the new maximum; gives back the factor that
    /// earlier weights must take.
    ///
    /// # Safety
    /// `scores` points to `vectors * S::LANES` numbers.
    #[inline(always)]
    pub(crate) unsafe fn update<S: Simd>(
        &mut self,
        s: S,
        scores: *mut f32,
        vectors: usize,
        offset: f32,
    ) -> f32 {
        // SAFETY: `vector` stays below `vectors`.
        unsafe {
            let at = |vector: usize| scores.add(vector * S::LANES);
            let mut largest = [s.splat(f32::NEG_INFINITY); 2];
            for vector in 0..vectors {
                largest[vector % 2] = s.max(largest[vector % 2], s.load(at(vector)));
            }
            let largest = s.largest(s.max(largest[0], largest[1]));
            let max = self.max.max(largest + offset);
            let factor = (self.max - max).exp2();
            let shift = s.splat(max - offset);
            let mut sums = [s.splat(0.0); 2];
            for vector in 0..vectors {
                let weight = exp2(s, s.sub(s.load(at(vector)), shift));
                s.store(at(vector), weight);
                sums[vector % 2] = s.add(sums[vector % 2], weight);
            }
            self.sum = self.sum * factor + s.sum(s.add(sums[0], sums[1]));
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
        scores[row * LEFT_STRIDE + from..row * LEFT_STRIDE + to].fill(NOTHING);
    }
}
