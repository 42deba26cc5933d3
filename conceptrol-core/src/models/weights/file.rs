use std::{
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::error::WeightError;
use crate::models::file::open_regular;

/// One file of a checkpoint, read by position or in memory already.
///
/// Reads go straight from the page cache into the tensor's own memory: one copy, no file pages in the
/// process's resident set (a 24 GB file can be streamed through a few hundred MB), and a file that shrinks
/// while it is read is an error rather than a bus fault, which is what a memory map would make of it.
#[derive(Debug)]
pub(super) struct WeightFile {
    content: Content,
    path: PathBuf,
    len: u64,
}

#[derive(Debug)]
enum Content {
    File(File),
    Memory(Bytes),
}

impl WeightFile {
    pub(super) fn open(path: &Path) -> Result<Self, WeightError> {
        let io = |source| WeightError::Io {
            path: path.to_owned(),
            source,
        };
        let file = open_regular(path).map_err(io)?;
        Ok(Self {
            len: file.metadata().map_err(io)?.len(),
            content: Content::File(file),
            path: path.to_owned(),
        })
    }

    /// A file that is in memory already; `path` is its name in messages.
    pub(super) fn from_bytes(path: &Path, bytes: Bytes) -> Self {
        Self {
            len: bytes.len() as u64,
            content: Content::Memory(bytes),
            path: path.to_owned(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `into` from `offset` on. Independent of any other read, so threads may share the file.
    pub(super) fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.content {
            Content::File(file) => read_exact_at(file, into, offset),
            Content::Memory(bytes) => match range(bytes, offset, into.len()) {
                Some(range) => {
                    into.copy_from_slice(&bytes[range]);
                    Ok(())
                }
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }

    /// The bytes from `offset` on, not copied, if the file is in memory.
    pub(super) fn share(&self, offset: u64, len: usize) -> Option<Bytes> {
        match &self.content {
            Content::File(_) => None,
            Content::Memory(bytes) => Some(bytes.slice(range(bytes, offset, len)?)),
        }
    }

    /// The error for a failed read of this file.
    pub(super) fn error(&self, source: io::Error) -> WeightError {
        WeightError::Io {
            path: self.path.clone(),
            source,
        }
    }

    /// A new buffer of `len` bytes from `offset` on. The caller has checked `len` against the file.
    pub(super) fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>, WeightError> {
        let mut bytes = vec![0; len];
        self.read_at(&mut bytes, offset)
            .map_err(|source| self.error(source))?;
        Ok(bytes)
    }
}

/// The part of `bytes` that `len` bytes from `offset` on are, if it has as many.
fn range(bytes: &Bytes, offset: u64, len: usize) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(len)?;
    (end <= bytes.len()).then_some(start..end)
}

#[cfg(unix)]
fn read_exact_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !into.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, into, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                into = &mut into[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
