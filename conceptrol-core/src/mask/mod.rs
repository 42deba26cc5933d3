//! Concept masks: where the words of a concept act, and which mask is in force at a call.

mod board;
mod combine;
mod competition;
mod concept_block;
mod concept_mask;
mod local;
mod own;
mod query;
mod random;
mod source;
mod spread;

pub use board::{MaskBoard, MemoryKey, Place};
pub use combine::{Ema, Product, Threshold, Union};
pub use competition::Competition;
pub use concept_block::{BeforeFirst, ConceptBlock, Publish};
pub use concept_mask::{ConceptMask, MaskNorm, ResizeFilter, Stamp};
pub use local::Local;
pub use own::{Fixed, OwnMask};
pub use query::MaskQuery;
pub use random::Random;
pub use source::ConceptMaskSource;
pub(crate) use source::ask;
pub use spread::Spread;
