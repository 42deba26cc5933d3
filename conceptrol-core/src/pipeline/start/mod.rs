//! Starting from a picture instead of noise, and repainting a region of it.

mod canvas;
mod crop;
mod place;
mod request;
mod state;
mod strength;

pub(super) use canvas::Canvas;
pub(super) use crop::Crop;
pub use place::ConceptPlace;
pub use request::{Region, Repaint, Start};
pub use state::Started;
pub(super) use state::prepare;
pub(super) use strength::begin;
