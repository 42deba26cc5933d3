//! Low-rank adapters of all namings: `LoRA`, `LoHa` and `LoKr`, plain and Tucker, for linear layers and convolutions.
//!
//! A [`LoraFile`] is what a file holds, by the layers it names. [`LoraTargets`] are the models of a pipeline with every
//! spelling of their modules' names: one [table](NAMINGS) of tools says how names are written, and its reverse is how they
//! are read. Where both meet there are [`Deltas`]: what to add to which weight. They are merged as the weights are read
//! ([`Weights::merging`](super::weights::Weights::merging)), or kept apart as [pairs of small matrices](crate::LowRank).

mod alpha;
mod delta;
mod dialect;
mod ending;
mod error;
mod factors;
mod file;
mod naming;
mod resolve;
mod summary;
mod target;

pub use delta::{Delta, Deltas};
pub use error::LoraError;
pub use file::LoraFile;
pub use naming::{NAMINGS, Naming, Words};
pub use resolve::Lora;
pub use summary::LoraSummary;
pub use target::{LoraTarget, LoraTargets, Part};
