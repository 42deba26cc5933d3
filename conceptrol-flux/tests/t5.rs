//! The T5 encoder against transformers.

mod common;

use burn::tensor::FloatDType;
use common::Case;
use conceptrol_core::models::t5::{T5Config, T5Encoder};
use conceptrol_core::models::weights::Weights;

#[test]
fn states_equal_the_reference() {
    let case = Case::open("comp_t5");
    let folder = case.file("model");
    let config = T5Config::from_file(folder.join("config.json")).expect("config");
    let weights = Weights::open(
        folder.join("model.safetensors"),
        &case.device,
        FloatDType::F32,
    )
    .expect("weights");
    let encoder = T5Encoder::new(&config, &weights);
    let streamed = T5Encoder::streamed(&config, &weights);
    weights.finish().expect("every tensor is used");

    let ids = case.input_ids("input_ids");
    case.check("hidden_state_1", encoder.states_after(1, ids.clone()));
    case.check("last_hidden_state", encoder.forward(ids.clone()));
    case.check("last_hidden_state", streamed.forward(ids));
}
