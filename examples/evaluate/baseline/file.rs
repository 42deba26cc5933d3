//! Files that appear complete or not at all.

use std::{collections::HashMap, fs::File, io::Write, path::Path};

use burn::tensor::{Tensor, TensorData};
use conceptrol_core::models::file;
use safetensors::tensor::{Dtype, TensorView};

use super::TrainingError;

/// Writes a file that appears complete or not at all, and brings its name to the disk, too, before anything is written that
/// depends on it.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainingError> {
    let write = || {
        file::write_whole(path, |file| file.write_all(bytes))?;
        match path.parent() {
            Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    };
    write().map_err(TrainingError::at(path))
}

/// Writes matrices as safetensors, in f32, as diffusers does; the same matrices give the same bytes.
pub(super) fn write_tensors(
    path: &Path,
    tensors: impl Iterator<Item = (String, Tensor<2>)>,
) -> Result<(), TrainingError> {
    let data: Vec<(String, TensorData)> = tensors
        .map(|(name, tensor)| (name, tensor.into_data().convert::<f32>()))
        .collect();
    let views = data.iter().map(|(name, data)| {
        let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes());
        (name, view.expect("as many bytes as the shape says"))
    });
    // The framework it is for, which diffusers looks at.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(views, Some(metadata)).expect("names are unique");
    write_whole(path, &bytes)
}
