use burn::tensor::{Bytes, Tensor};
use burn_flex::{FlexTensor, Layout};

use crate::kernel::flex::{
    residual,
    scalar::Scalar,
    tensor::{build, contiguous, from_flex, on_flex, widened, with_scalar},
};

/// [`add_gated`](crate::kernel::add_gated).
pub(crate) fn add_gated(x: &Tensor<3>, branch: &Tensor<3>, gate: &Tensor<3>) -> Option<Tensor<3>> {
    let [batch, _, width] = x.dims();
    let fits = branch.dims() == x.dims() && gate.dims() == [batch, 1, width];
    if !fits || branch.dtype() != x.dtype() {
        return None; // the portable form broadcasts, or says what is wrong
    }
    let (dtype, gate) = (x.dtype(), widened(&on_flex(gate)?));
    let (x, branch) = (on_flex(x)?, on_flex(branch)?);
    let out = with_scalar!(dtype, run_add_gated(&x, &branch, &gate));
    Some(from_flex(out))
}

fn run_add_gated<E: Scalar>(x: &FlexTensor, branch: &FlexTensor, gate: &[f32]) -> FlexTensor {
    let dims = x.layout().shape().dims();
    let (mut x_copy, mut branch_copy) = (None, None);
    let numbers = contiguous::<E>(x, &mut x_copy);
    let branch = contiguous::<E>(branch, &mut branch_copy);
    // SAFETY: every token is written.
    unsafe {
        build(x.layout().shape().clone(), |to| {
            residual::add_gated(numbers, branch, gate, dims, to)
        })
    }
}

/// [`add`](crate::kernel::add); in the place of `x` if nobody else holds it. Gives `x` back where the portable form must serve.
pub(crate) fn add<const D: usize>(x: Tensor<D>, y: &Tensor<D>) -> Result<Tensor<D>, Tensor<D>> {
    if x.dims() != y.dims() || x.dtype() != y.dtype() {
        return Err(x); // the portable form broadcasts, or says what is wrong
    }
    let (Some(left), Some(right)) = (on_flex(&x), on_flex(y)) else {
        return Err(x);
    };
    let dtype = x.dtype();
    drop(x); // else its memory would be shared
    Ok(from_flex(with_scalar!(dtype, run_add(left, &right))))
}

fn run_add<E: Scalar>(x: FlexTensor, y: &FlexTensor) -> FlexTensor {
    let mut copy = None;
    let y = contiguous::<E>(y, &mut copy);
    in_place(x, |x: &mut [E]| residual::add(x, y))
}

/// [`add_weighted`](crate::kernel::add_weighted); as [`add`].
pub(crate) fn add_weighted(
    x: Tensor<3>,
    term: &Tensor<3>,
    weights: &Tensor<2>,
) -> Result<Tensor<3>, Tensor<3>> {
    let [batch, tokens, width] = x.dims();
    let rows = weights.dims();
    let fits = x.dims() == term.dims() && (rows == [batch, tokens] || rows == [1, tokens]);
    if !fits || x.dtype() != term.dtype() || width == 0 || tokens == 0 {
        return Err(x); // the portable form says what is wrong
    }
    let (Some(left), Some(right), Some(weights)) = (on_flex(&x), on_flex(term), on_flex(weights))
    else {
        return Err(x);
    };
    let (dtype, weights) = (x.dtype(), widened(&weights));
    drop(x); // else its memory would be shared
    let sum = with_scalar!(dtype, run_add_weighted(left, &right, &weights, width));
    Ok(from_flex(sum))
}

fn run_add_weighted<E: Scalar>(
    x: FlexTensor,
    term: &FlexTensor,
    weights: &[f32],
    width: usize,
) -> FlexTensor {
    let mut copy = None;
    let term = contiguous::<E>(term, &mut copy);
    in_place(x, |x: &mut [E]| {
        residual::add_weighted(x, term, weights, width);
    })
}

/// `change` of the numbers of `x`, or of a copy where they are not in order or others hold them, too.
fn in_place<E: Scalar>(x: FlexTensor, change: impl FnOnce(&mut [E])) -> FlexTensor {
    let mut x = match x.as_slice::<E>() {
        Some(_) => x,
        None => x.to_contiguous(),
    };
    let (start, len) = (x.layout().start_offset(), x.layout().num_elements());
    if let Some(numbers) = x.try_storage_mut::<E>() {
        change(&mut numbers[start..start + len]);
        return x;
    }
    let mut numbers = x.as_slice::<E>().expect("contiguous").to_vec();
    change(&mut numbers);
    let layout = Layout::contiguous(x.layout().shape().clone());
    FlexTensor::new(Bytes::from_elems(numbers), layout, E::dtype())
}
