//! What the examples share: backends, output, progress, labelled sheets, memory.

pub mod device;
pub mod map;
pub mod memory;
pub mod output;
pub mod progress;
pub mod sheet;
