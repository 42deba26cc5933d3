use std::array::from_fn;

use super::Simd;

/// Lanes of the portable form: what compilers turn into two SSE or NEON registers.
const N: usize = 8;

/// Plain arithmetic on arrays, for every other processor (NEON is reached by the compiler's own vectorisation).
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    const LANES: usize = N;
    const NR_VECTORS: usize = 1;
    type V = [f32; N];

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; N] {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; N] {
        // SAFETY: the caller's promise; arrays of f32 are aligned like f32.
        unsafe { from.cast::<[f32; N]>().read() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: [f32; N]) {
        // SAFETY: the caller's promise; arrays of f32 are aligned like f32.
        unsafe { to.cast::<[f32; N]>().write(x) }
    }
    #[inline(always)]
    fn add(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        // Two roundings: a fused one would be a library call where the processor lacks it.
        from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn dot_bf16(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        // A bf16 number is the upper half of an `f32`.
        let lower = |x: f32| f32::from_bits(x.to_bits() << 16);
        let upper = |x: f32| f32::from_bits(x.to_bits() & 0xffff_0000);
        from_fn(|i| lower(a[i]) * lower(b[i]) + upper(a[i]) * upper(b[i]) + c[i])
    }
    #[inline(always)]
    fn max(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn scale(self, x: [f32; N], n: [f32; N]) -> [f32; N] {
        // The exponent field lies above 23 bits; those of `ROUND` are shifted out.
        from_fn(|i| f32::from_bits(x[i].to_bits().wrapping_add(n[i].to_bits() << 23)))
    }
    #[inline(always)]
    fn select_less(self, a: [f32; N], b: [f32; N], x: [f32; N], y: [f32; N]) -> [f32; N] {
        from_fn(|i| if a[i] < b[i] { x[i] } else { y[i] })
    }
    #[inline(always)]
    unsafe fn columns(self, rows: *const f32, stride: usize) -> [[f32; N]; 4] {
        // SAFETY: the caller's promise.
        from_fn(|column| from_fn(|row| unsafe { rows.add(row * stride + column).read() }))
    }
    #[inline(always)]
    unsafe fn columns_at(self, rows: *const f32, offsets: &[usize]) -> [[f32; N]; 4] {
        // SAFETY: the caller's promise.
        from_fn(|column| from_fn(|row| unsafe { rows.add(offsets[row] + column).read() }))
    }
    #[inline(always)]
    fn sum(self, [a, b, c, d, e, f, g, h]: [f32; N]) -> f32 {
        ((a + e) + (b + f)) + ((c + g) + (d + h))
    }
    #[inline(always)]
    fn largest(self, x: [f32; N]) -> f32 {
        x.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}
