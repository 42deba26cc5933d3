//! The operations on tensors. Each gives nothing where the portable form must serve: on other devices and dtypes, and where
//! shapes do not fit, of which the portable form tells.

mod attention;
mod conv;
mod elementwise;
mod linear;
mod norm;
mod residual;
mod rotary;
mod softmax;

pub(crate) use attention::{attention, text_map};
pub(crate) use conv::conv2d;
pub(crate) use elementwise::{geglu, map};
pub(crate) use linear::{linear, linear_compact};
pub(crate) use norm::{group_norm, row_norm};
pub(crate) use residual::{add, add_gated, add_weighted};
pub(crate) use rotary::rotary;
pub(crate) use softmax::softmax;
