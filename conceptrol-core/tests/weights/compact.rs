//! Matrices that stay in memory in fewer bytes: the numbers of those that are widened as they are read.

use std::fs;

use burn::tensor::{Device, FloatDType};
use conceptrol_core::{
    kernel::{BlockFormat, CompactFormat, CompactMatrix},
    models::{
        nn::Linear,
        weights::{Checkpoint, Keep, KeyRule, Weights},
    },
};

use crate::{checkpoint, file, gguf, message, scaled, values};

fn compact(checkpoint: &Checkpoint, name: &str, keep: Keep) -> Option<CompactMatrix> {
    let shape = checkpoint.get(name).expect(name).1;
    let shape = shape.try_into().expect("a matrix");
    let loaded = checkpoint.load_compact(name, shape, keep, FloatDType::F32);
    loaded.expect("a readable file")
}

fn widened(matrix: &CompactMatrix) -> Vec<f32> {
    let numbers = matrix.widen(&Device::flex(), FloatDType::F32).into_data();
    numbers.try_to_vec().expect("f32")
}

/// That the matrix is kept as stored, and stands for the numbers that a tensor is read as.
fn same(checkpoint: &Checkpoint, name: &str) {
    let matrix = compact(checkpoint, name, Keep::Stored).expect("kept");
    let bits = |numbers: Vec<f32>| numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let (found, wanted) = (widened(&matrix), values::<2>(checkpoint, name));
    // other NaNs are other bits
    if wanted.iter().all(|x| !x.is_nan()) {
        assert_eq!(bits(found), bits(wanted), "{name}");
    } else {
        let alike = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
        assert!(found.iter().zip(&wanted).all(alike), "{name}");
    }
}

#[test]
fn every_type_of_gguf_and_fp8() {
    let mut kept = 0;
    let folders = [gguf::fixture(""), scaled::fixture("")];
    for entry in folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("a folder"))
    {
        let path = entry.expect("a file").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let readable = name.ends_with(".gguf") || name.ends_with(".safetensors");
        if !readable || name.starts_with("bad_") || name.starts_with("expected") {
            continue;
        }
        let Ok(checkpoint) = Checkpoint::open(&path) else {
            continue; // other tests say why
        };
        for tensor in checkpoint.tensors() {
            let matrix = tensor.shape.len() == 2 && tensor.elements() > 0;
            if matrix && tensor.dtype.is_float() && tensor.dtype.compact().is_some() {
                same(&checkpoint, &tensor.name);
                kept += 1;
            }
        }
    }
    assert!(kept >= 16, "{kept}");
}

#[test]
fn pieces_and_swapped_halves() {
    let rules = [KeyRule::rows("block", &[("a", 1), ("b", 2)])];
    for name in ["q4_0.gguf", "q6_k.gguf"] {
        let whole = Checkpoint::open(gguf::fixture(name)).expect("a file");
        let only = whole.rename(|name| name.starts_with("block").then(|| name.to_owned()));
        let cut = only.map(&rules).expect("cut");
        same(&cut, "a.weight");
        same(&cut, "b.weight");
    }
    // two pieces, with a factor for each row; both halves of the rows
    let weight = r#""a.weight":{"dtype":"F8_E4M3","shape":[4,2],"data_offsets":[0,8]}"#;
    let scale = r#""a.weight_scale":{"dtype":"F32","shape":[4,1],"data_offsets":[8,24]}"#;
    let mut data = vec![0x38, 0x40, 0xb8, 0x30, 0x3a, 0x01, 0x7e, 0x80];
    data.extend((1..5).flat_map(|n| (n as f32).to_le_bytes()));
    let whole = checkpoint(file(&format!("{{{weight},{scale}}}"), &data)).expect("a file");
    same(&whole, "a.weight");
    let swapped = whole
        .map(&[KeyRule::swap_halves("a", "b")])
        .expect("swapped");
    same(&swapped, "b.weight");
    assert_eq!(values::<2>(&swapped, "b.weight")[..2], [3.75, 3.0 / 512.0]);
}

/// A file of one tensor of this type and shape, whose bytes are all `byte`.
fn one(dtype: &str, size: usize, [rows, columns]: [usize; 2], byte: u8) -> Checkpoint {
    let len = size * rows * columns;
    let header = format!(
        r#"{{"w":{{"dtype":"{dtype}","shape":[{rows},{columns}],"data_offsets":[0,{len}]}}}}"#
    );
    checkpoint(file(&header, &vec![byte; len])).expect("a file")
}

