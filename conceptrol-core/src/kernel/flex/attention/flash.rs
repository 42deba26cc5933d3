use std::{mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use crate::cancel::Cancel;

use super::{
    Heads, Segments,
    online_softmax::{Running, block_columns},
    pack::{KeyPanels, ValueRows},
};
use crate::kernel::{
    LogitBias,
    flex::{
        aligned::Aligned,
        gemm::{Ahead, Gemm, Init, KC, LHS_STRIDE, Packed, Stored, pack_lhs_row},
        scalar::{Scalar, narrow},
        shared::Shared,
        simd::{Job, Simd, vectorised},
    },
};

/// Keys whose scores are alive at once.
const KEYS: usize = KC;
/// Groups of queries of a task: how often a tile of keys is used once it is in the cache.
const GROUPS: usize = 4;

/// `softmax(q k^T / sqrt(dim) + bias) v` into `out`, a contiguous `[batch, q_len, heads, value_dim]`.
pub(crate) fn attention<E: Scalar>(
    q: &Heads<'_, E>,
    k: &Heads<'_, E>,
    v: &Heads<'_, E>,
    bias: Option<&Segments<'_>>,
    out: &mut [MaybeUninit<E>],
) {
    if let (Some(q), Some(k)) = (q.as_bf16x2(), k.as_bf16x2())
        && let (Some(v), Some(out)) = (v.as_bf16(), E::as_bf16_mut(out))
    {
        in_blocks(&q, &k, &v, bias, out);
    } else {
        in_blocks(q, k, v, bias, out);
    }
}

fn in_blocks<T: Stored>(
    q: &Heads<'_, T>,
    k: &Heads<'_, T>,
    v: &Heads<'_, T::Scalar>,
    bias: Option<&Segments<'_>>,
    out: &mut [MaybeUninit<T::Scalar>],
) {
    let block = GROUPS * T::Packed::mr();
    let blocks = q.len.div_ceil(block);
    let dim = q.dim * T::SCALARS;
    let out = Shared::new(out);
    let cancel = Cancel::current();
    (0..q.batch * q.heads * blocks)
        .into_par_iter()
        .for_each_init(
            || Scratch::new(k, v),
            |scratch, task| {
                if cancel.is_cancelled() {
                    return;
                }
                let (head, first) = (task / blocks, task % blocks * block);
                vectorised(Block {
                    q,
                    k,
                    v,
                    head,
                    queries: first..(first + block).min(q.len),
                    scale: (f64::from(std::f32::consts::LOG2_E) / (dim as f64).sqrt()) as f32,
                    bias,
                    out,
                    scratch,
                    kernel: Default::default(),
                });
            },
        );
}

/// Buffers of one thread.
struct Scratch<P> {
    /// The head whose keys and values are packed.
    head: Option<usize>,
    keys: Aligned<P>,
    key_panels: KeyPanels,
    values: Aligned<P>,
    value_rows: ValueRows,
    /// `[dim / KC][block][LHS_STRIDE]`
    queries: Aligned<P>,
    /// `[group][LHS_STRIDE]`
    scores: Aligned,
    weights: Aligned<P>,
    /// `[block][value width]`
    sums: Aligned,
    running: Vec<Running>,
}

impl<P: Packed> Scratch<P> {
    fn new<T: Stored<Packed = P>>(k: &Heads<'_, T>, v: &Heads<'_, T::Scalar>) -> Self {
        let (key_panels, value_rows) = (KeyPanels::of(k), ValueRows::of::<T>(v));
        let (group, block) = (P::mr(), GROUPS * P::mr());
        Self {
            head: None,
            keys: Aligned::zeros(key_panels.head),
            key_panels,
            values: Aligned::zeros(value_rows.head),
            value_rows,
            queries: Aligned::zeros(k.dim.div_ceil(P::KC) * block * LHS_STRIDE),
            scores: Aligned::zeros(group * LHS_STRIDE),
            weights: Aligned::zeros(group * LHS_STRIDE),
            sums: Aligned::zeros(block * value_rows.width),
            running: vec![Running::START; block],
        }
    }
}

/// One head, one block of queries, all keys.
struct Block<'a, T: Stored> {
    q: &'a Heads<'a, T>,
    k: &'a Heads<'a, T>,
    v: &'a Heads<'a, T::Scalar>,
    /// Counted over all batch rows.
    head: usize,
    queries: Range<usize>,
    /// Of scores, to units of `1 / log2(e)`.
    scale: f32,
    bias: Option<&'a Segments<'a>>,
    out: Shared<'a, MaybeUninit<T::Scalar>>,
    scratch: &'a mut Scratch<T::Packed>,
    kernel: <T::Packed as Packed>::Kernel,
}

