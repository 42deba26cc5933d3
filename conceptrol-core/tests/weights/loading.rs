//! Values survive the way from the file to the tensor, whatever they are stored as.

use std::fs;

use burn::tensor::{DType, Device, FloatDType, Tensor};
use bytes::Bytes;
use conceptrol_core::models::weights::{Checkpoint, Format, StoredDType, Weights};
use half::{bf16, f16};

use crate::{checkpoint, counting, file, values};

/// Exact in every type but the 8-bit ones, and those have them too.
const NUMBERS: [f32; 6] = [0.0, 1.0, -2.0, 0.5, -0.25, 14.0];

fn stored(dtype: &str, data: &[u8]) -> Checkpoint {
    let header = format!(
        r#"{{"__metadata__":{{"format":"pt"}},"x":{{"dtype":"{dtype}","shape":[2,3],"data_offsets":[0,{}]}}}}"#,
        data.len()
    );
    checkpoint(file(&header, data)).unwrap()
}

fn bytes<T, const N: usize>(encode: impl Fn(f32) -> T, raw: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    NUMBERS.iter().flat_map(|x| raw(encode(*x))).collect()
}

#[test]
fn every_stored_type_becomes_every_compute_type() {
    let f8_e4m3 = [0x00, 0x38, 0xC0, 0x30, 0xA8, 0x56];
    let f8_e5m2 = [0x00, 0x3C, 0xC0, 0x38, 0xB4, 0x4B];
    let files = [
        ("F64", bytes(f64::from, f64::to_le_bytes)),
        ("F32", bytes(|x| x, f32::to_le_bytes)),
        ("F16", bytes(f16::from_f32, f16::to_le_bytes)),
        ("BF16", bytes(bf16::from_f32, bf16::to_le_bytes)),
        ("F8_E4M3", f8_e4m3.to_vec()),
        ("F8_E5M2", f8_e5m2.to_vec()),
    ];
    let device = Device::flex();
    for (name, data) in files {
        let checkpoint = stored(name, &data);
        for dtype in [
            FloatDType::F64,
            FloatDType::F32,
            FloatDType::F16,
            FloatDType::BF16,
        ] {
            let x: Tensor<2> = checkpoint.load("x", &device, dtype).unwrap().unwrap();
            assert_eq!(x.dtype(), DType::from(dtype), "{name}");
            let x: Vec<f32> = x.cast(FloatDType::F32).into_data().try_to_vec().unwrap();
            assert_eq!(x, NUMBERS, "{name} as {dtype:?}");
        }
    }
}

#[test]
fn halves_are_kept_only_where_they_would_be_widened() {
    let files = [
        ("F16", bytes(f16::from_f32, f16::to_le_bytes)),
        ("BF16", bytes(bf16::from_f32, bf16::to_le_bytes)),
        ("F32", bytes(|x| x, f32::to_le_bytes)),
    ];
    let device = Device::flex();
    for (name, data) in files {
        for (wanted, kept) in [
            (FloatDType::F32, name),
            (FloatDType::F16, "F16"),
            (FloatDType::BF16, "BF16"),
        ] {
            let weights = Weights::from_checkpoint(stored(name, &data), &device, wanted);
            let x = weights.keep_half().tensor::<2>("x", [2, 3]).val();
            weights.finish().unwrap();
            assert_eq!(format!("{:?}", x.dtype()), kept, "{name} as {wanted:?}");
            let x: Vec<f32> = x.cast(FloatDType::F32).into_data().try_to_vec().unwrap();
            assert_eq!(x, NUMBERS, "{name} as {wanted:?}");
        }
    }
}

#[test]
fn all_bytes_of_the_small_types_agree_with_their_definition() {
    let all: Vec<u8> = (0..=255).collect();
    let header =
        |dtype| format!(r#"{{"x":{{"dtype":"{dtype}","shape":[256],"data_offsets":[0,256]}}}}"#);
    let e4m3 = values::<1>(&checkpoint(file(&header("F8_E4M3"), &all)).unwrap(), "x");
    assert_eq!(e4m3[0x7E], 448.0); // largest
    assert_eq!(e4m3[0x01], 2f32.powi(-9)); // smallest
    assert_eq!(e4m3[0x08], 2f32.powi(-6)); // smallest normal
    assert_eq!(e4m3[0x81], -e4m3[0x01]);
    assert!(e4m3[0x7F].is_nan() && e4m3[0xFF].is_nan());
    assert_eq!(e4m3.iter().filter(|x| !x.is_finite()).count(), 2);
    let e5m2 = values::<1>(&checkpoint(file(&header("F8_E5M2"), &all)).unwrap(), "x");
    assert_eq!(e5m2[0x7B], 57344.0);
    assert_eq!(e5m2[0x01], 2f32.powi(-16));
    assert_eq!(e5m2[0xFC], f32::NEG_INFINITY);
}

#[test]
fn large_tensors_are_read_in_pieces_without_seams() {
    let rows = 1_300; // 1.3 M elements: several threads, a ragged last block
    let count = rows * 1001;
    let mut data = Vec::with_capacity(count * 2);
    for index in 0..count {
        data.extend_from_slice(&f16::from_f32((index % 2039) as f32).to_le_bytes());
    }
    let header = format!(
        r#"{{"x":{{"dtype":"F16","shape":[{rows},1001],"data_offsets":[0,{}]}}}}"#,
        data.len()
    );
    let x = values::<2>(&checkpoint(file(&header, &data)).unwrap(), "x");
    let wrong = x.iter().enumerate().find(|(i, x)| **x != (i % 2039) as f32);
    assert_eq!(wrong, None);
}

#[test]
fn files_on_disk_and_in_memory_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let bytes = counting(&[("a.weight", &[2, 3]), ("a.bias", &[2])]);
    fs::write(&path, &bytes).unwrap();
    let (disk, folder_of) = (
        Checkpoint::open(&path).unwrap(),
        Checkpoint::open(folder.path()).unwrap(),
    );
    let memory = checkpoint(bytes).unwrap();
    assert!(disk.tensors().eq(memory.tensors()));
    assert!(disk.tensors().eq(folder_of.tensors()));
    assert_eq!(folder_of.path(), path);
    assert_eq!(values::<1>(&disk, "a.bias"), [6.0, 7.0]);
    assert_eq!(disk.get("a.bias"), Some((StoredDType::F32, &[2][..])));
}

