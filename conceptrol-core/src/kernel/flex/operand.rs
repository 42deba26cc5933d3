//! What products multiply: numbers widened to `f32`, or pairs of bf16 numbers as they are.

use burn::tensor::bf16;
use std::mem::MaybeUninit;

use bytemuck::{Pod, Zeroable};

use super::{
    amx,
    element::{Number, narrow, widen},
    product::product,
    simd::Simd,
    tile::{DEPTH, LEFT_STRIDE, Product},
};

/// Neighbouring numbers along the inner dimension, as tensors store them.
pub(crate) trait Operand: Pod + Send + Sync {
    type Number: Number;
    /// How many of them: one or two.
    const NUMBERS: usize;
    /// What products take for them.
    type Unit: Unit;

    fn unit(self) -> Self::Unit;

    /// The units whose first and last numbers are these.
    fn interleave(first: &[Self::Number], last: &[Self::Number], to: &mut [Self::Unit]);
}

/// What products take: 32 bits.
pub(crate) trait Unit: Pod + Send + Sync {
    /// What multiplies them, for as long as a thread does.
    type Multiplier: Default;
    /// The longest inner dimension of one product: what keeps both operands of a tile in the nearest cache.
    const DEPTH: usize;
    /// Rows that fill every tile.
    const ROWS: usize;

    /// The left operand of `rows` rows of numbers in `f32`, [`LEFT_STRIDE`] apart: `depth` units of each.
    ///
    /// They are put into `room` where they are not units themselves.
    fn left<'a>(numbers: &'a [f32], rows: usize, depth: usize, room: &'a mut [Self]) -> &'a [Self];

    /// Adds up `rows` rows times `vectors` vectors of columns.
    ///
    /// Each output is one sum in the order of the inner dimension, whatever the cut: results do not depend on it.
    ///
    /// # Safety
    /// The operands of `p` hold `rows` rows, `vectors * S::LANES` columns and a depth of at least one.
    unsafe fn product<S: Simd>(
        multiplier: &mut Self::Multiplier,
        s: S,
        rows: usize,
        vectors: usize,
        p: Product<Self>,
    );
}

impl<E: Number> Operand for E {
    type Number = E;
    const NUMBERS: usize = 1;
    type Unit = f32;

    #[inline(always)]
    fn unit(self) -> f32 {
        self.widen()
    }
    #[inline(always)]
    fn interleave(numbers: &[E], _: &[E], to: &mut [f32]) {
        widen(numbers, to);
    }
}

impl Unit for f32 {
    type Multiplier = ();
    const DEPTH: usize = DEPTH;
    const ROWS: usize = 24;

    #[inline(always)]
    fn left<'a>(numbers: &'a [f32], _: usize, _: usize, _: &'a mut [f32]) -> &'a [f32] {
        numbers
    }

    #[inline(always)]
    unsafe fn product<S: Simd>(_: &mut (), s: S, rows: usize, vectors: usize, p: Product<f32>) {
        // SAFETY: the caller's promise.
        unsafe { product(s, rows, vectors, p) }
    }
}

/// Two bf16 numbers for [`amx`]. Where one exists, the processor has it: [`pairs`] makes them.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Pair(pub(crate) [bf16; 2]);

/// `numbers` as pairs, if the processor multiplies those and each row of `row` numbers is whole pairs.
pub(crate) fn pairs<E: Number>(numbers: &[E], row: usize) -> Option<&[Pair]> {
    let numbers = E::as_bf16(numbers)?;
    (row.is_multiple_of(2) && amx::available()).then(|| bytemuck::cast_slice(numbers))
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

impl Unit for Pair {
    type Multiplier = amx::Tiles;
    const DEPTH: usize = 128;
    const ROWS: usize = 32;

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
        tiles: &mut amx::Tiles,
        _: S,
        rows: usize,
        vectors: usize,
        p: Product<Self>,
    ) {
        // SAFETY: the caller's promise; a pair is proof of the unit.
        unsafe { tiles.product(rows, vectors * S::LANES, p) }
    }
}
