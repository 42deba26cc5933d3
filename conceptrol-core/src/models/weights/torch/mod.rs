//! Files written by `torch.save`: a zip archive of `data.pkl` and one uncompressed member a storage.

mod archive;
mod state;
mod zip;

pub(super) use state::{entries, texts};
