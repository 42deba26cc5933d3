//! FLUX.1-dev with OminiControl and Conceptrol at their true size, from disk: from a prompt and a reference picture to a
//! picture of 512 x 512, one step, in less than 8 GB.
//!
//! `CONCEPTROL_SCRATCH=DIR cargo test --release -p conceptrol-flux --test streaming -- --ignored --nocapture`
//!
//! Writes a model of 34 GB with random weights to `DIR` (the system's temporary folder without it) and removes it. The names
//! and shapes are those of the published files.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use common::checkpoint;
use conceptrol_core::models::t5::T5Config;
use conceptrol_core::models::weights::{StoredDType, TensorInfo};
use conceptrol_core::pipeline::{
    ConceptRequest, Family, LoadOptions, Pipeline, Request, Residency, Silent,
};
use conceptrol_flux::{Flux, FluxConfig};
use image::{Rgb, RgbImage};
use serde_json::json;

/// Random bf16 numbers of magnitude 1/128 to 1/64, which keep the activations of 3072 inputs near 1.
fn random_pool() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bits = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The sign and the mantissa are random, the exponent is that of 2^-7.
        ((state >> 32) as u16 & 0x807f) | (120 << 7)
    };
    (0..8 << 20).flat_map(|_| bits().to_le_bytes()).collect()
}

/// Writes random weights of the names and shapes in `manifest`.
fn write_weights(to: &Path, manifest: &Path, pool: &[u8]) {
    let text = fs::read_to_string(manifest).expect("a manifest");
    let json: serde_json::Value = serde_json::from_str(&text).expect("json");
    let shapes: BTreeMap<String, Vec<usize>> =
        serde_json::from_value(json["tensors"].clone()).expect("shapes");
    let tensors = shapes.into_iter().map(|(name, shape)| TensorInfo {
        name,
        dtype: StoredDType::BF16,
        shape,
    });
    checkpoint::write(
        to,
        ("BF16", 2),
        &tensors.collect::<Vec<_>>(),
        |tensor, file| {
            let mut left = 2 * tensor.elements();
            while left > 0 {
                let part = left.min(pool.len());
                file.write_all(&pool[..part]).expect("written");
                left -= part;
            }
        },
    );
}

/// A diffusers folder with everything FLUX.1-dev has, and the adapter `subject_512.safetensors`.
fn write_model(root: &Path) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/manifests");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conceptrol-core/tests/fixtures");
    let config = |part: &str, file: &str, json: serde_json::Value| {
        fs::create_dir_all(root.join(part)).expect("created");
        fs::write(root.join(part).join(file), json.to_string()).expect("written");
    };
    config(
        "",
        "model_index.json",
        json!({ "_class_name": "FluxPipeline" }),
    );
    config(
        "scheduler",
        "scheduler_config.json",
        json!({ "use_dynamic_shifting": true }),
    );
    config("transformer", "config.json", json!(FluxConfig::dev()));
    config("text_encoder_2", "config.json", json!(T5Config::xxl()));
    let clip = json!({ "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12 });
    config("text_encoder", "config.json", clip);
    let autoencoder = json!({
        "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 16,
        "use_quant_conv": false, "use_post_quant_conv": false, "scaling_factor": 0.3611, "shift_factor": 0.1159,
    });
    config("vae", "config.json", autoencoder);
    for (from, to) in [("clip", "tokenizer"), ("t5", "tokenizer_2")] {
        fs::create_dir(root.join(to)).expect("created");
        for file in fs::read_dir(fixtures.join("tokenizer").join(from)).expect("a tokenizer") {
            let file = file.expect("a file");
            fs::copy(file.path(), root.join(to).join(file.file_name())).expect("copied");
        }
    }

    let shared = fixtures.join("manifests");
    let pool = random_pool();
    let write = |to: &str, manifest: PathBuf| write_weights(&root.join(to), &manifest, &pool);
    let transformer = "transformer/diffusion_pytorch_model.safetensors";
    write(transformer, own.join("flux-dev-transformer.json"));
    let t5 = "text_encoder_2/model.safetensors";
    write(t5, shared.join("t5-xxl-encoder.json"));
    let adapter = own.join("ominicontrol-subject_512.json");
    write("subject_512.safetensors", adapter);
    write(
        "text_encoder/model.safetensors",
        shared.join("clip-l-text.json"),
    );
    let autoencoder = "vae/diffusion_pytorch_model.safetensors";
    write(autoencoder, shared.join("flux-vae.json"));
}

/// Peak resident memory of this process in gigabytes, where the system tells.
fn peak_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1e6)
}

#[test]
#[ignore = "needs 34 GB of disk and ten minutes"]
fn one_step_in_little_memory() {
    let scratch =
        std::env::var_os("CONCEPTROL_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = tempfile::tempdir_in(scratch).expect("a folder");
    write_model(scratch.path());

    let mut start = Instant::now();
    let mut report = |what: &str| {
        let (seconds, peak) = (start.elapsed().as_secs_f64(), peak_memory());
        println!("{what}: {seconds:.1} s, peak so far {peak:.2?} GB");
        start = Instant::now();
    };
    let options = LoadOptions::new(Device::flex())
        .residency(Residency::Disk)
        .adapter(scratch.path().join("subject_512.safetensors"));
    let flux = Flux::open(scratch.path(), options).expect("every tensor is used");
    report("opening");

    let picture = RgbImage::from_fn(400, 400, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
    let request = Request::new("a statue is reading the book in the library")
        .concept(ConceptRequest::new("the book", picture))
        .steps(1);
    let plan = flux.plan(&request).expect("a plan");
    let conditioning = flux.condition(&request).expect("a request");
    let states = &conditioning.states;
    let tokens =
        states.text().dims()[1] + states.grid.cells() + states.conditions[0].tokens.dims()[1];
    assert_eq!(tokens, 512 + 1024 + 1024);
    report("prompt and reference picture");

    let (latents, session) = flux
        .denoise(&plan, &request, &conditioning, &mut Silent)
        .expect("a step");
    let latents_read = latents.clone().into_data();
    report("one step, 2560 tokens");
    assert!(session.board().latest(0).is_some(), "a mask was published");

    let pictures = flux.decode(latents, None).expect("a picture").into_data();
    report("decoding");
    for numbers in [latents_read, pictures] {
        let numbers = numbers.try_to_vec::<f32>().expect("f32");
        assert!(numbers.iter().all(|x| x.is_finite()));
    }
    if let Some(peak) = peak_memory() {
        assert!(peak < 8.0, "{peak:.2} GB");
    }
}
