//! What the benchmarks share: operations with their shapes, inputs both sides can make, timing, peak memory, checkpoints of
//! random numbers.

mod allocated;
mod memory;
mod numbers;
mod operations;
mod scratch;
mod timing;

pub use allocated::Counting;
pub use memory::Peak;
pub use numbers::numbers;
pub use operations::{Operation, operations};
pub use scratch::{parameters, write_random};
pub use timing::{Times, processor_time};
