use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    Heads, Segments,
    keys::{KeyPanels, ValueRows},
    softmax::{Running, block_columns},
};
use crate::kernel::{
    LogitBias,
    flex::{
        aligned::Aligned,
        element::{Number, narrow, widen},
        product::product,
        shared::Shared,
        simd::{Job, Simd, vectorised},
        tile::{DEPTH, LEFT_STRIDE, Product, Start},
    },
};

/// Queries whose scores are alive at once; every tile height divides it.
const GROUP: usize = 24;
/// Queries of a task: how often a tile of keys is used once it is in the cache.
const BLOCK: usize = 4 * GROUP;

/// `softmax(q k^T / sqrt(dim) + bias) v` into `out`, a contiguous `[batch, q_len, heads, value_dim]`.
pub(crate) fn attention<E: Number>(
    q: &Heads<'_, E>,
    k: &Heads<'_, E>,
    v: &Heads<'_, E>,
    bias: Option<&Segments<'_>>,
    out: &mut [MaybeUninit<E>],
) {
    let keys = KeyPanels::pack(k);
    let values = ValueRows::pack(v, 16);
    let blocks = q.len.div_ceil(BLOCK);
    let out = Shared::new(out);
    (0..q.batch * q.heads * blocks)
        .into_par_iter()
        .for_each_init(
            || Scratch::new(q.dim, values.width),
            |scratch, task| {
                let (head, block) = (task / blocks, task % blocks);
                vectorised(Block {
                    q,
                    head,
                    queries: block * BLOCK..((block + 1) * BLOCK).min(q.len),
                    keys: &keys,
                    values: &values,
                    k_len: k.len,
                    value_dim: v.dim,
                    bias,
                    out,
                    scratch,
                });
            },
        );
}

/// Buffers of one thread.
struct Scratch {
    /// `[dim / DEPTH][BLOCK][LEFT_STRIDE]`
    queries: Vec<f32>,
    /// `[GROUP][LEFT_STRIDE]`
    scores: Aligned,
    /// `[BLOCK][value width]`
    sums: Aligned,
    running: Vec<Running>,
}

impl Scratch {
    fn new(dim: usize, value_width: usize) -> Self {
        Self {
            queries: vec![0.0; dim.div_ceil(DEPTH) * BLOCK * LEFT_STRIDE],
            scores: Aligned::zeros(GROUP * LEFT_STRIDE),
            sums: Aligned::zeros(BLOCK * value_width),
            running: vec![Running::START; BLOCK],
        }
    }
}

/// One head, one block of queries, all keys.
struct Block<'a, E> {
    q: &'a Heads<'a, E>,
    head: usize,
    queries: std::ops::Range<usize>,
    keys: &'a KeyPanels,
    values: &'a ValueRows,
    k_len: usize,
    value_dim: usize,
    bias: Option<&'a Segments<'a>>,
    out: Shared<'a, MaybeUninit<E>>,
    scratch: &'a mut Scratch,
}

impl<E: Number> Job for Block<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.load_queries();
        let rows = self.queries.len();
        self.scratch.sums.fill(0.0);
        self.scratch.running.fill(Running::START);
        for from in (0..self.k_len).step_by(DEPTH) {
            let cols = DEPTH.min(self.k_len - from);
            for group in (0..rows).step_by(GROUP) {
                let rows = GROUP.min(rows - group);
                if self.blocked(group, rows, from..from + cols) {
                    continue;
                }
                self.scores(s, group, rows, from, cols);
                self.weigh(s, group, rows, from, cols);
            }
        }
        self.finish();
    }
}

