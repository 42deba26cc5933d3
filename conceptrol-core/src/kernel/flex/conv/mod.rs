//! Convolution on `[batch, channels, height, width]` as it is: no other layout, no image-to-column matrix, no reordered
//! weights. The output of a convolution is a product of the weight, as stored, with shifted rows of the image.

mod direct;
mod shape;
mod winograd;

pub(crate) use direct::direct;
pub(crate) use shape::ConvShape;
pub(crate) use winograd::winograd;
