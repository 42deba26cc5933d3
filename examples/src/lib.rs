//! What the examples share: backends, progress, labelled sheets, memory.

pub mod device;
pub mod map;
pub mod memory;
pub mod progress;
pub mod report;
pub mod sheet;
