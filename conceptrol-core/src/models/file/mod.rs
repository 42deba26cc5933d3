//! Files of others: opened only if they are files, read only up to a limit, told apart by their first bytes. And own ones,
//! which appear whole.

mod content;
mod read;
mod write;

pub use content::Content;
pub use read::{ReadError, check_regular, open_regular, read, read_text};
pub use write::{unfinished, write_whole};
