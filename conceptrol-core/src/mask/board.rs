//! Published masks: how a mask gets from one site to later sites and steps.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use burn::tensor::Tensor;

use crate::{
    mask::{ConceptMask, ResizeFilter},
    seam::{Grid, Ground, SiteId},
};

/// The masks that sources publish for later sites and steps, one per concept, and what sources
/// remember for themselves.
///
/// A step does not clear it: a site executed before the concept block reads the mask of the
/// step before.
#[derive(Debug, Default)]
pub struct MaskBoard {
    published: Vec<Option<ConceptMask>>,
    /// The latest masks of sources that publish nothing.
    answers: HashMap<usize, ConceptMask>,
    resized: HashMap<(usize, Grid, ResizeFilter), ConceptMask>,
    memory: HashMap<(u64, usize, Place), ConceptMask>,
    /// Made of a concept's latest mask for modules, by ground and number of tokens.
    gates: HashMap<(usize, Ground, usize), Tensor<2>>,
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
        self.gates.retain(|(of, ..), _| *of != concept);
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

    /// Keeps the answer of a source that publishes nothing, in place of the one before.
    pub(crate) fn keep_answer(&mut self, concept: usize, mask: ConceptMask) {
        self.gates.retain(|(of, ..), _| *of != concept);
        self.answers.insert(concept, mask);
    }

    /// The mask in force for what is no attention, on a grid: the one published last, or the latest answer of a source that
    /// publishes nothing.
    pub(crate) fn in_force(
        &mut self,
        concept: usize,
        grid: Grid,
        filter: ResizeFilter,
    ) -> Option<ConceptMask> {
        let published = self.latest_on(concept, grid, filter);
        published.or_else(|| Some(self.answers.get(&concept)?.resized(grid, filter)))
    }

    /// The gate that was [kept](Self::keep_gate) since a concept's mask was published last.
    pub(crate) fn gate(&self, concept: usize, ground: Ground, tokens: usize) -> Option<&Tensor<2>> {
        self.gates.get(&(concept, ground, tokens))
    }

    /// Keeps a gate, `[rows, tokens]`, until the concept's next mask is published.
    pub(crate) fn keep_gate(
        &mut self,
        concept: usize,
        ground: Ground,
        tokens: usize,
        gate: Tensor<2>,
    ) {
        self.gates.insert((concept, ground, tokens), gate);
    }

    /// What the owner of `key` remembered for a concept at a place.
    pub fn recall(
        &self,
        key: &MemoryKey,
        concept: usize,
        place: impl Into<Place>,
    ) -> Option<&ConceptMask> {
        self.memory.get(&(key.0, concept, place.into()))
    }

    /// What the owner of `key` remembered for a concept at a place, which is forgotten.
    pub fn take(
        &mut self,
        key: &MemoryKey,
        concept: usize,
        place: impl Into<Place>,
    ) -> Option<ConceptMask> {
        self.memory.remove(&(key.0, concept, place.into()))
    }

    /// Remembers a mask for the owner of `key` until the session ends, in place of the one before.
    pub fn remember(
        &mut self,
        key: &MemoryKey,
        concept: usize,
        place: impl Into<Place>,
        mask: ConceptMask,
    ) {
        self.memory.insert((key.0, concept, place.into()), mask);
    }
}

/// Whose memory it is: a source that remembers something between calls holds one.
///
/// No two keys are the same, a key and its clone included. So two sources of one type in one plan, or a source and its
/// clone, never share what they remember; one source behind an `Arc` in two layers does. Keys are compared and nothing
/// else: results do not depend on how many were made before.
#[derive(Debug)]
pub struct MemoryKey(u64);

impl MemoryKey {
    /// A key that no other source has.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for MemoryKey {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for MemoryKey {
    /// Another key: the clone of a source remembers for itself.
    fn clone(&self) -> Self {
        Self::new()
    }
}

/// Where a remembered mask holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// At every site of this grid.
    Grid(Grid),
    /// At one site.
    Site(SiteId),
}

impl From<Grid> for Place {
    fn from(grid: Grid) -> Self {
        Self::Grid(grid)
    }
}

impl From<SiteId> for Place {
    fn from(site: SiteId) -> Self {
        Self::Site(site)
    }
}
