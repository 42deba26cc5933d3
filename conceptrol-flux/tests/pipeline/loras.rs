//! Style files as people have them: other names, other strengths.

use std::path::{Path, PathBuf};

use conceptrol_core::{
    models::weights::{Checkpoint, TensorInfo},
    pipeline::{ConceptRequest, LoraRequest, Mode, Pipeline},
};
use conceptrol_flux::pipeline::Request;
use serde_json::json;
use tempfile::TempDir;

use crate::tiny::{bare, difference, latents, lora, open, options, request};

/// The tensors of the tiny style under other names, with more header.
fn rewritten(
    name: impl Fn(&str) -> String,
    metadata: Option<serde_json::Value>,
) -> (TempDir, PathBuf) {
    let file = Checkpoint::open(lora()).expect("a file");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("style.safetensors");
    let tensors: Vec<TensorInfo> = file.tensors().collect();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    if let Some(metadata) = metadata {
        header.insert("__metadata__".into(), metadata);
    }
    for tensor in tensors {
        let values = file.values(&tensor.name).expect("readable");
        let start = data.len();
        data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        let entry =
            json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, data.len()]});
        header.insert(name(&tensor.name), entry);
    }
    let header = serde_json::to_vec(&header).expect("json");
    let bytes = [
        &(header.len() as u64).to_le_bytes(),
        header.as_slice(),
        &data,
    ]
    .concat();
    std::fs::write(&path, bytes).expect("written");
    (folder, path)
}

fn text_only() -> Request {
    request().mode(Mode::TextOnly)
}

fn merged(path: &Path, strength: f64) -> Vec<f32> {
    latents(&open(bare().lora(path, strength)), &text_only())
}

#[test]
fn every_naming_gives_the_same_picture() {
    let expected = merged(&lora(), 1.0);
    let module = |name: &str| name.trim_start_matches("transformer.").to_owned();
    let kohya = |name: &str| {
        let (module, factor) = name.split_once(".lora_").expect("a factor");
        let factor = if factor.starts_with('A') {
            "down"
        } else {
            "up"
        };
        (
            module.trim_start_matches("transformer.").replace('.', "_"),
            factor,
        )
    };
    let old = |name: &str| {
        name.replace(".lora_A.", ".lora.down.")
            .replace(".lora_B.", ".lora.up.")
    };
    type Name<'a> = &'a dyn Fn(&str) -> String;
    let names: [(&str, Name<'_>); 5] = [
        ("old diffusers", &old),
        ("peft", &|name| format!("base_model.model.{}", module(name))),
        ("ComfyUI", &|name| {
            format!("diffusion_model.{}", module(name))
        }),
        ("kohya", &|name| {
            let (module, factor) = kohya(name);
            format!("lora_unet_{module}.lora_{factor}.weight")
        }),
        ("OneTrainer", &|name| {
            let (module, factor) = kohya(name);
            format!("lora_transformer_{module}.lora_{factor}.weight")
        }),
    ];
    for (tool, name) in names {
        let (_folder, path) = rewritten(name, None);
        assert_eq!(merged(&path, 1.0), expected, "{tool}");
    }
}

#[test]
fn the_strength_in_the_metadata_counts() {
    let config = json!({"transformer.r": 4, "transformer.lora_alpha": 2});
    let metadata = json!({"lora_adapter_metadata": config.to_string()});
    let (_folder, path) = rewritten(str::to_owned, Some(metadata));
    assert_eq!(merged(&path, 1.0), merged(&lora(), 0.5));
}

#[test]
fn merged_and_apart_are_the_same_picture_and_nothing_stays() {
    let flux = open(bare().lora_apart(lora()));
    let plain = latents(&open(bare()), &text_only());
    assert_eq!(latents(&flux, &text_only()), plain, "not used");
    let weak = text_only().lora(LoraRequest::new(0).strength(0.0));
    assert_eq!(latents(&flux, &weak), plain, "with strength 0");
    let used = latents(&flux, &text_only().lora(LoraRequest::new(0).strength(0.7)));
    let difference = difference(&used, &merged(&lora(), 0.7));
    assert!(difference < 1e-4, "apart and merged differ by {difference}");
    assert_eq!(latents(&flux, &text_only()), plain, "after use");
}

/// Beside an adapter that reads references a style is not merged, but it is part of the model in every plan.
#[test]
fn a_plan_of_ones_own_keeps_a_style() {
    let flux = open(options().lora(lora(), 0.7));
    let request = request();
    let plan = flux.plan(&request).expect("a plan");
    assert!(
        plan.adaptations().is_empty(),
        "nothing that a plan could lack"
    );
    let generation = crate::tiny::generate_with(&flux, &plan, &request);
    let found = crate::tiny::numbers(&generation);
    assert_eq!(found, latents(&flux, &request));
    let without = latents(&open(options()), &request);
    assert!(difference(&found, &without) > 1e-4, "it acts");
}

/// Where its words act, in every mode; the concept needs no picture.
#[test]
fn a_style_at_a_concept() {
    let flux = open(options().lora_apart(lora()));
    for mode in [Mode::TextOnly, Mode::Adapter, Mode::Conceptrol] {
        let request = request().mode(mode);
        let place = request.concepts.len();
        let placed = request.clone().concept(ConceptRequest::words_only("man"));
        let gated = placed.clone().lora(LoraRequest::new(0).concept(place));
        flux.check_request(&gated).expect("a valid request");
        let without = latents(&flux, &request);
        let found = latents(&flux, &gated);
        let everywhere = latents(&flux, &request.clone().lora(LoraRequest::new(0)));
        assert!(difference(&found, &without) > 1e-4, "{mode:?}: it acts");
        assert!(
            difference(&found, &everywhere) > 1e-4,
            "{mode:?}: not everywhere"
        );
        let generation = crate::tiny::generate(&flux, &gated);
        assert!(
            generation.masks[place].is_some(),
            "{mode:?}: its mask was read"
        );
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let flux = open(bare().lora_apart(lora()));
    let refused = |request: Request| {
        flux.check_request(&request)
            .expect_err("refused")
            .to_string()
    };
    let error = refused(text_only().lora(LoraRequest::new(1)));
    assert!(error.contains("below the 1 that are kept apart"), "{error}");
    let error = refused(text_only().lora(LoraRequest::new(0).concept(2)));
    assert!(error.contains("below the 2 of the request"), "{error}");
    let error = refused(text_only().lora(LoraRequest::new(0).strength(f32::NAN)));
    assert!(error.contains("must be finite"), "{error}");
}
