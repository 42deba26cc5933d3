//! F(2x2, 3x3), interpolation points 0, 1, -1: 4 products a pixel instead of 9. The transforms of image and output are sums of numbers as
//! they are.

use super::{
    scheme::{Line, Scheme, Transform},
    weights::CHANNELS,
};
use crate::kernel::flex::simd::Simd;

#[derive(Clone, Copy, Debug)]
pub(super) struct Two;

impl Scheme for Two {
    const OUT: usize = 2;
    const PANELS: usize = 8;
    type Input = Input;
    type Weight = Weight;
    type Output = Output;

    fn run(_: usize) -> usize {
        CHANNELS
    }
}

pub(super) struct Input;

impl Transform for Input {
    const FROM: usize = 4;
    const TO: usize = 4;

    #[inline(always)]
    fn line<S: Simd>(s: S, [a, b, c, d, ..]: Line<S::V>) -> Line<S::V> {
        [s.sub(a, c), s.add(b, c), s.sub(c, b), s.sub(b, d), a, a]
    }
}

pub(super) struct Weight;

impl Transform for Weight {
    const FROM: usize = 3;
    const TO: usize = 4;

    #[inline(always)]
    fn line<S: Simd>(s: S, [a, b, c, ..]: Line<S::V>) -> Line<S::V> {
        let half = s.splat(0.5);
        let (ends, middle) = (s.mul(s.add(a, c), half), s.mul(b, half));
        [a, s.add(ends, middle), s.sub(ends, middle), c, a, a]
    }
}

pub(super) struct Output;

impl Transform for Output {
    const FROM: usize = 4;
    const TO: usize = 2;

    #[inline(always)]
    fn line<S: Simd>(s: S, [a, b, c, d, ..]: Line<S::V>) -> Line<S::V> {
        [s.add(a, s.add(b, c)), s.sub(s.sub(b, c), d), a, a, a, a]
    }
}
