//! The safetensors container: eight bytes of header length, a JSON header, then the tensors.
//!
//! The header's types are the `safetensors` crate's. The bounds are ours, so that an error can name the file, the
//! tensor and both numbers, and so that nothing is reserved for a length that the file does not have.

use std::{collections::BTreeMap, fmt, sync::Arc};

use safetensors::tensor::TensorInfo as HeaderEntry;
use serde::{
    Deserialize as DeriveDeserialize,
    de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor},
};

use super::{
    dtype::StoredDType,
    entry::{Entries, Entry, Part, byte_len},
    error::WeightError,
    file::WeightFile,
    scale,
};

/// The format's own limit on the header.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes of the header length.
const PREFIX: u64 = 8;

/// Reads and validates the header of `file`.
pub(super) fn entries(file: &Arc<WeightFile>) -> Result<Entries, WeightError> {
    let data = header_len(file)?;
    let mut entries = validate(file, data.start, header(file, &data)?)?;
    scale::fold(&mut entries)?;
    Ok(entries)
}

/// The free-form texts of the header.
pub(super) fn metadata(file: &WeightFile) -> Result<BTreeMap<String, String>, WeightError> {
    let data = header_len(file)?;
    Ok(header::<Metadata>(file, &data)?.texts)
}

fn header<H: DeserializeOwned>(file: &WeightFile, data: &DataStart) -> Result<H, WeightError> {
    let bytes = file.read_vec(PREFIX, data.header)?;
    serde_json::from_slice(&bytes).map_err(|error| WeightError::Malformed {
        path: file.path().to_owned(),
        reason: format!("the header is not valid: {error}"),
    })
}

/// Where the header ends.
struct DataStart {
    header: usize,
    start: u64,
}

fn header_len(file: &WeightFile) -> Result<DataStart, WeightError> {
    let truncated = |what: &str, needed| WeightError::Truncated {
        path: file.path().to_owned(),
        what: what.to_owned(),
        needed,
        available: file.len(),
    };
    if file.len() < PREFIX {
        return Err(truncated("the header length", PREFIX));
    }
    let prefix = file.read_vec(0, PREFIX as usize)?;
    let len = prefix
        .iter()
        .rev()
        .fold(0u64, |len, byte| len << 8 | u64::from(*byte));
    let start = len.saturating_add(PREFIX);
    if start > file.len() {
        return Err(truncated("the header", start));
    }
    if len > MAX_HEADER {
        return Err(WeightError::TooLarge {
            path: file.path().to_owned(),
            what: "header",
            len,
            limit: MAX_HEADER,
        });
    }
    Ok(DataStart {
        header: len as usize,
        start,
    })
}

/// The header without its tensors.
#[derive(DeriveDeserialize)]
struct Metadata {
    #[serde(rename = "__metadata__", default)]
    texts: BTreeMap<String, String>,
}

/// The JSON object, in file order, without the free-form metadata.
struct Header(Vec<(String, HeaderEntry)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    } else {
                        let entry = map
                            .next_value()
                            .map_err(|error| A::Error::custom(format!("{name}: {error}")))?;
                        tensors.push((name, entry));
                    }
                }
                Ok(Header(tensors))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// Checks every tensor by itself, then that together they tile the data section.
fn validate(file: &Arc<WeightFile>, start: u64, header: Header) -> Result<Entries, WeightError> {
    let mut spans: Vec<(u64, u64, String)> = Vec::with_capacity(header.0.len());
    let mut entries = Entries::new();
    for (name, tensor) in header.0 {
        let (begin, end) = (tensor.data_offsets.0 as u64, tensor.data_offsets.1 as u64);
        let entry = entry(file, start, &name, tensor)?;
        spans.push((begin, end, name.clone()));
        if entries.insert(name.clone(), entry).is_some() {
            return Err(WeightError::Malformed {
                path: file.path().to_owned(),
                reason: format!("the header lists {name} twice"),
            });
        }
    }
    spans.sort_unstable();
    tiles(file, start, &spans)?;
    Ok(entries)
}

fn entry(
    file: &Arc<WeightFile>,
    start: u64,
    name: &str,
    tensor: HeaderEntry,
) -> Result<Entry, WeightError> {
    let path = || file.path().to_owned();
    let (begin, end) = (tensor.data_offsets.0 as u64, tensor.data_offsets.1 as u64);
    let Some(len) = end.checked_sub(begin) else {
        return Err(WeightError::Malformed {
            path: path(),
            reason: format!("{name} ends at byte {end}, before it starts at byte {begin}"),
        });
    };
    let needed = start.saturating_add(end);
    if needed > file.len() {
        return Err(WeightError::Truncated {
            path: path(),
            what: name.to_owned(),
            needed,
            available: file.len(),
        });
    }
    let Some(dtype) = StoredDType::from_safetensors(tensor.dtype) else {
        return Err(WeightError::Malformed {
            path: path(),
            reason: format!("{name} has the unsupported dtype {}", tensor.dtype),
        });
    };
    match byte_len(&tensor.shape, dtype) {
        Some(expected) if expected as u64 == len => Ok(Entry::dense(
            dtype,
            tensor.shape,
            Part {
                file: Arc::clone(file),
                offset: start + begin,
                len: expected,
                checksum: None,
            },
        )),
        expected => Err(WeightError::ByteCount {
            path: path(),
            name: name.to_owned(),
            dtype,
            shape: tensor.shape,
            bytes: len,
            expected,
        }),
    }
}

/// The format allows neither overlaps nor holes.
fn tiles(file: &WeightFile, start: u64, spans: &[(u64, u64, String)]) -> Result<(), WeightError> {
    let path = || file.path().to_owned();
    let (mut reached, mut previous) = (0, "the header");
    for (begin, end, name) in spans {
        if *begin < reached {
            return Err(WeightError::Overlap {
                path: path(),
                first: previous.to_owned(),
                second: name.clone(),
                end: reached,
                start: *begin,
            });
        }
        if *begin > reached {
            return Err(WeightError::Malformed {
                path: path(),
                reason: format!("bytes {reached}..{begin} before {name} belong to no tensor"),
            });
        }
        (reached, previous) = (*end, name);
    }
    let expected = start + reached;
    if expected != file.len() {
        return Err(WeightError::Malformed {
            path: path(),
            reason: format!(
                "the tensors end at byte {expected} but the file has {} bytes",
                file.len()
            ),
        });
    }
    Ok(())
}
