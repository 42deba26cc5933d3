//! Starting from a picture instead of noise, and repainting a region of it.

mod canvas;
mod crop;
mod look;
mod place;
mod request;
mod state;
mod strength;

pub(super) use canvas::Canvas;
pub(super) use crop::Crop;
pub(super) use look::{check_place, find, look};
pub use place::ConceptPlace;
pub use request::{Region, Repaint, Start};
pub use state::Started;
pub(super) use state::prepare;
pub(super) use strength::begin;
