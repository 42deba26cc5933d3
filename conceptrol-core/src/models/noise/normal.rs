//! Box-Muller as torch's CPU kernels do it: element by element below 16 elements, in blocks of 16 from there on.

use std::f64::consts::PI;

use half::{bf16, f16};

use crate::mt19937::Mt19937;

/// Elements of one block: eight radii, then eight angles.
pub(super) const BLOCK: usize = 16;

/// A float type torch draws normal numbers in; the arithmetic is rounded to it after every operation.
pub(super) trait Draw: Copy {
    /// A full turn, as the kernel of this type has it.
    const TURN: f64 = 2.0 * PI;
    /// A uniform number in [0, 1) with as many random bits as the type has significant ones.
    fn uniform(engine: &mut Mt19937) -> Self;
    fn round(x: f64) -> Self;
    fn widen(self) -> f64;
}

impl Draw for f64 {
    fn uniform(engine: &mut Mt19937) -> Self {
        (engine.next_u64() & ((1 << Self::MANTISSA_DIGITS) - 1)) as Self / 2.0_f64.powi(53)
    }
    fn round(x: f64) -> Self {
        x
    }
    fn widen(self) -> f64 {
        self
    }
}

/// The types narrower than `f64`. torch evaluates half-precision functions in f32 and rounds the result, hence the detour.
macro_rules! narrow {
    ($type:ty, $turn:expr, $from:expr, $into:expr) => {
        impl Draw for $type {
            const TURN: f64 = $turn;
            fn uniform(engine: &mut Mt19937) -> Self {
                let steps = 1u32 << <$type>::MANTISSA_DIGITS;
                $from((engine.next_u32() & (steps - 1)) as f32 / steps as f32)
            }
            fn round(x: f64) -> Self {
                $from(x as f32)
            }
            fn widen(self) -> f64 {
                f64::from($into(self))
            }
        }
    };
}

// Only the vectorised f32 kernel rounds the constant itself.
narrow!(
    f32,
    std::f32::consts::TAU as f64,
    std::convert::identity,
    std::convert::identity
);
narrow!(f16, 2.0 * PI, f16::from_f32, f16::to_f32);
narrow!(bf16, 2.0 * PI, bf16::from_f32, bf16::to_f32);

/// One normal number and the spare of its pair, in double precision.
pub(super) fn pair(engine: &mut Mt19937) -> (f64, f64) {
    let (u1, u2) = (f64::uniform(engine), f64::uniform(engine));
    let radius = (-2.0 * (-u2).ln_1p()).sqrt();
    let theta = 2.0 * PI * u1;
    (radius * theta.cos(), radius * theta.sin())
}

/// Fills a slice of at least [`BLOCK`] elements. A tail that is no whole block is drawn anew together with the
/// elements before it, so the last 16 elements always come from 16 fresh uniforms.
pub(super) fn fill<T: Draw>(engine: &mut Mt19937, out: &mut [T]) {
    draw_uniform(engine, out);
    for block in out.chunks_exact_mut(BLOCK) {
        transform(block);
    }
    if !out.len().is_multiple_of(BLOCK) {
        let start = out.len() - BLOCK;
        let last = &mut out[start..];
        draw_uniform(engine, last);
        transform(last);
    }
}

fn draw_uniform<T: Draw>(engine: &mut Mt19937, out: &mut [T]) {
    out.fill_with(|| T::uniform(engine));
}

fn transform<T: Draw>(block: &mut [T]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (a, b) in radii.iter_mut().zip(angles) {
        let u1 = T::round(1.0 - a.widen());
        let log = T::round(u1.widen().ln());
        let radius = T::round(T::round(-2.0 * log.widen()).widen().sqrt());
        let theta = T::round(T::TURN * b.widen());
        let (cos, sin) = (T::round(theta.widen().cos()), T::round(theta.widen().sin()));
        *a = T::round(radius.widen() * cos.widen());
        *b = T::round(radius.widen() * sin.widen());
    }
}
