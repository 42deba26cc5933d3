//! The plug-in seam: where a model's attention is handed over, what computes it, and what a generation remembers meanwhile.
//!
//! A model names its attention operations as [sites](AttentionSites) and calls [`Session::attend`] at each, and
//! [`Session::end_block`] where a block ends. A [plan](AttentionPlan) says which [processor](AttentionProcessor) computes which site; [layers](ProcessorLayer) wrap
//! processors around each other.

mod adaptation;
mod block_end;
mod cache;
mod call;
mod captures;
mod context;
mod error;
mod gating;
mod installation;
mod layer;
mod layered;
mod layout;
mod name;
mod plan;
mod probe;
mod processor;
mod selector;
mod session;
mod site;
mod stack;
mod step;

pub use adaptation::{Adaptation, ConvolutionShape, Ground, LowRank};
pub use block_end::BlockEnd;
pub use cache::{CacheKey, Projected, ProjectionCache};
pub use call::{AttentionCall, Gate};
pub use captures::{Capture, Captures};
pub use context::AttentionContext;
pub use error::{AttentionError, InstallError, MaskError};
pub use installation::Installation;
pub use layer::{Identity, LayerFn, ProcessorLayer, layer_fn};
pub use layout::{Grid, GridRange, TokenLayout, TokenStream};
pub use plan::{AttentionPlan, AttentionPlanBuilder};
pub use probe::Probe;
pub use processor::{ArcProcessor, AttentionProcessor, Sdpa};
pub use selector::SiteSelector;
pub use session::Session;
pub use site::{AttentionSite, AttentionSites, SiteId, SiteKind};
pub use stack::Stack;
pub use step::{BatchLayout, ConditionSchedule, RowRole, StepInfo, StepWindow};

pub(crate) use layered::{install, stack};
pub(crate) use name::type_name;
