//! Linear layers: a tall left operand times the rows of a weight as stored.

use std::{mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use crate::cancel::Cancel;

use super::{
    micro_kernel::{Ahead, Gemm, Init, LHS_STRIDE},
    pack::{WIDEST, nr, pack_lhs_row},
    packed::{Packed, Stored},
    panels::{Matrix, Panels, Weight},
};
use crate::kernel::flex::{
    aligned::{Aligned, with_buffer},
    scalar::{Scalar, narrow},
    shared::Shared,
    simd::{Job, Simd, vectorised},
};

/// Rows of a task: how often a panel is used once it is in the cache. Every tile height divides them.
const MC: usize = 288;
/// The same where vectors are narrow and the panels are packed already: rows and sums stay in the second cache, of which such processors often have
/// no more than 512 KB.
const MC_NARROW: usize = 72;
/// Tasks for each thread, at least, as far as there are panels.
const TASKS: usize = 2;
/// Panels of a task that packs them itself, at most.
const OWN_PANELS: usize = 4;
/// Such tasks for each thread, where there are panels enough: threads then end together, which counts in the smallest layers.
const OWN_TASKS: usize = 4;
/// Numbers of packed weights for each thread at a time, or [`Packed::PANELS`] panels if they are more: so they are still in the cache when they are
/// used, and a large layer needs no second copy.
const PACKED_AT_ONCE: usize = 1 << 19;

/// `x weight^T + bias` into `out`, a contiguous `[x.rows, columns of the weight]`.
pub(crate) fn linear<E: Scalar>(
    x: Matrix<'_, E>,
    weight: impl Weight<E>,
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<E>],
) {
    match x.as_bf16x2() {
        Some(x) => blocked(x, weight.pairs(), bias, out),
        None => blocked(x, weight.single(), bias, out),
    }
}

fn blocked<T: Stored, W: Panels<Packed = T::Packed>, E: Scalar>(
    x: Matrix<'_, T>,
    weight: W,
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<E>],
) {
    if x.rows == 0 || weight.columns() == 0 {
        return;
    }
    let nr = nr();
    let panels = weight.columns().div_ceil(nr);
    let mut columns = vec![0.0f32; panels * nr];
    if let Some(bias) = bias {
        columns[..weight.columns()].copy_from_slice(bias);
    }
    let layer = Layer {
        x,
        weight,
        bias: &columns,
        nr,
        panels,
        out: Shared::new(out),
    };
    if x.rows <= MC {
        layer.packing_in_tasks();
    } else {
        layer.packing_first();
    }
}

/// A linear layer and what all tasks share.
#[derive(Clone, Copy)]
struct Layer<'a, T, W, E: Copy> {
    x: Matrix<'a, T>,
    weight: W,
    /// Zeros beyond the columns there are.
    bias: &'a [f32],
    nr: usize,
    /// Of the weight.
    panels: usize,
    out: Shared<'a, MaybeUninit<E>>,
}

impl<T: Stored, W: Panels<Packed = T::Packed>, E: Scalar> Layer<'_, T, W, E> {
    /// One block of rows, so each panel is used once: by the task that packs it, a slice at a time, which stays in the nearest cache.
    fn packing_in_tasks(self) {
        let cancel = Cancel::current();
        let each = self.panels / (OWN_TASKS * rayon::current_num_threads());
        let each = each.clamp(1, OWN_PANELS);
        (0..self.panels.div_ceil(each))
            .into_par_iter()
            .for_each_init(Scratch::<W>::default, |scratch, task| {
                if cancel.is_cancelled() {
                    return;
                }
                let first = task * each;
                vectorised(Block {
                    layer: self,
                    rows: 0..self.x.rows,
                    panels: first..(first + each).min(self.panels),
                    packed: None,
                    scratch,
                });
            });
    }

    /// Several blocks of rows use each panel: groups of panels are packed before any is used.
    fn packing_first(self) {
        let cancel = Cancel::current();
        let threads = rayon::current_num_threads();
        let panel = self.nr * self.x.cols;
        let most = (PACKED_AT_ONCE * threads / panel.max(1)).max(T::Packed::PANELS);
        let group = self.panels.div_ceil(self.panels.div_ceil(most));
        let rows = self.x.rows;
        let most_rows = if self.nr < WIDEST { MC_NARROW } else { MC };
        let block = rows
            .div_ceil(rows.div_ceil(most_rows))
            .next_multiple_of(T::Packed::mr());
        let blocks = rows.div_ceil(block);
        with_buffer(group * panel, |packed: &mut [T::Packed]| {
            for first in (0..self.panels).step_by(group) {
                let group = group.min(self.panels - first);
                packed[..group * panel]
                    .par_chunks_exact_mut(panel.max(1))
                    .enumerate()
                    .for_each_init(W::Scratch::default, |scratch, (index, to)| {
                        vectorised(PackPanel {
                            weight: self.weight,
                            index: first + index,
                            nr: self.nr,
                            depth: self.x.cols,
                            to,
                            scratch,
                        });
                    });
                let packed = &*packed;
                let strips = (TASKS * threads).div_ceil(blocks);
                let strip = group.div_ceil(strips).min(T::Packed::PANELS);
                let strips = group.div_ceil(strip);
                (0..blocks * strips).into_par_iter().for_each_init(
                    Scratch::<W>::default,
                    |scratch, task| {
                        if cancel.is_cancelled() {
                            return;
                        }
                        let (row, start) = (task / strips * block, task % strips * strip);
                        let end = (start + strip).min(group);
                        vectorised(Block {
                            layer: self,
                            rows: row..(row + block).min(rows),
                            panels: first + start..first + end,
                            packed: Some(&packed[start * panel..end * panel]),
                            scratch,
                        });
                    },
                );
            }
        });
    }
}

