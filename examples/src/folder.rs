//! The folder a run writes into.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use conceptrol_core::models::file::unfinished;

/// Makes the folder, finds out that files can be written there, and removes what killed runs left; those files.
///
/// # Errors
///
/// If it cannot be made or written.
pub fn prepare(folder: &Path) -> Result<Vec<PathBuf>, NotWritable> {
    let failed = |source| NotWritable {
        folder: folder.to_owned(),
        source,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    tempfile::tempfile_in(folder).map_err(failed)?;
    Ok(remove_unfinished(folder, |process| !is_running(process)))
}

/// Writes a file that is there completely or not at all, with the permissions of any other.
///
/// # Errors
///
/// If it cannot be written; what was there before stays.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

/// Removes the unfinished files of the processes that `of` accepts; those files.
pub fn remove_unfinished(folder: &Path, of: impl Fn(u32) -> bool) -> Vec<PathBuf> {
    let left = unfinished(folder);
    let gone = left.filter(|(_, process)| of(*process));
    gone.filter_map(|(path, _)| fs::remove_file(&path).ok().map(|()| path))
        .collect()
}

/// A folder that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write into {}", folder.display())]
pub struct NotWritable {
    folder: PathBuf,
    source: io::Error,
}

/// Whether a process is there; where that cannot be told, it is.
fn is_running(process: u32) -> bool {
    let processes = Path::new("/proc");
    !processes.join("self").exists() || processes.join(process.to_string()).exists()
}
