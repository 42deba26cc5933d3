//! Row or picture `i` of a batch has the same bits as alone: no kernel chooses its order of sums by the size of the batch.

use std::ops::Range;

use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::Grid;
use conceptrol_core::kernel::{
    LogitBias, add, add_gated, attention, conv2d, geglu, gelu, gelu_tanh, group_norm, layer_norm,
    linear, quick_gelu, rms_norm, rotary, silu, softmax, text_map, upsample_nearest2x,
};
use conceptrol_core::mask::{ConceptMask, MaskNorm, ResizeFilter};
use proptest::prelude::*;

use crate::numbers::{bits, numbers};

const TYPES: [FloatDType; 3] = [FloatDType::F32, FloatDType::BF16, FloatDType::F16];

/// Fails unless `run` gives the rows of any part of a batch the bits that it gives them alone. `run` is asked for rows `range` of
/// inputs of `batch` rows.
fn rows_do_not_see_each_other<const D: usize>(
    batch: usize,
    run: impl Fn(Range<usize>) -> Tensor<D>,
) {
    let all = run(0..batch);
    let alone: Vec<Vec<u8>> = (0..batch).map(|row| bits(run(row..row + 1))).collect();
    for (row, alone) in alone.iter().enumerate() {
        let together = bits(all.clone().narrow(0, row, 1));
        assert_eq!(&together, alone, "row {row} of a batch of {batch}");
    }
    // The rows without the first one: views that begin elsewhere.
    let rest = run(1.min(batch - 1)..batch);
    let last = rest.dims()[0] - 1;
    assert_eq!(bits(rest.narrow(0, last, 1)), alone[batch - 1]);
}

/// Rows `range`, as a view.
fn cut<const D: usize>(x: &Tensor<D>, range: Range<usize>) -> Tensor<D> {
    x.clone().slice_dim(0, range)
}

fn dtype() -> impl Strategy<Value = FloatDType> {
    prop::sample::select(TYPES.to_vec())
}

