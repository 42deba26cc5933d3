//! Low-rank files in memory, and a small model they are for.

use burn::tensor::{Device, Tensor};
use conceptrol_core::models::lora::{Delta, LoraError, LoraFile, LoraTarget, LoraTargets, Part};
use conceptrol_core::models::nn::{Conv2d, Linear};
use conceptrol_core::models::weights::{Checkpoint, Format, KeyRule, Weights};
use serde_json::{Map, Value, json};

/// A tensor of a file: name, type, shape, bytes.
pub(crate) type Stored = (String, &'static str, Vec<usize>, Vec<u8>);

/// A tensor of f32.
pub(crate) fn floats(name: impl Into<String>, shape: &[usize], values: &[f32]) -> Stored {
    assert_eq!(values.len(), shape.iter().product::<usize>());
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    (name.into(), "F32", shape.to_vec(), bytes)
}

/// A tensor whose numbers depend on its name.
pub(crate) fn numbers(name: impl Into<String>, shape: &[usize]) -> Stored {
    let name = name.into();
    let seed: usize = name.bytes().map(usize::from).sum();
    let value = |index: usize| ((seed * 31 + index * 17) % 23) as f32 / 23.0 - 0.5;
    let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    floats(name, shape, &values)
}

/// The same tensor under another name.
pub(crate) fn called(stored: &Stored, name: impl Into<String>) -> Stored {
    (name.into(), stored.1, stored.2.clone(), stored.3.clone())
}

pub(crate) fn bytes(tensors: &[Stored], metadata: Option<Value>) -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    if let Some(metadata) = metadata {
        header.insert("__metadata__".into(), metadata);
    }
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
        header.insert(name.clone(), entry);
        data.extend(bytes);
    }
    let header = serde_json::to_vec(&header).expect("json");
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_slice(),
        &data,
    ]
    .concat()
}

pub(crate) fn checkpoint(tensors: &[Stored], metadata: Option<Value>) -> Checkpoint {
    let bytes = bytes(tensors, metadata);
    Checkpoint::from_bytes("memory.safetensors", Format::Safetensors, bytes).expect("a file")
}

pub(crate) fn lora(tensors: &[Stored]) -> Result<LoraFile, LoraError> {
    LoraFile::of(checkpoint(tensors, None))
}

/// A linear layer of 6 x 4, a convolution of 4 x 6 x 3 x 3, and three layers of 4 x 4 that another naming fuses.
pub(crate) fn model(w: &Weights) {
    drop(Linear::new(&w.at("block_a").at("to_out").at(0), 4, 6, true));
    drop(Conv2d::new(&w.at("conv"), 6, 4, 3, 1, 1));
    for name in ["q", "k", "v"] {
        drop(Linear::new(&w.at("attn").at(name), 4, 4, false));
    }
}

const FUSED: &[KeyRule<'static>] = &[
    KeyRule::rows("qkv", &[("attn.q", 1), ("attn.k", 1), ("attn.v", 1)]),
    KeyRule::swap_halves("swapped", "block_a.to_out.0"),
];

pub(crate) fn targets() -> LoraTargets {
    let unet = LoraTarget::new(Part::Denoiser, "unet", &Device::flex(), model);
    let text = LoraTarget::new(Part::ClipL, "text_encoder", &Device::flex(), |w| {
        drop(Linear::new(&w.at("text_model").at("fc1"), 4, 8, true));
    });
    LoraTargets::new(vec![unet.rules("fused", FUSED), text])
}

/// The only change of a module of the denoiser.
pub(crate) fn delta(file: &LoraFile, module: &str) -> Delta {
    let lora = file.read(&targets(), 1.0).expect("it fits");
    let (_, deltas) = lora.parts().next().expect("a part");
    let [delta] = deltas.of_weight(&format!("{module}.weight")) else {
        panic!("not one change of {module}");
    };
    delta.clone()
}

pub(crate) fn dense(file: &LoraFile, module: &str) -> Vec<f32> {
    values(
        delta(file, module)
            .dense(&Device::flex())
            .expect("readable"),
    )
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("f32")
}

pub(crate) fn host(stored: &Stored) -> Vec<f32> {
    let chunks = stored.3.as_chunks::<4>().0.iter();
    chunks.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

pub(crate) fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(
            (a - b).abs() < 1e-5,
            "{what}: {a} instead of {b} at {index}"
        );
    }
}
