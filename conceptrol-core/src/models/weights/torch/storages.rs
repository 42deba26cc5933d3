use std::{collections::HashMap, sync::Arc};

use crate::models::weights::{entry::Part, error::WeightError, file::WeightFile};

/// Where the storages of a torch file lie, by their keys.
pub(super) struct Storages {
    file: Arc<WeightFile>,
    parts: HashMap<String, Part>,
}

impl Storages {
    pub(super) fn new(file: &Arc<WeightFile>, parts: HashMap<String, Part>) -> Self {
        Self {
            file: Arc::clone(file),
            parts,
        }
    }

    /// The storage of this key, all of it.
    pub(super) fn find(&self, key: &str) -> Option<Part> {
        self.parts.get(key).cloned()
    }

    pub(super) fn malformed(&self, reason: String) -> WeightError {
        WeightError::Malformed {
            path: self.file.path().to_owned(),
            reason,
        }
    }

    pub(super) fn truncated(&self, what: String, needed: u64, available: u64) -> WeightError {
        WeightError::Truncated {
            path: self.file.path().to_owned(),
            what,
            needed,
            available,
        }
    }
}
