//! Measuring what masks do, on the host, after a generation: nothing here runs inside the denoising loop.
//!
//! Everything works on `ndarray` arrays, so that it needs neither a device nor the feature `models`.

mod auc;
mod colour;
mod error;
mod heat_map;
mod iou;
mod leakage;
mod overlay;
mod resize;
mod scores;

pub use auc::roc_auc;
pub use error::AnalysisError;
pub use heat_map::heat_map;
pub use iou::iou;
pub use leakage::{Leakage, difference, leakage};
pub use overlay::overlay;
pub use resize::resize_bilinear;
pub use scores::Scores;
