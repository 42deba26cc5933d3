//! The operations on tensors. Each gives nothing where the portable form must serve: on other devices and dtypes, and where
//! shapes do not fit, of which the portable form tells.

mod attention;
mod elementwise;
mod linear;
mod norm;
mod rows;

pub(crate) use attention::{attention, softmax, text_map};
pub(crate) use elementwise::{geglu, map};
pub(crate) use linear::{conv2d, linear};
pub(crate) use norm::{group_norm, row_norm};
pub(crate) use rows::{add_gated, rotary};
