//! Reading models and adapters from disk.

mod bfl;
mod lora;
mod transformer;

pub use bfl::{config_of, transformer_checkpoint};
pub use lora::{AdapterError, AdapterReader, AdapterSummary};
pub use transformer::load_transformer;
