//! Control pictures: what `ControlNets` read in a generation, and what they add.

mod add;
mod nets;
mod request;

pub use add::Control;
pub(super) use add::residuals;
pub(super) use nets::{LoadedNets, Nets};
pub use request::ControlRequest;
