//! Measuring what masks do, on the host, after a generation: nothing here runs inside the denoising loop.
//!
//! Everything works on `ndarray` arrays, so that it needs neither a device nor the feature `models`.

mod bootstrap;
mod error;
mod metrics;
mod pictures;
mod sharpness;

pub use bootstrap::{Bootstrap, Interval};
pub use error::AnalysisError;
pub use metrics::{Leakage, Scores, difference, iou, leakage, roc_auc};
pub use pictures::{heat_map, overlay, resize_bilinear};
pub use sharpness::sharpness;
