//! Checkpoints of every kind, well formed and not.

mod archives;
mod bombs;
mod compact;
mod disguised;
mod fuzzed;
mod gguf;
mod key_tables;
mod loading;
mod malformed;
mod messages;
mod read_all;
mod scaled;
mod sharded;
mod strict;
mod torch;
mod written;
mod zip;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::message::chain;
use conceptrol_core::models::weights::{Checkpoint, Format, WeightError};

/// A safetensors file with this header text and these bytes after it.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// A safetensors file of f32 tensors `(name, shape)`, counting up from 0 through all of them.
fn counting(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    for (name, shape) in tensors {
        let begin = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            data.extend_from_slice(&((data.len() / 4) as f32).to_le_bytes());
        }
        entries.push(format!(
            r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{begin},{}]}}"#,
            data.len()
        ));
    }
    file(&format!("{{{}}}", entries.join(",")), &data)
}

fn checkpoint(bytes: Vec<u8>) -> Result<Checkpoint, WeightError> {
    Checkpoint::from_bytes("memory.safetensors", Format::Safetensors, bytes)
}

fn values<const D: usize>(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    let tensor: Option<Tensor<D>> = checkpoint
        .load(name, &Device::flex(), FloatDType::F32)
        .expect("a readable file");
    tensor.expect(name).into_data().try_to_vec().expect("f32")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/torch")
        .join(name)
}

/// The message of the error, which every test wants to see.
fn message<T: std::fmt::Debug>(result: Result<T, WeightError>) -> String {
    chain(&result.expect_err("a bad file"))
}
