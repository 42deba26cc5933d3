//! Each way a safetensors file can lie is an error that names the file, the tensor and both numbers.

use conceptrol_core::models::weights::{Checkpoint, WeightError};

use crate::{checkpoint, counting, file, message};

fn entry(name: &str, dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

fn header(entries: &[String]) -> String {
    format!("{{{}}}", entries.join(","))
}

#[test]
fn too_short_for_a_header_length() {
    let error = checkpoint(vec![1, 2, 3]).unwrap_err();
    assert!(matches!(
        error,
        WeightError::Truncated {
            needed: 8,
            available: 3,
            ..
        }
    ));
    assert!(error.to_string().starts_with("memory.safetensors: "));
}

#[test]
fn header_length_beyond_the_file() {
    for len in [100u64, 1 << 40, u64::MAX] {
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"{}");
        let error = checkpoint(bytes).unwrap_err();
        assert!(
            matches!(error, WeightError::Truncated { available: 10, .. }),
            "{error}"
        );
    }
}

#[test]
fn header_beyond_the_limit_of_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.safetensors");
    std::fs::write(&path, 200_000_000u64.to_le_bytes()).unwrap();
    let sparse = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    sparse.set_len(300_000_000).unwrap();
    let error = Checkpoint::open(&path).unwrap_err();
    assert!(
        matches!(
            error,
            WeightError::TooLarge {
                len: 200_000_000,
                limit: 100_000_000,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn header_that_is_not_the_json_it_should_be() {
    let bad = [
        "",
        "[]",
        "{",
        "{\"x\":1}",
        r#"{"x":{"dtype":"F32","shape":[1]}}"#,
        r#"{"x":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        r#"{"x":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#,
        r#"{"x":{"dtype":"F32","shape":[99999999999999999999999],"data_offsets":[0,4]}}"#,
    ];
    for header in bad {
        let error = checkpoint(file(header, &[0; 4])).unwrap_err();
        assert!(
            matches!(error, WeightError::Malformed { .. }),
            "{header}: {error}"
        );
    }
    // Nesting where it is skipped is harmless, and where a tensor is expected it is an error.
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    checkpoint(file(&format!(r#"{{"__metadata__":{nested}}}"#), &[])).unwrap();
    checkpoint(file(&format!(r#"{{"x":{nested}}}"#), &[])).unwrap_err();
}

#[test]
fn truncated_data() {
    let mut bytes = counting(&[("a", &[4]), ("b", &[4])]);
    let full = bytes.len();
    bytes.truncate(full - 1);
    let text = message(checkpoint(bytes));
    assert_eq!(
        text,
        format!(
            "memory.safetensors: b needs {full} bytes but the file has {}",
            full - 1
        )
    );
}

#[test]
fn trailing_data() {
    let mut bytes = counting(&[("a", &[4])]);
    bytes.push(0);
    assert!(message(checkpoint(bytes)).contains("but the file has"));
}

#[test]
fn offsets_out_of_order() {
    let header = header(&[entry("a", "F32", "[1]", 8, 4)]);
    let text = message(checkpoint(file(&header, &[0; 8])));
    assert!(
        text.contains("a ends at byte 4, before it starts at byte 8"),
        "{text}"
    );
}

#[test]
fn offsets_out_of_range() {
    for end in [8, u64::MAX] {
        let header = header(&[entry("a", "F32", "[1]", end - 4, end)]);
        let error = checkpoint(file(&header, &[0; 4])).unwrap_err();
        assert!(matches!(error, WeightError::Truncated { .. }), "{error}");
    }
}

#[test]
fn overlapping_tensors() {
    let header = header(&[
        entry("a", "F32", "[2]", 0, 8),
        entry("b", "F32", "[2]", 4, 12),
    ]);
    let error = checkpoint(file(&header, &[0; 12])).unwrap_err();
    assert!(
        matches!(
            error,
            WeightError::Overlap {
                end: 8,
                start: 4,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn holes_between_tensors() {
    let header = header(&[
        entry("a", "F32", "[1]", 0, 4),
        entry("b", "F32", "[1]", 8, 12),
    ]);
    let text = message(checkpoint(file(&header, &[0; 12])));
    assert!(
        text.contains("bytes 4..8 before b belong to no tensor"),
        "{text}"
    );
}

#[test]
fn shape_and_dtype_that_do_not_make_the_bytes() {
    for (dtype, shape) in [
        ("F16", "[1]"),
        ("F32", "[2]"),
        ("F32", "[]"),
        ("F32", "[0,5]"),
    ] {
        let header = header(&[entry("a", dtype, shape, 0, 5)]);
        let error = checkpoint(file(&header, &[0; 5])).unwrap_err();
        assert!(
            matches!(error, WeightError::ByteCount { bytes: 5, .. }),
            "{error}"
        );
    }
}

#[test]
fn shape_whose_product_overflows() {
    // 2^62 x 4 elements of 4 bytes wrap to 0 in 64 bits.
    for shape in ["[4611686018427387904,4]", "[18446744073709551615,2]"] {
        let header = header(&[entry("a", "F32", shape, 0, 0)]);
        let error = checkpoint(file(&header, &[])).unwrap_err();
        assert!(
            matches!(error, WeightError::ByteCount { expected: None, .. }),
            "{error}"
        );
    }
}

#[test]
fn a_name_listed_twice() {
    let header = header(&[
        entry("a", "F32", "[1]", 0, 4),
        entry("a", "F32", "[1]", 4, 8),
    ]);
    assert!(message(checkpoint(file(&header, &[0; 8]))).contains("lists a twice"));
}

#[test]
fn a_type_nothing_here_reads() {
    let header = header(&[entry("a", "C64", "[1]", 0, 8)]);
    let text = message(checkpoint(file(&header, &[0; 8])));
    assert!(text.contains("a has the unsupported dtype C64"), "{text}");
}

#[test]
fn paths_that_are_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let text = message(Checkpoint::open(folder.path()));
    assert!(
        text.contains("looked for diffusion_pytorch_model, model or pytorch_model"),
        "{text}"
    );
    let error = Checkpoint::open(folder.path().join("absent.safetensors")).unwrap_err();
    assert!(matches!(error, WeightError::Io { .. }));
    assert!(error.to_string().contains("absent.safetensors"));
    std::fs::write(folder.path().join("notes.txt"), "").unwrap();
    let error = Checkpoint::open(folder.path().join("notes.txt")).unwrap_err();
    assert!(matches!(error, WeightError::UnknownFormat { .. }));
    std::fs::create_dir(folder.path().join("model.safetensors")).unwrap();
    message(Checkpoint::open(folder.path().join("model.safetensors")));
}
