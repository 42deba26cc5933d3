//! Matrix products in the manner of BLIS: both operands are packed for the cache, a macro-kernel walks a block of the output, and a
//! micro-kernel computes one register tile of it.
//!
//! `out = init + lhs * rhs`. The left operand is packed as rows [`LHS_STRIDE`] apart, the right one as panels of [`nr`] columns.
//! Inner dimensions longer than [`Packed::KC`] are cut there, and the micro-kernel adds to what is in the output.
//!
//! Each number of the output is one sum in the order of the inner dimension. Where an inner dimension is cut depends on its length
//! alone, so results are the same bits whatever block, panel, tile or thread a number falls in, and however many rows there are.

pub(crate) mod bf16_dot;
mod compact;
mod linear;
mod macro_kernel;
mod micro_kernel;
mod pack;
mod packed;
mod panels;

pub(crate) use linear::linear;
pub(crate) use macro_kernel::macro_kernel;
pub(crate) use micro_kernel::{Ahead, Gemm, Init, KC, LHS_STRIDE};
pub(crate) use pack::{WIDEST, nr, pack_lhs_row, pack_rhs};
pub(crate) use packed::{Packed, Stored};
pub(crate) use panels::{Matrix, Weight};
