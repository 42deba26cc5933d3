//! The plug-in seam: where a model's attention is handed over, what computes it, and what a generation remembers meanwhile.
//!
//! A model names its attention operations as [sites](AttentionSites) and calls [`Session::attend`] at each. A
//! [plan](AttentionPlan) says which [processor](AttentionProcessor) computes which site; [layers](ProcessorLayer) wrap
//! processors around each other.

mod call;
mod cancel;
mod error;
mod layout;
mod plan;
mod processor;
mod selector;
mod session;
mod site;
mod step;

pub use call::{AttentionCall, Gate, Probe};
pub use cancel::Cancel;
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
