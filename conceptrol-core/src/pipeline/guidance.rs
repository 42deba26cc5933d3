//! Classifier-free guidance.

use burn::tensor::Tensor;

/// How strongly the prompt is followed: diffusers' `guidance_scale`.
///
/// Stable Diffusion mixes an unconditional and a conditional prediction. FLUX.1-dev has guidance built in and reads the
/// scale as an input; FLUX.1-schnell has none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Guidance {
    /// Scale; the family's own if `None`. Mixing is off, and costs nothing, at 1 and below.
    pub scale: Option<f64>,
    /// Share of the rescaling that keeps the contrast at high scales, 0 to 1.
    pub rescale: f64,
}

/// `u + scale * (c - u)` of the unconditional and conditional rows of `output`, with the rescaling of section 3.4 of
/// arXiv 2305.08891.
///
/// # Shapes
///
/// `output`: `[2 x images, channels, height, width]`, unconditional rows first -> `[images, channels, height, width]`
pub(super) fn mix(output: &Tensor<4>, scale: f64, rescale: f64) -> Tensor<4> {
    let images = output.dims()[0] / 2;
    let unconditional = output.clone().slice_dim(0, 0..images);
    let conditional = output.clone().slice_dim(0, images..2 * images);
    let mixed = unconditional.clone() + (conditional.clone() - unconditional) * scale;
    if rescale == 0.0 {
        return mixed;
    }
    let rescaled = mixed.clone() * (deviation(conditional) / deviation(mixed.clone()));
    rescaled * rescale + mixed * (1.0 - rescale)
}

/// Standard deviation of each picture, `[images, 1, 1, 1]`.
fn deviation(x: Tensor<4>) -> Tensor<4> {
    let images = x.dims()[0];
    x.reshape([images as i32, -1])
        .var(1)
        .sqrt()
        .reshape([images, 1, 1, 1])
}
