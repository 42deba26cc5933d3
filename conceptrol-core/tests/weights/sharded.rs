//! Checkpoints in several files.

use std::{fs, io, path::Path};

use bytes::Bytes;
use conceptrol_core::models::weights::{Checkpoint, Files, WeightError};

use crate::{counting, message, values};

const INDEX: &str = "diffusion_pytorch_model.safetensors.index.json";

fn write(folder: &Path, index: &str) {
    fs::write(folder.join(INDEX), index).unwrap();
    fs::write(folder.join("1.safetensors"), counting(&[("a", &[2])])).unwrap();
    fs::write(
        folder.join("2.safetensors"),
        counting(&[("b", &[1]), ("c", &[2])]),
    )
    .unwrap();
}

fn map(entries: &[(&str, &str)]) -> String {
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, shard)| format!(r#""{name}":"{shard}""#))
        .collect();
    format!(
        r#"{{"metadata":{{"total_size":20}},"weight_map":{{{}}}}}"#,
        entries.join(",")
    )
}

/// The index of all that [`write`] writes.
fn both_shards() -> String {
    map(&[
        ("a", "1.safetensors"),
        ("b", "2.safetensors"),
        ("c", "2.safetensors"),
    ])
}

#[test]
fn shards_are_one_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &both_shards());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.len(), 3);
    assert_eq!(checkpoint.path(), folder.path().join(INDEX));
    assert_eq!(values::<1>(&checkpoint, "a"), [0.0, 1.0]);
    assert_eq!(values::<1>(&checkpoint, "c"), [1.0, 2.0]);
}

#[test]
fn an_absent_shard_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &map(&[
            ("a", "1.safetensors"),
            ("d", "3.safetensors"),
            ("e", "3.safetensors"),
        ]),
    );
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, WeightError::MissingShard { shard, tensors: 2, .. } if shard == "3.safetensors"),
        "{error}"
    );
}

#[test]
fn an_index_that_lies_is_an_error() {
    let cases = [
        ("{}", "weight_map"),
        ("{\"weight_map\":{\"a\":1}}", "not valid"),
        (
            &map(&[("b", "1.safetensors")]),
            "b is said to be in 1.safetensors and is not",
        ),
        (&map(&[("a", "../1.safetensors")]), "not a plain file name"),
        (&map(&[("a", "/etc/passwd")]), "not a plain file name"),
        (&map(&[("a", "")]), "not a plain file name"),
        (&map(&[("a", INDEX)]), "not a checkpoint name"),
    ];
    for (index, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), index);
        let text = message(Checkpoint::open(folder.path()));
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_tensor_in_two_shards_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &map(&[("a", "1.safetensors"), ("b", "2.safetensors")]),
    );
    fs::write(
        folder.path().join("2.safetensors"),
        counting(&[("a", &[1]), ("b", &[1])]),
    )
    .unwrap();
    assert!(message(Checkpoint::open(folder.path())).contains("a is in two shards"));
}

#[test]
fn the_application_may_open_every_shard() {
    fn in_memory(path: &Path) -> io::Result<Bytes> {
        fs::read(path).map(Bytes::from)
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &both_shards());
    let files = Files::Mapped(in_memory);
    let (given, read) = (
        Checkpoint::open_as(folder.path(), files).unwrap(),
        Checkpoint::open(folder.path()).unwrap(),
    );
    for name in ["a", "b", "c"] {
        assert_eq!(values::<1>(&given, name), values::<1>(&read, name));
    }
    fs::remove_file(folder.path().join("2.safetensors")).unwrap();
    let error = Checkpoint::open_as(folder.path(), files).unwrap_err();
    assert!(matches!(error, WeightError::MissingShard { .. }), "{error}");
}
