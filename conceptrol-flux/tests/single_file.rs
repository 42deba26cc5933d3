//! The original single-file layout gives the same model as a diffusers folder.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, FloatDType};
use common::fixtures;
use conceptrol_core::message::chain;
use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_core::pipeline::Residency;
use conceptrol_flux::FluxConfig;
use conceptrol_flux::load::{config_of, load_transformer, transformer_checkpoint};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// Parts of the original layout: its name, and the diffusers tensors it is made of, rows one after the other.
const DOUBLE: &[(&str, &[&str])] = &[
    ("img_mod.lin", &["norm1.linear"]),
    ("txt_mod.lin", &["norm1_context.linear"]),
    ("img_attn.qkv", &["attn.to_q", "attn.to_k", "attn.to_v"]),
    (
        "txt_attn.qkv",
        &["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
    ),
    ("img_attn.proj", &["attn.to_out.0"]),
    ("txt_attn.proj", &["attn.to_add_out"]),
    ("img_mlp.0", &["ff.net.0.proj"]),
    ("img_mlp.2", &["ff.net.2"]),
    ("txt_mlp.0", &["ff_context.net.0.proj"]),
    ("txt_mlp.2", &["ff_context.net.2"]),
];
const DOUBLE_NORMS: &[(&str, &str)] = &[
    ("img_attn.norm.query_norm.scale", "attn.norm_q.weight"),
    ("img_attn.norm.key_norm.scale", "attn.norm_k.weight"),
    ("txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"),
    ("txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"),
];
const SINGLE: &[(&str, &[&str])] = &[
    ("modulation.lin", &["norm.linear"]),
    (
        "linear1",
        &["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"],
    ),
    ("linear2", &["proj_out"]),
];
const SINGLE_NORMS: &[(&str, &str)] = &[
    ("norm.query_norm.scale", "attn.norm_q.weight"),
    ("norm.key_norm.scale", "attn.norm_k.weight"),
];
const OUTER: &[(&str, &str)] = &[
    ("img_in", "x_embedder"),
    ("txt_in", "context_embedder"),
    (
        "time_in.in_layer",
        "time_text_embed.timestep_embedder.linear_1",
    ),
    (
        "time_in.out_layer",
        "time_text_embed.timestep_embedder.linear_2",
    ),
    (
        "guidance_in.in_layer",
        "time_text_embed.guidance_embedder.linear_1",
    ),
    (
        "guidance_in.out_layer",
        "time_text_embed.guidance_embedder.linear_2",
    ),
    (
        "vector_in.in_layer",
        "time_text_embed.text_embedder.linear_1",
    ),
    (
        "vector_in.out_layer",
        "time_text_embed.text_embedder.linear_2",
    ),
    ("final_layer.linear", "proj_out"),
];

type Stored = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// The tensors of a diffusers file in the original layout.
fn original(file: &SafeTensors<'_>, config: &FluxConfig) -> Stored {
    let mut stored = Stored::new();
    let mut put = |name: String, parts: &[String]| {
        let views: Vec<_> = parts
            .iter()
            .map(|part| file.tensor(part).expect("a tensor"))
            .collect();
        let mut shape = views[0].shape().to_vec();
        shape[0] = views.iter().map(|view| view.shape()[0]).sum();
        stored.insert(
            name,
            (
                shape,
                views.iter().flat_map(|view| view.data().to_vec()).collect(),
            ),
        );
    };
    for suffix in ["weight", "bias"] {
        for (to, from) in OUTER {
            put(format!("{to}.{suffix}"), &[format!("{from}.{suffix}")]);
        }
        put(
            format!("final_layer.adaLN_modulation.1.{suffix}"),
            &[format!("norm_out.linear.{suffix}")],
        );
        let mut blocks = |count: usize, to: &str, from: &str, parts: &[(&str, &[&str])]| {
            for index in 0..count {
                for (name, names) in parts {
                    let names: Vec<_> = names
                        .iter()
                        .map(|part| format!("{from}.{index}.{part}.{suffix}"))
                        .collect();
                    put(format!("{to}.{index}.{name}.{suffix}"), &names);
                }
            }
        };
        blocks(
            config.num_layers,
            "double_blocks",
            "transformer_blocks",
            DOUBLE,
        );
        blocks(
            config.num_single_layers,
            "single_blocks",
            "single_transformer_blocks",
            SINGLE,
        );
    }
    let mut norms = |count: usize, to: &str, from: &str, parts: &[(&str, &str)]| {
        for index in 0..count {
            for (name, part) in parts {
                put(
                    format!("{to}.{index}.{name}"),
                    &[format!("{from}.{index}.{part}")],
                );
            }
        }
    };
    norms(
        config.num_layers,
        "double_blocks",
        "transformer_blocks",
        DOUBLE_NORMS,
    );
    norms(
        config.num_single_layers,
        "single_blocks",
        "single_transformer_blocks",
        SINGLE_NORMS,
    );
    for suffix in ["weight", "bias"] {
        let name = format!("final_layer.adaLN_modulation.1.{suffix}");
        let (_, bytes) = stored.get_mut(&name).expect("just put");
        let half = bytes.len() / 2;
        bytes.rotate_left(half);
    }
    stored
}

fn write(path: &Path, stored: &Stored, dtype: Dtype, prefix: &str) {
    let views = stored.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(dtype, shape.clone(), bytes).expect("a view");
        (format!("{prefix}{name}"), view)
    });
    safetensors::serialize_to_file(views, None, path).expect("a file");
}

