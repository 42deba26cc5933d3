//! Attention processors, concept masks and the model parts shared by the Conceptrol crates.
//!
//! A model calls [`Session::attend`] at each of its [attention sites](AttentionSites). A
//! [`AttentionPlan`] says which [processor](AttentionProcessor) computes which site; layers wrap
//! processors around each other. [Conceptrol](processors::ConceptrolLayer) is such a layer: it
//! asks a [mask source](mask::ConceptMaskSource) where the words of a concept act and lets the
//! reference picture act only there.
//!
//! # Features
//!
//! - `models`: CLIP text encoder, `AutoencoderKL`, checkpoint loading, tokenizers, noise, image
//!   files: what the model crates share.
//! - `flex`, `cuda`, `rocm`, `wgpu`, `vulkan`, `metal`, `remote`: backends, forwarded to burn.
//!   None is on by default; the application chooses, and the device chooses at run time.
//! - `autodiff`, `fusion`, `autotune`, `simd`, `rayon`, `x86-v4`: forwarded to burn.

// Allowed for the kernels of the CPU alone; see `kernel/mod.rs`.
#![deny(unsafe_code)]

pub mod analysis;
mod call;
mod concept;
mod error;
pub mod kernel;
mod layout;
pub mod mask;
#[cfg(feature = "models")]
pub mod models;
mod plan;
mod processor;
pub mod processors;
mod selector;
mod session;
mod site;
mod step;

pub use call::{AttentionCall, Gate, Probe};
pub use concept::{
    Concept, Occurrence, PromptTokens, ReferenceTokens, SpanError, Token, TokenSpan, TokenStyle,
    check_disjoint,
};
pub use error::{AttentionError, InstallError, MaskError};
pub use layout::{Grid, GridRange, TokenLayout};
pub use plan::{AttentionContext, AttentionPlan, AttentionPlanBuilder};
pub use processor::{
    ArcProcessor, AttentionProcessor, Identity, LayerFn, ProcessorLayer, Sdpa, Stack, layer_fn,
};
pub use selector::SiteSelector;
pub use session::{CacheKey, Projected, ProjectionCache, Session};
pub use site::{AttentionSite, AttentionSites, SiteId, SiteKind};
pub use step::{BatchLayout, ConditionSchedule, StepInfo, StepWindow};
