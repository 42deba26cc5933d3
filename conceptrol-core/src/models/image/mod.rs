//! Pictures: files in, the exact resizes the encoders were trained with, files out.

mod clip;
mod convert;
mod decode;
mod error;
mod filter;
mod mask;
mod resample;
mod save;
mod tensor;
mod whole;

pub use clip::{ClipImageConfig, Fit, clip_crop, clip_preprocess};
#[cfg(feature = "analysis")]
pub use convert::{from_array, to_array};
pub use decode::{decode, open};
pub use error::ImageError;
pub use filter::Filter;
pub use image::RgbImage;
pub use mask::{MaskImage, MaskWarning, decode_mask, open_mask};
pub use resample::{Window, resize, resize_window};
pub use save::{encode_png, save_png};
pub(crate) use tensor::data_to_images;
pub use tensor::{clip_tensor, image_to_tensor, image_to_unit_tensor, tensor_to_images};