/// Numbers as a model has them: large sums, and some values that lie far from the others.
fn inputs<const D: usize>(shape: [usize; D], seed: u32, dtype: FloatDType) -> Tensor<D> {
    let x = numbers(shape, seed);
    (x.clone() + x.powi_scalar(9) * 8.0).cast(dtype)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn linear_of_tokens(
        dtype in dtype(), batch in 1usize..10, tokens in 1usize..80,
        d_in in 1usize..700, d_out in 1usize..150, biased: bool,
    ) {
        let (x, weight) = (inputs([batch, tokens, d_in], 1, dtype), inputs([d_out, d_in], 2, dtype));
        let bias = biased.then(|| inputs([d_out], 3, dtype));
        rows_do_not_see_each_other(batch, |rows| linear(cut(&x, rows), weight.clone(), bias.clone()));
    }

    /// Embeddings of time, sizes and pooled text: a row for each picture.
    #[test]
    fn linear_of_vectors(dtype in dtype(), batch in 1usize..10, d_in in 1usize..1500, d_out in 1usize..400) {
        let (x, weight) = (inputs([batch, d_in], 1, dtype), inputs([d_out, d_in], 2, dtype));
        let bias = inputs([d_out], 3, dtype);
        rows_do_not_see_each_other(batch, |rows| linear(cut(&x, rows), weight.clone(), Some(bias.clone())));
    }

    #[test]
    fn attention_with_and_without_bias(
        dtype in dtype(), batch in 1usize..10, (q_len, k_len) in (1usize..110, 1usize..300),
        (dim, value_dim) in (1usize..70, 1usize..70), biased: bool, blocked: bool, shared: bool,
    ) {
        let heads = 2;
        let q = inputs([batch, heads, q_len, dim], 1, dtype);
        let k = inputs([batch, heads, k_len, dim], 2, dtype);
        let v = inputs([batch, heads, k_len, value_dim], 3, dtype);
        let bias_rows = if shared { 1 } else { batch };
        let mut values = numbers([bias_rows, 2, q_len], 4) * 3.0;
        if blocked {
            // One range, for the last row only.
            let last = bias_rows - 1;
            let blocked = Tensor::full([1, 1, q_len], LogitBias::BLOCKED, &values.device());
            values = values.slice_assign([last..last + 1, 1..2, 0..q_len], blocked);
        }
        let bias = |rows: Range<usize>| {
            let values = if shared { values.clone() } else { cut(&values, rows) };
            LogitBias::new(vec![0..k_len / 3, k_len / 2..k_len], values)
        };
        rows_do_not_see_each_other(batch, |rows| {
            let bias = biased.then(|| bias(rows.clone()));
            attention(cut(&q, rows.clone()), cut(&k, rows.clone()), cut(&v, rows), bias.as_ref())
        });
    }

    /// Heads cut out of one sequence of query, key and value, at places and in rows of odd lengths.
    #[test]
    fn attention_of_views(
        dtype in dtype(), batch in 1usize..10, len in 1usize..40, dim in 1usize..40, odd in 0usize..3,
    ) {
        let joined = inputs([batch, len, 2, 3 * dim + odd], 1, dtype).swap_dims(1, 2);
        rows_do_not_see_each_other(batch, |rows| {
            let part = |index: usize| cut(&joined, rows.clone()).narrow(3, index * dim + odd, dim);
            attention(part(0), part(1), part(2), None)
        });
    }

    #[test]
    fn text_maps(
        dtype in dtype(), batch in 1usize..10, heads in 1usize..4,
        q_len in 1usize..60, text_len in 1usize..90, dim in 1usize..300,
    ) {
        let q = inputs([batch, heads, q_len, dim], 1, dtype);
        let k = inputs([batch, heads, text_len, dim], 2, dtype);
        rows_do_not_see_each_other(batch, |rows| text_map(cut(&q, rows.clone()), cut(&k, rows)));
    }

    #[test]
    fn norms_and_softmax_of_rows(dtype in dtype(), batch in 1usize..10, tokens in 1usize..40, width in 1usize..1300) {
        let x = inputs([batch, tokens, width], 1, dtype);
        let (gamma, beta) = (inputs([width], 2, dtype), inputs([width], 3, dtype));
        rows_do_not_see_each_other(batch, |rows| layer_norm(cut(&x, rows), Some(gamma.clone()), Some(beta.clone()), 1e-5));
        rows_do_not_see_each_other(batch, |rows| layer_norm(cut(&x, rows), None, None, 1e-6));
        rows_do_not_see_each_other(batch, |rows| rms_norm(cut(&x, rows), gamma.clone(), 1e-6));
        rows_do_not_see_each_other(batch, |rows| softmax(cut(&x, rows)));
    }

    #[test]
    fn group_norms(
        dtype in dtype(), batch in 1usize..10, groups in 1usize..5, of_group in 1usize..5,
        (height, width) in (1usize..20, 1usize..20), activated: bool,
    ) {
        let channels = groups * of_group;
        let x = inputs([batch, channels, height, width], 1, dtype);
        let (gamma, beta) = (inputs([channels], 2, dtype), inputs([channels], 3, dtype));
        rows_do_not_see_each_other(batch, |rows| {
            group_norm(cut(&x, rows), groups, gamma.clone(), beta.clone(), 1e-5, activated)
        });
    }

    /// Of all shapes: minimal filtering, shifted rows, strides, kernels as large as the stride.
    #[test]
    fn convolutions(
        dtype in dtype(), batch in 1usize..10, (height, width) in (3usize..14, 3usize..14),
        (c_in, c_out) in (1usize..50, 1usize..50), (kernel, stride, padding) in prop::sample::select(vec![
            (3, 1, [(1, 1); 2]), (3, 1, [(0, 0); 2]), (1, 1, [(0, 0); 2]), (3, 2, [(1, 1); 2]), (3, 2, [(0, 1); 2]),
            (2, 2, [(0, 0); 2]), (1, 2, [(0, 0); 2]), (2, 1, [(1, 0), (0, 2)]),
        ]),
        biased: bool,
    ) {
        let x = inputs([batch, c_in, height, width], 1, dtype);
        let weight = inputs([c_out, c_in, kernel, kernel], 2, dtype);
        let bias = biased.then(|| inputs([c_out], 3, dtype));
        rows_do_not_see_each_other(batch, |rows| {
            conv2d(cut(&x, rows), weight.clone(), bias.clone(), stride, padding)
        });
    }

    #[test]
    fn elementwise_functions(dtype in dtype(), batch in 1usize..10, tokens in 1usize..40, half in 1usize..300) {
        let width = 2 * half;
        let x = inputs([batch, tokens, width], 1, dtype);
        for function in [silu, gelu, gelu_tanh, quick_gelu, geglu] {
            rows_do_not_see_each_other(batch, |rows| function(cut(&x, rows)));
        }
        let (branch, gate) = (inputs([batch, tokens, width], 2, dtype), inputs([batch, 1, width], 3, dtype));
        rows_do_not_see_each_other(batch, |rows| {
            add_gated(cut(&x, rows.clone()), cut(&branch, rows.clone()), &cut(&gate, rows))
        });
        let other = inputs([batch, tokens, width], 2, dtype);
        rows_do_not_see_each_other(batch, |rows| add(cut(&x, rows.clone()), cut(&other, rows)));
        let [cos, sin] = [4, 5].map(|seed| inputs([1, tokens, 1, width], seed, dtype));
        rows_do_not_see_each_other(batch, |rows| {
            rotary(cut(&x, rows).unsqueeze_dim(2), &cos, &sin)
        });
    }

    /// What becomes of a text map, which is not computed by kernels of ours.
    #[test]
    fn masks(
        batch in 1usize..10, (height, width) in (1usize..20, 1usize..20), (to_height, to_width) in (1usize..20, 1usize..20),
    ) {
        let values = numbers([batch, height * width], 1).abs();
        for norm in [MaskNorm::None, MaskNorm::Max, MaskNorm::Mean] {
            for filter in [ResizeFilter::Nearest, ResizeFilter::Bilinear, ResizeFilter::Area] {
                rows_do_not_see_each_other(batch, |rows| {
                    let mask = ConceptMask::new(cut(&values, rows), Grid::new(height, width)).expect("as many cells");
                    mask.normalized(norm).resized(Grid::new(to_height, to_width), filter).values().clone()
                });
            }
        }
        let pixels = numbers([batch, 3, height, width], 2);
        rows_do_not_see_each_other(batch, |rows| upsample_nearest2x(cut(&pixels, rows)));
    }
}

/// Sizes of real models, on both sides of every block size.
#[test]
fn sizes_of_models() {
    for dtype in TYPES {
        for (batch, tokens, d_in, d_out) in [
            (9, 1, 2816, 320),
            (5, 77, 768, 160),
            (3, 96, 320, 96),
            (4, 73, 1280, 64),
            (2, 289, 64, 40),
        ] {
            let x = inputs([batch, tokens, d_in], 1, dtype);
            let weight = inputs([d_out, d_in], 2, dtype);
            rows_do_not_see_each_other(batch, |rows| linear(cut(&x, rows), weight.clone(), None));
        }
        for (batch, c_in, c_out, side, kernel) in [
            (5, 320, 64, 8, 3),
            (5, 130, 64, 13, 3),
            (3, 4, 64, 16, 3),
            (7, 130, 100, 5, 1),
        ] {
            let x = inputs([batch, c_in, side, side], 1, dtype);
            let weight = inputs([c_out, c_in, kernel, kernel], 2, dtype);
            let padding = [(kernel / 2, kernel / 2); 2];
            rows_do_not_see_each_other(batch, |rows| {
                conv2d(cut(&x, rows), weight.clone(), None, 1, padding)
            });
        }
    }
}
