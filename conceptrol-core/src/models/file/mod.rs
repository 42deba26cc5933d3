//! Files of others: opened only if they are files, read only up to a limit, told apart by their first bytes.

mod content;
mod read;

pub use content::Content;
pub use read::{ReadError, check_regular, open_regular, read, read_text};
