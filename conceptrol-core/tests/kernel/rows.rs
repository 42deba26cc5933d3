use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::kernel::{add_gated, rotary};

use crate::numbers::{close, numbers};

/// In f64 there is no kernel of ours: the portable form.
fn wide<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone().cast(FloatDType::F64)
}

#[test]
fn rotation_agrees_with_its_portable_form() {
    let x = numbers([2, 5, 3, 22], 1);
    let (cos, sin) = (numbers([1, 5, 1, 22], 2), numbers([1, 5, 1, 22], 3));
    let expected = rotary(wide(&x), &wide(&cos), &wide(&sin));
    close(&rotary(x, &cos, &sin), &expected, 2e-7);
}

#[test]
fn rotation_turns_pairs() {
    let x: Tensor<4> = numbers([1, 1, 1, 4], 1);
    let (zeros, ones) = (x.zeros_like(), x.ones_like());
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| x.clone().narrow(3, at, 1));
    let expected = Tensor::cat(vec![b.neg(), a, d.neg(), c], 3);
    close(&rotary(x, &zeros, &ones), &expected, 0.0);
}

#[test]
fn gated_residual_agrees_with_its_portable_form() {
    let (x, branch) = (numbers([2, 5, 37], 1), numbers([2, 5, 37], 2));
    let gate = numbers([2, 1, 37], 3);
    let expected = add_gated(wide(&x), wide(&branch), &wide(&gate));
    close(&add_gated(x, branch, &gate), &expected, 2e-7);
}
