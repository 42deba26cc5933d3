use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::softmax::{NOTHING, Running, scale};
use crate::kernel::flex::{
    element::{Number, narrow, widen},
    shared::Shared,
    simd::{Job, Simd, vectorised},
};

/// Numbers of a task.
const CHUNK: usize = 1 << 14;
/// Rows are padded to a whole number of vectors of any instruction set.
const LANES: usize = 16;

/// The softmax of each row of `width` numbers.
pub(crate) fn softmax<E: Number>(from: &[E], width: usize, to: &mut [MaybeUninit<E>]) {
    let rows = (CHUNK / width).max(1);
    let out = Shared::new(to);
    from.par_chunks(rows * width).enumerate().for_each_init(
        || vec![0.0; width.next_multiple_of(LANES)],
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

impl<E: Number> Job for Rows<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            from,
            to,
            width,
            row,
        } = self;
        for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
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
