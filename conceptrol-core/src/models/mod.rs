//! Model parts that more than one family uses, and the way all of them read their weights.

pub mod autoencoder_kl;
pub mod clip_text;
pub mod clip_vision;
pub mod config;
pub mod file;
pub mod image;
pub mod image_projection;
pub mod lora;
pub mod nn;
pub mod noise;
mod read_ahead;
pub mod scheduler;
pub mod siglip_vision;
pub mod t5;
pub mod textual_inversion;
pub mod tokenizer;
pub mod weights;

pub use read_ahead::read_ahead;
