use rayon::prelude::*;

use super::Heads;
use crate::kernel::flex::{
    aligned::Aligned,
    element::{Number, widen},
    panels::{panel_width, transpose},
};

/// Keys of every head as panels of columns: `[batch * heads][panels][dim][width]`.
#[derive(Debug)]
pub(crate) struct KeyPanels {
    pub(crate) data: Aligned,
    pub(crate) width: usize,
    /// Numbers of one panel and of one head.
    pub(crate) panel: usize,
    pub(crate) head: usize,
}

impl KeyPanels {
    pub(crate) fn pack<E: Number>(k: &Heads<'_, E>) -> Self {
        let width = panel_width();
        let panel = width * k.dim;
        let panels = k.len.div_ceil(width);
        let mut data = Aligned::zeros(k.batch * k.heads * panels * panel);
        data.par_chunks_exact_mut(panel.max(1))
            .enumerate()
            .for_each(|(index, out)| {
                let (head, index) = (index / panels, index % panels);
                let rows = index * width..((index + 1) * width).min(k.len);
                let rows = rows.map(|row| k.row(head / k.heads, head % k.heads, row));
                transpose(out, width, k.dim, rows);
            });
        Self {
            data,
            width,
            panel,
            head: panels * panel,
        }
    }
}

/// Values of every head in `f32`, rows padded with zeros to whole vectors: `[batch * heads][len][width]`.
#[derive(Debug)]
pub(crate) struct ValueRows {
    pub(crate) data: Aligned,
    pub(crate) width: usize,
    pub(crate) head: usize,
}

impl ValueRows {
    pub(crate) fn pack<E: Number>(v: &Heads<'_, E>, lanes: usize) -> Self {
        let width = v.dim.next_multiple_of(lanes);
        let mut data = Aligned::zeros(v.batch * v.heads * v.len * width);
        data.par_chunks_mut((v.len * width).max(1))
            .enumerate()
            .for_each(|(head, out)| {
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    widen(v.row(head / v.heads, head % v.heads, row), out);
                }
            });
        Self {
            data,
            width,
            head: v.len * width,
        }
    }
}
