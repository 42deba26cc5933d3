//! Counting the messages of a WebSocket while its bytes pass (RFC 6455, section 5.2).

/// A reader of frame headers. Bytes come in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Frames {
    upgraded: bool,
    /// Of the request or answer that opens the connection: how much of its end, an empty line, was seen.
    ending: usize,
    /// The header so far.
    header: Vec<u8>,
    /// Bytes of the frame that are still to come.
    left: u64,
}

/// Frames that carry a message's last part: text and binary ones, and the last of several.
const LAST: u8 = 0x80;
const CONTROL: u8 = 0x08;

impl Frames {
    /// How many messages begin their last frame in these bytes.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        while let [first, rest @ ..] = bytes {
            if !self.upgraded {
                self.open(*first);
                bytes = rest;
            } else if self.left > 0 {
                let skipped = self.left.min(bytes.len() as u64);
                self.left -= skipped;
                bytes = &bytes[skipped as usize..];
            } else {
                self.header.push(*first);
                bytes = rest;
                if let Some(length) = self.length() {
                    let kind = self.header[0];
                    messages += u64::from(kind & LAST != 0 && kind & CONTROL == 0);
                    self.left = length;
                    self.header.clear();
                }
            }
        }
        messages
    }

    /// One byte of the lines before the first frame.
    fn open(&mut self, byte: u8) {
        const END: &[u8] = b"\r\n\r\n";
        self.ending = match byte == END[self.ending] {
            true => self.ending + 1,
            false => usize::from(byte == END[0]),
        };
        self.upgraded = self.ending == END.len();
    }

    /// The length of the frame's payload, once the header is complete.
    fn length(&self) -> Option<u64> {
        let [_, second, rest @ ..] = &self.header[..] else {
            return None;
        };
        let size = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if rest.len() < size + mask {
            return None;
        }
        let long = rest[..size].iter();
        Some(match size {
            0 => u64::from(second & 0x7f),
            _ => long.fold(0, |length, byte| length << 8 | u64::from(*byte)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, masked: bool, length: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = match length {
            0..126 => vec![kind, mask | length as u8],
            126..65536 => vec![kind, mask | 126, (length >> 8) as u8, length as u8],
            _ => [&[kind, mask | 127][..], &(length as u64).to_be_bytes()].concat(),
        };
        // what looks like another frame does not count
        bytes.extend(std::iter::repeat_n(
            0x82,
            length + if masked { 4 } else { 0 },
        ));
        bytes
    }

    #[test]
    fn messages_are_counted_however_the_bytes_are_cut() {
        let mut bytes = b"GET /session HTTP/1.1\r\nHost: gpu\r\n\r\n".to_vec();
        for (kind, length) in [
            (0x82, 3),      // a message
            (0x82, 1000),   // another
            (0x89, 4),      // a ping
            (0x02, 70_000), // a message in two frames ..
            (0x80, 10),     // .. of which this is the last
            (0x82, 0),
        ] {
            bytes.extend(frame(kind, length % 2 == 0, length));
        }
        for piece in [1, 2, 3, 7, 1024, usize::MAX] {
            let mut frames = Frames::default();
            let pieces = bytes.chunks(piece.min(bytes.len()));
            let messages: u64 = pieces.map(|piece| frames.count(piece)).sum();
            assert_eq!(messages, 4, "pieces of {piece}");
        }
    }
}
