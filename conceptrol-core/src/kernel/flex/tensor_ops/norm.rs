use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use crate::kernel::flex::{
    norm::{self, GroupNorm, RowNorm},
    scalar::Scalar,
    tensor::{build, contiguous, from_flex, on_flex, widened, with_scalar},
};

/// [`group_norm`](crate::kernel::group_norm).
pub(crate) fn group_norm(
    x: &Tensor<4>,
    groups: usize,
    gamma: &Tensor<1>,
    beta: &Tensor<1>,
    eps: f64,
    silu: bool,
) -> Option<Tensor<4>> {
    let [_, channels, height, width] = x.dims();
    if [gamma.dims()[0], beta.dims()[0]] != [channels; 2] {
        return None;
    }
    let (gamma, beta) = (widened(&on_flex(gamma)?), widened(&on_flex(beta)?));
    let (gamma, beta, pixels) = (&gamma, &beta, height * width);
    let norm = GroupNorm {
        groups,
        channels,
        pixels,
        gamma,
        beta,
        eps,
        silu,
    };
    Some(from_flex(with_scalar!(
        x.dtype(),
        run_group_norm(&on_flex(x)?, norm)
    )))
}

fn run_group_norm<E: Scalar>(x: &FlexTensor, norm: GroupNorm<'_>) -> FlexTensor {
    let mut copy = None;
    let from = contiguous::<E>(x, &mut copy);
    // SAFETY: every group is written.
    unsafe {
        build(x.layout().shape().clone(), |to| {
            norm::group_norm(norm, from, to)
        })
    }
}

/// Normalisation of the last axis: layer norm if `centred`, else root mean square.
pub(crate) fn row_norm<const D: usize>(
    x: &Tensor<D>,
    gamma: Option<&Tensor<1>>,
    beta: Option<&Tensor<1>>,
    eps: f64,
    centred: bool,
) -> Option<Tensor<D>> {
    let width = x.dims()[D - 1];
    let parameter = |parameter: Option<&Tensor<1>>, absent: f32| {
        let Some(parameter) = parameter else {
            return Some(vec![absent; width]);
        };
        let parameter = widened(&on_flex(parameter)?);
        (parameter.len() == width).then_some(parameter)
    };
    let (gamma, beta) = (parameter(gamma, 1.0)?, parameter(beta, 0.0)?);
    let norm = RowNorm {
        width,
        gamma: &gamma,
        beta: &beta,
        eps,
        centred,
    };
    Some(from_flex(with_scalar!(
        x.dtype(),
        run_row_norm(&on_flex(x)?, norm)
    )))
}

fn run_row_norm<E: Scalar>(x: &FlexTensor, norm: RowNorm<'_>) -> FlexTensor {
    let mut copy = None;
    let from = contiguous::<E>(x, &mut copy);
    // SAFETY: every row is written.
    unsafe {
        build(x.layout().shape().clone(), |to| {
            norm::row_norm(norm, from, to)
        })
    }
}
