//! The folder a run writes into.

use std::{
    fs, io,
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

/// All files at or below a path, in order.
///
/// # Errors
///
/// If a folder cannot be listed.
pub fn files_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        files.extend(files_below(&entry?.path())?);
    }
    files.sort();
    Ok(files)
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
