//! The processors of this crate and their layers.

mod capture;
mod conceptrol;
mod condition_bias;
mod ip_adapter;
mod joint_condition;
mod scheduled;
mod site_scales;

pub use capture::CaptureLayer;
pub use conceptrol::ConceptrolLayer;
pub use ip_adapter::{IpAdapterLayer, IpProjection};
pub use joint_condition::{JointConditionLayer, ReferenceSight, TextSight};
pub use scheduled::ScheduledLayer;
