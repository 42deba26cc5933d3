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
///
/// # Panics
/// If the shapes do not fit each other, `stride` is zero, or the kernel is larger than the padded picture.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::conv2d;
///
/// let device = Device::flex();
/// let x = Tensor::<4>::from_data([[[[1.0, 2.0, 3.0]]]], &device);
/// let sums = Tensor::<4>::ones([1, 1, 1, 3], &device);
/// let y = conv2d(x, sums, None, 1, [(0, 0), (1, 1)]);
/// assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [3.0, 6.0, 5.0]);
/// ```
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
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::kernel::upsample_nearest2x;
///
/// let x = Tensor::<4>::from_data([[[[1.0, 2.0]]]], &Device::flex());
/// let y = upsample_nearest2x(x);
/// assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
/// ```
pub fn upsample_nearest2x(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let options =
        InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([2 * height, 2 * width]);
    module::interpolate(x, options)
}
