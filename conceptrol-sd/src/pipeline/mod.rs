//! Stable Diffusion with IP-Adapter and Conceptrol, from a diffusers folder to pictures.

mod concept;
mod condition;
mod decode;
mod denoise;
mod error;
mod generate;
mod load;
mod observer;
mod plan;
mod references;
mod request;

pub use concept::{ConceptRequest, FoundConcept, Words};
pub use condition::Conditioning;
pub use error::PipelineError;
pub use generate::Generation;
pub use load::{AdapterFiles, LoadOptions, StableDiffusion};
pub use observer::{Observer, Silent, StepReport};
pub use request::{Guidance, MicroConditioning, Mode, Request};
