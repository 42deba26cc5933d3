use std::fmt;

use crate::message::shown;

/// Bytes that are looked at to tell files apart.
const START: usize = 512;

/// What a file holds that is not what its name says, as far as its first bytes tell.
///
/// ```
/// use conceptrol_core::models::file::Content;
///
/// let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:1a2b\nsize 3438167536\n";
/// assert_eq!(Content::of(pointer).unwrap().to_string(), "a git-lfs pointer");
/// let page = b"\n<!DOCTYPE html><html><head><title>404</title>";
/// assert_eq!(Content::of(page).unwrap().to_string(), "a web page");
/// assert_eq!(Content::of(&[0x80, 2, 0, 1]), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// No bytes at all.
    Nothing,
    /// What git leaves in a checkout when git-lfs has not fetched the file.
    LfsPointer,
    /// HTML: a download page or a server's error.
    WebPage,
    /// XML: a server's error.
    Xml,
    /// JSON: a server's error, or a configuration.
    Json,
    /// Another text, and its first line.
    Text(String),
    /// The tensors of the safetensors format.
    Safetensors,
    /// A zip archive, such as `torch.save` writes.
    Zip,
    /// A file packed with gzip.
    Gzip,
    /// Another archive.
    Archive,
    /// A model in the GGUF format.
    Gguf,
    /// A picture in this format.
    Picture(&'static str),
}

/// How formats begin.
const SIGNATURES: &[(&[u8], Content)] = &[
    (b"PK\x03\x04", Content::Zip),
    (b"PK\x05\x06", Content::Zip),
    (b"\x1f\x8b", Content::Gzip),
    (b"7z\xbc\xaf\x27\x1c", Content::Archive),
    (b"\xfd7zXZ\0", Content::Archive),
    (b"\x28\xb5\x2f\xfd", Content::Archive),
    (b"BZh", Content::Archive),
    (b"Rar!", Content::Archive),
    (b"GGUF", Content::Gguf),
    (b"\x89PNG", Content::Picture("PNG")),
    (b"\xff\xd8\xff", Content::Picture("JPEG")),
    (b"GIF8", Content::Picture("GIF")),
];

impl Content {
    /// What begins with these bytes; nothing if they are not known.
    pub fn of(start: &[u8]) -> Option<Self> {
        let start = &start[..start.len().min(START)];
        let signature = SIGNATURES.iter().find(|(s, _)| start.starts_with(s));
        if let Some((_, content)) = signature {
            return Some(content.clone());
        }
        match start {
            [] => Some(Self::Nothing),
            // the length of a header that is not beyond the format's limit, and its brace
            [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Some(Self::Safetensors),
            _ => Self::of_text(start),
        }
    }

    fn of_text(start: &[u8]) -> Option<Self> {
        let is_text = |byte: &u8| !byte.is_ascii_control() || b"\t\n\r\x0c".contains(byte);
        if !start.iter().all(is_text) {
            return None;
        }
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        let start = start.trim_ascii_start();
        let lower = start.to_ascii_lowercase();
        let has = |part: &[u8]| lower.windows(part.len()).any(|window| window == part);
        match lower.first()? {
            _ if lower.starts_with(b"version https://git-lfs") => Some(Self::LfsPointer),
            b'<' if lower.starts_with(b"<?xml") && !has(b"<html") && !has(b"<!doctype html") => {
                Some(Self::Xml)
            }
            b'<' => Some(Self::WebPage),
            b'{' | b'[' => Some(Self::Json),
            _ => {
                let line = start.split(|byte| *byte == b'\n').next().unwrap_or(start);
                // a character may be cut at the end
                let line = match std::str::from_utf8(line) {
                    Ok(line) => line,
                    Err(error) if error.error_len().is_none() => {
                        std::str::from_utf8(&line[..error.valid_up_to()]).ok()?
                    }
                    Err(_) => return None,
                };
                Some(Self::Text(line.trim_end().chars().take(60).collect()))
            }
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "an empty file",
            Self::LfsPointer => "a git-lfs pointer",
            Self::WebPage => "a web page",
            Self::Xml => "a web page (XML)",
            Self::Json => "a web page (JSON)",
            Self::Text(line) => return write!(f, "a text that begins \"{}\"", shown(line)),
            Self::Safetensors => "a safetensors file",
            Self::Zip => "a zip archive",
            Self::Gzip => "a gzip archive",
            Self::Archive => "an archive",
            Self::Gguf => "a GGUF file",
            Self::Picture(format) => return write!(f, "a {format} picture"),
        })
    }
}