impl<E: Number> Block<'_, E> {
    /// Queries in `f32`, scaled so that scores come out in units of `1 / log2(e)`.
    #[inline(always)]
    fn load_queries(&mut self) {
        let (batch, head) = (self.head / self.q.heads, self.head % self.q.heads);
        let scale = (f64::from(std::f32::consts::LOG2_E) / (self.q.dim as f64).sqrt()) as f32;
        for (row, query) in self.queries.clone().enumerate() {
            let query = self.q.row(batch, head, query);
            for (chunk, query) in query.chunks(DEPTH).enumerate() {
                let at = (chunk * BLOCK + row) * LEFT_STRIDE;
                let to = &mut self.scratch.queries[at..at + query.len()];
                widen(query, to);
                to.iter_mut().for_each(|x| *x *= scale);
            }
        }
    }

    /// Whether a tile would get no weight from any query of a group: all of it is blocked, and other keys have been seen.
    #[inline(always)]
    fn blocked(&self, group: usize, rows: usize, keys: std::ops::Range<usize>) -> bool {
        let first = self.queries.start + group;
        let seen = |running: &Running| running.max > LogitBias::BLOCKED / 2.0;
        self.bias.is_some_and(|bias| {
            bias.blocks(self.head / self.q.heads, first..first + rows, keys)
                && self.scratch.running[group..group + rows].iter().all(seen)
        })
    }

    /// Scores of a group of queries against the keys of a tile.
    #[inline(always)]
    fn scores<S: Simd>(&mut self, s: S, group: usize, rows: usize, from: usize, cols: usize) {
        let keys = self.keys;
        let panels = &keys.data[self.head * keys.head..(self.head + 1) * keys.head];
        for column in (0..cols).step_by(keys.width) {
            let panel = &panels[(from + column) / keys.width * keys.panel..][..keys.panel];
            for (chunk, panel) in panel.chunks(DEPTH * keys.width).enumerate() {
                let left = &self.scratch.queries[(chunk * BLOCK + group) * LEFT_STRIDE..];
                debug_assert!(left.len() >= rows * LEFT_STRIDE, "a whole group of queries");
                let start = if chunk == 0 {
                    Start::Zero
                } else {
                    Start::Output
                };
                // SAFETY: `left` holds `rows` rows; the panel holds `depth` rows of `width` columns; the scores of a group
                // hold `DEPTH` columns, a multiple of `width`, and `column` is one too.
                unsafe {
                    let p = Product {
                        depth: panel.len() / keys.width,
                        left: left.as_ptr(),
                        right: panel.as_ptr(),
                        right_stride: keys.width,
                        out: self.scratch.scores.as_mut_ptr().add(column),
                        out_stride: LEFT_STRIDE,
                        start,
                    };
                    product(s, rows, S::TILE.0, p);
                }
            }
        }
    }

    /// Turns scores into weights and adds the values of the tile by them.
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, s: S, group: usize, rows: usize, from: usize, cols: usize) {
        let (values, scratch) = (self.values, &mut *self.scratch);
        let vectors = cols.div_ceil(S::LANES);
        block_columns(&mut scratch.scores, rows, cols, vectors * S::LANES);
        for row in 0..rows {
            let scores = &mut scratch.scores[row * LEFT_STRIDE..(row + 1) * LEFT_STRIDE];
            let query = self.queries.start + group + row;
            let offset = self.bias.map_or(0.0, |bias| {
                bias.apply(self.head / self.q.heads, query, from, &mut scores[..cols])
            });
            let running = &mut scratch.running[group + row];
            // SAFETY: a row of scores holds `DEPTH` numbers, at least `vectors * S::LANES`.
            let factor = unsafe { running.update(s, scores.as_mut_ptr(), vectors, offset) };
            if factor != 1.0 {
                for sum in &mut scratch.sums[(group + row) * values.width..][..values.width] {
                    *sum *= factor;
                }
            }
        }
        let right =
            &values.data[self.head * values.head + from * values.width..][..cols * values.width];
        // SAFETY: weights of `rows` rows and `cols` columns, `cols` rows of values, sums of `rows` rows; all of whole vectors.
        unsafe {
            let p = Product {
                depth: cols,
                left: scratch.scores.as_ptr(),
                right: right.as_ptr(),
                right_stride: values.width,
                out: scratch.sums.as_mut_ptr().add(group * values.width),
                out_stride: values.width,
                start: Start::Output,
            };
            product(s, rows, values.width / S::LANES, p);
        }
    }

    /// Divides by the sums of weights and writes the rows out.
    #[inline(always)]
    fn finish(&mut self) {
        let (q, width) = (self.q, self.values.width);
        let (batch, head) = (self.head / q.heads, self.head % q.heads);
        for (row, query) in self.queries.clone().enumerate() {
            let sums = &mut self.scratch.sums[row * width..][..self.value_dim];
            let scale = 1.0 / self.scratch.running[row].sum;
            sums.iter_mut().for_each(|x| *x *= scale);
            let at = ((batch * q.len + query) * q.heads + head) * self.value_dim;
            // SAFETY: each row of each head belongs to one task.
            narrow(sums, unsafe { self.out.part(at, self.value_dim) });
        }
    }
}
