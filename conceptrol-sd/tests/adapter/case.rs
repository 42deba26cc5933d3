use std::path::{Path, PathBuf};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::clip_vision::{ClipVisionConfig, ClipVisionModel};
use conceptrol_core::models::weights::{Checkpoint, Weights};
use serde_json::Value;

/// A folder with `case.json`, inputs and expected outputs.
pub(crate) struct Case {
    folder: PathBuf,
    settings: Value,
    pub(crate) device: Device,
}

impl Case {
    /// The case of this crate.
    pub(crate) fn own() -> Self {
        Self::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/adapter"))
    }

    /// A case of the authors' implementation, below the folder that `CONCEPTROL_FIXTURES` names.
    pub(crate) fn public(name: &str) -> Self {
        let root = std::env::var_os("CONCEPTROL_FIXTURES")
            .expect("CONCEPTROL_FIXTURES names a folder of cases");
        Self::open(Path::new(&root).join(name))
    }

    fn open(folder: PathBuf) -> Self {
        let settings = std::fs::read_to_string(folder.join("case.json")).unwrap();
        let settings = serde_json::from_str(&settings).unwrap();
        Self {
            folder,
            settings,
            device: Device::flex(),
        }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub(crate) fn load<const D: usize>(&self, file: &str, name: &str) -> Tensor<D> {
        let file = Checkpoint::open(self.path(file)).unwrap();
        file.load(name, &self.device, FloatDType::F32)
            .unwrap()
            .unwrap()
    }

    pub(crate) fn encoder(&self, folder: &str) -> ClipVisionModel {
        let folder = self.path(folder);
        let config = ClipVisionConfig::from_file(folder.join("config.json")).unwrap();
        let weights = Weights::open(
            folder.join("model.safetensors"),
            &self.device,
            FloatDType::F32,
        )
        .unwrap();
        let model = ClipVisionModel::new(&config, &weights);
        weights.finish().unwrap();
        model
    }

    /// Compares with the expected tensor, within the tolerance of `case.json`.
    pub(crate) fn check<const D: usize>(&self, name: &str, actual: Tensor<D>) {
        let expected: Tensor<D> = self.load("expected.safetensors", name);
        assert_eq!(actual.dims(), expected.dims(), "shape of {name}");
        let atol = self.settings["noise_floor"][name]["suggested_atol"]
            .as_f64()
            .unwrap();
        let diff = f64::from((actual - expected).abs().max().into_scalar::<f32>());
        println!("{} {name} {diff:.2e} of {atol:.2e}", self.folder.display());
        assert!(diff <= atol, "{name} differs by {diff}, tolerance {atol}");
    }
}