#[test]
fn original_layout_equals_diffusers() {
    let folder = fixtures().join("models/flux_dev/transformer");
    let config = FluxConfig::from_file(folder.join("config.json")).expect("a config");
    let bytes = std::fs::read(folder.join("diffusion_pytorch_model.safetensors")).expect("a file");
    let diffusers = SafeTensors::deserialize(&bytes).expect("safetensors");
    let stored = original(&diffusers, &config);

    let scratch = tempfile::tempdir().expect("a folder");
    let device = Device::flex();
    let expected = Checkpoint::open(&folder).expect("a checkpoint");
    for prefix in ["", "model.diffusion_model."] {
        let path = scratch.path().join("flux.safetensors");
        write(&path, &stored, Dtype::F32, prefix);
        let file = Checkpoint::open(&path).expect("a checkpoint");
        let mapped = transformer_checkpoint(&file).expect("a transformer");
        assert_eq!(mapped.len(), expected.len());
        for tensor in expected.tensors() {
            let load = |file: &Checkpoint| match tensor.shape.len() {
                1 => file
                    .load::<1>(&tensor.name, &device, FloatDType::F32)
                    .expect("io")
                    .map(|x| x.into_data()),
                _ => file
                    .load::<2>(&tensor.name, &device, FloatDType::F32)
                    .expect("io")
                    .map(|x| x.into_data()),
            };
            assert_eq!(load(&mapped), load(&expected), "{}", tensor.name);
        }

        let read = config_of(&mapped).expect("a config");
        assert_eq!(
            read,
            FluxConfig {
                axes_dims_rope: read.axes_dims_rope,
                ..config.clone()
            }
        );
        let weights = Weights::from_checkpoint(mapped, &device, FloatDType::F32);
        load_transformer(&config, weights, Residency::Disk).expect("every tensor is used");
    }
}

/// A number cut to the bits of an fp8 type, as a byte and as f32; below the smallest normal number it is 0.
fn cut(x: f32, exponent_bits: u32) -> (u8, f32) {
    let mantissa_bits = 7 - exponent_bits;
    let bias = (1 << (exponent_bits - 1)) - 1;
    let bits = x.to_bits();
    let exponent = ((bits >> 23) & 0xff) as i32 - 127 + bias;
    if exponent < 1 {
        return (0, 0.0);
    }
    let kept = bits & !((1 << (23 - mantissa_bits)) - 1);
    let mantissa = (kept & 0x7f_ffff) >> (23 - mantissa_bits);
    let byte = (bits >> 31) << 7 | (exponent as u32) << mantissa_bits | mantissa;
    (byte as u8, f32::from_bits(kept))
}

/// The fp8 re-packagings of the original layout hold the numbers of the same file in f32.
#[test]
fn fp8_equals_the_same_numbers_in_f32() {
    let folder = fixtures().join("models/flux_dev/transformer");
    let config = FluxConfig::from_file(folder.join("config.json")).expect("a config");
    let bytes = std::fs::read(folder.join("diffusion_pytorch_model.safetensors")).expect("a file");
    let diffusers = SafeTensors::deserialize(&bytes).expect("safetensors");
    let stored = original(&diffusers, &config);
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("flux-fp8.safetensors");
    let device = Device::flex();
    for (dtype, exponent_bits) in [(Dtype::F8_E4M3, 4), (Dtype::F8_E5M2, 5)] {
        let mut expected = BTreeMap::new();
        let mut small = Stored::new();
        for (name, (shape, bytes)) in &stored {
            let numbers = bytes
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("4 bytes")));
            let (bytes, numbers): (Vec<u8>, Vec<f32>) =
                numbers.map(|x| cut(x, exponent_bits)).unzip();
            small.insert(name.clone(), (shape.clone(), bytes));
            expected.insert(name.clone(), numbers);
        }
        write(&path, &small, dtype, "model.diffusion_model.");

        let file = Checkpoint::open(&path).expect("a checkpoint");
        for (name, expected) in &expected {
            let name = format!("model.diffusion_model.{name}");
            let values = if stored[&name[22..]].0.len() == 1 {
                let tensor = file.load::<1>(&name, &device, FloatDType::F32).expect("io");
                tensor.expect("a tensor").into_data()
            } else {
                let tensor = file.load::<2>(&name, &device, FloatDType::F32).expect("io");
                tensor.expect("a tensor").into_data()
            };
            assert_eq!(
                &values.try_to_vec::<f32>().expect("f32"),
                expected,
                "{name}"
            );
        }
        let mapped = transformer_checkpoint(&file).expect("a transformer");
        let weights = Weights::from_checkpoint(mapped, &device, FloatDType::F32);
        load_transformer(&config, weights, Residency::Memory).expect("every tensor is used");
    }
}

#[test]
fn a_truncated_model_is_refused() {
    let folder = fixtures().join("models/flux_dev/transformer");
    let config = FluxConfig::from_file(folder.join("config.json")).expect("a config");
    let file = Checkpoint::open(&folder).expect("a checkpoint");
    let cut = file.rename(|name| (!name.contains("blocks.1.attn.to_k")).then(|| name.to_owned()));
    for residency in [Residency::Memory, Residency::Disk] {
        let weights = Weights::from_checkpoint(cut.clone(), &Device::flex(), FloatDType::F32);
        let error = load_transformer(&config, weights, residency).expect_err("refused");
        let message = chain(&error);
        assert!(message.contains("4 missing"), "{message}");
        assert!(
            message.contains("transformer_blocks.1.attn.to_k.weight [24, 24]"),
            "{message}"
        );
    }
}
