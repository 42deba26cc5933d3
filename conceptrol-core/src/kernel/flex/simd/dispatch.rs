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
