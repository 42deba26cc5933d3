//! Products of a tall left operand with a right operand packed in panels: linear layers.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    aligned::Aligned,
    element::{Number, narrow, widen},
    operand::{Operand, Unit, load},
    pairs::{Pair, pairs},
    panels::{panel_width, transpose},
    shared::Shared,
    simd::{Job, Simd, vectorised},
    tile::{LEFT_STRIDE, Product, Start},
};

/// Rows of a task: how often a panel is used once it is in the cache. Every tile height divides it.
const BLOCK: usize = 288;
/// Panels of a task: how often the rows are.
const PANELS: usize = 12;
/// Numbers of packed weights for each thread at a time: so they are still in the cache when they are used, and a large layer needs no
/// second copy.
const GROUP: usize = 2 << 20;
/// Up to this many rows, packing the weight costs more than it gains.
const FEW: usize = 4;

/// Rows of numbers, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a, O> {
    pub(crate) data: &'a [O],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl<'a, O> Matrix<'a, O> {
    #[inline(always)]
    fn row(&self, row: usize) -> &'a [O] {
        &self.data[row * self.cols..][..self.cols]
    }
}

impl<'a, E: Number> Matrix<'a, E> {
    fn pairs(&self) -> Option<Matrix<'a, Pair>> {
        Some(Matrix {
            data: pairs(self.data, self.cols)?,
            rows: self.rows,
            cols: self.cols / 2,
        })
    }
}

/// `x weight^T + bias` into `out`, a contiguous `[x.rows, weight.rows]`.
pub(crate) fn linear<E: Number>(
    x: Matrix<'_, E>,
    weight: Matrix<'_, E>,
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<E>],
) {
    if x.rows <= FEW {
        return few_rows(x, weight, bias, out);
    }
    match (x.pairs(), weight.pairs()) {
        (Some(x), Some(weight)) => many_rows(x, weight, bias, out),
        _ => many_rows(x, weight, bias, out),
    }
}

fn many_rows<O: Operand, E: Number>(
    x: Matrix<'_, O>,
    weight: Matrix<'_, O>,
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<E>],
) {
    let width = panel_width();
    let panels = weight.rows.div_ceil(width);
    let depth = x.cols;
    let mut columns = vec![0.0f32; panels * width];
    if let Some(bias) = bias {
        columns[..weight.rows].copy_from_slice(bias);
    }
    let panel = width * depth;
    let group = (GROUP * rayon::current_num_threads() / panel.max(1)).clamp(1, panels.max(1));
    let mut packed = Aligned::zeros(group * panel);
    let block = x
        .rows
        .div_ceil(x.rows.div_ceil(BLOCK))
        .next_multiple_of(O::Unit::rows());
    let blocks = x.rows.div_ceil(block);
    let out = Shared::new(out);
    for first in (0..panels).step_by(group) {
        let group = group.min(panels - first);
        packed[..group * panel]
            .par_chunks_exact_mut(panel.max(1))
            .enumerate()
            .for_each(|(index, out)| {
                let rows = (first + index) * width..((first + index + 1) * width).min(weight.rows);
                transpose(out, width, depth, rows.map(|row| weight.row(row)));
            });
        let strips = group.div_ceil(PANELS);
        let strip = group.div_ceil(strips);
        (0..blocks * strips).into_par_iter().for_each_init(
            || {
                (
                    Aligned::zeros(block * LEFT_STRIDE),
                    Aligned::zeros(block * strip * width),
                )
            },
            |(left, sums), task| {
                let (rows, panels) = (task / strips * block, task % strips * strip);
                vectorised(Block {
                    x,
                    rows: rows..(rows + block).min(x.rows),
                    panels: panels..(panels + strip).min(group),
                    width,
                    packed: &packed,
                    bias: &columns[first * width..],
                    left,
                    sums,
                    out,
                    out_cols: weight.rows,
                    first_column: first * width,
                });
            },
        );
    }
}

/// Some rows of the output, over some panels.
struct Block<'a, O: Operand, E> {
    x: Matrix<'a, O>,
    rows: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
    width: usize,
    packed: &'a [O::Unit],
    /// Of the columns of `packed`.
    bias: &'a [f32],
    left: &'a mut [O::Unit],
    sums: &'a mut [f32],
    out: Shared<'a, MaybeUninit<E>>,
    out_cols: usize,
    /// Column of the output that the first panel of `packed` is for.
    first_column: usize,
}

