use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    scalar::{Scalar, narrow},
    simd::{Job, Simd, vectorised},
};

/// Numbers of a task.
const CHUNK: usize = 1 << 14;
/// Numbers added up before they are rounded.
const BUFFER: usize = 512;

/// `x + y` in the place of `x`.
pub(crate) fn add<E: Scalar>(x: &mut [E], y: &[E]) {
    x.par_chunks_mut(CHUNK)
        .zip(y.par_chunks(CHUNK))
        .for_each(|(x, y)| vectorised(Add { x, y, weight: 1.0 }));
}

/// `x + term * weights` in the place of `x`, rows of `width` numbers; weights start again where they end.
pub(crate) fn add_weighted<E: Scalar>(x: &mut [E], term: &[E], weights: &[f32], width: usize) {
    let rows = (CHUNK / width).max(1);
    x.par_chunks_mut(rows * width)
        .zip(term.par_chunks(rows * width))
        .enumerate()
        .for_each(|(task, (x, term))| {
            let pairs = x.chunks_mut(width).zip(term.chunks(width));
            for (row, (x, y)) in (task * rows..).zip(pairs) {
                let weight = weights[row % weights.len()];
                vectorised(Add { x, y, weight });
            }
        });
}

struct Add<'a, E> {
    x: &'a mut [E],
    y: &'a [E],
    weight: f32,
}

impl<E: Scalar> Job for Add<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let mut sums = [0.0f32; BUFFER];
        for (x, y) in self.x.chunks_mut(BUFFER).zip(self.y.chunks(BUFFER)) {
            for ((sum, x), y) in sums.iter_mut().zip(&*x).zip(y) {
                *sum = x.widen() + y.widen() * self.weight;
            }
            let sums = &sums[..x.len()];
            // SAFETY: a number may be where one is expected that need not be there; `narrow` only writes numbers.
            narrow(sums, unsafe {
                &mut *(std::ptr::from_mut(x) as *mut [MaybeUninit<E>])
            });
        }
    }
}

/// `x + branch * gate` for `[batch, tokens, width]` and `[batch, width]`.
pub(crate) fn add_gated<E: Scalar>(
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

impl<E: Scalar> Job for AddGated<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let terms = self.x.iter().zip(self.branch).zip(self.gate);
        for (to, ((x, branch), gate)) in self.to.iter_mut().zip(terms) {
            to.write(E::narrow(x.widen() + branch.widen() * gate));
        }
    }
}
