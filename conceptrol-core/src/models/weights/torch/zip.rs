//! The directory of a zip archive, as far as `torch.save` uses the format: one disk, members that are neither compressed
//! nor encrypted (APPNOTE.TXT 6.3, sections 4.3 and 4.5.3).
//!
//! The directory is the only word on what is in the archive: each name once, each member in a place of its own.

use std::ops::Range;

use crate::models::weights::{error::WeightError, file::WeightFile, reader::Reader};

/// Larger than the directory of any checkpoint: a member takes about a hundred bytes.
const MAX_DIRECTORY: u64 = 64 << 20;

const END: u64 = 0x0605_4b50;
const END_BYTES: u64 = 22;
const END64_PLACE: u64 = 0x0706_4b50;
const END64_PLACE_BYTES: u64 = 20;
const END64: u64 = 0x0606_4b50;
const END64_BYTES: u64 = 56;
const LINE: u64 = 0x0201_4b50;
const HEADER: u64 = 0x0403_4b50;
const HEADER_BYTES: u64 = 30;
/// The extra field with the numbers that 32 bits do not hold.
const LONG_NUMBERS: u64 = 1;

/// A run of bytes with a name.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where its bytes begin in the file.
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Their CRC-32, as the directory gives it.
    pub(super) crc: u32,
}

/// The members of an archive in the order of its directory.
pub(super) fn members(file: &WeightFile) -> Result<Vec<Member>, WeightError> {
    let malformed = |reason| malformed(file, reason);
    let (count, place) = directory(file)?;
    let bytes = file.read_vec(place.start, (place.end - place.start) as usize)?;
    let mut reader = Reader::new(&bytes);
    let mut members = Vec::new();
    while reader.position() < bytes.len() {
        let line = line(&mut reader)
            .map_err(|reason| malformed(format!("the archive's directory: {reason}")))?;
        members.push(line.find(file, place.start)?);
    }
    if members.len() as u64 != count {
        let found = members.len();
        return Err(malformed(format!(
            "the archive's directory has {found} members and says it has {count}"
        )));
    }
    check_places(&members).map_err(malformed)?;
    Ok(members)
}

/// How many members there are, and where their directory is.
fn directory(file: &WeightFile) -> Result<(u64, Range<u64>), WeightError> {
    let malformed = |reason| malformed(file, reason);
    // the last record, but for a comment of the length it gives
    let tail = file.len().min(END_BYTES + u64::from(u16::MAX));
    let start = file.len() - tail;
    let tail = file.read_vec(start, tail as usize)?;
    let places = (0..=tail.len().saturating_sub(END_BYTES as usize)).rev();
    let (at, mut end) = places
        .filter_map(|at| Some((start + at as u64, End::read(&tail[at..])?)))
        .next()
        .ok_or_else(|| {
            malformed("not a zip archive as torch.save writes it since version 1.6".to_owned())
        })?;
    let mut stop = at;
    if !end.is_short() {
        let broken = || malformed("the archive's end record is broken".to_owned());
        let place = at.checked_sub(END64_PLACE_BYTES).ok_or_else(broken)?;
        let bytes = file.read_vec(place, END64_PLACE_BYTES as usize)?;
        stop = End::place_of_long(&bytes)
            .filter(|stop| *stop <= place.saturating_sub(END64_BYTES))
            .ok_or_else(broken)?;
        let bytes = file.read_vec(stop, END64_BYTES as usize)?;
        end = End::read_long(&bytes).ok_or_else(broken)?;
    }
    if end.size > MAX_DIRECTORY {
        return Err(WeightError::TooLarge {
            path: file.path().to_owned(),
            what: "the archive's directory",
            len: end.size,
            limit: MAX_DIRECTORY,
        });
    }
    match end.start.checked_add(end.size) {
        Some(end_of) if end_of <= stop => Ok((end.count, end.start..end_of)),
        _ => Err(malformed(format!(
            "the archive's directory of {} bytes at byte {} does not end before byte {stop}",
            end.size, end.start
        ))),
    }
}

/// What the end of an archive says of its directory.
struct End {
    count: u64,
    size: u64,
    start: u64,
}

impl End {
    /// The record, if `bytes`, which reach to the end of the file, are one.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        if fields.unsigned(4).ok()? != END {
            return None;
        }
        fields.bytes(6).ok()?; // disks, and the members on this one
        let end = Self {
            count: fields.unsigned(2).ok()?,
            size: fields.unsigned(4).ok()?,
            start: fields.unsigned(4).ok()?,
        };
        let comment = fields.length(2).ok()?;
        (fields.position() + comment == bytes.len()).then_some(end)
    }

    /// Whether its numbers fit their fields. If they do not, the record with longer ones counts.
    fn is_short(&self) -> bool {
        let (count, number) = (u64::from(u16::MAX), u64::from(u32::MAX));
        self.count != count && self.size != number && self.start != number
    }

    /// Where the record with 64-bit numbers is.
    fn place_of_long(bytes: &[u8]) -> Option<u64> {
        let mut fields = Reader::new(bytes);
        let signature = fields.unsigned(4).ok()?;
        fields.bytes(4).ok()?; // disk
        fields.unsigned(8).ok().filter(|_| signature == END64_PLACE)
    }

    fn read_long(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        if fields.unsigned(4).ok()? != END64 {
            return None;
        }
        fields.bytes(8 + 2 + 2 + 4 + 4 + 8).ok()?; // size, versions, disks, and the members on this one
        Some(Self {
            count: fields.unsigned(8).ok()?,
            size: fields.unsigned(8).ok()?,
            start: fields.unsigned(8).ok()?,
        })
    }
}

