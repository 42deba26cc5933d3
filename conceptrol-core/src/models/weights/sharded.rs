//! Checkpoints in several files, held together by an index that names the file of each tensor.

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path},
};

use serde::Deserialize;

use super::{
    entry::Entries,
    error::WeightError,
    open::{self, Files},
};
use crate::models::file::{self, Content, ReadError};

/// Larger than the index of any model with a name.
const MAX_INDEX: u64 = 64 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Opens every shard of the index at `path`.
pub(super) fn open(path: &Path, files: Files) -> Result<Entries, WeightError> {
    let index = read(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, shard) in &index.weight_map {
        shards.entry(shard).or_default().push(name);
    }
    let mut entries = Entries::new();
    for (shard, names) in shards {
        let found = open_shard(path, folder, shard, names.len(), files)?;
        if let Some(absent) = names.into_iter().find(|name| !found.contains_key(*name)) {
            return Err(malformed(
                path,
                format!("{absent} is said to be in {shard} and is not"),
            ));
        }
        for (name, entry) in found {
            if entries.insert(name.clone(), entry).is_some() {
                return Err(malformed(path, format!("{name} is in two shards")));
            }
        }
    }
    Ok(entries)
}

fn read(path: &Path) -> Result<Index, WeightError> {
    let text = file::read(path, MAX_INDEX).map_err(|error| match error {
        ReadError::Io(source) => WeightError::Io {
            path: path.to_owned(),
            source,
        },
        ReadError::TooLarge { size, limit } => WeightError::TooLarge {
            path: path.to_owned(),
            what: "index",
            len: size,
            limit,
        },
    })?;
    serde_json::from_slice(&text).map_err(|error| match Content::of(&text) {
        Some(found) if found != Content::Json => WeightError::NotWeights {
            path: path.to_owned(),
            found,
        },
        _ => malformed(path, format!("the index is not valid: {error}")),
    })
}

fn open_shard(
    index: &Path,
    folder: &Path,
    shard: &str,
    tensors: usize,
    files: Files,
) -> Result<Entries, WeightError> {
    // An index is data from outside: it may name files beside itself and nothing else.
    let mut components = Path::new(shard).components();
    let plain = matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(_)), None)
    );
    if !plain {
        return Err(malformed(
            index,
            format!("shard {shard:?} is not a plain file name"),
        ));
    }
    match open::file(&folder.join(shard), files) {
        Err(WeightError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(WeightError::MissingShard {
                path: index.to_owned(),
                shard: shard.to_owned(),
                tensors,
            })
        }
        other => other,
    }
}

fn malformed(path: &Path, reason: String) -> WeightError {
    WeightError::Malformed {
        path: path.to_owned(),
        reason,
    }
}
