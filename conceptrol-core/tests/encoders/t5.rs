use burn::tensor::{DType, Int, Tensor, TensorData};
use conceptrol_core::models::t5::{T5Config, T5Encoder};

use crate::case::Case;

fn ids(case: &Case) -> Tensor<2, Int> {
    let rows = case.ids();
    let shape = [rows.len(), rows[0].len()];
    let ids: Vec<i64> = rows.into_iter().flatten().map(i64::from).collect();
    Tensor::from_data(TensorData::new(ids, shape), (&case.device, DType::I64))
}

fn check(case: &Case) {
    let config = T5Config::from_file(case.config()).unwrap();
    let weights = case.weights("model.safetensors");
    let encoder = T5Encoder::new(&config, &weights);
    let streamed = T5Encoder::streamed(&config, &weights);
    weights.finish().unwrap();

    let ids = ids(case);
    case.check(
        "hidden_state_1",
        encoder.states_after(1, ids.clone()).unwrap(),
    );
    let states = encoder.forward(ids.clone()).unwrap();
    case.check("last_hidden_state", states.clone());
    let from_disk = streamed.forward(ids).unwrap().into_data();
    from_disk.assert_eq(&states.into_data(), true);
}

#[test]
fn states_equal_the_reference() {
    check(&Case::own("t5"));
}

#[test]
#[ignore = "needs CONCEPTROL_FIXTURES"]
fn case_of_the_authors() {
    check(&Case::public("comp_t5"));
}

#[test]
fn a_prompt_does_not_depend_on_its_batch() {
    let case = Case::own("t5");
    let config = T5Config::from_file(case.config()).unwrap();
    let encoder = T5Encoder::new(&config, &case.weights("model.safetensors"));
    let ids = ids(&case);
    let together = encoder.forward(ids.clone()).unwrap();
    for row in 0..ids.dims()[0] {
        let alone = encoder.forward(ids.clone().narrow(0, row, 1));
        let alone = alone.unwrap().into_data();
        let row = together.clone().narrow(0, row, 1).into_data();
        row.assert_eq(&alone, true);
    }
}
