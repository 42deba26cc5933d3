//! Keys and values that stay the same over a generation.

use std::collections::HashMap;

use burn::tensor::Tensor;

use crate::seam::SiteId;

/// What a cached pair of keys and values was projected from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Projected {
    /// The prompt.
    Text,
    /// The reference picture of a concept, by its index.
    Reference(usize),
    /// The reference pictures beside the latents of a joint sequence, all together.
    Conditions,
}

/// Where a cached pair belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CacheKey {
    /// The site.
    pub site: SiteId,
    /// What was projected.
    pub source: Projected,
}

impl CacheKey {
    /// The pair projected from `source` at `site`.
    pub const fn new(site: SiteId, source: Projected) -> Self {
        Self { site, source }
    }
}

/// Keys and values that do not change over the steps of a generation.
#[derive(Debug, Default)]
pub struct ProjectionCache {
    entries: HashMap<CacheKey, (Tensor<4>, Tensor<4>)>,
}

impl ProjectionCache {
    /// The cached pair.
    pub fn get(&self, key: CacheKey) -> Option<(Tensor<4>, Tensor<4>)> {
        self.entries.get(&key).cloned()
    }

    /// Keeps a pair.
    pub fn keep(&mut self, key: CacheKey, pair: (Tensor<4>, Tensor<4>)) {
        self.entries.insert(key, pair);
    }

    /// The cached pair, projected first if it is not there yet.
    pub fn get_or_project(
        &mut self,
        key: CacheKey,
        project: impl FnOnce() -> (Tensor<4>, Tensor<4>),
    ) -> (Tensor<4>, Tensor<4>) {
        self.entries.entry(key).or_insert_with(project).clone()
    }
}
