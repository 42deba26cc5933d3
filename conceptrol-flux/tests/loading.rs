//! Folders that are no FLUX model are refused, with the file that is wrong.

mod common;

use std::fs;
use std::path::Path;

use burn::tensor::{Device, FloatDType};
use common::fixtures;
use conceptrol_flux::FluxError;
use conceptrol_flux::load::{FluxFolder, Residency};

fn open(path: &Path) -> Result<FluxFolder, FluxError> {
    FluxFolder::open(path, &Device::flex(), FloatDType::F32)
}

fn folder(class: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let index = format!(r#"{{"_class_name": "{class}"}}"#);
    fs::write(folder.path().join("model_index.json"), index).expect("written");
    folder
}

#[test]
fn another_family_is_named() {
    let folder = folder("StableDiffusionPipeline");
    let message = open(folder.path()).expect_err("refused").to_string();
    assert!(
        message.contains("holds a StableDiffusionPipeline, expected a FluxPipeline"),
        "{message}"
    );
    let empty = tempfile::tempdir().expect("a folder");
    let message = open(empty.path()).expect_err("refused").to_string();
    assert!(message.contains("model_index.json"), "{message}");
}

#[test]
fn a_missing_shard_is_named() {
    let folder = folder("FluxPipeline");
    let transformer = folder.path().join("transformer");
    fs::create_dir(&transformer).expect("created");
    let source = fixtures().join("models/flux_dev/transformer/config.json");
    fs::copy(source, transformer.join("config.json")).expect("copied");
    let shard = "diffusion_pytorch_model-00002-of-00002.safetensors";
    let index =
        format!(r#"{{"metadata": {{}}, "weight_map": {{"x_embedder.weight": "{shard}"}}}}"#);
    let path = transformer.join("diffusion_pytorch_model.safetensors.index.json");
    fs::write(path, index).expect("written");
    for residency in [Residency::Memory, Residency::WhileUsed, Residency::Disk] {
        let error = open(folder.path())
            .expect("a folder")
            .transformer(residency);
        let message = error.expect_err("refused").to_string();
        assert!(message.contains(shard), "{message}");
    }
}

#[test]
fn nonsense_sizes_are_refused() {
    let folder = folder("FluxPipeline");
    let transformer = folder.path().join("transformer");
    fs::create_dir(&transformer).expect("created");
    let source = fixtures().join("models/flux_dev/transformer");
    let config = fs::read_to_string(source.join("config.json")).expect("a config");
    let huge = config.replace("\"num_layers\": 3", "\"num_layers\": 18446744073709551615");
    assert_ne!(huge, config);
    fs::write(transformer.join("config.json"), huge).expect("written");
    let error = open(folder.path())
        .expect("a folder")
        .transformer(Residency::Disk);
    let message = error.expect_err("refused").to_string();
    assert!(
        message.contains("num_layers is 18446744073709551615"),
        "{message}"
    );
}
