use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    aligned::Aligned,
    attention::{NOTHING, Running, scale},
    scalar::{Scalar, narrow, widen},
    shared::Shared,
    simd::{Job, Simd, vectorised},
};

/// Numbers of a task.
const CHUNK: usize = 1 << 14;
/// Rows are padded to a whole number of vectors of any instruction set.
const LANES: usize = 16;

/// The softmax of each row of `width` numbers.
pub(crate) fn softmax_rows<E: Scalar>(from: &[E], width: usize, to: &mut [MaybeUninit<E>]) {
    let rows = (CHUNK / width).max(1);
    let out = Shared::new(to);
    from.par_chunks(rows * width).enumerate().for_each_init(
        || Aligned::zeros(width.next_multiple_of(LANES)),
        |row, (task, from)| {
            // SAFETY: each task has its own rows.
            let to = unsafe { out.part(task * rows * width, from.len()) };
            vectorised(Rows {
                from,
                to,
                width,
                row,
            });
        },
    );
}

struct Rows<'a, E> {
    from: &'a [E],
    to: &'a mut [MaybeUninit<E>],
    width: usize,
    row: &'a mut [f32],
}

impl<E: Scalar> Job for Rows<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            from,
            to,
            width,
            row,
        } = self;
        for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
            if let (Some(from), Some(to)) = (E::as_f32(from), E::as_f32_mut(to))
                && width >= S::LANES
            {
                in_vectors(s, from, to, row);
                continue;
            }
            widen(from, row);
            row[width..].fill(NOTHING);
            let mut running = Running::START;
            let vectors = row.len() / S::LANES;
            // SAFETY: `row` is a whole number of vectors.
            unsafe {
                running.update(s, row.as_mut_ptr(), vectors, std::f32::consts::LOG2_E, 0.0);
                scale(s, row.as_mut_ptr(), vectors, 1.0 / running.sum);
            }
            narrow(row, to);
        }
    }
}

/// The softmax of a row of at least one vector, read and written in vectors only: a vector that was just written in pieces would have to
/// be waited for.
#[inline(always)]
fn in_vectors<S: Simd>(s: S, from: &[f32], to: &mut [MaybeUninit<f32>], row: &mut [f32]) {
    const POSITIONS: [f32; LANES] = [
        0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
    ];
    let (width, rest) = (from.len(), from.len() % S::LANES);
    let (whole, last) = (width - rest, width - S::LANES);
    let (from, to, row) = (
        from.as_ptr(),
        to.as_mut_ptr().cast::<f32>(),
        row.as_mut_ptr(),
    );
    // SAFETY: `from` and `to` are at least a vector long, `row` as many whole vectors as hold `width`.
    unsafe {
        for at in (0..whole).step_by(S::LANES) {
            s.store(row.add(at), s.load(from.add(at)));
        }
        if rest > 0 {
            // The last vector overlaps the one before; what that has counts for nothing here.
            let (position, before) = (
                s.load(POSITIONS.as_ptr()),
                s.splat((S::LANES - rest) as f32),
            );
            let rest = s.select_less(position, before, s.splat(NOTHING), s.load(from.add(last)));
            s.store(row.add(whole), rest);
        }
        let mut running = Running::START;
        let vectors = width.div_ceil(S::LANES);
        running.update(s, row, vectors, std::f32::consts::LOG2_E, 0.0);
        let factor = s.splat(1.0 / running.sum);
        if rest > 0 {
            s.store(to.add(last), s.mul(s.load(row.add(whole)), factor));
        }
        for at in (0..whole).step_by(S::LANES) {
            s.store(to.add(at), s.mul(s.load(row.add(at)), factor));
        }
    }
}
