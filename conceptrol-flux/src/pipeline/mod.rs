//! From a prompt and reference pictures to a picture.

mod denoise;
mod generate;
mod model;
mod plan;
mod prepare;
mod prompt;
mod request;

pub use denoise::{Denoise, Progress};
pub use generate::Generated;
pub use model::FluxPipeline;
pub use plan::{concept_block, conceptrol_plan, conceptrol_plan_at, ominicontrol_plan};
pub use prepare::Prepared;
pub use prompt::{PromptEncoders, PromptStates, Tokenizers};
pub use request::{ConceptRequest, FluxRequest};
