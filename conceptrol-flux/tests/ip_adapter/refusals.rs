//! Files that are something else, and parts that do not fit, told when a pipeline is opened.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use conceptrol_core::message::chain;
use conceptrol_core::pipeline::{AdapterFiles, LoadOptions, PipelineError};
use conceptrol_flux::Flux;
use conceptrol_flux::pipeline::FluxOptions;

use crate::common::fixtures;
use crate::tiny::{file, folder};

fn open(adapters: Vec<AdapterFiles>) -> Result<Flux, PipelineError> {
    let options: LoadOptions<FluxOptions> = LoadOptions::new(Device::flex());
    let options = adapters.into_iter().fold(options, LoadOptions::adapter);
    Flux::open(fixtures().join("models/flux_dev"), options)
}

fn refused(adapters: Vec<AdapterFiles>) -> String {
    chain(&open(adapters).expect_err("refused"))
}

fn encoder(kind: &str) -> PathBuf {
    folder().join(format!("{kind}_encoder"))
}

/// A file of one number under each of these names.
fn write(path: &Path, names: &[&str]) {
    let tensors = names.iter().enumerate().map(|(index, name)| {
        let at = 4 * index;
        let entry =
            serde_json::json!({"dtype": "F32", "shape": [1, 1], "data_offsets": [at, at + 4]});
        ((*name).to_owned(), entry)
    });
    let header: serde_json::Map<_, _> = tensors.collect();
    let header = serde_json::to_vec(&header).expect("json");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.resize(bytes.len() + 4 * names.len(), 0);
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn adapters_of_other_kinds_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("adapter.safetensors");
    for (name, kind) in [
        ("pulid_ca.0.norm1.weight", "PuLID"),
        ("pulid_encoder.latents", "PuLID"),
        ("controlnet_blocks.0.weight", "a ControlNet"),
        ("task_embedding", "DreamO"),
        (
            "ip_adapter.0.norm_ip.linear.weight",
            "an ip-adapter for Stable Diffusion 3",
        ),
        (
            "ip_adapter.1.to_k_ip.weight",
            "an ip-adapter for Stable Diffusion",
        ),
        (
            "transformer_blocks.0.attn.processor.q_loras.0.down.weight",
            "EasyControl",
        ),
        (
            "double_blocks.0.processor.qkv_lora1.down.weight",
            "a LoRA in the layout of XLabs",
        ),
    ] {
        write(&path, &[name]);
        let message = refused(vec![path.clone().into()]);
        assert!(
            message.contains(&format!("this is {kind}")),
            "{name}: {message}"
        );
        assert!(message.contains("adapter.safetensors"), "{message}");
    }
}

#[test]
fn adapters_that_lack_something() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("adapter.safetensors");
    write(&path, &["ip_adapter_proj_model.proj.weight"]);
    let message = refused(vec![(path.clone(), encoder("xlabs")).into()]);
    assert!(
        message.contains(
            "double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight is missing"
        ),
        "{message}"
    );
    write(
        &path,
        &[
            "ip_adapter_proj_model.proj.weight",
            "double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight",
        ],
    );
    let message = refused(vec![(path, encoder("xlabs")).into()]);
    assert!(
        message.contains("weights for 1 double blocks, the model has 3"),
        "{message}"
    );
}

#[test]
fn image_encoders_that_do_not_fit() {
    let without = refused(vec![file("xlabs").into()]);
    assert!(
        without.contains("openai/clip-vit-large-patch14"),
        "{without}"
    );
    assert!(without.contains("image_encoder"), "{without}");
    let other = refused(vec![(file("xlabs"), encoder("instantx")).into()]);
    assert!(
        other.contains("reads an image embedding of 20 numbers, the image encoder gives 512"),
        "{other}"
    );
    let alone = tempfile::tempdir().expect("a temporary folder");
    let model = alone.path().join("model.safetensors");
    std::fs::copy(encoder("xlabs").join("model.safetensors"), &model).expect("copied");
    let unknown = refused(vec![(file("xlabs"), model.clone()).into()]);
    assert!(
        unknown.contains("no config.json beside it, and its tensors are not those of openai/clip-vit-large-patch14"),
        "{unknown}"
    );
    std::fs::copy(
        encoder("xlabs").join("config.json"),
        alone.path().join("config.json"),
    )
    .expect("copied");
    assert!(
        open(vec![(file("xlabs"), model).into()]).is_ok(),
        "a file with its configuration"
    );
}

#[test]
fn an_encoder_beside_the_adapter_is_found() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let adapter = place.path().join("ip_adapter.safetensors");
    std::fs::copy(file("xlabs"), &adapter).expect("copied");
    for name in ["image_encoder", "clip-vit-large-patch14"] {
        let to = place.path().join(name);
        std::fs::create_dir(&to).expect("a folder");
        for part in ["config.json", "model.safetensors"] {
            std::fs::copy(encoder("xlabs").join(part), to.join(part)).expect("copied");
        }
        assert!(open(vec![adapter.clone().into()]).is_ok(), "{name}");
        std::fs::remove_dir_all(to).expect("removed");
    }
}

#[test]
fn condition_tokens_and_terms_do_not_go_together() {
    let omini = fixtures().join("models/flux_dev_subject_lora/lora.safetensors");
    let message = refused(vec![
        omini.clone().into(),
        (file("xlabs"), encoder("xlabs")).into(),
    ]);
    assert_eq!(
        message,
        "FLUX has no ip-adapter beside what reads pictures as tokens"
    );
    let message = refused(vec![omini.clone().into(), omini.into()]);
    assert_eq!(
        message,
        "FLUX has no second reader of pictures beside the latents: OminiControl is one, Kontext another"
    );
    let shortcut = AdapterFiles::from((file("xlabs"), encoder("xlabs"))).face_shortcut(true);
    assert_eq!(
        refused(vec![shortcut]),
        "FLUX has no shortcut: it is no FaceID plus"
    );
}
