//! The text and image encoders and the autoencoder against `transformers` and `diffusers`.

mod case;
mod clip_text;
mod clip_vision;
mod keys;
mod siglip_vision;
mod t5;
mod vae;
