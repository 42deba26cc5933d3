//! The scheme F(2x2, 3x3), interpolation points 0, 1, -1: 16 products for 4 pixels instead of 36. The transforms of image and
//! output are sums of numbers as they are, so it is as accurate as adding up the nine products; F(4x4, 3x3) would save
//! more products and lose three bits.

use crate::kernel::flex::simd::Simd;

/// Outputs of a tile, a side.
pub(super) const OUT: usize = 2;
/// Inputs of a tile, a side.
pub(super) const IN: usize = OUT + 2;
/// Transformed numbers of a tile.
pub(super) const FREQUENCIES: usize = IN * IN;

/// The one-dimensional transform of a line of the image.
#[inline(always)]
pub(super) fn input<S: Simd>(s: S, [a, b, c, d]: [S::V; IN]) -> [S::V; IN] {
    [s.sub(a, c), s.add(b, c), s.sub(c, b), s.sub(b, d)]
}

/// The one-dimensional transform of three weights; the fourth is not there.
#[inline(always)]
pub(super) fn weight<S: Simd>(s: S, [a, b, c, _]: [S::V; IN]) -> [S::V; IN] {
    let half = s.splat(0.5);
    let (ends, middle) = (s.mul(s.add(a, c), half), s.mul(b, half));
    [a, s.add(ends, middle), s.sub(ends, middle), c]
}

/// The one-dimensional transform to two outputs; the last two are not used.
#[inline(always)]
pub(super) fn output<S: Simd>(s: S, [a, b, c, d]: [S::V; IN]) -> [S::V; IN] {
    [s.add(a, s.add(b, c)), s.sub(s.sub(b, c), d), c, d]
}

/// `transform` along both axes of a square of `from` vectors a side; the result is `to` a side. Positions are `row * side +
/// column`.
#[inline(always)]
pub(super) fn both_axes<S: Simd>(
    s: S,
    (from, to): (usize, usize),
    transform: impl Fn([S::V; IN]) -> [S::V; IN],
    load: impl Fn(usize) -> S::V,
    mut store: impl FnMut(usize, S::V),
) {
    let mut half = [[s.splat(0.0); IN]; IN]; // [transformed row][column]
    for column in 0..from {
        let mut line = [s.splat(0.0); IN];
        for (row, x) in line.iter_mut().enumerate().take(from) {
            *x = load(row * from + column);
        }
        for (half, x) in half.iter_mut().zip(transform(line)) {
            half[column] = x;
        }
    }
    for (row, half) in half.into_iter().enumerate().take(to) {
        for (column, x) in transform(half).into_iter().enumerate().take(to) {
            store(row * to + column, x);
        }
    }
}
