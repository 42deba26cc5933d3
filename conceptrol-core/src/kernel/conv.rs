use burn::tensor::{
    Tensor, module,
    ops::{ConvOptions, InterpolateMode, InterpolateOptions},
};

/// Two-dimensional convolution (cross-correlation, as everywhere in deep learning) without dilation or groups.
///
/// # Shapes
/// - x: `[batch, c_in, height, width]`
/// - weight: `[c_out, c_in, kernel_height, kernel_width]`
/// - bias: `[c_out]`
/// - padding: zeros `(before, after)` on the height, then on the width
/// - output: `[batch, c_out, (height + padding - kernel_height) / stride + 1, ..]`
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: [(usize, usize); 2],
) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(y) = super::flex::conv2d(&x, &weight, bias.as_ref(), stride, padding) {
        return y;
    }
    let options = ConvOptions::new_with_padding([stride, stride], padding, [1, 1], 1);
    module::conv2d(x, weight, bias, options)
}

/// Doubles height and width by repeating each pixel.
///
/// # Shapes
/// - x: `[batch, channels, height, width]`
/// - output: `[batch, channels, 2 * height, 2 * width]`
pub fn upsample_nearest2x(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let options =
        InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([2 * height, 2 * width]);
    module::interpolate(x, options)
}
