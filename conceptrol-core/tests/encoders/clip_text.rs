use conceptrol_core::models::clip_text::{ClipTextConfig, ClipTextError, ClipTextModel};

use crate::case::Case;

fn model(case: &Case) -> ClipTextModel {
    let config = ClipTextConfig::from_file(case.config()).unwrap();
    let weights = case.weights("model.safetensors");
    let model = ClipTextModel::new(&config, &weights);
    weights.finish().unwrap();
    model
}

fn check(case: &Case) {
    let model = model(case);
    let states = model.forward(&case.ids()).unwrap();
    case.check("last_hidden_state", states.last_hidden_state());
    case.check("penultimate", states.hidden_state(1).unwrap());
    match states.text_embeds() {
        Some(embeds) => case.check("text_embeds", embeds),
        None => case.check("pooler_output", states.pooled()),
    }
    if case.expects("clip_skip_2") {
        case.check(
            "clip_skip_2",
            model.final_layer_norm(states.hidden_state(2).unwrap()),
        );
        case.check("embeddings", states.hidden_state(3).unwrap());
        let error = states.hidden_state(4).unwrap_err();
        assert_eq!(error, ClipTextError::Skip { skip: 4, layers: 3 });
    }
}

#[test]
fn legacy_eos_without_projection() {
    check(&Case::own("clip_text_legacy_eos"));
}

#[test]
fn first_eos_with_projection() {
    check(&Case::own("clip_text_projection"));
}

#[test]
#[ignore = "needs CONCEPTROL_FIXTURES"]
fn cases_of_the_authors() {
    for name in ["sd15", "fullvocab", "sdxl_1", "sdxl_2"] {
        check(&Case::public(&format!("comp_clip_text_{name}")));
    }
}

#[test]
fn a_prompt_does_not_depend_on_its_batch() {
    let case = Case::own("clip_text_legacy_eos");
    let model = model(&case);
    let ids = case.ids();
    let together = model.forward(&ids).unwrap().last_hidden_state();
    for (row, ids) in ids.iter().enumerate() {
        let alone = model.forward(&[ids]).unwrap().last_hidden_state();
        let row_of_batch = together.clone().narrow(0, row, 1);
        row_of_batch.into_data().assert_eq(&alone.into_data(), true);
    }
}

#[test]
fn wrong_ids_are_errors() {
    let model = model(&Case::own("clip_text_legacy_eos"));
    let error = |ids: &[Vec<u32>]| model.forward(ids).unwrap_err();
    assert_eq!(error(&[]), ClipTextError::Empty);
    assert_eq!(error(&[vec![]]), ClipTextError::Empty);
    assert_eq!(
        error(&[vec![0; 11]]),
        ClipTextError::TooLong {
            tokens: 11,
            positions: 10
        }
    );
    assert_eq!(
        error(&[vec![0; 3], vec![0; 2]]),
        ClipTextError::Ragged {
            row: 1,
            expected: 3,
            actual: 2
        }
    );
    assert_eq!(
        error(&[vec![40]]),
        ClipTextError::UnknownId {
            id: 40,
            vocab_size: 40
        }
    );
}
