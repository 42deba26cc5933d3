//! What the rows of each command say, as numbers; each summary lays itself out in parts.

pub(crate) mod blocks;
mod concepts;
mod estimate;
mod methods;
mod metric;
mod overhead;
mod paper;
mod sheets;
mod sweep;
mod training;
mod variant;

#[cfg(test)]
pub(super) use concepts::Group as ConceptGroup;
pub(super) use concepts::Summary as Concepts;
pub(super) use estimate::{BOOTSTRAP, Estimate, median};
pub(super) use methods::Summary as Methods;
pub(super) use overhead::Summary as Overheads;
pub(super) use sweep::Summary as Sweep;
pub(super) use training::Summary as Training;
