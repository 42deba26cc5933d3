//! Starting from a picture: with an adapter under Conceptrol, and with a UNet of 9 channels that repaints.

use std::fs;

use burn::tensor::{DType, Device, Tensor};
use conceptrol_core::{
    Grid, StepWindow,
    models::image::MaskImage,
    pipeline::{Family, ImageSize, InputKind, Mode, Pipeline, PipelineError, Silent, Start},
};
use conceptrol_sd::{StableDiffusion, pipeline::Request};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{
    batch::pictures,
    tiny::{copy, edit, latents, open_in, options, picture, pipeline, request},
};

fn mask(inside: impl Fn(usize, usize) -> bool) -> MaskImage {
    let (width, height) = (40, 56); // of `tiny::picture`
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    MaskImage {
        grid: Grid::new(height, width),
        values: pixels
            .map(|(x, y)| f32::from(u8::from(inside(x, y))))
            .collect(),
        warning: None,
    }
}

fn left() -> MaskImage {
    mask(|x, _| x < 20)
}

fn start(strength: f64) -> Start {
    Start::new(picture(9)).strength(strength)
}

fn conceptrol() -> Request {
    request(&["statue"]).steps(4)
}

/// The latents of the picture a request starts from.
fn of_picture(pipeline: &StableDiffusion, request: &Request) -> Vec<f32> {
    let conditioning = pipeline.condition(request).expect("a picture");
    let picture = conditioning
        .start
        .and_then(|start| start.picture)
        .expect("latents");
    picture.into_data().try_to_vec().expect("f32")
}

/// The tiny model with a UNet of 9 channels, the further ones with these weights of the first convolution.
fn of_nine_channels(further: f32, class: &str) -> tempfile::TempDir {
    let copy = copy();
    let model = copy.path().join("model");
    edit(
        &model.join("unet/config.json"),
        "\"in_channels\": 4",
        "\"in_channels\": 9",
    );
    edit(
        &model.join("model_index.json"),
        "StableDiffusionXLPipeline",
        class,
    );
    let path = model.join("unet/diffusion_pytorch_model.safetensors");
    let bytes = fs::read(&path).expect("weights");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let (name, tensor) = (
        "conv_in.weight",
        file.tensor("conv_in.weight").expect("the first"),
    );
    let [out, 4, height, width] = *tensor.shape() else {
        panic!("{:?}", tensor.shape());
    };
    let plane = height * width;
    let mut wider = Vec::new();
    for kernel in tensor.data().chunks_exact(4 * 4 * plane) {
        wider.extend_from_slice(kernel);
        wider.extend((0..5 * plane).flat_map(|_| further.to_le_bytes()));
    }
    assert_eq!(wider.len(), 4 * out * 9 * plane);
    let wider = TensorView::new(Dtype::F32, vec![out, 9, height, width], &wider);
    let mut tensors = file.tensors();
    tensors.retain(|(other, _)| other != name);
    tensors.push((name.to_owned(), wider.expect("as many bytes")));
    let written = safetensors::serialize(tensors, None).expect("written");
    fs::write(&path, written).expect("writable");
    copy
}

#[test]
fn conceptrol_acts_in_what_is_left_of_the_schedule() {
    let pipeline = pipeline(1);
    let with = |from: f64| {
        let window = StepWindow::after_warmup(from).expect("a window");
        latents(&pipeline, &conceptrol().start(start(0.5)).window(window))
    };
    let text = latents(
        &pipeline,
        &conceptrol().start(start(0.5)).mode(Mode::TextOnly),
    );
    // steps 2 and 3 of 4 are run
    assert_eq!(with(0.0), with(0.5));
    assert!(with(0.75) != with(0.0) && with(0.75) != text);
    assert_eq!(with(1.0), text);
}

