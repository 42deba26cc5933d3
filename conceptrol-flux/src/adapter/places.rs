//! Where image encoders usually are.

use std::path::{Path, PathBuf};

use super::{AdapterError, AdapterKind};

/// The image encoder beside an adapter or a model: a folder called `image_encoder`, or as the encoder itself is.
///
/// # Errors
/// [`AdapterError::NoEncoder`] lists where it was looked for.
pub(crate) fn find_encoder(
    kind: AdapterKind,
    adapter: &Path,
    model: &Path,
) -> Result<PathBuf, AdapterError> {
    let name = kind.encoder();
    let name = name.rsplit('/').next().unwrap_or(name);
    let folders = [adapter.parent(), Some(model), model.parent()];
    let mut looked: Vec<PathBuf> = Vec::new();
    for folder in folders.into_iter().flatten() {
        for place in [folder.join("image_encoder"), folder.join(name)] {
            if place.join("config.json").exists() {
                return Ok(place);
            }
            if !looked.contains(&place) {
                looked.push(place);
            }
        }
    }
    Err(AdapterError::NoEncoder {
        path: adapter.to_owned(),
        encoder: kind.encoder(),
        looked,
    })
}
