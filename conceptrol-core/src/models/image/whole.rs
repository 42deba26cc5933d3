//! Whether a picture's file is all there.
//!
//! Decoders go on with grey where the data of a JPEG ends, and do not miss the end of other formats. The containers say
//! where a picture ends, so they are asked before anything is decoded. What follows the end is nobody's business.

use image::ImageFormat;

/// Whether the container reaches its own end.
pub(super) fn is_whole(bytes: &[u8], format: ImageFormat) -> bool {
    let end = match format {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Png => png(bytes),
        ImageFormat::WebP => webp(bytes),
        _ => return true,
    };
    end.is_some()
}

/// JPEG: segments with lengths, and between them entropy-coded data, up to the marker of the end.
fn jpeg(bytes: &[u8]) -> Option<()> {
    const RESTARTS: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
    const START: u8 = 0xd8;
    const END: u8 = 0xd9;
    const STUFFING: u8 = 0;
    const ALONE: u8 = 0x01;
    let mut rest = bytes;
    loop {
        // Between markers there is entropy-coded data, or what some writers leave there.
        rest = &rest[rest.iter().position(|byte| *byte == 0xff)? + 1..];
        let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
        let (marker, after) = rest[fill..].split_first()?;
        rest = match *marker {
            END => return Some(()),
            STUFFING | START | ALONE => after,
            marker if RESTARTS.contains(&marker) => after,
            _ => {
                let length = u16::from_be_bytes(*after.first_chunk()?);
                after.get(usize::from(length)..)?
            }
        };
    }
}

/// PNG: chunks with lengths and checksums, up to the one of the end.
fn png(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let length = u32::from_be_bytes(*rest.first_chunk()?);
        let kind = rest.get(4..8)?;
        rest = rest.get(4 + 4 + usize::try_from(length).ok()? + 4..)?;
        if kind == b"IEND" {
            return Some(());
        }
    }
}

/// WebP: one chunk with a length that holds the others.
fn webp(bytes: &[u8]) -> Option<()> {
    let length = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let whole = usize::try_from(length).ok()?.checked_add(8)?;
    (bytes.len() >= whole).then_some(())
}
