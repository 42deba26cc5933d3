//! fp8: every code of both types, and weights with a factor beside them.

use std::path::PathBuf;

use conceptrol_core::models::weights::{Checkpoint, KeyRule};

use crate::{checkpoint, file, gguf::expected, message, values};

pub(crate) fn fixture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fp8");
    folder.join(name)
}

#[test]
fn codes_and_factors_as_torch_reads_them() {
    for (key, wanted) in expected(fixture("expected.safetensors")) {
        let (file, tensor) = key.split_once('.').unwrap();
        let checkpoint = Checkpoint::open(fixture(file).with_extension("safetensors")).unwrap();
        let found = match checkpoint.get(tensor).unwrap().1.len() {
            1 => values::<1>(&checkpoint, tensor),
            _ => values::<2>(&checkpoint, tensor),
        };
        let same = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
        assert!(found.iter().zip(&wanted).all(same), "{key}");
        assert_eq!(found.len(), wanted.len());
    }
}

#[test]
fn factors_and_marks_are_no_tensors() {
    for (name, tensors) in [("scaled", 4), ("scaled_2", 1), ("renamed", 1)] {
        let checkpoint = Checkpoint::open(fixture(name).with_extension("safetensors")).unwrap();
        assert_eq!(checkpoint.len(), tensors, "{name}");
    }
}

/// `a.weight` [4, 1] of ones in fp8, with these other tensors.
fn scaled(others: &str, data: &[u8]) -> Vec<u8> {
    let weight = r#""a.weight":{"dtype":"F8_E4M3","shape":[4,1],"data_offsets":[0,4]}"#;
    let mut bytes = vec![0x38; 4];
    bytes.extend(data);
    file(&format!("{{{weight},{others}}}"), &bytes)
}

/// Factors a row, which pieces and swapped halves keep.
#[test]
fn factors_follow_their_rows() {
    let factors = r#""a.weight_scale":{"dtype":"F32","shape":[4,1],"data_offsets":[4,20]}"#;
    let data: Vec<u8> = (1..5).flat_map(|n| (n as f32).to_le_bytes()).collect();
    let whole = checkpoint(scaled(factors, &data)).unwrap();
    assert_eq!(values::<2>(&whole, "a.weight"), [1.0, 2.0, 3.0, 4.0]);
    let cut = whole
        .map(&[KeyRule::rows("a", &[("b", 1), ("c", 3)])])
        .unwrap();
    assert_eq!(values::<2>(&cut, "b.weight"), [1.0]);
    assert_eq!(values::<2>(&cut, "c.weight"), [2.0, 3.0, 4.0]);
    let swapped = whole.map(&[KeyRule::swap_halves("a", "b")]).unwrap();
    assert_eq!(values::<2>(&swapped, "b.weight"), [3.0, 4.0, 1.0, 2.0]);
}

#[test]
fn other_factors_are_refused() {
    let text = message(checkpoint(scaled(
        r#""a.scale_weight":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}"#,
        &[0; 12],
    )));
    assert!(
        text.contains("a.scale_weight is [3] f32: a factor for a.weight [4, 1]"),
        "{text}"
    );
    let mark = br#"{"format":"nvfp4"}"#;
    let others = format!(
        r#""a.comfy_quant":{{"dtype":"U8","shape":[{0}],"data_offsets":[4,{1}]}}"#,
        mark.len(),
        mark.len() + 4
    );
    let text = message(checkpoint(scaled(&others, mark)));
    assert!(
        text.contains("a.comfy_quant has the format nvfp4"),
        "{text}"
    );
}
