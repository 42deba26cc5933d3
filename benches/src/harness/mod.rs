//! What every benchmark has in common: its options, timing that waits for the device, memory, rows of results and their table.

mod arguments;
mod bench;
mod measured;
mod record;
mod report;
mod row;
mod way;

pub use arguments::{Common, run};
pub use bench::{Bench, Memory};
pub use measured::Measured;
pub use record::{Record, read_rows};
pub use report::report;
pub use row::{Checks, Environment, Row, Times};
pub use way::Way;
