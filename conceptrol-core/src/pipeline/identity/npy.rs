//! Arrays as numpy saves them, of one axis or two.

use half::f16;

/// What every file begins with.
const MAGIC: &[u8] = b"\x93NUMPY";

/// Whether a file begins as numpy's do.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The rows of an array of little-endian floating point numbers in C order.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Vec<f32>>, String> {
    let too_short = || "the file is cut short".to_owned();
    let version = *bytes.get(MAGIC.len()).ok_or_else(too_short)?;
    let length_bytes = if version == 1 { 2 } else { 4 };
    let start = MAGIC.len() + 2;
    let length = bytes
        .get(start..start + length_bytes)
        .ok_or_else(too_short)?;
    let length = length
        .iter()
        .rev()
        .fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
    let start = start + length_bytes;
    let end = start.checked_add(length).ok_or_else(too_short)?;
    let header = bytes.get(start..end).ok_or_else(too_short)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text".to_owned())?;
    if field(header, "fortran_order") != Some("False") {
        return Err("it is not stored row by row".to_owned());
    }
    let data = &bytes[end..];
    let values = match field(header, "descr") {
        Some("'<f4'") => numbers(data, |bytes: [u8; 4]| f32::from_le_bytes(bytes)),
        #[expect(clippy::cast_possible_truncation, reason = "the adapter reads f32")]
        Some("'<f8'") => numbers(data, |bytes: [u8; 8]| f64::from_le_bytes(bytes) as f32),
        Some("'<f2'") => numbers(data, |bytes: [u8; 2]| f16::from_le_bytes(bytes).to_f32()),
        other => return Err(format!("its type is {}", other.unwrap_or("not said"))),
    };
    let width = match shape(header).as_deref() {
        Some([width]) if *width == values.len() => *width,
        Some([rows, width] | [1, rows, width])
            if rows.checked_mul(*width) == Some(values.len()) =>
        {
            *width
        }
        shape => {
            return Err(format!(
                "its shape is {shape:?} for {} numbers",
                values.len()
            ));
        }
    };
    if width == 0 {
        return Err("it has no numbers".to_owned());
    }
    Ok(values.chunks(width).map(<[f32]>::to_vec).collect())
}

/// The value of a field of the header, a dictionary of Python.
fn field<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    let (_, rest) = header.split_once(&format!("'{name}':"))?;
    let rest = rest.trim_start();
    let end = match rest.starts_with('(') {
        true => rest.find(')')? + 1,
        false => rest.find([',', '}'])?,
    };
    Some(rest[..end].trim())
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let inner = field(header, "shape")?
        .strip_prefix('(')?
        .strip_suffix(')')?;
    let axes = inner
        .split(',')
        .map(str::trim)
        .filter(|axis| !axis.is_empty());
    axes.map(|axis| axis.parse().ok()).collect()
}

fn numbers<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>()
        .0
        .iter()
        .map(|bytes| number(*bytes))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).expect("short").to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    #[test]
    fn rows_of_all_types_are_read_and_others_refused() {
        let single: Vec<u8> = [1.5_f32, -2.0]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
        assert_eq!(read(&file(header, &single)), Ok(vec![vec![1.5, -2.0]]));
        let header = header.replace("(2,)", "(2, 1)");
        assert_eq!(
            read(&file(&header, &single)),
            Ok(vec![vec![1.5], vec![-2.0]])
        );
        let double: Vec<u8> = [0.25_f64].iter().flat_map(|x| x.to_le_bytes()).collect();
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1)}";
        assert_eq!(read(&file(header, &double)), Ok(vec![vec![0.25]]));
        for wrong in [
            "{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
            "nothing",
        ] {
            assert!(read(&file(wrong, &single)).is_err(), "{wrong}");
        }
        assert!(read(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").is_err());
    }
}
