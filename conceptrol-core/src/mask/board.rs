//! Published masks: how a mask gets from one site to later sites and steps.

use std::collections::HashMap;

use crate::{
    mask::{ConceptMask, ResizeFilter},
    seam::Grid,
};

/// The masks that sources publish for later sites and steps, one per concept, and what sources
/// remember for themselves.
///
/// A step does not clear it: a site executed before the concept block reads the mask of the
/// step before.
#[derive(Debug, Default)]
pub struct MaskBoard {
    published: Vec<Option<ConceptMask>>,
    resized: HashMap<(usize, Grid, ResizeFilter), ConceptMask>,
    memory: HashMap<(&'static str, usize, Grid), ConceptMask>,
}

impl MaskBoard {
    /// An empty board for `concepts` concepts.
    pub fn new(concepts: usize) -> Self {
        Self {
            published: vec![None; concepts],
            ..Self::default()
        }
    }

    /// Publishes the mask of a concept in place of the one before.
    pub fn publish(&mut self, concept: usize, mask: ConceptMask) {
        if self.published.len() <= concept {
            self.published.resize(concept + 1, None);
        }
        self.resized.retain(|(of, ..), _| *of != concept);
        self.published[concept] = Some(mask);
    }

    /// The mask published last for a concept, on the grid it was read on.
    pub fn latest(&self, concept: usize) -> Option<&ConceptMask> {
        self.published.get(concept)?.as_ref()
    }

    /// The mask published last for a concept, resized to `grid`; resized once per publish.
    pub fn latest_on(
        &mut self,
        concept: usize,
        grid: Grid,
        filter: ResizeFilter,
    ) -> Option<ConceptMask> {
        let latest = self.published.get(concept)?.as_ref()?;
        let resized = self
            .resized
            .entry((concept, grid, filter))
            .or_insert_with(|| latest.resized(grid, filter));
        Some(resized.clone())
    }

    /// What a source remembered for a concept on a grid.
    pub fn recall(&self, source: &'static str, concept: usize, grid: Grid) -> Option<&ConceptMask> {
        self.memory.get(&(source, concept, grid))
    }

    /// Remembers a mask for a source, a concept and the mask's grid until the session ends.
    pub fn remember(&mut self, source: &'static str, concept: usize, mask: ConceptMask) {
        self.memory.insert((source, concept, mask.grid()), mask);
    }
}
