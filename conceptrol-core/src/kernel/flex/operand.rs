//! What products multiply: numbers widened to `f32`, or [pairs](super::pairs) of bf16 numbers as they are.

use bytemuck::Pod;

use super::{
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

/// The units of `from` into the beginning of `to`.
#[inline(always)]
pub(crate) fn load<O: Operand>(from: &[O], to: &mut [O::Unit]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.unit();
    }
}

/// What products take: 32 bits.
pub(crate) trait Unit: Pod + Send + Sync {
    /// What multiplies them, for as long as a thread does.
    type Multiplier: Default;
    /// The longest inner dimension of one product: what keeps both operands of a tile in the nearest cache.
    const DEPTH: usize;

    /// Rows that fill every tile.
    fn rows() -> usize;

    /// `a * b + c` for vectors of the bits of units.
    fn multiply_add<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V;

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

    #[inline(always)]
    fn rows() -> usize {
        24
    }
    #[inline(always)]
    fn multiply_add<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
        s.mul_add(a, b, c)
    }

    #[inline(always)]
    fn left<'a>(numbers: &'a [Self], _: usize, _: usize, _: &'a mut [Self]) -> &'a [Self] {
        numbers
    }
    #[inline(always)]
    unsafe fn product<S: Simd>(_: &mut (), s: S, rows: usize, vectors: usize, p: Product<Self>) {
        // SAFETY: the caller's promise.
        unsafe { product(s, rows, vectors, p) }
    }
}
