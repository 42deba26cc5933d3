use conceptrol_core::models::siglip_vision::{
    SiglipVisionConfig, SiglipVisionError, SiglipVisionModel,
};

use crate::case::Case;

fn model(case: &Case) -> SiglipVisionModel {
    let config = SiglipVisionConfig::from_file(case.config()).unwrap();
    let weights = case.weights("model.safetensors");
    let model = SiglipVisionModel::new(&config, &weights);
    weights.finish().unwrap();
    model
}

#[test]
fn states_and_their_pool() {
    let case = Case::own("siglip_vision");
    let encoder = model(&case);
    let pixels = case.input("pixels");
    case.check("last_hidden_state", encoder.states(pixels.clone()).unwrap());
    case.check("pooler_output", encoder.pooled(pixels).unwrap());
}

#[test]
fn a_picture_does_not_depend_on_its_batch() {
    let case = Case::own("siglip_vision");
    let encoder = model(&case);
    let pixels = case.input("pixels");
    let together = encoder.pooled(pixels.clone()).unwrap();
    for picture in 0..pixels.dims()[0] {
        let alone = encoder.pooled(pixels.clone().narrow(0, picture, 1));
        let row = together.clone().narrow(0, picture, 1).into_data();
        row.assert_eq(&alone.unwrap().into_data(), true);
    }
}

#[test]
fn pixels_of_another_size_and_a_missing_head_are_errors() {
    let case = Case::own("siglip_vision");
    let encoder = model(&case);
    let wrong = case.input("pixels").narrow(3, 0, 14);
    assert_eq!(
        encoder.pooled(wrong).unwrap_err().to_string(),
        "pixel values of [2, 3, 20, 14], the image encoder expects [pictures, 3, 20, 20]"
    );

    let mut config = SiglipVisionConfig::from_file(case.config()).unwrap();
    config.has_head = false;
    let weights = case.weights("model.safetensors");
    weights.ignore_unexpected("vision_model.head.");
    let headless = SiglipVisionModel::new(&config, &weights);
    weights.finish().unwrap();
    let pixels = case.input("pixels");
    assert_eq!(
        headless.pooled(pixels.clone()).unwrap_err(),
        SiglipVisionError::NoHead
    );
    case.check("last_hidden_state", headless.states(pixels).unwrap());
}
