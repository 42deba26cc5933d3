use rayon::prelude::*;

use super::{
    Heads,
    online_softmax::{NOTHING, Running},
    pack::KeyPanels,
};
use crate::kernel::flex::{
    aligned::Aligned,
    gemm::{Ahead, Gemm, Init, KC, LHS_STRIDE, macro_kernel},
    scalar::{Scalar, widen},
    simd::{Job, Simd, vectorised},
};

/// Queries of a task.
const GROUP: usize = 24;

/// `mean over heads of softmax(q k^T / sqrt(dim))` into `out`, a contiguous `[batch, q_len, k_len]`.
pub(crate) fn text_map<E: Scalar>(q: &Heads<'_, E>, k: &Heads<'_, E>, out: &mut [f32]) {
    let layout = KeyPanels::of(k);
    let mut keys = Aligned::zeros(k.batch * k.heads * layout.head);
    keys.par_chunks_exact_mut(layout.head.max(1))
        .enumerate()
        .for_each(|(index, to)| {
            vectorised(PackHead {
                layout,
                k,
                index,
                to,
            });
        });
    let stride = k.len.next_multiple_of(layout.nr);
    for (batch, out) in out.chunks_exact_mut((q.len * k.len).max(1)).enumerate() {
        out.par_chunks_mut((GROUP * k.len).max(1))
            .enumerate()
            .for_each_init(
                || {
                    let queries = vec![0.0; q.dim.div_ceil(KC) * GROUP * LHS_STRIDE];
                    (queries, vec![0.0; GROUP * stride])
                },
                |(queries, scores), (group, out)| {
                    vectorised(Group {
                        q,
                        batch,
                        first: group * GROUP,
                        keys: &keys,
                        layout,
                        k_len: k.len,
                        queries,
                        scores,
                        out,
                    });
                },
            );
    }
}

/// The keys of one head.
struct PackHead<'a, E> {
    layout: KeyPanels,
    k: &'a Heads<'a, E>,
    index: usize,
    to: &'a mut [f32],
}

impl<E: Scalar> Job for PackHead<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.layout.pack(s, self.k, self.index, self.to);
    }
}

/// All heads of one group of queries.
struct Group<'a, E> {
    q: &'a Heads<'a, E>,
    batch: usize,
    first: usize,
    /// Of all heads.
    keys: &'a [f32],
    layout: KeyPanels,
    k_len: usize,
    queries: &'a mut [f32],
    scores: &'a mut [f32],
    out: &'a mut [f32],
}

impl<E: Scalar> Job for Group<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (q, layout) = (self.q, self.layout);
        let rows = self.out.len() / self.k_len;
        let stride = self.k_len.next_multiple_of(layout.nr);
        let scale = (f64::from(std::f32::consts::LOG2_E) / (q.dim as f64).sqrt()) as f32;
        self.out.fill(0.0);
        for head in 0..q.heads {
            let head = self.batch * q.heads + head;
            for row in 0..rows {
                let query = q.row(head, self.first + row);
                for (chunk, query) in query.chunks(KC).enumerate() {
                    widen(
                        query,
                        &mut self.queries[(chunk * GROUP + row) * LHS_STRIDE..],
                    );
                }
            }
            let panels = &self.keys[head * layout.head..][..layout.head];
            for (index, panel) in panels.chunks_exact(layout.panel).enumerate() {
                for (chunk, panel) in panel.chunks(KC * layout.nr).enumerate() {
                    let init = if chunk == 0 { Init::Zero } else { Init::Out };
                    // SAFETY: queries hold `rows <= GROUP` rows a chunk; the panel whole rows of `nr`; scores `rows` rows
                    // of all panels.
                    unsafe {
                        let gemm = Gemm {
                            k: panel.len() / layout.nr,
                            lhs: self.queries.as_ptr().add(chunk * GROUP * LHS_STRIDE),
                            rhs: panel.as_ptr(),
                            rhs_stride: layout.nr,
                            out: self.scores.as_mut_ptr().add(index * layout.nr),
                            out_stride: stride,
                            init,
                            ahead: Ahead::NOTHING,
                        };
                        macro_kernel(s, rows, S::NR_VECTORS, gemm);
                    }
                }
            }
            for (scores, out) in self
                .scores
                .chunks_exact_mut(stride)
                .zip(self.out.chunks_exact_mut(self.k_len))
            {
                scores[self.k_len..].fill(NOTHING);
                let mut running = Running::START;
                // SAFETY: `stride` is a whole number of vectors.
                unsafe { running.update(s, scores.as_mut_ptr(), stride / S::LANES, scale, 0.0) };
                let scale = 1.0 / (running.sum * q.heads as f32);
                for (out, weight) in out.iter_mut().zip(&*scores) {
                    *out += weight * scale;
                }
            }
        }
    }
}