#[test]
fn what_is_kept_as_what() {
    use BlockFormat::{Q4_0, Q8_0};
    use CompactFormat::{BF16, Blocks, F8E4M3, F16};
    let format = |dtype, size, columns, keep, computed| {
        let file = one(dtype, size, [3, columns], 0x20);
        let matrix = file.load_compact("w", [3, columns], keep, computed);
        matrix.expect("readable").map(|matrix| matrix.format())
    };
    let single = FloatDType::F32;
    for (dtype, size, columns, keep, computed, expected) in [
        ("F32", 4, 64, Keep::Stored, single, None),
        ("F16", 2, 64, Keep::Stored, single, Some(F16)),
        ("BF16", 2, 33, Keep::Stored, single, Some(BF16)),
        (
            "F8_E4M3",
            1,
            33,
            Keep::Stored,
            FloatDType::BF16,
            Some(F8E4M3),
        ),
        // what takes as many bytes is converted
        ("F16", 2, 64, Keep::Stored, FloatDType::BF16, None),
        ("BF16", 2, 64, Keep::Stored, FloatDType::BF16, None),
        ("BF16", 2, 64, Keep::Computed, single, None),
        ("F32", 4, 64, Keep::Q8_0, single, Some(Blocks(Q8_0))),
        (
            "BF16",
            2,
            64,
            Keep::Q4_0,
            FloatDType::BF16,
            Some(Blocks(Q4_0)),
        ),
        // 8 bits are fewer than 8.5
        ("F8_E4M3", 1, 64, Keep::Q8_0, single, Some(F8E4M3)),
        ("F8_E4M3", 1, 64, Keep::Q4_0, single, Some(Blocks(Q4_0))),
        // rows that are not whole blocks
        ("F32", 4, 33, Keep::Q4_0, single, None),
        ("BF16", 2, 33, Keep::Q4_0, single, Some(BF16)),
    ] {
        let found = format(dtype, size, columns, keep, computed);
        assert_eq!(
            found, expected,
            "{dtype}, {columns}, {keep:?}, {computed:?}"
        );
    }
    let file = one("BF16", 2, [2, 32], 0x20);
    let other = file.load_compact("w", [32, 2], Keep::Stored, single);
    assert!(other.expect("readable").is_none(), "another shape");
    assert_eq!(Keep::Stored.on(&Device::flex()), Keep::Stored);
}

/// Large enough for several threads and many runs, which begin at whole blocks.
#[test]
fn rounding_as_it_is_read_is_rounding_all() {
    let [rows, columns] = [1032, 1056];
    let numbers = (0..rows * columns).map(|at| (at as u32).wrapping_mul(0x9e37_79b9) >> 16);
    let data: Vec<u8> = numbers
        .flat_map(|bits| ((bits as u16 & 0x83ff) | 120 << 7).to_le_bytes())
        .collect();
    let end = data.len();
    let header = format!(
        r#"{{"w":{{"dtype":"BF16","shape":[{rows},{columns}],"data_offsets":[0,{end}]}}}}"#
    );
    let whole = checkpoint(file(&header, &data)).expect("a file");
    let cut = whole
        .map(&[KeyRule::swap_halves("w", "w")])
        .expect("mapped");
    for checkpoint in [&whole, &cut] {
        let numbers = values::<2>(checkpoint, "w");
        for (keep, format) in [
            (Keep::Q8_0, BlockFormat::Q8_0),
            (Keep::Q4_0, BlockFormat::Q4_0),
        ] {
            let read = compact(checkpoint, "w", keep).expect("kept");
            let expected = CompactMatrix::round(format, [rows, columns], &numbers);
            assert!(
                read.bytes() == expected.expect("rounded").bytes(),
                "{keep:?}"
            );
        }
    }
}

#[test]
fn what_cannot_be_rounded_is_named() {
    let infinite = one("F32", 4, [2, 32], 0x7f); // 3.4e38
    let refused = infinite.load_compact("w", [2, 32], Keep::Q8_0, FloatDType::F32);
    let text = message(refused);
    for part in ["memory.safetensors", "w", "cannot be rounded to Q8_0"] {
        assert!(text.contains(part), "{text}");
    }
    // a model says so when it is complete, and a block when it is read
    let weights = Weights::from_checkpoint(
        infinite.rename(|_| Some("l.weight".into())),
        &Device::flex(),
        FloatDType::F32,
    );
    let weights = weights.keeping(Keep::Q4_0);
    let block = weights.read(|w| Linear::new(&w.at("l"), 32, 2, false));
    assert!(message(block).contains("cannot be rounded to Q4_0"));
    drop(Linear::new(&weights.at("l"), 32, 2, false));
    assert!(message(weights.finish()).contains("cannot be rounded to Q4_0"));
}

/// A layer takes what its scope says.
#[test]
fn layers_take_the_memory_of_their_scope() {
    let file = one("BF16", 2, [2, 32], 0x3c).rename(|_| Some("l.weight".into()));
    let layer = |weights: Weights| {
        let layer = Linear::new(&weights.at("l"), 32, 2, false);
        weights.finish().expect("complete");
        format!("{layer:?}")
    };
    let weights = || Weights::from_checkpoint(file.clone(), &Device::flex(), FloatDType::F32);
    for (keep, rounded, not_rounded) in [
        (Keep::Computed, None, None),
        (Keep::Stored, Some("bf16"), Some("bf16")),
        (Keep::Q8_0, Some("Q8_0"), Some("bf16")),
    ] {
        for (weights, expected) in [
            (weights().keeping(keep), rounded),
            (weights().keeping(keep).not_rounded(), not_rounded),
        ] {
            let shown = layer(weights);
            match expected {
                Some(format) => assert!(shown.contains(&format!("2 x 32 {format}")), "{shown}"),
                None => assert!(!shown.contains("CompactMatrix"), "{shown}"),
            }
        }
    }
    // nothing is read of a model that is compared with its file
    let unread = weights().keeping(Keep::Q8_0).unread();
    assert!(unread.compact("l.weight", [2, 32]).is_none());
}
