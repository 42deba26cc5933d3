/// Takes fixed and counted little-endian fields off the front of a pickle or a directory.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            len: bytes.len(),
        }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        if count > self.rest.len() {
            return Err(format!(
                "a field of {count} bytes at byte {} runs past the end at {}",
                self.position(),
                self.len
            ));
        }
        let (field, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(field)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        Ok(self.bytes(1)?[0])
    }

    /// An unsigned little-endian number of `count` bytes, at most 8.
    pub(super) fn unsigned(&mut self, count: usize) -> Result<u64, String> {
        let field = self.bytes(count)?;
        Ok(field
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(super) fn length(&mut self, count: usize) -> Result<usize, String> {
        let length = self.unsigned(count)?;
        usize::try_from(length).map_err(|_| format!("length {length} cannot be addressed"))
    }

    /// A signed little-endian number of `count` bytes, at most 8.
    pub(super) fn signed(&mut self, count: usize) -> Result<i64, String> {
        let unused = 64 - 8 * count as u32;
        let number = self.unsigned(count)?;
        Ok(match count {
            0 => 0,
            _ => (number << unused) as i64 >> unused,
        })
    }

    pub(super) fn text(&mut self, count: usize) -> Result<&'a str, String> {
        let at = self.position();
        std::str::from_utf8(self.bytes(count)?)
            .map_err(|_| format!("the text at byte {at} is not UTF-8"))
    }

    /// Text up to the next line feed.
    pub(super) fn line(&mut self) -> Result<&'a str, String> {
        let at = self.position();
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| format!("the line at byte {at} does not end"))?;
        let line = self.text(end)?;
        self.byte()?;
        Ok(line)
    }
}
