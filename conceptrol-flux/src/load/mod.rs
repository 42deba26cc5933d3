//! Reading models and adapters from disk.

mod bfl;
mod folder;
mod lora;

pub use bfl::{config_of, transformer_checkpoint};
pub use folder::{FluxFolder, Residency, load_transformer};
pub use lora::{AdapterError, AdapterReader, AdapterSummary};
