//! The right operand of a linear layer: where its panels come from.

use std::ops::Range;

use super::{
    bf16_dot::{Bf16x2, as_bf16x2},
    pack::pack_rhs,
    packed::{Packed, Stored},
};
use crate::kernel::flex::{scalar::Scalar, simd::Simd};

/// A source of panels, [`nr`](super::nr) columns each: how a weight is stored is known here alone.
pub(crate) trait Panels: Copy + Send + Sync {
    /// What panels are made of.
    type Packed: Packed;
    /// What a thread needs to make them.
    type Scratch: Default;

    /// Columns of all panels: the outputs of the layer.
    fn columns(&self) -> usize;

    /// The columns of panel `index`.
    #[inline(always)]
    fn columns_of(&self, index: usize, nr: usize) -> Range<usize> {
        index * nr..((index + 1) * nr).min(self.columns())
    }

    /// Packs the elements `k` along the inner dimension of panel `index` as `to[k][nr]`, zeros where there is no column.
    fn pack_panel<S: Simd>(
        &self,
        s: S,
        index: usize,
        nr: usize,
        k: Range<usize>,
        to: &mut [Self::Packed],
        scratch: &mut Self::Scratch,
    );
}

/// The weight of a linear layer of `E`: panels of single numbers, and of pairs for processors that multiply those.
pub(crate) trait Weight<E: Scalar>: Copy {
    type Single: Panels<Packed = f32>;
    type Pairs: Panels<Packed = Bf16x2>;

    fn single(self) -> Self::Single;

    /// Only called where [`as_bf16x2`] finds pairs in rows of this length.
    fn pairs(self) -> Self::Pairs;
}

/// Rows of numbers, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl<'a, T> Matrix<'a, T> {
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &'a [T] {
        &self.data[row * self.cols..][..self.cols]
    }
}

impl<'a, E: Scalar> Matrix<'a, E> {
    pub(super) fn as_bf16x2(&self) -> Option<Matrix<'a, Bf16x2>> {
        Some(Matrix {
            data: as_bf16x2(self.data, self.cols)?,
            rows: self.rows,
            cols: self.cols / 2,
        })
    }
}

/// A weight as checkpoints store it: each row is a column of a panel.
impl<T: Stored> Panels for Matrix<'_, T> {
    type Packed = T::Packed;
    type Scratch = ();

    fn columns(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn pack_panel<S: Simd>(
        &self,
        s: S,
        index: usize,
        nr: usize,
        k: Range<usize>,
        to: &mut [T::Packed],
        (): &mut (),
    ) {
        let rows = (self.columns_of(index, nr)).map(|row| &self.row(row)[k.clone()]);
        pack_rhs(s, to, nr, k.len(), rows);
    }
}

impl<'a, E: Scalar> Weight<E> for Matrix<'a, E> {
    type Single = Self;
    type Pairs = Matrix<'a, Bf16x2>;

    fn single(self) -> Self {
        self
    }

    fn pairs(self) -> Matrix<'a, Bf16x2> {
        self.as_bf16x2().expect("the other operand has pairs")
    }
}
