#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

use super::{Portable, Simd};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};

/// A computation on slices, written once for every instruction set.
pub(crate) trait Job {
    /// Performs it. Mark implementations `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S);
}

/// Runs `job` with the widest vectors the processor has.
pub(crate) fn vectorised<J: Job>(job: J) {
    #[cfg(target_arch = "x86_64")]
    {
        // The standard library caches the answers.
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return unsafe { on_avx512(job) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            return unsafe { on_avx2(job) };
        }
    }
    job.run(Portable);
}

/// Runs a job that multiplies pairs of bf16 numbers, with vectors that do so by themselves if there are any.
pub(crate) fn vectorised_bf16<J: Job>(job: J) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512bf16") {
        // SAFETY: the processor has AVX512-BF16, and so AVX-512F.
        return unsafe { on_avx512_bf16(job) };
    }
    job.run(Portable);
}

/// Runs a job with the vectors of every instruction set the processor has.
#[cfg(test)]
pub(crate) fn on_every_instruction_set<J: Job>(job: impl Fn() -> J) {
    job().run(Portable);
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            unsafe { on_avx2(job()) };
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            unsafe { on_avx512(job()) };
        }
    }
}

/// Whether vectors multiply pairs of bf16 numbers faster than as many single numbers. Those of AMD do two in the time of one; those of
/// Intel take twice as long (measured on family 6, model 167).
pub(crate) fn has_fast_bf16_dot() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // Asking for the maker takes long in a virtual machine.
        static FASTER: OnceLock<bool> = OnceLock::new();
        *FASTER.get_or_init(|| is_x86_feature_detected!("avx512bf16") && made_by_amd())
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(target_arch = "x86_64")]
fn made_by_amd() -> bool {
    let maker = std::arch::x86_64::__cpuid(0);
    [maker.ebx, maker.edx, maker.ecx]
        .map(u32::to_le_bytes)
        .concat()
        == *b"AuthenticAMD"
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn on_avx512_bf16<J: Job>(job: J) {
    // SAFETY: this function is compiled for, and only called with, AVX-512F.
    job.run(unsafe { Avx512::new() });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn on_avx512<J: Job>(job: J) {
    // SAFETY: this function is compiled for, and only called with, AVX-512F.
    job.run(unsafe { Avx512::new() });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn on_avx2<J: Job>(job: J) {
    // SAFETY: this function is compiled for, and only called with, AVX2 and FMA.
    job.run(unsafe { Avx2::new() });
}
