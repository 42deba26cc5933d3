use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system refused, or the path is no regular file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is larger than any of its kind.
    #[error("{size} bytes are more than the {limit} such a file may have")]
    TooLarge {
        /// Its size, or where reading stopped.
        size: u64,
        /// The limit.
        limit: u64,
    },
}

/// Refuses what is no regular file: a folder, and what opening or reading would wait for (a named pipe, a socket, a device).
///
/// # Errors
/// If the path cannot be looked at, or is not a regular file.
pub fn check_regular(path: impl AsRef<Path>) -> io::Result<()> {
    regular(&fs::metadata(path)?)
}

/// Opens a regular file for reading.
///
/// ```
/// use conceptrol_core::models::file::open_regular;
///
/// let error = open_regular(std::env::temp_dir()).unwrap_err();
/// assert_eq!(error.to_string(), "not a regular file");
/// ```
///
/// # Errors
/// If it cannot be opened, or is not a regular file.
pub fn open_regular(path: impl AsRef<Path>) -> io::Result<File> {
    // opening a pipe waits for its writer, so the path is looked at first, and what was opened once more
    check_regular(&path)?;
    let file = File::open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// The content of a regular file of at most `limit` bytes. Of a larger one nothing is read.
///
/// # Errors
/// [`ReadError`] if it cannot be read, is not a regular file, or is larger.
pub fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, ReadError> {
    let file = open_regular(path)?;
    let size = file.metadata()?.len();
    if size > limit {
        return Err(ReadError::TooLarge { size, limit });
    }
    let mut bytes = Vec::new();
    // a file may grow, and those of /proc say they are empty
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        size if size > limit => Err(ReadError::TooLarge { size, limit }),
        _ => Ok(bytes),
    }
}

/// As [`read`], for text.
///
/// # Errors
/// Those of [`read`], and one of the kind [`io::ErrorKind::InvalidData`] for what is not UTF-8.
pub fn read_text(path: impl AsRef<Path>, limit: u64) -> Result<String, ReadError> {
    let text = String::from_utf8(read(path, limit)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text").into())
}

fn regular(metadata: &fs::Metadata) -> io::Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )),
    }
}
