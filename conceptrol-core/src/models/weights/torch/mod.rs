//! Files written by `torch.save`: a zip archive of `data.pkl` and one uncompressed member a storage, or what it wrote before
//! version 1.6.

mod archive;
mod legacy;
mod state;
mod storages;
mod zip;

pub(super) use state::{entries, texts};
