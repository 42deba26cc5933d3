//! Files of `torch.save` (written by `fixtures/torch/generate.py`) and hand-made ones that try to be clever.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::weights::{Checkpoint, Format, StoredDType, WeightError};

use crate::{fixture, message, values, zip::Zip};

/// `torch.arange(24).reshape(4, 6) / 8` of the fixtures.
fn base() -> Vec<f32> {
    (0..24).map(|x| x as f32 / 8.0).collect()
}

#[test]
fn nested_dictionaries_become_dotted_names() {
    let checkpoint = Checkpoint::open(fixture("nested.bin")).unwrap();
    let names: Vec<_> = checkpoint
        .tensors()
        .map(|tensor| tensor.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "image_proj.norm.bias [6] f16",
            "image_proj.proj.weight [4, 6] f16",
            "ip_adapter.1.to_k_ip.weight [4, 6] f16",
        ]
    );
    assert_eq!(values::<2>(&checkpoint, "image_proj.proj.weight"), base());
    let key = values::<2>(&checkpoint, "ip_adapter.1.to_k_ip.weight");
    assert!(key.iter().zip(base()).all(|(x, base)| *x == base + 1.0));
}

#[test]
fn views_and_permutations_come_out_in_order() {
    let checkpoint = Checkpoint::open(fixture("views.pt")).unwrap();
    let base = base();
    assert_eq!(values::<2>(&checkpoint, "whole"), base);
    assert_eq!(values::<1>(&checkpoint, "row"), base[12..18]);
    assert_eq!(values::<2>(&checkpoint, "rows"), base[6..18]);
    assert_eq!(values::<2>(&checkpoint, "parameter"), base[..12]);
    assert_eq!(values::<4>(&checkpoint, "channels_last"), base);
    let column: Vec<f32> = (0..4).map(|row| base[row * 6 + 1]).collect();
    assert_eq!(values::<1>(&checkpoint, "column"), column);
    let transposed: Vec<f32> = (0..24).map(|i| base[i % 4 * 6 + i / 4]).collect();
    assert_eq!(values::<2>(&checkpoint, "transposed"), transposed);
    assert_eq!(checkpoint.get("scalar"), Some((StoredDType::F32, &[][..])));
    assert_eq!(
        checkpoint.get("empty"),
        Some((StoredDType::F32, &[0, 3][..]))
    );
}

#[test]
fn every_type_and_what_is_no_tensor() {
    let checkpoint = Checkpoint::open(fixture("types.pt")).unwrap();
    assert_eq!(checkpoint.len(), 6);
    assert_eq!(values::<2>(&checkpoint, "f64"), base());
    assert_eq!(values::<2>(&checkpoint, "bf16"), base());
    assert_eq!(values::<2>(&checkpoint, "f8_e4m3")[..9], base()[..9]);
    assert_eq!(values::<2>(&checkpoint, "f8_e5m2")[..5], base()[..5]);
    assert_eq!(checkpoint.get("ids"), Some((StoredDType::Int(8), &[3][..])));
    assert_eq!(checkpoint.get("flags"), Some((StoredDType::Bool, &[2][..])));
    let ids: Option<Tensor<1>> = checkpoint
        .load("ids", &Device::flex(), FloatDType::F32)
        .unwrap();
    assert!(ids.is_none());
}

#[test]
fn a_state_dict_with_its_attributes() {
    let checkpoint = Checkpoint::open(fixture("module.pth")).unwrap();
    let names: Vec<_> = checkpoint
        .tensors()
        .map(|tensor| tensor.to_string())
        .collect();
    assert_eq!(names, ["bias [2] f32", "weight [2, 3] f32"]);
}

#[test]
fn nothing_is_executed() {
    let text = message(Checkpoint::open(fixture("hostile.bin")));
    assert!(
        text.contains("print has no place in a tensor file"),
        "{text}"
    );
}

#[test]
fn stride_zero_does_not_unfold_a_small_file() {
    let text = message(Checkpoint::open(fixture("unfolded.bin")));
    assert!(text.contains("unfolded [1073741824]"), "{text}");
}

