//! Archives that are damaged, or say two things at once.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::weights::{Checkpoint, Format, WeightError};

use crate::{
    message, values,
    zip::{Lie, Zip},
};

/// A pickle of the tensor `w`, four numbers of storage 0.
const PICKLE: &[u8] = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(\
    (X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ\
    K\x00K\x04\x85K\x01\x85\x89}tRs.";

fn numbers() -> Vec<u8> {
    (1..=4).flat_map(|i| (i as f32).to_le_bytes()).collect()
}

fn good() -> Zip {
    Zip::default()
        .with("x/data.pkl", PICKLE)
        .with("x/byteorder", b"little")
        .with("x/data/0", &numbers())
}

fn open(bytes: Vec<u8>) -> Result<Checkpoint, WeightError> {
    Checkpoint::from_bytes("memory.bin", Format::Torch, bytes)
}

#[test]
fn short_and_long_directories_are_read() {
    for bytes in [good().finish(), good().finish_long()] {
        let checkpoint = open(bytes).unwrap();
        assert_eq!(values::<1>(&checkpoint, "w"), [1.0, 2.0, 3.0, 4.0]);
        checkpoint.verify().unwrap();
    }
    let mut commented = good().finish();
    let len = commented.len();
    commented[len - 2] = 5;
    commented.extend(b"hello");
    assert_eq!(open(commented).unwrap().len(), 1);
}

#[test]
fn what_is_there_twice_is_refused() {
    let pickles = Zip::default()
        .with("x/data.pkl", PICKLE)
        .with("y/data.pkl", b"\x80\x02}.")
        .with("x/data/0", &numbers());
    let text = message(open(pickles.finish()));
    assert!(
        text.contains("two pickles, x/data.pkl and y/data.pkl"),
        "{text}"
    );
    let text = message(open(good().with("x/data.pkl", b"\x80\x02}.").finish()));
    assert!(text.contains("x/data.pkl is there twice"), "{text}");
    let text = message(open(good().with("x/data/0", &numbers()).finish()));
    assert!(text.contains("x/data/0 is there twice"), "{text}");
}

#[test]
fn values_that_are_not_those_of_their_checksum_are_refused() {
    let mut bytes = good().finish();
    let at = bytes
        .windows(16)
        .position(|window| window == numbers())
        .unwrap();
    bytes[at + 5] ^= 1;
    let checkpoint = open(bytes).expect("only its header is read");
    for error in [
        checkpoint.verify().unwrap_err(),
        checkpoint
            .load::<1>("w", &Device::flex(), FloatDType::F32)
            .unwrap_err(),
        checkpoint
            .load::<1>("w", &Device::flex(), FloatDType::F16)
            .unwrap_err(),
    ] {
        assert!(
            matches!(&error, WeightError::Checksum { what, .. } if what == "x/data/0"),
            "{error}"
        );
    }
    let wrong = |name: &str, data: &[u8]| {
        let crc = Some(0x1234_5678);
        Zip::default().lying(
            name,
            data,
            Lie {
                crc,
                ..Lie::default()
            },
        )
    };
    let text = message(open(
        wrong("x/data.pkl", PICKLE)
            .with("x/data/0", &numbers())
            .finish(),
    ));
    assert!(text.contains("x/data.pkl is damaged"), "{text}");
    assert!(text.contains("12345678"), "{text}");
}

#[test]
fn a_file_on_disk_is_compared_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bin");
    let mut bytes = good().finish();
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(
        values::<1>(&Checkpoint::open(&path).unwrap(), "w"),
        [1.0, 2.0, 3.0, 4.0]
    );
    let at = bytes
        .windows(16)
        .position(|window| window == numbers())
        .unwrap();
    bytes[at] ^= 0x80;
    std::fs::write(&path, &bytes).unwrap();
    let loaded: Result<Option<Tensor<1>>, _> =
        Checkpoint::open(&path)
            .unwrap()
            .load("w", &Device::flex(), FloatDType::F32);
    let text = message(loaded);
    assert!(text.contains("model.bin: x/data/0 is damaged"), "{text}");
}

#[test]
fn directories_that_lie_are_refused() {
    let lying = |lie| {
        let zip = Zip::default().with("x/data.pkl", PICKLE);
        message(open(zip.lying("x/data/0", &numbers(), lie).finish()))
    };
    let nothing = Lie::default;
    let cases = [
        (
            Lie {
                method: 8,
                ..nothing()
            },
            "is compressed",
        ),
        (
            Lie {
                flags: 1,
                ..nothing()
            },
            "is encrypted",
        ),
        (
            Lie {
                len: Some(17),
                ..nothing()
            },
            "needs",
        ),
        (
            Lie {
                len: Some(u32::MAX),
                ..nothing()
            },
            "directory",
        ),
        (
            Lie {
                place: Some(1 << 30),
                ..nothing()
            },
            "needs",
        ),
        (
            Lie {
                place: Some(3),
                ..nothing()
            },
            "another name",
        ),
        (
            Lie {
                name: Some("x/data/1"),
                ..nothing()
            },
            "another name",
        ),
    ];
    for (lie, expected) in cases {
        let text = lying(lie);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // a second member within the first
    let mut inner = Zip::default().with("x/a", &numbers()).finish();
    inner.truncate(30 + 3 + 16);
    let place = (30 + "x/data.pkl".len() + PICKLE.len() + 30 + "x/data/0".len()) as u32;
    let shared = Zip::default()
        .with("x/data.pkl", PICKLE)
        .with("x/data/0", &inner)
        .lying(
            "x/a",
            &numbers(),
            Lie {
                place: Some(place),
                ..nothing()
            },
        );
    let text = message(open(shared.finish()));
    assert!(text.contains("x/data/0 and x/a share bytes"), "{text}");
}

#[test]
fn a_directory_that_miscounts_is_refused() {
    let mut bytes = good().finish();
    let end = bytes.len() - 22;
    bytes[end + 10] = 9;
    assert!(message(open(bytes.clone())).contains("has 3 members and says it has 9"));
    bytes[end + 12] -= 1; // its size
    assert!(message(open(bytes.clone())).contains("directory"));
    bytes[end + 16..end + 20].fill(0xfe); // its place
    assert!(message(open(bytes)).contains("does not end before"));
}

#[test]
fn other_byte_orders_are_refused() {
    let zip = Zip::default()
        .with("x/data.pkl", PICKLE)
        .with("x/byteorder", b"big")
        .with("x/data/0", &numbers());
    assert!(message(open(zip.finish())).contains("big-endian"));
}
