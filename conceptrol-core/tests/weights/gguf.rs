//! GGUF files: every type against gguf-py, what is malformed, and what the header may say.

use std::{collections::BTreeMap, fs, path::PathBuf};

use burn::tensor::{Device, FloatDType};
use conceptrol_core::models::weights::{BlockFormat, Checkpoint, Format, KeyRule, StoredDType};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::{message, values};

pub(crate) fn fixture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf");
    folder.join(name)
}

/// The tensors of `expected.safetensors`, whose names begin with the file they are of.
pub(crate) fn expected(path: PathBuf) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| {
        let numbers = data.as_chunks().0.iter();
        numbers.map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let tensors = file.tensors().into_iter();
    tensors
        .map(|(name, view)| (name, values(view.data())))
        .collect()
}

#[test]
fn every_type_is_read_as_gguf_py_reads_it() {
    for (key, wanted) in expected(fixture("expected.safetensors")) {
        let (file, tensor) = key.split_once('.').unwrap();
        let checkpoint = Checkpoint::open(fixture(file).with_extension("gguf")).unwrap();
        let found = match checkpoint.get(tensor).unwrap().1.len() {
            1 => values::<1>(&checkpoint, tensor),
            2 => values::<2>(&checkpoint, tensor),
            _ => values::<3>(&checkpoint, tensor),
        };
        assert_eq!(found, wanted, "{key}");
    }
}

#[test]
fn blocks_are_listed_with_their_format_and_bytes() {
    let checkpoint = Checkpoint::open(fixture("q4_k.gguf")).unwrap();
    let weight = checkpoint
        .tensors()
        .find(|info| info.name == "block.weight")
        .unwrap();
    assert_eq!(weight.to_string(), "block.weight [3, 512] Q4_K");
    assert_eq!(weight.dtype, StoredDType::Blocks(BlockFormat::Q4_K));
    assert_eq!(weight.bytes(), 3 * 2 * 144);
}

#[test]
fn malformed_files_are_refused() {
    let rules: Value =
        serde_json::from_slice(&fs::read(fixture("expected.json")).unwrap()).unwrap();
    for rule in rules["malformed"].as_array().unwrap() {
        let file = rule["file"].as_str().unwrap();
        let opened = Checkpoint::open(fixture(file));
        if rule["expect"] == "error" {
            let text = message(opened);
            assert!(text.contains(file), "{text}");
        }
    }
    assert!(
        Checkpoint::open(fixture("edge_no_tensors.gguf"))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn what_is_said_of_malformed_files() {
    for (file, expected) in [
        (
            "bad_alignment_3.gguf",
            "general.alignment is 3, and must be a power of two",
        ),
        ("bad_array_deep.gguf", "nest deeper than 4"),
        ("bad_big_endian.gguf", "big-endian"),
        ("bad_key_2_60.gguf", "a key needs 1152921504606847008"),
        ("bad_n_tensors_huge.gguf", "the directory of tensors needs"),
        ("bad_overlap.gguf", "starts at byte"),
        (
            "bad_row_not_divisible.gguf",
            "have 40 elements, which are not blocks of 32",
        ),
        (
            "bad_tensor_type_removed.gguf",
            "tensor type 4, which is not read",
        ),
        ("bad_version_1.gguf", "GGUF version 1; 2 and 3 are read"),
    ] {
        let text = message(Checkpoint::open(fixture(file)));
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

/// Cuts and prefixes work on blocks as on elements.
#[test]
fn fused_blocks_are_cut_by_rows() {
    let rules = [KeyRule::rows("block", &[("a", 1), ("b", 2)])];
    for file in ["q4_0.gguf", "q6_k.gguf"] {
        let whole = Checkpoint::open(fixture(file)).unwrap();
        let all = values::<2>(&whole, "block.weight");
        let cut = whole.strip_prefix("block.").map(&[]).unwrap();
        assert_eq!(values::<2>(&cut, "weight"), all);
        let only = whole.rename(|name| name.starts_with("block").then(|| name.to_owned()));
        let cut = only.map(&rules).unwrap();
        assert_eq!(values::<2>(&cut, "a.weight"), all[..512]);
        assert_eq!(values::<2>(&cut, "b.weight"), all[512..]);
    }
}

#[test]
fn blocks_are_read_as_any_type() {
    let checkpoint = Checkpoint::open(fixture("q8_0.gguf")).unwrap();
    let single = values::<2>(&checkpoint, "block.weight");
    let half = checkpoint.load::<2>("block.weight", &Device::flex(), FloatDType::BF16);
    let half = half.unwrap().unwrap().into_data().convert::<f32>();
    let half: Vec<f32> = half.try_into_vec().unwrap();
    for (half, single) in half.iter().zip(&single) {
        assert!(
            (half - single).abs() <= single.abs() / 256.0,
            "{half} {single}"
        );
    }
}

/// Large enough for several threads, each of which begins in the middle of the tensor.
#[test]
fn threads_begin_at_whole_blocks() {
    let (rows, blocks) = (1024, 40);
    let mut data = Vec::new();
    for index in 0..rows * blocks {
        data.extend_from_slice(&0x3c00_u16.to_le_bytes()); // 1
        data.extend((0..32).map(|at| (index as u8).wrapping_add(at)));
    }
    let file = written(8, &[blocks as u64 * 32, rows as u64], 0, &data);
    let checkpoint = Checkpoint::from_bytes("a.gguf", Format::Gguf, file).unwrap();
    let found = values::<2>(&checkpoint, "w");
    let wrong = found.iter().enumerate().find(|(at, value)| {
        let byte = ((at / 32) as u8).wrapping_add((at % 32) as u8);
        **value != f32::from(byte.cast_signed())
    });
    assert_eq!(wrong, None);
}

/// A file of one tensor `w`, said to be at `offset` of the data.
fn written(kind: u32, axes: &[u64], offset: u64, data: &[u8]) -> Vec<u8> {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(1_u64.to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    let key = "comfy.gguf.orig_shape.w";
    file.extend((key.len() as u64).to_le_bytes());
    file.extend(key.as_bytes());
    file.extend(9_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    file.extend(2_u64.to_le_bytes());
    let elements: u64 = axes.iter().product();
    file.extend((elements as u32 / 64).to_le_bytes());
    file.extend(64_u32.to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    file.push(b'w');
    file.extend((axes.len() as u32).to_le_bytes());
    axes.iter().for_each(|axis| file.extend(axis.to_le_bytes()));
    file.extend(kind.to_le_bytes());
    file.extend(offset.to_le_bytes());
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(data);
    file
}

#[test]
fn the_shape_before_quantisation_is_taken() {
    let file = written(0, &[128, 2], 0, &[0; 4 * 256]);
    let checkpoint = Checkpoint::from_bytes("a.gguf", Format::Gguf, file).unwrap();
    assert_eq!(checkpoint.get("w").unwrap().1, [4, 64]);
}

/// Found by mutating files: nothing was read at a place that the file does not have.
#[test]
fn an_empty_tensor_lies_nowhere() {
    let file = written(0, &[0, 3], 1 << 40, &[]);
    let checkpoint = Checkpoint::from_bytes("a.gguf", Format::Gguf, file).unwrap();
    assert!(values::<2>(&checkpoint, "w").is_empty());
    let file = written(0, &[1, 3], 1 << 40, &[]);
    let text = message(Checkpoint::from_bytes("a.gguf", Format::Gguf, file));
    assert!(text.contains("w needs 1099511627"), "{text}");
}
