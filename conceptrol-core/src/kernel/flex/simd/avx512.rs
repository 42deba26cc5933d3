#[allow(
    clippy::wildcard_imports,
    reason = "the intrinsics of one instruction set; tests are exempt from the lint"
)]
use std::arch::x86_64::*;
use std::mem::transmute;

use super::Simd;

/// 16 lanes, 32 registers.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor has AVX-512F.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

// SAFETY of every block below: a value of `Avx512` exists only where the processor has AVX-512F; pointers are the caller's
// promise.
impl Simd for Avx512 {
    const LANES: usize = 16;
    const NR_VECTORS: usize = 2;
    type V = __m512;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m512) {
        unsafe { _mm512_storeu_ps(to, x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn dot_bf16(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: only called through `vectorised_bf16`, where the processor has AVX512-BF16; any bits are numbers.
        unsafe {
            _mm512_dpbf16_ps(
                c,
                transmute::<__m512, __m512bh>(a),
                transmute::<__m512, __m512bh>(b),
            )
        }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn scale(self, x: __m512, n: __m512) -> __m512 {
        // The exponent field lies above 23 bits; those of `ROUND` are shifted out.
        unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(n));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), exponent))
        }
    }
    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x) }
    }
    #[inline(always)]
    unsafe fn columns(self, rows: *const f32, stride: usize) -> [__m512; 4] {
        unsafe { columns(|row| rows.add(row * stride)) }
    }
    #[inline(always)]
    unsafe fn columns_at(self, rows: *const f32, offsets: &[usize]) -> [__m512; 4] {
        unsafe { columns(|row| rows.add(*offsets.get_unchecked(row))) }
    }
    #[inline(always)]
    unsafe fn store_rows(self, to: *mut f32, [a, b, c, d]: [__m512; 4]) {
        unsafe {
            let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
            let (ab_high, cd_high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
            // Rows `i`, `i + 4`, `i + 8` and `i + 12` in the quarters of a vector; then the quarters are transposed.
            let zero = _mm512_shuffle_ps::<0x44>(ab, cd);
            let one = _mm512_shuffle_ps::<0xee>(ab, cd);
            let two = _mm512_shuffle_ps::<0x44>(ab_high, cd_high);
            let three = _mm512_shuffle_ps::<0xee>(ab_high, cd_high);
            let (low, high) = (
                _mm512_shuffle_f32x4::<0x44>(zero, one),
                _mm512_shuffle_f32x4::<0x44>(two, three),
            );
            _mm512_storeu_ps(to, _mm512_shuffle_f32x4::<0x88>(low, high));
            _mm512_storeu_ps(to.add(16), _mm512_shuffle_f32x4::<0xdd>(low, high));
            let (low, high) = (
                _mm512_shuffle_f32x4::<0xee>(zero, one),
                _mm512_shuffle_f32x4::<0xee>(two, three),
            );
            _mm512_storeu_ps(to.add(32), _mm512_shuffle_f32x4::<0x88>(low, high));
            _mm512_storeu_ps(to.add(48), _mm512_shuffle_f32x4::<0xdd>(low, high));
        }
    }
    #[inline(always)]
    fn sum(self, x: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(x) }
    }
    #[inline(always)]
    fn largest(self, x: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(x) }
    }
}

/// The first four columns of the rows that `row` points to.
///
/// # Safety
/// The processor has these vectors; each row holds four readable numbers.
#[inline(always)]
unsafe fn columns(row: impl Fn(usize) -> *const f32) -> [__m512; 4] {
    unsafe {
        // Rows `i`, `i + 4`, `i + 8` and `i + 12` in the quarters of a vector; then 4x4 blocks are transposed within quarters.
        let four = |i: usize| {
            let row = |i: usize| _mm_loadu_ps(row(i));
            let x = _mm512_castps128_ps512(row(i));
            let x = _mm512_insertf32x4::<1>(x, row(i + 4));
            let x = _mm512_insertf32x4::<2>(x, row(i + 8));
            _mm512_insertf32x4::<3>(x, row(i + 12))
        };
        let [a, b, c, d] = [four(0), four(1), four(2), four(3)];
        let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
        [
            _mm512_shuffle_ps::<0x44>(ab, cd),
            _mm512_shuffle_ps::<0xee>(ab, cd),
            _mm512_shuffle_ps::<0x44>(ab_high, cd_high),
            _mm512_shuffle_ps::<0xee>(ab_high, cd_high),
        ]
    }
}
