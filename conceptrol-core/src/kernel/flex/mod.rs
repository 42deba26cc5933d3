//! Kernels of the CPU backend Flex: blocked for the cache, vectorised for the instruction set found at run time, parallel over
//! tasks.
//!
//! What a number of the output is summed from, and in which order, depends on the sizes of one picture or row, on types and on the
//! processor: never on the size of the batch, the number of threads, or how a tensor lies in memory. So picture `i` of a batch has
//! the same bits as alone.
//!
//! All unsafe code of the crate is below this module.

mod aligned;
mod attention;
mod conv;
mod elementwise;
mod gemm;
mod norm;
mod pages;
mod residual;
mod rotary;
mod scalar;
mod shared;
mod simd;
mod softmax;
mod tensor;
mod tensor_ops;

pub(crate) use elementwise::{Gelu, GeluTanh, QuickGelu, Silu};
pub(crate) use tensor_ops::{
    add, add_gated, add_weighted, attention, conv2d, geglu, group_norm, linear, linear_compact,
    map, rotary, row_norm, softmax, text_map,
};
