use std::sync::OnceLock;

use super::{error::WeightError, file::WeightFile};

/// Bytes read at a time.
const BLOCK: usize = 1 << 20;

/// The CRC-32 that an archive gives for one of its members.
///
/// It is compared once, before the first tensor of the member is read. That reads the whole member, of which the tensor
/// may be a part; tensors are mostly alone in theirs.
#[derive(Debug)]
pub(super) struct Checksum {
    /// Name of the member.
    pub(super) what: String,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) expected: u32,
    /// The CRC-32 of the bytes, once somebody has looked.
    pub(super) found: OnceLock<u32>,
}

impl Checksum {
    /// Compares, reading the bytes if nobody has yet.
    pub(super) fn verify(&self, file: &WeightFile) -> Result<(), WeightError> {
        let found = match self.found.get() {
            Some(found) => *found,
            None => {
                let found = self.compute(file)?;
                *self.found.get_or_init(|| found)
            }
        };
        if found == self.expected {
            return Ok(());
        }
        Err(WeightError::Checksum {
            path: file.path().to_owned(),
            what: self.what.clone(),
            expected: self.expected,
            found,
        })
    }

    fn compute(&self, file: &WeightFile) -> Result<u32, WeightError> {
        let mut hasher = crc32fast::Hasher::new();
        let mut block = vec![0; BLOCK.min(self.len as usize)];
        let mut at = 0;
        while at < self.len {
            let block = &mut block[..(self.len - at).min(BLOCK as u64) as usize];
            file.read_at(block, self.offset + at)
                .map_err(|source| file.error(source))?;
            hasher.update(block);
            at += block.len() as u64;
        }
        Ok(hasher.finalize())
    }
}
