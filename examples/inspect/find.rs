//! Which checkpoints a path means.

use std::{
    fs,
    path::{Path, PathBuf},
};

use conceptrol_core::models::weights::{Checkpoint, Format};

/// How far below the given folder a checkpoint may lie (`DIR/unet`, `DIR/models/image_encoder`).
const DEPTH: usize = 3;

/// The file itself; of a model's folder its best checkpoint; of any other folder everything in it.
pub(crate) fn checkpoints(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(path, DEPTH, &mut found);
    found
}

fn collect(path: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        found.push(path.to_owned());
        return;
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    entries.sort();
    if path.join("config.json").is_file() && has_weights(&entries) {
        found.push(path.to_owned());
        return;
    }
    for entry in entries {
        if entry.is_dir() && depth > 0 {
            collect(&entry, depth - 1, found);
        } else if entry.is_file() && is_checkpoint(&entry) && !is_shard(&entry) {
            found.push(entry);
        }
    }
}

fn has_weights(entries: &[PathBuf]) -> bool {
    entries.iter().any(|entry| is_checkpoint(entry))
}

fn is_checkpoint(path: &Path) -> bool {
    Format::of(path).is_some() || path.to_string_lossy().ends_with(".index.json")
}

/// `model-00001-of-00003.safetensors`: the index speaks for it.
fn is_shard(path: &Path) -> bool {
    path.file_stem()
        .is_some_and(|stem| stem.to_string_lossy().contains("-of-"))
}

/// `name` in the folder of the checkpoint.
pub(crate) fn beside(checkpoint: &Checkpoint, name: &str) -> Option<PathBuf> {
    let path = checkpoint.path().parent()?.join(name);
    path.is_file().then_some(path)
}
