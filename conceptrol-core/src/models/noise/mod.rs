//! Seeded noise that equals `torch.randn` on the CPU.
//!
//! Diffusion checkpoints are used with seeds that people write down. A seed means the same picture only if the noise is
//! the same, on every backend, so noise is drawn on the host and never with the random numbers of a device.

mod generator;
mod normal;

pub use generator::{Generator, NoiseDtype, randn_per_seed};
