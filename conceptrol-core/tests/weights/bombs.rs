//! Small pickles that would build very much.

use conceptrol_core::models::weights::{Checkpoint, Format, WeightError};

use crate::{message, zip::Zip};

fn open(pickle: &[u8]) -> Result<Checkpoint, WeightError> {
    let zip = Zip::default().with("x/data.pkl", pickle);
    let zip = zip.with("x/data/0", &[0; 16]);
    Checkpoint::from_bytes("bomb.bin", Format::Torch, zip.finish())
}

fn refused(pickle: &[u8]) {
    let text = message(open(pickle));
    assert!(text.contains("builds more than"), "{text}");
}

/// `X`: a text of this length, which `q` keeps at place 0 of the memo.
fn long_text(len: u32) -> Vec<u8> {
    let mut pickle = vec![b'X'];
    pickle.extend(len.to_le_bytes());
    pickle.resize(5 + len as usize, b'k');
    pickle.extend(b"q\x00");
    pickle
}

const TENSOR: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n(\
    (X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ\
    K\x00K\x04\x85K\x01\x85\x89}tR";

#[test]
fn one_long_key_for_many_entries() {
    // {key: {0: tensor, 1: tensor, ...}}: each name holds the key
    let mut pickle = b"\x80\x02}".to_vec();
    pickle.extend(long_text(1 << 20));
    pickle.extend(b"}");
    pickle.extend(TENSOR);
    pickle.extend(b"q\x010"); // kept and dropped
    for key in 0..200_000u32 {
        pickle.push(b'J');
        pickle.extend(key.to_le_bytes());
        pickle.extend(b"h\x01s");
    }
    pickle.extend(b"s.");
    refused(&pickle);

    // {key: {}, key: {}, ...}
    let mut pickle = b"\x80\x02}".to_vec();
    pickle.extend(long_text(1 << 20));
    pickle.extend(b"0");
    for _ in 0..200_000 {
        pickle.extend(b"h\x00}s");
    }
    pickle.push(b'.');
    refused(&pickle);
}

#[test]
fn one_long_tuple_for_many_calls() {
    // Size(tuple of two million), a hundred thousand times
    let mut pickle = b"\x80\x02}ctorch\nSize\nq\x000(".to_vec();
    pickle.resize(pickle.len() + 2_000_000, b'N');
    pickle.extend(b"tq\x010");
    for _ in 0..100_000 {
        pickle.extend(b"h\x00h\x01R");
    }
    pickle.push(b'.');
    let text = message(open(&pickle));
    assert!(text.contains("does not take these arguments"), "{text}");

    // the same tuple as the shape of a hundred thousand tensors
    let mut pickle = b"\x80\x02}(".to_vec();
    for _ in 0..2_000_000 {
        pickle.extend(b"K\x01");
    }
    pickle.extend(b"tq\x010");
    pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(");
    pickle.extend(b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ");
    pickle.extend(b"K\x00h\x01h\x01\x89}tq\x020ctorch._utils\n_rebuild_tensor_v2\nq\x030");
    for _ in 0..100_000 {
        pickle.extend(b"h\x03h\x02R0");
    }
    pickle.push(b'.');
    let text = message(open(&pickle));
    assert!(text.contains("2000000 axes"), "{text}");
}

#[test]
fn one_long_key_of_a_storage() {
    let mut pickle = b"\x80\x02}".to_vec();
    pickle.extend(long_text(1 << 20));
    pickle.extend(b"0ctorch._utils\n_rebuild_tensor_v2\n(");
    pickle
        .extend(b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nh\x00X\x03\x00\x00\x00cpuK\x04tQ");
    pickle.extend(b"K\x00K\x04\x85K\x01\x85\x89}tRq\x010");
    for key in 0..200_000u32 {
        pickle.push(b'J');
        pickle.extend(key.to_le_bytes());
        pickle.extend(b"h\x01s");
    }
    pickle.push(b'.');
    let text = message(open(&pickle));
    assert!(text.contains("is not in the archive"), "{text}");
    assert!(text.len() < 1000, "{} bytes", text.len());
}

#[test]
fn one_value_remembered_again_and_again() {
    let mut pickle = b"\x80\x04}".to_vec();
    pickle.resize(4 << 20, 0x94);
    pickle.push(b'.');
    assert!(
        open(&pickle).unwrap().is_empty(),
        "it costs a few times its size"
    );
    // lists that take each other in: each append costs what it copies
    let mut pickle = b"\x80\x02]q\x00".to_vec();
    pickle.extend(b"(h\x00h\x00h\x00h\x00e".repeat(1 << 18));
    pickle.push(b'.');
    assert!(message(open(&pickle)).contains("no dictionary"));
}

#[test]
fn a_packed_pickle_is_not_unpacked() {
    let lie = crate::zip::Lie {
        method: 8,
        ..Default::default()
    };
    let zip = Zip::default().lying("x/data.pkl", &[0; 100], lie);
    let text = message(Checkpoint::from_bytes(
        "bomb.bin",
        Format::Torch,
        zip.finish(),
    ));
    assert!(text.contains("is compressed"), "{text}");
}

#[test]
fn the_index_of_many_shards_is_read_once() {
    // as many shards as tensors: looking each up among all would take hours
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..200_000)
        .map(|i| format!(r#""t{i}":"{i}.safetensors""#))
        .collect();
    let index = format!(r#"{{"weight_map":{{{}}}}}"#, names.join(","));
    let path = folder.path().join("model.safetensors.index.json");
    std::fs::write(&path, index).unwrap();
    assert!(matches!(
        Checkpoint::open(&path).unwrap_err(),
        WeightError::MissingShard { tensors: 1, .. }
    ));
}