impl<O: Operand, E: Number> Job for Block<'_, O, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (rows, depth, width) = (self.rows.len(), self.x.cols, self.width);
        let stride = self.panels.len() * width;
        let mut multiplier = <O::Unit as Unit>::Multiplier::default();
        // Slices of equal depth, none deeper than a tile.
        let slice = depth.div_ceil(depth.div_ceil(O::Unit::DEPTH).max(1));
        for from in (0..depth).step_by(slice.max(1)) {
            let len = slice.min(depth - from);
            for (to, row) in self
                .left
                .chunks_exact_mut(LEFT_STRIDE)
                .zip(self.rows.clone())
            {
                load(&self.x.row(row)[from..from + len], to);
            }
            for (index, panel) in self.panels.clone().enumerate() {
                let right = &self.packed[(panel * depth + from) * width..][..len * width];
                let bias = &self.bias[panel * width..][..width];
                // SAFETY: `left` holds `rows <= BLOCK` rows; `right` `len` rows of `width`; `sums` `rows` rows of `stride`.
                unsafe {
                    let p = Product {
                        depth: len,
                        left: self.left.as_ptr(),
                        right: right.as_ptr(),
                        right_stride: width,
                        out: self.sums.as_mut_ptr().add(index * width),
                        out_stride: stride,
                        start: if from == 0 {
                            Start::Columns(bias.as_ptr())
                        } else {
                            Start::Output
                        },
                    };
                    O::Unit::product(&mut multiplier, s, rows, S::TILE.0, p);
                }
            }
        }
        let column = self.first_column + self.panels.start * width;
        let columns = stride.min(self.out_cols - column);
        for (sums, row) in self.sums.chunks_exact(stride).zip(self.rows) {
            // SAFETY: each part of each row belongs to one task.
            narrow(&sums[..columns], unsafe {
                self.out.part(row * self.out_cols + column, columns)
            });
        }
    }
}

/// One dot product for each output: reads each weight once, as it is stored.
fn few_rows<E: Number>(
    x: Matrix<'_, E>,
    weight: Matrix<'_, E>,
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<E>],
) {
    const CHUNK: usize = 64;
    let out = Shared::new(out);
    (0..weight.rows.div_ceil(CHUNK))
        .into_par_iter()
        .for_each(|task| {
            let columns = task * CHUNK..((task + 1) * CHUNK).min(weight.rows);
            vectorised(Dots {
                x,
                weight,
                bias,
                columns,
                out,
            });
        });
}

struct Dots<'a, E> {
    x: Matrix<'a, E>,
    weight: Matrix<'a, E>,
    bias: Option<&'a [f32]>,
    columns: std::ops::Range<usize>,
    out: Shared<'a, MaybeUninit<E>>,
}

impl<E: Number> Job for Dots<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in 0..self.x.rows {
            // SAFETY: each part of each row belongs to one task.
            let out = unsafe {
                self.out.part(
                    row * self.weight.rows + self.columns.start,
                    self.columns.len(),
                )
            };
            for (out, column) in out.iter_mut().zip(self.columns.clone()) {
                let bias = self.bias.map_or(0.0, |bias| bias[column]);
                out.write(E::narrow(
                    dot(s, self.x.row(row), self.weight.row(column)) + bias,
                ));
            }
        }
    }
}

/// Sum of products, in vectors of a buffer where numbers must be widened first.
#[inline(always)]
fn dot<S: Simd, E: Number>(s: S, a: &[E], b: &[E]) -> f32 {
    const BUFFER: usize = 256;
    let (mut left, mut right) = ([0.0f32; BUFFER], [0.0f32; BUFFER]);
    let mut sums = [s.splat(0.0); 4];
    for (a, b) in a.chunks(BUFFER).zip(b.chunks(BUFFER)) {
        let whole = a.len().next_multiple_of(4 * S::LANES);
        let (a, b) = match (E::as_f32(a), E::as_f32(b)) {
            (Some(a), Some(b)) if a.len() == whole => (a, b),
            _ => {
                widen(a, &mut left);
                widen(b, &mut right);
                left[a.len()..whole].fill(0.0);
                right[a.len()..whole].fill(0.0);
                (&left[..whole], &right[..whole])
            }
        };
        let fours = a
            .chunks_exact(4 * S::LANES)
            .zip(b.chunks_exact(4 * S::LANES));
        for (a, b) in fours {
            let vectors = a.chunks_exact(S::LANES).zip(b.chunks_exact(S::LANES));
            for (sum, (a, b)) in sums.iter_mut().zip(vectors) {
                // SAFETY: both are vectors.
                let (a, b) = unsafe { (s.load(a.as_ptr()), s.load(b.as_ptr())) };
                *sum = s.mul_add(a, b, *sum);
            }
        }
    }
    let [a, b, c, d] = sums;
    s.sum(s.add(s.add(a, b), s.add(c, d)))
}
