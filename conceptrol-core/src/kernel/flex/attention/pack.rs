//! Keys and values of one head, packed as right operands.

use super::Heads;
use crate::kernel::flex::{
    gemm::{Stored, nr, pack_rhs},
    scalar::Scalar,
    simd::Simd,
};

/// How keys of a head lie as panels of columns: `[panels][dim][nr]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPanels {
    pub(crate) nr: usize,
    /// Elements of one panel and of one head.
    pub(crate) panel: usize,
    pub(crate) head: usize,
}

impl KeyPanels {
    pub(crate) fn of<T: Stored>(k: &Heads<'_, T>) -> Self {
        let nr = nr();
        let panel = nr * k.dim;
        Self {
            nr,
            panel,
            head: k.len.div_ceil(nr) * panel,
        }
    }

    /// Packs the keys of one head of one batch row.
    #[inline(always)]
    pub(crate) fn pack<S: Simd, T: Stored>(
        self,
        s: S,
        k: &Heads<'_, T>,
        index: usize,
        to: &mut [T::Packed],
    ) {
        for (panel, to) in to[..self.head].chunks_exact_mut(self.panel).enumerate() {
            let rows = panel * self.nr..((panel + 1) * self.nr).min(k.len);
            pack_rhs(s, to, self.nr, k.dim, rows.map(|row| k.row(index, row)));
        }
    }
}

/// How values of a head lie as rows, padded to whole vectors: `[len / SCALARS][width]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueRows {
    pub(crate) width: usize,
    /// Elements of one head.
    pub(crate) head: usize,
}

impl ValueRows {
    pub(crate) fn of<T: Stored>(v: &Heads<'_, T::Scalar>) -> Self {
        /// Vectors of any instruction set.
        const LANES: usize = 16;
        let width = v.dim.next_multiple_of(LANES);
        Self {
            width,
            head: v.len.div_ceil(T::SCALARS) * width,
        }
    }

    /// Packs the values of one head of one batch row. What pads them is left as it is.
    #[inline(always)]
    pub(crate) fn pack<T: Stored>(
        self,
        v: &Heads<'_, T::Scalar>,
        index: usize,
        to: &mut [T::Packed],
    ) {
        let zeros = vec![T::Scalar::narrow(0.0); v.dim];
        for (line, to) in to[..self.head].chunks_exact_mut(self.width).enumerate() {
            let (first, last) = (line * T::SCALARS, (line + 1) * T::SCALARS - 1);
            let last = if last < v.len {
                v.row(index, last)
            } else {
                &zeros
            };
            T::interleave(v.row(index, first), last, to);
        }
    }
}
