//! The experiments.

mod blocks;
mod concepts;
mod masks;
mod pictures;
mod sweep;

pub(crate) use blocks::Blocks;
pub(crate) use concepts::Concepts;
pub(crate) use masks::Masks;
pub(crate) use sweep::Sweep;
