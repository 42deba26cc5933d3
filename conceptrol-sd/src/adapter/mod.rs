//! IP-Adapter: the image encoder, the projection to image tokens, and the weights of the image branch.

mod error;
mod face;
mod image_proj;
mod layout;
mod load;
mod resampler;

pub use error::AdapterError;
pub use face::{FaceConfig, FaceProjection};
pub use image_proj::{FullProjection, ImageFeature, ImageProjModel, ImageProjection};
pub use layout::{AdapterKind, IpAdapterLayout};
pub use load::{IpAdapterSite, IpAdapterWeights};
pub use resampler::{Resampler, ResamplerConfig};
