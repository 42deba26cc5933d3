//! IP-Adapters for FLUX: which one a file is, its image encoder, its projection to image tokens, and the weights of the
//! image branch.
//!
//! | | `XLabs` | `InstantX` |
//! |---|---|---|
//! | file | `ip_adapter.safetensors` | `ip-adapter.bin` |
//! | image encoder | CLIP ViT-L/14, projected | `SigLIP` so400m/14 at 384, pooled |
//! | acts at | double blocks | double and single blocks |
//! | its term goes in | at the end of the block | in the attention's output |

mod encoder;
mod error;
mod kind;
mod layout;
mod places;
mod projection;
mod sites;

pub use encoder::{ImageEncoder, ImageEncoderConfig};
pub use error::AdapterError;
pub use kind::{AdapterKind, other_kind};
pub use layout::IpAdapterLayout;
pub use projection::ImageProjection;
pub use sites::IpAdapterSites;

pub(crate) use kind::AdapterFile;
pub(crate) use places::find_encoder;
