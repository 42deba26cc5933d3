//! Files as maps.

use std::{fs::File, io, path::Path};

use bytes::Bytes;
use memmap2::Mmap;

/// Maps a file whose content stays as it is: who asks for a map promises that.
///
/// # Errors
/// If the file cannot be opened or mapped.
pub fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    // SAFETY: the user has said with `--map` that nothing changes the file meanwhile
    let map = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}
