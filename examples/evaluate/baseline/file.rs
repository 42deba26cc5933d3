//! Files that appear complete or not at all.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    path::Path,
};

use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};

use super::TrainingError;

/// Writes beside the place, brings it to the disk, then renames. What a killed run left beside the place is overwritten.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainingError> {
    let write = || {
        let beside = path.with_added_extension("part");
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        // The name is on the disk, too, before anything is written that depends on it.
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
