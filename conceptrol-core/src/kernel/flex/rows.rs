//! A row of numbers with the row of every token: rotations by position, gated residuals.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    element::Number,
    simd::{Job, Simd, vectorised},
};

/// Rotates the pairs of channels of `[batch, tokens, heads, dim]` by the angles of `[tokens, dim]`.
pub(crate) fn rotary<E: Number>(
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

impl<E: Number> Job for Rotate<'_, E> {
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

/// `x + branch * gate` for `[batch, tokens, width]` and `[batch, width]`.
pub(crate) fn add_gated<E: Number>(
    x: &[E],
    branch: &[E],
    gate: &[f32],
    [_, tokens, width]: [usize; 3],
    to: &mut [MaybeUninit<E>],
) {
    to.par_chunks_exact_mut(width.max(1))
        .enumerate()
        .for_each(|(token, to)| {
            let at = token * width;
            vectorised(AddGated {
                x: &x[at..][..width],
                branch: &branch[at..][..width],
                gate: &gate[token / tokens * width..][..width],
                to,
            });
        });
}

/// One token.
struct AddGated<'a, E> {
    x: &'a [E],
    branch: &'a [E],
    gate: &'a [f32],
    to: &'a mut [MaybeUninit<E>],
}

impl<E: Number> Job for AddGated<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let terms = self.x.iter().zip(self.branch).zip(self.gate);
        for (to, ((x, branch), gate)) in self.to.iter_mut().zip(terms) {
            to.write(E::narrow(x.widen() + branch.widen() * gate));
        }
    }
}
