use std::{
    collections::HashMap,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};

use zip::{CompressionMethod, ZipArchive};

use crate::models::weights::{error::WeightError, file::WeightFile};

/// Larger than the pickle of any model: the values are in the other members.
const MAX_PICKLE: u64 = 64 << 20;

/// Where the members of the archive lie in the file.
pub(super) struct Archive {
    file: Arc<WeightFile>,
    members: HashMap<String, Member>,
    /// The folder all members are in, with the slash.
    root: String,
}

/// A stored, uncompressed run of bytes that lies inside the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) offset: u64,
    pub(super) len: u64,
}

impl Archive {
    pub(super) fn open(file: &Arc<WeightFile>) -> Result<Self, WeightError> {
        let malformed = |reason: String| malformed(file.path(), reason);
        let source = BufReader::new(Source { file, position: 0 });
        let mut zip = ZipArchive::new(source).map_err(|error| {
            malformed(format!(
                "not a zip archive as torch.save writes it since version 1.6: {error}"
            ))
        })?;
        let mut members = HashMap::with_capacity(zip.len());
        for index in 0..zip.len() {
            let member = zip
                .by_index_raw(index)
                .map_err(|error| malformed(format!("archive member {index}: {error}")))?;
            let name = member.name().to_owned();
            if member.compression() != CompressionMethod::Stored
                || member.size() != member.compressed_size()
            {
                return Err(malformed(format!(
                    "archive member {name} is compressed, which torch.save never does"
                )));
            }
            let place = Member {
                offset: member.data_start(),
                len: member.size(),
            };
            let needed = place.offset.saturating_add(place.len);
            if needed > file.len() {
                return Err(WeightError::Truncated {
                    path: file.path().to_owned(),
                    what: name,
                    needed,
                    available: file.len(),
                });
            }
            members.insert(name, place);
        }
        let pickle = members.keys().find(|name| name.ends_with("data.pkl"));
        let root = pickle.map(|name| name.trim_end_matches("data.pkl").to_owned());
        let root = root.ok_or_else(|| malformed("the archive has no data.pkl".to_owned()))?;
        let archive = Self {
            file: Arc::clone(file),
            members,
            root,
        };
        archive.check_byte_order()?;
        Ok(archive)
    }

    pub(super) fn file(&self) -> &Arc<WeightFile> {
        &self.file
    }

    /// The member `name` of the archive's one folder.
    pub(super) fn member(&self, name: &str) -> Option<Member> {
        self.members.get(&format!("{}{name}", self.root)).copied()
    }

    pub(super) fn pickle(&self) -> Result<Vec<u8>, WeightError> {
        let member = self.member("data.pkl");
        let member = member.ok_or_else(|| self.malformed("the archive has no data.pkl".into()))?;
        if member.len > MAX_PICKLE {
            return Err(WeightError::TooLarge {
                path: self.file.path().to_owned(),
                what: "pickle",
                len: member.len,
                limit: MAX_PICKLE,
            });
        }
        self.file.read_vec(member.offset, member.len as usize)
    }

    pub(super) fn malformed(&self, reason: String) -> WeightError {
        malformed(self.file.path(), reason)
    }

    fn check_byte_order(&self) -> Result<(), WeightError> {
        match self.member("byteorder") {
            Some(member) if member.len == 3 => Err(self
                .malformed("its numbers are big-endian; only little-endian files are read".into())),
            _ => Ok(()),
        }
    }
}

fn malformed(path: &Path, reason: String) -> WeightError {
    WeightError::Malformed {
        path: path.to_owned(),
        reason,
    }
}

/// The file as the zip reader wants it.
struct Source<'a> {
    file: &'a WeightFile,
    position: u64,
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.file.len().saturating_sub(self.position);
        let count = into
            .len()
            .min(usize::try_from(available).unwrap_or(usize::MAX));
        self.file.read_at(&mut into[..count], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(delta) => self.file.len().checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
