//! Where a layer's strength comes from.

use std::fs;

use conceptrol_core::models::lora::LoraFile;
use serde_json::json;

use crate::file::{Stored, assert_close, bytes, checkpoint, dense, floats, lora, numbers};

const MODULE: &str = "block_a.to_out.0";

/// A layer of rank 2.
fn layer(prefix: &str) -> Vec<Stored> {
    ["lora_A.weight", "lora_B.weight"]
        .iter()
        .zip([[2, 4], [6, 2]])
        .map(|(ending, shape)| {
            crate::file::called(
                &numbers(*ending, &shape),
                format!("{prefix}{MODULE}.{ending}"),
            )
        })
        .collect()
}

fn scaled(values: &[f32], factor: f32) -> Vec<f32> {
    values.iter().map(|x| x * factor).collect()
}

#[test]
fn an_alpha_of_any_type() {
    let plain = dense(&lora(&layer("unet.")).expect("a LoRA"), MODULE);
    let name = || format!("unet.{MODULE}.alpha");
    let alphas: [Stored; 7] = [
        floats(name(), &[], &[1.0]),
        floats(name(), &[1, 1], &[1.0]),
        (name(), "I64", vec![1], 1_i64.to_le_bytes().to_vec()),
        (name(), "I32", vec![], 1_i32.to_le_bytes().to_vec()),
        (name(), "U8", vec![1], vec![1]),
        (name(), "F64", vec![], 1_f64.to_le_bytes().to_vec()),
        (name(), "BF16", vec![], 0x3f80_u16.to_le_bytes().to_vec()),
    ];
    for alpha in alphas {
        let what = format!("{} {:?}", alpha.1, alpha.2);
        let file = lora(&[layer("unet."), vec![alpha]].concat()).expect("a LoRA");
        assert_close(&dense(&file, MODULE), &scaled(&plain, 0.5), &what);
    }
    let negative = (name(), "I16", vec![1], (-2_i16).to_le_bytes().to_vec());
    let file = lora(&[layer("unet."), vec![negative]].concat()).expect("a LoRA");
    assert_close(&dense(&file, MODULE), &scaled(&plain, -1.0), "negative");
}

#[test]
fn the_metadata_of_diffusers() {
    let plain = dense(&lora(&layer("unet.")).expect("a LoRA"), MODULE);
    for (config, factor) in [
        (json!({"unet.r": 2, "unet.lora_alpha": 1}), 0.5),
        (
            json!({"unet.lora_alpha": 2, "unet.use_rslora": true}),
            2_f32.sqrt(),
        ),
        (
            json!({"unet.lora_alpha": 2, "unet.alpha_pattern": {"to_out.0": 8}}),
            4.0,
        ),
        (json!({"transformer.lora_alpha": 1}), 1.0),
    ] {
        let metadata = json!({"lora_adapter_metadata": config.to_string(), "format": "pt"});
        let file = LoraFile::of(checkpoint(&layer("unet."), Some(metadata))).expect("a LoRA");
        let what = config.to_string();
        assert_close(&dense(&file, MODULE), &scaled(&plain, factor), &what);
    }
}

#[test]
fn the_configuration_of_peft() {
    let plain = dense(&lora(&layer("unet.")).expect("a LoRA"), MODULE);
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().join("unet");
    fs::create_dir(&at).expect("a folder");
    let write = |config: serde_json::Value| {
        let file = bytes(&layer("base_model.model."), None);
        fs::write(at.join("adapter_model.safetensors"), file).expect("written");
        fs::write(at.join("adapter_config.json"), config.to_string()).expect("written");
        LoraFile::open(&at)
    };
    let file = write(json!({"peft_type": "LORA", "r": 2, "lora_alpha": 6})).expect("a LoRA");
    assert_close(&dense(&file, MODULE), &scaled(&plain, 3.0), "alpha 6");
    let file = write(json!({"peft_type": "LOHA", "r": 2, "alpha": 1})).expect("a LoRA");
    assert_close(&dense(&file, MODULE), &scaled(&plain, 0.5), "alpha 1");
    for refused in [
        json!({"lora_alpha": 6, "use_dora": true}),
        json!({"lora_alpha": "much"}),
        json!({"lora_alpha": 6, "alpha_pattern": {"block.*": 1}}),
        json!({"lora_alpha": 6, "fan_in_fan_out": true}),
    ] {
        assert!(write(refused.clone()).is_err(), "{refused}");
    }
}
