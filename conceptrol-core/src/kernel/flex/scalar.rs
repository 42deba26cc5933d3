use std::mem::MaybeUninit;

use burn::tensor::{bf16, f16};

use crate::kernel::compact::floats;

/// A number as tensors store it; kernels compute in `f32`.
pub(crate) trait Scalar: burn::tensor::Element + bytemuck::Pod + Send + Sync {
    /// Whether these are the numbers kernels compute in.
    const IS_F32: bool = false;
    /// Widens, exactly.
    fn widen(self) -> f32;
    /// Rounds to nearest.
    fn narrow(x: f32) -> Self;
    /// The numbers themselves, where they need no widening.
    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }
    /// Numbers that are widened already, where these are such.
    fn of_f32(_: &[f32]) -> Option<&[Self]> {
        None
    }
    /// The numbers themselves, where they are bf16.
    fn as_bf16(_: &[Self]) -> Option<&[bf16]> {
        None
    }
    /// The room for numbers, where they need no narrowing.
    fn as_f32_mut(_: &mut [MaybeUninit<Self>]) -> Option<&mut [MaybeUninit<f32>]> {
        None
    }
    /// The room for numbers, where they are bf16.
    fn as_bf16_mut(_: &mut [MaybeUninit<Self>]) -> Option<&mut [MaybeUninit<bf16>]> {
        None
    }
}

impl Scalar for f32 {
    const IS_F32: bool = true;
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        x
    }
    #[inline(always)]
    fn as_f32(numbers: &[Self]) -> Option<&[f32]> {
        Some(numbers)
    }
    #[inline(always)]
    fn of_f32(numbers: &[f32]) -> Option<&[Self]> {
        Some(numbers)
    }
    #[inline(always)]
    fn as_f32_mut(room: &mut [MaybeUninit<Self>]) -> Option<&mut [MaybeUninit<f32>]> {
        Some(room)
    }
}

// The conversions of `half` ask what the processor can do for each number; these become vector instructions in loops.

impl Scalar for f16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        floats::f16(self.to_bits())
    }
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        const HALF: u32 = 0x3f00_0000; // 0.5, of which a unit in the last place is the smallest f16
        let (sign, magnitude) = (x.to_bits() >> 16 & 0x8000, x.to_bits() & 0x7fff_ffff);
        let odd = magnitude >> 13 & 1;
        let normal = magnitude.wrapping_add(0xfff + odd).wrapping_sub(112 << 23) >> 13;
        let small = (f32::from_bits(magnitude) + f32::from_bits(HALF)).to_bits();
        let small = small.wrapping_sub(HALF);
        let infinite = if magnitude > 0x7f80_0000 {
            0x7e00
        } else {
            0x7c00
        };
        let finite = if magnitude < 113 << 23 { small } else { normal };
        let rounded = if magnitude < 143 << 23 {
            finite
        } else {
            infinite
        };
        Self::from_bits((sign | rounded) as u16)
    }
}

impl Scalar for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        floats::bf16(self.to_bits())
    }
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        let quiet = bits >> 16 | 0x40;
        Self::from_bits(if x.is_nan() { quiet } else { rounded } as u16)
    }
    #[inline(always)]
    fn as_bf16(numbers: &[Self]) -> Option<&[bf16]> {
        Some(numbers)
    }
    #[inline(always)]
    fn as_bf16_mut(room: &mut [MaybeUninit<Self>]) -> Option<&mut [MaybeUninit<bf16>]> {
        Some(room)
    }
}

/// Widens `from` into the beginning of `to`.
#[inline(always)]
pub(crate) fn widen<E: Scalar>(from: &[E], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.widen();
    }
}

/// Rounds `from` into the beginning of `to`.
#[inline(always)]
pub(crate) fn narrow<E: Scalar>(from: &[f32], to: &mut [MaybeUninit<E>]) {
    #[cfg(target_arch = "x86_64")]
    let done = E::as_bf16_mut(to).map_or(0, |to| super::simd::round_to_bf16(from, to));
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    for (to, from) in to[done..].iter_mut().zip(&from[done..]) {
        to.write(E::narrow(*from));
    }
}

/// Numbers as room for others.
#[inline(always)]
pub(crate) fn room<E: Scalar>(numbers: &mut [E]) -> &mut [MaybeUninit<E>] {
    // SAFETY: a number may be where one is expected that need not be there; `narrow`, for which this is, only writes numbers.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<E>]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_half_does() {
        // every exponent with many fractions, and both sides of each number halfway between two
        let halfway = (0..0x7c00u16).map(|bits| {
            let next = f16::from_bits(bits + 1).to_f32();
            let next = if next.is_finite() { next } else { 65536.0 };
            f32::midpoint(f16::from_bits(bits).to_f32(), next).to_bits()
        });
        let around = halfway.flat_map(|bits| bits - 1..=bits + 1);
        for bits in (0..=u32::MAX).step_by(4093).chain(around) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let (ours, theirs) = (<f16 as Scalar>::narrow(x), f16::from_f32(x));
                assert!(
                    ours.to_bits() == theirs.to_bits() || (x.is_nan() && ours.is_nan()),
                    "{x:e} as f16"
                );
                let (ours, theirs) = (<bf16 as Scalar>::narrow(x), bf16::from_f32(x));
                assert_eq!(ours.to_bits(), theirs.to_bits(), "{x:e} as bf16");
            }
        }
    }
}
