//! What the benchmarks share: operations with their shapes, inputs both sides can make, timing, peak memory.

mod allocated;
mod memory;
mod numbers;
mod operations;
mod timing;

pub use allocated::Counting;
pub use memory::Peak;
pub use numbers::numbers;
pub use operations::{Operation, operations};
pub use timing::{Times, processor_time};
