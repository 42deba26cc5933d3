#[allow(
    clippy::wildcard_imports,
    reason = "the intrinsics of one instruction set; tests are exempt from the lint"
)]
use std::arch::x86_64::*;

use super::Simd;

/// 8 lanes, 16 registers.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The processor has AVX2 and FMA.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

// SAFETY of every block below: a value of `Avx2` exists only where the processor has AVX2 and FMA; pointers are the caller's
// promise.
impl Simd for Avx2 {
    const LANES: usize = 8;
    const NR_VECTORS: usize = 2;
    type V = __m256;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m256) {
        unsafe { _mm256_storeu_ps(to, x) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn dot_bf16(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // A bf16 number is the upper half of an `f32`.
        unsafe {
            let upper = _mm256_castsi256_ps(_mm256_set1_epi32(-0x1_0000));
            let lower = |x| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(x)));
            let c = _mm256_fmadd_ps(lower(a), lower(b), c);
            _mm256_fmadd_ps(_mm256_and_ps(a, upper), _mm256_and_ps(b, upper), c)
        }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn scale(self, x: __m256, n: __m256) -> __m256 {
        // The exponent field lies above 23 bits; those of `ROUND` are shifted out.
        unsafe {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent))
        }
    }
    #[inline(always)]
    fn select_less(self, a: __m256, b: __m256, x: __m256, y: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
    }
    #[inline(always)]
    unsafe fn columns(self, rows: *const f32, stride: usize) -> [__m256; 4] {
        unsafe { columns(|row| rows.add(row * stride)) }
    }
    #[inline(always)]
    unsafe fn columns_at(self, rows: *const f32, offsets: &[usize]) -> [__m256; 4] {
        unsafe { columns(|row| rows.add(*offsets.get_unchecked(row))) }
    }
    #[inline(always)]
    unsafe fn store_rows(self, to: *mut f32, columns: [__m256; 4]) {
        unsafe {
            let [a, b, c, d] = transpose(columns);
            let rows = [
                _mm256_permute2f128_ps::<0x20>(a, b),
                _mm256_permute2f128_ps::<0x20>(c, d),
                _mm256_permute2f128_ps::<0x31>(a, b),
                _mm256_permute2f128_ps::<0x31>(c, d),
            ];
            for (pair, rows) in rows.into_iter().enumerate() {
                _mm256_storeu_ps(to.add(8 * pair), rows);
            }
        }
    }
    #[inline(always)]
    fn sum(self, x: __m256) -> f32 {
        let mut lanes = [0.0f32; 8];
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), x) };
        let [a, b, c, d, e, f, g, h] = lanes;
        ((a + e) + (b + f)) + ((c + g) + (d + h))
    }
    #[inline(always)]
    fn largest(self, x: __m256) -> f32 {
        let mut lanes = [0.0f32; 8];
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), x) };
        lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}

/// The first four columns of the rows that `row` points to.
///
/// # Safety
/// The processor has these vectors; each row holds four readable numbers.
#[inline(always)]
unsafe fn columns(row: impl Fn(usize) -> *const f32) -> [__m256; 4] {
    unsafe {
        // Rows `i` and `i + 4` in the halves of a vector.
        let pair = |i: usize| {
            let row = |i: usize| _mm_loadu_ps(row(i));
            _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(row(i)), row(i + 4))
        };
        transpose([pair(0), pair(1), pair(2), pair(3)])
    }
}

/// The 4x4 blocks in both halves, transposed.
///
/// # Safety
/// The processor has these vectors.
#[inline(always)]
unsafe fn transpose([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    unsafe {
        let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
        let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(ab, cd),
            _mm256_shuffle_ps::<0xee>(ab, cd),
            _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
            _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
        ]
    }
}
