//! Dot products of bf16 pairs, by processors that have them: with tiles ([`amx`]), or with vectors (AVX512-BF16).
//!
//! Two numbers side by side along the inner dimension take the place that one has in `f32`, so operands are packed alike. Products
//! of two numbers are exact and added up in `f32`.

mod amx;

use burn::tensor::bf16;
use bytemuck::{Pod, Zeroable};

use super::{
    macro_kernel::macro_kernel,
    micro_kernel::{Gemm, LHS_STRIDE},
    packed::{Packed, Stored},
};
use crate::kernel::flex::{
    scalar::{self, Scalar, narrow},
    simd::{Job, Simd, has_fast_bf16_dot, vectorised_bf16},
};

/// Whether dot products cost so little that it is no use to have fewer of them.
pub(crate) fn is_cheap() -> bool {
    amx::available()
}

/// Two neighbouring bf16 numbers along the inner dimension. Where one exists, the processor has their dot product: [`as_bf16x2`]
/// makes them.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Bf16x2(pub(crate) [bf16; 2]);

/// `numbers` as pairs, if the processor has their dot product and each row of `row` numbers is whole pairs.
pub(crate) fn as_bf16x2<E: Scalar>(numbers: &[E], row: usize) -> Option<&[Bf16x2]> {
    let numbers = E::as_bf16(numbers)?;
    let available = amx::available() || has_fast_bf16_dot();
    (available && row.is_multiple_of(2)).then(|| bytemuck::cast_slice(numbers))
}

impl Stored for Bf16x2 {
    type Scalar = bf16;
    const SCALARS: usize = 2;
    type Packed = Self;

    #[inline(always)]
    fn packed(self) -> Self {
        self
    }
    #[inline(always)]
    fn interleave(first: &[bf16], last: &[bf16], to: &mut [Self]) {
        for ((first, last), to) in first.iter().zip(last).zip(to) {
            *to = Self([*first, *last]);
        }
    }
}

/// What computes dot products.
#[derive(Debug)]
pub(crate) enum Kernel {
    Amx(amx::Tiles),
    Vectors,
}

impl Default for Kernel {
    fn default() -> Self {
        if amx::available() {
            Self::Amx(amx::Tiles::default())
        } else {
            Self::Vectors
        }
    }
}

impl Packed for Bf16x2 {
    type Kernel = Kernel;
    const KC: usize = 128;
    const PANELS: usize = 12;

    #[inline(always)]
    fn mr() -> usize {
        if amx::available() { 32 } else { 24 }
    }
    #[inline(always)]
    fn fma<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
        s.dot_bf16(a, b, c)
    }
    #[inline(always)]
    fn lhs_of_f32<'a>(
        numbers: &'a [f32],
        rows: usize,
        k: usize,
        room: &'a mut [Self],
    ) -> &'a [Self] {
        let rows = numbers.chunks_exact(LHS_STRIDE).take(rows);
        for (numbers, room) in rows.zip(room.chunks_exact_mut(LHS_STRIDE)) {
            let pairs = bytemuck::cast_slice_mut::<Self, bf16>(&mut room[..k]);
            narrow(numbers, scalar::room(pairs));
        }
        room
    }
    #[inline(always)]
    unsafe fn macro_kernel<S: Simd>(
        kernel: &mut Kernel,
        _: S,
        rows: usize,
        vectors: usize,
        gemm: Gemm<Self>,
    ) {
        match kernel {
            // SAFETY: the caller's promise; tiles exist where the unit is available.
            Kernel::Amx(tiles) => unsafe { tiles.macro_kernel(rows, vectors * S::LANES, gemm) },
            Kernel::Vectors => vectorised_bf16(Vectors {
                rows,
                columns: vectors * S::LANES,
                gemm,
            }),
        }
    }
}

/// The macro-kernel with vectors that have the dot product by themselves, where there are any.
struct Vectors {
    rows: usize,
    columns: usize,
    gemm: Gemm<Bf16x2>,
}

impl Job for Vectors {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: the promise of whoever asked for the product.
        unsafe { macro_kernel(s, self.rows, self.columns / S::LANES, self.gemm) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::flex::{
        aligned::Aligned,
        gemm::{Ahead, Init},
        simd::vectorised,
    };

    /// A product by a kernel.
    struct Run<'a> {
        kernel: &'a mut Kernel,
        rows: usize,
        columns: usize,
        gemm: Gemm<Bf16x2>,
    }

    impl Job for Run<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let vectors = self.columns / S::LANES;
            // SAFETY: `check` makes operands of these sizes.
            unsafe { Bf16x2::macro_kernel(self.kernel, s, self.rows, vectors, self.gemm) };
        }
    }

    fn numbers(count: usize, state: &mut u32) -> Vec<Bf16x2> {
        let mut number = || {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bf16::from_f32((*state >> 8) as f32 / (1 << 23) as f32 - 1.0)
        };
        (0..count).map(|_| Bf16x2([number(), number()])).collect()
    }

    /// Every sum against its definition in `f64`, from every start, wherever rows and columns do not fill tiles.
    fn check(kernel: &mut Kernel) {
        let state = &mut 1;
        for [rows, columns, depth] in [
            [1, 16, 1],
            [1, 32, 5],
            [7, 16, 33],
            [17, 48, 40],
            [32, 32, 16],
            [33, 32, 19],
            [24, 48, 39],
            [31, 80, 20],
            [96, 160, 128],
        ] {
            let (lhs, rhs) = (
                numbers(rows * LHS_STRIDE, state),
                numbers(depth * columns, state),
            );
            let by_row: Vec<f32> = (0..rows).map(|row| row as f32).collect();
            let by_column: Vec<f32> = (0..columns).map(|column| column as f32).collect();
            let inits = [
                Init::Zero,
                Init::Out,
                Init::RowBias(by_row.as_ptr()),
                Init::ColumnBias(by_column.as_ptr()),
            ];
            for (index, init) in inits.into_iter().enumerate() {
                let mut out = Aligned::zeros(rows * columns);
                out.fill(7.0);
                let gemm = Gemm {
                    k: depth,
                    lhs: lhs.as_ptr(),
                    rhs: rhs.as_ptr(),
                    rhs_stride: columns,
                    out: out.as_mut_ptr(),
                    out_stride: columns,
                    init,
                    ahead: Ahead::NOTHING,
                };
                vectorised(Run {
                    kernel,
                    rows,
                    columns,
                    gemm,
                });
                for (at, got) in out.iter().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    let start = [0.0, 7.0, row as f64, column as f64][index];
                    let terms = (0..2 * depth).map(|k| {
                        let left = lhs[row * LHS_STRIDE + k / 2].0[k % 2].to_f64();
                        left * rhs[k / 2 * columns + column].0[k % 2].to_f64()
                    });
                    let expected = start + terms.clone().sum::<f64>();
                    // Products are exact; a sum rounds once a term.
                    let size = start + terms.map(f64::abs).sum::<f64>();
                    let bound = size * (2 * depth) as f64 * f64::from(f32::EPSILON) / 2.0;
                    assert!(
                        (f64::from(*got) - expected).abs() <= bound,
                        "{rows}x{columns}x{depth}, start {index}, row {row}, column {column}: {got} instead of {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn tiles_agree_with_the_definition() {
        if amx::available() {
            check(&mut Kernel::default());
        }
    }

    #[test]
    fn vectors_agree_with_the_definition() {
        check(&mut Kernel::Vectors);
    }
}
