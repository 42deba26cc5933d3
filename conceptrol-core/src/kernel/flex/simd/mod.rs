//! Vectors of `f32` for the instruction set the processor turns out to have.
//!
//! A [`Job`] is written once over [`Simd`] and compiled for each instruction set; [`vectorised`] picks one at run time. Only
//! code inlined into the job gets the instruction set, so jobs are `#[inline(always)]` throughout, and threads are started
//! outside of them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod dispatch;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use bf16::round_to_bf16;
#[cfg(test)]
pub(crate) use dispatch::on_every_instruction_set;
pub(crate) use dispatch::{Job, has_fast_bf16_dot, vectorised, vectorised_bf16};
pub(crate) use portable::Portable;

/// The arithmetic of one instruction set. A value of an implementing type is proof that the processor has it.
pub(crate) trait Simd: Copy {
    /// `f32`s in a vector.
    const LANES: usize;
    /// Vectors of the columns of a panel: what a register tile covers.
    const NR_VECTORS: usize;
    /// A vector.
    type V: Copy;

    fn splat(self, x: f32) -> Self::V;
    /// # Safety
    /// `from` points to `LANES` readable numbers.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// # Safety
    /// `to` points to `LANES` writable numbers.
    unsafe fn store(self, to: *mut f32, x: Self::V);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the processor can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a * b + c` for pairs of bf16 numbers in `a` and `b`, whose two products are added up.
    fn dot_bf16(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `x * 2^n` for `n + ROUND` of an integral `n` and a normal result.
    fn scale(self, x: Self::V, n: Self::V) -> Self::V;
    /// Lane-wise `if a < b { x } else { y }`.
    fn select_less(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// The first four columns of `LANES` rows, `stride` apart: a vector each.
    ///
    /// # Safety
    /// Each row holds four readable numbers.
    unsafe fn columns(self, rows: *const f32, stride: usize) -> [Self::V; 4];
    /// The same of rows that begin at the first `LANES` of `offsets`.
    ///
    /// # Safety
    /// Each row holds four readable numbers, and there are as many offsets as lanes.
    unsafe fn columns_at(self, rows: *const f32, offsets: &[usize]) -> [Self::V; 4];
    /// `LANES` rows of four numbers, one after the other, of their columns.
    ///
    /// # Safety
    /// `to` points to `4 * LANES` writable numbers.
    unsafe fn store_rows(self, to: *mut f32, columns: [Self::V; 4]) {
        let mut lanes = [0.0f32; 16];
        for (column, x) in columns.into_iter().enumerate() {
            // SAFETY: no vector is wider; the caller's promise.
            unsafe {
                self.store(lanes.as_mut_ptr(), x);
                for (row, x) in lanes[..Self::LANES].iter().enumerate() {
                    to.add(4 * row + column).write(*x);
                }
            }
        }
    }
    fn sum(self, x: Self::V) -> f32;
    fn largest(self, x: Self::V) -> f32;
}

/// Adding it to a number below 2^22 rounds that to an integer, which is in the lowest bits then.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// `2^x` to 2 units in the last place; zero below -126.
///
/// Never a subnormal number: some processors multiply those a hundred times slower, and as a weight of a softmax it counts
/// for nothing.
#[inline(always)]
pub(crate) fn exp2<S: Simd>(s: S, x: S::V) -> S::V {
    // 2^f on -1/2..1/2, the minimax polynomial of degree 6 with a constant term of exactly one.
    const COEFFICIENTS: [f32; 7] = [
        1.535_336_2e-4,
        1.339_887_4e-3,
        9.618_437e-3,
        5.550_332_4e-2,
        2.402_264_8e-1,
        6.931_472e-1,
        1.0,
    ];
    let (lowest, round) = (s.splat(-126.0), s.splat(ROUND));
    let x = s.min(s.splat(127.0), x);
    let n = s.add(x, round);
    let f = s.sub(x, s.sub(n, round));
    let mut p = s.splat(COEFFICIENTS[0]);
    for c in &COEFFICIENTS[1..] {
        p = s.mul_add(p, f, s.splat(*c));
    }
    s.select_less(x, lowest, s.splat(0.0), s.scale(p, n))
}

/// `e^x` to a few units in the last place over the range of `f32`, zero for very negative `x`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    exp2(s, s.mul(x, s.splat(std::f32::consts::LOG2_E)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of rows of four numbers, and rows of columns.
    struct Transposed;

    impl Job for Transposed {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let numbers: Vec<f32> = (0..4 * S::LANES).map(|x| x as f32).collect();
            // SAFETY: `LANES` rows of four numbers.
            let columns = unsafe { s.columns(numbers.as_ptr(), 4) };
            for (column, x) in columns.into_iter().enumerate() {
                let mut lanes = vec![0.0; S::LANES];
                // SAFETY: room for a vector.
                unsafe { s.store(lanes.as_mut_ptr(), x) };
                let expected: Vec<f32> =
                    (0..S::LANES).map(|row| numbers[4 * row + column]).collect();
                assert_eq!(lanes, expected, "column {column}");
            }
            let mut rows = vec![0.0; 4 * S::LANES];
            // SAFETY: room for `LANES` rows of four.
            unsafe { s.store_rows(rows.as_mut_ptr(), columns) };
            assert_eq!(rows, numbers);
        }
    }

    #[test]
    fn rows_and_columns_are_transposes_with_all_vectors() {
        on_every_instruction_set(|| Transposed);
    }
}
