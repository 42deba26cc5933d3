//! Writing pictures.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use image::RgbImage;
use tempfile::Builder;

use super::error::ImageError;

/// What the name of a file that is being written ends in, behind the number of the writing process.
const UNFINISHED: &str = ".png.part";

/// Writes a PNG file with texts about the picture (keyword and text, such as `parameters` and how it was generated).
///
/// The file appears complete or not at all, also when the machine stops: it is written beside its place under another
/// name, brought to the disk, then renamed. Missing folders are created. An existing file is replaced.
///
/// # Errors
/// [`ImageError::File`] with the file and what is wrong.
pub fn save_png(
    path: impl AsRef<Path>,
    picture: &RgbImage,
    texts: &[(&str, &str)],
) -> Result<(), ImageError> {
    let path = path.as_ref();
    let write = || {
        let bytes = encode_png(picture, texts)?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let suffix = format!(".{}{UNFINISHED}", std::process::id());
        let mut file = builder().suffix(&suffix).tempfile_in(folder)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error: ImageError| error.at(path))
}

/// The files of a folder that [`save_png`] began and did not finish, with the process that wrote them: of a killed process,
/// or of one that is writing now.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join(".a1b2c3.77.png.part"), "half a picture")?;
/// let left: Vec<_> = conceptrol_core::models::image::unfinished(folder.path()).collect();
/// assert_eq!(left, [(folder.path().join(".a1b2c3.77.png.part"), 77)]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unfinished(folder: &Path) -> impl Iterator<Item = (PathBuf, u32)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name();
        let (dotted, process) = name.to_str()?.strip_suffix(UNFINISHED)?.rsplit_once('.')?;
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

/// A picture as a PNG file in memory; see [`save_png`].
///
/// # Errors
/// [`ImageError::Empty`], or [`ImageError::Encode`] for a keyword that PNG does not allow (1 to 79 Latin-1 characters).
pub fn encode_png(picture: &RgbImage, texts: &[(&str, &str)]) -> Result<Vec<u8>, ImageError> {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    let failed = |error: png::EncodingError| ImageError::Encode(error.to_string());
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    for &(keyword, text) in texts {
        let (keyword, text) = (keyword.to_owned(), text.to_owned());
        // Plain text chunks are read by more programs, but hold Latin-1 only.
        if text.chars().all(|c| u32::from(c) < 256) {
            encoder.add_text_chunk(keyword, text).map_err(failed)?;
        } else {
            encoder.add_itxt_chunk(keyword, text).map_err(failed)?;
        }
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(picture.as_raw()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}
