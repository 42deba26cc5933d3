use conceptrol_core::models::clip_vision::{ClipVisionConfig, ClipVisionModel};
use conceptrol_core::models::image::{self, ClipImageConfig};

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
