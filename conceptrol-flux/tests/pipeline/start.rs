//! Starting from a picture: img2img, repainting a region, and Fill, which sees the region.

use std::fs;

use burn::tensor::{DType, Device, Tensor};
use conceptrol_core::{
    Grid,
    message::chain,
    models::image::MaskImage,
    pipeline::{ConceptPlace, ImageSize, Pipeline, PipelineError, Silent, Start},
};
use conceptrol_flux::{Flux, FluxConfig, pipeline::Request};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::tiny::{
    bare, copy, flux, generate, latents, one_concept, pictures, reference, shallower,
};

fn mask(inside: impl Fn(usize, usize) -> bool) -> MaskImage {
    let pixels = (0..48).flat_map(|y| (0..64).map(move |x| (x, y)));
    MaskImage {
        grid: Grid::new(48, 64),
        values: pixels
            .map(|(x, y)| f32::from(u8::from(inside(x, y))))
            .collect(),
        warning: None,
    }
}

fn start(strength: f64) -> Start {
    Start::new(reference(64, 48)).strength(strength)
}

fn of_picture(flux: &Flux, request: &Request) -> Vec<f32> {
    let conditioning = flux.condition(request).expect("a picture");
    let picture = conditioning
        .start
        .and_then(|start| start.picture)
        .expect("latents");
    picture.into_data().try_to_vec().expect("f32")
}

/// The tiny model as one that repaints, its further inputs with these weights.
fn fill(further: f32) -> (tempfile::TempDir, Flux) {
    let folder = copy();
    let transformer = folder.path().join("transformer");
    let config = transformer.join("config.json");
    let text = fs::read_to_string(&config).expect("a configuration");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("json");
    json["in_channels"] = 384.into();
    json["out_channels"] = 64.into();
    fs::write(&config, json.to_string()).expect("writable");
    let index = folder.path().join("model_index.json");
    let text = fs::read_to_string(&index).expect("an index");
    fs::write(
        &index,
        text.replace("\"FluxPipeline\"", "\"FluxFillPipeline\""),
    )
    .expect("writable");
    let path = transformer.join("diffusion_pytorch_model.safetensors");
    let bytes = fs::read(&path).expect("weights");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let (name, tensor) = (
        "x_embedder.weight",
        file.tensor("x_embedder.weight").expect("the first"),
    );
    let [out, 64] = *tensor.shape() else {
        panic!("{:?}", tensor.shape());
    };
    let mut wider = Vec::new();
    for row in tensor.data().chunks_exact(4 * 64) {
        wider.extend_from_slice(row);
        wider.extend((0..320).flat_map(|_| further.to_le_bytes()));
    }
    let wider = TensorView::new(Dtype::F32, vec![out, 384], &wider).expect("as many bytes");
    let mut tensors = file.tensors();
    tensors.retain(|(other, _)| other != name);
    tensors.push((name.to_owned(), wider));
    fs::write(
        &path,
        safetensors::serialize(tensors, None).expect("written"),
    )
    .expect("writable");
    let flux = Flux::open(folder.path(), bare()).expect("a model that repaints");
    (folder, flux)
}

/// It reads a region pixel by pixel, 16 x 16 a token.
#[test]
fn a_model_that_repaints_has_the_published_autoencoders_factor() {
    let (folder, _) = fill(0.0);
    shallower(folder.path());
    let refused = Flux::open(folder.path(), bare()).expect_err("another factor");
    assert_eq!(
        chain(&refused),
        "the autoencoder: 8 pixels a token instead of 16"
    );
}

/// Without references: Fill has none.
fn plain() -> Request {
    let mut request = one_concept();
    request.concepts.clear();
    // of dev and of Fill the same
    request.steps(4).guidance_scale(3.5)
}

#[test]
fn the_picture_stays_at_strength_zero_and_under_a_mask_of_zeros() {
    let flux = flux();
    for start in [
        start(0.0),
        start(0.5).repaint(mask(|_, _| false)),
        start(1.0).repaint(mask(|_, _| false)),
    ] {
        let request = one_concept().steps(4).start(start);
        assert_eq!(latents(&flux, &request), of_picture(&flux, &request));
    }
}

#[test]
fn at_full_strength_nothing_of_the_picture_is_left() {
    let flux = flux();
    let noise = Tensor::full([1, 16, 6, 8], 0.2, (&Device::flex(), DType::F32));
    let noise = one_concept().steps(3).latents(noise);
    for start in [start(1.0), start(1.0).repaint(mask(|_, _| true))] {
        assert_eq!(
            latents(&flux, &noise.clone().start(start)),
            latents(&flux, &noise)
        );
    }
}

#[test]
fn a_batch_from_a_picture_is_its_pictures_one_by_one() {
    let flux = flux();
    let with = |seed| {
        let start = start(0.6).repaint(mask(|x, _| x < 30));
        one_concept().steps(4).seed(seed).start(start)
    };
    let together = pictures(&flux, &with(3).images_per_prompt(2));
    for (seed, together) in (3..).zip(together) {
        assert!(pictures(&flux, &with(seed))[0] == together, "seed {seed}");
    }
}

#[test]
fn a_concept_says_where_it_is() {
    let flux = flux();
    let place = ConceptPlace::of("t-shirt").threshold(0.7).grow(2);
    let request = plain().start(start(0.9).repaint(place));
    let region = generate(&flux, &request).region.expect("a region");
    let marked = region.values.iter().filter(|value| **value == 1.0).count();
    assert!(marked > 0 && marked < region.values.len(), "{marked}");
    assert_eq!(region.grid, Grid::new(48, 64));
}

#[test]
fn a_model_that_repaints_reads_region_and_rest() {
    let noise = Tensor::full([1, 16, 6, 8], 0.2, (&Device::flex(), DType::F32));
    let noise = plain().latents(noise);
    let filled = noise.clone().start(start(1.0).repaint(mask(|x, _| x < 30)));
    let (_folder, deaf) = fill(0.0);
    assert!(deaf.config().reads_region());
    assert_eq!(latents(&deaf, &filled), latents(&flux(), &noise));
    let (_folder, hearing) = fill(0.02);
    assert_ne!(latents(&hearing, &filled), latents(&deaf, &filled));
    let other = noise.start(start(1.0).repaint(mask(|x, _| x < 29)));
    assert_ne!(
        latents(&hearing, &filled),
        latents(&hearing, &other),
        "a pixel of the mask counts"
    );

    let refused = |request: &Request| {
        let error = hearing.generate(request, &mut Silent).expect_err("refused");
        (error.to_string(), error)
    };
    for request in [plain(), plain().start(start(0.5))] {
        let (message, error) = refused(&request);
        assert!(
            matches!(error, PipelineError::NothingToRepaint { .. }),
            "{message}"
        );
    }
    let referring = one_concept().start(start(1.0).repaint(mask(|_, _| true)));
    let (message, _) = refused(&referring);
    assert!(
        message.starts_with("FLUX Fill has no tokens of reference pictures"),
        "{message}"
    );
    let place = ConceptPlace::of("t-shirt");
    let found = plain()
        .start(start(1.0).repaint(place))
        .size(ImageSize::new(48, 64));
    assert!(generate(&hearing, &found).region.is_some());
}

#[test]
fn fill_has_wider_tokens_than_dev() {
    let (dev, fill) = (FluxConfig::dev(), FluxConfig::fill());
    assert_eq!((fill.in_channels, fill.token_channels()), (384, 64));
    assert!(fill.reads_region() && !dev.reads_region());
}
