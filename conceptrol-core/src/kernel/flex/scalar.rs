use std::mem::MaybeUninit;

use burn::tensor::{bf16, f16};

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

impl Scalar for f16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        Self::from_f32(x)
    }
}

impl Scalar for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        Self::from_f32(x)
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
