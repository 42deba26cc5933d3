//! Files that are no weights, whatever their names say.

use std::fs;

use conceptrol_core::models::weights::{Checkpoint, Format, WeightError};

use crate::{counting, message, zip::Zip};

const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n\
    oid sha256:1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f1a2b\nsize 3438167536\n";

#[test]
fn what_the_file_is_instead_is_said() {
    let page = b"<!DOCTYPE html>\n<html class=\"\"><head><meta charset=\"utf-8\"/>".repeat(40);
    let indented = b"\xef\xbb\xbf\r\n  <html lang=en>".to_vec();
    let cases: [(&[u8], &str); 12] = [
        (POINTER, "a git-lfs pointer, not the weights"),
        (&page, "a web page, not weights"),
        (&indented, "a web page, not weights"),
        (
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            "a web page (XML), not weights",
        ),
        (
            b"<?xml version=\"1.0\"?><!DOCTYPE html PUBLIC \"-\">",
            "a web page, not weights",
        ),
        (
            b"{\"error\":\"Repository not found\"}",
            "a web page (JSON), not weights",
        ),
        (
            b"Entry not found",
            "a text that begins \"Entry not found\", not weights",
        ),
        (b"", "an empty file, not weights"),
        (
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
            "a gzip archive, not weights",
        ),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "an archive, not weights"),
        (b"GGUF\x03\0\0\0\0\0\0\0", "a GGUF file, not weights"),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            "a PNG picture, not weights",
        ),
    ];
    for (bytes, expected) in cases {
        for (name, format) in [
            ("a.safetensors", Format::Safetensors),
            ("a.bin", Format::Torch),
        ] {
            let text = message(Checkpoint::from_bytes(name, format, bytes.to_vec()));
            assert_eq!(text, format!("{name}: {expected}"));
        }
    }
}

#[test]
fn one_format_under_the_name_of_the_other() {
    let zip = Zip::default().with("x/data.pkl", b"\x80\x02}.").finish();
    let text = message(Checkpoint::from_bytes(
        "a.safetensors",
        Format::Safetensors,
        zip,
    ));
    assert_eq!(text, "a.safetensors: a zip archive, not weights");
    let tensors = counting(&[("a", &[2])]);
    let text = message(Checkpoint::from_bytes("a.bin", Format::Torch, tensors));
    assert_eq!(text, "a.bin: a safetensors file, not weights");
}

#[test]
fn an_archive_of_something_else() {
    let zip = Zip::default().with("notes.txt", b"hello").finish();
    let text = message(Checkpoint::from_bytes("a.bin", Format::Torch, zip));
    assert!(
        text.contains("torch.save did not write: it has no data.pkl"),
        "{text}"
    );
    let empty = Zip::default().finish();
    let text = message(Checkpoint::from_bytes("a.bin", Format::Torch, empty));
    assert!(text.contains("no data.pkl"), "{text}");
}

#[test]
fn pointers_in_a_folder_are_found_by_any_way_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, POINTER).unwrap();
    for path in [folder.path(), &path] {
        let text = message(Checkpoint::open(path));
        assert!(text.contains("git-lfs pointer, not the weights"), "{text}");
    }
    fs::remove_file(&path).unwrap();
    fs::write(folder.path().join("model.safetensors.index.json"), POINTER).unwrap();
    let text = message(Checkpoint::open(folder.path()));
    assert!(text.contains("git-lfs pointer, not the weights"), "{text}");
    // a shard
    let index = r#"{"weight_map":{"a":"1.safetensors"}}"#;
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    fs::write(folder.path().join("1.safetensors"), POINTER).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, WeightError::NotWeights { path, .. } if path.ends_with("1.safetensors")),
        "{error}"
    );
}
