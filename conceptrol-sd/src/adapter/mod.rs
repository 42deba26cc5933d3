//! IP-Adapter: the image encoder, the projection to image tokens, and the weights of the image branch.

mod error;
mod face;
mod image_proj;
mod layout;
mod load;
mod resampler;

pub use conceptrol_core::models::image_projection::ImageProjModel;
pub use error::AdapterError;
pub use face::{FaceConfig, FaceProjection};
pub use image_proj::{FullProjection, ImageFeature, ImageProjection};
pub use layout::{AdapterKind, IpAdapterLayout};
pub use load::{IpAdapterSite, IpAdapterWeights};
pub use resampler::{Resampler, ResamplerConfig};
