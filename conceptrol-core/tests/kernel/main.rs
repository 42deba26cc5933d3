//! Kernels against naive twins in `f64` and against Burn's own operations.

mod attention;
mod batch;
mod bias;
mod compact;
mod elementwise;
mod half;
mod linear;
mod norm;
mod numbers;
mod rows;
mod text_map;
mod threads;
