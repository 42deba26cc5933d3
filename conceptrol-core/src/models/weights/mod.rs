//! Reading checkpoints: untrusted files in, validated tensors out.
//!
//! A [`Checkpoint`] knows the name, dtype, shape and place of every tensor of a file without having read one.
//! A [`Weights`] walks it: model constructors ask for tensors by name and never fail, and [`Weights::finish`]
//! reports everything that was missing, left over or wrongly shaped at once.

mod checkpoint;
mod checksum;
mod compact;
mod convert;
mod cursor;
mod dtype;
mod entry;
mod error;
mod file;
mod gguf;
mod hint;
mod ledger;
mod map;
mod names;
mod open;
mod parallel;
mod pickle;
mod random;
mod reader;
mod safetensors;
mod scale;
mod sharded;
mod spares;
mod torch;
mod view;
mod write;

pub use crate::kernel::BlockFormat;
pub use checkpoint::Checkpoint;
pub use compact::Keep;
pub use cursor::Weights;
pub use dtype::StoredDType;
pub use entry::TensorInfo;
pub use error::{Mismatch, MissingTensor, WeightError, WrongTensor};
pub use map::KeyRule;
pub(crate) use names::best as best_checkpoint;
pub use open::{Files, Format};
pub(in crate::models) use {
    hint::closest,
    map::{Target, fill, matches},
};
