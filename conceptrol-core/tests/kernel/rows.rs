use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::kernel::{add, add_gated, add_weighted, rotary};

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
fn sums_leave_what_others_hold_alone() {
    let x: Tensor<3> = numbers([2, 37, 1001], 1);
    let before = x.clone().into_data();
    // of one that is held, of a part, of an exchange of axes, and in the place of one that is not held
    let part = |x: &Tensor<3>| x.clone().narrow(1, 3, 30);
    let turned = |x: &Tensor<3>| x.clone().swap_dims(1, 2);
    let y = numbers([2, 37, 1001], 2);
    close(&add(x.clone(), y.clone()), &(x.clone() + y.clone()), 0.0);
    close(&add(part(&x), part(&y)), &(part(&x) + part(&y)), 0.0);
    close(
        &add(turned(&x), turned(&y)),
        &(turned(&x) + turned(&y)),
        0.0,
    );
    close(
        &add(x.clone() * 2.0, y.clone()),
        &(x.clone() * 2.0 + y),
        0.0,
    );
    x.into_data().assert_eq(&before, true);
}

#[test]
fn weighted_sums_agree_with_their_portable_form() {
    let (x, term) = (numbers::<3>([3, 50, 700], 1), numbers([3, 50, 700], 2));
    for batch in [1, 3] {
        let weights = numbers::<2>([batch, 50], 3);
        let expected = add_weighted(wide(&x), wide(&term), wide(&weights));
        let sum = add_weighted(x.clone(), term.clone(), weights.clone());
        close(&sum, &expected, 2e-7);
        let fresh = add_weighted(x.clone() * 1.0, term.clone(), weights);
        close(&fresh, &sum, 0.0);
    }
}

#[test]
fn gated_residual_agrees_with_its_portable_form() {
    let (x, branch) = (numbers([2, 5, 37], 1), numbers([2, 5, 37], 2));
    let gate = numbers([2, 1, 37], 3);
    let expected = add_gated(wide(&x), wide(&branch), &wide(&gate));
    close(&add_gated(x, branch, &gate), &expected, 2e-7);
}
