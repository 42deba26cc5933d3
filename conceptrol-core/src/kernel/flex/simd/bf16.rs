use std::{
    arch::x86_64::{__m256bh, __m256i, _mm256_storeu_si256, _mm512_cvtneps_pbh, _mm512_loadu_ps},
    mem::{MaybeUninit, transmute},
};

use burn::tensor::bf16;

/// Numbers rounded by one instruction.
const LANES: usize = 16;

/// Rounds as many of the first numbers as the processor does by itself, and says how many.
#[inline(always)]
pub(crate) fn round_to_bf16(from: &[f32], to: &mut [MaybeUninit<bf16>]) -> usize {
    if from.len().min(to.len()) < LANES || !is_x86_feature_detected!("avx512bf16") {
        return 0;
    }
    // SAFETY: the processor has AVX512-BF16, and so AVX-512F.
    unsafe { by_processor(from, to) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn by_processor(from: &[f32], to: &mut [MaybeUninit<bf16>]) -> usize {
    let vectors = from.chunks_exact(LANES).zip(to.chunks_exact_mut(LANES));
    let count = vectors.len() * LANES;
    for (from, to) in vectors {
        // SAFETY: both are `LANES` numbers; the vector of bf16 has as many bits as the one of integers.
        unsafe {
            let rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(from.as_ptr()));
            let rounded = transmute::<__m256bh, __m256i>(rounded);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), rounded);
        }
    }
    count
}
