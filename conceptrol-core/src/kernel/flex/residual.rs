use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    scalar::Scalar,
    simd::{Job, Simd, vectorised},
};

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
