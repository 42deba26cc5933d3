//! Reading models and adapters from disk.

mod bfl;
mod lora;
mod transformer;

pub use bfl::{config_of, original_checkpoint, transformer_checkpoint};
pub use lora::{lora_targets, transformer_target};
pub use transformer::load_transformer;
