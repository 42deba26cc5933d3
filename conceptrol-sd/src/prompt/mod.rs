//! How prompts are read: in one window or in chunks, with or without weights.

mod chunks;
mod emphasis;
mod reading;
mod weighting;

pub use reading::Reading;
pub(crate) use reading::Rows;
pub use weighting::Weighting;
