use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile};

/// What the name of a file that is being written ends in, behind the number of the writing process and its own ending.
const UNFINISHED: &str = ".part";

/// Writes a file that appears complete or not at all, also when the machine stops: it is written beside its place under
/// another name, brought to the disk, then renamed. Missing folders are created. An existing file is replaced.
///
/// # Errors
/// What `write` says, and what the system does.
pub fn write_whole<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> Result<(), E>,
) -> Result<(), E> {
    let folder = (path.parent()).filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let suffix = format!(".{}.{ending}{UNFINISHED}", std::process::id());
    let mut file = builder().suffix(&suffix).tempfile_in(folder)?;
    write(&mut file)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The files of a folder that [`write_whole`] began and did not finish, with the process that wrote them: of a killed
/// process, or of one that is writing now.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join(".a1b2c3.77.png.part"), "half a picture")?;
/// let left: Vec<_> = conceptrol_core::models::file::unfinished(folder.path()).collect();
/// assert_eq!(left, [(folder.path().join(".a1b2c3.77.png.part"), 77)]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unfinished(folder: &Path) -> impl Iterator<Item = (PathBuf, u32)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name();
        let (rest, _ending) = name.to_str()?.strip_suffix(UNFINISHED)?.rsplit_once('.')?;
        let (dotted, process) = rest.rsplit_once('.')?;
        let process = dotted.starts_with('.').then(|| process.parse().ok())??;
        Some((entry.path(), process))
    })
}

/// A temporary file with the permissions of any other: the default is for its owner only.
fn builder<'a>() -> Builder<'static, 'a> {
    let mut builder = Builder::new();
    builder.prefix(".");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}
