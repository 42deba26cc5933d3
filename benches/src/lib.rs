//! What the benchmarks share: the choice of a device, options, timing that waits for it, rows and tables of results, operations with
//! their shapes, inputs both sides can make, models and checkpoints of random numbers, guided steps.

use std::error::Error;

mod allocated;
pub mod device;
mod flux;
mod guided_step;
pub mod harness;
pub mod machine;
mod memory;
mod numbers;
mod operations;
mod random_model;
mod scratch;
mod timing;

pub use allocated::Counting;
pub use flux::{FluxInputs, flux_blocks};
pub use guided_step::{Cost, GuidedStep};
pub use memory::Peak;
pub use numbers::{Place, numbers};
pub use operations::{Operation, operations, small_operations};
pub use random_model::{RandomModel, Size};
pub use scratch::{parameters, write_random, write_repeating};
pub(crate) use timing::consumed;
pub use timing::{Times, processor_time};

/// Whatever ends a benchmark.
pub type Failure = Box<dyn Error>;