impl<T: Stored> Job for Block<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.pack_head(s);
        self.load_queries();
        let rows = self.queries.len();
        self.scratch.running.fill(Running::START);
        for from in (0..self.k.len).step_by(KEYS) {
            let keys = from..(from + KEYS).min(self.k.len);
            for group in (0..rows).step_by(T::Packed::mr()) {
                let rows = group..(group + T::Packed::mr()).min(rows);
                if self.blocked(rows.clone(), keys.clone()) {
                    continue;
                }
                self.scores(s, rows.clone(), keys.clone());
                self.weigh(s, rows, keys.clone());
            }
        }
        self.finish();
    }
}

impl<T: Stored> Block<'_, T> {
    /// Keys and values of the head, unless the task before was of the same.
    #[inline(always)]
    fn pack_head<S: Simd>(&mut self, s: S) {
        let scratch = &mut *self.scratch;
        if scratch.head.replace(self.head) != Some(self.head) {
            scratch
                .key_panels
                .pack(s, self.k, self.head, &mut scratch.keys);
            scratch
                .value_rows
                .pack::<T>(self.v, self.head, &mut scratch.values);
        }
    }

    #[inline(always)]
    fn load_queries(&mut self) {
        for (row, query) in self.queries.clone().enumerate() {
            let query = self.q.row(self.head, query).chunks(T::Packed::KC);
            for (chunk, query) in query.enumerate() {
                let at = (chunk * GROUPS * T::Packed::mr() + row) * LHS_STRIDE;
                pack_lhs_row(query, &mut self.scratch.queries[at..]);
            }
        }
    }

    /// Whether a tile would get no weight from any query of a group: all of it is blocked, and other keys have been seen.
    #[inline(always)]
    fn blocked(&self, rows: Range<usize>, keys: Range<usize>) -> bool {
        let queries = self.queries.start + rows.start..self.queries.start + rows.end;
        let seen = |running: &Running| running.max > LogitBias::BLOCKED / 2.0;
        self.bias.is_some_and(|bias| {
            bias.blocks(self.head / self.q.heads, queries, keys)
                && self.scratch.running[rows].iter().all(seen)
        })
    }

    /// Scores of a group of queries against the keys of a tile.
    #[inline(always)]
    fn scores<S: Simd>(&mut self, s: S, rows: Range<usize>, keys: Range<usize>) {
        let scratch = &mut *self.scratch;
        let KeyPanels { nr, panel, .. } = scratch.key_panels;
        for column in (0..keys.len()).step_by(nr) {
            let panel = &scratch.keys[(keys.start + column) / nr * panel..][..panel];
            for (chunk, panel) in panel.chunks(T::Packed::KC * nr).enumerate() {
                let first = chunk * GROUPS * T::Packed::mr() + rows.start;
                let lhs = &scratch.queries[first * LHS_STRIDE..][..rows.len() * LHS_STRIDE];
                let init = if chunk == 0 { Init::Zero } else { Init::Out };
                // Of the last panel only the vectors that hold keys.
                let vectors = (keys.len() - column).div_ceil(S::LANES).min(S::NR_VECTORS);
                // SAFETY: `lhs` holds the rows; the panel holds `k` rows of `nr` columns; the scores of a group hold `KEYS`
                // columns, a multiple of `nr`, and `column` is one too.
                unsafe {
                    let gemm = Gemm {
                        k: panel.len() / nr,
                        lhs: lhs.as_ptr(),
                        rhs: panel.as_ptr(),
                        rhs_stride: nr,
                        out: scratch.scores.as_mut_ptr().add(column),
                        out_stride: LHS_STRIDE,
                        init,
                        ahead: Ahead::NOTHING,
                    };
                    let kernel = &mut self.kernel;
                    T::Packed::macro_kernel(kernel, s, rows.len(), vectors, gemm);
                }
            }
        }
    }

    /// Turns scores into weights and adds the values of the tile by them.
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, s: S, rows: Range<usize>, keys: Range<usize>) {
        let scratch = &mut *self.scratch;
        let (width, cols) = (scratch.value_rows.width, keys.len());
        let vectors = cols.div_ceil(S::LANES);
        block_columns(&mut scratch.scores, rows.len(), cols, vectors * S::LANES);
        for (scores, row) in scratch
            .scores
            .chunks_exact_mut(LHS_STRIDE)
            .zip(rows.clone())
        {
            let query = self.queries.start + row;
            let offset = self.bias.map_or(0.0, |bias| {
                let scores = &mut scores[..cols];
                bias.apply(
                    self.head / self.q.heads,
                    query,
                    keys.start,
                    self.scale,
                    scores,
                )
            });
            let running = &mut scratch.running[row];
            // SAFETY: a row of scores holds `KEYS` numbers, at least `vectors * S::LANES`.
            let factor =
                unsafe { running.update(s, scores.as_mut_ptr(), vectors, self.scale, offset) };
            if factor != 1.0 && keys.start > 0 {
                for sum in &mut scratch.sums[row * width..][..width] {
                    *sum *= factor;
                }
            }
        }
        let k = cols.div_ceil(T::SCALARS);
        let rhs = &scratch.values[keys.start / T::SCALARS * width..][..k * width];
        let lhs = T::Packed::lhs_of_f32(&scratch.scores, rows.len(), k, &mut scratch.weights);
        // SAFETY: weights of all rows and columns, as many rows of values, sums of all rows; all of whole vectors.
        unsafe {
            let gemm = Gemm {
                k,
                lhs: lhs.as_ptr(),
                rhs: rhs.as_ptr(),
                rhs_stride: width,
                out: scratch.sums.as_mut_ptr().add(rows.start * width),
                out_stride: width,
                // No query skips the first tile.
                init: if keys.start == 0 {
                    Init::Zero
                } else {
                    Init::Out
                },
                ahead: Ahead::NOTHING,
            };
            T::Packed::macro_kernel(&mut self.kernel, s, rows.len(), width / S::LANES, gemm);
        }
    }

    /// Divides by the sums of weights and writes the rows out.
    #[inline(always)]
    fn finish(&mut self) {
        let (q, width, dim) = (self.q, self.scratch.value_rows.width, self.v.dim);
        let (batch, head) = (self.head / q.heads, self.head % q.heads);
        for (row, query) in self.queries.clone().enumerate() {
            let sums = &mut self.scratch.sums[row * width..][..dim];
            let scale = 1.0 / self.scratch.running[row].sum;
            let at = ((batch * q.len + query) * q.heads + head) * dim;
            // SAFETY: each row of each head belongs to one task.
            let to = unsafe { self.out.part(at, dim) };
            if let Some(to) = T::Scalar::as_f32_mut(to) {
                for (to, x) in to.iter_mut().zip(sums) {
                    to.write(*x * scale);
                }
            } else {
                sums.iter_mut().for_each(|x| *x *= scale);
                narrow(sums, to);
            }
        }
    }
}
