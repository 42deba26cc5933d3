//! The low-rank adapters of a pipeline.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    models::lora::{Deltas, LoraError, LoraFile, LoraSummary, LoraTargets, Part},
    pipeline::LoraOption,
};

/// What low-rank adapters do to the models of a pipeline.
#[derive(Debug, Default)]
pub struct Loras {
    merged: BTreeMap<Part, Arc<Deltas>>,
    summaries: Vec<LoraSummary>,
}

impl Loras {
    /// Reads the headers and strengths of files. `targets` is asked only if there are any.
    ///
    /// # Errors
    ///
    /// [`LoraError`] for a file that cannot be read, or is not for these models.
    pub fn open(
        options: &[LoraOption],
        targets: impl FnOnce() -> LoraTargets,
    ) -> Result<Self, LoraError> {
        if options.is_empty() {
            return Ok(Self::default());
        }
        let targets = targets();
        let (mut all, mut summaries) = (BTreeMap::<Part, Deltas>::new(), Vec::new());
        for option in options {
            let lora = LoraFile::open(&option.path)?.read(&targets, option.strength)?;
            // nothing is added, so that every bit stays
            if option.strength != 0.0 {
                for (part, deltas) in lora.parts() {
                    all.entry(part).or_default().append(deltas);
                }
            }
            summaries.push(lora.summary);
        }
        let shared = all
            .into_iter()
            .map(|(part, deltas)| (part, Arc::new(deltas)));
        Ok(Self {
            merged: shared.collect(),
            summaries,
        })
    }

    /// What is merged into a model.
    pub fn merged(&self, part: Part) -> Arc<Deltas> {
        self.merged.get(&part).cloned().unwrap_or_default()
    }

    /// What each file is, in the order of the options.
    pub fn summaries(&self) -> &[LoraSummary] {
        &self.summaries
    }
}
