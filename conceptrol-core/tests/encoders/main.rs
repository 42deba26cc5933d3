//! The text encoder and the autoencoder against `transformers` and `diffusers`.

mod case;
mod clip_text;
mod keys;
mod vae;
