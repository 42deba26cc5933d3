//! Weights in fewer bytes than numbers, widened while they are packed.

use std::{marker::PhantomData, ops::Range};

use super::{
    bf16_dot::Bf16x2,
    pack::pack_rhs,
    packed::Stored,
    panels::{Panels, Weight},
};
use crate::kernel::{
    CompactMatrix,
    flex::{
        aligned::Aligned,
        scalar::{Scalar, narrow, room},
        simd::{Job, Simd, vectorised},
    },
};

/// Numbers of a row that are widened at a time: whole blocks of every format, and those of a panel fit into the second cache.
const CHUNK: usize = 256;

/// Panels of a compact matrix as if it had been widened to numbers of `T`, with the same bits.
#[derive(Debug)]
pub(crate) struct Widened<'a, T> {
    matrix: &'a CompactMatrix,
    stored: PhantomData<fn() -> T>,
}

impl<T> Clone for Widened<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Widened<'_, T> {}

impl<'a, T> Widened<'a, T> {
    const fn new(matrix: &'a CompactMatrix) -> Self {
        Self {
            matrix,
            stored: PhantomData,
        }
    }
}

impl<'a, E: Scalar> Weight<E> for &'a CompactMatrix {
    type Single = Widened<'a, E>;
    type Pairs = Widened<'a, Bf16x2>;

    fn single(self) -> Widened<'a, E> {
        Widened::new(self)
    }

    fn pairs(self) -> Widened<'a, Bf16x2> {
        Widened::new(self)
    }
}

/// A chunk of the rows of a panel, [`CHUNK`] apart.
pub(crate) struct Chunk<E> {
    widened: Aligned,
    narrowed: Vec<E>,
}

impl<E> Default for Chunk<E> {
    fn default() -> Self {
        Self {
            widened: Aligned::default(),
            narrowed: Vec::new(),
        }
    }
}

impl<T: Stored> Panels for Widened<'_, T> {
    type Packed = T::Packed;
    type Scratch = Chunk<T::Scalar>;

    fn columns(&self) -> usize {
        self.matrix.shape()[0]
    }

    #[inline(always)]
    fn pack_panel<S: Simd>(
        &self,
        s: S,
        index: usize,
        nr: usize,
        k: Range<usize>,
        to: &mut [T::Packed],
        scratch: &mut Self::Scratch,
    ) {
        let [_, columns] = self.matrix.shape();
        let rows = self.columns_of(index, nr);
        let k = k.start * T::SCALARS..k.end * T::SCALARS;
        let block = self.matrix.format().elements();
        scratch.widened.reserve(nr * CHUNK);
        for chunk in (k.start / CHUNK * CHUNK..k.end).step_by(CHUNK) {
            // What is wanted of the chunk, and the whole blocks it lies in.
            let wanted = k.start.max(chunk)..k.end.min(chunk + CHUNK);
            let end = wanted.end.next_multiple_of(block).min(columns);
            let whole = wanted.start / block * block..end;
            vectorised(Widen {
                matrix: self.matrix,
                rows: rows.clone(),
                columns: whole.clone(),
                into: &mut scratch.widened,
            });
            let part = wanted.start - whole.start..wanted.end - whole.start;
            let numbers = numbers(scratch, rows.len(), part.clone());
            let numbers = numbers.map(bytemuck::cast_slice::<T::Scalar, T>);
            let done = (wanted.start - k.start) / T::SCALARS * nr;
            pack_rhs(s, &mut to[done..], nr, part.len() / T::SCALARS, numbers);
        }
    }
}

/// Part of each row of a chunk, rounded where numbers of `E` are not what is widened to.
#[inline(always)]
fn numbers<E: Scalar>(
    scratch: &mut Chunk<E>,
    rows: usize,
    part: Range<usize>,
) -> impl Iterator<Item = &[E]> {
    let Chunk { widened, narrowed } = scratch;
    let numbers: &[E] = match E::of_f32(widened) {
        Some(numbers) => numbers,
        None => {
            narrowed.resize(widened.len(), E::narrow(0.0));
            let to = narrowed.chunks_exact_mut(CHUNK).take(rows);
            for (from, to) in widened.chunks_exact(CHUNK).zip(to) {
                narrow(&from[part.clone()], room(&mut to[part.clone()]));
            }
            narrowed
        }
    };
    let rows = numbers.chunks_exact(CHUNK).take(rows);
    rows.map(move |row| &row[part.clone()])
}

/// Widens the same columns of some rows.
struct Widen<'a> {
    matrix: &'a CompactMatrix,
    rows: Range<usize>,
    columns: Range<usize>,
    /// Rows [`CHUNK`] apart.
    into: &'a mut [f32],
}

impl Job for Widen<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let len = self.columns.len();
        for (row, into) in self.rows.zip(self.into.chunks_exact_mut(CHUNK)) {
            (self.matrix).decode(row, self.columns.clone(), &mut into[..len]);
        }
    }
}
