//! Weights without a checkpoint: cheap, reproducible numbers of a plausible size, for benchmarks.

use std::convert::Infallible;

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use super::{
    compact::{Keep, Kept},
    dtype::StoredDType,
    parallel,
};
use crate::kernel::CompactMatrix;

/// The tensor `name` of a model whose weights are drawn with `seed`.
///
/// Biases are 0 and one-dimensional weights (norms) are 1; anything else is uniform with the variance
/// `1 / (4 fan_in)`, so that deep stacks neither explode nor die out. The numbers depend on seed, name and
/// position only.
pub(super) fn tensor<const D: usize>(
    seed: u64,
    name: &str,
    shape: [usize; D],
    device: &Device,
    dtype: FloatDType,
) -> Tensor<D> {
    let options = (device, DType::from(dtype));
    let leaf = name.rsplit('.').next().unwrap_or(name);
    if leaf == "bias" || leaf == "beta" {
        return Tensor::zeros(shape, options);
    }
    if D == 1 {
        return Tensor::ones(shape, options);
    }
    Tensor::from_data(TensorData::new(numbers(seed, name, &shape), shape), options)
}

/// The matrix `name` of the same model, if it is kept in fewer bytes.
pub(super) fn matrix(
    seed: u64,
    name: &str,
    shape: [usize; 2],
    keep: Keep,
    computed: FloatDType,
) -> Option<CompactMatrix> {
    match keep.of(StoredDType::F32, shape[1], computed)? {
        Kept::AsStored(_) => None,
        Kept::Rounded(format) => {
            let numbers = numbers(seed, name, &shape);
            let matrix = CompactMatrix::round(format, shape, &numbers);
            Some(matrix.expect("small numbers in whole blocks"))
        }
    }
}

fn numbers(seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
    let fan_in: usize = shape[1..].iter().product();
    let bound = (0.75 / fan_in.max(1) as f32).sqrt();
    let stream = seed ^ fnv(name);
    let mut values = vec![0f32; shape.iter().product()];
    parallel::in_runs(&mut values, 1, |first, run| {
        for (index, value) in (first as u64..).zip(run) {
            *value = unit(stream.wrapping_add(index.wrapping_mul(GOLDEN))) * bound;
        }
        Ok::<_, Infallible>(())
    })
    .unwrap_or_else(|never| match never {});
    values
}

/// 2^64 over the golden ratio, the increment of `SplitMix64` (Steele, Lea and Flood 2014).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A number in -1..1 from a counter.
fn unit(counter: u64) -> f32 {
    let mut z = counter;
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    let bits = (z >> 40) as i32; // 24 bits, exact in f32
    (bits - (1 << 23)) as f32 / (1 << 23) as f32
}

/// 64-bit FNV-1a.
fn fnv(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
