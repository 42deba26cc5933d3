//! What every connection and the worker share.

use std::sync::Arc;

use super::{
    catalogue::Catalogue,
    queue::Queue,
    results::Results,
    shelf::Shelf,
    upload::{Gate, Picture},
};
use crate::arguments::Machine;

/// Bytes of uploaded pictures that are kept.
const PICTURE_BYTES: usize = 96 << 20;

/// Pictures, results, jobs, and what may be chosen.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) catalogue: Catalogue,
    /// Pictures that are there from the start.
    pub(crate) samples: Vec<Arc<Picture>>,
    pub(crate) pictures: Shelf<Picture>,
    pub(crate) results: Results,
    pub(crate) queue: Arc<Queue>,
    pub(crate) gate: Gate,
    pub(crate) machine: Machine,
    /// Names that the server answers to, beside addresses and `localhost`.
    pub(crate) names: Vec<String>,
}

impl Shared {
    /// `keep` is how many bytes of finished pictures and their masks are kept.
    pub(crate) fn new(
        catalogue: Catalogue,
        samples: Vec<Picture>,
        machine: Machine,
        keep: usize,
    ) -> Self {
        Self {
            catalogue,
            samples: samples.into_iter().map(Arc::new).collect(),
            pictures: Shelf::new(PICTURE_BYTES),
            results: Shelf::new(keep),
            queue: Arc::default(),
            gate: Gate::default(),
            machine,
            names: Vec::new(),
        }
    }

    /// A picture by its id.
    pub(crate) fn picture(&self, id: &str) -> Option<Arc<Picture>> {
        let sample = self.samples.iter().find(|sample| sample.id == id);
        sample.cloned().or_else(|| self.pictures.get(id))
    }
}
