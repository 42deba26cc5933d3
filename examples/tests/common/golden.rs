//! What the recipes of the embedded models computed in `PyTorch`.

use std::{collections::HashMap, path::Path};

use conceptrol_core::models::image::RgbImage;
use safetensors::SafeTensors;

/// Latents that the recipe of an embedded model computed in PyTorch, and the request they answer.
pub(crate) struct Golden {
    tensors: HashMap<String, Vec<u8>>,
    said: HashMap<String, String>,
}

impl Golden {
    /// Reads `tests/fixtures/FILE`.
    pub(crate) fn open(file: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let bytes = std::fs::read(folder.join(file)).expect("a committed file");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = tensors.tensors().into_iter();
        Self {
            tensors: tensors
                .map(|(name, view)| (name, view.data().to_vec()))
                .collect(),
            said: header.metadata().clone().expect("what was asked for"),
        }
    }

    pub(crate) fn said(&self, name: &str) -> &str {
        &self.said[name]
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> T {
        let parsed = self.said(name).parse();
        parsed.unwrap_or_else(|_| panic!("{name} is no number"))
    }

    /// The reference, 64 x 64 pixels.
    pub(crate) fn picture(&self) -> RgbImage {
        RgbImage::from_raw(64, 64, self.tensors["picture"].clone()).expect("64 x 64 pixels")
    }

    pub(crate) fn latents(&self, name: &str) -> Vec<f32> {
        let bytes = self.tensors[name].chunks_exact(4);
        let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("4 bytes"));
        bytes.map(number).collect()
    }
}