/// A whole panel of the weight.
struct PackPanel<'a, W: Panels> {
    weight: W,
    index: usize,
    nr: usize,
    /// Elements along the inner dimension.
    depth: usize,
    to: &'a mut [W::Packed],
    scratch: &'a mut W::Scratch,
}

impl<W: Panels> Job for PackPanel<'_, W> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let k = 0..self.depth;
        (self.weight).pack_panel(s, self.index, self.nr, k, self.to, self.scratch);
    }
}

/// Buffers of one thread.
struct Scratch<W: Panels> {
    /// `[rows][LHS_STRIDE]`
    lhs: Aligned<W::Packed>,
    /// A slice of one panel: `[KC][nr]`.
    panel: Aligned<W::Packed>,
    /// `[rows][panels * nr]`
    sums: Aligned,
    source: W::Scratch,
}

impl<W: Panels> Default for Scratch<W> {
    fn default() -> Self {
        Self {
            lhs: Aligned::default(),
            panel: Aligned::default(),
            sums: Aligned::default(),
            source: W::Scratch::default(),
        }
    }
}

/// Some rows of the output, over some panels.
struct Block<'a, T, W: Panels, E: Copy> {
    layer: Layer<'a, T, W, E>,
    rows: Range<usize>,
    panels: Range<usize>,
    /// The panels, `[panels][k][nr]`, where they are packed already.
    packed: Option<&'a [W::Packed]>,
    scratch: &'a mut Scratch<W>,
}

impl<T: Stored, W: Panels<Packed = T::Packed>, E: Scalar> Job for Block<'_, T, W, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Layer { x, weight, nr, .. } = self.layer;
        let (rows, depth) = (self.rows.len(), x.cols);
        let stride = self.panels.len() * nr;
        // Slices of equal length, none longer than a product: the same for any number of rows.
        let slice = depth.div_ceil(depth.div_ceil(T::Packed::KC).max(1));
        let Scratch {
            lhs,
            panel,
            sums,
            source,
        } = self.scratch;
        lhs.reserve(rows * LHS_STRIDE);
        sums.reserve(rows * stride);
        if self.packed.is_none() {
            panel.reserve(slice * nr);
        }
        let mut kernel = <T::Packed as Packed>::Kernel::default();
        for from in (0..depth).step_by(slice.max(1)) {
            let k = from..(from + slice).min(depth);
            let to = lhs.chunks_exact_mut(LHS_STRIDE);
            for (to, row) in to.zip(self.rows.clone()) {
                pack_lhs_row(&x.row(row)[k.clone()], to);
            }
            for (index, column) in self.panels.clone().enumerate() {
                let rhs = match self.packed {
                    Some(packed) => &packed[(index * depth + from) * nr..][..k.len() * nr],
                    None => {
                        weight.pack_panel(s, column, nr, k.clone(), panel, source);
                        &panel[..k.len() * nr]
                    }
                };
                let ahead = match self.packed {
                    Some(packed) if index + 1 < self.panels.len() => {
                        Ahead::of(&packed[((index + 1) * depth + from) * nr..][..k.len() * nr])
                    }
                    Some(packed) if k.end < depth => {
                        let next = (k.end + slice).min(depth) - k.end;
                        Ahead::of(&packed[k.end * nr..][..next * nr])
                    }
                    _ => Ahead::NOTHING,
                };
                let bias = &self.layer.bias[column * nr..][..nr];
                // SAFETY: `lhs` holds `rows` rows; `rhs` `k` rows of `nr`; `sums` `rows` rows of `stride`.
                unsafe {
                    let gemm = Gemm {
                        k: k.len(),
                        lhs: lhs.as_ptr(),
                        rhs: rhs.as_ptr(),
                        rhs_stride: nr,
                        out: sums.as_mut_ptr().add(index * nr),
                        out_stride: stride,
                        init: if from == 0 {
                            Init::ColumnBias(bias.as_ptr())
                        } else {
                            Init::Out
                        },
                        ahead,
                    };
                    T::Packed::macro_kernel(&mut kernel, s, rows, S::NR_VECTORS, gemm);
                }
            }
        }
        let column = self.panels.start * nr;
        let outputs = weight.columns();
        let columns = stride.min(outputs - column);
        for (sums, row) in sums.chunks_exact(stride).zip(self.rows) {
            // SAFETY: each part of each row belongs to one task.
            narrow(&sums[..columns], unsafe {
                self.layer.out.part(row * outputs + column, columns)
            });
        }
    }
}