#[test]
fn random_weights_depend_on_seed_and_name_only() {
    let device = Device::flex();
    let draw = |seed, name: &str| -> Vec<f32> {
        let weights = Weights::random(seed, &device, FloatDType::F32);
        let tensor = weights.tensor::<2>(name, [16, 64]).val();
        tensor.into_data().try_to_vec().unwrap()
    };
    assert_eq!(draw(1, "a.weight"), draw(1, "a.weight"));
    assert_ne!(draw(1, "a.weight"), draw(2, "a.weight"));
    assert_ne!(draw(1, "a.weight"), draw(1, "b.weight"));
    let x = draw(3, "a.weight");
    let variance = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
    assert!((variance * 64.0 - 0.25).abs() < 0.05, "{variance}");
    let weights = Weights::random(1, &device, FloatDType::F32);
    let one = |name| -> Vec<f32> {
        weights
            .tensor::<1>(name, [3])
            .val()
            .into_data()
            .try_to_vec()
            .unwrap()
    };
    assert_eq!(one("norm.weight"), [1.0; 3]);
    assert_eq!(one("norm.bias"), [0.0; 3]);
}

/// Bytes that begin where any number may, as a mapped file does.
struct Aligned(Vec<u64>);

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[test]
fn a_file_in_memory_is_shared_where_it_is_as_wanted() {
    // after 8 bytes of length and a header of a multiple of 8
    let mut header = r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#.to_owned();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let data: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let bytes = Bytes::from_owner(Aligned(bytemuck::pod_collect_to_vec(&file(&header, &data))));
    let inside = bytes.as_ptr_range();
    let checkpoint =
        Checkpoint::from_bytes("memory.safetensors", Format::Safetensors, bytes.clone()).unwrap();
    let load = |dtype| -> Tensor<2> {
        let tensor = checkpoint.load("a", &Device::flex(), dtype).unwrap();
        tensor.expect("it is there")
    };
    let as_stored = load(FloatDType::F32).into_data();
    assert!(inside.contains(&as_stored.as_bytes().as_ptr()), "no copy");
    assert_eq!(
        as_stored.try_to_vec::<f32>().unwrap(),
        [0., 1., 2., 3., 4., 5.]
    );
    let narrowed = load(FloatDType::F16).into_data();
    assert!(!inside.contains(&narrowed.as_bytes().as_ptr()), "converted");
    let doubled = (load(FloatDType::F32) * 2.0).into_data();
    assert_eq!(doubled.try_to_vec::<f32>().unwrap()[5], 10.0);
    assert_eq!(
        load(FloatDType::F32).into_data(),
        as_stored,
        "nothing writes to the file"
    );
}

/// What is read into memory that was used before has the same values, and what is still in use keeps its own.
#[test]
fn tensors_of_a_recycling_scope() {
    let names = ["0", "1", "2", "3", "other"];
    let tensors = names.map(|name| {
        (
            name,
            if name == "other" {
                &[2usize, 3][..]
            } else {
                &[4, 8]
            },
        )
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    fs::write(&path, counting(&tensors)).expect("written");
    let counted =
        |first: usize, len: usize| (first..first + len).map(|x| x as f32).collect::<Vec<_>>();
    for dtype in [FloatDType::F32, FloatDType::F64, FloatDType::BF16] {
        let weights = Weights::open(&path, &Device::flex(), dtype).expect("opened");
        let weights = weights.recycling();
        let read = |name: &str, shape| weights.tensor::<2>(name, shape).val();
        let numbers = |tensor: Tensor<2>| {
            let data = tensor.cast(FloatDType::F32).into_data();
            data.try_to_vec::<f32>().expect("f32")
        };
        let first = read("0", [4, 8]);
        drop(read("1", [4, 8]));
        let third = read("2", [4, 8]); // where the second one was
        let fourth = read("3", [4, 8]);
        let other = read("other", [2, 3]);
        drop(weights);
        assert_eq!(numbers(first), counted(0, 32), "{dtype:?}");
        assert_eq!(numbers(third), counted(64, 32), "{dtype:?}");
        assert_eq!(numbers(fourth), counted(96, 32), "{dtype:?}");
        assert_eq!(numbers(other), counted(128, 6), "{dtype:?}");
    }
}
