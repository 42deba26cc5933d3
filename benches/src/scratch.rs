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
    let unfinished = path.with_extension("part");
    let mut file = BufWriter::new(File::create(&unfinished)?);
    let header = header(tensors)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    let weights = Weights::random(0, &Device::flex(), FloatDType::F16);
    for tensor in tensors {
        file.write_all(&numbers(&weights, tensor)?)?;
    }
    file.into_inner()?.sync_all()?;
    Ok(fs::rename(unfinished, path)?)
}

fn header(tensors: &[TensorInfo]) -> Result<Vec<u8>, serde_json::Error> {
    let mut header = Map::new();
    let mut start = 0;
    for tensor in tensors {
        let end = start + 2 * elements(tensor);
        let entry = json!({ "dtype": "F16", "shape": tensor.shape, "data_offsets": [start, end] });
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
