//! From one embedding of a picture, or of a face, to the image tokens of an IP-Adapter: what adapters of every family have.

mod linear;
mod mlp;

pub use linear::ImageProjModel;
pub use mlp::MlpProjModel;

/// Epsilon of the norms (the default of `PyTorch`).
const NORM_EPS: f64 = 1e-5;
