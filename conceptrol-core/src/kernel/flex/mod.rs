//! Kernels of the CPU backend Flex: blocked for the cache, vectorised for the instruction set found at run time, parallel over
//! tasks whose cut depends on shapes only, so that results are the same bits for any number of threads.
//!
//! All unsafe code of the crate is below this module.

mod aligned;
mod apply;
mod attention;
mod conv;
mod element;
mod elementwise;
mod gemm;
mod norm;
mod operand;
mod pairs;
mod panels;
mod product;
mod rows;
mod shared;
mod simd;
mod tensor;
mod tile;

pub(crate) use apply::{
    add_gated, attention, conv2d, geglu, group_norm, linear, map, rotary, row_norm, softmax,
    text_map,
};
pub(crate) use elementwise::{Gelu, GeluTanh, QuickGelu, Silu};
