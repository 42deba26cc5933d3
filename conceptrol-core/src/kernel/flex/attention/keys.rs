//! Keys and values of one head as right operands of products.

use super::Heads;
use crate::kernel::flex::{
    element::Number,
    operand::Operand,
    panels::{panel_width, transpose},
};

/// How keys of a head lie as panels of columns: `[panels][dim][width]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPanels {
    pub(crate) width: usize,
    /// Operands of one panel and of one head.
    pub(crate) panel: usize,
    pub(crate) head: usize,
}

impl KeyPanels {
    pub(crate) fn of<O: Operand>(k: &Heads<'_, O>) -> Self {
        let width = panel_width();
        let panel = width * k.dim;
        Self {
            width,
            panel,
            head: k.len.div_ceil(width) * panel,
        }
    }

    /// Packs the keys of one head of one batch row.
    #[inline(always)]
    pub(crate) fn pack<O: Operand>(self, k: &Heads<'_, O>, index: usize, to: &mut [O::Unit]) {
        for (panel, to) in to[..self.head].chunks_exact_mut(self.panel).enumerate() {
            let rows = panel * self.width..((panel + 1) * self.width).min(k.len);
            transpose(to, self.width, k.dim, rows.map(|row| k.row(index, row)));
        }
    }
}

/// How values of a head lie as rows of operands, padded to whole vectors: `[len / NUMBERS][width]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueRows {
    pub(crate) width: usize,
    /// Operands of one head.
    pub(crate) head: usize,
}

impl ValueRows {
    pub(crate) fn of<O: Operand>(v: &Heads<'_, O::Number>) -> Self {
        /// Vectors of any instruction set.
        const LANES: usize = 16;
        let width = v.dim.next_multiple_of(LANES);
        Self {
            width,
            head: v.len.div_ceil(O::NUMBERS) * width,
        }
    }

    /// Packs the values of one head of one batch row. What pads them is left as it is.
    #[inline(always)]
    pub(crate) fn pack<O: Operand>(
        self,
        v: &Heads<'_, O::Number>,
        index: usize,
        to: &mut [O::Unit],
    ) {
        let zeros = vec![O::Number::narrow(0.0); v.dim];
        for (line, to) in to[..self.head].chunks_exact_mut(self.width).enumerate() {
            let (first, last) = (line * O::NUMBERS, (line + 1) * O::NUMBERS - 1);
            let last = if last < v.len {
                v.row(index, last)
            } else {
                &zeros
            };
            O::interleave(v.row(index, first), last, to);
        }
    }
}
