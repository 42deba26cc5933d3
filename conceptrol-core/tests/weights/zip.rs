//! Archives as no zip writer makes them.

/// A zip archive under construction.
#[derive(Default)]
pub(crate) struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    members: u16,
}

/// What the directory says of a member, where that is not the truth.
#[derive(Default)]
pub(crate) struct Lie {
    pub(crate) crc: Option<u32>,
    pub(crate) len: Option<u32>,
    pub(crate) place: Option<u32>,
    pub(crate) name: Option<&'static str>,
    pub(crate) method: u16,
    pub(crate) flags: u16,
}

impl Zip {
    pub(crate) fn with(self, name: &str, data: &[u8]) -> Self {
        self.lying(name, data, Lie::default())
    }

    pub(crate) fn lying(mut self, name: &str, data: &[u8], lie: Lie) -> Self {
        let place = lie.place.unwrap_or(self.bytes.len() as u32);
        let len = lie.len.unwrap_or(data.len() as u32);
        let crc = lie.crc.unwrap_or_else(|| crc32(data));
        let listed = lie.name.unwrap_or(name);
        let numbers = |name: &str| {
            let mut fields = Vec::new();
            for number in [lie.flags, lie.method, 0, 0] {
                fields.extend(number.to_le_bytes());
            }
            for number in [crc, len, len] {
                fields.extend(number.to_le_bytes());
            }
            fields.extend((name.len() as u16).to_le_bytes());
            fields.extend([0; 2]);
            fields
        };
        self.bytes.extend(b"PK\x03\x04\x14\0");
        self.bytes.extend(numbers(name));
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(data);
        self.directory.extend(b"PK\x01\x02\x14\0\x14\0");
        self.directory.extend(numbers(listed));
        self.directory.extend([0; 10]);
        self.directory.extend(place.to_le_bytes());
        self.directory.extend(listed.as_bytes());
        self.members += 1;
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let (place, size) = (self.bytes.len() as u32, self.directory.len() as u32);
        let mut bytes = [self.bytes, self.directory].concat();
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend(self.members.to_le_bytes());
        bytes.extend(self.members.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(place.to_le_bytes());
        bytes.extend([0; 2]);
        bytes
    }

    /// As [`finish`](Self::finish), with the numbers in 64 bits.
    pub(crate) fn finish_long(self) -> Vec<u8> {
        let (place, size) = (self.bytes.len() as u64, self.directory.len() as u64);
        let members = u64::from(self.members);
        let mut bytes = [self.bytes, self.directory].concat();
        let record = bytes.len() as u64;
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44u64.to_le_bytes());
        bytes.extend([0; 12]);
        for number in [members, members, size, place] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend(record.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend([0xff; 12]);
        bytes.extend([0; 2]);
        bytes
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}
