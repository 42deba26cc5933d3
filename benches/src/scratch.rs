//! Checkpoints of random numbers on disk, to measure loading.

use std::{
    error::Error,
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::weights::{TensorInfo, Weights};
use serde_json::{Map, Value, json};

/// Number of parameters of a model, as [`Weights::finish`] lists them.
pub fn parameters(tensors: &[TensorInfo]) -> u64 {
    tensors.iter().map(elements).sum()
}

/// Writes a safetensors file with these tensors in f16, unless it is there: the numbers of [`Weights::random`].
///
/// # Errors
///
/// If the file cannot be written, or a tensor has other than 1 to 4 axes.
pub fn write_random(path: &Path, tensors: &[TensorInfo]) -> Result<(), Box<dyn Error>> {
    if path.exists() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let weights = Weights::random(0, &Device::flex(), FloatDType::F16);
    write(path, tensors, "F16", |tensor, file| {
        Ok(file.write_all(&numbers(&weights, tensor)?)?)
    })
}

/// Writes a safetensors file with these tensors in bf16: numbers of magnitude 1/128 to 1/64, which keep the sums of a few thousand
/// products near 1. Fast, for files of many gigabytes: they repeat after 16 MB.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write_repeating(path: &Path, tensors: &[TensorInfo]) -> Result<(), Box<dyn Error>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let pool = (0..8 << 20).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // sign and mantissa are random, the exponent is that of 2^-7
        ((state >> 32) as u16 & 0x807f | 120 << 7).to_le_bytes()
    });
    let pool: Vec<u8> = pool.collect();
    write(path, tensors, "BF16", |tensor, file| {
        let mut left = 2 * tensor.elements();
        while left > 0 {
            let part = left.min(pool.len());
            file.write_all(&pool[..part])?;
            left -= part;
        }
        Ok(())
    })
}

/// Writes a file of 16-bit numbers, which appears whole or not at all.
fn write(
    path: &Path,
    tensors: &[TensorInfo],
    dtype: &str,
    mut numbers: impl FnMut(&TensorInfo, &mut dyn Write) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let unfinished = path.with_extension("part");
    let mut file = BufWriter::new(File::create(&unfinished)?);
    let header = header(tensors, dtype)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for tensor in tensors {
        numbers(tensor, &mut file)?;
    }
    file.into_inner()?.sync_all()?;
    Ok(fs::rename(unfinished, path)?)
}

fn header(tensors: &[TensorInfo], dtype: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut header = Map::new();
    let mut start = 0;
    for tensor in tensors {
        let end = start + 2 * elements(tensor);
        let entry = json!({ "dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end] });
        header.insert(tensor.name.clone(), entry);
        start = end;
    }
    let mut bytes = serde_json::to_vec(&Value::Object(header))?;
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    Ok(bytes)
}

fn numbers(weights: &Weights, tensor: &TensorInfo) -> Result<Vec<u8>, Box<dyn Error>> {
    fn bytes<const D: usize>(
        weights: &Weights,
        tensor: &TensorInfo,
    ) -> Result<Vec<u8>, Box<dyn Error>> {
        let shape = <[usize; D]>::try_from(tensor.shape.as_slice())?;
        let numbers: Tensor<D> = weights.tensor(&tensor.name, shape).val();
        Ok(numbers.into_data().as_bytes().to_vec())
    }
    match tensor.shape.len() {
        1 => bytes::<1>(weights, tensor),
        2 => bytes::<2>(weights, tensor),
        3 => bytes::<3>(weights, tensor),
        4 => bytes::<4>(weights, tensor),
        axes => Err(format!("{} has {axes} axes", tensor.name).into()),
    }
}

fn elements(tensor: &TensorInfo) -> u64 {
    tensor.shape.iter().map(|axis| *axis as u64).product()
}
