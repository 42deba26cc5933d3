use std::path::{Path, PathBuf};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::weights::{Checkpoint, Weights};
use serde_json::Value;

/// A folder with `case.json`, inputs and expected outputs; the model lies in it or where `case.json` says.
pub(crate) struct Case {
    folder: PathBuf,
    settings: Value,
    /// Absent where the inputs are pictures.
    inputs: Option<Checkpoint>,
    expected: Checkpoint,
    pub(crate) device: Device,
}

impl Case {
    /// A case of this crate.
    pub(crate) fn own(name: &str) -> Self {
        Self::open(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/fixtures/encoders")
                .join(name),
        )
    }

    /// A case of the authors' implementation, below the folder that `CONCEPTROL_FIXTURES` names.
    pub(crate) fn public(name: &str) -> Self {
        let root = std::env::var_os("CONCEPTROL_FIXTURES")
            .expect("CONCEPTROL_FIXTURES names a folder of cases");
        Self::open(Path::new(&root).join(name))
    }

    fn open(folder: PathBuf) -> Self {
        let settings = std::fs::read_to_string(folder.join("case.json")).unwrap();
        Self {
            settings: serde_json::from_str(&settings).unwrap(),
            inputs: Checkpoint::open(folder.join("inputs.safetensors")).ok(),
            expected: Checkpoint::open(folder.join("expected.safetensors")).unwrap(),
            device: Device::flex(),
            folder,
        }
    }

    /// The folder of the model: the case's own, or another that `case.json` names.
    fn model(&self) -> PathBuf {
        let files = &self.settings["files"];
        let named = ["model", "image_encoder"]
            .iter()
            .find_map(|name| files[name].as_str());
        named.map_or_else(|| self.folder.clone(), |model| self.folder.join(model))
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.model().join("config.json")
    }

    pub(crate) fn weights(&self, file: &str) -> Weights {
        let file = match self.settings["files"]["model"].is_null() {
            true => "model.safetensors",
            false => file,
        };
        Weights::open(self.model().join(file), &self.device, FloatDType::F32).unwrap()
    }

    pub(crate) fn input(&self, name: &str) -> Tensor<4> {
        let inputs = self.inputs.as_ref().expect("inputs.safetensors");
        let input = inputs.load(name, &self.device, FloatDType::F32).unwrap();
        input.unwrap()
    }

    /// Integers are not weights, so the checkpoint reader does not read them.
    pub(crate) fn ids(&self) -> Vec<Vec<u32>> {
        let bytes = std::fs::read(self.folder.join("inputs.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let ids = file.tensor("input_ids").unwrap();
        let flat: Vec<u32> = ids
            .data()
            .chunks(4)
            .map(|b| u32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        flat.chunks(ids.shape()[1]).map(<[u32]>::to_vec).collect()
    }

    pub(crate) fn expects(&self, name: &str) -> bool {
        self.expected.contains(name)
    }

    /// Compares with the expected tensor, within the tolerance of `case.json`.
    pub(crate) fn check<const D: usize>(&self, name: &str, actual: Tensor<D>) {
        let expected: Tensor<D> = self
            .expected
            .load(name, &self.device, FloatDType::F32)
            .unwrap()
            .unwrap();
        assert_eq!(actual.dims(), expected.dims(), "shape of {name}");
        let atol = self.settings["noise_floor"][name]["suggested_atol"]
            .as_f64()
            .unwrap();
        let diff = f64::from((actual - expected).abs().max().into_scalar::<f32>());
        println!("{} {name} {diff:.2e} of {atol:.2e}", self.folder.display());
        assert!(diff <= atol, "{name} differs by {diff}, tolerance {atol}");
    }
}
