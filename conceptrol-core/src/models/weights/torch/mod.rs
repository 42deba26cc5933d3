//! Files written by `torch.save`: a zip archive of `data.pkl` and one uncompressed member a storage.

mod archive;
mod state;

pub(super) use state::entries;
