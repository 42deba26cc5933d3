//! Products of bf16 numbers in pairs that lie side by side along the inner dimension, by processors that multiply those: with tiles
//! ([`amx`]), or with vectors (AVX512-BF16).
//!
//! A pair takes the place that one number has in `f32`, so operands are laid out alike. Products of two numbers are exact and
//! added up in `f32`.

mod amx;

use std::mem::MaybeUninit;

use burn::tensor::bf16;
use bytemuck::{Pod, Zeroable};

use super::{
    element::{Number, narrow},
    operand::{Operand, Unit},
    product::product,
    simd::{Job, Simd, vectorised_for_pairs, vectors_multiply_pairs},
    tile::{LEFT_STRIDE, Product},
};

/// Whether a product of pairs costs so little that it is no use to have fewer of them.
pub(crate) fn are_cheap() -> bool {
    amx::available()
}

/// Two neighbouring bf16 numbers along the inner dimension. Where one exists, the processor multiplies them: [`pairs`] makes them.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Pair(pub(crate) [bf16; 2]);

/// `numbers` as pairs, if the processor multiplies those and each row of `row` numbers is whole pairs.
pub(crate) fn pairs<E: Number>(numbers: &[E], row: usize) -> Option<&[Pair]> {
    let numbers = E::as_bf16(numbers)?;
    let multiplied = amx::available() || vectors_multiply_pairs();
    (multiplied && row.is_multiple_of(2)).then(|| bytemuck::cast_slice(numbers))
}

impl Pair {
    /// The numbers of pairs, one after the other, as room for others.
    fn numbers_mut(pairs: &mut [Self]) -> &mut [MaybeUninit<bf16>] {
        let numbers = bytemuck::cast_slice_mut::<Self, bf16>(pairs);
        // SAFETY: a number may be where one is expected that need not be there; `narrow` only writes numbers.
        unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<bf16>]) }
    }
}

impl Operand for Pair {
    type Number = bf16;
    const NUMBERS: usize = 2;
    type Unit = Self;

    #[inline(always)]
    fn unit(self) -> Self {
        self
    }
    #[inline(always)]
    fn interleave(first: &[bf16], last: &[bf16], to: &mut [Self]) {
        for ((first, last), to) in first.iter().zip(last).zip(to) {
            *to = Self([*first, *last]);
        }
    }
}

/// What multiplies pairs.
#[derive(Debug)]
pub(crate) enum Multiplier {
    Tiles(amx::Tiles),
    Vectors,
}

impl Default for Multiplier {
    fn default() -> Self {
        if amx::available() {
            Self::Tiles(amx::Tiles::default())
        } else {
            Self::Vectors
        }
    }
}

impl Unit for Pair {
    type Multiplier = Multiplier;
    const DEPTH: usize = 128;

    #[inline(always)]
    fn rows() -> usize {
        if amx::available() { 32 } else { 24 }
    }
    #[inline(always)]
    fn multiply_add<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
        s.dot_pairs(a, b, c)
    }
    #[inline(always)]
    fn left<'a>(numbers: &'a [f32], rows: usize, depth: usize, room: &'a mut [Self]) -> &'a [Self] {
        let rows = numbers.chunks_exact(LEFT_STRIDE).take(rows);
        for (numbers, room) in rows.zip(room.chunks_exact_mut(LEFT_STRIDE)) {
            narrow(numbers, Self::numbers_mut(&mut room[..depth]));
        }
        room
    }
    #[inline(always)]
    unsafe fn product<S: Simd>(
        multiplier: &mut Multiplier,
        _: S,
        rows: usize,
        vectors: usize,
        p: Product<Self>,
    ) {
        match multiplier {
            // SAFETY: the caller's promise; tiles exist where the unit is available.
            Multiplier::Tiles(tiles) => unsafe { tiles.product(rows, vectors * S::LANES, p) },
            Multiplier::Vectors => vectorised_for_pairs(Vectors {
                rows,
                columns: vectors * S::LANES,
                p,
            }),
        }
    }
}

/// A product by vectors.
struct Vectors {
    rows: usize,
    columns: usize,
    p: Product<Pair>,
}

impl Job for Vectors {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: the promise of whoever asked for the product.
        unsafe { product(s, self.rows, self.columns / S::LANES, self.p) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::flex::{aligned::Aligned, simd::vectorised, tile::Start};

    /// Adds products to what is in the output with one multiplier.
    struct Run<'a> {
        multiplier: &'a mut Multiplier,
        rows: usize,
        columns: usize,
        p: Product<Pair>,
    }

    impl Job for Run<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let vectors = self.columns / S::LANES;
            // SAFETY: `check` makes operands of these sizes.
            unsafe { Pair::product(self.multiplier, s, self.rows, vectors, self.p) };
        }
    }

    fn numbers(count: usize, state: &mut u32) -> Vec<Pair> {
        let mut number = || {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bf16::from_f32((*state >> 8) as f32 / (1 << 23) as f32 - 1.0)
        };
        (0..count).map(|_| Pair([number(), number()])).collect()
    }

    /// Every sum against its definition in `f64`, from every start, wherever rows and columns do not fill tiles.
    fn check(multiplier: &mut Multiplier) {
        let state = &mut 1;
        for [rows, columns, depth] in [
            [1, 16, 1],
            [1, 32, 5],
            [7, 16, 33],
            [17, 48, 40],
            [32, 32, 16],
            [33, 32, 19],
            [24, 48, 39],
            [31, 80, 20],
            [96, 160, 128],
        ] {
            let (left, right) = (
                numbers(rows * LEFT_STRIDE, state),
                numbers(depth * columns, state),
            );
            let by_row: Vec<f32> = (0..rows).map(|row| row as f32).collect();
            let by_column: Vec<f32> = (0..columns).map(|column| column as f32).collect();
            let starts = [
                Start::Zero,
                Start::Output,
                Start::Rows(by_row.as_ptr()),
                Start::Columns(by_column.as_ptr()),
            ];
            for (index, start) in starts.into_iter().enumerate() {
                let mut out = Aligned::zeros(rows * columns);
                out.fill(7.0);
                let p = Product {
                    depth,
                    left: left.as_ptr(),
                    right: right.as_ptr(),
                    right_stride: columns,
                    out: out.as_mut_ptr(),
                    out_stride: columns,
                    start,
                };
                vectorised(Run {
                    multiplier,
                    rows,
                    columns,
                    p,
                });
                for (at, got) in out.iter().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    let start = [0.0, 7.0, row as f64, column as f64][index];
                    let terms = (0..2 * depth).map(|k| {
                        let left = left[row * LEFT_STRIDE + k / 2].0[k % 2].to_f64();
                        left * right[k / 2 * columns + column].0[k % 2].to_f64()
                    });
                    let expected = start + terms.clone().sum::<f64>();
                    // Products are exact; a sum rounds once a term.
                    let size = start + terms.map(f64::abs).sum::<f64>();
                    let bound = size * (2 * depth) as f64 * f64::from(f32::EPSILON) / 2.0;
                    assert!(
                        (f64::from(*got) - expected).abs() <= bound,
                        "{rows}x{columns}x{depth}, start {index}, row {row}, column {column}: {got} instead of {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn tiles_agree_with_the_definition() {
        if amx::available() {
            check(&mut Multiplier::default());
        }
    }

    #[test]
    fn vectors_agree_with_the_definition() {
        check(&mut Multiplier::Vectors);
    }
}
