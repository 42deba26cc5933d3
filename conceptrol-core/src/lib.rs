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
//! - `analysis`: heat maps and measures of masks, on `ndarray` arrays.
//! - `flex`, `cuda`, `rocm`, `wgpu`, `vulkan`, `metal`, `remote`: backends, forwarded to burn.
//!   None is on by default; the application chooses, and the device chooses at run time.
//! - `autodiff`, `fusion`, `autotune`, `simd`, `rayon`, `x86-v4`: forwarded to burn.

#![cfg_attr(docsrs, feature(doc_cfg))]
// Allowed for the kernels of the CPU alone; see `kernel/mod.rs`.
#![deny(unsafe_code)]

#[cfg(feature = "analysis")]
pub mod analysis;
mod cancel;
mod concept;
#[cfg(feature = "hub")]
pub mod hub;
pub mod kernel;
pub mod mask;
pub mod message;
#[cfg(feature = "models")]
pub mod models;
#[cfg(any(feature = "models", feature = "analysis"))]
mod mt19937;
#[cfg(feature = "models")]
pub mod pipeline;
pub mod processors;
#[cfg(feature = "remote")]
pub mod remote;
mod seam;

pub use burn;
#[cfg(feature = "models")]
pub use image;
#[cfg(feature = "analysis")]
pub use ndarray;

pub use cancel::Cancel;
pub use concept::{
    Concept, MaskRole, NounPhrase, Occurrence, PhraseRole, PromptTokens, ReferenceTokens,
    SpanError, Token, TokenSpan, TokenStyle, check_disjoint, noun_phrases,
};
pub use seam::{
    Adaptation, ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionPlan,
    AttentionPlanBuilder, AttentionProcessor, AttentionSite, AttentionSites, BatchLayout, BlockEnd,
    CacheKey, Capture, Captures, ConditionSchedule, ConvolutionShape, Gate, Grid, GridRange,
    Ground, Identity, InstallError, Installation, LayerFn, LowRank, MaskError, Probe,
    ProcessorLayer, Projected, ProjectionCache, RowRole, Sdpa, Session, SiteId, SiteKind,
    SiteSelector, Stack, StepInfo, StepWindow, TokenLayout, TokenStream, layer_fn,
};

/// The code of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
