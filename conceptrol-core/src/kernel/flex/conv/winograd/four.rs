//! F(4x4, 3x3), interpolation points 0, 5/8, -5/8, 3/2, -3/2: 2.25 products a pixel. With the points usual for it (0, 1, -1, 2, -2) sums
//! would be twice as far off; short runs of sums halve that once more.
//!
//! Points of opposite sign share the even and the odd part of a polynomial.

use super::scheme::{Line, Scheme, Transform};
use crate::kernel::flex::simd::Simd;

/// The points and their squares.
const A: f32 = 0.625;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

#[derive(Clone, Copy, Debug)]
pub(super) struct Four;

impl Scheme for Four {
    const OUT: usize = 4;
    const PANELS: usize = 4;
    type Input = Input;
    type Weight = Weight;
    type Output = Output;

    fn run(channels: usize) -> usize {
        if channels < 256 { 32 } else { 64 }
    }
}

pub(super) struct Input;

impl Transform for Input {
    const FROM: usize = 6;
    const TO: usize = 6;

    #[inline(always)]
    fn line<S: Simd>(s: S, [x0, x1, x2, x3, x4, x5]: Line<S::V>) -> Line<S::V> {
        let (product, minus_sum) = (s.splat(A2 * B2), s.splat(-(A2 + B2)));
        let (minus_a2, minus_b2) = (s.splat(-A2), s.splat(-B2));
        let (even_a, odd_a) = (s.mul_add(x2, minus_b2, x4), s.mul_add(x1, minus_b2, x3));
        let (even_b, odd_b) = (s.mul_add(x2, minus_a2, x4), s.mul_add(x1, minus_a2, x3));
        [
            s.mul_add(x0, product, s.mul_add(x2, minus_sum, x4)),
            s.mul_add(odd_a, s.splat(A), even_a),
            s.mul_add(odd_a, s.splat(-A), even_a),
            s.mul_add(odd_b, s.splat(B), even_b),
            s.mul_add(odd_b, s.splat(-B), even_b),
            s.mul_add(x1, product, s.mul_add(x3, minus_sum, x5)),
        ]
    }
}

pub(super) struct Weight;

impl Transform for Weight {
    const FROM: usize = 3;
    const TO: usize = 6;

    /// Divided by the products of the differences of a point from the others.
    #[inline(always)]
    fn line<S: Simd>(s: S, [x, y, z, ..]: Line<S::V>) -> Line<S::V> {
        let [a, minus_a] = at_points(s, [x, y, z], A, 1.0 / (2.0 * A2 * (A2 - B2)));
        let [b, minus_b] = at_points(s, [x, y, z], B, 1.0 / (2.0 * B2 * (B2 - A2)));
        let zero = s.mul(x, s.splat(1.0 / (A2 * B2)));
        [zero, a, minus_a, b, minus_b, z]
    }
}

/// `factor (x + y point + z point^2)` and the same at the negative of the point.
#[inline(always)]
fn at_points<S: Simd>(s: S, [x, y, z]: [S::V; 3], point: f32, factor: f32) -> [S::V; 2] {
    let square = s.splat(point * point * factor);
    let even = s.mul_add(z, square, s.mul(x, s.splat(factor)));
    let odd = s.mul(y, s.splat(point * factor));
    [s.add(even, odd), s.sub(even, odd)]
}

pub(super) struct Output;

impl Transform for Output {
    const FROM: usize = 6;
    const TO: usize = 4;

    #[inline(always)]
    fn line<S: Simd>(s: S, [zero, a, minus_a, b, minus_b, infinity]: Line<S::V>) -> Line<S::V> {
        let even = [s.add(a, minus_a), s.add(b, minus_b)];
        let odd = [s.sub(a, minus_a), s.sub(b, minus_b)];
        [
            s.add(zero, s.add(even[0], even[1])),
            weighted(s, odd, [A, B]),
            weighted(s, even, [A2, B2]),
            s.add(infinity, weighted(s, odd, [A * A2, B * B2])),
            zero,
            zero,
        ]
    }
}

#[inline(always)]
fn weighted<S: Simd>(s: S, [x, y]: [S::V; 2], [a, b]: [f32; 2]) -> S::V {
    s.mul_add(x, s.splat(a), s.mul(y, s.splat(b)))
}
