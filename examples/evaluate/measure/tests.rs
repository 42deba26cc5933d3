//! The instruments against golden values of torch and transformers (`assets/recipe/instruments.py`).

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use conceptrol_core::models::image::{RgbImage, open};
use ndarray::Array2;
use safetensors::SafeTensors;

use super::{Encoder, Segmenter, load_mask, score::cut_out};

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets")
}

/// Bytes of the file of golden values.
fn golden() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/scorer.safetensors");
    std::fs::read(path).expect("the golden values")
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let data = tensors.tensor(name).expect("a tensor").data();
    let values = data.as_chunks::<4>().0.iter();
    values
        .map(|bytes| f64::from(f32::from_le_bytes(*bytes)))
        .collect()
}

fn pictures(tensors: &SafeTensors<'_>) -> Vec<RgbImage> {
    let data = tensors.tensor("pictures").expect("pictures").data();
    let pictures = data.chunks(64 * 64 * 3);
    pictures
        .map(|data| RgbImage::from_raw(64, 64, data.to_vec()).expect("64 x 64"))
        .collect()
}

/// Unit vectors of the rows.
fn unit(rows: &[f64]) -> Vec<Vec<f64>> {
    let rows = rows.chunks(128).map(|row| {
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.iter().map(|x| x / length).collect()
    });
    rows.collect()
}

#[track_caller]
fn close(found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst <= tolerance, "{worst} > {tolerance}");
    assert_eq!(found.len(), expected.len());
}

#[test]
fn pictures_and_texts_have_the_vectors_of_transformers() {
    let bytes = golden();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a header");
    let captions = metadata
        .metadata()
        .as_ref()
        .and_then(|texts| texts.get("captions"));
    let captions: Vec<String> = serde_json::from_str(captions.expect("captions")).expect("JSON");
    let tensors = SafeTensors::deserialize(&bytes).expect("golden values");
    let encoder = Encoder::open(&assets().join("world/clip"), &Device::flex()).expect("a CLIP");
    let found = encoder.pictures(&pictures(&tensors)).expect("vectors");
    // f32 through three layers on both sides
    close(&found, &unit(&floats(&tensors, "image_embeds")), 1e-5);
    let found = encoder.texts(&captions).expect("vectors");
    close(&found, &unit(&floats(&tensors, "text_embeds")), 1e-5);
}

#[test]
fn labels_are_those_of_the_segmenter_in_torch() {
    let bytes = golden();
    let tensors = SafeTensors::deserialize(&bytes).expect("golden values");
    let segmenter =
        Segmenter::open(&assets().join("tiny-sd/segmenter"), &Device::flex()).expect("a segmenter");
    let labels = tensors.tensor("labels").expect("labels").data();
    for (picture, expected) in pictures(&tensors).iter().zip(labels.chunks(64 * 64)) {
        let found = segmenter.labels(picture);
        let other = found
            .iter()
            .zip(expected)
            .filter(|(a, b)| **a != usize::from(**b));
        // two classes may be equal to the last digit somewhere
        assert!(other.clone().count() <= 2, "{} pixels", other.count());
    }
}

#[test]
fn objects_are_cut_out_as_the_recipe_does() {
    let bytes = golden();
    let tensors = SafeTensors::deserialize(&bytes).expect("golden values");
    let expected = floats(&tensors, "cut_outs");
    let scenes = assets().join("world/scenes");
    for scene in 0..4 {
        let picture = open(scenes.join(format!("{scene:03}.png"))).expect("a scene");
        for object in 0..2 {
            let mask = scenes.join(format!("{scene:03}.{object}.png"));
            let region: Array2<bool> = load_mask(&mask, &picture).expect("a mask");
            let found = cut_out(&picture, &region).expect("an object");
            let start = (scene * 2 + object) * 3 * 64 * 64;
            let worst = found.enumerate_pixels().flat_map(|(x, y, pixel)| {
                let at = (y * 64 + x) as usize;
                let expected = &expected;
                (0..3).map(move |c| {
                    let sample = f64::from(pixel.0[c]) / 255.0;
                    (sample - expected[start + c * 64 * 64 + at]).abs()
                })
            });
            let worst = worst.fold(0.0, f64::max);
            // 8 bits between the two passes of the resize, and after them
            assert!(
                worst <= 2.5 / 255.0,
                "scene {scene}, object {object}: {worst}"
            );
        }
    }
}
