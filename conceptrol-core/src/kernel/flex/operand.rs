//! What products multiply: numbers widened to `f32`, or pairs of bf16 numbers as they are.

use burn::tensor::bf16;
use bytemuck::{Pod, Zeroable};

use super::{
    amx,
    element::{Number, widen},
    product::product,
    simd::Simd,
    tile::{DEPTH, Product},
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
    /// The longest inner dimension of one product: what keeps both operands of a tile in the nearest cache.
    const DEPTH: usize;
    /// Rows that fill every tile.
    const ROWS: usize;

    /// Adds up `rows` rows times `vectors` vectors of columns.
    ///
    /// Each output is one sum in the order of the inner dimension, whatever the cut: results do not depend on it.
    ///
    /// # Safety
    /// The operands of `p` hold `rows` rows and `vectors * S::LANES` columns.
    unsafe fn product<S: Simd>(s: S, rows: usize, vectors: usize, p: Product<Self>);
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
    const DEPTH: usize = DEPTH;
    const ROWS: usize = 24;

    #[inline(always)]
    unsafe fn product<S: Simd>(s: S, rows: usize, vectors: usize, p: Product<Self>) {
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
    const DEPTH: usize = 128;
    const ROWS: usize = 32;

    #[inline(always)]
    unsafe fn product<S: Simd>(_: S, rows: usize, vectors: usize, p: Product<Self>) {
        // SAFETY: the caller's promise; a pair is proof of the unit.
        unsafe { amx::product(rows, vectors * S::LANES, p) }
    }
}
