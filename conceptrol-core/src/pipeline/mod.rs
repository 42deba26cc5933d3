//! From a request to pictures: what every family shares.
//!
//! A [`Family`] is Stable Diffusion, FLUX, or your own model. [`Pipeline`] is what can be done with any of them.

mod candidates;
mod concept;
mod conditioning;
mod denoise;
mod error;
mod family;
mod fidelity;
mod finite;
mod folder;
mod gate;
mod gating;
mod generation;
mod guidance;
mod identity;
mod load;
mod locate;
mod loras;
mod memory;
mod model_files;
mod observer;
#[expect(
    clippy::module_inception,
    reason = "the trait has the name of the thing"
)]
mod pipeline;
mod plan;
mod request;
mod residency;
mod seeds;
mod size;
mod stage;
mod start;

pub use candidates::{LocalizedPhrase, localize, only_subject};
pub use concept::{ConceptRequest, WeightedWords, Words};
pub use conditioning::Conditioning;
pub use error::PipelineError;
pub use family::{Defaults, Encoding, Evaluation, Family, Frame, InputKind, Profile};
pub use fidelity::Fidelity;
pub use folder::{ModelIndex, checked_scheduler, concept_block_of};
pub use gate::ConceptGate;
pub use gating::Gating;
pub use generation::Generation;
pub use guidance::{Guidance, GuidanceRule};
pub use identity::{Identity, IdentityError};
pub use load::{AdapterFiles, LoadOptions, LoraOption};
pub use locate::LocatedConcept;
pub use loras::{LoraRequest, Loras};
pub use memory::{Footprint, decoding_bytes, kept_bytes, product, size_of, weight_bytes};
pub use model_files::{Layout, ModelFiles, Part, model_at};
pub use observer::{DenoisedLatents, Observer, Silent, StepReport};
pub use pipeline::Pipeline;
pub use request::{Mode, Request, RequestExtra, check_count};
pub use residency::{Residency, Slot};
pub use seeds::Seeds;
pub use size::ImageSize;
pub use stage::Stage;
pub use start::{ConceptPlace, Region, Repaint, Start, Started};
