//! Choosing a backend by name: what `--backend` and `--dtype` mean in every program of the workspace.

mod backend;
mod error;
mod opened;
mod precision;
#[cfg(feature = "remote")]
mod remote;

pub use backend::{Backend, TOKEN};
pub use error::{DeviceError, UnknownBackend};
pub use opened::Opened;
pub use precision::Precision;
