use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    scalar::Scalar,
    simd::{Job, Simd, vectorised},
};

/// Rotates the pairs of channels of `[batch, tokens, heads, dim]` by the angles of `[tokens, dim]`.
pub(crate) fn rotate<E: Scalar>(
    from: &[E],
    cos: &[f32],
    sin: &[f32],
    [_, tokens, heads, dim]: [usize; 4],
    to: &mut [MaybeUninit<E>],
) {
    let row = heads * dim;
    to.par_chunks_exact_mut(row.max(1))
        .enumerate()
        .for_each(|(token, to)| {
            let angles = token % tokens * dim;
            vectorised(Rotate {
                from: &from[token * row..][..row],
                cos: &cos[angles..][..dim],
                sin: &sin[angles..][..dim],
                to,
            });
        });
}

/// All heads of one token.
struct Rotate<'a, E> {
    from: &'a [E],
    cos: &'a [f32],
    sin: &'a [f32],
    to: &'a mut [MaybeUninit<E>],
}

impl<E: Scalar> Job for Rotate<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let dim = self.cos.len();
        let heads = self
            .from
            .chunks_exact(dim)
            .zip(self.to.chunks_exact_mut(dim));
        for (from, to) in heads {
            let angles = self.cos.chunks_exact(2).zip(self.sin.chunks_exact(2));
            let pairs = from.chunks_exact(2).zip(to.chunks_exact_mut(2));
            for ((from, to), (cos, sin)) in pairs.zip(angles) {
                let (a, b) = (from[0].widen(), from[1].widen());
                to[0].write(E::narrow(a * cos[0] - b * sin[0]));
                to[1].write(E::narrow(b * cos[1] + a * sin[1]));
            }
        }
    }
}
