//! Weighted sums of tensors with weights known on the host: all that a scheduler computes on the device.

use burn::tensor::{FloatDType, Tensor};

/// Sum of `weight * tensor`. Terms of weight zero are left out, so what they hold cannot reach the sum.
///
/// # Panics
///
/// If there is no term at all.
pub(super) fn combine(terms: &[(f32, &Tensor<4>)]) -> Tensor<4> {
    let scaled = |(weight, tensor): &(f32, &Tensor<4>)| match *weight {
        1.0 => (*tensor).clone(),
        weight => (*tensor).clone().mul_scalar(weight),
    };
    let sum = terms
        .iter()
        .filter(|(weight, _)| *weight != 0.0)
        .map(scaled)
        .reduce(Tensor::add);
    sum.unwrap_or_else(|| {
        terms
            .first()
            .expect("a combination has a term")
            .1
            .zeros_like()
    })
}

/// A tensor in single precision, in which diffusers computes its updates whatever the model's dtype.
pub(super) fn single(tensor: Tensor<4>) -> Tensor<4> {
    tensor.cast(FloatDType::F32)
}