#[test]
fn a_mask_of_zeros_leaves_the_picture_bit_for_bit() {
    let pipeline = pipeline(1);
    for strength in [0.0, 0.6, 1.0] {
        let request = conceptrol().start(start(strength).repaint(mask(|_, _| false)));
        assert_eq!(
            latents(&pipeline, &request),
            of_picture(&pipeline, &request),
            "{strength}"
        );
    }
}

/// The option that bounds the autoencoder's memory holds for reading a picture, too.
#[test]
fn a_picture_is_read_in_tiles_if_asked_for() {
    let pipeline = pipeline(1);
    let read = |request: Request| latents(&pipeline, &request);
    let whole = read(conceptrol().start(start(0.0)));
    let tiled = |edge| read(conceptrol().start(start(0.0)).vae_tile(edge));
    assert_eq!(tiled(4096), whole, "one tile is the picture");
    assert_ne!(tiled(32), whole);
}

#[test]
fn pictures_that_start_from_one_do_not_see_each_other() {
    let pipeline = pipeline(1);
    let with = |seed| conceptrol().seed(seed).start(start(0.8).repaint(left()));
    let together = pictures(&pipeline, &with(3).images_per_prompt(3));
    for (seed, together) in (3..).zip(together) {
        let alone = pictures(&pipeline, &with(seed)).remove(0);
        assert!(alone == together, "seed {seed}");
    }
}

#[test]
fn a_unet_of_nine_channels_sees_the_region_and_the_rest() {
    // channels without weight change nothing: what is repainted is made of the same noise, and nothing is put back
    let folder = of_nine_channels(0.0, "StableDiffusionXLInpaintPipeline");
    let deaf = open_in(folder.path(), 1, options());
    assert_eq!(deaf.profile().input, InputKind::Region);
    let noise = Tensor::full([1, 4, 8, 8], 0.4, (&Device::flex(), DType::F32));
    let plain = conceptrol().latents(noise);
    let filled = plain.clone().start(start(1.0).repaint(left()));
    assert_eq!(latents(&deaf, &filled), latents(&pipeline(1), &plain));

    let folder = of_nine_channels(0.05, "StableDiffusionXLPipeline");
    let hearing = open_in(folder.path(), 1, options());
    assert_ne!(latents(&hearing, &filled), latents(&deaf, &filled));
    let right = plain.start(start(1.0).repaint(mask(|x, _| x >= 20)));
    assert_ne!(latents(&hearing, &filled), latents(&hearing, &right));
    let with = |seed| conceptrol().seed(seed).start(start(0.7).repaint(left()));
    let together = pictures(&hearing, &with(3).images_per_prompt(2));
    assert!(
        pictures(&hearing, &with(4))[0] == together[1],
        "alone as in a batch"
    );
}

#[test]
fn what_does_not_go_together_is_said_before_the_first_step() {
    let folder = of_nine_channels(0.0, "StableDiffusionXLInpaintPipeline");
    let repaints = open_in(folder.path(), 1, options());
    let refused = |request: &Request| {
        let error = repaints
            .generate(request, &mut Silent)
            .expect_err("refused");
        assert!(
            matches!(error, PipelineError::NothingToRepaint { .. }),
            "{error}"
        );
        error.to_string()
    };
    assert_eq!(
        refused(&conceptrol()),
        "this model repaints part of a picture, and the request has no picture to start from"
    );
    assert_eq!(
        refused(&conceptrol().start(start(0.5))),
        "this model repaints part of a picture, and the request has no region of the picture"
    );
    let mut own = request(&[]).start(start(1.0).repaint(left()));
    own.size = None;
    let made = repaints.generate(&own, &mut Silent).expect("a picture");
    assert_eq!(
        made.images[0].dimensions(),
        (40, 56),
        "the size of the picture"
    );
    let size = ImageSize::new(56, 40);
    assert_eq!(
        repaints
            .scheduler(&own.size(size))
            .expect("a schedule")
            .timesteps()
            .len(),
        2
    );
}
