//! Golden cases: `case.json`, `inputs.safetensors` and `expected.safetensors` of a folder.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod checkpoint;

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use conceptrol_core::models::weights::Checkpoint;

/// One golden case of the authors' implementation.
#[derive(Debug)]
pub struct Case {
    folder: PathBuf,
    pub json: serde_json::Value,
    inputs: Option<Checkpoint>,
    expected: Checkpoint,
    pub device: Device,
}

/// The folder of cases: the crate's own, or a larger set named by `CONCEPTROL_FIXTURES`.
pub fn fixtures() -> PathBuf {
    std::env::var_os("CONCEPTROL_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"),
        PathBuf::from,
    )
}

impl Case {
    /// Opens a case of the folder, or nothing if it is not there.
    pub fn find(name: &str) -> Option<Self> {
        Self::within(fixtures().join(name))
    }

    /// Opens a case of the crate's own.
    pub fn crate_local(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name);
        Self::within(folder).expect("the crate's own case")
    }

    fn within(folder: PathBuf) -> Option<Self> {
        let json = std::fs::read_to_string(folder.join("case.json")).ok()?;
        let open = |file: &str| Checkpoint::open(folder.join(file));
        Some(Self {
            json: serde_json::from_str(&json).expect("case.json"),
            inputs: open("inputs.safetensors").ok(),
            expected: open("expected.safetensors").expect("expected.safetensors"),
            folder,
            device: Device::flex(),
        })
    }

    /// Opens a case that must be there.
    pub fn open(name: &str) -> Self {
        Self::find(name).unwrap_or_else(|| panic!("no case {name} in {}", fixtures().display()))
    }

    /// A path the case refers to, such as `files.model`.
    pub fn file(&self, key: &str) -> PathBuf {
        let path = self.json["files"][key].as_str().expect("a path");
        self.folder.join(path)
    }

    pub fn input<const D: usize>(&self, name: &str) -> Tensor<D> {
        load(
            self.inputs.as_ref().expect("inputs.safetensors"),
            name,
            &self.device,
        )
    }

    /// Whether the case has an expected tensor of this name; a small one does not have all of them.
    pub fn expects(&self, name: &str) -> bool {
        self.expected.contains(name)
    }

    pub fn expected<const D: usize>(&self, name: &str) -> Tensor<D> {
        load(&self.expected, name, &self.device)
    }

    /// Input tokens, which are stored as i32.
    pub fn input_ids(&self, name: &str) -> Tensor<2, Int> {
        let bytes = std::fs::read(self.folder.join("inputs.safetensors")).expect("inputs");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
        let view = file.tensor(name).expect("ids");
        let ids: Vec<i32> = view
            .data()
            .chunks_exact(4)
            .map(|bytes| i32::from_le_bytes(bytes.try_into().expect("4 bytes")))
            .collect();
        let [rows, columns] = view.shape() else {
            panic!("ids have two axes")
        };
        Tensor::from_data(
            TensorData::new(ids, [*rows, *columns]),
            (&self.device, DType::I32),
        )
    }

    /// Compares with the expected tensor within the case's own tolerance; panics with the deviation.
    #[track_caller]
    pub fn check<const D: usize>(&self, name: &str, found: Tensor<D>) {
        self.check_against(name, found, self.expected(name));
    }

    /// Compares with `expected` within the tolerance the case gives for `name`.
    #[track_caller]
    pub fn check_against<const D: usize>(&self, name: &str, found: Tensor<D>, expected: Tensor<D>) {
        let tolerance = self.json["noise_floor"][name]["suggested_atol"]
            .as_f64()
            .expect("a tolerance");
        assert_eq!(found.dims(), expected.dims(), "{name}");
        let numbers = |x: Tensor<D>| {
            x.into_data()
                .convert::<f32>()
                .try_to_vec::<f32>()
                .expect("f32")
        };
        let (found, expected) = (numbers(found), numbers(expected));
        let (mut worst, mut at) = (0.0f64, 0);
        for (index, (a, b)) in found.iter().zip(&expected).enumerate() {
            let finite = a.is_finite() && b.is_finite();
            assert!(finite, "{name}[{index}] is {a} instead of {b}");
            let deviation = f64::from((a - b).abs());
            if deviation > worst {
                (worst, at) = (deviation, index);
            }
        }
        println!(
            "{} {name} max_abs {worst:.2e} tolerance {tolerance:.1e}",
            self.folder.display()
        );
        assert!(
            worst <= tolerance,
            "{name}: deviation {worst:e} at {at} exceeds {tolerance:e}"
        );
    }
}

fn load<const D: usize>(file: &Checkpoint, name: &str, device: &Device) -> Tensor<D> {
    file.load(name, device, FloatDType::F32)
        .expect("readable")
        .unwrap_or_else(|| panic!("no {D}-axis tensor {name}"))
}
