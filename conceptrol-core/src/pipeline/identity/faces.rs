//! The embeddings of a person's face.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde_json::Value;

use super::{error::IdentityError, npy};
use crate::models::{
    file,
    weights::{Checkpoint, Format},
};

/// More portraits than any adapter was trained with.
const MOST_FACES: usize = 64;
/// Wider than any embedding of a face.
const MOST_WIDTH: usize = 1 << 14;
/// More than 64 faces take as JSON.
const MOST_BYTES: u64 = 1 << 26;

/// The face of a person as a recognition network sees it (512 numbers of `ArcFace`, normalised as the adapter was trained
/// with), of one portrait or several. The network is not part of this library.
///
/// ```
/// use conceptrol_core::pipeline::Identity;
///
/// let identity = Identity::new(vec![vec![0.1; 512]])?;
/// assert_eq!((identity.faces(), identity.width()), (1, 512));
/// assert!(Identity::new(vec![vec![f32::NAN; 512]]).is_err());
/// # Ok::<(), conceptrol_core::pipeline::IdentityError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    faces: Vec<Vec<f32>>,
}

impl Identity {
    /// An embedding for each portrait, all of one width.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NotOne`] for none or too many, of several widths, or with numbers that are not finite.
    pub fn new(faces: Vec<Vec<f32>>) -> Result<Self, IdentityError> {
        Self::checked(faces, None)
    }

    /// Reads a `.npy` file, a `.json` list of numbers (or of lists of numbers), or the only tensor of a safetensors or torch
    /// file: `[width]` or `[portraits, width]`.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] for a file that cannot be read or holds something else.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let path = path.as_ref();
        if Format::of(path).is_some() {
            return Self::of_checkpoint(&Checkpoint::open(path)?);
        }
        let read = |source| IdentityError::Read {
            path: path.to_owned(),
            source,
        };
        let bytes = file::read(path, MOST_BYTES).map_err(read)?;
        let faces = match npy::is_one(&bytes) {
            true => npy::read(&bytes),
            false => json(&bytes),
        };
        Self::checked(faces.map_err(|reason| not_one(path, reason))?, Some(path))
    }

    fn of_checkpoint(file: &Checkpoint) -> Result<Self, IdentityError> {
        let not_one = |reason: String| not_one(file.path(), reason);
        let mut tensors = file.tensors().filter(|tensor| tensor.dtype.is_float());
        let (Some(tensor), None) = (tensors.next(), tensors.next()) else {
            return Err(not_one(format!(
                "it has {} tensors and not one",
                file.len()
            )));
        };
        let (count, width) = match tensor.shape.as_slice() {
            [width] => (1, *width),
            [count, width] | [1, count, width] => (*count, *width),
            shape => return Err(not_one(format!("its shape is {shape:?}"))),
        };
        let size = count.checked_mul(width);
        if size.is_none_or(|size| size == 0 || size > MOST_FACES * MOST_WIDTH) {
            return Err(not_one(format!("its shape is {:?}", tensor.shape)));
        }
        let values = file.values(&tensor.name)?;
        let faces = values.chunks(width).map(<[f32]>::to_vec).collect();
        Self::checked(faces, Some(file.path()))
    }

    fn checked(faces: Vec<Vec<f32>>, path: Option<&Path>) -> Result<Self, IdentityError> {
        let width = faces.first().map_or(0, Vec::len);
        let reason = if !(1..=MOST_FACES).contains(&faces.len()) {
            format!("there are {} faces", faces.len())
        } else if !(1..=MOST_WIDTH).contains(&width) {
            format!("it has {width} numbers")
        } else if let Some(other) = faces.iter().find(|face| face.len() != width) {
            format!("one has {width} numbers and another {}", other.len())
        } else if !faces.iter().flatten().all(|number| number.is_finite()) {
            "one of its numbers is not finite".to_owned()
        } else {
            return Ok(Self { faces });
        };
        Err(IdentityError::NotOne {
            path: path.map(Path::to_owned),
            reason,
        })
    }

    /// Number of portraits.
    pub fn faces(&self) -> usize {
        self.faces.len()
    }

    /// Numbers of each.
    pub fn width(&self) -> usize {
        self.faces[0].len()
    }

    /// The embeddings in f32, `[faces, width]`.
    pub fn tensor(&self, device: &Device) -> Tensor<2> {
        let data = TensorData::new(self.faces.concat(), [self.faces(), self.width()]);
        Tensor::from_data(data, (device, DType::F32))
    }
}

fn not_one(path: &Path, reason: String) -> IdentityError {
    IdentityError::NotOne {
        path: Some(path.to_owned()),
        reason,
    }
}

fn json(bytes: &[u8]) -> Result<Vec<Vec<f32>>, String> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| format!("it is neither .npy nor JSON: {error}"))?;
    #[expect(clippy::cast_possible_truncation, reason = "the adapter reads f32")]
    let numbers = |list: &[Value]| -> Option<Vec<f32>> {
        list.iter()
            .map(|number| Some(number.as_f64()? as f32))
            .collect()
    };
    let list = value.as_array().filter(|list| !list.is_empty());
    let list = list.ok_or("it is no list of numbers")?;
    let faces = match numbers(list) {
        Some(face) => Some(vec![face]),
        None => list.iter().map(|face| numbers(face.as_array()?)).collect(),
    };
    faces.ok_or_else(|| "it is no list of numbers, nor of lists of numbers".to_owned())
}
