use std::fs;

use burn::tensor::FloatDType;
use conceptrol_core::models::clip_vision::{ClipVisionConfig, ClipVisionModel};
use conceptrol_core::models::image::{self, ClipImageConfig};
use conceptrol_core::models::weights::{Checkpoint, Weights};
use serde_json::{Value, json};

use crate::case::Case;

fn model(case: &Case) -> ClipVisionModel {
    let config = ClipVisionConfig::from_file(case.config()).unwrap();
    let weights = case.weights("model.safetensors");
    let model = ClipVisionModel::new(&config, &weights);
    weights.finish().unwrap();
    model
}

#[test]
fn embeddings_and_states() {
    let case = Case::own("clip_vision");
    let encoder = model(&case);
    let pixels = case.input("pixels");
    let embeds = encoder.image_embeds(pixels.clone()).unwrap();
    case.check("image_embeds", embeds);
    case.check("penultimate", encoder.penultimate(pixels).unwrap());
}

/// The image half of a whole CLIP, whose other half is left over on purpose and whose configuration has one more level.
#[test]
fn a_whole_clip() {
    let case = Case::own("clip_vision");
    let folder = tempfile::tempdir().unwrap();
    let own: Value = serde_json::from_str(&fs::read_to_string(case.config()).unwrap()).unwrap();
    let whole = json!({
        "architectures": ["CLIPModel"],
        "projection_dim": own["projection_dim"],
        "vision_config": own,
        "text_config": {"hidden_size": 7},
    });
    let config = folder.path().join("config.json");
    fs::write(&config, whole.to_string()).unwrap();
    let half = Checkpoint::open(case.path("model.safetensors")).unwrap();
    let bias = half.tensors().find(|tensor| tensor.shape.len() == 1);
    let bias = bias.unwrap().name;
    let other = |to: &'static str| half.rename(|name| (name == bias).then(|| to.to_owned()));
    let parts = [
        ("", half.clone()),
        ("", other("text_model.final_layer_norm.bias")),
        ("", other("text_projection.weight")),
        ("", other("logit_scale")),
    ];
    let file = folder.path().join("model.safetensors");
    let clip = Checkpoint::together(&file, parts).unwrap();
    clip.write(&file, None).unwrap();

    let config = ClipVisionConfig::from_file(config).unwrap();
    let weights = Weights::open(folder.path(), &case.device, FloatDType::F32).unwrap();
    let encoder = ClipVisionModel::new(&config, &weights);
    weights.finish().unwrap();
    let pixels = case.input("pixels");
    case.check("image_embeds", encoder.image_embeds(pixels).unwrap());
}

#[test]
fn a_picture_does_not_depend_on_its_batch() {
    let case = Case::own("clip_vision");
    let encoder = model(&case);
    let pixels = case.input("pixels");
    let together = encoder.penultimate(pixels.clone()).unwrap();
    for picture in 0..pixels.dims()[0] {
        let alone = encoder.penultimate(pixels.clone().narrow(0, picture, 1));
        let row = together.clone().narrow(0, picture, 1).into_data();
        row.assert_eq(&alone.unwrap().into_data(), true);
    }
}

#[test]
#[ignore = "needs CONCEPTROL_FIXTURES"]
fn case_of_the_authors() {
    let case = Case::public("comp_clip_vision");
    let encoder = model(&case);
    let zero = encoder.penultimate(encoder.zero_pixels()).unwrap();
    case.check("zero_image_penultimate", zero);
    let pictures = ["img0", "img1", "img2"]
        .map(|name| image::open(case.path(&format!("../images/{name}.png"))).unwrap());
    let config = ClipImageConfig::default();
    let pixels = image::clip_tensor(&pictures, &config, &case.device).unwrap();
    let embeds = encoder.image_embeds(pixels.clone()).unwrap();
    case.check("image_embeds", embeds);
    case.check("penultimate", encoder.penultimate(pixels).unwrap());
}
