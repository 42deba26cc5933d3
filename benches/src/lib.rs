//! What the benchmarks share: operations with their shapes, inputs both sides can make, timing, peak memory, models and
//! checkpoints of random numbers, guided steps.

use std::error::Error;

mod allocated;
mod guided_step;
mod memory;
mod numbers;
mod operations;
mod random_model;
mod scratch;
mod timing;

pub use allocated::Counting;
pub use guided_step::{Cost, GuidedStep};
pub use memory::Peak;
pub use numbers::numbers;
pub use operations::{Operation, operations};
pub use random_model::RandomModel;
pub use scratch::{parameters, write_random, write_repeating};
pub use timing::{Times, processor_time};

/// Whatever ends a benchmark.
pub type Failure = Box<dyn Error>;
