//! Reading a header of unknown length off the front of a file, a piece at a time.

use crate::models::weights::{error::WeightError, file::WeightFile};

/// Bytes read at once.
const PIECE: u64 = 64 << 10;
/// Longer than any name of a key or a tensor, or any value that is kept.
const LONGEST_TEXT: u64 = 1 << 16;

/// Takes little-endian fields in order.
pub(super) struct Fields<'a> {
    file: &'a WeightFile,
    piece: Vec<u8>,
    /// Where the piece begins in the file.
    start: u64,
    position: u64,
}

impl<'a> Fields<'a> {
    pub(super) fn new(file: &'a WeightFile) -> Self {
        Self {
            file,
            piece: Vec::new(),
            start: 0,
            position: 0,
        }
    }

    /// Bytes taken so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// That `count` things of at least `bytes` each are in what is left of the file.
    pub(super) fn expect(&self, count: u64, bytes: u64, what: &str) -> Result<(), WeightError> {
        let needed = count.saturating_mul(bytes).saturating_add(self.position);
        match needed <= self.file.len() {
            true => Ok(()),
            false => Err(WeightError::Truncated {
                path: self.file.path().to_owned(),
                what: what.to_owned(),
                needed,
                available: self.file.len(),
            }),
        }
    }

    /// Leaves out `count` things of `bytes` each.
    pub(super) fn skip(&mut self, count: u64, bytes: u64, what: &str) -> Result<(), WeightError> {
        self.expect(count, bytes, what)?;
        self.position += count * bytes;
        Ok(())
    }

    pub(super) fn u16(&mut self, what: &str) -> Result<u16, WeightError> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, WeightError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, WeightError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A text with its length before it.
    pub(super) fn text(&mut self, what: &str) -> Result<String, WeightError> {
        let len = self.u64(what)?;
        self.expect(len, 1, what)?;
        if len > LONGEST_TEXT {
            return Err(self.malformed(format!(
                "{what} of {len} bytes is longer than the limit of {LONGEST_TEXT}"
            )));
        }
        let bytes = self.file.read_vec(self.position, len as usize)?;
        self.position += len;
        String::from_utf8(bytes).map_err(|_| self.malformed(format!("{what} is not UTF-8")))
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], WeightError> {
        self.expect(1, N as u64, what)?;
        let end = self.position + N as u64;
        let held = self.start..=self.start + self.piece.len() as u64;
        if !held.contains(&self.position) || !held.contains(&end) {
            let len = PIECE.min(self.file.len() - self.position);
            self.piece = self.file.read_vec(self.position, len as usize)?;
            self.start = self.position;
        }
        let at = (self.position - self.start) as usize;
        self.position = end;
        Ok(*self.piece[at..].first_chunk().expect("the piece holds it"))
    }

    pub(super) fn malformed(&self, reason: String) -> WeightError {
        WeightError::Malformed {
            path: self.file.path().to_owned(),
            reason,
        }
    }
}
