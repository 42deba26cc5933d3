//! The experiments.

mod adapters;
mod baseline;
mod bench;
mod blocks;
mod concepts;
mod masks;
mod overhead;
mod pictures;
pub(crate) mod ratings;
mod sweep;

pub(crate) use adapters::Adapters;
pub(crate) use baseline::Baseline;
pub(crate) use blocks::Blocks;
pub(crate) use concepts::Concepts;
pub(crate) use masks::Masks;
pub(crate) use overhead::{Overhead, backends};
pub(crate) use sweep::Sweep;
