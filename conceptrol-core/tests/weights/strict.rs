//! A model and a checkpoint that do not fit: everything is reported, once, at the end.

use burn::tensor::{Device, FloatDType};
use conceptrol_core::models::{
    nn::Linear,
    weights::{Mismatch, WeightError, Weights},
};

use crate::{checkpoint, counting, file};

fn weights(tensors: &[(&str, &[usize])]) -> Weights {
    let checkpoint = checkpoint(counting(tensors)).unwrap();
    Weights::from_checkpoint(checkpoint, &Device::flex(), FloatDType::F32)
}

fn mismatch(weights: Weights) -> Mismatch {
    match weights.finish().unwrap_err() {
        WeightError::Mismatch(mismatch) => *mismatch,
        other => panic!("{other}"),
    }
}

#[test]
fn missing_unexpected_and_wrong_are_listed_together() {
    let w = weights(&[
        ("to_q.weight", &[4, 2]),
        ("to_k.weigth", &[4, 2]),
        ("to_v.weight", &[2, 4]),
    ]);
    let _layers = ["to_q", "to_k", "to_v"].map(|name| Linear::new(&w.at(name), 2, 4, false));
    let mismatch = mismatch(w);
    assert_eq!(mismatch.matched, 1);
    assert_eq!(mismatch.missing.len(), 1);
    assert_eq!(mismatch.missing[0].name, "to_k.weight");
    assert_eq!(mismatch.missing[0].closest.as_deref(), Some("to_k.weigth"));
    assert_eq!(mismatch.unexpected, ["to_k.weigth"]);
    assert_eq!(mismatch.wrong.len(), 1);
    assert_eq!(mismatch.wrong[0].found, [2, 4]);
    let text = mismatch.to_string();
    for part in [
        "memory.safetensors: ",
        "1 missing, 1 unexpected, 1 of the wrong shape",
        "to_k.weight [4, 2] (closest: to_k.weigth)",
        "to_v.weight is [2, 4] f32, expected [4, 2]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn long_lists_are_cut_in_the_message_only() {
    let w = weights(&[("x", &[1])]);
    for index in 0..1000 {
        let _ = Linear::new(&w.at("blocks").at(index), 2, 2, false);
    }
    let mismatch = mismatch(w);
    assert_eq!(mismatch.missing.len(), 1000);
    let text = mismatch.to_string();
    assert!(text.contains("and 992 more"), "{text}");
    assert!(text.lines().count() < 20);
}

#[test]
fn asking_again_is_free() {
    let w = weights(&[("0.weight", &[2, 2]), ("1.weight", &[2, 2])]);
    for _ in 0..3 {
        for block in 0..2 {
            let _ = Linear::new(&w.at(block), 2, 2, false);
        }
    }
    assert_eq!(w.finish().unwrap().len(), 2);
}

#[test]
fn asking_again_for_another_shape_is_an_error() {
    let w = weights(&[("0.weight", &[2, 2])]);
    let _ = Linear::new(&w.at(0), 2, 2, false);
    let _ = Linear::new(&w.at(0), 3, 2, false);
    assert_eq!(mismatch(w).wrong.len(), 1);
}

#[test]
fn a_missing_tensor_of_any_size_costs_no_memory() {
    let w = weights(&[]);
    let _ = Linear::new(&w, 1 << 30, 1 << 30, false);
    let _ = Linear::new(&w.at("b"), usize::MAX, usize::MAX, true);
    assert_eq!(mismatch(w).missing.len(), 3);
}

#[test]
fn exceptions_are_named() {
    let w = weights(&[
        ("a.weight", &[2, 2]),
        ("b.extra.x", &[1]),
        ("b.extra.y", &[1]),
    ]);
    let _ = Linear::new(&w.at("a"), 2, 2, false);
    w.at("b").ignore_unexpected("extra.");
    w.finish().unwrap();
}

#[test]
fn integer_buffers_are_no_weights() {
    let header = r#"{"position_ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
    let checkpoint = checkpoint(file(header, &[0; 8])).unwrap();
    let w = Weights::from_checkpoint(checkpoint, &Device::flex(), FloatDType::F32);
    w.clone().finish().unwrap();
    let _ = w.tensor::<1>("position_ids", [1]);
    assert!(
        mismatch(w)
            .to_string()
            .contains("position_ids is [1] int64")
    );
}

#[test]
fn a_scope_settles_its_own_account() {
    let w = weights(&[("a.weight", &[2, 2]), ("ab.weight", &[2, 2])]);
    let a = w.at("a");
    let _ = Linear::new(&a, 2, 2, false);
    assert_eq!(a.finish().unwrap().len(), 1);
    assert_eq!(mismatch(w).unexpected, ["ab.weight"]);
}

#[test]
fn aliases_are_tried_segment_by_segment() {
    let w = weights(&[
        ("attn.proj_attn.weight", &[2, 2]),
        ("attn.query.weight", &[2, 2]),
    ]);
    let attn = w.at("attn");
    assert!(!attn.has("to_q.weight"));
    attn.alias("to_q", "query");
    attn.alias("to_out.0", "proj_attn");
    assert!(attn.has("to_q.weight") && !attn.has("o_q.weight"));
    let _ = Linear::new(&attn.at("to_q"), 2, 2, false);
    let _ = Linear::new(&attn.at("to_out").at(0), 2, 2, false);
    assert_eq!(w.finish().unwrap().len(), 2);
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, counting(&[("weight", &[2, 2])])).unwrap();
    let w = Weights::open(&path, &Device::flex(), FloatDType::F32).unwrap();
    std::fs::write(&path, [0; 8]).unwrap();
    let _ = Linear::new(&w, 2, 2, false);
    assert!(matches!(w.finish().unwrap_err(), WeightError::Io { .. }));
}
