//! Models of the Hugging Face hub, fetched into the cache that Python's `huggingface_hub` uses.
//!
//! ```no_run
//! use conceptrol_core::hub::{Hub, ModelId, Quiet};
//!
//! let model: ModelId = "stable-diffusion-v1-5/stable-diffusion-v1-5@main".parse()?;
//! let folder = Hub::from_env()?.variant("fp16").model(&model, &mut Quiet)?;
//! assert!(folder.join("model_index.json").exists());
//! # Ok::<(), conceptrol_core::hub::HubError>(())
//! ```

mod client;
mod error;
mod id;
mod progress;
mod select;

pub use client::Hub;
pub use error::HubError;
pub use id::ModelId;
pub use progress::{Progress, Quiet};
