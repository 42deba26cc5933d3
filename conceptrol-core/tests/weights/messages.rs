//! Names from files cannot command a terminal, nor fill it.

use std::path::Path;

use burn::tensor::{Device, FloatDType};
use conceptrol_core::models::weights::{Checkpoint, Format, KeyRule, WeightError, Weights};

use crate::{checkpoint, counting, file, message, zip::Zip};

/// A name as JSON writes it, and as pickles do: one that clears the screen, one of a megabyte.
fn names() -> [(String, String); 2] {
    let long = "n".repeat(1 << 20);
    [
        (
            r"\u001b[2Jx\u202e".to_owned(),
            "\u{1b}[2Jx\u{202e}".to_owned(),
        ),
        (long.clone(), long),
    ]
}

fn is_plain(text: &str) {
    let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.chars().any(hidden), "{text:?}");
    assert!(text.len() < 3000, "{} bytes", text.len());
}

#[test]
fn names_of_tensors() {
    for (json, name) in names() {
        let tensor = |dtype, shape, begin, end| {
            let header = format!(
                r#"{{"{json}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}}}"#
            );
            checkpoint(file(&header, &[0; 8]))
        };
        is_plain(&message(tensor("F32", "[9]", 0, 36)));
        is_plain(&message(tensor("F32", "[3]", 0, 8)));
        is_plain(&message(tensor("F32", "[1]", 8, 4)));
        is_plain(&message(tensor("C64", "[1]", 0, 8)));
        is_plain(&message(tensor("F33", "[1]", 0, 8)));
        is_plain(&message(tensor("F32", "[1]", 4, 8)));
        let twice = format!(
            r#"{{"{json}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}},"{json}":{{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}}}"#
        );
        is_plain(&message(checkpoint(file(&twice, &[0; 8]))));

        let whole = tensor("F32", "[2]", 0, 8).unwrap();
        is_plain(&message(whole.map(&[KeyRule::rows(&name, &[("a", 3)])])));
        for tensor in whole.tensors() {
            is_plain(&tensor.to_string());
        }
        let weights = Weights::from_checkpoint(whole, &Device::flex(), FloatDType::F32);
        let _ = weights.tensor::<1>("x", [2]);
        let _ = weights.tensor::<2>(&name, [2, 2]);
        is_plain(&message(weights.finish()));
    }
}

#[test]
fn shapes_of_a_million_axes() {
    let header = format!(
        r#"{{"x":{{"dtype":"F32","shape":[{}2],"data_offsets":[0,4]}}}}"#,
        "1,".repeat(1 << 20)
    );
    is_plain(&message(checkpoint(file(&header, &[0; 4]))));
    let header = header.replace("2]", "1]");
    let whole = checkpoint(file(&header, &[0; 4])).unwrap();
    let weights = Weights::from_checkpoint(whole, &Device::flex(), FloatDType::F32);
    let _ = weights.tensor::<1>("x", [2]);
    is_plain(&message(weights.finish()));
}

#[test]
fn names_in_archives_and_pickles() {
    for (_, name) in names() {
        let mut pickle = b"\x80\x02}X".to_vec();
        pickle.extend((name.len() as u32).to_le_bytes());
        pickle.extend(name.as_bytes());
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(\
            (X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ\
            K\x00K\x04\x85K\x01\x85\x89}tRs.");
        let absent = Zip::default().with("x/data.pkl", &pickle).finish();
        is_plain(&message(Checkpoint::from_bytes(
            "a.bin",
            Format::Torch,
            absent,
        )));
        let short = Zip::default()
            .with("x/data.pkl", &pickle)
            .with("x/data/0", &[0; 4]);
        is_plain(&message(Checkpoint::from_bytes(
            "a.bin",
            Format::Torch,
            short.finish(),
        )));
        let mut global = b"\x80\x02c".to_vec();
        global.extend(name.as_bytes());
        global.extend(b"\nx\n.");
        let global = Zip::default().with("x/data.pkl", &global).finish();
        is_plain(&message(Checkpoint::from_bytes(
            "a.bin",
            Format::Torch,
            global,
        )));
        let member: String = name.chars().take(60_000).collect();
        let twice = Zip::default()
            .with(&member, b"")
            .with(&member, b"")
            .finish();
        is_plain(&message(Checkpoint::from_bytes(
            "a.bin",
            Format::Torch,
            twice,
        )));
    }
}

#[test]
fn names_of_shards_and_paths() {
    for (json, name) in names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors.index.json");
        for index in [
            format!(r#"{{"weight_map":{{"a":"{json}.safetensors"}}}}"#),
            format!(r#"{{"weight_map":{{"a":"../{json}"}}}}"#),
            format!(r#"{{"weight_map":{{"{json}":"1.safetensors"}}}}"#),
            format!(r#"{{"weight_map":"{json}"}}"#),
        ] {
            std::fs::write(&path, index).unwrap();
            std::fs::write(
                folder.path().join("1.safetensors"),
                counting(&[("a", &[1])]),
            )
            .unwrap();
            is_plain(&message(Checkpoint::open(folder.path())));
        }
        for ending in ["", ".safetensors", ".bin", ".index.json"] {
            let path = format!("{name}{ending}");
            is_plain(&message(Checkpoint::open(Path::new(&path))));
        }
        let error: WeightError =
            Checkpoint::from_bytes(&name, Format::Safetensors, vec![1]).unwrap_err();
        is_plain(&error.to_string());
    }
}