/// A line of the directory.
struct Line {
    name: String,
    len: u64,
    crc: u32,
    /// Where the member's own header is.
    header: u64,
}

/// Reads the next line of a directory.
fn line(fields: &mut Reader<'_>) -> Result<Line, String> {
    if fields.unsigned(4)? != LINE {
        return Err(format!(
            "no member begins before byte {}",
            fields.position()
        ));
    }
    fields.bytes(4)?; // versions
    let (flags, method) = (fields.unsigned(2)?, fields.unsigned(2)?);
    fields.bytes(4)?; // time and date
    let crc = fields.unsigned(4)? as u32;
    let (mut packed, mut len) = (fields.unsigned(4)?, fields.unsigned(4)?);
    let (name, extra, comment) = (fields.length(2)?, fields.length(2)?, fields.length(2)?);
    fields.bytes(2 + 2 + 4)?; // disk and attributes
    let mut header = fields.unsigned(4)?;
    let name = fields.text(name)?.to_owned();
    let extra = fields.bytes(extra)?;
    fields.bytes(comment)?;

    let is_long = |number: u64| number == u64::from(u32::MAX);
    if is_long(len) || is_long(packed) || is_long(header) {
        let mut long = long_numbers(extra)?;
        for number in [&mut len, &mut packed, &mut header] {
            if is_long(*number) {
                *number = long.unsigned(8)?;
            }
        }
    }
    if flags & 1 != 0 {
        return Err(format!("archive member {name} is encrypted"));
    }
    if method != 0 || packed != len {
        return Err(format!(
            "archive member {name} is compressed, which torch.save never does"
        ));
    }
    Ok(Line {
        name,
        len,
        crc,
        header,
    })
}

/// The field of the long numbers among the extra ones.
fn long_numbers(extra: &[u8]) -> Result<Reader<'_>, String> {
    let mut fields = Reader::new(extra);
    loop {
        let (kind, len) = (fields.unsigned(2)?, fields.length(2)?);
        let field = fields.bytes(len)?;
        if kind == LONG_NUMBERS {
            return Ok(Reader::new(field));
        }
    }
}

impl Line {
    /// The bytes of the member, which follow a header of its own with the same name and end before byte `end`.
    fn find(self, file: &WeightFile, end: u64) -> Result<Member, WeightError> {
        let fits = |needed: u64| match needed <= end {
            true => Ok(()),
            false => Err(WeightError::Truncated {
                path: file.path().to_owned(),
                what: self.name.clone(),
                needed,
                available: end,
            }),
        };
        let name_len = self.name.len() as u64;
        let header_end = self.header.saturating_add(HEADER_BYTES + name_len);
        fits(header_end)?;
        let bytes = file.read_vec(self.header, (HEADER_BYTES + name_len) as usize)?;
        let extra = header_extra(&bytes, &self.name).map_err(|_| {
            let name = &self.name;
            malformed(
                file,
                format!("archive member {name} has another name where its bytes are"),
            )
        })?;
        let offset = header_end + extra;
        fits(offset.saturating_add(self.len))?;
        Ok(Member {
            name: self.name,
            offset,
            len: self.len,
            crc: self.crc,
        })
    }
}

/// Bytes between a member's header and its content, if the header is that of `name`.
fn header_extra(bytes: &[u8], name: &str) -> Result<u64, String> {
    let mut fields = Reader::new(bytes);
    let signature = fields.unsigned(4)?;
    fields.bytes(22)?; // what the directory says as well
    let (len, extra) = (fields.length(2)?, fields.unsigned(2)?);
    match signature == HEADER && fields.text(len)? == name {
        true => Ok(extra),
        false => Err("another header".to_owned()),
    }
}

/// Names are there once, and so are the bytes of the members.
fn check_places(members: &[Member]) -> Result<(), String> {
    let mut names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("archive member {} is there twice", pair[0]));
    }
    let mut places: Vec<&Member> = members.iter().filter(|member| member.len > 0).collect();
    places.sort_unstable_by_key(|member| member.offset);
    let overlaps = |pair: &&[&Member]| pair[0].offset + pair[0].len > pair[1].offset;
    match places.windows(2).find(overlaps) {
        Some(pair) => Err(format!(
            "archive members {} and {} share bytes",
            pair[0].name, pair[1].name
        )),
        None => Ok(()),
    }
}

fn malformed(file: &WeightFile, reason: String) -> WeightError {
    WeightError::Malformed {
        path: file.path().to_owned(),
        reason,
    }
}