#[test]
fn the_format_before_1_6_is_read() {
    let checkpoint = Checkpoint::open(fixture("legacy.bin")).unwrap();
    let base = base();
    assert_eq!(checkpoint.len(), 5);
    assert_eq!(values::<2>(&checkpoint, "weight"), base);
    assert_eq!(values::<1>(&checkpoint, "row"), base[12..18]);
    let transposed: Vec<f32> = (0..24).map(|i| base[i % 4 * 6 + i / 4]).collect();
    assert_eq!(values::<2>(&checkpoint, "transposed"), transposed);
    let half = values::<2>(&checkpoint, "half.a");
    assert!(half.iter().zip(base).all(|(x, base)| *x == base + 1.0));
    let ids = checkpoint.get("half.ids");
    assert_eq!(ids, Some((StoredDType::Int(8), &[3][..])));
}

#[test]
fn every_truncation_is_an_error() {
    for name in ["nested.bin", "views.pt", "module.pth", "legacy.bin"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for len in 0..bytes.len() {
            let cut = bytes[..len].to_vec();
            let result = Checkpoint::from_bytes(name, Format::Torch, cut);
            assert!(result.is_err(), "{name} cut to {len} bytes");
        }
    }
}

/// An archive of one pickle, and no storages.
fn archive(pickle: &[u8]) -> Result<Checkpoint, WeightError> {
    let bytes = Zip::default().with("x/data.pkl", pickle).finish();
    Checkpoint::from_bytes("memory.bin", Format::Torch, bytes)
}

#[test]
fn pickles_that_are_no_state_dict() {
    let cases: [(&[u8], &str); 12] = [
        (b"", "past the end"),
        (b"\x80\x02}", "past the end"),
        (b"\x80\x02.", "nothing on the stack"),
        (b"\x80\x01}.", "protocol 1"),
        (b"\x80\x02]q\x00.", "no dictionary of tensors"),
        (b"\x80\x02}h\x07.", "memo 7 was never set"),
        (b"\x80\x02u.", "no mark"),
        (b"\x80\x02}(K\x01u.", "key without a value"),
        (b"\x80\x02}X\xff\xff\xff\xffa.", "past the end"),
        (
            b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR.",
            "os.system has no place",
        ),
        (b"\x80\x02ctorch\nSize\nK\x01R.", "without a tuple"),
        (b"\x80\x02\x81.", "instruction 0x81"),
    ];
    for (pickle, expected) in cases {
        let text = message(archive(pickle));
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_storage_that_is_not_there() {
    let pickle = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(\
        (X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ\
        K\x00K\x04\x85K\x01\x85\x89}tRs.";
    let text = message(archive(pickle));
    assert!(
        text.contains("storage 0 of w is not in the archive"),
        "{text}"
    );
}

#[test]
fn a_dictionary_that_holds_itself_ends() {
    let own = b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.";
    assert!(message(archive(own)).contains("nest deeper"));
    // Seven levels of eight references to the level below.
    let mut shared = b"\x80\x02}q\x00X\x01\x00\x00\x00xK\x01s".to_vec();
    for level in 0..7u8 {
        shared.extend([b'}', b'q', level + 1]);
        for key in 0..64u8 {
            shared.extend([b'K', key, b'h', level, b's']);
        }
    }
    shared.push(b'.');
    assert!(message(archive(&shared)).contains("builds more than"));
}

#[test]
fn deep_tuples_do_not_exhaust_the_stack() {
    let mut pickle = b"\x80\x02}X\x01\x00\x00\x00xN".to_vec();
    pickle.extend(std::iter::repeat_n(0x85, 1 << 20));
    pickle.extend(b"s.");
    // more than a file of a megabyte has reason to build; as deep as one of this size may build, it is read
    assert!(message(archive(&pickle)).contains("builds more than"));
    pickle.truncate(12 + (1 << 10));
    pickle.extend(b"s.");
    assert!(archive(&pickle).unwrap().is_empty());
}
